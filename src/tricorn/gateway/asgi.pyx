"""ASGI 3, `http`: one call of an application with its receive() and send() (specification 2.5).

The plan. The start of a response is kept until the first piece of its body comes, so that both leave in one write and a body
that comes whole gets its length; if the application waits in between, the head goes out by itself. `send()` acts when it is
called and returns an awaitable that is done, unless the client has left too much unread. `receive()` acts when
it is awaited: only then the client is asked for its body.

Guarantees: nothing of a response is sent before its head has passed every check; messages in the wrong order or form are errors
in the application's own frame; after the client has gone receive() says so and send() raises OSError.

Knows: the application interface. Must not know: where bytes go, HTTP versions, logs.
"""

from http import HTTPStatus

cimport cython

from tricorn.gateway.exchange cimport AsyncExchange
from tricorn.gateway.waiting cimport DONE, PENDING, Awaiting, Gate, WaitQueue

from tricorn.gateway.errors import ClientDisconnected, GatewayError
from tricorn.http.errors import ResponseError

cdef str START = "http.response.start"
cdef str BODY = "http.response.body"
cdef str PATHSEND = "http.response.pathsend"
cdef str ZEROCOPYSEND = "http.response.zerocopysend"
cdef str TRAILERS = "http.response.trailers"
cdef str EARLY_HINT = "http.response.early_hint"

cdef dict STATUSES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


cdef dict checked_message(object message):
    if type(message) is dict:
        return <dict>message
    try:
        return dict(message)
    except (TypeError, ValueError):
        raise GatewayError(f"a message must be a dict, not {type(message).__name__}") from None


cdef str checked_status(object status):
    found = STATUSES.get(status) if type(status) is int else None
    if found is not None:
        return <str>found
    if not isinstance(status, int) or isinstance(status, bool):
        raise GatewayError(f"the status must be an int, not {type(status).__name__}")
    if not 200 <= status <= 999:
        raise GatewayError("the status of a response must be between 200 and 999")
    return f"{int(status)} "


cdef object checked_headers(dict message):
    headers = message.get("headers", ())
    if type(headers) is list or type(headers) is tuple:
        return headers
    try:
        return list(headers)        # once: it may be an iterator, and it is needed again for the log
    except TypeError:
        raise GatewayError(f"the headers must be an iterable of pairs, not {type(headers).__name__}") from None


cdef bytes checked_bytes(object data, str what):
    if type(data) is bytes:
        return <bytes>data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise GatewayError(f"{what} must be bytes, not {type(data).__name__}")


cdef class Receiving(Awaiting):
    cdef WaitQueue waiters(self):
        return (<HTTPCall>self.owner).waiting_readers()

    cdef object poll(self):
        return (<HTTPCall>self.owner)._message()


cdef class Draining(Awaiting):
    cdef WaitQueue waiters(self):
        return (<HTTPCall>self.owner).waiting_writers()

    cdef object poll(self):
        cdef HTTPCall call = self.owner
        cdef AsyncExchange exchange = call.exchange
        if exchange is None or exchange.gone:
            if call.ended:
                return None
            raise ClientDisconnected("the client went away")
        return PENDING if exchange.congested() else None


@cython.freelist(64)
cdef class HTTPCall:
    # ---- what the application calls ----------------------------------------------------------------

    def receive(self):
        """http.request with what is there of the body, then http.disconnect."""
        cdef Receiving receiving = Receiving.__new__(Receiving)
        receiving.owner = self
        return receiving

    def send(self, message):
        """Raises GatewayError for what is against the specification, ClientDisconnected, ResponseError."""
        cdef dict content = checked_message(message)
        cdef object kind = content.get("type")
        cdef AsyncExchange exchange = self.exchange     # it may let go of us, and would be gone itself
        cdef Draining draining
        if self.ended:
            raise GatewayError(f"{_shown(kind)} was sent after the response was complete")
        if exchange is None or exchange.gone or self.told:
            raise ClientDisconnected("the client went away")
        if kind == BODY:
            self._body(content)
        elif kind == START:
            self._start(content)
        elif kind == PATHSEND:
            self._path(content)
        elif kind == ZEROCOPYSEND:
            self._span(content)
        elif kind == TRAILERS:
            self._trailers(content)
        elif kind == EARLY_HINT:
            self._hint(content)
        else:
            raise GatewayError(f"{_shown(kind)} is no message of a response")
        if self.exchange is None or not self.exchange.congested():
            return DONE
        draining = Draining.__new__(Draining)
        draining.owner = self
        return draining

    # ---- what the transport calls ------------------------------------------------------------------

    cdef int run(self, Gate gate, object application, dict scope) except -1:
        self.gate = gate
        self.scope = scope
        self.starting = True
        try:
            self.task = gate.start(application(scope, self.receive, self.send))
        finally:
            self.starting = False
        return 0

    cdef int arrived(self) except -1:
        """There is something to receive."""
        return self.readers.wake_all() if self.readers is not None and self.readers.first is not None else 0

    cdef int drained(self) except -1:
        """The client has caught up, or never will."""
        return self.writers.wake_all() if self.writers is not None and self.writers.first is not None else 0

    cdef int disconnect(self) except -1:
        self.disconnected = True
        self.arrived()
        return self.drained()

    cdef int flush_head(self) except -1:
        """The application waits: what it has said so far is not kept back any longer."""
        cdef AsyncExchange exchange = self.exchange
        if not self.started or self.head_sent or exchange is None or exchange.gone:
            return 0
        try:
            self._respond(b"", False)
        except ResponseError:
            return 0        # the next piece raises it again, in the application's own frame
        return 0

    cdef int let_go(self) except -1:
        """Of the connection: what the application still does with this call leads nowhere."""
        self.exchange = None
        self.disconnected = True
        self.arrived()
        return self.drained()

    # ---- details -----------------------------------------------------------------------------------

    cdef WaitQueue waiting_readers(self):
        if self.readers is None:
            self.readers = WaitQueue(self.gate)
        return self.readers

    cdef WaitQueue waiting_writers(self):
        if self.writers is None:
            self.writers = WaitQueue(self.gate)
        return self.writers

    cdef object _message(self):
        cdef bint more = False
        cdef bytes data
        cdef AsyncExchange exchange = self.exchange
        if exchange is None or self.ended or self.disconnected:
            return self._disconnect_message()
        if not self.read:
            data = exchange.take_body(&more)
            if data or not more:
                self.read = not more
                return {"type": "http.request", "body": data, "more_body": bool(more)}
            if self.exchange is None or self.disconnected:      # found on the way
                return self._disconnect_message()
        return PENDING

    cdef dict _disconnect_message(self):
        self.told = True
        return {"type": "http.disconnect"}

    cdef int _start(self, dict message) except -1:
        if self.started:
            raise GatewayError("http.response.start was sent twice")
        self.status = checked_status(message.get("status"))
        self.headers = checked_headers(message)
        self.trailing = bool(message.get("trailers", False))
        self.started = True
        if not self.starting:
            self.gate.call_soon(self._flush_soon, context=self.gate.context)
        return 0

    def _flush_soon(self):
        # An application that has failed meanwhile is answered for.
        if self.task is not None and not self.task.done():
            self.flush_head()

    cdef int _respond(self, bytes piece, bint last) except -1:
        if not self.started:
            raise GatewayError("the body of a response was sent before http.response.start")
        self.exchange.respond(self.status, self.headers, piece, len(piece) if last else -1)
        self.head_sent = True
        return 0

    cdef int _body(self, dict message) except -1:
        cdef bytes piece = checked_bytes(message.get("body", b""), "the body")
        cdef bint more = bool(message.get("more_body", False))
        if self.body_over:
            raise GatewayError("http.response.body was sent after the end of the body")
        if not self.head_sent:
            self._respond(piece, not more and not self.trailing)
        elif piece:
            self.exchange.send(piece)
        return 0 if more else self._end_of_body()

    cdef int _path(self, dict message) except -1:
        if self.head_sent or not self.started:
            raise GatewayError("http.response.pathsend is the whole body: it comes right behind the start")
        path = message.get("path")
        if not isinstance(path, str):
            raise GatewayError(f"the path must be str, not {type(path).__name__}")
        self.exchange.respond_path(self.status, self.headers, path)
        self.head_sent = True
        return self._end_of_body()

    cdef int _span(self, dict message) except -1:
        cdef bint more = bool(message.get("more_body", False))
        offset = message.get("offset")
        count = message.get("count")
        if not self.started or self.body_over:
            raise GatewayError("http.response.zerocopysend belongs between the start and the end of a body")
        self.exchange.send_span(
            None if self.head_sent else self.status, self.headers, message.get("file"),
            -1 if offset is None else offset, -1 if count is None else count, not more and not self.trailing,
        )
        self.head_sent = True
        return 0 if more else self._end_of_body()

    cdef int _trailers(self, dict message) except -1:
        if not self.trailing or not self.body_over:
            raise GatewayError("trailers come behind the body of a response that was started with trailers=True")
        self.trailers.extend(checked_headers(message))
        if message.get("more_trailers", False):
            return 0
        self.exchange.finish_with(self.trailers)
        return self._end()

    cdef int _hint(self, dict message) except -1:
        if self.started:
            raise GatewayError("early hints come before the response")
        return self.exchange.hint([(b"link", link) for link in message.get("links", ())])

    cdef int _end_of_body(self) except -1:
        self.body_over = True
        if self.trailing:
            self.trailers = []
            return 0
        self.exchange.finish()
        return self._end()

    cdef int _end(self) except -1:
        cdef AsyncExchange exchange = self.exchange
        self.ended = True
        self.exchange = None
        self.arrived()
        self.drained()      # other tasks of the application's, which nobody would tell later
        return exchange.over()


cdef str _shown(object kind):
    return repr(kind) if isinstance(kind, str) else "a message without a type"
