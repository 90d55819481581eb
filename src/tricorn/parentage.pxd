# Become the parent of all descendants whose own parent ends, or if it is not wanted, of no more. Raises OSError.
cpdef int adopt_orphans(bint wanted=*) except -1
cpdef bint adopts_orphans() except -1
# Get this signal when the thread that has forked this process ends. Raises OSError.
cpdef int end_with_parent(int number) except -1
# As os.fork(), but the new process is our parent's child. Raises OSError.
cpdef int fork_sibling() except -1
