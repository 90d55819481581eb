# Have this thread's signal handlers run on its own stack.
cpdef int use_usual_stack() except -1
