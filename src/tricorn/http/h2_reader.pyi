from collections.abc import Iterable
from typing import Any

from tricorn.http.request import Limits

class SessionReader:
    """The HTTP/2 session's face for Python: see h2_reader.pyx."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        streams: int = 100,
        window: int = 65535,
        frame: int = 16384,
        head_list: int = 65536,
        discardable: int = 0,
        connects: bool = False,
    ) -> None: ...
    def feed(self, data: bytes) -> list[tuple[Any, ...]] | None: ...
    def judge(self, now: int) -> str | None: ...
    def credit(self, number: int, size: int) -> None: ...
    def respond(
        self,
        number: int,
        status: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        *,
        trailers: Iterable[tuple[bytes, bytes]] | None = None,
        more: bool = False,
    ) -> None: ...
    def go_on(
        self,
        number: int,
        body: bytes,
        *,
        trailers: Iterable[tuple[bytes, bytes]] | None = None,
        more: bool = False,
    ) -> None: ...
    def reset(self, number: int, error: int) -> None: ...
    def leave(self) -> None: ...
    def say_last(self, error: int = 0) -> None: ...
    def take(self) -> bytes: ...
    @property
    def streams(self) -> int: ...
    @property
    def is_over(self) -> bool: ...

def priority_of(*fields: bytes) -> tuple[int | None, bool | None]: ...
