from typing import Literal, NamedTuple

from tricorn.http.request import Limits

Fields = tuple[tuple[bytes, bytes], ...]

class Head(NamedTuple):
    """A request head: see reader.pyx."""

    method: bytes
    target: bytes
    path: bytes
    query: bytes | None
    authority: bytes | None
    version: int
    fields: Fields
    keep_alive: bool
    expect_continue: bool
    framing: Literal["none", "length", "chunked"]
    content_length: int
    spoken: int = 0
    script: bytes = b""
    address: bytes = b""
    port: int = -1
    is_secure: bool = False
    variables: Fields = ()

class Data(NamedTuple):
    """Some content of the body, never empty."""

    content: bytes

class End(NamedTuple):
    """The message is complete."""

    trailers: Fields

class Refused(NamedTuple):
    """What the client would be told. Nothing is read any more."""

    status: int
    rule: str
    reason: str

Event = Head | Data | End | Refused

class RequestReader:
    """Reads the requests of one connection: see reader.pyx."""

    limits: Limits
    is_closed: bool
    def __init__(self, limits: Limits | None = None, *, packets: bool = False) -> None: ...
    def feed(self, data: bytes) -> list[Event]: ...
    def finish(self) -> list[Event]: ...
