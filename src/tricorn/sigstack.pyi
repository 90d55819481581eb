def use_usual_stack() -> int: ...  # of the calling thread, for its signal handlers
