"""HTTP/2 on a channel: its streams become requests, what these send becomes its frames.

The plan. The session (http/h2_session.pyx) turns bytes into events and responses into frames, each call of it in one step for all
threads. Here it meets the descriptor, the time, and requests that run at once, in as many threads as there are.

- Reading: whoever gets an event of the channel owns it for as long as it takes to read what is there and to go through the events, no
  longer. Requests begin when the channel is given free, so no application is ever called by an owner, and what else comes is
  read by whoever is free: windows open, streams end, while applications run.
- Sending: whatever an application gives goes to its stream at once. One at a time takes frames out of the session and sends them (`pumping`);
  whoever comes meanwhile leaves it to that one, which looks again before it goes. So frames leave in the order in which the session
  makes them, by priority, and a response that waits for a window holds nobody up. While others are about to send too, it waits for them
  (Runner.holds): one system call for all streams.
- Credit: the client may send as much of a body as its application has taken, and the window that it began with. Bodies that are collected give
  credit as they are stored.

Guarantees: of a stream that is over nothing reaches its request but that it is; requests whose streams were reset count as running until
their applications are done, so that resetting makes no room for more; a client that trickles, stalls or does not read is ended, its stream
or the whole of it, by the sweep.

Knows: the session with its streams and error codes, channels, requests as such; what is answered without an application (refusals,
probes, files, a full queue). Must not know: the bytes of frames, HPACK, application interfaces, what applications run on.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject

from tricorn.gateway.request_builder cimport Peer
from tricorn.http.frame_meter cimport CALM, LONG_FRAME, Offence
from tricorn.http.h1 cimport LONG_BODY, MALFORMED, SLOW_HEAD, refusal
from tricorn.http.h2_head cimport FieldList, give_back, list_error, list_head, list_interim, list_trailers
from tricorn.http.h2_session cimport (
    STREAM_DATA, STREAM_END, STREAM_HEAD, Event, EventList, Outgoing, Session, Stream, closed_stream, library_version, new_session, put_events, put_outgoing, take_events,
    take_outgoing,
)
from tricorn.http.request cimport NO_BODY, RequestHead
from tricorn.metrics.figures cimport HTTP2_CONNECTIONS, HTTP2_FAILED, HTTP2_STREAMS, CLIENT_TIMEOUT, WRITE_TIMEOUT, note_error
from tricorn.scoreboard cimport monotonic
from tricorn.static.files cimport Answer, StaticFiles
from tricorn.transport.admission cimport Admission
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.poller cimport READ, WRITE
from tricorn.transport.request cimport (
    COLLECTED, PULLED, Delivery, ProtocolMaker, Request, RequestProtocol, Runner, count_sent, pieces_of, probe_of, probe_status,
)
from tricorn.tracing.trace cimport Trace
from tricorn.transport.request_ids cimport RequestIds
from tricorn.transport.send_queue cimport FileSpan
from tricorn.transport.system cimport EFD_CLOEXEC, EFD_NONBLOCK, close, eventfd, iovec, write
from tricorn.transport.thread_context cimport THREAD_BUFFER, ThreadContext
from tricorn.transport.wire cimport PEER_LEFT, PEER_STAYS, WIRE_AGAIN, wire_pread
from tricorn.transport.worker_context cimport WorkerContext

from http import HTTPStatus

from tricorn.http.errors import ProtocolError
from tricorn.http.frame_meter import OFFENCES
from tricorn.transport.admission import CLIENT_GONE
from tricorn.transport.request import BODY_COMES, CLIENT_READS, RESPONDS, RUNS
from tricorn.transport.streams import is_event_stream

cdef extern from "sys/ioctl.h" nogil:
    enum:
        TIOCOUTQ
    int ioctl(int fd, unsigned long request, ...)

cdef enum:
    # Reads in a row, before others get their turn.
    READ_RUN = 16
    # Of what is read from a file for its stream at a time.
    FILE_STEP = 131072
    # What is sent with one system call.
    SEND_STEP = 131072
    # So much is sent in a row, before others get their turn.
    SEND_RUN = 4194304
    # In the queue of the channel. Beyond it streams keep what they have, so that priorities decide …
    MOST_QUEUED = 131072
    # … and beyond this, which answers to its frames may fill, a client is not read.
    MOST_BEHIND = 262144
    # Behind the end of a connection so much is thrown away: credit allows no client more that looks at what we say.
    LINGER_SIZE = 1048576
    SPARES = 8
    # How long a thread that waits for its body leaves it to another that is reading, ms.
    PATIENCE_MS = 5
    # Error codes (RFC 9113 §7).
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    CANCEL = 8
    FRAME_SIZE_ERROR = 6
    ENHANCE_YOUR_CALM = 11

cdef long long SECOND = 1000000000
# A client that has said nothing for so long while it waits for responses, or for ten times `write_timeout`, is asked whether it is there.
cdef long long QUIET = 30 * SECOND

# Field lists, and contexts for reading in threads that are at something else. Taken and given back, since whoever uses one may give the GIL away.
cdef list spare_lists = []
cdef list spare_contexts = []

# Of requests that are over, or have been detached.
cdef Stream NOWHERE = closed_stream()


def library():
    """Which one does it, and its version."""
    return f"nghttp2 {library_version()}"


cdef FieldList _take_list():
    return <FieldList>spare_lists.pop() if spare_lists else FieldList.__new__(FieldList)


cdef int _put_list(FieldList fields) except -1:
    if len(spare_lists) < SPARES:
        spare_lists.append(fields)
    return 0


cdef bint _is_complete(Stream stream) noexcept:
    """Of one that has ended: whether its client has got the whole response."""
    return stream.head_sent and stream.finished and not stream.dropped and stream.error == NO_ERROR


cdef ssize_t _read_span(FileSpan span, char* place, Py_ssize_t size) noexcept:
    """What is next of it. One that came when too many files were open already is open for no longer than this."""
    cdef Answer source
    cdef ssize_t n
    cdef int fd
    if span.fd >= 0:
        return wire_pread(span.fd, place, size, span.offset)
    source = <Answer>span.source
    fd = source.again()
    if fd < 0:
        return -1
    n = wire_pread(fd, place, size, span.offset)
    close(fd)
    return n


cdef class HTTP2Maker(ProtocolMaker):
    """What is offered to clients: streams at a time, the window of each, bytes of a frame, and of all fields of a request (0: no
    limit of its own)."""

    def __init__(self, *, int streams, int window, int frame, unsigned int head_list):
        self.streams = streams
        self.window = window
        self.frame = frame
        self.head_list = head_list

    cdef Protocol make(self, Channel channel, Runner runner, object builder, Peer peer, bytes rest, dict tls):
        return new_http2(self, channel, runner, builder, peer, rest, tls)


cdef HTTP2 new_http2(HTTP2Maker maker, Channel channel, Runner runner, object builder, Peer peer, bytes rest, dict tls):
    cdef HTTP2 self = HTTP2.__new__(HTTP2)
    self.channel = channel
    self.runner = runner
    self.worker = runner.worker
    self.builder = builder
    self.peer = peer
    self.tls = tls
    self.ready = []
    self.unread = rest
    self.idles = True       # the first request has the time that is left of the opening's
    self.session = new_session(runner.worker.limits)
    self.session.ease_at = runner.worker.response_buffer // 2
    self.session.discardable = runner.worker.body_discard
    if self.worker.figures != NULL:
        self.worker.figures[HTTP2_CONNECTIONS] += 1
    self.session.offer(maker.streams, maker.window, maker.frame, maker.head_list, runner.has_websockets)
    return self


@cython.final
@cython.no_gc
cdef class HTTP2(RequestProtocol):
    # ---- what the server calls -----------------------------------------------------------------------

    cdef int on_event(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        if channel.owned:
            return channel.arm(0)       # its owner reads on, and will have it watched
        return self._attend(thread)

    cdef int _attend(self, ThreadContext thread) except -1:
        """Own the channel while its bytes are dealt with; then have what may begin begin."""
        cdef Channel channel = self.channel
        channel.owned = True
        self.runner.enter(channel, thread)
        if channel.has_queued() or channel.armed & WRITE:
            self.more = False
            channel.flush(thread)
        self._read(thread)
        return self._give_free(thread)

    cdef int _give_free(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        if channel.closed:
            return 0
        self._tell(thread)
        channel.owned = False
        self._send(thread, not self.ready)      # answers to frames, credit, what others had to send meanwhile
        if self._maybe_end(thread):
            return 0
        channel.watch()
        # What starts here may take long: whoever gets the next event goes on with the channel meanwhile.
        return self._start_ready(thread) if self.ready else 0

    cdef int _start_ready(self, ThreadContext thread) except -1:
        cdef list waiting = self.ready
        cdef list ready = []
        cdef Runner runner = self.runner
        cdef Request request
        self.ready = []
        for request in waiting:
            if request.carried is not None:     # else it has gone meanwhile
                ready.append(request)
        return runner.start_all(ready, thread) if ready else 0

    cdef int settle(self, ThreadContext thread) except -1:
        if self.unread is not None:
            self._read(thread)
        return self._give_free(thread)

    cdef int done_with(self, Request request, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        return 0 if channel.closed or channel.owned else self._maybe_end(thread)

    cdef int proceed(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        self.gives_way = False
        if channel.closed or channel.owned or channel.protocol is not self:
            return 0
        return self._attend(thread)

    cdef int on_buffered(self) except -1:
        cdef Runner runner = self.runner
        if not self.gives_way:
            self.gives_way = True
            runner.queue_up(self)
        return 0

    cdef int interest(self) noexcept:
        cdef Channel channel = self.channel
        cdef int interest = READ
        if self.lost or channel.gone:
            return 0
        if self.readers or (channel.queue is not None and channel.queue.pending > MOST_BEHIND):
            interest = 0
        if (channel.has_queued() or self.more) and not channel.corked:
            interest |= WRITE
        return interest

    cdef bint is_idle(self) noexcept:
        return self.has_served and not self._is_busy() and not self.channel.owned and not self.channel.has_queued()

    def told(self):
        """As Protocol.told(); of each request as Request.told()."""
        cdef Stream stream = self.session.first
        cdef Request request
        cdef list streams = []
        cdef list found = []
        while stream is not None:
            streams.append(stream)
            stream = stream.next
        for stream in streams:
            request = <Request>stream.owner
            if request is None:
                if stream.finished and stream.has_unsent() and not stream.closed:
                    found.append(self.told_of(CLIENT_READS, stream.ended_ns if stream.came_ns else 0))
            elif stream.collects and not (stream.got_all or stream.head_sent):
                found.append(request.told(BODY_COMES, request.body_since))
            elif stream.has_unsent():
                found.append(request.told(CLIENT_READS, request.started_ns))
            else:
                found.append(request.told(RESPONDS if stream.head_sent else RUNS, request.started_ns))
        return found

    cdef bint _is_busy(self) noexcept:
        return self.session.count != 0 or self.running != 0

    cdef bint is_cut(self) noexcept:
        return self.running != 0 and self.cuts == self.running

    # ---- reading: from bytes to requests -------------------------------------------------------------

    cdef int _read(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef bytes data = self.unread
        cdef ssize_t n
        cdef int reads
        if data is not None:
            self.unread = None
            self._received(thread, <const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        for reads in range(READ_RUN):
            if channel.closed or self.lost or (channel.queue is not None and channel.queue.pending > MOST_BEHIND):
                return 0
            n = channel.read(thread.buffer, THREAD_BUFFER)
            if n == WIRE_AGAIN or channel.closed:
                return 0
            if n == 0 and not self._is_busy():
                return channel.close()
            if n <= 0:
                return channel.lose()       # also where only its side is closed: windows would never open again
            self._received(thread, thread.buffer, n)
            if n < THREAD_BUFFER and not channel.has_buffered():
                return 0
        return 0

    cdef int _received(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        cdef Session session = self.session
        cdef EventList events = take_events()
        cdef Offence offence
        cdef bint understood
        try:
            understood = session.receive(data, size, events)
            thread.now = monotonic()
            offence = session.meter.judge(thread.now)
            if not understood:
                self._give_up()
            elif offence != CALM:
                self._fail(FRAME_SIZE_ERROR if offence == LONG_FRAME else ENHANCE_YOUR_CALM, OFFENCES[<int>offence])
            else:
                self._go_through(thread, events)
        finally:
            put_events(events)
        self.heard_at = thread.now
        self.ping_deadline = 0
        if session.heading is None:
            self.head_deadline = 0
        elif self.head_deadline == 0 and self.worker.header_timeout:
            self.head_deadline = thread.now + self.worker.header_timeout
        if session.pong and self.farewell == ANNOUNCED:
            self._say_last()
        return 0

    cdef int _go_through(self, ThreadContext thread, EventList events) except -1:
        cdef Event* event
        cdef Stream stream
        cdef bint is_last
        cdef int i = 0
        while i < events.count and not self.lost:
            event = &events.events[i]
            stream = <Stream>event.stream
            i += 1
            if event.kind == STREAM_HEAD:
                i += self._begin(thread, stream, event + 1, events.count - i)
            elif event.kind == STREAM_DATA:
                is_last = i < events.count and event[1].kind == STREAM_END and event[1].stream == event.stream
                i += is_last
                self._body(thread, stream, event.data, event.size, is_last)
            else:
                self._body_end(thread, stream)
        return 0

    cdef int _begin(self, ThreadContext thread, Stream stream, Event* next, int left) except -1:
        """A head is complete. Returns how many of the events behind it are dealt with as well."""
        cdef RequestHead head = stream.head
        cdef int used
        stream.head = None
        self.has_served = True
        if self.worker.figures != NULL:
            self.worker.figures[HTTP2_STREAMS] += 1
        self._end_idling()
        used = self._take(thread, stream, head, next, left)
        give_back(head)
        return used

    cdef int _take(self, ThreadContext thread, Stream stream, RequestHead head, Event* next, int left) except -1:
        """Have it served, or answer it."""
        cdef Request request
        cdef long long most = self.worker.limits.body
        if stream.closed or stream.dropped:
            return 0            # it was reset at once
        if stream.refusal:
            return self._refuse(stream, refusal(stream.refusal))
        if most and stream.declared > most:
            return self._refuse(stream, refusal(LONG_BODY))
        if self.running >= self.session.most_streams or stream.place > self.session.most_streams:
            # Those whose streams were reset run on.
            return self.session.refuse(stream)
        if self.worker.has_probes and self._answer_probe(stream, head):
            return 0
        request = self._translated(stream, head)
        if request is None:
            return 0
        request.carried = stream
        stream.owner = request
        self.running += 1
        if self.worker.static_files is not None and self._answer_file(thread, stream, request, head):
            return 0
        if head.framing == NO_BODY:
            self.ready.append(request)
        elif (
            # A small body, of the length that was declared, which has come together with its head.
            left > 1 and next[0].kind == STREAM_DATA and next[0].stream == <PyObject*>stream and next[1].kind == STREAM_END
            and next[1].stream == <PyObject*>stream and stream.declared == next[0].size
            and request.take_whole(next[0].data, next[0].size)
        ):
            stream.owes_continue = False
            stream.got_all = True
            self.ready.append(request)
            return 2
        else:
            self._open_body(thread, stream, request)
        return 0

    cdef Request _translated(self, Stream stream, RequestHead head):
        """None: it is refused."""
        cdef Runner runner = self.runner
        cdef Request request = None
        try:
            request = runner.new_request(self, head)
        except ProtocolError as error:
            self._refuse(stream, error)
        return request

    cdef int _open_body(self, ThreadContext thread, Stream stream, Request request) except -1:
        cdef Delivery delivery = COLLECTED
        cdef bint failed = False
        try:
            delivery = request.open_body(thread, stream.declared)
        except MemoryError as error:
            self._cannot_store(stream, request, error)
            failed = True
        if failed:
            return 0
        if delivery == PULLED:
            stream.inbox = []
        else:
            request.took_body(thread, False, stream.declared < 0, 0)    # its client is waited for from now on
        if delivery == COLLECTED:
            stream.collects = True
            return self.ask_for_body(request)
        self.ready.append(request)
        return 0

    cdef int _body(
        self, ThreadContext thread, Stream stream, const unsigned char* data, Py_ssize_t size, bint is_last
    ) except -1:
        """Some of it. is_last: its end has come with it."""
        cdef Request request = <Request>stream.owner
        cdef long long most = self.worker.limits.body
        cdef bint failed = False
        stream.owes_continue = False        # the client has not waited for it
        if request is None or stream.dropped:
            self._discard(stream, size)
            return self._body_end(thread, stream) if is_last else 0
        if most and stream.received > most:
            return self._cannot_go_on(thread, stream, request, LONG_BODY)
        if stream.inbox is not None:
            stream.inbox.append((<const char*>data)[:size])
            return self._body_end(thread, stream) if is_last else self._wake(stream)
        try:
            request.take_body_part(thread, data, size)
            if not is_last and stream.owner is request:     # a WebSocket may have ended with this frame
                request.took_body(thread, False, stream.declared < 0, stream.received)
        except (OSError, MemoryError) as error:
            if not stream.collects:
                raise
            self._cannot_store(stream, request, error)
            failed = True
        if failed or stream.owner is not request:
            return 0
        if is_last:
            return self._body_end(thread, stream)
        self._credit(stream, request)
        return 0 if stream.collects else request.on_body(thread)

    cdef int _discard(self, Stream stream, long long size) except -1:
        """Nobody reads it. A little may come, as over HTTP/1, where that keeps the connection: not all clients like to be stopped."""
        stream.unwanted += size
        if stream.unwanted > self.worker.body_discard and stream.said_all:
            return self.session.reset(stream, NO_ERROR)
        return self.session.credit(stream, size)

    cdef int _body_end(self, ThreadContext thread, Stream stream) except -1:
        cdef Request request = <Request>stream.owner
        cdef bint failed = False
        stream.got_all = True
        if request is None or stream.dropped:
            return 0
        if stream.refusal:
            return self._refuse_end(thread, stream, request)
        if stream.inbox is not None:
            return self._wake(stream)
        try:
            request.took_body(thread, True, stream.declared < 0, stream.received)
        except (OSError, MemoryError) as error:
            if not stream.collects:
                raise
            self._cannot_store(stream, request, error)
            failed = True
        if failed or stream.owner is not request:
            return 0
        if not stream.collects:
            return request.on_body(thread)
        stream.collects = False
        self.ready.append(request)
        return 0

    cdef int _refuse_end(self, ThreadContext thread, Stream stream, Request request) except -1:
        """What stands in its trailers must not."""
        stream.got_all = False          # what has come is not the whole
        return self._cannot_go_on(thread, stream, request, stream.refusal)

    cdef int _cannot_go_on(self, ThreadContext thread, Stream stream, Request request, int error) except -1:
        if stream.inbox is None:
            return self.cut_body(request, thread, refusal(error))
        if stream.fault is None:
            stream.fault = refusal(error)       # who fetches it finds out
        return self._wake(stream)

    cdef int _credit(self, Stream stream, Request request) except -1:
        """For what the application has taken, or will be given from where it was stored."""
        cdef long long size = stream.received - stream.credited - request.untaken()
        return self.session.credit(stream, size) if size > 0 else 0

    def _cannot_store(self, Stream stream, Request request, error):
        self.worker.logger.error("Cannot store the body of a request: %s", error or "out of memory")
        self._detach(request)
        request.let_go(None)
        self._error_response(stream, 503)

    cdef int _refuse(self, Stream stream, object error) except -1:
        """Answer a request that breaks the protocol or a limit. Its stream ends, the connection goes on."""
        self.worker.log_refusal(self.peer.host, error)
        self._error_response(stream, error.status, getattr(error, "fields", b""))
        return 0

    cdef bint _answer_probe(self, Stream stream, RequestHead head) except -1:
        cdef WorkerContext worker = self.worker
        cdef bytes text = probe_of(worker, head)
        if text is None:
            return False
        status, fields = probe_status(worker, text, self.runner.octets)
        self._whole_response(stream, status, fields, text)
        return True

    cdef bint _answer_file(self, ThreadContext thread, Stream stream, Request request, RequestHead head) except -1:
        """Answer here, if it is for a file. False: it is the application's to answer. To look for it may give the GIL away."""
        cdef WorkerContext worker = self.worker
        cdef StaticFiles files = worker.static_files
        cdef Runner runner = self.runner
        cdef Answer answer
        worker.refresh_date()
        request.started_ns = thread.now
        answer = files.answer(head, worker.defaults.second)
        if answer is None:
            return False
        if request.gone or stream.closed or stream.dropped:
            request.note_status(CLIENT_GONE)
        else:
            request.note_status(answer.status)
            self._give(stream, request, answer)
        thread.now = monotonic()
        self._detach(request)
        runner.passes_over(request, thread)
        request.let_go(thread)
        if worker.is_leaving() and self.farewell == STAYS:
            self._announce_end(thread.now + SECOND)
        return True

    cdef int _give(self, Stream stream, Request request, Answer answer) except -1:
        cdef WorkerContext worker = self.worker
        cdef RequestIds ids = worker.ids
        cdef FieldList list_of = _take_list()
        cdef object fields = answer.fields
        cdef bint has_body
        if worker.echoes_ids:
            fields = ids.added_to(fields, request.request_id, True)
        stream.reply.length = answer.length
        stream.reply.octets = True      # whatever the application speaks
        list_head(list_of, worker.defaults, answer.status, fields, &stream.reply)
        has_body = not stream.reply.bodyless and answer.length > 0
        self.session.respond(stream, list_of, has_body)
        _put_list(list_of)
        if not has_body:
            return 0
        request.body_sent = answer.length
        for piece in pieces_of(answer, True):
            if type(piece) is bytes:
                self.session.add_piece(stream, <bytes>piece)
            else:
                self.session.add_file(stream, piece)
        return self.session.finish(stream, None)

    # ---- sending: from responses to bytes ------------------------------------------------------------

    cdef int _send(self, ThreadContext thread, bint may_wait) except -1:
        """There is something to be sent. may_wait: for others, with which it then leaves."""
        cdef Channel channel = self.channel
        cdef Runner runner = self.runner
        if self.pumping or channel.closed or channel.gone or channel.owned:
            return 0            # whoever sends, or owns it, will look again
        if not self.session.wants_write():
            return 0
        if may_wait and runner.holds(channel, thread, self.queued > 0):
            return 0
        channel.release()
        return self._pump()

    cdef int _pump(self) except -1:
        """Send, until nothing is left or the client is behind. One at a time does: who comes meanwhile leaves it to that one."""
        cdef Channel channel = self.channel
        cdef Session session = self.session
        cdef Outgoing out
        cdef Py_ssize_t sent = 0
        if self.pumping or not session.wants_write():
            return 0
        out = take_outgoing(SEND_STEP)
        session.out = out
        self.pumping = True
        self.more = False
        try:
            while not channel.closed and not channel.gone:
                if channel.queue is not None and channel.queue.pending >= MOST_QUEUED:
                    break
                session.collect()
                if out.total == 0:
                    if self._feed_files():
                        continue
                    break
                sent += out.total
                self._send_out()
                if sent > SEND_RUN:
                    self.more = True
                    break
        finally:
            session.out = None
            put_outgoing(out)
            self.pumping = False
        if self.more and not channel.owned:
            channel.watch()         # the poller tells when it is its turn again
        if session.ended is not None or session.eased is not None:
            self._tell(None)
        return 0

    cdef int _send_out(self) except -1:
        """What was collected. While the system takes it, nobody changes it."""
        cdef Channel channel = self.channel
        cdef Outgoing out = self.session.out
        cdef iovec parts[64]
        cdef int i
        for i in range(out.count):
            if out.parts[i].whole != NULL:
                parts[i] = iovec(<void*>out.parts[i].data, out.parts[i].size)
            else:
                parts[i] = iovec(out.text.data + out.parts[i].start, out.parts[i].size)
        channel.send_parts(parts, out.count, out.total)
        out.clear()
        return 0

    cdef bint _feed_files(self) except -1:
        """Whether some of a file was read for a stream whose turn it is."""
        cdef Session session = self.session
        cdef Stream stream = session.take_hungry()
        cdef bint fed = False
        while stream is not None:
            self._feed(stream)
            fed = True
            stream = session.take_hungry()
        return fed

    cdef int _feed(self, Stream stream) except -1:
        cdef FileSpan span
        cdef bytes piece
        cdef Py_ssize_t size
        cdef ssize_t n
        if stream.closed or not stream.files or not stream.pieces:
            stream.hungry = False
            return 0
        span = <FileSpan>stream.pieces[0]
        size = <Py_ssize_t>min(span.left, <long long>FILE_STEP)
        piece = PyBytes_FromStringAndSize(NULL, size)
        n = _read_span(span, PyBytes_AS_STRING(piece), size)
        stream.hungry = False
        if stream.closed or stream.dropped:
            return 0
        if n <= 0:
            # It is shorter than it was, or another: nothing can mend the length.
            return self.session.reset(stream, INTERNAL_ERROR)
        span.offset += n
        span.left -= n
        if n < size:
            piece = piece[:n]
        return self.session.feed(stream, piece, span.left == 0)

    cdef int _tell(self, ThreadContext thread) except -1:
        """Requests hear of what has become of their streams."""
        cdef Session session = self.session
        cdef Stream stream = session.take_ended()
        # All of them are out by now, whatever applications do that go on.
        cdef long long now = monotonic() if stream is not None and self.worker.counts else 0
        while stream is not None:
            self._tell_ended(stream, thread, now)
            stream = session.take_ended()
        stream = session.take_eased()
        while stream is not None:
            self._tell_eased(stream, thread)
            stream = session.take_eased()
        return self._note_idle()

    cdef int _tell_ended(self, Stream stream, ThreadContext thread, long long now) except -1:
        cdef Request request = <Request>stream.owner
        cdef bint complete = _is_complete(stream)
        self._wake(stream)
        if stream.came_ns:
            self._count_sent(stream, not complete, now)
        if not stream.began and stream.error == PROTOCOL_ERROR:
            self.worker.log_refusal(self.peer.host, refusal(MALFORMED))
        if request is None:
            return 0
        # Its client has it all. The application may not have come to its end yet: it waited for the client, too.
        return self._tell_eased(stream, thread) if complete else self._lose_request(stream, request)

    cdef int _tell_eased(self, Stream stream, ThreadContext thread) except -1:
        cdef Request request = <Request>stream.owner
        if not stream.watched:
            return 0
        stream.watched = False
        if request is None or request.gone:
            return 0
        self._wake(stream)
        request.touch()
        return request.on_flushed(thread)

    cdef void _count_sent(self, Stream stream, bint is_cut, long long now) noexcept:
        cdef Trace trace = <Trace>stream.trace
        cdef WorkerContext worker = self.worker
        if trace is not None:
            stream.trace = None
        count_sent(worker, stream.group, stream.came_ns, stream.ended_ns, now, trace, is_cut)
        stream.came_ns = 0

    cdef void _count_ended(self) noexcept:
        """Those that nobody will be told of any more."""
        cdef Stream stream = self.session.ended
        while stream is not None:
            if stream.came_ns:
                self._count_sent(stream, not _is_complete(stream), monotonic())
            stream = stream.next_ended

    cdef int _wake(self, Stream stream) noexcept:
        """A thread that waits for the stream."""
        cdef unsigned long long one = 1
        return <int>write(stream.waker, &one, sizeof(one)) if stream.waker >= 0 else 0

    # ---- the ends ------------------------------------------------------------------------------------

    cdef int _detach(self, Request request) except -1:
        """The request leaves its stream."""
        cdef Stream stream = <Stream>request.carried
        if stream is None:
            return 0
        request.carried = None
        stream.owner = None
        self.running -= 1
        self.cuts -= stream.was_cut
        if stream.got_all or stream.dropped or stream.received == stream.credited:
            return 0
        return self._discard(stream, stream.received - stream.credited)     # what it has not taken

    cdef int _lose_request(self, Stream stream, Request request) except -1:
        """Its client does not wait for it any more."""
        if request.gone:
            return 0
        request.gone = True
        self._wake(stream)
        if stream.collects or request in self.ready:
            self._detach(request)
            return request.let_go(None)
        return request.on_lost()

    cdef int _lose_all(self) except -1:
        cdef Stream stream = self.session.first
        cdef list left = []
        while stream is not None:
            if stream.owner is not None:
                left.append(stream)
            stream = stream.next
        for stream in left:
            if stream.owner is not None:
                stream.dropped = True
                self._lose_request(stream, <Request>stream.owner)
        return 0

    cdef int on_queued(self) except -1:
        cdef Channel channel = self.channel
        return 0 if channel.owned or channel.corked else channel.watch()

    cdef int on_flushed(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        if not channel.has_queued() and not self.idles:
            channel.deadline = 0
            self._note_idle()
        return self._pump()

    cdef int on_lost(self) except -1:
        cdef Channel channel = self.channel
        if self.lost:
            return 0
        self.lost = True
        channel.deadline = 0
        self._lose_all()
        if channel.owned or channel.closed:
            return 0            # its owner ends it, if nothing runs any more
        return channel.arm(0) if self.running else channel.abort()

    cdef int on_closed(self) except -1:
        cdef Stream stream = self.session.first
        cdef Request request
        cdef list left = []
        self.lost = True
        self.unread = None
        self._tell_blame()
        if self.worker.counts:
            self._count_ended()
        while stream is not None:
            if stream.came_ns:
                self._count_sent(stream, True, monotonic())
            if stream.owner is not None:
                left.append(stream.owner)
            stream = stream.next
        for request in left:
            request.gone = True
            self._detach(request)
            request.let_go(None)
        self.ready = []
        return 0

    cdef int _maybe_end(self, ThreadContext thread) except -1:
        """Whether the connection is over, and is ended here. Nobody owns it."""
        cdef Channel channel = self.channel
        cdef Protocol end
        if channel.closed:
            return True
        if self.lost or channel.gone:
            if self.running == 0:
                channel.abort()
            else:
                channel.arm(0)
            return True
        if self.pumping or channel.corked:
            return False        # what is left of it is still on its way
        if not self.session.is_over() and (self.farewell != SAID or self._is_busy() or self.session.wants_write()):
            return False
        self.lost = True
        self._tell_blame()
        self._lose_all()
        thread.now = monotonic()
        channel.linger(thread, LINGER_SIZE)
        end = channel.protocol
        if not channel.closed and end is not self:
            end.settle(thread)
        return True

    cdef int _note_idle(self) except -1:
        """Between two requests it has the time of an idle connection."""
        cdef Channel channel = self.channel
        if self._is_busy() or not self.has_served or channel.deadline != 0 or channel.closed or channel.has_queued():
            return 0
        self.idles = True
        channel.deadline = monotonic() + self.worker.keepalive
        return 0

    cdef int _end_idling(self) except -1:
        """A request has come: the time for that is over, that for the client to take what is queued is not."""
        cdef Channel channel = self.channel
        if self.idles or not channel.has_queued():
            channel.deadline = 0
        self.idles = False
        if channel.has_queued():
            channel.take_time_to_write()
        return 0

    cdef int begin_drain(self, long long soon, int code) except -1:
        cdef Stream stream = self.session.first
        cdef Request request
        cdef list running = []
        while stream is not None:
            if stream.owner is not None:
                running.append(stream.owner)
            stream = stream.next
        for request in running:
            request.go_away(code)
        return self._announce_end(soon)

    cdef int _announce_end(self, long long soon) except -1:
        """RFC 9113 §6.8: first that no new streams are welcome; when all that were on their way must have come, which was the last."""
        if self.farewell != STAYS or self.lost:
            return 0
        self.farewell = ANNOUNCED
        self.farewell_at = soon
        self.session.say_leaving()
        self.session.ping()
        return 0 if self.channel.owned else self._pump()

    cdef int _say_last(self) except -1:
        self.farewell = SAID
        self.farewell_at = 0
        return self.session.say_last(NO_ERROR)

    cdef int _fail(self, unsigned int code, object why) except -1:
        """The client cannot be served any more. why: what it did, for the log."""
        self._blame(why)
        return self.session.say_last(code)

    cdef int _tell_blame(self) except -1:
        """The connection is over: perhaps the library has ended it by itself."""
        if self.session.blamed and not self.is_blamed:
            self._blame(f"what it sent is against HTTP/2 ({self.session.blame()})")
        return 0

    cdef int _blame(self, object why) except -1:
        self.is_blamed = True
        note_error(self.worker.figures, HTTP2_FAILED)
        self.worker.log_refusal(self.peer.host, f"the HTTP/2 connection is closed: {why}")
        return 0

    cdef int _give_up(self) except -1:
        """Nor can the library speak to it."""
        cdef Channel channel = self.channel
        cdef bytes word = self.session.last_word(self.session.fault)
        self._blame("what it sends is not understood, or too much")
        return channel.send(None, word, NULL, 0)

    cdef bint overdue(self, long long now) noexcept:
        cdef Channel channel = self.channel
        cdef Stream stream
        cdef Request request
        if channel.owned:
            return False
        if channel.deadline != 0 and channel.deadline <= now:
            return True
        if (self.head_deadline != 0 and self.head_deadline <= now) or (self.farewell_at != 0 and self.farewell_at <= now):
            return True
        if self.running and self.channel.table.write_timeout and now >= (self.ping_deadline or self._quiet_at()):
            return True
        stream = self.session.first
        while stream is not None:
            request = <Request>stream.owner
            if self._is_stalled(stream, now) or (request is not None and not request.gone and request.overdue(now)):
                return True
            stream = stream.next
        return False

    def postpone(self, long long late):
        cdef Stream stream = self.session.first
        cdef Request request
        Protocol.postpone(self, late)
        if self.head_deadline:
            self.head_deadline += late
        while stream is not None:
            request = <Request>stream.owner
            if stream.moved_at:
                stream.moved_at += late
            if request is not None:
                request.postpone(late)
            stream = stream.next

    cdef bint _is_stalled(self, Stream stream, long long now) noexcept:
        """Whether its client has not opened its window for as long as one may take to read, or does not end a body that nobody
        wants any more. Asked in each sweep."""
        cdef bint is_read = stream.owner is None and stream.finished and not stream.has_unsent() and not stream.got_all
        cdef long long most = self.worker.body_timeout if is_read else self.channel.table.write_timeout
        cdef long long moved = stream.received if is_read else stream.sent
        if most == 0 or stream.dropped or not (is_read or stream.has_unsent()) or self.channel.has_queued():
            stream.moved_at = 0
            return False
        if stream.moved_at == 0 or moved != stream.seen:
            stream.seen = moved
            stream.moved_at = now
        return now - stream.moved_at > most

    cdef int expire(self, ThreadContext thread) except -1:
        """What has come by now counts, although a busy worker has not come to it."""
        cdef Channel channel = self.channel
        cdef long long now
        cdef Stream stream
        cdef Request request
        cdef list late
        if not self.lost and self.has_come():
            self._attend(thread)
        now = thread.now = monotonic()
        if channel.closed or channel.owned or channel.protocol is not self or self.lost or not self.overdue(now):
            return 0
        late = self._late_streams(now)
        channel.owned = True
        if channel.deadline != 0 and channel.deadline <= now:
            if channel.has_queued():
                note_error(self.worker.figures, WRITE_TIMEOUT)
                channel.lose()                  # it reads nothing
                return self._give_free(thread)
            if self.session.heading is None:
                self._say_last()                # it has nothing to ask
        if self.running and channel.table.write_timeout:
            self._ask_for_sign(now)
        if self.head_deadline != 0 and self.head_deadline <= now:
            self.head_deadline = 0
            self._fail(PROTOCOL_ERROR, refusal(SLOW_HEAD))
        if self.farewell_at != 0 and self.farewell_at <= now:
            self._say_last()
        for stream in late:
            request = <Request>stream.owner
            if self._is_stalled(stream, now):
                note_error(self.worker.figures, WRITE_TIMEOUT if stream.has_unsent() else CLIENT_TIMEOUT)
                self.session.reset(stream, CANCEL if stream.has_unsent() else NO_ERROR)
                if request is not None:
                    self._lose_request(stream, request)
            elif request is not None and not request.gone and self._is_overdue(request, now):
                request.expire(thread, now)
        return self._give_free(thread)

    cdef long long _quiet_at(self) noexcept:
        return self.heard_at + min(QUIET, 10 * self.channel.table.write_timeout)

    cdef bint _is_behind(self) noexcept:
        """Whether something is on its way to the client, which it would come to before our question. Whoever takes nothing of that is
        found out by other limits: those of the stream and of the channel, and the system's for what waits there."""
        cdef Channel channel = self.channel
        cdef Stream stream = self.session.first
        cdef int waiting = 0
        if channel.has_queued() or (ioctl(channel.fd, TIOCOUTQ, &waiting) == 0 and waiting > 0):
            return True
        while stream is not None:
            if stream.has_unsent():
                return True
            stream = stream.next
        return False

    cdef int _ask_for_sign(self, long long now) except -1:
        """A client that waits for its responses says nothing, and one that is gone without a word does not either. The former answers a ping."""
        cdef Channel channel = self.channel
        if self.ping_deadline != 0 and self.ping_deadline <= now:
            self.ping_deadline = 0
            return channel.lose()
        if self.ping_deadline == 0 and self._quiet_at() <= now and not self._is_behind():
            self.ping_deadline = now + channel.table.write_timeout
            return self.session.ping()
        return 0

    cdef bint _is_overdue(self, Request request, long long now) noexcept:
        """It thinks that somebody is at it while the channel is owned."""
        cdef bint was_owned = self.channel.owned
        cdef bint found
        self.channel.owned = False
        found = request.overdue(now)
        self.channel.owned = was_owned
        return found

    cdef list _late_streams(self, long long now):
        cdef Stream stream = self.session.first
        cdef Request request
        cdef list late = []
        while stream is not None:
            request = <Request>stream.owner
            if self._is_stalled(stream, now) or (request is not None and not request.gone and request.overdue(now)):
                late.append(stream)
            stream = stream.next
        return late

    cdef str cut_stream(self, ThreadContext thread, bint events_only):
        """One of them. Where bytes wait for the client it is the client that is slow."""
        cdef Channel channel = self.channel
        cdef Stream stream = self.session.first
        cdef list streams = []
        cdef Request request
        while stream is not None:
            streams.append(stream)
            stream = stream.next
        for stream in streams:
            request = <Request>stream.owner
            if request is None or request.gone or not stream.head_sent or stream.dropped or stream.has_unsent() or channel.has_queued():
                continue
            headers = request.produces()
            if headers is None or (events_only and not is_event_stream(headers)):
                continue
            if request.carried is not stream or request.gone:
                continue
            label = f"{request.method} {request.uri}"
            thread.now = monotonic()
            request.cut(thread)
            self._send(thread, False)
            if not channel.owned:
                self._maybe_end(thread)
            return label
        return None

    # ---- what a request asks: its response -----------------------------------------------------------

    cdef Stream _stream_of(self, Request request):
        """One that leads nowhere, where it has left its own."""
        return <Stream>request.carried if request.carried is not None else NOWHERE

    cdef int respond(self, Request request, str status, object headers, bytes piece, long long length) except -1:
        cdef ThreadContext thread = request.writing_thread()
        cdef Stream stream = self._stream_of(request)
        cdef WorkerContext worker = self.worker
        cdef FieldList fields = _take_list()
        cdef bint has_body
        worker.refresh_date()
        stream.reply.length = length
        stream.reply.octets = self.runner.octets
        list_head(fields, worker.defaults, status, self._with_id(request, headers) if worker.echoes_ids else headers, &stream.reply)
        if stream.reply.length < 0:
            request.touch()
        has_body = not stream.reply.bodyless and (stream.reply.length != 0 or request.has_trailers())
        self.session.respond(stream, fields, has_body)
        _put_list(fields)
        if has_body and piece:
            self._add(request, stream, piece)
        elif piece and not stream.reply.bodyless:
            request.log_length("more")
        if worker.is_leaving() and self.farewell == STAYS:
            self._announce_end(monotonic() + SECOND)
        return self._send(thread, self._may_wait(stream))

    cdef bint _may_wait(self, Stream stream) noexcept:
        """Before an application is told to wait for its client, the socket is asked."""
        return (stream.finished or self.runner.octets) and stream.held <= self.worker.response_buffer

    cdef int _add(self, Request request, Stream stream, bytes piece) except -1:
        """A piece of the body, or as much of it as was declared."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
        if 0 <= stream.body_left < size:
            request.log_length("more")
            size = <Py_ssize_t>stream.body_left
            piece = piece[:size]
        request.body_sent += size
        self.session.add_piece(stream, piece)
        if stream.body_left >= 0:
            stream.body_left -= size
            if stream.body_left == 0 and not request.has_trailers():
                self.session.finish(stream, None)
        return 0

    cdef int send_piece(self, Request request, bytes piece) except -1:
        cdef ThreadContext thread = request.writing_thread()
        cdef Stream stream = self._stream_of(request)
        request.touch()
        if stream.reply.bodyless:
            return 0
        self._add(request, stream, piece)
        return self._send(thread, self._may_wait(stream))

    cdef int send_span(self, Request request, FileSpan span) except -1:
        cdef ThreadContext thread = request.writing_thread()
        cdef Stream stream = self._stream_of(request)
        if stream.reply.bodyless:
            return 0
        if 0 <= stream.body_left < span.left:
            request.log_length("more")
            span.left = stream.body_left
        if span.left == 0:
            return 0
        request.body_sent += span.left
        if stream.body_left >= 0:
            stream.body_left -= span.left
        self.session.add_file(stream, span)
        if stream.body_left == 0 and not request.has_trailers():
            self.session.finish(stream, None)
        return self._send(thread, False)

    cdef int finish(self, Request request, list trailers) except -1:
        cdef ThreadContext thread
        cdef Stream stream = self._stream_of(request)
        cdef FieldList fields = None
        if stream.reply.bodyless or stream.finished:
            return 0
        thread = request.writing_thread()
        if stream.body_left > 0 and not request.gone:
            request.log_length("fewer")
            self.session.cut_off(stream, INTERNAL_ERROR)    # it must not look complete
            return self._send(thread, True)
        if trailers:
            fields = FieldList.__new__(FieldList)
            list_trailers(fields, trailers, True)
        self.session.finish(stream, fields)
        return self._send(thread, True)

    cdef int hint(self, Request request, object headers) except -1:
        cdef ThreadContext thread = request.writing_thread()
        cdef Stream stream = self._stream_of(request)
        cdef FieldList fields = _take_list()
        list_interim(fields, b"103", headers, self.runner.octets)
        self.session.interim(stream, fields)
        _put_list(fields)
        return self._send(thread, False)

    cdef bint wants_no_body(self, Request request) noexcept:
        cdef Stream stream = self._stream_of(request)
        return stream.reply.bodyless

    cdef bint is_congested(self, Request request, Py_ssize_t most) noexcept:
        cdef Stream stream = self._stream_of(request)
        if request.gone or stream.closed or not (stream.held > most or stream.files):
            return False
        stream.watched = True
        return True

    cdef bint is_unanswered(self, Request request) noexcept:
        cdef Stream stream = self._stream_of(request)
        return not stream.head_sent

    cdef bint answer(self, Request request, int status) except -1:
        cdef ThreadContext thread = request.writing_thread()
        cdef Stream stream = self._stream_of(request)
        cdef RequestIds ids = self.worker.ids
        if stream.head_sent or request.torn:
            self.session.cut_off(stream, INTERNAL_ERROR)
            self._send(thread, True)
            return False
        if request.gone:
            return True
        request.body_sent = self._error_response(stream, status, ids.line(request.request_id) if self.worker.echoes_ids else b"")
        self._send(thread, True)
        return True

    cdef int _error_response(self, Stream stream, int status, bytes fields=b"") except -1:
        """A response of our own. It says nothing but its status. Returns how many bytes of body the client gets."""
        cdef FieldList list_of = _take_list()
        cdef bytes body = f"{status} {HTTPStatus(status).phrase}\n".encode("ascii")
        self.worker.refresh_date()
        stream.reply.length = PyBytes_GET_SIZE(body)
        stream.reply.bodyless = stream.reply.is_head
        list_error(list_of, self.worker.defaults, status, PyBytes_GET_SIZE(body), fields)
        return self._say_whole(stream, list_of, body)

    cdef int _whole_response(self, Stream stream, str status, object fields, bytes body) except -1:
        """Another one, the same for every client. Returns how many bytes of body the client gets."""
        cdef FieldList list_of = _take_list()
        self.worker.refresh_date()
        stream.reply.length = PyBytes_GET_SIZE(body)
        stream.reply.octets = self.runner.octets
        list_head(list_of, self.worker.defaults, status, fields, &stream.reply)
        return self._say_whole(stream, list_of, body)

    cdef int _say_whole(self, Stream stream, FieldList list_of, bytes body) except -1:
        """What is listed, and all of the body, which the head may say is left out. The list is given back."""
        self.session.respond(stream, list_of, not stream.reply.bodyless)
        _put_list(list_of)
        if stream.reply.bodyless:
            return 0
        self.session.add_piece(stream, body)
        self.session.finish(stream, None)
        return <int>PyBytes_GET_SIZE(body)

    cdef object _with_id(self, Request request, object headers):
        cdef RequestIds ids = self.worker.ids
        return ids.added_to(headers, request.request_id, self.runner.octets)

    cdef int decline(self, Request request, ThreadContext thread) except -1:
        cdef Admission admission = request.compartment.admission
        cdef Stream stream = self._stream_of(request)
        cdef Runner runner = self.runner
        cdef object fields = admission.octet_fields if self.runner.octets else admission.fields
        if self.worker.echoes_ids:
            fields = self._with_id(request, fields)
        request.body_sent = self._whole_response(stream, admission.status, fields, admission.body)
        self._detach(request)
        runner.passes_over(request, thread)
        request.let_go(thread)
        return self._send(thread, True)

    cdef int version_of(self, Request request) noexcept:
        return 20

    # ---- what a request asks: its body ---------------------------------------------------------------

    cdef bint body_is_open(self, Request request) noexcept:
        cdef Stream stream = self._stream_of(request)
        return not (stream.got_all if stream.inbox is None else stream.end_fetched)

    cdef long long body_received(self, Request request) noexcept:
        cdef Stream stream = self._stream_of(request)
        return stream.received

    cdef int ask_for_body(self, Request request) except -1:
        cdef Stream stream = self._stream_of(request)
        cdef FieldList fields
        if not stream.owes_continue or stream.head_sent:
            return 0
        stream.owes_continue = False
        fields = _take_list()
        list_interim(fields, b"100", (), self.runner.octets)
        self.session.interim(stream, fields)
        _put_list(fields)
        return 0 if self.channel.owned else self._pump()

    cdef bint owes_continue(self, Request request) noexcept:
        cdef Stream stream = self._stream_of(request)
        return stream.owes_continue

    cdef int took_some(self, Request request) except -1:
        cdef Stream stream = self._stream_of(request)
        if stream.got_all:
            return 0
        self._credit(stream, request)
        return 0 if self.channel.owned else self._pump()

    cdef bytes pull_body(self, Request request, Py_ssize_t size):
        cdef Stream stream = self._stream_of(request)
        cdef bytes piece
        if stream.fault is not None:
            raise stream.fault
        if stream.inbox is None:
            return b""
        if not stream.inbox:
            # Until this is said the body is open: its end may come while somebody is on his way to wait for it.
            stream.end_fetched = stream.got_all
            return b"" if stream.got_all else None
        piece = <bytes>stream.inbox[0]
        if PyBytes_GET_SIZE(piece) > size:
            stream.inbox[0] = piece[size:]
            piece = piece[:size]
        else:
            del stream.inbox[0]
        self.session.credit(stream, PyBytes_GET_SIZE(piece))
        if not stream.got_all and not self.channel.owned:
            self._pump()
        return piece

    cdef ssize_t fetch(self, Request request) except? -3:
        cdef Stream stream = self._stream_of(request)
        if not stream.inbox and not stream.got_all and stream.fault is None and not self.channel.owned and not self.lost:
            self._read_aside()
        elif not self.lost:
            self._watch_again()
        if stream.inbox or stream.got_all or stream.fault is not None:
            return 1
        return 0 if self.lost or request.gone or stream.closed else WIRE_AGAIN

    cdef int _read_aside(self) except -1:
        """In a thread that is inside of an application."""
        cdef ThreadContext aside = <ThreadContext>spare_contexts.pop() if spare_contexts else ThreadContext()
        if not self.channel.closed:
            self._attend(aside)
        if len(spare_contexts) < SPARES:
            spare_contexts.append(aside)
        return 0

    cdef int await_body(self, Request request, int timeout_ms) except -1:
        return self._await(self._stream_of(request), timeout_ms)

    cdef int await_room(self, Request request, ThreadContext thread, int timeout_ms) except -1:
        cdef Channel channel = self.channel
        cdef Stream stream = self._stream_of(request)
        cdef long long before = stream.sent
        self._await(stream, timeout_ms)
        if self.lost or channel.closed:
            return 0
        if not channel.owned and (channel.has_queued() or self.has_come()):
            self._read_aside()
        else:
            self._watch_again()
        if stream.sent != before:
            request.touch()
        return 0

    cdef int _await(self, Stream stream, int timeout_ms) except -1:
        """Have this thread wait until its stream, or the channel, has something for it. Others may read the channel, and then tell."""
        cdef Channel channel = self.channel
        cdef Runner runner = self.runner
        cdef bint reads = not (runner.reads_apart or channel.owned or channel.fd < 0)
        cdef bint has_come = False
        cdef int waker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if channel.owned or channel.fd < 0 or waker < 0:
            timeout_ms = min(timeout_ms, <int>PATIENCE_MS)
        stream.waker = waker
        if reads:
            # It reads for all streams when something comes; whoever else heard of that would only be in its way.
            self.readers += 1
            channel.watch()
        try:
            has_come = runner.await_either(waker, channel if reads else None, timeout_ms)
        finally:
            stream.waker = -1
            if waker >= 0:
                close(waker)
            self.readers -= reads
            if reads and not has_come:      # else who has waited reads it
                self._watch_again()
        return 0

    cdef int _watch_again(self) except -1:
        """Who had waited in the poller's place does not read, since it has no need to any more."""
        return 0 if self.channel.owned else self.channel.watch()

    cdef int cut_body(self, Request request, ThreadContext thread, object error) except -1:
        cdef Stream stream = self._stream_of(request)
        if stream.collects:
            self._detach(request)
            request.let_go(thread)
            self._refuse(stream, error)
            return self._send(thread, True)
        if not request.on_cut(thread, error):
            self.session.reset(stream, CANCEL)
            return self._send(thread, True)
        self._detach(request)
        request.let_go(thread)
        self._error_response(stream, error.status)
        return self._send(thread, True)

    # ---- what a request asks: its turn ---------------------------------------------------------------

    cdef int peer_of(self, Request request) noexcept:
        """The session tells when a client leaves."""
        return PEER_LEFT if request.gone else PEER_STAYS

    cdef int part_with(self, Request request) except -1:
        cdef Stream stream = self._stream_of(request)
        self.session.reset(stream, CANCEL)
        self._detach(request)
        request.let_go(None)
        return 0 if self.channel.owned or self.lost else self._pump()

    cdef int break_off(self, Request request) except -1:
        cdef Stream stream = self._stream_of(request)
        if stream is NOWHERE:
            return 0
        self.session.reset(stream, INTERNAL_ERROR)
        stream.was_cut = True
        self.cuts += 1
        self._lose_request(stream, request)
        return 0 if self.channel.owned or self.lost else self._pump()

    cdef bint take_up(self, Request request) except -1:
        if self.queued:
            self.queued -= 1
        return request.carried is not None

    cdef int queue_up(self, Request request) except -1:
        cdef Runner runner = self.runner
        self.queued += 1
        return runner.queue_up(request)

    cdef int request_over(self, Request request, ThreadContext thread) except -1:
        cdef Stream stream = self._stream_of(request)
        cdef Runner runner = self.runner
        cdef Channel channel = self.channel
        if stream is NOWHERE:
            return 0
        self._detach(request)
        if request.torn or not (stream.finished and stream.head_sent):
            self.session.cut_off(stream, INTERNAL_ERROR)
        runner.ends(request, thread)
        if request.came_ns:
            stream.came_ns = request.came_ns
            stream.ended_ns = thread.now
            stream.group = request.group
            stream.trace = request.trace
            request.trace = None
            if stream.closed:
                self._count_sent(stream, not _is_complete(stream), thread.now)
        request.let_go(thread)
        self._note_idle()
        self._send(thread, True)
        return 0 if channel.closed or channel.owned else self._maybe_end(thread)
