"""Sequences of frames that nobody thought of, with the `h2` package as judge.

Hypothesis makes them: steps that are right, steps that are wrong, in any order. What the judge takes we must
take, with the same answers; what it refuses must not leave a connection as if nothing had been. What we see
otherwise than it does is listed, with its reason, in `OTHERWISE`.
"""

from __future__ import annotations

from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from harness.axes import ONE_OF_EACH
from harness.http2 import frames
from harness.http2.frames import PREFACE, Code, Setting, Type, block
from harness.server import Server
from http2.cases import BLOCK, FIELDS, POST_BLOCK, opened
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

STREAMS = st.sampled_from([1, 3, 5, 7])
SIZES = st.sampled_from([0, 1, 5, 1000])
Step = tuple[str, bytes]


def named(
    name: str, **strategies: st.SearchStrategy[object]
) -> Callable[[Callable[..., bytes]], st.SearchStrategy[Step]]:
    def make(function: Callable[..., bytes]) -> st.SearchStrategy[Step]:
        return st.builds(lambda **values: (f"{name} {values}", function(**values)), **strategies)

    return make


RIGHT = [
    named("GET", stream=STREAMS, pad=st.none() | st.integers(0, 9))(
        lambda stream, pad: frames.headers(stream, BLOCK, end=True, pad=pad)
    ),
    named("POST", stream=STREAMS)(lambda stream: frames.headers(stream, POST_BLOCK)),
    named("DATA", stream=STREAMS, size=SIZES, end=st.booleans(), pad=st.none() | st.integers(0, 9))(
        lambda stream, size, end, pad: frames.data(stream, b"d" * size, end=end, pad=pad)
    ),
    named("trailers", stream=STREAMS)(lambda stream: frames.headers(stream, block((b"x", b"y")), end=True)),
    named("RST_STREAM", stream=STREAMS, code=st.sampled_from([Code.CANCEL, Code.NO_ERROR, 0xFF]))(
        frames.rst_stream
    ),
    named("PING", content=st.binary(min_size=8, max_size=8))(lambda content: frames.ping(content)),
    named("WINDOW_UPDATE", stream=st.just(0) | STREAMS, increment=st.sampled_from([1, 1000, 100_000]))(
        frames.window_update
    ),
    named("SETTINGS", size=st.sampled_from([0, 10, 65_535, 100_000]))(
        lambda size: frames.settings({Setting.INITIAL_WINDOW_SIZE: size})
    ),
    named("PRIORITY", stream=STREAMS, on=st.just(0) | STREAMS)(
        lambda stream, on: frames.priority(stream, on) if stream != on else b""
    ),
    named("in two frames", stream=STREAMS, at=st.integers(0, len(BLOCK)))(
        lambda stream, at: (
            frames.headers(stream, BLOCK[:at], end=True, whole=False)
            + frames.continuation(stream, BLOCK[at:])
        )
    ),
    named("unknown", kind=st.integers(0x20, 0xFF), stream=st.just(0) | STREAMS)(
        lambda kind, stream: frames.frame(kind, 0, stream, b"x")
    ),
]

WRONG = [
    named(
        "malformed",
        stream=STREAMS,
        fields=st.sampled_from(
            [
                FIELDS[1:],
                (*FIELDS, (b"X", b"y")),
                (*FIELDS, (b":x", b"y")),
                (*FIELDS, (b"connection", b"close")),
                (*FIELDS, FIELDS[0]),
            ]
        ),
    )(lambda stream, fields: frames.headers(stream, block(*fields), end=True)),
    named(
        "on stream 0",
        which=st.sampled_from([frames.data(0, b"x"), frames.headers(0, BLOCK), frames.rst_stream(0)]),
    )(lambda which: which),
    named(
        "of a false size",
        which=st.sampled_from(
            [frames.ping(b"1"), frames.frame(8, 0, 0, b"1"), frames.frame(4, 0, 0, b"12345")]
        ),
    )(lambda which: which),
    named("an increment of 0", stream=st.just(0))(lambda stream: frames.window_update(stream, 0)),
    named("too much credit", stream=st.just(0))(
        lambda stream: frames.window_update(stream, frames.LARGEST_WINDOW)
    ),
    named("garbage", content=st.binary(min_size=1, max_size=5))(
        lambda content: frames.headers(9, b"\xff\xff" + content, end=True)
    ),
    named("CONTINUATION", stream=STREAMS)(lambda stream: frames.continuation(stream, BLOCK)),
    named("PUSH_PROMISE", stream=STREAMS)(lambda stream: frames.push_promise(stream, 2, BLOCK)),
    named("an even number", stream=st.just(4))(lambda stream: frames.headers(stream, BLOCK, end=True)),
]

SEQUENCES = st.lists(st.one_of(*RIGHT), max_size=12) | st.lists(
    st.one_of(*RIGHT, *RIGHT, *WRONG), max_size=12
)


class Judge:
    """What the package makes of the same bytes: the requests that are whole, the streams that are over for
    another reason, and whether the connection is."""

    def __init__(self) -> None:
        configuration = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.connection = h2.connection.H2Connection(configuration)
        self.connection.initiate_connection()
        self.whole: set[int] = set()
        self.reset: set[int] = set()
        self.error: str | None = None
        self._newest = 0

    def receive(self, data: bytes) -> None:
        if self._resets_an_idle_stream(data):
            self.error = "RST_STREAM on an idle stream"
            return
        try:
            events = self.connection.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.error = f"{type(error).__name__}: {error}"
            return
        for event in events:
            if isinstance(event, h2.events.StreamEnded):
                self.whole.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset.add(event.stream_id)
                if not event.remote_reset:
                    self.error = f"StreamReset: {event}"

    def _resets_an_idle_stream(self, data: bytes) -> bool:
        """RFC 9113 §6.4 has it an error of the connection. The package takes it for a stream that it has
        forgotten."""
        for frame in frames.split(data.removeprefix(PREFACE))[0]:
            if frame.kind == Type.RST_STREAM and frame.stream > self._newest:
                return True
            if frame.kind == Type.HEADERS and frame.stream % 2:
                self._newest = max(self._newest, frame.stream)
        return False


#: What the judge refuses and we may take, by words of its errors, or the other way round.
OTHERWISE = {
    "StreamReset": "an error of a stream may be one of the connection, or be ignored where it was closed",
    "StreamClosedError": "RFC 9113 §5.1 lets us ignore what comes on a stream that was closed",
    "FlowControlError": "our windows are larger than its own",
    "NoSuchStreamError": "a stream that it has forgotten is idle to it",
}


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_sequences(server: Server, kind: str) -> None:  # noqa: ARG001 - an axis
    check(server, 60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_many_sequences(server: Server, kind: str) -> None:  # noqa: ARG001 - an axis
    check(server, 1500)


def check(server: Server, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(SEQUENCES)
    def agrees(steps: list[Step]) -> None:
        _agree(server, steps)

    agrees()
    server.seen()


def _agree(server: Server, steps: list[Step]) -> None:
    judge = Judge()
    judge.receive(PREFACE + frames.settings())
    for name, data in steps:
        note(name)
        if judge.error is None:
            judge.receive(data)
    note(f"the judge: {judge.error}, whole {judge.whole}, reset {judge.reset}")
    with opened(server) as connection:
        strict = connection.strict
        connection.next_stream = 1001
        for _, data in steps:
            if data and not connection.send(data):
                break
        # Credit for whatever the steps took away.
        connection.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 1 << 20}))
        connection.send(frames.window_update(0, 1 << 20))
        connection.send(frames.ping(b"sequence"))
        if not connection.ended:
            connection.until(
                lambda: b"sequence" in strict.pongs or strict.goaway or connection.ended, "what comes of it"
            )
        refuses = connection.ended or strict.goaway is not None
        if judge.error is None:
            assert not refuses, connection.story()
            for stream in judge.whole - judge.reset:
                answer = connection.answer(stream)
                assert answer.ended, f"stream {stream} was reset with {answer.reset}; {connection.story()}"
                assert answer.status == 200
            assert connection.get("/next").status == 200
        elif refuses:
            assert connection.ended_with() != Code.NO_ERROR
        elif not any(word in judge.error for word in OTHERWISE):
            # Or an error of the stream.
            assert any(
                answer.reset is not None or (answer.head and answer.status == 400)
                for answer in strict.answers.values()
            ), connection.story()
            assert connection.get("/next").status == 200
