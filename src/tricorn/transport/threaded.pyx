"""A connection whose application may block: WSGI, on the threads of a reactor.

The plan. While a thread deals with a connection, it is owned: others may then only send what is queued. (Holding the GIL is not
enough: logging, temporary files, large sends and the application give it away.) Interest is withdrawn lazily: a descriptor
that becomes readable while its request is served is removed when that event arrives and watched again when the
owner is done, so a request that fits one read and one write costs no call to the poller.

Guarantees: no client, however slow, keeps a thread; the application gets a request when all of it is here (unless
request_buffering is off).

Knows: threads (as lanes), the WSGI gateway. Must not know: signals, settings, other connections.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

cimport cython

import io

from tricorn.gateway.environ cimport EnvironBuilder
from tricorn.gateway.input cimport StreamInput
from tricorn.gateway.translator cimport Peer, method_of
from tricorn.gateway.wsgi cimport COMPLETE, PAUSED as CALL_PAUSED, WSGICall
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport DONE, MORE, REFUSED, SLOW_BODY, SLOW_HEAD, BodyDecoder, refusal
from tricorn.http.request cimport BODY_CHUNKED, BODY_LENGTH, NO_BODY, RequestHead
from tricorn.http.response cimport write_error
from tricorn.scoreboard cimport finish, monotonic, set_label
from tricorn.transport.batch cimport Batch
from tricorn.transport.body cimport BodyStore, new_store
from tricorn.transport.connection cimport (
    BODY, CLOSED, FLUSHING, HEAD, IDLE, DISCARD, LINGER, PAUSED, QUEUED, RUNNING, Connection, welcome,
)
from tricorn.transport.outflow cimport FLOW_BLOCKED, FLOW_LOST, Outflow
from tricorn.transport.poller cimport READ, WRITE
from tricorn.transport.service cimport LANE_BUFFER, Lane, PyThreadState_SetAsyncExc, Service
from tricorn.transport.system cimport (
    CLOCK_REALTIME_COARSE, EAGAIN, EINTR, POLLIN, POLLOUT, SHUT_RDWR, clock_gettime, errno, poll, pollfd, recv, shutdown,
    timespec, tricorn_pending_error,
)

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

from functools import partial
from http import HTTPStatus

from tricorn.gateway.errors import GatewayError, RequestCut
from tricorn.transport.errors import RequestTimeout
from tricorn.transport.failures import is_a, report

cdef enum:
    # What is held back for others to go with it: at most so much that is copied, and so much that is not.
    HELD_HEAD = 8192
    HELD_PIECE = 16384
    SLICE_MS = 1000     # of a wait for one client, in a thread that others may have to hear from

cdef long long SECOND = 1000000000

# As in gateway/wsgi.pyx: what may fail is called unchecked, and `try` stands where its error is dealt with.
ctypedef int (*Unchecked)(ThreadedConnection, WSGICall, bint) noexcept

cdef enum:
    # While one read goes on, nobody else has the GIL: this much takes some 40 µs.
    LARGEST_READ = 262144

cdef str WSGI_INPUT = "wsgi.input"
cdef str EARLY_HINTS = "wsgi.early_hints"
cdef object BytesIO = io.BytesIO


cdef Connection new_threaded(
    Service service, EnvironBuilder builder, int fd, unsigned int serial, Peer peer, long long now
):
    """None: this peer may not connect."""
    cdef ThreadedConnection self = ThreadedConnection.__new__(ThreadedConnection)
    if not welcome(self, service, fd, serial, peer, now):
        return None
    self.builder = builder
    return self


cdef class EarlyHints:
    """`wsgi.early_hints`: it speaks for the request that the calling thread serves.

    So it is the same for all requests, and costs those nothing that do not use it. lanes: of the worker's threads.
    """

    def __init__(self, list lanes):
        self.lanes = lanes

    def __call__(self, headers):
        """Send 103 Early Hints (RFC 8297). headers: as for start_response. Raises GatewayError, ResponseError."""
        cdef Lane lane
        cdef WSGICall call
        cdef unsigned long thread = PyThread_get_thread_ident()
        for lane in self.lanes:
            if lane.thread == thread and lane.call is not None:
                call = lane.call
                call.early_hints(headers)
                return
        raise GatewayError("early hints were sent from a thread that serves no request")


@cython.final
cdef class ThreadedConnection(Connection):
    cdef int on_event(self, Lane lane) except -1:
        """The descriptor is ready for what it was watched for, or broken."""
        if self.owned:
            return self._help(lane)
        self.owned = True
        if self.batch is not None and self.batch is not lane.batch:
            self._release()     # another thread's: it must not come behind what we send
        self._handle_event(lane)
        return self._settle(lane)

    cdef int proceed(self, Lane lane) except -1:
        """Its turn has come in the queue for application threads."""
        if self.state == CLOSED:
            return 0
        self.owned = True
        self._handle_turn(lane)
        return self._settle(lane)

    cdef int _settle(self, Lane lane) except -1:
        """Go on with what is already here, then give the connection free, watched for what its state waits for."""
        cdef bytes data
        while self.pending is not None and (self.state == IDLE or self.state == DISCARD):
            data = self.pending
            self.pending = None
            self._received(lane, <const unsigned char*>PyBytes_AS_STRING(data), len(data))
        self.owned = False
        if self.wants_turn:
            self.wants_turn = False
            self.service.runnable.append(self)
            self.service.wake()
        if self.state == CLOSED or self.state == QUEUED:
            return 0
        if self.state == FLUSHING or self.state == PAUSED:
            return self._arm(WRITE)
        return self._arm(READ | WRITE if self._has_queued() else READ)

    cdef int _help(self, Lane lane) except -1:
        """Send what is queued, whoever owns the connection; anything else waits for the owner."""
        cdef Outflow outflow = self.outflow     # the owner may let go of it while we send
        cdef long long now
        cdef bint progress = False
        cdef int flow
        if outflow is None or outflow.sending or outflow.is_empty():
            return self._arm(0)     # who sends, or owns it, will watch it again
        flow = outflow.flush(self.fd, &progress)
        if self.state == CLOSED or outflow is not self.outflow:
            return 0
        if flow == FLOW_LOST:
            self.gone = True
            outflow.clear()
        elif progress:
            now = monotonic()
            if self.lane is not None:
                self.lane.active_ns = now       # its request waits in write(): the client moves, so it lives
            if self.service.write_timeout:
                self.deadline = now + self.service.write_timeout
        if flow == FLOW_BLOCKED:
            return self._arm(WRITE)
        if self.state == RUNNING or self.state == QUEUED:
            self.deadline = 0
            return self._arm(0)
        return 0

    cdef int _handle_event(self, Lane lane) except -1:
        if self.state == FLUSHING or self.state == PAUSED:
            return self._flush(lane)
        if self.state == LINGER:
            return self._discard_input(lane)
        if self.state == QUEUED:
            return self._help(lane)
        if self._has_queued():      # an interim response that did not fit the socket
            self._help(lane)
        return self._read(lane) if self.state != CLOSED else 0

    cdef int _handle_turn(self, Lane lane) except -1:
        if self.call is not None:
            return self._abandon(lane) if self.gone else self._run(lane, True)
        if self.environ is not None:
            return self._start(lane)
        self.state = IDLE       # pipelined requests that gave way to others
        return 0

    cdef int expire(self, Lane lane) except -1:
        """The deadline has passed, or the body comes too slowly."""
        if self.owned:
            if self.state == RUNNING:
                # Its thread finds out at its next send; one that waits in write() or for the body is woken.
                self.gone = True
                self.deadline = 0
                shutdown(self.fd, SHUT_RDWR)
            return 0        # in other states it is just making progress
        self.owned = True
        self._handle_expiry(lane)
        return self._settle(lane)

    cdef int _handle_expiry(self, Lane lane) except -1:
        if self.state == HEAD:
            return self._refuse(lane, refusal(SLOW_HEAD))
        if self.state == BODY:
            return self._refuse(lane, refusal(SLOW_BODY))
        if self.state == FLUSHING:
            return self.abort()
        if self.state == PAUSED or self.state == QUEUED:
            return self._lost()
        return self.close()

    cdef Lane _own_lane(self):
        """The lane of this thread, if it is the one that is in the application for this request.

        Another must not write: a large send gives the GIL away, and meanwhile the response may end and its lane may be
        at another request.
        """
        cdef Lane lane = self.lane
        if lane is None:
            raise GatewayError("the response was written to while no thread was serving the request")
        if lane.thread != PyThread_get_thread_ident():
            raise GatewayError("the response was written to by a thread that does not serve the request")
        return lane

    cdef Buffer _out(self):
        return self._own_lane().out

    cdef int _touch(self) except -1:
        self.lane.active_ns = monotonic()
        return 0

    cdef int _arm_writing(self) except -1:
        return self._arm(WRITE)

    cdef int _release(self) except -1:
        cdef Batch batch = self.batch
        return batch.release() if batch is not None else 0

    cdef int _transmit(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1:
        self._release()         # of a pipelined request before
        return Connection._transmit(self, out, piece, tail, tail_size)

    cdef int _transmit_last(self, Buffer out, bytes piece) except -1:
        cdef Lane lane = self.lane
        cdef Batch batch
        if lane is None or not lane.collecting or self.gone or out.size > HELD_HEAD or self._has_queued():
            return self._transmit(out, piece, NULL, 0)
        batch = <Batch>lane.batch
        if not batch.has_room() or self.batch is not None or (piece is not None and len(piece) > HELD_PIECE):
            return self._transmit(out, piece, NULL, 0)
        return batch.hold(self, out, piece, lane.now)

    cdef int _give_way(self) except -1:
        return self._queue_up()

    cdef int _drop_request(self) except -1:
        self.environ = None
        self.store = None
        if self.state == CLOSED:
            self._let_go()
        return 0

    cdef bint overdue(self, long long now) noexcept:
        return Connection.overdue(self, now) or (self.state == BODY and self._trickles(now))

    cdef bint _trickles(self, long long now) noexcept:
        """A body below the minimum rate, once it has had the time of one stall."""
        cdef Service service = self.service
        cdef long long elapsed = now - self.body_since
        if self.owned or service.min_body_rate == 0 or service.body_timeout == 0:
            return False
        if elapsed <= service.body_timeout:
            return False
        return self.decoder.received < service.min_body_rate * (elapsed // 1000000) // 1000

    # ---- reading: from a head to a whole request -------------------------------------------------------

    cdef int _translate(self, RequestHead head) except -1:
        self.method = method_of(head)
        self.uri = head.text(head.target)
        self.environ = self.builder.build(head, self.peer, self.method, self.uri)
        return 0

    cdef Py_ssize_t _open_request(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        if head.framing != NO_BODY:
            return self._begin_body(lane, head, data, size)
        self.more_is_here = size > 0
        self._ready(lane)
        return 0

    cdef Py_ssize_t _begin_body(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        cdef Py_ssize_t used
        self.body_since = 0
        if head.framing == BODY_LENGTH and size >= head.content_length and self._fits(head):
            return self._body_is_here(lane, head, data, size)
        self.decoder = BodyDecoder.__new__(BodyDecoder)
        self.decoder.begin(head)
        self.owes_continue = head.expect_continue
        if not self.service.buffering:
            self.pending = (<const char*>data)[:size] if size else None
            self.stream = StreamInput(self)
            self.environ[WSGI_INPUT] = self.stream
            self._ready(lane)
            return size
        try:
            self.store = new_store(
                self.service.body_memory, self.service.request_buffer,
                head.content_length if head.framing == BODY_LENGTH else -1,
            )
        except MemoryError as error:
            self._store_failed(lane, error)
            return 0
        self.state = BODY
        lane.now = monotonic()
        self.body_since = lane.now
        used = self._read_body(lane, data, size)
        if self.state == BODY:
            if self.owes_continue and self.decoder.received == 0:
                self._send_continue()
        return used

    cdef bint _fits(self, RequestHead head) noexcept:
        """Whether the body may stay in memory whatever others take."""
        return self.service.buffering and head.content_length <= self.service.request_buffer

    cdef Py_ssize_t _body_is_here(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        """A small body came together with its head: nothing has to be decoded or collected."""
        cdef Py_ssize_t length = <Py_ssize_t>head.content_length
        self.owes_continue = False      # the client has not waited for it
        self.decoder = None
        self.environ[WSGI_INPUT] = BytesIO((<const char*>data)[:length])
        self.more_is_here = size > length
        self._ready(lane)
        return length

    cdef Py_ssize_t _read_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        """Collect a body. When it is complete, its request is ready. Returns how much of `data` is used."""
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef Py_ssize_t used = 0
        cdef int progress = MORE
        cdef BodyDecoder decoder = self.decoder
        cdef BodyStore store = self.store
        while progress == MORE and used < size:
            progress = decoder.decode(
                data + used, size - used, &step, &content, &length, self.service.limits
            )
            used += step
            if progress == REFUSED:
                self._refuse(lane, refusal(decoder.error))
                return used
            if length:
                try:
                    store.add(content, length)
                except (OSError, MemoryError) as error:
                    self._store_failed(lane, error)
                    return used
        if progress == DONE:
            self._complete(lane, used < size)
        else:
            self._await_body(lane)
        return used

    cdef bint _place_body(self, Lane lane, unsigned char** place, Py_ssize_t* size) except -1:
        """A large body of known length is read straight to where it stays, or to where it is written to a file from."""
        cdef BodyDecoder decoder = self.decoder
        cdef BodyStore store = self.store       # writing to its file gives the GIL away
        cdef unsigned char* room
        cdef Py_ssize_t free
        if decoder.framing != BODY_LENGTH or decoder.remaining < LANE_BUFFER:
            return True
        try:
            room = store.room(&free)
        except OSError as error:
            self._store_failed(lane, error)
            return False
        if free:
            place[0] = room
            size[0] = <Py_ssize_t>min(<unsigned long long>min(free, <Py_ssize_t>LARGEST_READ), decoder.remaining)
        return True

    cdef int _placed(self, Lane lane, Py_ssize_t size) except -1:
        self.store.size += size
        if not self.decoder.skip(size):
            return self._await_body(lane)
        # Unlike elsewhere, what the client may have sent behind the body was not read.
        return self._complete(lane, not self.client_stays)

    cdef int _await_body(self, Lane lane) except -1:
        """The body goes on."""
        if self.service.body_timeout:
            lane.now = monotonic()
            self.deadline = lane.now + self.service.body_timeout
        return 0

    cdef int _complete(self, Lane lane, bint more_is_here) except -1:
        """The body is complete, so its request is ready."""
        cdef BodyStore store = self.store
        try:
            body = store.finish()
        except (OSError, MemoryError) as error:
            self._store_failed(lane, error)
            return 0
        # The store is kept: it gives back its memory when the request is over.
        self.body_file = body if store.is_large() else None
        self.environ[WSGI_INPUT] = body
        self.more_is_here = more_is_here
        if self.decoder.framing == BODY_CHUNKED:
            # The length is known now, and Django, say, reads nothing of a body without one.
            self.environ["CONTENT_LENGTH"] = str(self.decoder.received)
            del self.environ["HTTP_TRANSFER_ENCODING"]
        self.decoder = None
        self.deadline = 0
        return self._ready(lane)

    def _store_failed(self, Lane lane, error):
        self.service.logger.error("Cannot store the body of a request: %s", error or "out of memory")
        self.environ = None
        self.store = None
        self._error_response(lane, 503)

    # ---- serving: from a request to a response -----------------------------------------------------

    cdef int _ready(self, Lane lane) except -1:
        """A request is complete. Serve it here, or let a thread that may call the application do it."""
        if lane.may_call:
            return self._start(lane)
        return self._queue_up()

    cdef int _queue_up(self) except -1:
        """Wait for a thread that may call the application. It enters the queue when its owner settles it."""
        self.state = QUEUED
        self.wants_turn = True
        return 0

    cdef int _start(self, Lane lane) except -1:
        cdef WSGICall call = WSGICall.__new__(WSGICall)
        call.exchange = self
        self.call = call
        self.gone = self.broke_off = False
        self.cut_status = 0
        self.body_sent = 0
        self.body_left = -1
        if self.reply.minor == 0:
            del self.environ[EARLY_HINTS]       # RFC 9110 §15.2: the client does not expect a 1xx
        self.started_ns = lane.now = monotonic()
        return self._run(lane, False)

    cdef int _run(self, Lane lane, bint resumed) except -1:
        cdef WSGICall call = self.call
        cdef int outcome
        cdef str status
        cdef object failure = None
        self._enter(lane, monotonic() if resumed else self.started_ns)
        outcome = (<Unchecked>_call)(self, call, resumed)
        if outcome < 0:
            failure = _raised()
            outcome = COMPLETE
        self._return_control(lane)
        status = call.status if failure is None else self._failed(lane, failure)
        return self._leave(lane, outcome, status, call.headers)

    cdef int _abandon(self, Lane lane) except -1:
        """Its client is gone: have the iterable closed, by the kind of thread that ran it."""
        cdef WSGICall call = self.call
        cdef object failure = None
        self._enter(lane, monotonic())
        try:
            call.abandon()
        except BaseException as error:
            failure = error
        self._return_control(lane)
        if failure is not None:
            self._log_failure(failure)
        return self._leave(lane, COMPLETE, call.status, call.headers)

    cdef int _enter(self, Lane lane, long long now) except -1:
        """The application has control from here on. `lane.calling` says when an exception may be raised in it."""
        self.state = RUNNING
        self.lane = lane
        lane.call = self.call
        lane.active_ns = now
        set_label(lane.cell, self.method, self.uri)
        lane.cell.busy_since_ns = now
        lane.calling = True
        return 0

    cdef int _return_control(self, Lane lane) except -1:
        lane.calling = False
        lane.call = None
        if self.service.forsaken:
            self.service.end_stranger()
        if lane.interrupted:
            # Too late for this request, and not meant for the next one.
            PyThreadState_SetAsyncExc(lane.thread, NULL)
            lane.interrupted = False
        return 0

    cdef int _leave(self, Lane lane, int outcome, str status, list headers) except -1:
        """The application has returned control: for good, or until the client has caught up."""
        cdef Service service = self.service
        cdef timespec wall
        cdef dict environ = self.environ
        lane.now = monotonic()
        lane.longest_ns = max(lane.now - lane.cell.busy_since_ns, lane.longest_ns - (lane.longest_ns >> 4))
        self.lane = None
        if outcome == CALL_PAUSED:
            lane.cell.busy_ns += lane.now - lane.cell.busy_since_ns
            lane.cell.busy_since_ns = 0
            self.state = PAUSED
            if self.gone:
                return self._lost()
            return self._flushed(lane) if not self.congested() else 0
        finish(lane.cell, lane.cell.busy_since_ns, lane.now)
        if service.access_log is not None:
            clock_gettime(CLOCK_REALTIME_COARSE, &wall)
            service.access_log.record(
                environ, status, headers, self.body_sent, lane.now - self.started_ns,
                <double>wall.tv_sec + wall.tv_nsec * 1e-9,
            )
        self._let_go()
        service.requests += 1
        if service.requests == service.max_requests:
            service.draining = True
            service.wake()
        if self.outflow is not None and not self.outflow.is_empty() and not self.gone:
            self.state = FLUSHING
            return 0
        return self._response_done(lane)

    cdef int _let_go(self) except -1:
        """Of the request: whatever the application has kept of it leads nowhere now."""
        cdef WSGICall call = self.call
        cdef StreamInput stream = None
        cdef object body_file = None
        self.call = None
        if self.lane is not None:
            self.lane = None
        if self.stream is not None:
            stream = self.stream
            self.stream = None
            stream.exchange = None
        if self.body_file is not None:
            body_file = self.body_file
            self.body_file = None
        if call is not None:
            call.ended = True
            call.exchange = None
            call.context = None     # from here on destructors of the application's may run
        self.environ = None
        self.method = self.uri = None
        if self.store is not None:
            self.store = None
        if body_file is not None:
            _close_quietly(body_file)
        return 0

    def _failed(self, Lane lane, error):
        """The application raised. Returns the status that the client got, for the access log."""
        cut = type(error) is RequestCut and self.cut_status
        if cut:
            self.service.logger.info("A request body was cut off (%s %s): %s", self.method, self.uri, error)
        else:
            self._log_failure(error)
        self.service.row.data.errors += 1
        if self.head_sent:
            self.broke_off = True
            self.reply.keep_alive = False
            return self.call.status
        status = self.cut_status if cut else (504 if is_a(error, RequestTimeout) else 500)
        lane.out.size = 0
        self.reply.keep_alive = False
        self.service.refresh_date()
        write_error(lane.out, self.service.defaults, status, self.reply.is_head)
        self.head_sent = True
        self._transmit(lane.out, None, NULL, 0)
        return f"{status} {HTTPStatus(status).phrase}"

    def _log_failure(self, error):
        if self.gone and is_a(error, (OSError, GeneratorExit)):
            return      # it only says what we know: the client is gone
        # In the context of the request, where the application's filters and handlers find its variables.
        self.call.context.copy().run(partial(
            report, self.service.logger, "Error in the application (%s %s)", self.method, self.uri, error=error
        ))

    cdef int _flushed(self, Lane lane) except -1:
        cdef bint empty = self.outflow is None or self.outflow.is_empty()
        if self.state == RUNNING:
            if empty:
                self.deadline = 0
                self._arm(0)
            return 0
        if self.state == PAUSED:
            if empty:
                self.deadline = 0
                self._arm(0)
            # What is still queued goes on being sent while the application produces more.
            if empty or self.outflow.pending <= self.service.response_buffer // 2:
                return self._queue_up()
            return 0
        return Connection._flushed(self, lane)

    cdef int _lost(self) except -1:
        if self.state != RUNNING and self.state != QUEUED and self.state != PAUSED:
            return Connection._lost(self)
        self.gone = True
        if self.outflow is not None:
            self.outflow.clear()
        self._arm(0)
        self.deadline = 0
        # A paused application's iterable has to be closed by its own kind of thread.
        return self._queue_up() if self.state == PAUSED else 0

    # ---- what the gateway calls where it may block (gateway/exchange.pxd) ------------------------------

    cdef int wait_uncongested(self) except -1:
        cdef Lane lane = self._own_lane()
        cdef Outflow outflow
        cdef pollfd waiting
        cdef long long before
        while self.congested():
            outflow = self.outflow
            waiting = pollfd(self.fd, POLLOUT, 0)
            with nogil:
                poll(&waiting, 1, SLICE_MS)
            before = outflow.pending
            self._flush(lane)
            if outflow.pending < before:
                lane.active_ns = monotonic()
        return 0

    cdef bytes read_body(self, Py_ssize_t size):
        """Blocks the application's thread: that is what an unbuffered request body means.

        It may be another thread than the one that serves the request (StreamInput lets in one at a time), so the request may end and
        the connection go on, or close, whenever the GIL is given away. The decoder tells one request from the next.
        """
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef bytes data
        cdef bytes found
        cdef int progress
        cdef BodyDecoder decoder = self.decoder
        if decoder is None or decoder.is_finished():
            return b""
        if self.body_since == 0:
            self.body_since = monotonic()
        while True:
            if self.pending is None:
                self._wait_readable(decoder)
            data = self.pending
            self.pending = None
            progress = decoder.decode(
                <const unsigned char*>PyBytes_AS_STRING(data), min(<Py_ssize_t>len(data), size), &step, &content,
                &length, self.service.limits,
            )
            if progress == REFUSED:
                error = refusal(decoder.error)
                self.cut_status = error.status
                self.reply.keep_alive = False
                raise RequestCut(str(error))
            found = (<const char*>content)[:length] if length else b""
            if step < len(data):
                self.pending = data[step:]
            if length or progress == DONE:
                return found

    cdef bint _is_read(self, BodyDecoder decoder) noexcept:
        """Whether the request whose body that is still has its application."""
        return self.decoder is decoder and self.stream is not None and self.state != CLOSED

    cdef int _wait_readable(self, BodyDecoder decoder) except -1:
        """Get bytes from the client into `pending`. Raises RequestCut."""
        cdef pollfd waiting
        cdef ssize_t n
        cdef int error
        cdef int timeout
        cdef long long give_up_at = 0
        cdef bytes data = PyBytes_FromStringAndSize(NULL, LANE_BUFFER)
        cdef char* room = PyBytes_AS_STRING(data)
        if self.owes_continue and not self.head_sent:
            self._send_continue()
        if self.service.body_timeout:
            give_up_at = monotonic() + self.service.body_timeout
        # This thread waits for input itself; others may still send what is queued.
        self._arm(WRITE if self._has_queued() else 0)
        while True:
            if not self._is_read(decoder):
                raise RequestCut("the request has ended")
            n = recv(self.fd, room, LANE_BUFFER, 0)
            error = errno
            if n > 0:
                self.pending = data[:n]
                if self.lane is not None:
                    self.lane.active_ns = monotonic()
                return self._check_body_rate()
            if n == 0 or (error != EAGAIN and error != EINTR) or self.gone:
                self.cut_status = 400
                self.reply.keep_alive = False
                raise RequestCut("the client went away before the request body was complete")
            if give_up_at and monotonic() >= give_up_at:
                self.cut_status = 408
                self.reply.keep_alive = False
                raise RequestCut("the client stopped sending the request body")
            waiting = pollfd(self.fd, POLLIN, 0)
            timeout = _slice(give_up_at)
            with nogil:
                poll(&waiting, 1, timeout)

    cdef int _check_body_rate(self) except -1:
        cdef long long elapsed = monotonic() - self.body_since
        if self.decoder is None:
            return 0
        if self.service.min_body_rate and self.service.body_timeout and elapsed > self.service.body_timeout:
            if self.decoder.received * SECOND < self.service.min_body_rate * elapsed:
                self.cut_status = 408
                self.reply.keep_alive = False
                raise RequestCut("the client sends the request body too slowly")
        return 0


cdef int _call(ThreadedConnection connection, WSGICall call, bint resumed) except -1:
    """Have the application produce the response, or go on with it."""
    if resumed:
        return call.resume()
    return call.run(connection.service.application, connection.environ, connection.service.context)


cdef object _raised():
    """The exception that is on its way, which is at its end here."""
    try:
        tricorn_pending_error()
    except BaseException as error:
        return error


cdef int _slice(long long deadline) noexcept:
    """How long a thread may wait in poll(), ms: a descriptor that it waits on stays open, though the connection closes it."""
    if deadline == 0:
        return SLICE_MS
    return <int>min(<long long>SLICE_MS, max((deadline - monotonic()) // 1000000 + 1, <long long>0))


cdef int _close_quietly(object file) except -1:
    """Disk and memory of a large body are free again here, not whenever its last reference goes."""
    try:
        file.close()
    except (OSError, ValueError, BufferError):
        return 0        # the application has closed or detached it, or holds a view of it
    return 0
