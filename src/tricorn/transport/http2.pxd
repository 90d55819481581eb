cimport cython

from tricorn.gateway.request_builder cimport Peer
from tricorn.http.h2_head cimport FieldList
from tricorn.http.h2_session cimport Event, EventList, Session, Stream
from tricorn.http.request cimport RequestHead
from tricorn.static.files cimport Answer
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.request cimport ProtocolMaker, Request, RequestProtocol, Runner
from tricorn.transport.thread_context cimport ThreadContext

# How far an end that is announced has got.
cdef enum Farewell:
    STAYS = 0
    ANNOUNCED           # the client knows that no new requests are welcome; some may be on their way
    SAID                # and now none is: the connection ends with its streams

@cython.final
@cython.no_gc
cdef class HTTP2(RequestProtocol):
    cdef Session session
    cdef list ready                 # requests that are complete, or want to begin: they do when the channel is given free
    cdef bytes unread               # what was read before this protocol began
    cdef int running                # requests that are not over
    cdef int cuts                   # … and of so many the response was cut
    cdef int readers                # threads that wait for input themselves
    cdef int queued                 # … of which so many wait for their turn
    cdef long long farewell_at      # when the last GOAWAY is due, ns; 0: none is
    cdef long long heard_at         # when something of the client has come last, ns
    cdef long long ping_deadline    # when it must have said something, since it was asked, ns; 0: it was not
    cdef long long head_deadline    # for the rest of a field block, ns; 0: none is awaited
    cdef unsigned char farewell     # a Farewell
    cdef unsigned char pumping      # somebody is sending
    cdef unsigned char lost         # the client is gone
    cdef unsigned char gives_way    # it goes on with what is here in a turn of its own
    cdef unsigned char more         # there is more to be sent, but others get their turn
    cdef unsigned char has_served
    cdef unsigned char is_blamed    # what the client did is in the log
    cdef unsigned char idles        # the channel's deadline is that of the next request, not of what is queued

    cdef int _attend(self, ThreadContext thread) except -1
    cdef int _read(self, ThreadContext thread) except -1
    cdef int _received(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _go_through(self, ThreadContext thread, EventList events) except -1
    cdef int _give_free(self, ThreadContext thread) except -1
    cdef int _start_ready(self, ThreadContext thread) except -1

    cdef int _begin(self, ThreadContext thread, Stream stream, Event* next, int left) except -1
    cdef int _take(
        self, ThreadContext thread, Stream stream, RequestHead head, Event* next, int left) except -1
    cdef Request _translated(self, Stream stream, RequestHead head)
    cdef int _open_body(self, ThreadContext thread, Stream stream, Request request) except -1
    cdef int _body(
        self, ThreadContext thread, Stream stream, const unsigned char* data, Py_ssize_t size, bint is_last) except -1
    cdef int _body_end(self, ThreadContext thread, Stream stream) except -1
    cdef int _refuse_end(self, ThreadContext thread, Stream stream, Request request) except -1
    cdef int _cannot_go_on(self, ThreadContext thread, Stream stream, Request request, int error) except -1
    cdef bint _may_wait(self, Stream stream) noexcept
    cdef int _credit(self, Stream stream, Request request) except -1
    cdef int _refuse(self, Stream stream, object error) except -1
    cdef bint _answer_probe(self, Stream stream, RequestHead head) except -1
    cdef bint _answer_file(self, ThreadContext thread, Stream stream, Request request, RequestHead head) except -1
    cdef int _give(self, Stream stream, Request request, Answer answer) except -1
    cdef int _error_response(self, Stream stream, int status, bytes fields=*) except -1
    cdef int _say_whole(self, Stream stream, FieldList list_of, bytes body) except -1
    cdef int _whole_response(self, Stream stream, str status, object fields, bytes body) except -1

    cdef int _send(self, ThreadContext thread, bint may_wait) except -1
    cdef int _pump(self) except -1
    cdef int _send_out(self) except -1
    cdef bint _feed_files(self) except -1
    cdef int _feed(self, Stream stream) except -1
    cdef int _tell(self, ThreadContext thread) except -1
    cdef int _tell_ended(self, Stream stream, ThreadContext thread, long long now) except -1
    cdef int _tell_eased(self, Stream stream, ThreadContext thread) except -1
    cdef void _count_sent(self, Stream stream, bint is_cut, long long now) noexcept
    cdef void _count_ended(self) noexcept
    cdef int _wake(self, Stream stream) noexcept

    cdef int _detach(self, Request request) except -1
    cdef int _lose_all(self) except -1
    cdef int _lose_request(self, Stream stream, Request request) except -1
    cdef int _announce_end(self, long long soon) except -1
    cdef int _say_last(self) except -1
    cdef int _fail(self, unsigned int code, object why) except -1
    cdef int _tell_blame(self) except -1
    cdef int _blame(self, object why) except -1
    cdef int _give_up(self) except -1
    cdef int _maybe_end(self, ThreadContext thread) except -1
    cdef int _note_idle(self) except -1
    cdef int _end_idling(self) except -1
    cdef long long _quiet_at(self) noexcept
    cdef bint _is_behind(self) noexcept
    cdef int _ask_for_sign(self, long long now) except -1
    cdef bint _is_busy(self) noexcept
    cdef bint _is_overdue(self, Request request, long long now) noexcept
    cdef list _late_streams(self, long long now)
    cdef int _discard(self, Stream stream, long long size) except -1
    cdef bint _is_stalled(self, Stream stream, long long now) noexcept
    cdef int _watch_again(self) except -1
    cdef int _await(self, Stream stream, int timeout_ms) except -1
    cdef int _read_aside(self) except -1
    cdef int _add(self, Request request, Stream stream, bytes piece) except -1
    cdef object _with_id(self, Request request, object headers)
    cdef Stream _stream_of(self, Request request)

cdef class HTTP2Maker(ProtocolMaker):
    cdef readonly int streams, window, frame
    cdef readonly unsigned int head_list

cdef HTTP2 new_http2(HTTP2Maker maker, Channel channel, Runner runner, object builder, Peer peer, bytes rest, dict tls)
