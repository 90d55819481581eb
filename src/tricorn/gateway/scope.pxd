from tricorn.gateway.translator cimport Peer, Translator
from tricorn.http.request cimport RequestHead

cdef class ScopeBuilder(Translator):
    cdef dict base_11, base_10      # of the requests of one listener, by HTTP/1.minor
    cdef dict versions
    cdef dict extensions
    cdef dict trailing              # … where the client takes trailers
    cdef str root_path
    cdef readonly dict state        # of the lifespan; None: the application has none

    cdef dict build(self, RequestHead head, Peer peer)
    cdef list _headers(self, RequestHead head, Peer peer)
    cdef int _forwarded(self, dict scope, RequestHead head, Peer peer) except -1
    cdef int _set_root_path(self, dict scope, str root_path, bint stripped) except -1

# The same scope for a WebSocket.
cdef int make_websocket(dict scope, list subprotocols) except -1
cdef bytes header_of(dict scope, bytes name)
