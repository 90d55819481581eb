from typing import NamedTuple

class Text(NamedTuple):
    """A text message."""

    content: str

class Binary(NamedTuple):
    """A binary message."""

    content: bytes

class Ping(NamedTuple):
    """It wants a pong with the same content."""

    content: bytes

class Pong(NamedTuple):
    """The answer to a ping, or one that nobody asked for."""

    content: bytes

class Close(NamedTuple):
    """The client closes. code 1005: it gave none. Nothing is read any more."""

    code: int
    reason: str

class Failed(NamedTuple):
    """What the client would be told. Nothing is read any more."""

    code: int
    reason: str

Event = Text | Binary | Ping | Pong | Close | Failed

class Deflate:
    """permessage-deflate of one connection, as it was negotiated: see websocket.pyx. Raises ValueError."""

    server_no_context_takeover: bool
    client_no_context_takeover: bool
    server_max_window_bits: int
    client_max_window_bits: int
    mem_level: int
    level: int
    threshold: int
    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int = 15,
        client_max_window_bits: int = 15,
        *,
        mem_level: int = 8,
        level: int = 6,
        threshold: int = 0,
    ) -> None: ...

class FrameStream:
    """The frames of one client: see websocket.pyx."""

    def __init__(self, max_message: int = 0, deflate: Deflate | None = None) -> None: ...
    @property
    def held(self) -> int: ...
    @property
    def is_closed(self) -> bool: ...
    def feed(self, data: bytes) -> list[Event]: ...

def frame(opcode: int, payload: bytes) -> bytes:
    """One frame of the server, whole and uncompressed."""

def message(payload: str | bytes, deflate: Deflate | None = None) -> bytes:
    """A message of the server, text (str) or binary. Raises UnicodeEncodeError for a lone surrogate."""

def close_frame(code: int = 1005, reason: str = "") -> bytes:
    """A close frame. Raises ValueError for a code that must not be sent."""
