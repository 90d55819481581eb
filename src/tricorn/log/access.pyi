from collections.abc import Callable, Sequence
from typing import Any

from tricorn.log.meter import Meter

class AccessLog:
    """Formats access log lines into a buffer and writes them to `fd`, which stays the caller's."""

    fd: int
    lines: int
    dropped: int
    recorder: Any
    def __init__(
        self,
        format: str | None,
        fd: int,
        deliver: Callable[[bytes], None] | None = None,
        meter: Meter | None = None,
        recorder: Any = None,
    ) -> None: ...
    def record(
        self,
        environ: dict[str, object],
        status: str,
        headers: Sequence[tuple[str, str]] | None,
        body_bytes: int,
        duration_ns: int,
        wall_time: float,
        queued_ns: int = -1,
        request_id: str | None = None,
    ) -> int: ...
    def record_scope(
        self,
        scope: dict[str, object],
        uri: str | None,
        protocol: str | None,
        status: str | None,
        headers: Sequence[Sequence[bytes]] | None,
        body_bytes: int,
        duration_ns: int,
        wall_time: float,
        queued_ns: int = -1,
        request_id: str | None = None,
    ) -> int: ...
    def flush(self) -> int: ...
    def forget(self) -> int: ...
    def reopen(self, fd: int) -> int: ...
