from tricorn.gateway.translator cimport Peer, Translator
from tricorn.http.request cimport RequestHead

cdef class ScopeBuilder(Translator):
    cdef dict base_11, base_10      # of the requests of one listener, by HTTP/1.minor
    cdef dict versions
    cdef dict extensions_11, extensions_10      # what is offered to clients that take no trailers
    cdef bint offers_trailers, offers_refusals
    cdef str root_path
    cdef readonly dict state        # of the lifespan; None: the application has none

    # trailers: whether they are offered. What the application has made of its scope is never asked.
    cdef dict build(self, RequestHead head, Peer peer, str method, str target, bint* trailers)
    # The same scope for a WebSocket.
    cdef int make_websocket(self, dict scope, list subprotocols) except -1
    cdef list _headers(self, RequestHead head, Peer peer)
    cdef int _forwarded(self, dict scope, RequestHead head, Peer peer) except -1
    cdef int _set_root_path(self, dict scope, str root_path, bint stripped) except -1

cdef bytes header_of(dict scope, bytes name)
