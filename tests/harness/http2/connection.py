"""One HTTP/2 connection of a client: requests in, answers out, or any bytes whatever.

    with Connection(socket) as connection:
        answer = connection.get("/")                      # waits for all of it
        connection.send(frames.rst_stream(5))             # sends just that
        assert connection.ended_with() == Code.PROTOCOL_ERROR

Guarantees: what comes is judged by `Strict`, as it is read. Credit for content is given as it is read unless
`gives_credit` is False. SETTINGS and PING of the server are acknowledged when they are read.

Knows: one connected socket, or what has its words. Must not know: what the test wants.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import hpack

from harness.client import DEADLINE
from harness.http2 import frames
from harness.http2.frames import PREFACE, SMALLEST_MAX_FRAME, Code, Fields, Flag, Frame, Setting, Type
from harness.http2.strict import Answer, Strict
from harness.patience import PATIENCE

Pairs = Iterable[tuple[bytes | str, bytes | str]]


class Connection:
    """`ended`: the stream of bytes from the server is at its end. `reset`: it came as a reset."""

    def __init__(
        self,
        below: Any,
        *,
        settings: Mapping[int, int] | None = None,
        scheme: str = "http",
        authority: str = "a.example",
        timeout: float | None = DEADLINE,
        gives_credit: bool = True,
        begins: bool = True,
    ) -> None:
        self.socket = below
        self.scheme = scheme
        self.authority = authority
        self.timeout = (DEADLINE if timeout is None else timeout) * PATIENCE
        self.gives_credit = gives_credit
        self.strict = Strict()
        self.encoder = hpack.Encoder()
        self.next_stream = 1
        self.has_begun = False
        self.ended = self.reset = self.hung_up = False
        self.cut: Callable[[bytes], Iterable[bytes]] = lambda data: [data]  # the sends that frames leave in
        if timeout is not None:  # else it is the caller's
            self.socket.settimeout(self.timeout)
        if begins:
            self.begin(settings or {Setting.ENABLE_PUSH: 0})

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    # -- sending

    def begin(self, settings: Mapping[int, int]) -> None:
        """RFC 9113 §3.4. Nothing is said before that, not even in answer."""
        self.has_begun = True
        self._sendall(PREFACE)
        self.send(frames.settings(settings))
        if self.strict.has_settings:
            self.send(frames.SETTINGS_ACK)

    def send(self, data: bytes) -> bool:
        """Frames, or what looks like them; False when the server has hung up in the meantime."""
        self.strict.sends(data)
        return self._sendall(data)

    def _sendall(self, data: bytes) -> bool:
        try:
            for piece in self.cut(data):
                self.socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            self.hung_up = True
            return False
        return True

    def fields(self, method: str, path: str, extra: Pairs = ()) -> Fields:
        """Of a request, pseudo-header fields in front."""
        start = [
            (b":method", method.encode()),
            (b":scheme", self.scheme.encode()),
            (b":authority", self.authority.encode()),
            (b":path", path.encode("latin-1")),
        ]
        return start + [(_bytes(name), _bytes(value)) for name, value in extra]

    def begin_request(self, fields: Pairs, *, end: bool = True, stream: int | None = None) -> int:
        """HEADERS, in as many frames as they take; the number of the stream."""
        if stream is None:
            stream = self.next_stream
        self.next_stream = max(self.next_stream, stream + 2)
        block = self.encoder.encode([(_bytes(name), _bytes(value)) for name, value in fields])
        self.send(b"".join(frames.in_pieces(stream, block, self.max_frame, end=end)))
        return stream

    def request(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        fields: Pairs = (),
        body: bytes | None = None,
        trailers: Pairs | None = None,
    ) -> int:
        """A whole request; what its body takes of credit is waited for. The number of the stream."""
        whole = body is None and trailers is None
        stream = self.begin_request(self.fields(method, path, fields), end=whole)
        if body is not None:
            self.send_data(stream, body, end=trailers is None)
        if trailers is not None:
            self.begin_request(trailers, end=True, stream=stream)
        return stream

    def send_data(self, stream: int, content: bytes, *, end: bool = False) -> int:
        """As the server's credit allows, until all is sent or the stream is over; how much was."""
        deadline = time.monotonic() + self.timeout
        at = 0
        while True:
            room = min(self.credit(stream), self.max_frame, len(content) - at)
            if room > 0 or at == len(content):
                last = end and at + room == len(content)
                if room or last:
                    self.send(frames.data(stream, content[at : at + room], end=last))
                at += room
                if at == len(content):
                    return at
            answer = self.strict.answers[stream]
            if answer.is_over or self.ended or self.hung_up:
                return at
            if room <= 0:
                assert time.monotonic() < deadline, f"no credit for {len(content) - at} bytes"
                self.read()

    def credit(self, stream: int) -> int:
        """What the server takes now."""
        return min(self.strict.credit, self.strict.credits.get(stream, 0))

    @property
    def max_frame(self) -> int:
        return self.strict.settings.get(Setting.MAX_FRAME_SIZE, SMALLEST_MAX_FRAME)

    # -- receiving

    def read(self) -> list[Frame]:
        """The frames that come with the next bytes; raises TimeoutError. None come at the end."""
        return self.understand(self.fetch())

    def fetch(self) -> bytes:
        """The next bytes; raises TimeoutError. None at the end."""
        if self.ended:
            return b""
        try:
            data = bytes(self.socket.recv(262144))
        except ConnectionResetError:
            self.reset = True
            data = b""
        self.ended = not data
        return data

    def understand(self, data: bytes) -> list[Frame]:
        """The frames in what was fetched; to some of them there is an answer."""
        found = self.strict.receive(data) if data else []
        for frame in found:
            self._react(frame)
        return found

    def _react(self, frame: Frame) -> None:
        if frame.kind == Type.SETTINGS and not frame.has(Flag.ACK):
            size = self.strict.settings.get(Setting.HEADER_TABLE_SIZE, 4096)
            self.encoder.header_table_size = min(size, 4096)
            if self.has_begun:
                self.send(frames.SETTINGS_ACK)
        elif frame.kind == Type.PING and not frame.has(Flag.ACK):
            self.send(frames.ping(frame.payload, ack=True))
        elif frame.kind == Type.DATA and self.gives_credit:
            self.give(frame.stream, len(frame.payload))

    def give(self, stream: int, size: int) -> None:
        """Credit for what was read."""
        if size:
            updates = frames.window_update(0, size)
            if not self.strict.answers[stream].is_over:
                updates += frames.window_update(stream, size)
            self.send(updates)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Read until the condition has a true value, which is returned."""
        deadline = time.monotonic() + self.timeout
        while not (value := condition()):
            assert not self.ended, f"the connection ended; waited for {what}; {self.story()}"
            assert time.monotonic() < deadline, f"waited {self.timeout} s for {what}; {self.story()}"
            try:
                self.read()
            except TimeoutError:
                raise AssertionError(f"nothing came, waited for {what}; {self.story()}") from None
        return value

    def story(self) -> str:
        """What has come, for the text of a failure."""
        seen = "; ".join(str(frame) for frame in self.strict.seen[-12:])
        return f"{len(self.strict.seen)} frames came: {seen}; goaway: {self.strict.goaway}"

    def answer(self, stream: int) -> Answer:
        """Once it is over, in whatever way."""
        answer = self.strict.answers[stream]
        self.until(lambda: answer.is_over, f"the end of stream {stream}")
        return answer

    def head(self, stream: int) -> Answer:
        """Once its head is there."""
        answer = self.strict.answers[stream]
        self.until(lambda: answer.head or answer.reset is not None, f"the head on stream {stream}")
        return answer

    def get(self, path: str = "/", **request: Any) -> Answer:
        """A request and its answer, which ends well."""
        answer = self.answer(self.request(path, **request))
        assert answer.ended, f"stream {answer.stream} was reset with {answer.reset}"
        return answer

    def handshake(self) -> Connection:
        """Both sides' settings are there and acknowledged."""
        self.until(lambda: self.strict.has_settings and not self.strict.unacked, "the settings")
        return self

    def ping(self, content: bytes = b"are you?") -> None:
        """Whatever was sent before this has been read (RFC 9113 §6.7)."""
        before = len(self.strict.pongs)
        assert self.send(frames.ping(content)), self.story()
        self.until(lambda: len(self.strict.pongs) > before, "the answer to PING")
        assert self.strict.pongs[-1] == content

    def wait_closed(self) -> None:
        """All that comes until the server closes."""
        deadline = time.monotonic() + self.timeout
        while not self.ended:
            assert time.monotonic() < deadline, f"it does not close; {self.story()}"
            try:
                self.read()
            except TimeoutError:
                raise AssertionError(f"it does not close; {self.story()}") from None

    def ended_with(self) -> Code:
        """The code of GOAWAY, behind which the server closes."""
        self.wait_closed()
        assert self.strict.goaway is not None, f"closed without GOAWAY; {self.story()}"
        return Code(self.strict.goaway[1])

    def is_quiet(self, seconds: float) -> bool:
        """True when neither a frame nor the end came within `seconds`."""
        if self.ended:
            return False
        self.socket.settimeout(seconds)
        try:
            return not self.read() and not self.ended
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(self.timeout)


def _bytes(value: bytes | str) -> bytes:
    return value.encode("latin-1") if isinstance(value, str) else value
