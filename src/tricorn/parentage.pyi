def adopt_orphans(
    wanted: bool = ...,
) -> None: ...  # become, or no longer be, the parent of all orphaned descendants
def adopts_orphans() -> bool: ...
def end_with_parent(number: int, /) -> None: ...  # get this signal when the thread that forked us ends
def fork_sibling() -> int: ...  # as os.fork(), but the new process is our parent's child
