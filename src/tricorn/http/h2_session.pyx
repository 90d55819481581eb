"""One connection of HTTP/2, without a socket: bytes in, events out; responses in, frames out (RFC 9113).

The plan. nghttp2 keeps the rules of frames, streams, windows, HPACK and priorities (RFC 9218); here is what it calls, and what is asked of
it. Its callbacks only write down what they are told, as events that point into the bytes that came. Whoever has handed these in goes through
them afterwards, with all that may then happen: applications that begin, files that are written. So nothing runs inside of the library that
could call it again, or give the GIL away, and each call of this module is one step for all threads.

Bodies of responses wait here, by stream, as the objects that they came in. When it is a stream's turn to send, its bytes go out from where
they lie. What lies in a file is asked for first (`take_hungry`), since reading a file takes time.

Guarantees: events come in the order of the wire; credit is given for what was consumed, no more; of a stream that is closed nothing is
sent and nothing is told but its end.

Knows: nghttp2, heads, pieces of bodies. Must not know: sockets, clocks, applications, who calls.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, uint8_t, uint32_t

from tricorn.http.buffer cimport Buffer
from tricorn.http.frame_meter cimport FrameMeter, new_meter
from tricorn.http.h1 cimport NONE
from tricorn.http.h2_head cimport FieldList, HeadReader, give_back
from tricorn.http.nghttp2 cimport (
    NGHTTP2_DATA, NGHTTP2_DATA_FLAG_EOF, NGHTTP2_DATA_FLAG_NO_COPY, NGHTTP2_DATA_FLAG_NO_END_STREAM,
    NGHTTP2_ERR_CALLBACK_FAILURE, NGHTTP2_ERR_DEFERRED, NGHTTP2_ERR_FLOODED, NGHTTP2_ERR_NOMEM, NGHTTP2_ERR_PAUSE,
    NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE, NGHTTP2_FLAG_ACK, NGHTTP2_FLAG_END_STREAM, NGHTTP2_FLAG_NONE, NGHTTP2_FLOW_CONTROL_ERROR, NGHTTP2_HCAT_REQUEST,
    NGHTTP2_HCAT_RESPONSE,
    NGHTTP2_HEADERS, NGHTTP2_NO_ERROR, NGHTTP2_PING, NGHTTP2_PRIORITY, NGHTTP2_PRIORITY_UPDATE, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_RST_STREAM, NGHTTP2_SETTINGS,
    NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
    NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, NGHTTP2_SETTINGS_MAX_FRAME_SIZE, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
    NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, nghttp2_data_provider, nghttp2_data_source, nghttp2_frame, nghttp2_frame_hd, nghttp2_option,
    nghttp2_option_new, nghttp2_option_set_builtin_recv_extension_type, nghttp2_option_set_max_deflate_dynamic_table_size,
    nghttp2_option_set_max_outbound_ack, nghttp2_option_set_no_auto_window_update, nghttp2_option_set_no_closed_streams,
    nghttp2_session, nghttp2_session_callbacks, nghttp2_session_callbacks_new,
    nghttp2_session_callbacks_set_on_begin_frame_callback, tricorn_count_no_continuations,
    nghttp2_session_callbacks_set_on_begin_headers_callback, nghttp2_session_callbacks_set_on_data_chunk_recv_callback,
    nghttp2_session_callbacks_set_on_frame_recv_callback, nghttp2_session_callbacks_set_on_frame_send_callback,
    nghttp2_session_callbacks_set_on_header_callback, nghttp2_session_callbacks_set_on_invalid_header_callback,
    nghttp2_session_callbacks_set_on_stream_close_callback, nghttp2_session_callbacks_set_send_data_callback,
    nghttp2_ext_priority_update, nghttp2_extpri, nghttp2_session_change_extpri_stream_priority, NGHTTP2_ENHANCE_YOUR_CALM,
    NGHTTP2_GOAWAY, NGHTTP2_REFUSED_STREAM, nghttp2_http2_strerror,
    nghttp2_session_consume_connection, nghttp2_session_consume_stream, nghttp2_session_del,
    nghttp2_session_get_last_proc_stream_id, nghttp2_session_get_stream_remote_close, nghttp2_session_get_stream_user_data,
    nghttp2_session_mem_recv, nghttp2_session_mem_send, nghttp2_session_resume_data, nghttp2_session_server_new2,
    nghttp2_session_set_local_window_size, nghttp2_session_set_stream_user_data, nghttp2_session_terminate_session,
    nghttp2_session_want_read, nghttp2_session_want_write, nghttp2_settings_entry, nghttp2_submit_goaway,
    nghttp2_submit_headers, nghttp2_submit_ping, nghttp2_submit_response, nghttp2_submit_rst_stream, nghttp2_submit_settings,
    nghttp2_submit_shutdown_notice, nghttp2_submit_trailer, nghttp2_version,
)
from tricorn.http.priority cimport complete, read_priority, say_nothing, says_something
from tricorn.http.request cimport BODY_LENGTH, Limits, RequestHead

cdef enum:
    # Up to this a piece is copied behind its frame header; beyond it, it is sent from where it lies.
    INLINE = 2048
    SPARES = 8
    LARGE_ROOM = 1024       # of events that are rarely as many
    # Of the client's pings and SETTINGS: answers that wait because it does not read.
    MOST_ANSWERS = 1000
    # Of the table with which responses are compressed, whatever the client offers (RFC 7541 §4.2).
    HPACK_TABLE = 4096
    CONNECTION_WINDOW = 1 << 20
    UNBOUNDED = 1 << 30
    # Streams too many that a client may begin before it has read how many there may be.
    MOST_UNTOLD = 1000

cdef nghttp2_session_callbacks* CALLBACKS = NULL
cdef nghttp2_option* OPTION = NULL


cdef str library_version():
    return nghttp2_version(0).version_str.decode("ascii")


# ---- what came -------------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class EventList:
    def __dealloc__(self):
        self.clear()
        PyMem_Free(self.events)

    cdef int add(self, Stream stream, EventKind kind, const unsigned char* data, Py_ssize_t size) except -1:
        cdef Event* event
        if self.count == self.room:
            self._make_room()
        event = &self.events[self.count]
        Py_INCREF(stream)
        event.stream = <PyObject*>stream
        event.kind = kind
        event.data = data
        event.size = size
        self.count += 1
        return 0

    cdef int _make_room(self) except -1:
        cdef int room = self.room * 2 if self.room else 32
        cdef Event* grown = <Event*>PyMem_Realloc(self.events, room * sizeof(Event))
        if grown == NULL:
            raise MemoryError()
        self.events = grown
        self.room = room
        return 0

    cdef void clear(self) noexcept:
        cdef int i
        cdef int count = self.count
        self.count = 0
        for i in range(count):
            Py_DECREF(<object>self.events[i].stream)


# Those that nobody uses at present. Who goes through one may be kept from it by an application, so there may be several.
cdef list spare_events = []


cdef EventList take_events():
    return <EventList>spare_events.pop() if spare_events else EventList.__new__(EventList)


cdef void put_events(EventList events) noexcept:
    events.clear()
    if len(spare_events) < SPARES and events.room <= LARGE_ROOM:
        spare_events.append(events)


# ---- what goes out ---------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Outgoing:
    def __cinit__(self):
        self.text = Buffer.__new__(Buffer)

    def __dealloc__(self):
        self.clear()

    cdef int add(self, const void* data, Py_ssize_t size) except -1:
        cdef Buffer text = self.text
        text.add(data, size)
        self.total += size
        if self.count and self.parts[self.count - 1].whole == NULL:
            self.parts[self.count - 1].size += size
            return 0
        # There is room: is_full() is asked before each frame, and one takes two parts.
        self.parts[self.count] = Part(NULL, NULL, text.size - size, size)
        self.count += 1
        return 0

    cdef int add_piece(self, bytes whole, Py_ssize_t start, Py_ssize_t size) except -1:
        cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(whole) + start
        if size <= INLINE or self.count > MOST_PARTS - 2:
            return self.add(data, size)
        Py_INCREF(whole)
        self.parts[self.count] = Part(<PyObject*>whole, data, 0, size)
        self.count += 1
        self.total += size
        return 0

    cdef bint is_full(self) noexcept:
        return self.total >= self.most or self.count > MOST_PARTS - 4

    cdef void clear(self) noexcept:
        cdef int i
        cdef int count = self.count
        self.count = 0
        self.total = 0
        self.text.size = 0
        for i in range(count):
            if self.parts[i].whole != NULL:
                Py_DECREF(<object>self.parts[i].whole)


# A connection that sends nothing has none.
cdef list spare_outgoings = []


cdef Outgoing take_outgoing(Py_ssize_t most):
    cdef Outgoing out = <Outgoing>spare_outgoings.pop() if spare_outgoings else Outgoing.__new__(Outgoing)
    out.most = most
    return out


cdef void put_outgoing(Outgoing out) noexcept:
    out.clear()
    if len(spare_outgoings) < SPARES:
        spare_outgoings.append(out)


@cython.final
@cython.no_gc
cdef class Stream:
    def __cinit__(self):
        self.waker = -1
        self.declared = -1
        self.body_left = -1
        say_nothing(&self.said)

    cdef bint has_unsent(self) noexcept:
        return not self.closed and (self.held != 0 or self.files != 0)


# ---- what nghttp2 calls ----------------------------------------------------------------------------------
# Nothing here runs foreign code or gives the GIL away: no object is made that the garbage collector tracks, none of an application's is let go.


cdef inline Stream _stream_of(nghttp2_session* raw, int32_t id):
    cdef void* found = nghttp2_session_get_stream_user_data(raw, id)
    return None if found == NULL else <Stream>found


cdef int _on_begin_frame(nghttp2_session* raw, const nghttp2_frame_hd* head, void* user) noexcept:
    """What the library lets pass: it takes unused numbers for those of streams that it has forgotten, and priorities of old for nothing."""
    cdef Session session = <Session>user
    cdef bint wrong = False
    if head.type == NGHTTP2_HEADERS:
        wrong = session.skipped_from <= head.stream_id <= session.skipped_to and head.stream_id & 1
    elif head.type == NGHTTP2_PRIORITY:
        wrong = head.stream_id == 0
    return NGHTTP2_ERR_NOMEM if wrong and nghttp2_session_terminate_session(raw, NGHTTP2_PROTOCOL_ERROR) != 0 else 0


cdef int _on_begin_headers(nghttp2_session* raw, const nghttp2_frame* frame, void* user) noexcept:
    cdef Session session = <Session>user
    cdef Stream stream
    cdef int outcome = 0
    try:
        if frame.headers.cat == NGHTTP2_HCAT_REQUEST:
            stream = Stream.__new__(Stream)
            stream.id = frame.hd.stream_id
            session._note_number(stream.id)
            if nghttp2_session_set_stream_user_data(raw, stream.id, <void*>stream) == 0:
                session._link(stream)
                session.heading = stream
                session.reader.begin(False)
            else:
                session.heading = None
        else:
            stream = _stream_of(raw, frame.hd.stream_id)
            session.heading = stream
            session.reader.begin(True)
    except BaseException:
        outcome = NGHTTP2_ERR_CALLBACK_FAILURE
    return outcome


cdef int _on_header(
    nghttp2_session* raw, const nghttp2_frame* frame, const uint8_t* name, size_t name_size, const uint8_t* value, size_t value_size,
    uint8_t flags, void* user,
) noexcept:
    cdef Session session = <Session>user
    cdef int outcome = 0
    try:
        session.reader.take(name, <Py_ssize_t>name_size, value, <Py_ssize_t>value_size)
    except BaseException:
        outcome = NGHTTP2_ERR_CALLBACK_FAILURE
    if outcome == 0 and session.reader.is_endless():
        nghttp2_submit_rst_stream(raw, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_ENHANCE_YOUR_CALM)
        outcome = NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE     # what is left of it is not looked at
        session.meter.bomb()
    return outcome


cdef int _on_invalid_header(
    nghttp2_session* raw, const nghttp2_frame* frame, const uint8_t* name, size_t name_size, const uint8_t* value, size_t value_size,
    uint8_t flags, void* user,
) noexcept:
    """By itself the library would leave such a field out; it makes the request malformed (RFC 9113 §8.2.1)."""
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE


cdef int _on_frame(nghttp2_session* raw, const nghttp2_frame* frame, void* user) noexcept:
    cdef Session session = <Session>user
    cdef Stream stream
    cdef int outcome = 0
    if frame.hd.type == NGHTTP2_PING:
        if frame.hd.flags & NGHTTP2_FLAG_ACK:
            session.pong = True
        return 0
    if frame.hd.type == NGHTTP2_PRIORITY_UPDATE:
        if frame.ext.payload != NULL:
            _took_update(session, <nghttp2_ext_priority_update*>frame.ext.payload)
        return 0
    if frame.hd.type == NGHTTP2_SETTINGS and frame.hd.flags & NGHTTP2_FLAG_ACK:
        session.is_agreed = True
    if frame.hd.type > NGHTTP2_HEADERS and frame.hd.type != NGHTTP2_RST_STREAM:
        return 0
    if frame.hd.type == NGHTTP2_HEADERS:
        session.heading = None
    try:
        stream = _stream_of(raw, frame.hd.stream_id)
        if stream is not None:
            _took_frame(session, stream, frame)
    except BaseException:
        outcome = NGHTTP2_ERR_CALLBACK_FAILURE
    return outcome


cdef int _took_frame(Session session, Stream stream, const nghttp2_frame* frame) except -1:
    cdef bint is_over = frame.hd.flags & NGHTTP2_FLAG_END_STREAM != 0
    cdef EventList events = session.events
    cdef RequestHead head
    if frame.hd.type == NGHTTP2_RST_STREAM:
        stream.dropped = True       # by its client
        return 0
    if frame.hd.type == NGHTTP2_HEADERS and frame.headers.cat == NGHTTP2_HCAT_REQUEST:
        head = session.reader.finish(is_over)
        stream.refusal = session.reader.error
        stream.head = head
        stream.owes_continue = head.expect_continue
        if head.framing == BODY_LENGTH:
            stream.declared = head.content_length
        session._rank(stream)
        stream.reply.is_head = head.is_head
        stream.reply.version = 20
        stream.got_all = stream.over = is_over
        stream.began = True
        return events.add(stream, STREAM_HEAD, NULL, 0)
    if is_over and not stream.over:
        stream.over = True
        if frame.hd.type == NGHTTP2_HEADERS:
            stream.refusal = session.reader.error
        return events.add(stream, STREAM_END, NULL, 0)
    return 0


cdef int _took_update(Session session, nghttp2_ext_priority_update* update) noexcept:
    """RFC 9218 §7.1. What it does not name is as usual, whatever was said before."""
    cdef Priority asked
    if update.stream_id == 0:
        return nghttp2_session_terminate_session(session.raw, NGHTTP2_PROTOCOL_ERROR)
    say_nothing(&asked)
    read_priority(update.field_value, <Py_ssize_t>update.field_value_len, &asked)
    if not asked.is_malformed:
        complete(&asked)
        session._ranked(update.stream_id, &asked)
    return 0


cdef int _on_data(nghttp2_session* raw, uint8_t flags, int32_t id, const uint8_t* data, size_t size, void* user) noexcept:
    cdef Session session = <Session>user
    cdef Stream stream
    cdef int outcome = 0
    # Only streams wait for their applications: one that is not read must not stop the others.
    nghttp2_session_consume_connection(raw, size)
    try:
        stream = _stream_of(raw, id)
        if stream is None or stream.closed or stream.dropped:
            nghttp2_session_consume_stream(raw, id, size)
        else:
            stream.received += <long long>size
            session.events.add(stream, STREAM_DATA, data, <Py_ssize_t>size)
    except BaseException:
        outcome = NGHTTP2_ERR_CALLBACK_FAILURE
    return outcome


cdef int _on_close(nghttp2_session* raw, int32_t id, uint32_t error, void* user) noexcept:
    cdef Session session = <Session>user
    cdef void* found = nghttp2_session_get_stream_user_data(raw, id)
    cdef Stream stream
    cdef int outcome = 0
    if found == NULL:
        return 0
    stream = <Stream>found
    if session.heading is stream:
        session.heading = None
        session.reader.forget()
    stream.closed = True
    stream.error = error
    if error != NGHTTP2_NO_ERROR and not stream.dropped:
        session.meter.fault()
        if error == NGHTTP2_FLOW_CONTROL_ERROR:
            # Where SETTINGS have made its window too large, it has to be an error of the connection, and elsewhere it may (RFC 9113 §6.9.1,
            # §6.9.2): the library, for which it is one of the stream, does not say which it was.
            outcome = nghttp2_session_terminate_session(raw, NGHTTP2_FLOW_CONTROL_ERROR)
    session._unlink(stream)
    stream.next_ended = session.ended
    session.ended = stream
    return NGHTTP2_ERR_CALLBACK_FAILURE if outcome == NGHTTP2_ERR_NOMEM else 0


cdef int _on_sent(nghttp2_session* raw, const nghttp2_frame* frame, void* user) noexcept:
    """A response is complete although its request is not: the client may stop (RFC 9113 §8.1), if more is to come than is worth it.

    And the client has been told that it is to blame for the end of the connection, whoever has found that.
    """
    cdef Session session = <Session>user
    cdef Stream stream
    cdef int outcome = 0
    if frame.hd.type == NGHTTP2_HEADERS and frame.headers.cat == NGHTTP2_HCAT_RESPONSE:
        stream = _stream_of(raw, frame.hd.stream_id)
        try:
            if stream is not None:
                stream.head_out = True
                session._maybe_cut(stream)
        except BaseException:
            outcome = NGHTTP2_ERR_CALLBACK_FAILURE
        if outcome:
            return outcome
    if frame.hd.type > NGHTTP2_HEADERS or not frame.hd.flags & NGHTTP2_FLAG_END_STREAM:
        if frame.hd.type == NGHTTP2_GOAWAY:
            session.blamed = session.blamed or frame.goaway.error_code
        return 0
    if nghttp2_session_get_stream_remote_close(raw, frame.hd.stream_id) == 0:
        stream = _stream_of(raw, frame.hd.stream_id)
        if stream is not None:
            stream.said_all = True
        if stream is not None and (stream.is_unasked or stream.declared - stream.received > session.discardable):
            stream.dropped = True
            nghttp2_submit_rst_stream(raw, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR)
    return 0


cdef ssize_t _on_turn(
    nghttp2_session* raw, int32_t id, uint8_t* place, size_t size, uint32_t* flags, nghttp2_data_source* source, void* user
) noexcept:
    """The stream may send. How much of its body follows."""
    cdef Session session = <Session>user
    cdef Stream stream = <Stream>source.ptr
    cdef ssize_t n = <ssize_t>min(<long long>size, stream.ready)
    if n == 0 and (stream.ends_early or not (stream.finished and stream.files == 0)):
        stream.waits = True
        if stream.files and not stream.hungry:
            stream.hungry = True
            stream.next_hungry = session.hungry
            session.hungry = stream
        return NGHTTP2_ERR_DEFERRED
    flags[0] |= NGHTTP2_DATA_FLAG_NO_COPY
    if n == stream.ready and stream.files == 0 and stream.finished and not stream.ends_early:
        flags[0] |= NGHTTP2_DATA_FLAG_EOF
        if stream.trailers is not None:
            flags[0] |= NGHTTP2_DATA_FLAG_NO_END_STREAM
            if nghttp2_submit_trailer(raw, id, stream.trailers.seal(), stream.trailers.count) != 0:
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
            stream.trailers = None
    return n


cdef int _on_send_data(
    nghttp2_session* raw, nghttp2_frame* frame, const uint8_t* head, size_t size, nghttp2_data_source* source, void* user
) noexcept:
    cdef Session session = <Session>user
    cdef Stream stream = <Stream>source.ptr
    cdef int outcome = 0
    try:
        session.out.add(head, 9)
        session._hand_out(stream, <Py_ssize_t>size)
    except BaseException:
        outcome = NGHTTP2_ERR_CALLBACK_FAILURE
    if outcome == 0 and session.out.is_full():
        outcome = NGHTTP2_ERR_PAUSE
    return outcome


cdef int _prepare() except -1:
    """Once for all sessions."""
    global CALLBACKS, OPTION
    if nghttp2_session_callbacks_new(&CALLBACKS) != 0 or nghttp2_option_new(&OPTION) != 0:
        raise MemoryError()
    nghttp2_session_callbacks_set_on_begin_frame_callback(CALLBACKS, _on_begin_frame)
    nghttp2_session_callbacks_set_on_begin_headers_callback(CALLBACKS, _on_begin_headers)
    nghttp2_session_callbacks_set_on_header_callback(CALLBACKS, _on_header)
    nghttp2_session_callbacks_set_on_invalid_header_callback(CALLBACKS, _on_invalid_header)
    nghttp2_session_callbacks_set_on_frame_recv_callback(CALLBACKS, _on_frame)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(CALLBACKS, _on_data)
    nghttp2_session_callbacks_set_on_stream_close_callback(CALLBACKS, _on_close)
    nghttp2_session_callbacks_set_on_frame_send_callback(CALLBACKS, _on_sent)
    nghttp2_session_callbacks_set_send_data_callback(CALLBACKS, _on_send_data)
    nghttp2_option_set_no_auto_window_update(OPTION, 1)
    nghttp2_option_set_no_closed_streams(OPTION, 1)
    nghttp2_option_set_builtin_recv_extension_type(OPTION, NGHTTP2_PRIORITY_UPDATE)
    nghttp2_option_set_max_outbound_ack(OPTION, MOST_ANSWERS)
    tricorn_count_no_continuations(OPTION)
    nghttp2_option_set_max_deflate_dynamic_table_size(OPTION, HPACK_TABLE)
    return 0


_prepare()


cdef Session new_session(Limits limits):
    cdef Session session = Session.__new__(Session)
    session.reader = HeadReader.__new__(HeadReader)
    session.reader.limits = limits
    session.meter = new_meter()
    if nghttp2_session_server_new2(&session.raw, CALLBACKS, <void*>session, OPTION) != 0:
        raise MemoryError()
    return session


cdef Stream closed_stream():
    cdef Stream stream = Stream.__new__(Stream)
    stream.closed = stream.head_sent = stream.finished = stream.got_all = True
    return stream


@cython.final
@cython.no_gc
cdef class Session:
    def __dealloc__(self):
        cdef Stream stream = self.first
        if self.raw != NULL:
            nghttp2_session_del(self.raw)       # streams that are still open are not told of
        self.first = None
        while stream is not None:               # each holds its neighbours
            stream.before = None
            self.first = stream.next
            stream.next = None
            stream = self.first

    cdef int offer(self, int streams, int window, int frame, unsigned int head_list, bint connects) except -1:
        cdef nghttp2_settings_entry[6] entries
        cdef int count = 4
        entries[0].settings_id = NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
        entries[0].value = UNBOUNDED        # for the library, which would end the connection: see _tell_true_limit()
        entries[1].settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE
        entries[1].value = window
        entries[2].settings_id = NGHTTP2_SETTINGS_MAX_FRAME_SIZE
        entries[2].value = frame
        entries[3].settings_id = NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES
        entries[3].value = 1
        if head_list:
            entries[4].settings_id = NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE
            entries[4].value = head_list
            count = 5
        if connects:
            entries[count].settings_id = NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL
            entries[count].value = 1
            count += 1
        self.most_streams = streams
        self.meter.most = frame
        self.reader.most = head_list
        _check(nghttp2_submit_settings(self.raw, NGHTTP2_FLAG_NONE, entries, count))
        # That of the connection bounds nothing: what its streams may have sent does.
        return _check(nghttp2_session_set_local_window_size(self.raw, NGHTTP2_FLAG_NONE, 0, max(window, <int>CONNECTION_WINDOW)))

    cdef void _note_number(self, int number) noexcept:
        """Of a new stream."""
        if number > self.newest + 2 - (self.newest == 0):
            self.skipped_from = self.newest + 2 - (self.newest == 0)
            self.skipped_to = number - 2
        self.newest = number

    cdef void _ranked(self, int number, Priority* asked) noexcept:
        """The client says how urgent a stream is that it has begun, or will."""
        cdef Stream stream = _stream_of(self.raw, number)
        if stream is not None:
            stream.asked = asked[0]
            self._reprioritise(stream)
        elif number > self.newest:
            self.early[(number >> 1) % EARLIES] = Early(number, asked[0])

    cdef void _rank(self, Stream stream) noexcept:
        """Of a new stream.

        RFC 9218 §4 has the responses of a client that does not speak of priorities sent one after the other. Such clients do not know
        that, and among their streams may be one that never ends: so they share, unless the client has ever said how urgent something is.
        """
        cdef HeadReader reader = self.reader
        cdef Early* early = &self.early[(stream.id >> 1) % EARLIES]
        self.has_priorities |= reader.has_priority or self.meter.prioritises
        if early.stream == stream.id:
            stream.asked = early.asked
        else:
            stream.asked = reader.asked
            complete(&stream.asked)
        if not self.has_priorities:
            stream.asked.incremental = True
        self._reprioritise(stream)

    cdef void _reprioritise(self, Stream stream) noexcept:
        """What the application says counts more than what the client wants (RFC 9218 §8). From now on the library asks nobody but us."""
        cdef nghttp2_extpri due
        due.urgency = stream.said.urgency if stream.said.urgency >= 0 else stream.asked.urgency
        due.inc = stream.said.incremental if stream.said.incremental >= 0 else stream.asked.incremental
        nghttp2_session_change_extpri_stream_priority(self.raw, stream.id, &due, 1)

    cdef void _tell_true_limit(self) noexcept:
        """RFC 9113 §5.1.2: a stream too many is an error of that stream, which whoever counts them deals with. For the library it would
        be one of the connection, so it does not know the limit that the client reads in our first frame."""
        cdef unsigned char* frame = self.out.text.data
        cdef Py_ssize_t at = 9
        cdef Py_ssize_t end = self.out.text.size
        self.is_offered = True
        while at + 6 <= end:
            if frame[at] == 0 and frame[at + 1] == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS:
                frame[at + 2] = <unsigned char>(self.most_streams >> 24)
                frame[at + 3] = <unsigned char>(self.most_streams >> 16 & 255)
                frame[at + 4] = <unsigned char>(self.most_streams >> 8 & 255)
                frame[at + 5] = <unsigned char>(self.most_streams & 255)
                return
            at += 6

    cdef bytes last_word(self, unsigned int error):
        return b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + self.newest.to_bytes(4) + error.to_bytes(4)

    cdef bint receive(self, const unsigned char* data, Py_ssize_t size, EventList events) except -1:
        cdef ssize_t n
        self.meter.look(data, size)
        self.events = events
        n = nghttp2_session_mem_recv(self.raw, data, size)
        self.events = None
        if n == size:
            return True
        self.failed = True
        if n == NGHTTP2_ERR_NOMEM or n == NGHTTP2_ERR_CALLBACK_FAILURE:
            raise MemoryError()
        self.fault = NGHTTP2_ENHANCE_YOUR_CALM if n == NGHTTP2_ERR_FLOODED else NGHTTP2_PROTOCOL_ERROR
        return False

    cdef bint collect(self) except -1:
        cdef Outgoing out = self.out
        cdef const uint8_t* data
        cdef ssize_t n = 0
        while not out.is_full():
            n = nghttp2_session_mem_send(self.raw, &data)
            if n <= 0:
                break
            out.add(data, n)
            if not self.is_offered:
                self._tell_true_limit()
        if n < 0:
            self.failed = True
            raise MemoryError()
        return out.is_full()

    cdef bint wants_write(self) noexcept:
        return self.hungry is not None or nghttp2_session_want_write(self.raw) != 0

    cdef bint is_over(self) noexcept:
        return self.failed or (nghttp2_session_want_read(self.raw) == 0 and nghttp2_session_want_write(self.raw) == 0)

    # ---- responses -----------------------------------------------------------------------------------

    cdef int respond(self, Stream stream, FieldList fields, bint has_body) except -1:
        cdef nghttp2_data_provider provider
        stream.head_sent = True
        stream.is_unasked = stream.owes_continue         # the client waits to be asked for its body, and is not
        stream.owes_continue = False
        stream.body_left = stream.reply.length
        if stream.closed:
            return 0
        if says_something(&fields.said):
            stream.said = fields.said
            self._reprioritise(stream)
        provider.source.ptr = <void*>stream
        provider.read_callback = _on_turn
        stream.has_source = has_body
        stream.finished = not has_body
        return _check(nghttp2_submit_response(self.raw, stream.id, fields.seal(), fields.count, &provider if has_body else NULL))

    cdef int interim(self, Stream stream, FieldList fields) except -1:
        if stream.closed or stream.head_sent:
            return 0
        return _check(nghttp2_submit_headers(
            self.raw, NGHTTP2_FLAG_NONE, stream.id, NULL, fields.seal(), fields.count, NULL
        ))

    cdef int add_piece(self, Stream stream, bytes piece) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
        if stream.closed or size == 0:
            return 0
        if stream.pieces is None:
            stream.pieces = []
        stream.pieces.append(piece)
        stream.held += size
        if stream.files == 0:
            stream.ready += size
        return self._resume(stream)

    cdef int add_file(self, Stream stream, object span) except -1:
        if stream.closed:
            return 0
        if stream.pieces is None:
            stream.pieces = []
        stream.pieces.append(span)
        stream.files += 1
        return self._resume(stream)

    cdef int finish(self, Stream stream, FieldList trailers) except -1:
        if stream.closed or stream.finished:
            return 0
        stream.finished = True
        stream.trailers = trailers
        return self._resume(stream)

    cdef int feed(self, Stream stream, bytes piece, bint is_last) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
        cdef int i
        stream.hungry = False
        if stream.closed:
            return 0
        # The file is the first piece: all before it were sent.
        if is_last:
            stream.pieces[0] = piece
            stream.files -= 1
        else:
            stream.pieces.insert(0, piece)
        stream.offset = 0
        stream.held += size
        stream.ready = size
        if is_last:
            for i in range(1, len(stream.pieces)):
                if type(stream.pieces[i]) is not bytes:
                    break
                stream.ready += PyBytes_GET_SIZE(stream.pieces[i])
        return self._resume(stream)

    cdef int _resume(self, Stream stream) except -1:
        if not stream.waits:
            return 0
        stream.waits = False
        nghttp2_session_resume_data(self.raw, stream.id)
        return 0

    cdef int _hand_out(self, Stream stream, Py_ssize_t size) except -1:
        """The next bytes of its body go out."""
        cdef list pieces = stream.pieces
        cdef bytes piece
        cdef Py_ssize_t step
        stream.ready -= size
        stream.sent += size
        stream.held -= size
        self.meter.gave(size, stream.ready == 0)
        while size:
            piece = <bytes>pieces[0]
            step = min(size, PyBytes_GET_SIZE(piece) - stream.offset)
            self.out.add_piece(piece, stream.offset, step)
            stream.offset += step
            size -= step
            if stream.offset == PyBytes_GET_SIZE(piece):
                del pieces[0]
                stream.offset = 0
        if stream.ends_early:
            return self._maybe_cut(stream)
        if stream.watched and not stream.eased and stream.held <= self.ease_at and stream.files == 0:
            stream.eased = True
            stream.next_eased = self.eased
            self.eased = stream
        return 0

    cdef int credit(self, Stream stream, long long size) except -1:
        stream.credited += size
        if stream.closed or stream.got_all:
            return 0
        return _check(nghttp2_session_consume_stream(self.raw, stream.id, <size_t>size))

    cdef int reset(self, Stream stream, unsigned int error) except -1:
        if stream.closed:
            return 0
        stream.dropped = True
        stream.finished = True
        stream.held = stream.ready = 0
        stream.files = 0
        if stream.pieces:
            stream.pieces = None
        return _check(nghttp2_submit_rst_stream(self.raw, NGHTTP2_FLAG_NONE, stream.id, error))

    cdef int refuse(self, Stream stream) except -1:
        """A client that knows how many it may have is at fault (RFC 9113 §5.1.2). One that cannot know yet is not, for a while."""
        if self.is_agreed or self.refused == MOST_UNTOLD:
            self.meter.fault()
        else:
            self.refused += 1
        return self.reset(stream, NGHTTP2_REFUSED_STREAM)

    cdef int cut_off(self, Stream stream, unsigned int error) except -1:
        if stream.closed or stream.dropped or stream.ends_early:
            return 0
        if not stream.head_sent:
            return self.reset(stream, error)
        stream.ends_early = stream.finished = True
        stream.reason = error
        return self._maybe_cut(stream)

    cdef int _maybe_cut(self, Stream stream) except -1:
        """A reset overtakes what was submitted before it, the head too."""
        if not stream.ends_early or not stream.head_out or stream.held or stream.files:
            return 0
        return self.reset(stream, stream.reason)

    # ---- the connection ------------------------------------------------------------------------------

    cdef int ping(self) except -1:
        self.pong = False
        return _check(nghttp2_submit_ping(self.raw, NGHTTP2_FLAG_NONE, NULL))

    cdef int say_leaving(self) except -1:
        return _check(nghttp2_submit_shutdown_notice(self.raw))

    cdef int say_last(self, unsigned int error) except -1:
        cdef bint was_said = self.said_last
        self.said_last = True
        if error != NGHTTP2_NO_ERROR:
            return _check(nghttp2_session_terminate_session(self.raw, error))
        if was_said:
            return 0
        return _check(nghttp2_submit_goaway(
            self.raw, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(self.raw), error, NULL, 0
        ))

    cdef str blame(self):
        return nghttp2_http2_strerror(self.blamed).decode("ascii")

    # ---- the streams ---------------------------------------------------------------------------------

    cdef void _link(self, Stream stream) noexcept:
        """The list is what holds a stream."""
        stream.linked = True
        stream.next = self.first
        if self.first is not None:
            self.first.before = stream
        self.first = stream
        self.count += 1
        stream.place = self.count

    cdef void _unlink(self, Stream stream) noexcept:
        cdef Stream before = stream.before
        cdef Stream following = stream.next
        if not stream.linked:
            return
        stream.linked = False
        if before is not None:
            before.next = following
        else:
            self.first = following
        if following is not None:
            following.before = before
        stream.next = stream.before = None
        self.count -= 1

    cdef Stream take_ended(self):
        cdef Stream stream = self.ended
        if stream is not None:
            self.ended = stream.next_ended
            stream.next_ended = None
        return stream

    cdef Stream take_hungry(self):
        cdef Stream stream = self.hungry
        if stream is not None:
            self.hungry = stream.next_hungry
            stream.next_hungry = None
        return stream

    cdef Stream take_eased(self):
        cdef Stream stream = self.eased
        if stream is not None:
            self.eased = stream.next_eased
            stream.next_eased = None
            stream.eased = False
        return stream


cdef inline int _check(int outcome) except -1:
    """Only want of memory is an error: what a call is about may have ended meanwhile."""
    if outcome == NGHTTP2_ERR_NOMEM:
        raise MemoryError()
    return 0
