"""ASGI 3, `websocket`: one call of an application, from websocket.connect to websocket.disconnect (specification 2.5).

The plan. Until the application accepts, this is a request like any other, which it may also refuse with a response of its own;
so the call is an HTTPCall whose receive() and send() speak of messages. Once accepted, a `MessageExchange` carries them.

Guarantees: messages in the wrong order or form are errors in the application's own frame; after the end receive() says
websocket.disconnect however often it is asked, and send() raises.

Knows: the application interface. Must not know: frames, where bytes go.
"""

from collections import deque

from tricorn.gateway.asgi cimport HTTPCall, checked_bytes, checked_headers, checked_message
from tricorn.gateway.exchange cimport AsyncExchange, MessageExchange
from tricorn.gateway.waiting cimport DONE, PENDING, Awaiting, WaitQueue

from tricorn.gateway.errors import ClientDisconnected, GatewayError

cdef str SEND = "websocket.send"
cdef str ACCEPT = "websocket.accept"
cdef str CLOSE = "websocket.close"
cdef str REFUSAL_START = "websocket.http.response.start"
cdef str REFUSAL_BODY = "websocket.http.response.body"


cdef class MessageDraining(Awaiting):
    cdef WaitQueue waiters(self):
        return (<WebSocketCall>self.owner).waiting_writers()

    cdef object poll(self):
        cdef MessageExchange line = (<WebSocketCall>self.owner).line
        if line is None or line.gone:
            return None     # the next send() or receive() says so
        return PENDING if line.congested() else None


cdef class WebSocketCall(HTTPCall):
    def __cinit__(self):
        self.messages = deque()

    # ---- what the application calls ----------------------------------------------------------------

    def send(self, message):
        """Raises GatewayError for what is against the specification, ClientDisconnected, ResponseError, ValueError."""
        cdef dict content = checked_message(message)
        cdef object kind = content.get("type")
        cdef MessageExchange line = self.line           # it may let go of us, and would be gone itself
        cdef AsyncExchange exchange = self.exchange
        cdef MessageDraining draining
        if kind == SEND:
            self._send(content)
        elif kind == ACCEPT:
            self._accept(content)
        elif kind == CLOSE:
            self._close(content)
        elif kind == REFUSAL_START or kind == REFUSAL_BODY:
            self._refuse_with(content, kind == REFUSAL_START)
        else:
            shown = repr(kind) if isinstance(kind, str) else "a message without a type"
            raise GatewayError(f"{shown} is no message of a WebSocket")
        if self.line is None or not self.line.congested():
            return DONE
        draining = MessageDraining.__new__(MessageDraining)
        draining.owner = self
        return draining

    # ---- what the transport calls ------------------------------------------------------------------

    cdef int deliver(self, str key, object content, Py_ssize_t size) except -1:
        """A message of the client. key: `text` or `bytes`."""
        self.messages.append({"type": "websocket.receive", key: content})
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
            message = self.messages.popleft()
            if line is not None:
                line.taken()
            return message
        if self.closed:
            return {"type": "websocket.disconnect", "code": self.close_code, "reason": self.close_reason}
        if self.refused or self.disconnected:
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        return PENDING

    cdef int _accept(self, dict message) except -1:
        if self.accepted or self.refused:
            raise GatewayError("websocket.accept was sent twice, or after the connection was refused")
        if self.closed or self.disconnected or self.line is None:
            raise ClientDisconnected("the client went away")
        subprotocol = message.get("subprotocol")
        if subprotocol is not None and not isinstance(subprotocol, str):
            raise GatewayError(f"the subprotocol must be str, not {type(subprotocol).__name__}")
        self.line.accept(subprotocol, checked_headers(message))
        self.accepted = True
        return 0

    cdef int _send(self, dict message) except -1:
        if not self.accepted:
            raise GatewayError("websocket.send comes after websocket.accept")
        if self.closed or self.line is None or self.line.gone:
            raise ClientDisconnected("the connection is closed")
        text = message.get("text")
        if text is not None:
            if not isinstance(text, str):
                raise GatewayError(f"the text must be str, not {type(text).__name__}")
            return self.line.send_text(text)
        data = message.get("bytes")
        if data is None:
            raise GatewayError("websocket.send has neither text nor bytes")
        return self.line.send_bytes(checked_bytes(data, "the bytes"))

    cdef int _close(self, dict message) except -1:
        code = message.get("code")
        code = 1000 if code is None else code
        reason = message.get("reason") or ""
        if not isinstance(code, int) or not isinstance(reason, str):
            raise GatewayError("a close has an int as its code and a str as its reason")
        if self.has_closed or self.refused:
            raise GatewayError("websocket.close was sent after the end of the connection")
        if self.closed:
            raise ClientDisconnected("the connection is closed")
        if not self.accepted:
            return self._refuse_with({"status": 403, "headers": [(b"content-length", b"0")]}, True) or self._refuse_with(
                {}, False)
        if self.line is not None and not self.line.gone:
            self.line.close_with(code, reason)
        self.has_closed = True
        return self.close(code, reason)

    cdef int _refuse_with(self, dict message, bint is_start) except -1:
        """A response in place of the WebSocket."""
        if self.accepted or self.ended:
            raise GatewayError("the connection can be refused only before it is accepted, and once")
        if self.disconnected or self.exchange is None or self.exchange.gone:
            raise ClientDisconnected("the client went away")
        if is_start:
            self.refused = True
            return self._start(message)
        return self._body(message)
