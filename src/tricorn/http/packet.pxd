from tricorn.http.request cimport Limits, RequestHead

# As parse_head() of h1.pxd: DONE, MORE, or REFUSED, and `head.error` says why.
cdef int parse_packet(RequestHead head, Limits limits) except -2
# Whether who sends this is no gateway, which could read an answer.
cdef bint is_no_packet(int error) noexcept
