from tricorn.transport.tls cimport TLSWire
from tricorn.transport.wire cimport Layer

cdef class TLSLayer(Layer):
    cdef TLSWire wire
    cdef object logger
    cdef bint ended             # our goodbye is out

    cdef ssize_t _outcome(self, ssize_t outcome) noexcept
    cdef void _raised(self) noexcept

# Between the descriptor and the protocol of a channel, once the handshake is done. logger: for what must not be.
cdef TLSLayer new_tls_layer(TLSWire wire, object logger)
