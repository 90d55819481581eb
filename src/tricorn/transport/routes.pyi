from collections.abc import Iterable, Mapping
from typing import Any

class Route:
    """What requests below one path prefix have of their own: see routes.pxd."""

    prefix: bytes
    request_timeout: int
    slow_request_time: int
    max_queue_time: int
    max_queue: int
    threads: int
    max_concurrency: int
    def __init__(self, prefix: bytes, values: Mapping[str, object], usual: Any) -> None: ...

class Routes:
    """Path prefixes, and what is below each: see routes.pyx."""

    all: tuple[Route, ...]
    def __init__(self, written: Iterable[tuple[bytes, Mapping[str, object]]], usual: Any) -> None: ...
    def of(self, path: bytes) -> Route | None: ...
