from tricorn.http.request cimport RequestHead, Span

# Who is at the other end of a connection, as far as the application is told.
cdef class Peer:
    cdef readonly object host       # str; None for a unix socket without an address
    cdef readonly str port          # decimal, "" if there is none
    cdef readonly bint trusted      # may say who its client is

cdef class EnvironBuilder:
    cdef dict base
    cdef object policy
    cdef str script_name
    cdef frozenset names            # lower-case fields by which trusted proxies speak of their clients
    cdef bint unusual_names

    cdef dict build(self, RequestHead head, Peer peer)
    cdef int _fields(self, dict environ, RequestHead head, Peer peer) except -1
    cdef bint _admits(self, RequestHead head, Span name, Peer peer) except -1
    cdef int _forwarded(self, dict environ, RequestHead head, Peer peer) except -1
