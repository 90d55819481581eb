cimport cython

from tricorn.http.request cimport RequestHead, Span

# Who is at the other end of a connection, as far as the application is told.
@cython.no_gc       # it holds texts and numbers
cdef class Peer:
    cdef readonly object host       # str; None for a unix socket without an address
    cdef object pair                # (host, port) as ASGI wants it, made when it is first asked for
    cdef int number                 # of its port; -1: it has none
    cdef readonly bint trusted      # may say who its client is
    cdef object destination         # (host, port) to which it has connected, by the PROXY protocol; None: nobody says

    # Decimal, "" if there is none. Not kept with the peer: there may be many that send nothing.
    cdef str port(self)
    cdef object client(self)

cdef class RequestBuilder:
    cdef object policy
    cdef frozenset names            # lower-case fields by which trusted proxies speak of their clients
    cdef bint unusual_names

    cdef bint admits(self, RequestHead head, Span name, Peer peer) except -1
    # Whether a trusted peer may have said something about its client.
    cdef bint may_claim(self, RequestHead head, Peer peer) noexcept
    # What it said, as policy.Forwarded; None: nothing.
    cdef object claims(self, RequestHead head, Peer peer, str scheme)
    # Where a trusted proxy says that the application is mounted; None: it does not say.
    cdef str mount(self, RequestHead head)

# Most requests repeat what the one before said about its browser, so the last value of each of these names is kept and
# given out again. Names that may carry secrets are not among them, and long values are not kept.
cdef enum:
    LONGEST_KEPT = 256

cdef bint is_repeated(bytes name) except -1

# The method as an interned string: few clients invent one for each request.
cdef object method_of(RequestHead head)
# The percent-decoded bytes of the path.
cdef bytes decoded_path(RequestHead head)
