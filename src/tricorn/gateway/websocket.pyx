"""ASGI 3, `websocket`: one call of an application, from websocket.connect to websocket.disconnect (specification 2.5).

The plan. Until the application accepts, this is a request like any other, which it may also refuse with a response of its own;
so the call is an HTTPCall whose receive() and send() speak of messages. Once accepted, a `MessageExchange` carries them.

Guarantees: messages in the wrong order or form are errors in the application's own frame; after the end receive() says
websocket.disconnect however often it is asked, and send() raises.

Knows: the application interface. Must not know: frames, where bytes go.
"""

from collections import deque

from cpython.object cimport PyObject

from tricorn.gateway.asgi cimport (
    KEY_BYTES, KEY_CODE, KEY_COUNT, KEY_HEADERS, KEY_REASON, KEY_SUBPROTOCOL, KEY_TEXT, HTTPCall, checked_bytes,
    checked_headers, checked_text, is_same, make_callable, part, shown_kind, take_apart,
)
from tricorn.gateway.exchange cimport AsyncExchange, MessageExchange
from tricorn.gateway.waiting cimport PENDING

from tricorn.gateway.errors import ClientDisconnected, GatewayError
from tricorn.http.errors import ResponseError

cdef str SEND = "websocket.send"
cdef str ACCEPT = "websocket.accept"
cdef str CLOSE = "websocket.close"
cdef str REFUSAL_START = "websocket.http.response.start"
cdef str REFUSAL_BODY = "websocket.http.response.body"

# Looked up once.
cdef object APPEND = deque.append
cdef object POPLEFT = deque.popleft


cdef class WebSocketCall(HTTPCall):
    def __cinit__(self):
        self.messages = deque()

    # ---- what the transport calls ------------------------------------------------------------------

    cdef int deliver(self, str key, object content, Py_ssize_t size) except -1:
        """A message of the client. key: `text` or `bytes`."""
        APPEND(self.messages, {"type": "websocket.receive", key: content})
        self.size += size
        return self.arrived()

    cdef int close(self, int code, str reason) except -1:
        """The connection is over for the application, which is told once it has taken what came before."""
        if not self.closed:
            self.closed = True
            self.close_code = code
            self.close_reason = reason
        return self.disconnect()

    # ---- details -----------------------------------------------------------------------------------

    cdef object _message(self):
        cdef MessageExchange line = self.line
        if not self.connected:
            self.connected = True
            return {"type": "websocket.connect"}
        if self.messages:
            message = POPLEFT(self.messages)
            if line is not None:
                line.taken()
            return message
        if self.closed:
            return {"type": "websocket.disconnect", "code": self.close_code, "reason": self.close_reason}
        if self.refused or self.disconnected:
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        return PENDING

    cdef int _act(self, PyObject** parts, str kind) except -1:
        cdef AsyncExchange exchange = self.exchange     # it may let go of us, and would be gone itself
        cdef MessageExchange line = self.line
        if is_same(kind, SEND):
            return self._send(parts)
        if is_same(kind, ACCEPT):
            return self._accept(parts)
        if is_same(kind, CLOSE):
            return self._close(parts)
        if is_same(kind, REFUSAL_START):
            return self._refuse_with(parts, True)
        if is_same(kind, REFUSAL_BODY):
            return self._refuse_with(parts, False)
        raise GatewayError(f"{shown_kind(kind)} is not a valid WebSocket message")

    cdef bint _may_go_on(self) except -1:
        return not self._must_wait()

    cdef bint _must_wait(self) except -1:
        cdef MessageExchange line = self.line
        # Where nobody is left, the next send() or receive() says so.
        return line is not None and not line.gone and line.congested()

    cdef int _accept(self, PyObject** parts) except -1:
        subprotocol = part(parts, KEY_SUBPROTOCOL, None)
        given = part(parts, KEY_HEADERS, ())
        cdef str name = None if subprotocol is None else checked_text(subprotocol, "the subprotocol")
        cdef list headers = [_checked_pair(pair) for pair in checked_headers(given)]
        cdef MessageExchange line = self.line
        if self.accepted or self.refused:
            raise GatewayError("websocket.accept was sent twice, or after the connection was refused")
        if self.closed or self.disconnected or line is None:
            raise ClientDisconnected("the client went away")
        line.accept(name, headers)
        self.accepted = True
        return 0

    cdef int _send(self, PyObject** parts) except -1:
        cdef str text = None
        cdef bytes data = None
        cdef MessageExchange line
        content = part(parts, KEY_TEXT, None)
        if content is not None:
            text = checked_text(content, "the text")
        else:
            content = part(parts, KEY_BYTES, None)
            if content is None:
                raise GatewayError("websocket.send has neither text nor bytes")
            data = checked_bytes(content, "the bytes")
        if not self.accepted:
            raise GatewayError("websocket.send was sent before websocket.accept")
        line = self.line
        if self.closed or line is None or line.gone:
            raise ClientDisconnected("the connection is closed")
        return line.send_text(text) if text is not None else line.send_bytes(data)

    cdef int _close(self, PyObject** parts) except -1:
        code = part(parts, KEY_CODE, None)
        reason = part(parts, KEY_REASON, None)
        if not (code is None or isinstance(code, int)) or not (reason is None or isinstance(reason, str)):
            raise GatewayError("the code of websocket.close must be an int, and its reason a str")
        cdef int number = 1000 if code is None else min(max(int.__index__(code), -1), 1 << 16)
        cdef str text = "" if reason is None else checked_text(reason, "the reason")
        if self.has_closed or self.refused:
            raise GatewayError("websocket.close was sent after the end of the connection")
        if self.closed:
            raise ClientDisconnected("the connection is closed")
        if not self.accepted:
            return self._turn_away()
        cdef MessageExchange line = self.line
        if line is not None and not line.gone:
            line.close_with(number, text)
        self.has_closed = True
        return self.close(number, text)

    cdef int _turn_away(self) except -1:
        """What a close before the WebSocket is accepted means."""
        cdef PyObject* parts[KEY_COUNT]
        cdef dict message = take_apart({"status": 403, "headers": [(b"content-length", b"0")]}, parts)
        self._refuse_with(parts, True)
        message = take_apart({}, parts)
        return self._refuse_with(parts, False)

    cdef int _refuse_with(self, PyObject** parts, bint is_start) except -1:
        """A response in place of the WebSocket."""
        if self.accepted or self.ended:
            raise GatewayError("the connection can be refused only once, and only before it is accepted")
        if self.disconnected or self.exchange is None or self.exchange.gone:
            raise ClientDisconnected("the client went away")
        if is_start:
            self.refused = True
            return self._start(parts)
        return self._body(parts)


cdef tuple _checked_pair(object pair):
    """A header as a tuple of exactly two bytes."""
    try:
        name, value = pair
    except (TypeError, ValueError):
        raise ResponseError("each header must be a pair of a name and a value") from None
    return checked_bytes(name, "a header name"), checked_bytes(value, "a header value")


make_callable(WebSocketCall)
