cimport cython

from tricorn.gateway.request_builder cimport Peer, RequestBuilder
from tricorn.http.request cimport RequestHead

@cython.final
cdef class EnvironBuilder(RequestBuilder):
    cdef dict base
    cdef str script_name
    cdef object usual_host          # what the base has as REMOTE_ADDR
    cdef object last_host           # of the last peer that had another one
    cdef object usual_name          # what the base has as HTTP_HOST; None: nothing
    cdef object last_name           # the last other value of it

    # method, target: of the head, which the caller keeps too.
    cdef dict build(self, RequestHead head, Peer peer, str method, str target)
    cdef int _version(self, dict environ, int version) except -1
    cdef int _address(self, dict environ, Peer peer) except -1
    cdef int _variables(self, dict environ, RequestHead head) except -1
    cdef int _host(self, dict environ, value) except -1
    cdef int _fields(self, dict environ, RequestHead head, Peer peer) except -1
    cdef int _forwarded(self, dict environ, RequestHead head, Peer peer) except -1
