"""One client connection: HTTP/1.x from the bytes of a socket to a gateway and back.

The plan. A connection is always in one state, and while a thread deals with it, it is owned: others may then only
send what is queued. (Holding the GIL is not enough: logging, temporary files, large sends and the application give it
away.) The descriptor is watched for what the state waits for. Interest is withdrawn lazily: a descriptor that
becomes readable while its request is served is removed when that event arrives and watched again when the
owner is done, so a request that fits one read and one write costs no call to the poller.

Guarantees: requests are answered in order, one at a time; nothing behind a refused message is ever parsed; a
body that nobody read never becomes the next request; no client, however slow, keeps a thread.

Knows: sockets, deadlines, the HTTP engine, the gateway. Must not know: signals, settings, other connections.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy, memset

import io
import os

from tricorn.gateway.environ cimport EnvironBuilder, Peer
from tricorn.gateway.exchange cimport Exchange
from tricorn.gateway.input cimport StreamInput
from tricorn.gateway.wsgi cimport COMPLETE, PAUSED as CALL_PAUSED, WSGICall
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport (
    CUT_BODY, DONE, LONG_BODY, MORE, REFUSED, SLOW_BODY, SLOW_HEAD, BodyDecoder, parse_head, refusal,
)
from tricorn.http.request cimport BODY_CHUNKED, BODY_LENGTH, NO_BODY, RequestHead
from tricorn.http.response cimport write_chunk_size, write_error, write_head, write_interim
from tricorn.scoreboard cimport REQUEST_LABEL, CellData, finish, monotonic
from tricorn.transport.body cimport new_store
from tricorn.transport.outflow cimport FLOW_BLOCKED, FLOW_EMPTY, FLOW_LOST, Outflow
from tricorn.transport.poller cimport READ, WRITE, Poller
from tricorn.transport.service cimport LANE_BUFFER, Lane, PyThreadState_SetAsyncExc, Service
from tricorn.transport.system cimport (
    CLOCK_REALTIME_COARSE, EAGAIN, EINTR, MSG_NOSIGNAL, POLLIN, POLLOUT, SHUT_RDWR, SHUT_WR, SO_LINGER, SOL_SOCKET,
    clock_gettime, close as close_fd, dup, errno, iovec, linger, msghdr, poll, pollfd, recv, send, sendmsg,
    setsockopt, shutdown, timespec,
)

from http import HTTPStatus

from tricorn.gateway.errors import GatewayError, RequestCut
from tricorn.http.errors import ProtocolError
from tricorn.http.proxy_protocol import parse as parse_proxy
from tricorn.transport.errors import RequestTimeout
from tricorn.transport.files import maybe_span

cdef enum:
    # Pieces up to this are copied behind the head, so that one send() takes both; beyond it two places in memory
    # are handed to sendmsg(), which costs a little more and copies nothing.
    INLINE = 16384
    # A system call that moves less than this costs less than giving the GIL away and taking it back.
    SMALL = 32768
    # Reads of one body in a row, before others get their turn.
    BODY_READS = 16
    # Requests of one connection in a row, before others get their turn.
    PIPELINE_RUN = 16

cdef long long SECOND = 1000000000
# How long a closed connection is read on, so that our last words are not lost to a reset (RFC 9112 §9.6).
cdef long long LINGER_TIME = 2 * SECOND

cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
cdef str WSGI_INPUT = "wsgi.input"
cdef str EARLY_HINTS = "wsgi.early_hints"
cdef object BytesIO = io.BytesIO


cdef Connection new_connection(
    Service service, EnvironBuilder builder, int fd, unsigned int serial, Peer peer, long long now
):
    cdef Connection self = Connection.__new__(Connection)
    self.service = service
    self.builder = builder
    self.fd = fd
    self.serial = serial
    self.peer = peer
    self.state = IDLE
    if service.proxy_mode is not None and service.proxy_peers.trusts(peer.host):
        self.state = PROXY
    elif service.proxy_mode is not None:
        return None
    self.deadline = now + service.header_timeout if service.header_timeout else 0
    return self


cdef class Connection(Exchange):
    def __dealloc__(self):
        if self.state != CLOSED and self.fd >= 0:
            close_fd(self.fd)

    # ---- what the reactor calls --------------------------------------------------------------------

    cdef int on_event(self, Lane lane) except -1:
        """The descriptor is ready for what it was watched for, or broken."""
        if self.owned:
            return self._help(lane)
        self.owned = True
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

    cdef bint _has_queued(self) noexcept:
        return self.outflow is not None and not self.outflow.is_empty()

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

    cdef int close(self) except -1:
        if self.state == CLOSED:
            return 0
        self._arm(0)
        self.state = CLOSED
        self.gone = True
        self.deadline = 0
        self.service.table[self.fd] = None
        self.service.connections -= 1
        self.service.row.data.connections = self.service.connections
        if self.service.full:
            self.service.full = False
            self.service.wake()
        if self.outflow is not None and self.outflow.sending:
            self.outflow.orphan(self.fd)        # a thread is in a system call with it
        else:
            close_fd(self.fd)
        self.fd = -1            # the number may belong to another connection from now on
        self.pending = None
        self.head = None
        self.environ = None
        self.decoder = None
        self.store = None
        self.call = None
        self.outflow = None
        self.stream = None
        self.body_file = None
        self.method = self.uri = None
        return 0

    cdef int abort(self) except -1:
        """Close with a reset: the client cannot take what it has for the whole."""
        cdef linger option
        if self.state == CLOSED:
            return 0
        option.l_onoff = 1
        option.l_linger = 0
        setsockopt(self.fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option))
        return self.close()

    # ---- reading: from bytes to requests -----------------------------------------------------------

    cdef int _arm(self, int interest) except -1:
        cdef Poller poller = self.service.poller
        cdef unsigned long long token
        if interest == self.armed:
            return 0
        token = (<unsigned long long>self.serial << 32) | <unsigned int>self.fd
        if self.armed == 0:
            poller.add(self.fd, interest, token)
        elif interest == 0:
            poller.remove(self.fd)
        else:
            poller.modify(self.fd, interest, token)
        self.armed = interest
        return 0

    cdef int _read(self, Lane lane) except -1:
        cdef ssize_t n
        cdef int reads = 0
        while True:
            n = recv(self.fd, lane.buffer, LANE_BUFFER, 0)
            if n == 0:
                return self._end_of_input(lane)
            if n < 0:
                if errno == EAGAIN or errno == EINTR:
                    return 0
                return self._lost()
            self._received(lane, lane.buffer, n)
            reads += 1
            # A body is read on while it lasts; anything else rarely has more to give.
            if self.state != BODY or n < LANE_BUFFER or reads == BODY_READS:
                return 0

    cdef int _received(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t used
        if self.state == BODY:
            used = self._read_body(lane, data, size)
        elif self.state == DISCARD:
            used = self._skip_body(lane, data, size)
        elif self.state == HEAD:
            return self._read_head(lane, data, size)
        elif self.state == PROXY:
            return self._read_proxy(lane, (<const char*>data)[:size])
        else:
            return self._requests(lane, None, data, size)
        if self.state == IDLE:
            return self._requests(lane, None, data + used, size - used)
        if used < size and self.state != CLOSED and self.state != LINGER:
            self.pending = (<const char*>data)[used:size]
        return 0

    cdef int _read_proxy(self, Lane lane, bytes data) except -1:
        if self.pending is not None:
            data = self.pending + data
            self.pending = None
        try:
            header = parse_proxy(data, self.service.proxy_mode)
        except ProtocolError as error:
            self._log_refusal(error)
            return self.close()     # it is no HTTP client: there is nobody to answer
        if header is None:
            self.pending = data
            return 0
        if header.source is not None:
            host, port = header.source
            self.peer = Peer(host, str(port), self.service.trusted.trusts(host))
        self.state = IDLE
        data = data[header.consumed:]
        return self._requests(lane, None, <const unsigned char*>PyBytes_AS_STRING(data), len(data))

    cdef int _read_head(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        cdef RequestHead head = self.head
        cdef int progress
        head.append(data, <unsigned int>size)
        progress = parse_head(head, self.service.limits)
        if progress == MORE:
            return 0
        self.head = None
        if progress == REFUSED:
            self.reply.is_head = False
            return self._refuse(lane, refusal(head.error))
        return self._requests(lane, head, head.data + head.end, head.size - head.end)

    cdef int _requests(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        """Serve the requests in `data`, in order. `head`: the first of them is already parsed, up to `data`."""
        cdef RequestHead kept = head        # its bytes may be where `data` points to
        cdef Py_ssize_t used
        cdef int progress
        cdef int served = 0
        while True:
            if head is None:
                if size == 0:
                    return self._await_request(lane)
                if served == PIPELINE_RUN:
                    self.pending = (<const char*>data)[:size]
                    return self._queue_up()
                head = lane.head
                head.borrow(data, <unsigned int>size)
                progress = parse_head(head, self.service.limits)
                if progress == MORE:
                    head.keep()
                    self.head = head
                    lane.head = RequestHead.__new__(RequestHead)
                    self.state = HEAD
                    lane.now = monotonic()
                    self.deadline = lane.now + self.service.header_timeout if self.service.header_timeout else 0
                    return 0
                if progress == REFUSED:
                    self.reply.is_head = False      # of the request before
                    return self._refuse(lane, refusal(head.error))
                data += head.end
                size -= head.end
            used = self._begin(lane, head, data, size)
            data += used
            size -= used
            served += 1
            head = None
            if self.state != IDLE:
                if size and self.state != CLOSED and self.state != LINGER:
                    self.pending = (<const char*>data)[:size]
                return 0

    cdef int _await_request(self, Lane lane) except -1:
        # A new connection keeps the deadline that it was accepted with.
        if self.deadline == 0 or self.head_sent:
            self.deadline = lane.now + self._idle_time()
        return 0

    cdef long long _idle_time(self) noexcept:
        """How long it may wait for the next request."""
        if self.service.draining:
            return min(self.service.keepalive, SECOND)
        return self.service.keepalive

    cdef Py_ssize_t _begin(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        """A head is complete. Returns how much of the `data` behind it is used."""
        cdef Service service = self.service
        self.reply.minor = head.minor
        self.reply.is_head = head.is_head
        self.reply.is_connect = head.is_connect
        self.reply.keep_alive = head.keep_alive and service.keepalive > 0
        self.client_stays = head.keep_alive
        self.head_sent = False
        self.deadline = 0
        try:
            if service.limits.body and head.framing == BODY_LENGTH and head.content_length > service.limits.body:
                raise refusal(LONG_BODY)
            self.environ = self.builder.build(head, self.peer)
        except ProtocolError as error:
            self._refuse(lane, error)
            return 0
        self.method = self.environ["REQUEST_METHOD"]
        self.uri = self.environ["RAW_URI"]
        if head.framing != NO_BODY:
            return self._begin_body(lane, head, data, size)
        self.environ[WSGI_INPUT] = BytesIO()
        self.more_is_here = size > 0
        self._ready(lane)
        return 0

    cdef Py_ssize_t _begin_body(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        cdef Py_ssize_t used
        self.decoder = BodyDecoder.__new__(BodyDecoder)
        self.decoder.begin(head)
        self.owes_continue = head.expect_continue
        self.body_since = 0
        if not self.service.buffering:
            self.pending = (<const char*>data)[:size] if size else None
            self.stream = StreamInput(self)
            self.environ[WSGI_INPUT] = self.stream
            self._ready(lane)
            return size
        try:
            self.store = new_store(
                self.service.request_buffer, head.content_length if head.framing == BODY_LENGTH else -1
            )
        except OSError as error:
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

    cdef Py_ssize_t _read_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        """Collect a body. When it is complete, its request is ready. Returns how much of `data` is used."""
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef Py_ssize_t used = 0
        cdef int progress = MORE
        while progress == MORE and used < size:
            progress = self.decoder.decode(
                data + used, size - used, &step, &content, &length, self.service.limits
            )
            used += step
            if progress == REFUSED:
                self._refuse(lane, refusal(self.decoder.error))
                return used
            if length:
                try:
                    self.store.add(content, length)
                except OSError as error:
                    self._store_failed(lane, error)
                    return used
        if progress == DONE:
            body = self.store.finish()
            self.body_file = body if type(body) is io.BufferedReader else None
            self.environ[WSGI_INPUT] = body
            self.more_is_here = used < size
            if self.decoder.framing == BODY_CHUNKED:
                # The length is known now, and Django, say, reads nothing of a body without one.
                self.environ["CONTENT_LENGTH"] = str(self.decoder.received)
                del self.environ["HTTP_TRANSFER_ENCODING"]
            self.store = None
            self.decoder = None
            self.deadline = 0
            self._ready(lane)
        elif self.service.body_timeout:
            lane.now = monotonic()
            self.deadline = lane.now + self.service.body_timeout
        return used

    def _store_failed(self, Lane lane, error):
        self.service.logger.error("cannot keep the body of a request in a temporary file: %s", error)
        self.environ = None
        self.store = None
        self._error_response(lane, 503)

    cdef Py_ssize_t _skip_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef Py_ssize_t used = 0
        cdef int progress = MORE
        cdef long long start = self.decoder.received
        while progress == MORE and used < size:
            progress = self.decoder.decode(
                data + used, size - used, &step, &content, &length, self.service.limits
            )
            used += step
        self.body_left -= self.decoder.received - start
        if progress == REFUSED or self.body_left < 0:
            self.close()
        elif progress == DONE:
            self.decoder = None
            self.state = IDLE
            lane.now = monotonic()
        return used

    cdef int _end_of_input(self, Lane lane) except -1:
        if self.state == BODY:
            return self._refuse(lane, refusal(CUT_BODY))
        return self.close()

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
        if self.reply.minor:
            self.environ[EARLY_HINTS] = call.early_hints
        self.started_ns = monotonic()
        return self._run(lane, False)

    cdef int _run(self, Lane lane, bint resumed) except -1:
        cdef WSGICall call = self.call
        cdef int outcome = COMPLETE
        cdef str status
        cdef object failure = None
        self._enter(lane, monotonic() if resumed else self.started_ns)
        try:
            outcome = call.resume() if resumed else call.run(self.service.application, self.environ)
        except BaseException as error:
            failure = error
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
        lane.active_ns = now
        _label(lane.cell, self.method, self.uri)
        lane.cell.busy_since_ns = now
        lane.calling = True
        return 0

    cdef int _return_control(self, Lane lane) except -1:
        lane.calling = False
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
        self.call.exchange = None
        self.call.context = None
        self.call = None
        self.environ = None
        self.method = self.uri = None
        if self.stream is not None:
            self.stream.exchange = None
            self.stream = None
        if self.body_file is not None:
            _close_quietly(self.body_file)
            self.body_file = None
        return 0

    def _failed(self, Lane lane, error):
        """The application raised. Returns the status that the client got, for the access log."""
        cut = isinstance(error, RequestCut) and self.cut_status
        if cut:
            self.service.logger.info("the body of a request was cut (%s %s): %s", self.method, self.uri, error)
        else:
            self._log_failure(error)
        self.service.row.data.errors += 1
        if self.head_sent:
            self.broke_off = True
            self.reply.keep_alive = False
            return self.call.status
        status = self.cut_status if cut else (504 if isinstance(error, RequestTimeout) else 500)
        lane.out.size = 0
        self.reply.keep_alive = False
        self.service.refresh_date()
        write_error(lane.out, self.service.defaults, status, self.reply.is_head)
        self.head_sent = True
        self._transmit(lane.out, None, NULL, 0)
        return f"{status} {HTTPStatus(status).phrase}"

    def _log_failure(self, error):
        if self.gone and isinstance(error, (OSError, GeneratorExit)):
            return      # it only says what we know: the client is gone
        self.service.logger.error(
            "error in the application (%s %s)", self.method, self.uri, exc_info=error
        )

    cdef int _response_done(self, Lane lane) except -1:
        """All of the response is sent, or nothing more can be."""
        if self.gone:
            return self.close()
        if self.broke_off:
            # Where only the end of the connection ends the body, an orderly end would look complete.
            return self.abort() if self.body_left < 0 and not self.reply.chunked else self._finish_off(lane)
        if not self.reply.keep_alive:
            return self._finish_off(lane)
        if self.decoder is not None and not self.decoder.is_finished():
            self.body_left = self.service.body_drain
            if self._is_too_much_unread():
                return self._linger(lane)
            self.state = DISCARD
            self.deadline = lane.now + self.service.body_timeout if self.service.body_timeout else 0
            return 0
        self.decoder = None
        self.state = IDLE
        self.deadline = lane.now + self._idle_time()
        return 0

    cdef bint _is_too_much_unread(self) noexcept:
        """Whether the request's body cannot be skipped: never asked for, or longer than it is worth."""
        if self.decoder is None or self.decoder.is_finished():
            return False
        return self.owes_continue or self.decoder.remaining > <unsigned long long>self.service.body_drain

    cdef int _finish_off(self, Lane lane) except -1:
        """Close after a response. If the client may have sent more, it is read for a while first."""
        cdef bint unread = self.decoder is not None and not self.decoder.is_finished()
        if unread or self.client_stays or self.more_is_here or self.pending is not None or self.broke_off:
            return self._linger(lane)
        if self.body_left < 0 and not self.reply.chunked:
            # A child that the application has forked may hold a copy of the socket, and this end is the framing.
            shutdown(self.fd, SHUT_WR)
        return self.close()

    def _log_refusal(self, error):
        self.service.row.data.errors += 1
        self.service.logger.info("refused a request of %s: %s", self.peer.host or "a unix socket", error)

    cdef int _refuse(self, Lane lane, object error) except -1:
        """Answer a message that breaks the protocol or a limit, and close."""
        self._log_refusal(error)
        self.environ = None
        self.store = None
        return self._error_response(lane, error.status)

    cdef int _error_response(self, Lane lane, int status) except -1:
        lane.out.size = 0
        self.reply.keep_alive = False
        self.pending = None
        self.head = None
        self.decoder = None
        self.body_left = 0
        self.service.refresh_date()
        write_error(lane.out, self.service.defaults, status, self.state != HEAD and self.reply.is_head)
        self.state = FLUSHING
        self.deadline = 0
        self._transmit(lane.out, None, NULL, 0)
        if self.state == CLOSED or self.gone:
            return self.close()
        if self.outflow is not None and not self.outflow.is_empty():
            self.broke_off = True       # and then linger
            return 0
        lane.now = monotonic()
        return self._linger(lane)

    cdef int _linger(self, Lane lane) except -1:
        """Close our side, and throw away what still comes: a reset now could overtake the response."""
        shutdown(self.fd, SHUT_WR)
        self.pending = None
        self.environ = None
        self.decoder = None
        self.state = LINGER
        self.deadline = lane.now + LINGER_TIME
        return self._arm(READ)      # also where the keeper has refused it

    cdef int _discard_input(self, Lane lane) except -1:
        cdef ssize_t n = recv(self.fd, lane.buffer, LANE_BUFFER, 0)
        if n > 0 or (n < 0 and (errno == EAGAIN or errno == EINTR)):
            return 0
        return self.close()

    # ---- writing -----------------------------------------------------------------------------------

    cdef int _flush(self, Lane lane) except -1:
        """Send what is queued, and go on if that was what the connection waited for."""
        cdef Outflow outflow = self.outflow
        cdef bint progress = False
        cdef int flow = FLOW_EMPTY
        if outflow is not None:
            if outflow.sending:
                return 0
            flow = outflow.flush(self.fd, &progress)
        if flow == FLOW_LOST:
            return self._lost()
        if progress and self.service.write_timeout:
            lane.now = monotonic()
            self.deadline = lane.now + self.service.write_timeout
        if flow == FLOW_EMPTY or self.state == PAUSED:
            return self._flushed(lane)
        return 0

    cdef int _flushed(self, Lane lane) except -1:
        """Some of what was queued is sent; perhaps enough to go on."""
        cdef bint empty = self.outflow is None or self.outflow.is_empty()
        if self.state == RUNNING:
            self.deadline = 0
            return self._arm(0)
        if self.state == PAUSED:
            if empty:
                self.deadline = 0
                self._arm(0)
            # What is still queued goes on being sent while the application produces more.
            if empty or self.outflow.pending <= self.service.response_buffer // 2:
                return self._queue_up()
            return 0
        if not empty or self.state != FLUSHING:
            return 0
        self.deadline = 0
        lane.now = monotonic()
        return self._response_done(lane)

    cdef int _lost(self) except -1:
        """The client is gone."""
        self.gone = True
        if self.outflow is not None:
            self.outflow.clear()
        if self.state == RUNNING or self.state == QUEUED:
            self.deadline = 0
            return self._arm(0)
        if self.state == PAUSED:        # the application's iterable has to be closed by its own kind of thread
            self._arm(0)
            self.deadline = 0
            return self._queue_up()
        return self.close()

    cdef int _send_continue(self) except -1:
        self.owes_continue = False
        return self._transmit(None, CONTINUE, NULL, 0)

    cdef int _transmit(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1:
        """Send the bytes of `out`, then those of `piece`, then `tail`; queue what the socket does not take."""
        cdef iovec parts[3]
        cdef msghdr message
        cdef Py_ssize_t total = tail_size
        cdef ssize_t n
        cdef int error
        if self.gone:
            return 0
        if self.outflow is not None and (self.outflow.sending or not self.outflow.is_empty()):
            return self._queue(out, piece, tail, tail_size, 0)
        if piece is None and tail_size == 0:
            total = out.size
            n = send(self.fd, out.data, total, MSG_NOSIGNAL)
            error = errno
        else:
            memset(&message, 0, sizeof(message))
            message.msg_iov = parts
            message.msg_iovlen = 3
            parts[0] = iovec(NULL, 0)
            parts[1] = iovec(NULL, 0)
            if out is not None:
                parts[0] = iovec(out.data, out.size)
                total += out.size
            if piece is not None:
                parts[1] = iovec(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
                total += PyBytes_GET_SIZE(piece)
            parts[2] = iovec(<void*>tail, tail_size)
            if total < SMALL:
                n = sendmsg(self.fd, &message, MSG_NOSIGNAL)
                error = errno
            else:
                with nogil:
                    n = sendmsg(self.fd, &message, MSG_NOSIGNAL)
                    error = errno
        if n == total:
            return 0
        if n < 0:
            if error != EAGAIN and error != EINTR:
                return self._lost()
            n = 0
        return self._queue(out, piece, tail, tail_size, n)

    cdef int _queue(
        self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, Py_ssize_t sent
    ) except -1:
        """Keep what comes behind the first `sent` bytes of out + piece + tail until the socket takes it."""
        cdef Py_ssize_t size
        if self.outflow is None:
            self.outflow = Outflow()
        if out is not None:
            size = out.size
            if sent < size:
                self.outflow.add_raw(out.data + sent, size - sent)
            sent = max(sent - size, 0)
        if piece is not None:
            size = PyBytes_GET_SIZE(piece)
            if sent < size:
                self.outflow.add(piece, sent)
            sent = max(sent - size, 0)
        if sent < tail_size:
            self.outflow.add_raw(tail + sent, tail_size - sent)
        if self.service.write_timeout and self.deadline == 0:
            self.deadline = monotonic() + self.service.write_timeout
        return self._arm(WRITE) if not self.outflow.sending else 0

    # ---- what the gateway calls (gateway/exchange.pxd) ---------------------------------------------

    cdef int respond(self, str status, list headers, bytes piece, long long length) except -1:
        cdef Buffer out = self._out()
        self.service.refresh_date()
        out.size = 0
        self.reply.length = length
        if self.service.draining or self._is_too_much_unread():
            self.reply.keep_alive = False
        write_head(out, self.service.defaults, status, headers, &self.reply)
        self.head_sent = True
        self.lane.active_ns = self.lane.active_ns if self.reply.length >= 0 else monotonic()
        self.body_left = self.reply.length
        if self.reply.bodyless or not piece:
            return self._transmit(out, None, NULL, 0)
        return self._send_piece(out, piece)

    cdef Buffer _out(self):
        """The buffer of the thread that is in the application for this request."""
        if self.lane is None:
            raise GatewayError("the response was written to while no thread was serving its request")
        return self.lane.out

    cdef int send(self, bytes piece) except -1:
        cdef Buffer out = self._out()
        out.size = 0
        self.lane.active_ns = monotonic()
        if self.reply.bodyless:
            return 0
        return self._send_piece(out, piece)

    cdef int _send_piece(self, Buffer out, bytes piece) except -1:
        """Send a piece of the body, behind what `out` already holds."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
        if self.body_left >= 0:
            if size > self.body_left:
                self._log_length("more")
                piece = piece[:self.body_left]
                size = len(piece)
            self.body_left -= size
        self.body_sent += size
        if self.reply.chunked:
            write_chunk_size(out, size)
            if size > INLINE:
                return self._transmit(out, piece, b"\r\n", 2)
            out.add(PyBytes_AS_STRING(piece), size)
            out.add(b"\r\n", 2)
            return self._transmit(out, None, NULL, 0)
        if size > INLINE:
            return self._transmit(out, piece, NULL, 0)
        out.add(PyBytes_AS_STRING(piece), size)
        return self._transmit(out, None, NULL, 0) if out.size else 0

    def _log_length(self, what):
        self.service.logger.warning(
            "the application produced %s bytes than its Content-Length says (%s %s)",
            what, self.method, self.uri,
        )

    cdef int finish(self) except -1:
        if self.reply.bodyless:
            return 0
        if self.reply.chunked:
            return self._transmit(None, b"0\r\n\r\n", NULL, 0)
        if self.body_left > 0 and not self.gone:
            self._log_length("fewer")
            self.reply.keep_alive = False
            self.broke_off = True
        return 0

    cdef bint respond_file(self, str status, list headers, object file) except -1:
        cdef long long size
        cdef int fd
        if not self.service.sendfile:
            return False
        span = maybe_span(file)
        if span is None:
            return False        # to be read like any other iterable
        source, offset, size = span
        self.respond(status, headers, b"", size)
        if self.reply.bodyless or size == 0:
            self.finish()
            return True
        if size > self.body_left:
            self._log_length("more")
            size = self.body_left
        self.body_left -= size
        self.body_sent += size
        fd = dup(source)        # the application may close its file at once, the client may take its time
        if fd < 0:
            raise OSError(errno, os.strerror(errno))
        if self.outflow is None:
            self.outflow = Outflow()
        self.outflow.add_file(fd, offset, size)
        self._flush(self.lane)
        if not self.gone and not self.outflow.is_empty():
            if self.service.write_timeout and self.deadline == 0:
                self.deadline = monotonic() + self.service.write_timeout
            self._arm(WRITE)
        self.finish()
        return True

    cdef bint wants_no_body(self) noexcept:
        return self.reply.bodyless

    cdef bint congested(self) noexcept:
        return (
            self.outflow is not None and not self.gone
            and self.outflow.pending > self.service.response_buffer
        )

    cdef int wait_uncongested(self) except -1:
        cdef pollfd waiting
        cdef long long before
        while self.congested():
            waiting = pollfd(self.fd, POLLOUT, 0)
            if self.lane is None:
                raise GatewayError("write() was called while no thread was serving its request")
            with nogil:
                poll(&waiting, 1, 1000)
            before = self.outflow.pending if self.outflow is not None else 0
            self._flush(self.lane)
            if self.outflow is None or self.outflow.pending < before:
                self.lane.active_ns = monotonic()
        return 0

    cdef int hint(self, list headers) except -1:
        cdef Buffer out = self._out()
        if self.reply.minor == 0 or self.head_sent:
            return 0
        out.size = 0
        write_interim(out, b"HTTP/1.1 103 Early Hints\r\n", headers)
        return self._transmit(out, None, NULL, 0)

    cdef bytes read_body(self, Py_ssize_t size):
        """Blocks the application's thread: that is what an unbuffered request body means."""
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
                self._wait_readable()
            if self.decoder is not decoder or self.pending is None:
                raise RequestCut("the request has ended")     # read from another thread than the one that serves it
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

    cdef int _wait_readable(self) except -1:
        """Get bytes from the client into `pending`. Raises RequestCut."""
        cdef pollfd waiting
        cdef ssize_t n
        cdef int error
        cdef int ready
        cdef int timeout = -1
        cdef bytes data = PyBytes_FromStringAndSize(NULL, LANE_BUFFER)
        cdef char* room = PyBytes_AS_STRING(data)
        if self.owes_continue and not self.head_sent:
            self._send_continue()
        if self.service.body_timeout:
            timeout = <int>(self.service.body_timeout // 1000000)
        # This thread waits for input itself; others may still send what is queued.
        self._arm(WRITE if self._has_queued() else 0)
        while True:
            if self.state != RUNNING:
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
            waiting = pollfd(self.fd, POLLIN, 0)
            with nogil:
                ready = poll(&waiting, 1, timeout)
            if ready == 0:
                self.cut_status = 408
                self.reply.keep_alive = False
                raise RequestCut("the client stopped sending the request body")

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


cdef int _close_quietly(object file) except -1:
    """A temporary file is closed here, not whenever its last reference goes."""
    try:
        file.close()
    except (OSError, ValueError):
        return 0        # the application has closed or detached it
    return 0


cdef int _label(CellData* cell, str method, str uri) except -1:
    """What the thread is doing, for people who look at the scoreboard."""
    cdef Py_ssize_t used = _copy(cell, 0, method)
    cell.request[used] = c' '
    used = _copy(cell, used + 1, uri)
    cell.request[used] = 0
    return 0


cdef extern from "Python.h":
    int PyUnicode_KIND(object)
    unsigned char* PyUnicode_1BYTE_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)


cdef inline Py_ssize_t _copy(CellData* cell, Py_ssize_t at, str text):
    """Copy what fits at `at`, leaving room for a space and the NUL. Where the copy ends."""
    cdef Py_ssize_t size
    if text is not None and PyUnicode_KIND(text) == 1:
        size = max(min(PyUnicode_GET_LENGTH(text), <Py_ssize_t>REQUEST_LABEL - 2 - at), <Py_ssize_t>0)
        memcpy(&cell.request[at], PyUnicode_1BYTE_DATA(text), size)
        return at + size
    return at
