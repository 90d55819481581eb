# Have this thread's signal handlers run on its own stack. Raises OSError.
cpdef int use_usual_stack() except -1
# Give a signal its default action, from whatever thread. Raises OSError.
cpdef int restore_default(int number) except -1
