"""A case is data: frames, and what must come of them. This file runs it in each delivery.

Knows: what is common to all cases. Must not know: any single rule.

    connection_error("6.7", "PING of 7 bytes", ping(b"1234567"), Code.FRAME_SIZE_ERROR)
    answered("4.1", "a flag without a meaning", frame(Type.PING, 0xFE, 0, b"12345678"), GET)

Stream 1 is the one that a case is about, unless it says otherwise.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from harness.axes import ONE_OF_EACH
from harness.cases import pieces
from harness.http2 import frames
from harness.http2.connection import Connection
from harness.http2.frames import Code, Setting
from harness.server import Server

DELIVERIES = ("whole", "bytes", "cuts")
#: Of which the second is slow, for what needs servers of its own and is the same code in both.
EITHER_KIND = [ONE_OF_EACH[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in ONE_OF_EACH[1:])]

ABOUT = 1
#: The stream of the request that shows that all is well.
BEHIND = 1001

FIELDS = (
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"a.example"),
    (b":path", b"/"),
)
POST = ((b":method", b"POST"), *FIELDS[1:])
METHOD, SCHEME, AUTHORITY, PATH = FIELDS
BLOCK = frames.block(*FIELDS)
POST_BLOCK = frames.block(*POST)

#: A whole request, and one whose body is to come.
GET = frames.headers(ABOUT, BLOCK, end=True)
OPEN = frames.headers(ABOUT, POST_BLOCK)


@dataclass(frozen=True)
class Ended:
    """The connection: GOAWAY with one of these codes, and the end."""

    codes: tuple[Code, ...]


@dataclass(frozen=True)
class Reset:
    """The stream: RST_STREAM with one of these codes. The connection goes on."""

    codes: tuple[Code, ...]


@dataclass(frozen=True)
class Answered:
    """The stream: an answer with one of these statuses. The connection goes on."""

    statuses: tuple[int, ...] = (200,)


@dataclass(frozen=True)
class Ignored:
    """The connection goes on; the stream is not looked at."""


Outcome = Ended | Reset | Answered | Ignored


@dataclass(frozen=True)
class Wait:
    """A step: until the answer on this stream is whole."""

    stream: int = ABOUT


Step = bytes | Wait


@dataclass(frozen=True)
class Case:
    """section: of RFC 9113 unless the file says otherwise. settings: the client's first ones; None: whatever
    it says first is a step. reaches: whether the application may have seen the request. about: the stream."""

    section: str
    name: str
    steps: tuple[Step, ...]
    outcomes: tuple[Outcome, ...]
    settings: dict[int, int] | None = field(default_factory=dict)
    reaches: bool = True
    about: int = ABOUT
    slow: bool = False

    @property
    def id(self) -> str:
        return f"{self.section} {self.name}"


def _codes(codes: Sequence[Code] | Code) -> tuple[Code, ...]:
    return (codes,) if isinstance(codes, Code) else tuple(codes)


def connection_error(section: str, name: str, *steps: Step, code: Sequence[Code] | Code, **more: Any) -> Case:
    return Case(section, name, steps, (Ended(_codes(code)),), **more)


def stream_error(section: str, name: str, *steps: Step, code: Sequence[Code] | Code, **more: Any) -> Case:
    return Case(section, name, steps, (Reset(_codes(code)),), **more)


def some_error(section: str, name: str, *steps: Step, code: Sequence[Code] | Code, **more: Any) -> Case:
    """RFC 9113 §5.4.2: what may be an error of the stream may be one of the connection."""
    return Case(section, name, steps, (Reset(_codes(code)), Ended(_codes(code))), **more)


def answered(section: str, name: str, *steps: Step, status: int = 200, **more: Any) -> Case:
    return Case(section, name, steps, (Answered((status,)),), **more)


def ignored(section: str, name: str, *steps: Step, **more: Any) -> Case:
    return Case(section, name, steps, (Ignored(),), **more)


def malformed(section: str, name: str, *steps: Step, **more: Any) -> Case:
    """RFC 9113 §8.1.1: a stream error, before which the server may answer. The application hears of
    nothing."""
    outcomes = (Reset((Code.PROTOCOL_ERROR,)), Answered((400,)))
    return Case(section, name, steps, outcomes, reaches=False, **more)


def request(*fields: tuple[bytes, bytes], body: bytes | None = None, **how: Any) -> bytes:
    """A request on the stream that the case is about, of exactly these fields."""
    head = frames.headers(ABOUT, frames.block(*fields), end=body is None, **how)
    return head if body is None else head + frames.data(ABOUT, body, end=True)


def with_fields(*fields: tuple[bytes, bytes], body: bytes | None = None) -> bytes:
    """A request that is in order but for these fields."""
    return request(*(FIELDS if body is None else POST), *fields, body=body)


def changed(name: bytes, *values: bytes, of: Sequence[tuple[bytes, bytes]] = FIELDS) -> bytes:
    """A request in which one field has these values: none, another, several."""
    out: list[tuple[bytes, bytes]] = []
    for key, value in of:
        out += [(key, other) for other in values] if key == name else [(key, value)]
    return request(*out)


def cases(*found: Case) -> pytest.MarkDecorator:
    """Parametrise a test by `worker`, a kind, by `sends`, a delivery, and by `case`.

    They are no axes: `make test` runs each case once, and another one in another way.
    """
    names = [case.id for case in found]
    assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]
    ways = list(itertools.product(ONE_OF_EACH, DELIVERIES))
    every = [
        pytest.param(
            *way, case, id="-".join((*way, case.id)), marks=_marks(case, way == ways[_at(case, ways)])
        )
        for case in found
        for way in ways
    ]
    return pytest.mark.parametrize(("worker", "sends", "case"), every)


def _at(case: Case, ways: Sequence[object]) -> int:
    return zlib.crc32(case.id.encode()) % len(ways)


def _marks(case: Case, is_its_way: bool) -> list[pytest.MarkDecorator]:
    return [] if is_its_way and not case.slow else [pytest.mark.slow]


def opened(
    server: Server, *, settings: dict[int, int] | None = None, begins: bool = True, **options: Any
) -> Connection:
    """A connection of a client's to a server on one of the wires of HTTP/2."""
    client = server.connect(**options)
    face = client.socket
    connection: Connection = face.connection
    connection.gives_credit = True
    connection.timeout = client.timeout
    if begins:
        connection.begin(settings or {})
    return connection


def run(case: Case, server: Server, delivery: str) -> None:
    server.seen()
    with opened(server, settings=case.settings, begins=case.settings is not None) as connection:
        connection.next_stream = BEHIND
        if delivery != "trailing":
            connection.cut = lambda data: pieces(data, delivery, case.id)
        for step in case.steps:
            if isinstance(step, Wait):
                connection.answer(step.stream)
            elif not connection.send(step):
                break
        connection.cut = lambda data: [data]
        found = _outcome(case, connection)
        assert any(_fits(found, outcome) for outcome in case.outcomes), (
            f"{found} instead of {case.outcomes}; {connection.story()}"
        )
        if not isinstance(found, Ended):
            if case.settings and case.settings.get(Setting.INITIAL_WINDOW_SIZE) == 0:
                connection.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: frames.USUAL_WINDOW}))
            assert connection.get("/next").status == 200
    paths = [request["path"] for request in server.seen_whole()]
    assert case.reaches or [path for path in paths if path != "/next"] == [], paths


def _outcome(case: Case, connection: Connection) -> Outcome:
    """What came of it: it is clear once all that was sent has been read, which PING tells, and the stream is
    over."""
    strict = connection.strict
    connection.send(frames.ping(b"case-end"))
    _read_until(connection, lambda: b"case-end" in strict.pongs)
    awaited = not any(isinstance(outcome, Ignored) for outcome in case.outcomes)
    answer = strict.answers.get(case.about)
    if awaited and answer is not None:
        _read_until(connection, lambda: answer.is_over)
    if connection.ended or strict.goaway is not None:
        return Ended((connection.ended_with(),))
    if answer is not None and answer.reset is not None and not answer.ended:
        return Reset((Code(answer.reset),))
    if awaited and answer is not None:
        return Answered((answer.status,))
    return Ignored()


def _read_until(connection: Connection, condition: Callable[[], bool]) -> None:
    if not connection.ended:
        connection.until(
            lambda: condition() or connection.ended or connection.strict.goaway, "what comes of it"
        )


def _fits(found: Outcome, expected: Outcome) -> bool:
    match found, expected:
        case (Ended(codes), Ended(allowed)) | (Reset(codes), Reset(allowed)):
            return set(codes) <= set(allowed)
        case Answered(statuses), Answered(wanted):
            return set(statuses) <= set(wanted)
        case ((Ignored() | Answered() | Reset()), Ignored()):
            return not isinstance(found, Reset)
    return False
