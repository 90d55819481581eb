def adopt_orphans() -> None: ...  # become the parent of all descendants whose own parent ends
def end_with_parent(number: int, /) -> None: ...  # get this signal when the thread that forked us ends
def fork_sibling() -> int: ...  # as os.fork(), but the new process is our parent's child
