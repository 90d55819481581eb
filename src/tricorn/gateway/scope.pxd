from tricorn.gateway.request_builder cimport Peer, RequestBuilder
from tricorn.http.request cimport RequestHead

cdef class ScopeBuilder(RequestBuilder):
    cdef dict base                  # what the next scope begins as; its path and client are those of the last one
    cdef object client
    cdef bytes raw_path
    cdef dict own_state             # values of `base`, which nobody else has unless they are lent; None: there is no state
    cdef dict own_versions
    cdef dict own_extensions
    cdef bint lent                  # to the request that came last
    cdef dict versions              # what they begin as
    cdef dict extensions_11, extensions_10      # what is offered to clients that take no trailers
    cdef tuple versions_flat, extensions_flat   # versions and extensions_11 as key, value, key, value …
    cdef bint offers_trailers, offers_refusals, offers_variables
    cdef dict drain                 # the extension that tells of the worker's drain; empty: not offered
    cdef str root_path
    cdef readonly dict state        # of the lifespan; None: the application has none

    # trailers: whether they are offered. What the application has made of its scope is never asked.
    cdef dict build(self, RequestHead head, Peer peer, str method, str target, bint* trailers)
    # A request has let go of its scope.
    cdef int take_back(self) except -1
    # The same scope for a WebSocket.
    cdef int make_websocket(self, dict scope, list subprotocols) except -1
    cdef int _renew(self) except -1
    cdef int _renew_versions(self) except -1
    cdef int _renew_extensions(self) except -1
    cdef int _renew_state(self) except -1
    cdef int _place_path(self, RequestHead head, str target) except -1
    cdef list _headers(self, RequestHead head, Peer peer)
    cdef int _forwarded(self, dict scope, RequestHead head, Peer peer) except -1
    cdef int _variables(self, dict scope, RequestHead head) except -1
    cdef int _set_root_path(self, dict scope, str root_path, bint stripped) except -1

cdef bytes header_of(dict scope, bytes name)
