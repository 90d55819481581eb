"""The HTTP/2 session without a socket: what it tells of the bytes that come, what it makes of responses."""

from __future__ import annotations

from typing import Any

import pytest
from harness.http2 import frames
from harness.http2.frames import PREFACE, Code, Setting, Type
from harness.http2.strict import Answer, Strict

from tricorn.http.errors import ResponseError
from tricorn.http.h2_reader import SessionReader
from tricorn.http.request import Limits

GET = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/x?y"))
POST = ((b":method", b"POST"), *GET[1:])
SECOND = 1_000_000_000


class Pair:
    """A session, and a client that sees all that it sends."""

    def __init__(self, limits: Limits | None = None, **offer: int) -> None:
        self.session = SessionReader(limits, **offer)
        self.strict = Strict()
        self.told: list[tuple[Any, ...]] = []
        self.say(PREFACE, frames.settings())

    def say(self, *parts: bytes) -> list[tuple[Any, ...]]:
        data = b"".join(parts)
        self.strict.sends(data.removeprefix(PREFACE))
        told = self.session.feed(data)
        assert told is not None
        self.told += told
        return told

    def hear(self) -> list[frames.Frame]:
        """What it has to send, each frame checked."""
        return self.strict.receive(self.session.take())

    def answer(self, stream: int = 1) -> Answer:
        self.hear()
        return self.strict.answers[stream]

    def ask(self, *fields: tuple[bytes, bytes], stream: int = 1, end: bool = True) -> list[tuple[Any, ...]]:
        return self.say(frames.headers(stream, frames.block(*(fields or GET)), end=end))


def test_a_request_is_told_in_http_1_s_words() -> None:
    told = Pair().ask(*GET, (b"x-a", b"1"))
    assert told == [("head", 1, b"GET", b"/x?y", [(b"host", b"a"), (b"x-a", b"1")], True)]


def test_it_does_not_matter_how_bytes_come() -> None:
    pair = Pair()
    whole = frames.headers(1, frames.block(*POST)) + frames.data(1, b"hello", end=True)
    for byte in whole:
        pair.say(bytes([byte]))
    assert pair.told == [
        ("head", 1, b"POST", b"/x?y", [(b"host", b"a")], False),
        *(("data", 1, bytes([byte])) for byte in b"hello"),
        ("end", 1),
    ]


def test_a_field_block_in_pieces() -> None:
    told = Pair().say(*frames.in_pieces(1, frames.block(*GET, (b"x-a", b"1" * 30)), 12, end=True))
    assert told[0][4][1] == (b"x-a", b"1" * 30)


def test_cookies_are_one_field() -> None:
    told = Pair().ask(*GET, (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c"))
    assert told[0][4] == [(b"host", b"a"), (b"cookie", b"a=1; b=2; c"), (b"x", b"y")]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([*GET, (b"host", b"b")], 400),
        ([*GET[:2], (b":authority", b"a b"), GET[3]], None),
        ([GET[0], (b":scheme", b"ftp"), *GET[2:]], 400),
        ([(b":method", b"G" * 33), *GET[1:]], 400),
        ([*GET[:3], (b":path", b"/" * 9000)], 414),
        ([*GET, (b"x", b"y" * 9000)], 431),
        ([*GET, *((b"x%d" % number, b"y") for number in range(101))], 431),
        ([*GET, (b"content-type", b"a"), (b"content-type", b"b")], 400),
        ([*GET, (b"expect", b"the-impossible")], 417),
        ([(b":method", b"CONNECT"), (b":authority", b"a:1")], 501),
        ([*GET, (b"X-Upper", b"1")], None),
        ([*GET, (b"connection", b"close")], None),
        ([*GET, (b"te", b"gzip")], None),
        ([*GET, (b"x", b"a\nb")], None),
        ([*GET[1:]], None),
        ([*GET, (b":path", b"/again")], None),
    ],
)
def test_what_is_refused(fields: list[tuple[bytes, bytes]], status: int | None) -> None:
    """With a status, or as malformed, which ends the stream (RFC 9113 §8.1.1). The connection goes on."""
    pair = Pair()
    told = pair.ask(*fields)
    if status is None:
        assert told == []
        assert pair.answer().reset == Code.PROTOCOL_ERROR
    else:
        ((word, stream, error),) = told
        assert (word, stream, error.status) == ("refused", 1, status)
    assert pair.ask(stream=3)[0][:2] == ("head", 3)


def test_the_same_host_twice() -> None:
    assert Pair().ask(*GET[:2], (b":authority", b"A"), GET[3], (b"host", b"a"))[0][4] == [(b"host", b"A")]


def test_a_bomb_is_refused_while_it_is_small() -> None:
    """RFC 7541: one byte stands for a field of kilobytes. What is kept of it is bounded, and so is what is
    counted."""
    pair = Pair()
    inserted = b"\x40" + frames.text(b"x-bomb") + frames.text(b"b" * 4000)
    pair.say(frames.headers(1, frames.block(*GET) + inserted, end=True))
    ((_, _, error),) = pair.say(frames.headers(3, frames.block(*GET) + b"\xbe" * 30, end=True))
    assert error.status == 431
    pair.say(frames.headers(5, frames.block(*GET) + b"\xbe" * 16000, end=True))
    assert pair.answer(5).reset == Code.ENHANCE_YOUR_CALM


def test_a_response() -> None:
    pair = Pair()
    pair.ask()
    pair.session.respond(1, "200 OK", [(b"Content-Type", b"text/plain"), (b"Connection", b"close")], b"hello")
    answer = pair.answer()
    assert (answer.status, answer.content, answer.ended) == (200, b"hello", True)
    assert answer.get("content-length") == "5"
    assert answer.get("content-type") == "text/plain"
    assert answer.get("date") is not None
    assert pair.session.streams == 0


def test_head_has_a_length_and_nothing_else() -> None:
    pair = Pair()
    pair.ask((b":method", b"HEAD"), *GET[1:])
    pair.session.respond(1, "200 OK", [], b"hello")
    answer = pair.answer()
    assert (answer.get("content-length"), answer.content, answer.ended) == ("5", b"", True)


def test_large_bodies_go_out_as_windows_allow() -> None:
    pair = Pair()
    pair.ask()
    body = bytes(range(256)) * 1024
    pair.session.respond(1, "200 OK", [], body)
    answer = pair.answer()
    assert len(answer.content) == 65535
    for _ in range(8):
        pair.say(frames.window_update(0, 40000), frames.window_update(1, 40000))
        pair.hear()
    assert answer.content == body
    assert answer.ended


def test_trailers() -> None:
    pair = Pair()
    pair.ask()
    pair.session.respond(1, "200 OK", [], b"a", more=True)
    pair.session.go_on(1, b"b", trailers=[(b"X-Sum", b"2")])
    answer = pair.answer()
    assert (answer.content, answer.trailers, answer.ended) == (b"ab", [(b"x-sum", b"2")], True)


@pytest.mark.parametrize("headers", [[(b"a b", b"c")], [(b"a", b"b\r\nc")], [(b"content-length", b"x")]])
def test_what_an_application_must_not_say(headers: list[tuple[bytes, bytes]]) -> None:
    pair = Pair()
    pair.ask()
    with pytest.raises(ResponseError):
        pair.session.respond(1, "200 OK", headers)
    assert [frame.kind for frame in pair.hear()] == [Type.SETTINGS, Type.SETTINGS, Type.WINDOW_UPDATE]


def test_credit_is_given_for_what_was_taken() -> None:
    pair = Pair(window=1000)
    pair.hear()
    pair.say(frames.SETTINGS_ACK)
    pair.ask(*POST, end=False)
    pair.say(frames.data(1, bytes(1000)))
    assert [frame.stream for frame in pair.hear()] == []
    pair.session.credit(1, 700)
    ((update),) = pair.hear()
    assert (update.kind, update.stream, update.number) == (Type.WINDOW_UPDATE, 1, 700)


@pytest.mark.parametrize(("length", "reset"), [(b"100000", Code.NO_ERROR), (b"5", None)])
def test_a_complete_response_stops_the_request(length: bytes, reset: Code | None) -> None:
    """RFC 9113 §8.1. Unless there is little to come: some clients take it for an error."""
    pair = Pair(discardable=65536)
    pair.ask(*POST, (b"content-length", length), end=False)
    pair.session.respond(1, "200 OK", [], b"enough")
    answer = pair.answer()
    assert (answer.content, answer.ended, answer.reset) == (b"enough", True, reset)


def test_a_reset_is_told() -> None:
    pair = Pair()
    pair.ask(end=False)
    assert pair.say(frames.rst_stream(1)) == [("closed", 1, Code.CANCEL)]


def test_what_is_offered() -> None:
    pair = Pair(streams=7, window=1 << 20, frame=1 << 15, head_list=5000)
    pair.hear()
    assert pair.strict.settings == {
        Setting.MAX_CONCURRENT_STREAMS: 7,
        Setting.INITIAL_WINDOW_SIZE: 1 << 20,
        Setting.MAX_FRAME_SIZE: 1 << 15,
        Setting.NO_RFC7540_PRIORITIES: 1,
        Setting.MAX_HEADER_LIST_SIZE: 5000,
    }
    ((_, _, error),) = pair.ask(*GET, (b"x", b"y" * 5000))
    assert error.status == 431


def test_leaving_in_two_steps() -> None:
    pair = Pair()
    pair.ask()
    pair.session.leave()
    pair.hear()
    assert pair.strict.goaway == ((1 << 31) - 1, 0, b"")
    assert pair.ask(stream=3)  # was on its way
    pair.session.say_last()
    pair.hear()
    assert pair.strict.goaway == (3, 0, b"")
    assert pair.ask(stream=5) == []
    for stream in (1, 3):
        pair.session.respond(stream, "204 No Content")
        assert pair.answer(stream).ended
    assert pair.session.is_over


#: What a client may send again and again, how much of it is too much at once (its first SETTINGS count too),
#: and the word that tells.
FLOODS = {
    "ping": (frames.ping(), 1000, "control"),
    "settings": (frames.settings(), 1000, "control"),
    "unknown": (frames.frame(0xBB), 1000, "control"),
    "priority": (frames.priority(1), 1000, "control"),
    "window": (frames.window_update(0, 1), 2001, "window"),
}


@pytest.mark.parametrize(("frame", "most", "word"), FLOODS.values(), ids=FLOODS.keys())
def test_floods_are_noticed(frame: bytes, most: int, word: str) -> None:
    pair = Pair()
    pair.session.judge(SECOND)
    for _ in range(most - 1):
        pair.session.feed(frame)
        pair.session.take()
    assert pair.session.judge(SECOND) is None
    pair.session.feed(frame)
    said = pair.session.judge(SECOND)
    assert said is not None
    assert word in said


def test_rapid_reset_is_noticed_and_time_forgives() -> None:
    pair = Pair()
    pair.session.judge(SECOND)
    stream = 1
    for _ in range(500):
        pair.say(frames.headers(stream, frames.block(*GET), end=True), frames.rst_stream(stream))
        stream += 2
        pair.hear()
    assert pair.session.judge(SECOND) is None
    pair.say(frames.headers(stream, frames.block(*GET), end=True), frames.rst_stream(stream))
    assert pair.session.judge(SECOND) is not None
    assert pair.session.judge(2 * SECOND) is None


def test_resets_that_we_are_made_to_send_count_too() -> None:
    """CVE-2025-8671."""
    pair = Pair()
    pair.session.judge(SECOND)
    for number in range(501):
        stream = 2 * number + 1
        pair.say(frames.headers(stream, frames.block(*GET, (b"X", b"")), end=True))
        pair.hear()
    said = pair.session.judge(SECOND)
    assert said is not None
    assert "resets" in said


def test_a_block_in_too_many_frames() -> None:
    pair = Pair()
    pair.session.judge(SECOND)
    parts = list(frames.in_pieces(1, frames.block(*GET, (b"x", b"y" * 90)), 10))
    assert len(parts) > 9
    pair.session.feed(b"".join(parts))
    said = pair.session.judge(SECOND)
    assert said is not None
    assert "field block" in said


def test_windows_may_open_for_what_is_sent() -> None:
    pair = Pair()
    pair.session.judge(SECOND)
    pair.ask()
    pair.session.respond(1, "200 OK", [], bytes(8 << 20))
    for _ in range(4000):
        pair.say(frames.window_update(0, 2048), frames.window_update(1, 2048))
        pair.session.take()
        assert pair.session.judge(SECOND) is None


def test_priorities_decide() -> None:
    """RFC 9218: of two streams that wait, the more urgent one goes first."""
    pair = Pair()
    pair.ask(*GET, (b"priority", b"u=5"))
    pair.ask(*GET, (b"priority", b"u=1"), stream=3)
    for stream in (1, 3):
        pair.session.respond(stream, "200 OK", [], bytes(40000))
    order = [frame.stream for frame in pair.hear() if frame.kind == Type.DATA]
    assert order[0] == 3
    assert order == sorted(order, reverse=True)


def test_a_client_that_does_not_begin_as_it_must() -> None:
    assert SessionReader().feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") is None


def test_a_broken_connection_ends_with_goaway() -> None:
    pair = Pair()
    pair.say(frames.data(1, b"to nobody"))
    pair.hear()
    assert pair.strict.goaway is not None
    assert pair.strict.goaway[1] == Code.PROTOCOL_ERROR
    assert pair.session.is_over
