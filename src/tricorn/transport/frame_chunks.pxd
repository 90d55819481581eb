# From now on the calling thread keeps the memory of frames. The first that asks is the only one.
cpdef int keep_frame_chunks() except -1
