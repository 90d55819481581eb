def use_usual_stack() -> int: ...  # of the calling thread, for its signal handlers
def restore_default(number: int, /) -> int: ...  # its default action, from whatever thread
