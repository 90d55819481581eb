from tricorn.gateway.translator cimport Peer, Translator
from tricorn.http.request cimport RequestHead

cdef class EnvironBuilder(Translator):
    cdef dict base
    cdef str script_name

    cdef dict build(self, RequestHead head, Peer peer)
    cdef int _fields(self, dict environ, RequestHead head, Peer peer) except -1
    cdef int _forwarded(self, dict environ, RequestHead head, Peer peer) except -1
