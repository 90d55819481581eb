"""What a server may send, judged frame by frame: whatever breaks a rule is a failure wherever it was read.

The plan. `Strict` sees the bytes that the client sends, since they say what the server may do (requests,
credit, settings), is given the bytes that come, and makes `Answer`s of them, one for each stream. There is no
lenient mode; what the server does because the client broke a rule is the test's to expect.

Knows: RFC 9113 from the client's side, RFC 9110 §6.4 and §8.6 as far as they frame an answer. Must not know:
I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import hpack

from harness.client import BadResponseError
from harness.http2.frames import (
    LARGEST_MAX_FRAME,
    LARGEST_WINDOW,
    SMALLEST_MAX_FRAME,
    USUAL_WINDOW,
    Code,
    Fields,
    Flag,
    Frame,
    Setting,
    Type,
    split,
)

#: RFC 9113 §6: flags that have a meaning; others must not be set.
FLAGS = {
    Type.DATA: Flag.END_STREAM | Flag.PADDED,
    Type.HEADERS: Flag.END_STREAM | Flag.END_HEADERS | Flag.PADDED | Flag.PRIORITY,
    Type.PRIORITY: 0,
    Type.RST_STREAM: 0,
    Type.SETTINGS: Flag.ACK,
    Type.PING: Flag.ACK,
    Type.GOAWAY: 0,
    Type.WINDOW_UPDATE: 0,
    Type.CONTINUATION: Flag.END_HEADERS,
}
#: Whose stream must be 0, and whose must not.
OF_CONNECTION = {Type.SETTINGS, Type.PING, Type.GOAWAY}
OF_STREAM = {Type.DATA, Type.HEADERS, Type.PRIORITY, Type.RST_STREAM, Type.CONTINUATION}

#: RFC 9113 §8.2.2.
OF_HTTP_1 = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"|[\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")


@dataclass
class Answer:
    """What has come on one stream.

    ended: with END_STREAM. reset: the code of RST_STREAM. is_ours_over: we have sent END_STREAM or
    RST_STREAM. pieces: the contents of the DATA frames.
    """

    stream: int
    method: str
    interim: list[Fields] = field(default_factory=list)
    head: Fields = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    trailers: Fields | None = None
    ended: bool = False
    reset: int | None = None
    is_ours_over: bool = False
    is_ours_reset: bool = False
    is_provoked: bool = False  # we have sent more behind the end of our half
    window: int = 0  # of us: what the server may still send
    length: int | None = None
    size: int = 0

    @property
    def is_over(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def status(self) -> int:
        assert self.head, f"no head on stream {self.stream}: {self}"
        return int(dict(self.head)[b":status"])

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)

    def all(self, name: str) -> list[str]:
        return [value.decode("latin-1") for key, value in self.head if key == name.lower().encode("latin-1")]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def tunnels(self) -> bool:
        return self.method == "CONNECT" and bool(self.head) and 200 <= self.status < 300

    @property
    def has_content(self) -> bool:
        return self.method != "HEAD" and self.status not in {204, 304}


class Strict:
    """The server's half of one connection.

    settings: the server's, as far as they have come. goaway: (last stream, code, debug data) of the last one.
    seen: every frame, in order.
    """

    def __init__(self) -> None:
        self.ours: dict[int, int] = {}
        self.settings: dict[int, int] = {}
        self.has_settings = False
        self.goaway: tuple[int, int, bytes] | None = None
        self.answers: dict[int, Answer] = {}
        self.seen: list[Frame] = []
        self.pongs: list[bytes] = []
        self.acks = 0
        self.window = USUAL_WINDOW  # of the connection: what the server may still send
        self.credit = USUAL_WINDOW  # of the connection: what we may still send
        self.credits: dict[int, int] = {}  # of each stream
        self.decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self.unacked: list[dict[int, int]] = []
        self.pings: list[bytes] = []
        self.unread = b""
        self._block: tuple[Frame, list[bytes]] | None = None
        self._table = 4096  # RFC 7541 §4.2: the most that the server's encoder may use
        self._applied = USUAL_WINDOW  # of ours.INITIAL_WINDOW_SIZE: what the server may count on
        self._unsent = b""  # of what we send: the start of a frame
        self._sent_block: tuple[Frame, list[bytes]] | None = None
        self._mirror = hpack.Decoder(max_header_list_size=1 << 24)  # of what we send
        self._mirror.max_allowed_table_size = 1 << 24

    # -- what we send, right or wrong

    def sends(self, data: bytes) -> None:
        """Bytes behind the preface leave. What they mean is noted, as far as they are frames."""
        frames, self._unsent = split(self._unsent + data)
        for frame in frames:
            if note := _NOTES.get(frame.kind):
                note(self, frame)

    def _sends_headers(self, frame: Frame) -> None:
        self._sent_block = frame, [self._content_of(frame)]
        if frame.has(Flag.END_HEADERS):
            self._sends_fields()

    def _sends_continuation(self, frame: Frame) -> None:
        if self._sent_block is not None:
            self._sent_block[1].append(frame.payload)
            if frame.has(Flag.END_HEADERS):
                self._sends_fields()

    def _sends_fields(self) -> None:
        assert self._sent_block is not None
        (frame, parts), self._sent_block = self._sent_block, None
        try:
            fields = dict(self._mirror.decode(b"".join(parts), raw=True))
        except (hpack.HPACKError, UnicodeDecodeError):
            fields = {}
        if frame.stream not in self.answers:
            method = bytes(fields.get(b":method", b"GET")).decode("latin-1")
            self.answers[frame.stream] = Answer(frame.stream, method, window=self._applied)
            self.credits[frame.stream] = self.settings.get(Setting.INITIAL_WINDOW_SIZE, USUAL_WINDOW)
        self._sends_end(frame)

    def _sends_data(self, frame: Frame) -> None:
        self.credit -= len(frame.payload)
        if frame.stream in self.credits:
            self.credits[frame.stream] -= len(frame.payload)
        self._sends_end(frame)

    def _sends_end(self, frame: Frame) -> None:
        if answer := self.answers.get(frame.stream):
            answer.is_provoked = answer.is_provoked or answer.is_ours_over
            answer.is_ours_over = answer.is_ours_over or frame.has(Flag.END_STREAM)

    def _sends_reset(self, frame: Frame) -> None:
        if answer := self.answers.get(frame.stream):
            answer.is_ours_over = answer.is_ours_reset = True

    def _sends_settings(self, frame: Frame) -> None:
        if frame.has(Flag.ACK):
            return
        values = _settings_of(frame)
        self.ours |= values
        self.unacked.append(values)
        # What is raised may be used before it is acknowledged; what is lowered counts from then on.
        self._apply_table(max(self._table, values.get(Setting.HEADER_TABLE_SIZE, 0)))
        self._apply_window(max(self._applied, values.get(Setting.INITIAL_WINDOW_SIZE, 0)))

    def _apply_table(self, size: int) -> None:
        self._table = self.decoder.max_allowed_table_size = size

    def _apply_window(self, size: int) -> None:
        for answer in self.answers.values():
            answer.window += size - self._applied
        self._applied = size

    def _sends_ping(self, frame: Frame) -> None:
        if not frame.has(Flag.ACK):
            self.pings.append(frame.payload)

    def _sends_credit(self, frame: Frame) -> None:
        if frame.stream == 0:
            self.window += frame.number
        elif answer := self.answers.get(frame.stream):
            answer.window += frame.number

    # -- what comes

    def receive(self, data: bytes) -> list[Frame]:
        """The frames that are whole now, each checked. Raises BadResponseError."""
        frames, self.unread = split(self.unread + data)
        if len(self.unread) >= 3:
            size = int.from_bytes(self.unread[:3])
            self._need(size <= self._max_frame, f"a frame of {size} bytes is coming", "4.2")
        for frame in frames:
            self._judge(frame)
            self.seen.append(frame)
        return frames

    @property
    def _max_frame(self) -> int:
        return max(
            self.ours.get(Setting.MAX_FRAME_SIZE, 0), SMALLEST_MAX_FRAME
        )  # a test may have said anything

    def _need(self, condition: bool, what: str, section: str) -> None:
        if not condition:
            raise BadResponseError(f"RFC 9113 §{section}: {what}")

    def _judge(self, frame: Frame) -> None:
        self._need(self.has_settings or frame.kind == Type.SETTINGS, f"{frame} comes first", "3.4")
        self._need(len(frame.payload) <= self._max_frame, f"{frame} is too large", "4.2")
        self._need(not frame.reserved, f"{frame} has the reserved bit", "4.1")
        if self._block is not None:
            same = frame.kind == Type.CONTINUATION and frame.stream == self._block[0].stream
            self._need(same, f"{frame} within a field block", "6.10")
        if frame.kind not in _READERS:
            self._need(
                frame.kind not in {Type.PUSH_PROMISE, Type.PRIORITY_UPDATE}, f"{frame} of a server", "8.4"
            )
            return  # RFC 9113 §4.1: what is unknown is ignored
        kind = Type(frame.kind)
        self._need(not frame.flags & ~int(FLAGS[kind]), f"{frame} has flags without a meaning", "4.1")
        self._need(kind not in OF_CONNECTION or frame.stream == 0, f"{frame} on a stream", "6")
        self._need(kind not in OF_STREAM or frame.stream != 0, f"{frame} on stream 0", "6")
        if frame.stream:
            self._need(frame.stream in self.answers, f"{frame} on a stream that nobody opened", "5.1")
        _READERS[kind](self, frame)

    def _content(self, frame: Frame) -> bytes:
        """The payload without padding and priority."""
        if frame.has(Flag.PADDED):
            pad = frame.payload[0]
            self._need(pad < len(frame.payload), f"{frame} is padded beyond its end", "6.1")
            padding = frame.payload[len(frame.payload) - pad :]
            self._need(not any(padding), f"{frame} has padding that is not zero", "6.1")
        return self._content_of(frame)

    @staticmethod
    def _content_of(frame: Frame) -> bytes:
        payload = frame.payload
        if frame.has(Flag.PADDED):
            payload = payload[1 : len(payload) - payload[0]] if payload else b""
        if frame.kind == Type.HEADERS and frame.has(Flag.PRIORITY):
            payload = payload[5:]
        return payload

    def _open(self, frame: Frame) -> Answer:
        answer = self.answers[frame.stream]
        self._need(not answer.is_over, f"{frame} behind the end of the stream", "5.1")
        return answer

    def _data(self, frame: Frame) -> None:
        answer = self._open(frame)
        size = len(frame.payload)
        self.window -= size
        answer.window -= size
        self._need(self.window >= 0, f"{frame} exceeds the connection's window", "6.9.1")
        self._need(answer.window >= 0, f"{frame} exceeds the stream's window", "6.9.1")
        self._need(bool(answer.head), f"{frame} before the head", "8.1")
        content = self._content(frame)
        answer.pieces.append(content)
        answer.size += len(content)
        self._need(answer.has_content or not content, f"{frame} as content of {answer.status}", "8.1")
        self._end(frame, answer)

    def _headers(self, frame: Frame) -> None:
        self._open(frame)
        parts = [self._content(frame)]
        if frame.has(Flag.END_HEADERS):
            self._fields(frame, parts)
        else:
            self._block = (frame, parts)

    def _continuation(self, frame: Frame) -> None:
        self._need(self._block is not None, f"{frame} behind nothing", "6.10")
        assert self._block is not None
        first, parts = self._block
        parts.append(frame.payload)
        if frame.has(Flag.END_HEADERS):
            self._block = None
            self._fields(first, parts)

    def _fields(self, frame: Frame, parts: list[bytes]) -> None:
        try:
            fields: Fields = [(bytes(n), bytes(v)) for n, v in self.decoder.decode(b"".join(parts), raw=True)]
        except hpack.HPACKError as error:
            raise BadResponseError(f"RFC 7541: {type(error).__name__}: {error}") from error
        answer = self.answers[frame.stream]
        if answer.head:
            self._need(frame.has(Flag.END_STREAM), "trailers without END_STREAM", "8.1")
            self._check_fields(fields)
            answer.trailers = fields
        else:
            status = self._check_status(fields)
            self._need(status != 101, "101 does not exist here", "8.6")
            if status < 200:
                self._need(not frame.has(Flag.END_STREAM), "an interim response ends the stream", "8.1")
                answer.interim.append(fields)
                return
            answer.head = fields
            self._find_length(answer)
        self._end(frame, answer)

    def _check_status(self, fields: Fields) -> int:
        self._need(bool(fields) and fields[0][0] == b":status", f"no :status in front of {fields}", "8.3.2")
        status = fields[0][1]
        self._need(re.fullmatch(rb"[1-5][0-9][0-9]", status) is not None, f":status {status!r}", "8.3.2")
        self._check_fields(fields[1:])
        return int(status)

    def _check_fields(self, fields: Fields) -> None:
        for name, value in fields:
            self._need(_NAME.fullmatch(name) is not None, f"the name {name!r}", "8.2.1")
            self._need(_VALUE.fullmatch(value) is not None, f"{name!r} with the value {value!r}", "8.2.1")
            self._need(name not in OF_HTTP_1, f"{name!r} is of HTTP/1", "8.2.2")

    def _find_length(self, answer: Answer) -> None:
        lengths = [value for name, value in answer.head if name == b"content-length"]
        self._need(len(lengths) <= 1, f"content-length {lengths}", "8.1.1")
        if lengths:
            self._need(lengths[0].isdigit(), f"content-length {lengths[0]!r}", "8.1.1")
            # RFC 9110 §8.6
            self._need(answer.status != 204 and not answer.tunnels, "a length that must not be", "8.1.1")
            if answer.has_content:
                answer.length = int(lengths[0])

    def _end(self, frame: Frame, answer: Answer) -> None:
        if answer.length is not None:
            self._need(answer.size <= answer.length, "more content than content-length says", "8.1.1")
        if frame.has(Flag.END_STREAM):
            answer.ended = True
            if answer.length is not None:
                self._need(answer.size == answer.length, "less content than content-length says", "8.1.1")

    def _rst_stream(self, frame: Frame) -> None:
        self._need(len(frame.payload) == 4, f"{frame}", "6.4")
        answer = self.answers[frame.stream]
        # Behind its own end it may stop our half of the stream, of whose end it need not have heard.
        if answer.reset is None:  # §5.4.2: there should not be more than one
            answer.reset = frame.number

    def _settings(self, frame: Frame) -> None:
        if frame.has(Flag.ACK):
            self._need(not frame.payload, "SETTINGS with ACK and a payload", "6.5")
            self._need(bool(self.unacked), "more acknowledgements than settings", "6.5.3")
            self._need(self.has_settings, "an acknowledgement comes first", "3.4")
            values = self.unacked.pop(0)
            self.acks += 1
            self._apply_table(values.get(Setting.HEADER_TABLE_SIZE, self._table))
            self._apply_window(values.get(Setting.INITIAL_WINDOW_SIZE, self._applied))
            return
        self._need(len(frame.payload) % 6 == 0, f"{frame}", "6.5")
        self.has_settings = True
        before = self.settings.get(Setting.INITIAL_WINDOW_SIZE, USUAL_WINDOW)
        for number, value in _settings_of(frame).items():
            self._check_setting(number, value)
            self.settings[number] = value
        change = self.settings.get(Setting.INITIAL_WINDOW_SIZE, USUAL_WINDOW) - before
        for stream in self.credits:
            self.credits[stream] += change

    def _check_setting(self, number: int, value: int) -> None:
        allowed = {
            Setting.ENABLE_PUSH: range(1),  # §6.5.2: a server must not set it to 1
            Setting.INITIAL_WINDOW_SIZE: range(LARGEST_WINDOW + 1),
            Setting.MAX_FRAME_SIZE: range(SMALLEST_MAX_FRAME, LARGEST_MAX_FRAME + 1),
            Setting.ENABLE_CONNECT_PROTOCOL: range(2),
            Setting.NO_RFC7540_PRIORITIES: range(2),
        }
        self._need(value in allowed.get(number, range(1 << 32)), f"setting {number} is {value}", "6.5.2")  # type: ignore[call-overload]

    def _ping(self, frame: Frame) -> None:
        self._need(len(frame.payload) == 8, f"{frame}", "6.7")
        if frame.has(Flag.ACK):
            self._need(frame.payload in self.pings, f"{frame} answers nothing", "6.7")
            self.pings.remove(frame.payload)
            self.pongs.append(frame.payload)

    def _goaway(self, frame: Frame) -> None:
        self._need(len(frame.payload) >= 8, f"{frame}", "6.8")
        last = int.from_bytes(frame.payload[:4])
        self._need(last <= LARGEST_WINDOW, "the reserved bit in GOAWAY", "6.8")
        if self.goaway is not None:
            self._need(last <= self.goaway[0], "GOAWAY with a higher stream than before", "6.8")
        self.goaway = last, int.from_bytes(frame.payload[4:8]), frame.payload[8:]

    def _window_update(self, frame: Frame) -> None:
        self._need(len(frame.payload) == 4, f"{frame}", "6.9")
        self._need(0 < frame.number <= LARGEST_WINDOW, f"an increment of {frame.number}", "6.9")
        if frame.stream == 0:
            self.credit += frame.number
            self._need(self.credit <= LARGEST_WINDOW, "the connection's window overflows", "6.9.1")
        else:
            self.credits[frame.stream] += frame.number
            self._need(self.credits[frame.stream] <= LARGEST_WINDOW, "a window overflows", "6.9.1")

    def _priority(self, frame: Frame) -> None:
        self._need(len(frame.payload) == 5, f"{frame}", "6.3")


def _settings_of(frame: Frame) -> dict[int, int]:
    """RFC 9113 §6.5.3: of two values of one setting the last one counts."""
    payload = frame.payload
    pairs = [payload[at : at + 6] for at in range(0, len(payload) - 5, 6)]
    return {int.from_bytes(pair[:2]): int.from_bytes(pair[2:]) for pair in pairs}


_READERS: dict[int, Callable[[Strict, Frame], None]] = {
    Type.DATA: Strict._data,
    Type.HEADERS: Strict._headers,
    Type.PRIORITY: Strict._priority,
    Type.RST_STREAM: Strict._rst_stream,
    Type.SETTINGS: Strict._settings,
    Type.PING: Strict._ping,
    Type.GOAWAY: Strict._goaway,
    Type.WINDOW_UPDATE: Strict._window_update,
    Type.CONTINUATION: Strict._continuation,
}

_NOTES: dict[int, Callable[[Strict, Frame], None]] = {
    Type.DATA: Strict._sends_data,
    Type.HEADERS: Strict._sends_headers,
    Type.RST_STREAM: Strict._sends_reset,
    Type.SETTINGS: Strict._sends_settings,
    Type.PING: Strict._sends_ping,
    Type.WINDOW_UPDATE: Strict._sends_credit,
    Type.CONTINUATION: Strict._sends_continuation,
}

#: Codes by which a stream ends that the client itself did not break.
GENTLE = {Code.NO_ERROR, Code.CANCEL, Code.REFUSED_STREAM}
