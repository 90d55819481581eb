from collections.abc import Callable
from typing import Any

class SlowRequest:
    number: int
    method: str
    uri: str
    request_id: str | None
    status: str | None
    group: int
    version: int
    body_sent: int
    head_ns: int
    queued_ns: int
    begun_ns: int
    ended_ns: int
    sent_ns: int
    asked_ns: int
    client_sends_ns: int
    client_reads_ns: int
    left: bool
    stacks: list[tuple[int, str]]

class Trace:
    def __init__(self, over: Callable[[Any], object]) -> None: ...
    def keep(self, trace_id: int, span_id: int) -> None: ...
    @property
    def head_ns(self) -> int: ...
    @property
    def queued_ns(self) -> int: ...
    @property
    def begun_ns(self) -> int: ...
    @property
    def first_ns(self) -> int: ...
    @property
    def ended_ns(self) -> int: ...
    @property
    def sent_ns(self) -> int: ...
    @property
    def status(self) -> str | None: ...
    @property
    def left(self) -> bool: ...
    @property
    def lasts(self) -> bool: ...

def parent_of(field: bytes) -> tuple[int, int, int] | None: ...
