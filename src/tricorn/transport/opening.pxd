from tricorn.gateway.request_builder cimport Peer
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.request cimport Runner
from tricorn.transport.tls cimport TLSWire

cdef class Opening(Protocol):
    cdef Runner runner
    cdef Entrance entrance
    cdef Peer peer
    cdef bytes pending              # the beginning of a PROXY header
    cdef TLSWire tls                # in its handshake

    cdef int _read_header(self, ThreadContext thread) except -1
    cdef int _go_on(self, ThreadContext thread, bytes rest) except -1
    cdef int _shake_hands(self, ThreadContext thread) except -1
    cdef int _count(self, int outcome) except -1
    cdef int _secured(self) except -1
    cdef int _fail(self, ThreadContext thread) except -1
    cdef int _open(self, bytes rest, dict tls) except -1

# What is the same for all clients that come in at one listener.
cdef class Entrance:
    cdef readonly int fd            # of the listening, non-blocking socket
    cdef readonly object builder    # the RequestBuilder for its requests
    cdef readonly object tls        # None: plain
    cdef readonly object http2      # ProtocolMaker; None: HTTP/2 is not spoken
    cdef readonly object cleartext  # who may speak it where nothing is encrypted; None: nobody
    cdef readonly object gateways   # whose packets of the uwsgi protocol are taken; None: HTTP is spoken
    cdef readonly int outlet        # where connections are passed on, to come in at `fd`; -1: it is a listener's
    cdef readonly unsigned long long owners     # the workers that it is for, as bits by their Row.queue; 0: for all
    cdef bint wanted                # this worker takes who comes here, when it takes anybody
    cdef bint watched               # it is in the poller

    # What is spoken behind the opening. rest: what was read behind it, or None. tls: what applications are told of it.
    cdef Protocol protocol_for(self, Channel channel, Runner runner, Peer peer, bytes rest, dict tls)

# The first protocol of a new channel. False: this peer may not connect.
cdef bint open_channel(Channel channel, Runner runner, Entrance entrance, Peer peer, long long now) except -1
