from tricorn.gateway.translator cimport Peer
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.lane cimport Lane
from tricorn.transport.request cimport Runner

cdef class Opening(Protocol):
    cdef Runner runner
    cdef object builder
    cdef Peer peer
    cdef bytes pending              # the beginning of a PROXY header

    cdef int _read(self, Lane lane) except -1
    cdef int _open(self, Lane lane, bytes rest) except -1

# The first protocol of a new channel. False: this peer may not connect.
cdef bint open_channel(Channel channel, Runner runner, object builder, Peer peer, long long now) except -1
