"""One client connection: HTTP/1.x between the bytes of a socket and an exchange, whatever kind of application answers.

The plan. A connection is always in one state, and its descriptor is watched for what the state waits for. What is here: reading
heads, refusing, skipping bodies, writing, ending. What depends on how applications run (threads that may block, or one
event loop) is filled in by ThreadedConnection and LoopConnection.

Guarantees: requests are answered in order, one at a time; nothing behind a refused message is ever parsed; a
body that nobody read never becomes the next request.

Knows: sockets, deadlines, the HTTP engine. Must not know: application interfaces, signals, settings, other connections.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memset

from tricorn.gateway.exchange cimport AsyncExchange
from tricorn.gateway.translator cimport Peer
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport (
    CUT_BODY, DONE, LONG_BODY, MORE, REFUSED, parse_head, refusal,
)
from tricorn.http.request cimport BODY_LENGTH, RequestHead
from tricorn.http.response cimport write_chunk_size, write_error, write_head, write_interim
from tricorn.scoreboard cimport monotonic
from tricorn.transport.batch cimport Batch
from tricorn.transport.outflow cimport FLOW_EMPTY, FLOW_LOST, FileSpan, Outflow, new_span
from tricorn.transport.poller cimport READ, Poller
from tricorn.transport.service cimport LANE_BUFFER, Lane, Service
from tricorn.transport.system cimport (
    EAGAIN, EINTR, MSG_NOSIGNAL, SHUT_WR, SO_LINGER, SOL_SOCKET, close as close_fd, errno, iovec, linger, msghdr,
    recv, send, sendmsg, setsockopt, shutdown, tricorn_pending_error,
)

from tricorn.http.errors import ProtocolError
from tricorn.http.proxy_protocol import parse as parse_proxy
from tricorn.transport.files import maybe_span

cdef enum:
    # Pieces up to this are copied behind the head, so that one send() takes both; beyond it two places in memory
    # are handed to sendmsg(), which costs a little more and copies nothing.
    INLINE = 2048
    # A system call that moves less than this costs less than giving the GIL away and taking it back.
    SMALL = 32768
    # Bytes of one body in a row, before others get their turn.
    BODY_RUN = 1048576
    # Requests of one connection in a row, before others get their turn.
    PIPELINE_RUN = 16

cdef long long SECOND = 1000000000
# How long a closed connection is read on, so that our last words are not lost to a reset (RFC 9112 §9.6).
cdef long long LINGER_TIME = 2 * SECOND

cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


# As in gateway/wsgi.pyx: what may fail is called unchecked, and `try` stands where its error is dealt with.
ctypedef int (*Unchecked)(Connection, RequestHead) noexcept


cdef int _translate(Connection connection, RequestHead head) except -1:
    cdef long long limit = connection.service.limits.body
    if limit and head.framing == BODY_LENGTH and head.content_length > limit:
        raise refusal(LONG_BODY)
    return connection._translate(head)


cdef bint welcome(Connection self, Service service, int fd, unsigned int serial, Peer peer, long long now):
    """Fill in what every connection begins with. False: this peer may not connect."""
    if service.proxy_mode is not None and not service.proxy_peers.trusts(peer.host):
        return False
    self.service = service
    self.fd = fd
    self.serial = serial
    self.peer = peer
    self.state = IDLE if service.proxy_mode is None else PROXY
    self.deadline = now + service.header_timeout if service.header_timeout else 0
    return True


cdef class Connection(AsyncExchange):
    def __dealloc__(self):
        if self.state != CLOSED and self.fd >= 0:
            close_fd(self.fd)

    # ---- what a kind of connection fills in ----------------------------------------------------------

    cdef int on_event(self, Lane lane) except -1:
        """The descriptor is ready for what it was watched for, or broken."""
        raise NotImplementedError

    cdef int expire(self, Lane lane) except -1:
        """It is overdue."""
        raise NotImplementedError

    cdef bint overdue(self, long long now) noexcept:
        return self.deadline != 0 and self.deadline <= now

    cdef int begin_drain(self, long long soon, int code) except -1:
        """The worker ends: idle connections close soon, the others after their request. code: for WebSockets."""
        if self.state == IDLE and (self.deadline == 0 or self.deadline > soon):
            self.deadline = soon
        return 0

    cdef int _translate(self, RequestHead head) except -1:
        """Make the gateway's form of a request. Raises ProtocolError."""
        raise NotImplementedError

    cdef Py_ssize_t _open_request(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        """Take a request that was translated on. Returns how much of the `data` behind its head is used."""
        raise NotImplementedError

    cdef Py_ssize_t _read_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        """In the state BODY. Returns how much of `data` is used."""
        raise NotImplementedError

    cdef bint _place_body(self, Lane lane, unsigned char** place, Py_ssize_t* size) except -1:
        """In the state BODY: its next bytes may go to another place than the lane's buffer. False: it was refused."""
        return True

    cdef int _placed(self, Lane lane, Py_ssize_t size) except -1:
        """`size` bytes of the body have come to the place that was named."""
        raise NotImplementedError

    cdef int _give_way(self) except -1:
        """Many requests of this connection were served in a row: go on with `pending` after the others."""
        raise NotImplementedError

    cdef int _drop_request(self) except -1:
        """Forget the request that is being read."""
        raise NotImplementedError

    cdef int _touch(self) except -1:
        """The application gives something to the client."""
        raise NotImplementedError

    cdef int _arm_writing(self) except -1:
        """Watch for what is queued."""
        raise NotImplementedError

    cdef int _release(self) except -1:
        """Send what a transport may have held back, because something else must come behind it."""
        return 0

    # ---- the end --------------------------------------------------------------------------------------

    cdef int close(self) except -1:
        if self.state == CLOSED:
            return 0
        self._release()
        if self.state == CLOSED:
            return 0
        self._arm(0)
        self.state = CLOSED
        self.gone = True
        self.deadline = 0
        self.service.table[self.fd] = None
        self.service.connections -= 1
        self.service.row.data.connections = self.service.connections
        if self.service.full or (self.service.draining and self.service.connections == 0):
            self.service.full = False
            self.service.wake()
        if self.outflow is not None and self.outflow.sending:
            self.outflow.orphan(self.fd)        # a thread is in a system call with it
        else:
            close_fd(self.fd)
        self.fd = -1            # the number may belong to another connection from now on
        self.pending = None
        self.head = None
        self.decoder = None
        self.outflow = None
        self._drop_request()
        self.method = self.uri = None
        return 0

    cdef int forsake(self) noexcept:
        """As Reception.forsake: the client stays with the process that we come from."""
        if self.state == CLOSED:
            return 0
        self.state = CLOSED
        self.gone = True
        close_fd(self.fd)
        self.fd = -1
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
        if interest == 0:
            poller.remove(self.fd)
        else:
            try:
                if self.armed == 0:
                    poller.add(self.fd, interest, token)
                else:
                    poller.modify(self.fd, interest, token)
            except OSError as error:        # ENOMEM, ENOSPC (epoll_ctl(2)): nobody would ever look at it again
                self.service.logger.error("Cannot watch a connection; closing it: %s", error)
                return self._lost()
        self.armed = interest
        return 0

    cdef bint _has_queued(self) noexcept:
        return self.outflow is not None and not self.outflow.is_empty()

    cdef int _read(self, Lane lane) except -1:
        cdef ssize_t n
        cdef Py_ssize_t size
        cdef Py_ssize_t body = 0
        cdef unsigned char* place
        while True:
            place = lane.buffer
            size = LANE_BUFFER
            if self.state == BODY and not self._place_body(lane, &place, &size):
                return 0
            n = recv(self.fd, place, size, 0)
            if n == 0:
                return self._end_of_input(lane)
            if n < 0:
                if errno == EAGAIN or errno == EINTR:
                    return 0
                return self._lost()
            if place == lane.buffer:
                self._received(lane, place, n)
            else:
                self._placed(lane, n)
            body += n
            # A body is read on while it lasts; anything else rarely has more to give.
            if self.state != BODY or n < size or body >= BODY_RUN:
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
                    return self._give_way()
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
        # A new connection keeps the deadline that it was accepted with, and a response has set one. Otherwise this may be
        # the first event of a thread that has slept: its clock is not to be trusted.
        if self.deadline == 0:
            self.deadline = monotonic() + self._idle_time()
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
        if (<Unchecked>_translate)(self, head) < 0:
            return self._untranslatable(lane)
        return self._open_request(lane, head, data, size)

    cdef Py_ssize_t _untranslatable(self, Lane lane) except -1:
        """A limit or the header policy refuses the request, if it is not a fault of ours."""
        try:
            tricorn_pending_error()
        except ProtocolError as error:
            self._refuse(lane, error)
        return 0

    cdef Py_ssize_t _skip_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef Py_ssize_t used = 0
        cdef int progress = MORE
        cdef BodyDecoder decoder = self.decoder
        cdef long long start = decoder.received
        while progress == MORE and used < size:
            progress = decoder.decode(
                data + used, size - used, &step, &content, &length, self.service.limits
            )
            used += step
        self.body_left -= decoder.received - start
        if progress == REFUSED or self.body_left < 0:
            self.close()
        elif progress == DONE:
            self.decoder = None
            self.state = IDLE
            lane.now = monotonic()
            self.deadline = lane.now + self._idle_time()
        return used

    cdef int _end_of_input(self, Lane lane) except -1:
        if self.state == BODY:
            return self._refuse(lane, refusal(CUT_BODY))
        return self.close()

    # ---- between two requests --------------------------------------------------------------------------

    cdef int _response_done(self, Lane lane) except -1:
        """All of the response is sent, or nothing more can be."""
        if self.gone:
            return self.abort()     # perhaps the socket has failed and not the client: it must not look complete
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
        self.service.logger.info("Refused a request from %s: %s", self.peer.host or "a unix socket", error)

    cdef int _refuse(self, Lane lane, object error) except -1:
        """Answer a message that breaks the protocol or a limit, and close."""
        self._log_refusal(error)
        self._drop_request()
        return self._error_response(lane, error.status, getattr(error, "fields", b""))

    cdef int _error_response(self, Lane lane, int status, bytes fields=b"") except -1:
        lane.out.size = 0
        self.reply.keep_alive = False
        self.pending = None
        self.head = None
        self.decoder = None
        self.body_left = 0
        self.service.refresh_date()
        write_error(lane.out, self.service.defaults, status, self.state != HEAD and self.reply.is_head, fields)
        self.state = FLUSHING
        self.deadline = 0
        self._transmit(lane.out, None, NULL, 0)
        self._release()
        if self.state == CLOSED or self.gone:
            return self.close()
        if self.outflow is not None and not self.outflow.is_empty():
            self.broke_off = True       # and then linger
            return 0
        lane.now = monotonic()
        return self._linger(lane)

    cdef int _linger(self, Lane lane) except -1:
        """Close our side, and throw away what still comes: a reset now could overtake the response."""
        self._release()
        if self.state == CLOSED:
            return 0
        shutdown(self.fd, SHUT_WR)
        self.pending = None
        self._drop_request()
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
        if flow == FLOW_EMPTY or progress or self.state == PAUSED:
            return self._flushed(lane)
        return 0

    cdef int _flushed(self, Lane lane) except -1:
        """Some of what was queued is sent; perhaps all."""
        if self.state != FLUSHING or (self.outflow is not None and not self.outflow.is_empty()):
            return 0
        self.deadline = 0
        lane.now = monotonic()
        return self._response_done(lane)

    cdef int _lost(self) except -1:
        """The client is gone, or cannot be served any more (no memory for its socket, say): it has to see that."""
        self.gone = True
        if self.outflow is not None:
            self.outflow.clear()
        return self.abort()

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

    cdef int _transmit_last(self, Buffer out, bytes piece) except -1:
        """As `_transmit`, of bytes that complete a response: they may wait a moment for others."""
        return self._transmit(out, piece, NULL, 0)

    cdef int send_held(self, const void* data, Py_ssize_t size, bytes piece) except -1:
        """What was held back goes out now: `data`, then `piece`."""
        cdef iovec parts[2]
        cdef msghdr message
        cdef ssize_t n
        if self.gone or self.state == CLOSED:
            return 0
        if piece is None:
            n = send(self.fd, data, size, MSG_NOSIGNAL)
        else:
            parts[0] = iovec(<void*>data, size)
            parts[1] = iovec(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
            memset(&message, 0, sizeof(message))
            message.msg_iov = parts
            message.msg_iovlen = 2
            n = sendmsg(self.fd, &message, MSG_NOSIGNAL)
        if n == size + (PyBytes_GET_SIZE(piece) if piece is not None else 0):
            return 0
        if n < 0:
            if errno != EAGAIN and errno != EINTR:
                return self._lost()
            n = 0
        if self.state == IDLE:
            self.state = FLUSHING       # the response is not out, as it seemed when it was handed over
            self.deadline = 0
        if n < size:
            self._queue(None, None, <const char*>data + n, size - n, 0)
            n = size
        return self._queue(None, piece, NULL, 0, n - size)

    cdef int _queue(
        self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, Py_ssize_t sent
    ) except -1:
        """Keep what comes behind the first `sent` bytes of out + piece + tail until the socket takes it."""
        cdef Py_ssize_t size
        cdef Outflow outflow = self._outflow()
        cdef long long before = outflow.pending
        if out is not None:
            size = out.size
            if sent < size:
                outflow.add_raw(out.data + sent, size - sent)
            sent = max(sent - size, 0)
        if piece is not None:
            size = PyBytes_GET_SIZE(piece)
            if sent < size:
                outflow.add(piece, sent)
            sent = max(sent - size, 0)
        if sent < tail_size:
            outflow.add_raw(tail + sent, tail_size - sent)
        self.service.queued += outflow.pending - before
        if self.service.write_timeout and self.deadline == 0:
            self.deadline = monotonic() + self.service.write_timeout
        return self._arm_writing() if not outflow.sending else 0

    cdef Outflow _outflow(self):
        cdef Outflow made
        if self.outflow is None:
            made = Outflow()        # it may run the garbage collector, and that a destructor which sends something
            if self.outflow is None:
                self.outflow = made
        return self.outflow

    # ---- what the gateway calls (gateway/exchange.pxd) ---------------------------------------------

    cdef int respond(self, str status, object headers, bytes piece, long long length) except -1:
        cdef Buffer out = self._out()
        self.service.refresh_date()
        out.size = 0
        self.reply.length = length
        if self.service.draining or self._is_too_much_unread():
            self.reply.keep_alive = False
        write_head(out, self.service.defaults, status, headers, &self.reply)
        self.head_sent = True
        if self.reply.length < 0:
            self._touch()
        self.body_left = self.reply.length
        if self.reply.bodyless or (not piece and self.body_left == 0):
            return self._transmit_last(out, None)
        if not piece:
            return self._transmit(out, None, NULL, 0)
        return self._send_piece(out, piece)

    cdef Buffer _out(self):
        """Where bytes for this client are put together."""
        raise NotImplementedError

    cdef int send(self, bytes piece) except -1:
        cdef Buffer out = self._out()
        out.size = 0
        self._touch()
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
        if size <= INLINE:
            out.add(PyBytes_AS_STRING(piece), size)
            piece = None
        if out.size == 0 and piece is None:
            return 0
        return self._transmit_last(out, piece) if self.body_left == 0 else self._transmit(out, piece, NULL, 0)

    def _log_length(self, what):
        self.service.logger.warning(
            "The application sent %s bytes than its Content-Length says (%s %s)",
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

    cdef bint respond_file(self, str status, object headers, object file) except -1:
        cdef long long size
        if not self.service.sendfile:
            return False
        span = maybe_span(file)
        if span is None:
            return False        # to be read like any other iterable
        source, offset, size = span
        self.respond(status, headers, b"", size)
        if not self.reply.bodyless and size:
            if size > self.body_left:
                self._log_length("more")
                size = self.body_left
            self._push_file(source, offset, size)
        self.finish()
        return True

    cdef int _push_file(self, int source, long long offset, long long size) except -1:
        """Send a stretch of a file as the next bytes of the body."""
        if self.gone:
            return 0
        # A descriptor of its own: the application may close its file at once, the client may take its time.
        return self._push_span(new_span(source, offset, size))

    cdef int _push_span(self, FileSpan span) except -1:
        cdef Outflow outflow
        self._release()
        if self.gone:
            return 0        # found by the head, which must come first
        if self.body_left >= 0:
            self.body_left -= span.left
        self.body_sent += span.left
        outflow = self._outflow()
        outflow.add_span(span)
        self._flush(self.lane)
        if not self.gone and not outflow.is_empty():
            if self.service.write_timeout and self.deadline == 0:
                self.deadline = monotonic() + self.service.write_timeout
            self._arm_writing()
        return 0

    cdef bint wants_no_body(self) noexcept:
        return self.reply.bodyless

    cdef bint congested(self) noexcept:
        return (
            self.outflow is not None and not self.gone
            and (self.outflow.pending > self.service.response_buffer or self.outflow.files)
        )

    cdef int hint(self, object headers) except -1:
        cdef Buffer out = self._out()
        if self.reply.minor == 0 or self.head_sent:
            return 0
        out.size = 0
        write_interim(out, b"HTTP/1.1 103 Early Hints\r\n", headers, self.reply.octets)
        return self._transmit(out, None, NULL, 0)
