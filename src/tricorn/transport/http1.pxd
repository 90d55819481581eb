cimport cython

from tricorn.gateway.request_builder cimport Peer
from tricorn.http.buffer cimport Buffer
from tricorn.http.machine cimport ServerMachine
from tricorn.http.request cimport RequestHead
from tricorn.transport.channel cimport Channel
from tricorn.static.files cimport Answer
from tricorn.transport.send_queue cimport FileSpan
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.request cimport ProtocolMaker, Request, RequestProtocol, Runner
from tricorn.tracing.trace cimport Trace

# What is done with the connection at present.
cdef enum Phase:
    READING = 0         # a request is awaited or read
    SERVING             # the application has it
    FLUSHING            # it is answered, the client is still reading
    ENDED               # nothing any more; the channel is closed, or has another protocol
    ANSWERING           # the server answers it, from a file

@cython.final
@cython.no_gc
cdef class HTTP1(RequestProtocol):
    cdef ServerMachine machine
    cdef Request request            # that is read or answered; None: none is
    cdef bytes pending              # what was read but belongs to what comes next
    cdef ProtocolMaker maker        # of what the first bytes may turn out to be instead; None: of nothing
    cdef bytes begun                # the beginning of those
    cdef unsigned char phase # a Phase
    cdef unsigned char has_served   # a request, so that it may be closed to make room
    cdef unsigned char is_over      # the response is handed over; to be dealt with by whoever owns the channel
    cdef unsigned char is_gateway   # its client is one: a packet comes (http/packet.pyx), and no other behind it
    cdef unsigned char spoken       # the version of HTTP that the client of a gateway speaks; 0: there is none, or it has not said
    cdef unsigned char was_cut      # the response, while a thread was in the application for it
    cdef unsigned char gives_way    # it goes on with `pending` in a turn of its own
    # Of a response that is not all out yet: what is to be counted when it is (count_sent in request.pxd). came_ns: 0: nothing is
    cdef long long came_ns, ended_ns
    cdef Trace trace                # … and told, to whoever traces it; None: nobody does
    cdef unsigned char group
    cdef object turn                # what its owner puts into the queue when it settles

    cdef int _handle_event(self, ThreadContext thread) except -1
    cdef int _give_way(self) except -1
    cdef bint _wants_more(self) noexcept
    cdef void _mark_gone(self) noexcept
    cdef bint _catch_up(self, ThreadContext thread) except -1
    cdef void _cut_owned(self) noexcept
    cdef bint _place_body(self, ThreadContext thread, unsigned char** place, Py_ssize_t* size) except -1
    cdef int _help(self, ThreadContext thread) except -1
    cdef int _read(self, ThreadContext thread) except -1
    cdef int _received(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _first_bytes(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _keep(self, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _requests(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _await_head(self, ThreadContext thread) except -1
    cdef int _await_request(self, ThreadContext thread) except -1
    cdef long long _idle_time(self) noexcept
    cdef Py_ssize_t _begin(self, ThreadContext thread, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _begin_body(
        self, ThreadContext thread, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _meet(self, RequestHead head) except -1
    cdef Py_ssize_t _untranslatable(self, ThreadContext thread) except -1
    cdef Py_ssize_t _answer_for_all(self, ThreadContext thread, str status, object fields, bytes body) except -1
    cdef bint _answer_probe(self, ThreadContext thread, RequestHead head, bint more_is_here) except -1
    cdef bint _answer_file(self, ThreadContext thread, RequestHead head, bint more_is_here) except -1
    cdef int _give(self, ThreadContext thread, Request request, Answer answer) except -1
    cdef int _send_span(self, Request request, ThreadContext thread, FileSpan span) except -1
    cdef int _start(self, ThreadContext thread, bint more_is_here) except -1
    cdef Py_ssize_t _read_body(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _placed(self, ThreadContext thread, Py_ssize_t size) except -1
    cdef Py_ssize_t _skip_body(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _end_of_input(self, ThreadContext thread) except -1
    cdef int _leave(self, ThreadContext thread, bint has_begun) except -1
    # is_cut: some of it does not come out.
    cdef void _count_sent(self, long long now, bint is_cut) noexcept
    cdef int _response_done(self, ThreadContext thread) except -1
    cdef int _await_next(self, ThreadContext thread) except -1
    cdef int _drop_request(self, ThreadContext thread) except -1
    cdef int _refuse(self, ThreadContext thread, object error) except -1
    cdef int _error_response(self, ThreadContext thread, int status, bytes fields=*) except -1
    cdef object _with_id(self, Request request, object headers)
    cdef bytes _id_field(self, Request request)
    cdef int _close(self, ThreadContext thread) except -1
    cdef int _end(self, ThreadContext thread) except -1
    cdef int _send(self, ThreadContext thread, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, bint is_last) except -1
    cdef int _send_piece(self, Request request, ThreadContext thread, bytes piece) except -1

cdef HTTP1 new_http1(Channel channel, Runner runner, object builder, Peer peer)
# What comes is a packet of the uwsgi protocol, in place of HTTP.
cdef int expect_packet(HTTP1 protocol) except -1
