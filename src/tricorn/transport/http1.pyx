"""HTTP/1.x on a channel: its bytes become requests, what these send becomes its bytes.

The plan. What may follow what is decided by the machine (http/machine.pyx); here it meets the descriptor and the time. One request is
read or answered at a time. While the application has it, the channel stays watched: what else its client sends, or that it goes, is
seen by the request. Application code may be called from here (a request starts, a task is woken) and calls back, also when
nothing has happened on the channel. So while somebody deals with the channel it is `owned`, and a response that ends
meanwhile is only noted (`is_over`) and dealt with by the owner; otherwise it is dealt with on the spot.

Guarantees: requests are answered in order, one at a time; a client that trickles, stalls or does not read is ended by the sweep.

Knows: the machine, channels, requests as such, how a body is framed; what is answered without an application (refusals, probes,
files, a full queue); the preface with which HTTP/2 takes the channel over; that the client may be a gateway, whose packet is a request as any
other. Must not know: the fields of a head, application interfaces, what applications run on.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from tricorn.gateway.request_builder cimport Peer
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport CUT_BODY, CUT_PACKET, DONE, MORE, REFUSED, SLOW_HEAD, BodyDecoder, refusal
from tricorn.http.machine cimport (
    AFTER_ABORT, AFTER_CLOSE, AFTER_END, AFTER_LINGER, AFTER_NEXT, BODY, HEAD, IDLE, OVER, SKIP, ServerMachine,
)
from tricorn.http.packet cimport is_no_packet, parse_packet
from tricorn.http.request cimport BODY_CHUNKED, BODY_LENGTH, NO_BODY, RequestHead, Span
from tricorn.http.response cimport write_chunk_size, write_interim, write_trailers
from tricorn.metrics.figures cimport WRITE_TIMEOUT, note_error
from tricorn.scoreboard cimport monotonic
from tricorn.static.files cimport Answer, StaticFiles
from tricorn.transport.admission cimport Admission
from tricorn.transport.channel cimport AS_IT_IS, Channel, Protocol
from tricorn.transport.thread_context cimport THREAD_BUFFER, ThreadContext
from tricorn.transport.poller cimport READ, WRITE
from tricorn.transport.request cimport (
    COLLECTED, PULLED, Delivery, ProtocolMaker, Request, RequestProtocol, Runner, count_sent, pieces_of, probe_of, probe_status,
)
from tricorn.tracing.trace cimport Trace
from tricorn.transport.request_ids cimport RequestIds
from tricorn.transport.send_queue cimport FLOW_BLOCKED, FLOW_LOST, FileSpan, SendQueue
from tricorn.transport.system cimport tricorn_pending_error
from tricorn.transport.wire cimport WIRE_AGAIN, wire_cut, wire_end, wire_has_input, wire_make_abrupt
from tricorn.transport.worker_context cimport WorkerContext

from tricorn.http.errors import ProtocolError
from tricorn.transport.request import BODY_COMES, CLIENT_READS, HEAD_COMES, RESPONDS, RUNS
from tricorn.transport.streams import is_event_stream

cdef enum:
    # Pieces up to this are copied behind the head, so that one send() takes both; beyond it two places in memory
    # are handed to sendmsg(), which costs a little more and copies nothing.
    INLINE = 2048
    # Bytes of one body in a row, before others get their turn.
    BODY_RUN = 1048576
    # Requests of one connection in a row, before others get their turn.
    PIPELINE_RUN = 16
    # Reads of what a layer has decrypted in a row.
    READ_RUN = 16

cdef long long SECOND = 1000000000

cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
cdef bytes LAST_CHUNK = b"0\r\n\r\n"
cdef bytes PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# As in gateway/wsgi.pyx: what may fail is called unchecked, and `try` stands where its error is dealt with.
ctypedef int (*Unchecked)(HTTP1, RequestHead) noexcept


cdef int _translate(HTTP1 self, RequestHead head) except -1:
    cdef Runner runner = self.runner
    self.request = runner.new_request(self, head)
    return 0


cdef HTTP1 new_http1(Channel channel, Runner runner, object builder, Peer peer):
    """builder: the RequestBuilder for requests of this channel."""
    cdef HTTP1 self = HTTP1.__new__(HTTP1)
    cdef ServerMachine machine = ServerMachine.__new__(ServerMachine)
    machine.limits = runner.worker.limits
    machine.offers_more = runner.worker.keepalive > 0
    machine.reply.octets = runner.octets
    self.channel = channel
    self.machine = machine
    self.runner = runner
    self.worker = runner.worker
    self.builder = builder
    self.peer = peer
    return self


cdef int expect_packet(HTTP1 self) except -1:
    self.is_gateway = True
    self.machine.parse = parse_packet
    return 0


@cython.final
@cython.no_gc
cdef class HTTP1(RequestProtocol):
    # ---- what the server calls -----------------------------------------------------------------------

    cdef int on_event(self, ThreadContext thread) except -1:
        if self.channel.owned:
            return self._help(thread)
        self.channel.owned = True
        self.runner.enter(self.channel, thread)
        self._handle_event(thread)
        return self.settle(thread)

    cdef int _handle_event(self, ThreadContext thread) except -1:
        cdef Request request
        # Also where another thread has sent the last of it: nobody else says so.
        if self.channel.has_queued() or self.channel.armed & WRITE or self.phase == FLUSHING:
            self.channel.flush(thread)
        if self.gives_way:
            return self.channel.arm(WRITE if self.channel.has_queued() else 0)     # what comes is read later
        if self.phase == SERVING:
            request = self.request
            return request.on_event(thread)
        # With something pending it goes on with that, now that it may.
        return self._read(thread) if self.phase == READING and self.pending is None else 0

    cdef int _help(self, ThreadContext thread) except -1:
        """Somebody else deals with the channel. Send what is queued; anything else waits for the owner."""
        cdef SendQueue queue = self.channel.queue       # the owner may let go of it while we send
        cdef Request request
        cdef bint progress = False
        cdef int flow
        if not self.channel.has_queued() or (queue is not None and queue.sending):
            return self.channel.arm(0)      # who sends, or owns it, will watch it again
        flow = self.channel.flush_queue(&progress)
        if self.channel.closed or queue is not self.channel.queue:
            return 0
        request = self.request
        if flow == FLOW_LOST:
            self._mark_gone()
            if queue is not None:
                queue.clear()
        elif progress:
            self.channel.deadline = 0
            self.channel.take_time_to_write()
            if request is not None:
                request.touch()     # it waits in write(): the client moves, so it lives
        if flow == FLOW_BLOCKED:
            return self.channel.arm(WRITE)
        if self.phase == SERVING and self.channel.owned:
            self.channel.deadline = 0
            return self.channel.arm(0)
        return 0        # its owner has given it free meanwhile, and has it watched: the next event goes on

    cdef int settle(self, ThreadContext thread) except -1:
        cdef Protocol other
        cdef Request request
        cdef object turn
        cdef bytes data
        cdef int reads = 0      # of what a layer has decrypted: others get their turn between them
        while True:
            if self.is_over:
                self._leave(thread, True)
            if self.gives_way:
                break
            if self.phase == SERVING and self.channel.has_buffered() and self._wants_more():
                reads += 1
                if reads > READ_RUN:
                    self._give_way()
                    break
                request = self.request
                request.on_event(thread)
                continue
            if self.phase != READING or (self.pending is None and not self.channel.has_buffered()):
                break
            if reads > READ_RUN or not self.runner.may_call():
                self._give_way()            # or application code is on the stack
                break
            if self.pending is None:
                reads += 1
                self._read(thread)
                continue
            data = self.pending
            self.pending = None
            self._received(thread, <const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        if self.channel.closed:
            return 0
        if self.phase == ENDED and self.channel.protocol is not self:
            other = self.channel.protocol
            return other.settle(thread)
        self.channel.owned = False
        if self.turn is not None:
            turn = self.turn
            self.turn = None
            self.runner.queue_up(turn)
        return self.channel.watch()

    cdef int interest(self) noexcept:
        cdef int interest = READ
        if self.gives_way:
            return AS_IT_IS
        if self.phase == FLUSHING:
            return WRITE            # although another thread may have sent the last of it just now
        if self.phase == SERVING:
            interest = self.request.interest()
            if interest == AS_IT_IS:
                return AS_IT_IS
            if self.machine.state != BODY and self.pending is not None and PyBytes_GET_SIZE(self.pending) >= THREAD_BUFFER:
                interest &= ~READ
        if self.channel.has_queued() and not self.channel.gone and not self.channel.corked:
            interest |= WRITE
        return interest

    cdef bint _wants_more(self) noexcept:
        """Whether the client of a running request is read."""
        cdef int interest = self.interest()
        return interest != AS_IT_IS and interest & READ != 0

    cdef int on_buffered(self) except -1:
        if not self.gives_way:
            self.gives_way = True
            self.runner.queue_up(self)
        return 0

    cdef int proceed(self, ThreadContext thread) except -1:
        """Its turn has come to go on with what is already here."""
        self.gives_way = False
        if self.channel.closed or self.channel.owned or self.phase == ENDED:
            return 0
        self.channel.owned = True
        return self.settle(thread)

    cdef int _give_way(self) except -1:
        if not self.gives_way:
            self.gives_way = True
            self.turn = self
        return 0

    cdef bint overdue(self, long long now) noexcept:
        if self.channel.deadline != 0 and self.channel.deadline <= now:
            return True
        return self.request is not None and self.request.overdue(now)

    def postpone(self, long long late):
        cdef Request request = self.request
        Protocol.postpone(self, late)
        if request is not None:
            request.postpone(late)

    cdef int expire(self, ThreadContext thread) except -1:
        cdef Request request = self.request
        if self.channel.owned:
            if self.phase == SERVING:
                # Its thread finds out at its next send; one that waits in write() or for the body is woken.
                note_error(self.worker.figures, WRITE_TIMEOUT)
                self._mark_gone()
                self.channel.deadline = 0
                wire_cut(self.channel.fd)
            return 0        # in other phases it is just making progress
        self.channel.owned = True
        if self._catch_up(thread):
            return self.settle(thread)
        request = self.request
        thread.now = monotonic()      # applications may have run since the sweep began
        if request is not None:
            request.expire(thread, thread.now)
        elif self.machine.state == HEAD:
            self._refuse(thread, refusal(SLOW_HEAD))
        elif self.phase == FLUSHING:
            note_error(self.worker.figures, WRITE_TIMEOUT)
            self.channel.abort()
        else:
            self._close(thread)
        return self.settle(thread)

    cdef bint _catch_up(self, ThreadContext thread) except -1:
        """What has come by now counts, although a busy worker has not come to it: over unread bytes a close would be a reset, and not
        every request may be sent again. Whether it is overdue no more."""
        cdef Channel channel = self.channel
        cdef Request request
        if self.phase != READING or self.gives_way or not self.has_come():
            return self.gives_way
        self.runner.enter(channel, thread)
        self._read(thread)
        request = self.request
        thread.now = monotonic()
        if self.phase != READING or self.gives_way or channel.closed:
            return True
        if channel.deadline != 0 and channel.deadline <= thread.now:
            return False
        return request is None or not request.body_is_late(thread.now)

    cdef int begin_drain(self, long long soon, int code) except -1:
        cdef long long deadline = self.channel.deadline
        if self.phase == READING and self.machine.state == IDLE and not self.gives_way and (deadline == 0 or deadline > soon):
            self.channel.deadline = soon
        return 0

    cdef str cut_stream(self, ThreadContext thread, bint events_only):
        """Where bytes wait for the client it is the client that is slow, and the response may be as long as any other."""
        cdef Request request = self.request
        if self.phase != SERVING or request is None or not self.machine.head_sent:
            return None
        headers = request.produces()
        if headers is None or (events_only and not is_event_stream(headers)):
            return None
        label = f"{request.method} {request.uri}"
        if self.request is not request or self.channel.gone or self.channel.has_queued():
            return None
        if self.channel.owned:
            self._cut_owned()
            return label
        self.channel.owned = True
        thread.now = monotonic()
        request.cut(thread)
        self.settle(thread)
        return label

    cdef void _cut_owned(self) noexcept:
        """Its thread is in the application, and finds out at the next piece."""
        self._mark_gone()
        self.was_cut = True
        self.channel.deadline = 0
        if self.machine.body_left < 0 and not self.machine.reply.chunked:
            wire_make_abrupt(self.channel.fd)       # an orderly end would complete the body: a reset, when the thread closes it
        else:
            wire_cut(self.channel.fd)

    cdef bint is_cut(self) noexcept:
        return self.was_cut

    cdef bint is_idle(self) noexcept:
        if self.gives_way or self.channel.owned:
            return False
        return self.phase == READING and self.machine.state == IDLE and self.has_served

    def told(self):
        """As Protocol.told(); of a request as Request.told()."""
        cdef Channel channel = self.channel
        cdef Request request = self.request
        if self.phase == FLUSHING:
            return [self.told_of(CLIENT_READS, self.ended_ns if self.came_ns else 0)]
        if self.phase == READING and self.machine.state == HEAD:
            return [self.told_of(HEAD_COMES, 0)]
        if request is None:
            return []
        if self.phase == READING:
            return [request.told(BODY_COMES, request.body_since)]
        if self.phase != SERVING:
            return []
        if channel.has_queued():
            return [request.told(CLIENT_READS, request.started_ns)]
        return [request.told(RESPONDS if self.machine.head_sent else RUNS, request.started_ns)]

    # ---- what the channel tells ------------------------------------------------------------------------

    cdef int on_queued(self) except -1:
        cdef Request request = self.request
        if self.phase == SERVING and request is not None:
            return request.on_queued()
        return 0 if self.channel.owned or self.channel.corked else self.channel.watch()

    cdef int on_behind(self) except -1:
        if self.phase == READING and self.machine.state == IDLE:
            self.phase = FLUSHING       # the response is not out, as it seemed when it was handed over
            self.channel.deadline = 0
        return 0

    cdef int on_flushed(self, ThreadContext thread) except -1:
        cdef Request request = self.request
        if self.phase == SERVING:
            if not self.channel.has_queued():
                self.channel.deadline = 0
            return request.on_flushed(thread) if request is not None else 0
        if self.phase != FLUSHING or self.channel.has_queued():
            return 0
        thread.now = monotonic()
        if self.machine.state == IDLE:
            return self._await_next(thread)       # a response that was held back: all else is done (on_behind)
        self.channel.deadline = 0
        return self._response_done(thread)

    cdef int on_lost(self) except -1:
        cdef Request request = self.request
        if request is None or (self.phase != SERVING and self.phase != ANSWERING):
            return self.channel.abort()
        request.gone = True
        return request.on_lost() if self.phase == SERVING else 0

    cdef void _mark_gone(self) noexcept:
        self.channel.gone = True
        if self.request is not None:
            self.request.gone = True

    cdef int on_closed(self) except -1:
        self.phase = ENDED
        self.pending = None
        self.turn = None
        self.is_over = False
        self.machine.head = None
        self.machine.decoder = None
        if self.came_ns:
            self._count_sent(monotonic(), True)
        return self._drop_request(None)

    # ---- reading: from bytes to requests ---------------------------------------------------------------

    cdef int _read(self, ThreadContext thread) except -1:
        cdef Py_ssize_t size
        cdef Py_ssize_t body = 0
        cdef unsigned char* place
        cdef ssize_t n
        while True:
            place = thread.buffer
            size = THREAD_BUFFER
            if self.machine.state == BODY and not self._place_body(thread, &place, &size):
                return 0
            n = self.channel.read(place, size)
            if self.channel.closed:
                return 0        # as in _read_body(); a layer gives the GIL away as well
            if n == 0:
                return self._end_of_input(thread)
            if n < 0:
                return 0 if n == WIRE_AGAIN else self.channel.lose()
            if place == thread.buffer:
                self._received(thread, place, n)
            else:
                self._placed(thread, n)
            body += n
            # A body is read on while it lasts; anything else rarely has more to give.
            if self.phase != READING or self.machine.state != BODY or n < size or body >= BODY_RUN:
                return 0

    cdef int _received(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t used
        if self.machine.state == BODY:
            used = self._read_body(thread, data, size)
        elif self.machine.state == SKIP:
            used = self._skip_body(thread, data, size)
        elif self.maker is not None:
            return self._first_bytes(thread, data, size)
        else:
            return self._requests(thread, data, size)
        if self.phase == READING and self.machine.state == IDLE:
            return self._requests(thread, data + used, size - used)
        return self._keep(data + used, size - used)

    cdef int _first_bytes(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        """They tell which HTTP it is: of 2 they are a preface that is no request of 1 (RFC 9113 §3.4)."""
        cdef Py_ssize_t known = min(size, PyBytes_GET_SIZE(PREFACE))
        cdef Channel channel = self.channel
        cdef ProtocolMaker maker = self.maker
        cdef bytes begun = self.begun
        if begun is not None:
            begun += (<const char*>data)[:size]
            data = <const unsigned char*>PyBytes_AS_STRING(begun)
            size = PyBytes_GET_SIZE(begun)
            known = min(size, PyBytes_GET_SIZE(PREFACE))
        if self.has_served or memcmp(data, PyBytes_AS_STRING(PREFACE), known) != 0:
            self.maker = self.begun = None
            return self._requests(thread, data, size)
        begun = (<const char*>data)[:size]
        if known < PyBytes_GET_SIZE(PREFACE):
            self.begun = begun
            return self._await_request(thread)
        self.phase = ENDED
        channel.protocol = maker.make(channel, self.runner, self.builder, self.peer, begun, self.tls)
        return 0

    cdef int _keep(self, const unsigned char* data, Py_ssize_t size) except -1:
        """It belongs to what comes next."""
        cdef bytes more
        if size and self.phase != ENDED:
            more = (<const char*>data)[:size]
            self.pending = more if self.pending is None else self.pending + more
        return 0

    cdef int _requests(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        """Serve the requests in `data`, in order."""
        cdef RequestHead head
        cdef Py_ssize_t used
        cdef int progress
        cdef int served = 0
        while size:
            if served == PIPELINE_RUN:
                self._keep(data, size)
                return self._give_way()
            progress = self.machine.read_head(thread.head, data, size, &used)
            if progress == MORE:
                return self._await_head(thread)
            if progress == REFUSED:
                return self._refuse(thread, refusal(self.machine.error))
            head = thread.head if self.machine.head is None else self.machine.take_head(None)
            data += used
            size -= used
            used = self._begin(thread, head, data, size)
            data += used
            size -= used
            served += 1
            if self.phase != READING or self.machine.state != IDLE:
                return self._keep(data, size)
        return self._await_request(thread)

    cdef int _await_head(self, ThreadContext thread) except -1:
        if self.machine.head is not thread.head:
            return 0        # its time runs already
        thread.head = RequestHead.__new__(RequestHead)
        thread.now = monotonic()
        self.channel.deadline = thread.now + self.worker.header_timeout if self.worker.header_timeout else 0
        return 0

    cdef int _await_request(self, ThreadContext thread) except -1:
        # A new connection keeps the deadline that it was accepted with, and a response has set one. Otherwise this may be
        # the first event of a thread that has slept: its clock is not to be trusted.
        if self.channel.deadline == 0:
            self.channel.deadline = monotonic() + self._idle_time()
        return 0

    cdef long long _idle_time(self) noexcept:
        """How long it may wait for the next request."""
        if self.worker.channels.draining:
            return min(self.worker.keepalive, SECOND)
        return self.worker.keepalive

    cdef Py_ssize_t _begin(
        self, ThreadContext thread, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        """A head is complete. Returns how much of the `data` behind it is used."""
        cdef Request request
        self.channel.deadline = 0
        if self.is_gateway:
            self._meet(head)
        if self.worker.has_probes and self._answer_probe(thread, head, size > 0):
            return 0
        if (<Unchecked>_translate)(self, head) < 0:
            return self._untranslatable(thread)
        if self.worker.static_files is not None and self._answer_file(thread, head, size > 0):
            return 0
        if head.wants_upgrade and head.framing == NO_BODY:
            # The request may become another protocol's at once, and what stands behind it goes there.
            self._keep(data, size)
            request = self.request
            request.offer_socket()
            self._start(thread, size > 0)
            return size
        if head.framing != NO_BODY:
            return self._begin_body(thread, head, data, size)
        self._start(thread, size > 0)
        return 0

    cdef int _meet(self, RequestHead head) except -1:
        """Of a gateway: who its client is. Whom it does not know has connected to it through a unix socket; where it says nothing, it is itself
        all that we know."""
        cdef str host
        self.spoken = <unsigned char>head.spoken
        if head.address.length == 0:
            return 0
        host = head.text(head.address)
        if host.startswith("unix:"):
            host = None
        self.peer = Peer(host, -1 if host is None else head.port, self.worker.trusted.trusts(host))
        return 0

    cdef Py_ssize_t _untranslatable(self, ThreadContext thread) except -1:
        """The header policy refuses the request, if it is not a fault of ours."""
        try:
            tricorn_pending_error()
        except ProtocolError as error:
            self._refuse(thread, error)
        return 0

    cdef bint _answer_probe(self, ThreadContext thread, RequestHead head, bint more_is_here) except -1:
        """Answer here, if it asks how the worker is. False: it is a request like others."""
        cdef bytes text = probe_of(self.worker, head)
        if text is None:
            return False
        status, fields = probe_status(self.worker, text, self.machine.reply.octets)
        self.machine.more_is_here = more_is_here
        thread.now = monotonic()
        self._answer_for_all(thread, status, fields, text)
        self._leave(thread, False)
        return True

    cdef bint _answer_file(self, ThreadContext thread, RequestHead head, bint more_is_here) except -1:
        """Answer here, if it is for a file. False: it is the application's to answer.

        To look for it may give the GIL away; what is held back of a response before may be found lost meanwhile.
        """
        cdef WorkerContext worker = self.worker
        cdef StaticFiles files = worker.static_files
        cdef Request request = self.request
        cdef Answer answer
        worker.refresh_date()
        request.started_ns = monotonic()
        self.phase = ANSWERING
        answer = files.answer(head, worker.defaults.second)
        if answer is None:
            self.phase = READING
            if not request.gone:
                return False
            self.channel.abort()
            return True
        self.machine.more_is_here = more_is_here
        if head.framing != NO_BODY:
            self.machine.begin_body(head)       # it is skipped, if that is worth it
        request.note_status(answer.status)
        self._give(thread, request, answer)
        thread.now = monotonic()
        self._leave(thread, False)
        return True

    cdef int _give(self, ThreadContext thread, Request request, Answer answer) except -1:
        cdef WorkerContext worker = self.worker
        cdef RequestIds ids = worker.ids
        cdef Buffer out = thread.out
        cdef object fields = answer.fields
        cdef bint octets = self.machine.reply.octets
        if worker.echoes_ids:
            fields = ids.added_to(fields, request.request_id, True)
        out.size = 0
        self.machine.reply.octets = True        # whatever the application speaks
        try:
            self.machine.respond(
                out, worker.defaults, answer.status, fields, answer.length, worker.is_leaving(), worker.body_discard
            )
        finally:
            self.machine.reply.octets = octets
        if self.machine.reply.bodyless or answer.length == 0:
            return self._send(thread, out, None, NULL, 0, True)
        if len(answer.parts) == 1 and type(answer.parts[0]) is bytes:
            return self._send_piece(request, thread, <bytes>answer.parts[0])
        self._send(thread, out, None, NULL, 0, False)
        for piece in pieces_of(answer, False):
            thread.out.size = 0
            if type(piece) is bytes:
                self._send_piece(request, thread, <bytes>piece)
            else:
                self._send_span(request, thread, <FileSpan>piece)
        return 0

    cdef Py_ssize_t _answer_for_all(self, ThreadContext thread, str status, object fields, bytes body) except -1:
        """A whole response of ours, the same for every client. Returns how many bytes of body the client got."""
        cdef WorkerContext worker = self.worker
        cdef Buffer out = thread.out
        cdef Py_ssize_t size = 0
        worker.refresh_date()
        out.size = 0
        self.machine.respond(
            out, worker.defaults, status, fields, PyBytes_GET_SIZE(body), worker.is_leaving(), worker.body_discard
        )
        if not self.machine.reply.bodyless:
            size = self.machine.admit(PyBytes_GET_SIZE(body))
            out.add(PyBytes_AS_STRING(body), size)
        self._send(thread, out, None, NULL, 0, True)
        return size

    cdef int _start(self, ThreadContext thread, bint more_is_here) except -1:
        cdef Request request = self.request
        self.machine.more_is_here = more_is_here
        self.phase = SERVING
        request.start(thread)
        return self._leave(thread, True) if self.is_over else 0

    cdef Py_ssize_t _begin_body(
        self, ThreadContext thread, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        cdef Request request = self.request
        cdef long long length = head.content_length if head.framing == BODY_LENGTH else -1
        cdef Delivery delivery = COLLECTED
        cdef Py_ssize_t used
        if 0 <= length <= size and request.take_whole(data, <Py_ssize_t>length):
            self.machine.have_body()
            self._start(thread, size > length)
            return <Py_ssize_t>length
        self.machine.begin_body(head)
        try:
            delivery = request.open_body(thread, length)
        except MemoryError as error:
            self._cannot_store(thread, error)
        if self.request is not request:
            return 0
        if delivery == PULLED:
            self._keep(data, size)
            self._start(thread, False)
            return size
        if delivery == COLLECTED:
            used = self._read_body(thread, data, size)
            if self.phase == READING and self.machine.state == BODY and self.machine.decoder.received == 0:
                self.ask_for_body(request)
            return used
        self.phase = SERVING
        used = self._read_body(thread, data, size)
        if self.request is not request:
            return used
        if self.machine.decoder.received:
            self.machine.owes_continue = False       # the client has not waited for it
        self._start(thread, used < size)
        return used

    cdef Py_ssize_t _read_body(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        """Decode what has come of a body. Returns how much of `data` is used."""
        cdef Request request = self.request
        cdef BodyDecoder decoder = self.machine.decoder
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef Py_ssize_t used = 0
        cdef int progress = MORE
        try:
            while progress == MORE and used < size:
                progress = self.machine.read_body(data + used, size - used, &step, &content, &length)
                used += step
                if length:
                    request.take_body_part(thread, content, length)
                    if self.request is not request:
                        return used
            if progress != REFUSED:
                request.took_body(thread, progress == DONE, decoder.framing == BODY_CHUNKED, decoder.received)
        except (OSError, MemoryError) as error:
            if self.phase != READING:
                raise
            self._cannot_store(thread, error)
        if self.request is not request:
            return used         # it cannot be stored, or that gave the GIL away and its client was found to be gone
        if progress == REFUSED:
            self.cut_body(request, thread, refusal(self.machine.error))
        elif progress == DONE and self.phase == READING:
            self._start(thread, used < size)
        return used

    cdef bint _place_body(self, ThreadContext thread, unsigned char** place, Py_ssize_t* size) except -1:
        """A large body of known length may be read straight to where it stays. False: it was refused."""
        cdef BodyDecoder decoder = self.machine.decoder
        cdef Request request = self.request
        if decoder.framing != BODY_LENGTH or decoder.remaining < THREAD_BUFFER:
            return True
        try:
            request.place_body(place, size, decoder.remaining)
        except OSError as error:
            self._cannot_store(thread, error)
        return self.request is request

    cdef int _placed(self, ThreadContext thread, Py_ssize_t size) except -1:
        cdef Request request = self.request
        cdef BodyDecoder decoder = self.machine.decoder
        cdef bint is_over
        request.placed(size)
        is_over = self.machine.place_body(size)
        try:
            request.took_body(thread, is_over, False, decoder.received)
        except (OSError, MemoryError) as error:
            self._cannot_store(thread, error)
        if self.request is not request:
            return 0
        # Unlike elsewhere, what the client may have sent behind the body was not read.
        return self._start(thread, not self.machine.client_stays) if is_over else 0

    def _cannot_store(self, ThreadContext thread, error):
        self.worker.logger.error("Cannot store the body of a request: %s", error or "out of memory")
        self.machine.refuse(self.machine.error)
        self._drop_request(thread)
        self._error_response(thread, 503)

    cdef Py_ssize_t _skip_body(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t used
        cdef int progress = self.machine.skip_body(data, size, &used)
        if progress == REFUSED:
            self.channel.close()
        elif progress == DONE:
            thread.now = monotonic()
            self.channel.deadline = thread.now + self._idle_time()
        return used

    cdef int _end_of_input(self, ThreadContext thread) except -1:
        cdef Request request = self.request
        cdef bint is_in_packet = self.is_gateway and self.machine.state == HEAD
        cdef bint is_cut = self.machine.end_input()
        if is_in_packet:
            self.worker.log_refusal(self.peer.host, refusal(CUT_PACKET))
        if is_cut and request is not None:
            return self.cut_body(request, thread, refusal(CUT_BODY))
        return request.on_input_end(thread) if self.phase == SERVING else self._close(thread)

    cdef int cut_body(self, Request request, ThreadContext thread, object error) except -1:
        if self.phase == READING:
            return self._refuse(thread, error)
        self.pending = None
        self.machine.refuse(self.machine.error)
        if not request.on_cut(thread, error):
            return 0
        self._drop_request(thread)
        return self._error_response(thread, error.status)

    # ---- between two requests --------------------------------------------------------------------------

    cdef int _leave(self, ThreadContext thread, bint has_begun) except -1:
        """The response is complete, as far as the application goes; or without it, if the request never began, or was no matter of
        the application's (a probe: there is no Request)."""
        cdef Request request = self.request
        cdef bint torn
        self.is_over = False
        if request is not None:
            torn = request.torn
            if has_begun:
                self.runner.ends(request, thread)
                if request.came_ns:
                    self.came_ns = request.came_ns
                    self.ended_ns = thread.now
                    self.group = request.group
                    self.trace = request.trace
                    request.trace = None
            else:
                self.runner.passes_over(request, thread)
            self.request = None
            request.let_go(thread)
            if torn:
                return self.channel.abort()      # what is queued, or not, is anybody's guess
        if self.channel.corked or not self.machine.reply.keep_alive:
            self.channel.release()           # it must be known whether all of it is out
        if self.channel.closed:
            return 0
        if self.channel.has_queued() and not self.channel.gone:
            self.phase = FLUSHING
            return 0
        return self._response_done(thread)

    cdef void _count_sent(self, long long now, bint is_cut) noexcept:
        cdef Trace trace = self.trace
        cdef WorkerContext worker = self.worker
        if trace is not None:
            self.trace = None
        count_sent(worker, self.group, self.came_ns, self.ended_ns, now, trace, is_cut)
        self.came_ns = 0

    cdef int _response_done(self, ThreadContext thread) except -1:
        """All of the response is sent, or nothing more can be."""
        cdef int after
        if self.came_ns:
            self._count_sent(thread.now, self.channel.gone)
        self.machine.more_is_here |= self.pending is not None
        after = self.machine.after_response(self.channel.gone, self.worker.body_discard)
        self.has_served = True
        if after == AFTER_NEXT:
            return self._await_next(thread)
        if after == AFTER_LINGER:
            return self._end(thread)
        if after == AFTER_CLOSE:
            return self._close(thread)
        if after == AFTER_ABORT:
            return self.channel.abort()
        if after == AFTER_END:
            # A child that the application has forked may hold a copy of the socket, and this end is the framing.
            wire_end(self.channel.fd, self.channel.layer)
            return self._close(thread)
        self.phase = READING
        self.channel.deadline = thread.now + self.worker.body_timeout if self.worker.body_timeout else 0
        return 0

    cdef int _await_next(self, ThreadContext thread) except -1:
        self.phase = READING
        self.channel.deadline = thread.now + self._idle_time()
        return 0

    cdef int _drop_request(self, ThreadContext thread) except -1:
        cdef Request request = self.request
        if request is None:
            return 0
        self.request = None
        return request.let_go(thread)

    cdef int _close(self, ThreadContext thread) except -1:
        """Both sides are done, but that what was held back, and the goodbye behind it, may have to wait for the client."""
        cdef Channel channel = self.channel
        channel.release()
        if channel.closed:
            return 0
        if channel.has_queued() and not channel.gone:
            return self._end(thread)
        return channel.close() if channel.says_goodbye() else self._end(thread)

    cdef int _end(self, ThreadContext thread) except -1:
        """Nothing is read as a request any more."""
        self.phase = ENDED
        self.pending = None
        self._drop_request(thread)
        return self.channel.linger(thread, 0)

    cdef int _refuse(self, ThreadContext thread, object error) except -1:
        """Answer a message that breaks the protocol or a limit, and close."""
        self.worker.log_refusal(self.peer.host, error)
        self.machine.refuse(self.machine.error)
        self._drop_request(thread)
        if is_no_packet(self.machine.error):
            return self._end(thread)        # who has sent it is no gateway, which could read an answer
        return self._error_response(thread, error.status, getattr(error, "fields", b""))

    cdef int _error_response(self, ThreadContext thread, int status, bytes fields=b"") except -1:
        cdef Buffer out = thread.out
        out.size = 0
        self.pending = None
        self.phase = FLUSHING
        self.channel.deadline = 0
        self.worker.refresh_date()
        self.machine.respond_error(out, self.worker.defaults, status, fields)
        self._send(thread, out, None, NULL, 0, False)
        self.channel.release()
        if self.channel.closed or self.channel.gone:
            return self.channel.close()
        thread.now = monotonic()
        return self._end(thread)

    # ---- what a request asks: its response -------------------------------------------------------------

    cdef int respond(self, Request request, str status, object headers, bytes piece, long long length) except -1:
        cdef ThreadContext thread = request.writing_thread()
        cdef Buffer out = thread.out
        self.worker.refresh_date()
        out.size = 0
        self.machine.respond(
            out,
            self.worker.defaults,
            status,
            self._with_id(request, headers) if self.worker.echoes_ids else headers,
            length,
            self.worker.is_leaving(),
            self.worker.body_discard,
        )
        if self.machine.reply.length < 0:
            request.touch()
        if self.machine.reply.bodyless or (not piece and self.machine.body_left == 0):
            return self._send(thread, out, None, NULL, 0, True)
        if not piece:
            return self._send(thread, out, None, NULL, 0, False)
        return self._send_piece(request, thread, piece)

    cdef int send_piece(self, Request request, bytes piece) except -1:
        cdef ThreadContext thread = request.writing_thread()
        thread.out.size = 0
        request.touch()
        return 0 if self.machine.reply.bodyless else self._send_piece(request, thread, piece)

    cdef int _send_piece(self, Request request, ThreadContext thread, bytes piece) except -1:
        """Send a piece of the body, behind what `thread.out` already holds."""
        cdef Buffer out = thread.out
        cdef Py_ssize_t size = self.machine.admit(PyBytes_GET_SIZE(piece))
        if size < PyBytes_GET_SIZE(piece):
            request.log_length("more")
            piece = piece[:size]
        request.body_sent += size
        if self.machine.reply.chunked:
            write_chunk_size(out, size)
            if size > INLINE:
                return self._send(thread, out, piece, b"\r\n", 2, False)
            out.add(PyBytes_AS_STRING(piece), size)
            out.add(b"\r\n", 2)
            return self._send(thread, out, None, NULL, 0, False)
        if size <= INLINE:
            out.add(PyBytes_AS_STRING(piece), size)
            piece = None
        if out.size == 0 and piece is None:
            return 0
        return self._send(thread, out, piece, NULL, 0, self.machine.body_left == 0)

    cdef int _send(
        self, ThreadContext thread, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, bint is_last
    ) except -1:
        cdef bint sent = False
        try:
            self.runner.send(self.channel, thread, out, piece, tail, tail_size, is_last)
            sent = True
        finally:
            if not sent and self.request is not None:
                self.request.torn = True
        return 0

    cdef int send_span(self, Request request, FileSpan span) except -1:
        cdef ThreadContext thread = request.writing_thread()
        return 0 if self.machine.reply.bodyless else self._send_span(request, thread, span)

    cdef int _send_span(self, Request request, ThreadContext thread, FileSpan span) except -1:
        cdef bint sent = False
        if self.machine.body_left >= 0 and span.left > self.machine.body_left:
            request.log_length("more")
            span.left = self.machine.body_left
        if span.left == 0:
            return 0
        request.body_sent += span.left
        if self.machine.body_left >= 0:
            self.machine.body_left -= span.left
        if self.machine.reply.chunked:
            self._send(thread, None, b"%x\r\n" % span.left, NULL, 0, False)
        try:
            self.channel.send_span(thread, span)
            sent = True
        finally:
            request.torn |= not sent
        return self._send(thread, None, b"\r\n", NULL, 0, False) if self.machine.reply.chunked else 0

    cdef int finish(self, Request request, list trailers) except -1:
        cdef ThreadContext thread
        if self.machine.reply.bodyless:
            return 0
        if self.machine.reply.chunked and trailers is None:
            return self._send(None, None, LAST_CHUNK, NULL, 0, False)
        if self.machine.reply.chunked:
            thread = request.writing_thread()
            thread.out.size = 0
            write_trailers(thread.out, trailers)
            return self._send(thread, thread.out, None, NULL, 0, False)
        if not request.gone and self.machine.end_response():
            request.log_length("fewer")
        return 0

    cdef int hint(self, Request request, object headers) except -1:
        cdef ThreadContext thread = request.writing_thread()
        if self.machine.reply.version == 10 or self.machine.head_sent:
            return 0
        thread.out.size = 0
        write_interim(thread.out, b"HTTP/1.1 103 Early Hints\r\n", headers, self.machine.reply.octets)
        return self._send(thread, thread.out, None, NULL, 0, False)

    cdef bint wants_no_body(self, Request request) noexcept:
        return self.machine.reply.bodyless

    cdef bint is_congested(self, Request request, Py_ssize_t most) noexcept:
        return self.channel.is_congested(most)

    cdef bint is_passable(self) noexcept:
        cdef Channel channel = self.channel
        if self.phase != READING or self.machine.state != IDLE or self.pending is not None or self.gives_way:
            return False
        if channel.owned or channel.gone or channel.layer is not None or channel.holder is not None or self.begun is not None:
            return False
        return not channel.has_queued()

    cdef bint is_unanswered(self, Request request) noexcept:
        return not self.machine.head_sent

    cdef bint answer(self, Request request, int status) except -1:
        cdef ThreadContext thread = request.writing_thread()
        cdef int size
        self.machine.reply.keep_alive = False
        if self.machine.head_sent or request.torn:
            self.machine.broke_off = True
            return False
        if request.gone:
            return True
        thread.out.size = 0
        self.worker.refresh_date()
        size = self.machine.respond_error(thread.out, self.worker.defaults, status, self._id_field(request))
        self._send(thread, thread.out, None, NULL, 0, False)
        if not request.gone:        # else that was found out now
            request.body_sent = size
        return True

    cdef object _with_id(self, Request request, object headers):
        cdef RequestIds ids = self.worker.ids
        return ids.added_to(headers, request.request_id, self.machine.reply.octets)

    cdef bytes _id_field(self, Request request):
        """The header line that tells its id, if responses do."""
        cdef RequestIds ids = self.worker.ids
        return ids.line(request.request_id) if self.worker.echoes_ids else b""

    cdef int decline(self, Request request, ThreadContext thread) except -1:
        cdef Admission admission = request.compartment.admission
        cdef RequestIds ids = self.worker.ids
        cdef object fields = admission.octet_fields if self.runner.octets else admission.fields
        if self.worker.echoes_ids:
            fields = ids.added_to(fields, request.request_id, self.runner.octets)
        request.body_sent = self._answer_for_all(thread, admission.status, fields, admission.body)
        return self._leave(thread, False)

    cdef void end_after(self, Request request) noexcept:
        self.machine.reply.keep_alive = False

    cdef int version_of(self, Request request) noexcept:
        return self.spoken if self.spoken else self.machine.reply.version

    # ---- what a request asks: its body -----------------------------------------------------------------

    cdef bint body_is_open(self, Request request) noexcept:
        return self.request is request and self.machine.body_is_open()

    cdef long long body_received(self, Request request) noexcept:
        return self.machine.decoder.received if self.machine.decoder is not None else 0

    cdef int ask_for_body(self, Request request) except -1:
        cdef bint owed = self.machine.owes_continue and not self.machine.head_sent
        self.machine.owes_continue = False
        return self._send(None, None, CONTINUE, NULL, 0, False) if owed else 0

    cdef bint owes_continue(self, Request request) noexcept:
        return self.machine.owes_continue

    cdef bint read_now(self, Request request, ThreadContext thread) except -1:
        cdef Py_ssize_t used = 0
        cdef ssize_t n = self.channel.read(thread.buffer, THREAD_BUFFER)
        if n == 0:
            self._end_of_input(thread)
            return False
        if n < 0:
            if n != WIRE_AGAIN:
                self.channel.lose()
            return False
        if self.machine.state == BODY:
            used = self._read_body(thread, thread.buffer, n)
            if self.request is not request:
                return False
        if used < n:
            self.machine.more_is_here = True
            self._keep(thread.buffer + used, n - used)
        return used > 0

    cdef bytes pull_body(self, Request request, Py_ssize_t size):
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef bytes data = self.pending
        cdef int progress
        if not self.body_is_open(request):
            return b""
        if self.machine.state == OVER:
            raise refusal(self.machine.error)       # again: nothing behind it is read as a body
        if data is None:
            return None
        self.pending = None
        progress = self.machine.read_body(
            <const unsigned char*>PyBytes_AS_STRING(data), min(PyBytes_GET_SIZE(data), size), &step, &content, &length,
        )
        if progress == REFUSED:
            raise refusal(self.machine.error)
        if step < PyBytes_GET_SIZE(data):
            self.pending = data[step:]
        return (<const char*>content)[:length] if length else (b"" if progress == DONE else None)

    cdef ssize_t fetch(self, Request request) except? -3:
        cdef bytes data = PyBytes_FromStringAndSize(NULL, THREAD_BUFFER)
        cdef ssize_t n = self.channel.read(PyBytes_AS_STRING(data), THREAD_BUFFER)
        if n > 0:
            self.pending = data[:n]
        return n

    # ---- what a request asks: its turn -----------------------------------------------------------------

    cdef bint take_up(self, Request request) except -1:
        if self.channel.closed or self.request is not request:
            return False
        self.channel.owned = True
        return True

    cdef int await_body(self, Request request, int timeout_ms) except -1:
        """This thread waits for input itself; others may still send what is queued."""
        cdef Channel channel = self.channel
        channel.arm(WRITE if channel.has_queued() else 0)
        self.runner.await_input(channel, timeout_ms)
        return 0

    cdef int await_room(self, Request request, ThreadContext thread, int timeout_ms) except -1:
        cdef Channel channel = self.channel
        cdef long long before
        self.runner.await_output(channel, timeout_ms)
        before = channel.queue.pending if channel.queue is not None else 0
        channel.flush(thread)
        if channel.queue is None or channel.queue.pending < before:
            request.touch()
        return 0

    cdef int cut_client(self, Request request) except -1:
        cdef Channel channel = self.channel
        wire_cut(channel.fd)
        return channel.lose()

    cdef int rest(self, Request request) except -1:
        cdef Channel channel = self.channel
        if channel.has_queued():
            return 0
        channel.deadline = 0
        return channel.arm(0)

    cdef int look_again(self, Request request) except -1:
        return 0 if self.channel.owned or self.channel.corked else self.channel.watch()

    cdef int request_over(self, Request request, ThreadContext thread) except -1:
        cdef int outcome
        if self.request is not request:
            return 0
        self.is_over = True
        if self.channel.owned:
            return 0
        self.channel.owned = True
        try:
            outcome = self.settle(thread)
        except BaseException as error:      # the application, which has called us, must not take it for one of its own
            outcome = self.runner.give_up(self.channel, error)
        return outcome

    cdef int queue_up(self, Request request) except -1:
        if not self.channel.owned:
            return self.runner.queue_up(request)        # nobody is there to settle (its poller has failed)
        self.turn = request
        return 0

    cdef bytes hand_over(self, Request request):
        cdef bytes rest = self.pending
        self.phase = ENDED
        self.pending = None
        self.request = None
        return rest
