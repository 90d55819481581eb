"""The words of a socket, HTTP/1 on its near side and HTTP/2 on its far side.

So the tests of what does not depend on the wire (responses, limits, trust, time limits, the log, WebSockets)
have one body: it sends HTTP/1 messages and reads HTTP/1 messages, and on the wires `h2c` and `h2` they
travel as streams.

What HTTP/1 says by closing, as a stream that is reset does, is the end of this socket; so is what follows an
answer to a request with `Connection: close`. `multiplexed` tells a test that a refusal does not end the
connection.

Requests in a row are streams side by side; their answers are read in order. The frames of the server are
judged by `Strict` on the way. Nothing is read before somebody asks for it, so a slow reader is one: the
window of its stream opens as the test reads. That of the connection opens at once, or the answers behind the
first would close it.

Knows: one connected socket, or what has its words. Must not know: what the test wants.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from harness import tls
from harness.http2 import frames
from harness.http2.connection import Connection
from harness.http2.frames import Code, Setting, Type
from harness.http2.messages import Content, Head, Reader, Writer

#: The most that `send` takes at a time, as of a socket whose buffer is small.
PIECE = 65536
#: What waits for credit without `sendall` waiting for it: it would be in the buffers of a socket.
HELD = 262144
#: Credit for less is not given yet, as clients do that read small messages.
CREDIT = 4096


def over_plain(raw: socket.socket) -> Face:
    """What the wire "h2c" makes of a connected socket: prior knowledge (RFC 9113 §3.3)."""
    return Face(raw, "http", raw.gettimeout())


def over_tls(raw: socket.socket) -> Face:
    """What the wire "h2" makes of it: ALPN (RFC 9113 §3.2)."""
    return Face(tls.TLSSocket(raw, tls.client_context("h2")), "https", raw.gettimeout())


class Face:
    """As much of a socket as the harness uses."""

    multiplexed = True

    def __init__(self, below: Any, scheme: str, timeout: float | None) -> None:
        self.below = below
        self.connection = Connection(below, scheme=scheme, begins=False, gives_credit=False, timeout=None)
        self._is_begun = False
        self._timeout = timeout
        self._reader = Reader()
        self._leaving: deque[Head | Content] = deque()  # what has not been sent
        self._sending: int | None = None  # the stream whose body is on its way
        self._writers: deque[Writer] = deque()  # of answers that have not been read, in order
        self._coming = b""
        self._taken: dict[int, int] = {}  # by stream: what is not given credit for yet
        self._read_bytes = 0  # of the connection: the same
        self._has_ended = False

    # -- the words of a socket

    def sendall(self, data: bytes) -> None:
        """What has no credit is held, and leaves with the operations that follow; so it does after a
        TimeoutError."""
        self._leave(data, HELD)

    def _leave(self, data: bytes, held: int) -> None:
        self._begin()
        self._leaving.extend(self._reader.feed(data))
        end = self._end()
        while not self._flush() and (self._held > held or self._awaits_settings):
            self._read(end)
        if self.connection.hung_up:
            raise BrokenPipeError("the server has hung up")

    def send(self, data: bytes) -> int:
        """Only when what was sent before is out."""
        self._leave(b"", 0)
        part = data[:PIECE]
        self._leaving.extend(self._reader.feed(part))
        self._flush()
        return len(part)

    def recv(self, size: int, within: float | None = None) -> bytes:
        """within: seconds, in place of the timeout. What is said meanwhile has the timeout's time all the
        same: a frame that breaks off would be the end of the connection."""
        end = self._end() if within is None else time.monotonic() + within
        while not self._coming:
            if self._has_ended:
                return b""
            self._flush()
            self._render()
            if not self._coming and not self._has_ended:
                self._read(end)
        data, self._coming = self._coming[:size], self._coming[size:]
        self._give()
        return data

    def shutdown(self, how: int) -> None:
        """The end of a tunnel's half. A message that is cut off here is taken back (RFC 9113 §8.7)."""
        assert how == socket.SHUT_WR
        stream, self._sending = self._sending, None
        if stream is None or self.connection.strict.answers[stream].is_over:
            return
        if self._reader.tunnels:
            self.connection.send(frames.data(stream, end=True))
        elif not self._reader.is_between:
            self.connection.send(frames.rst_stream(stream, Code.CANCEL))
            self._render()

    def close(self) -> None:
        self.below.close()

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds
        self.below.settimeout(seconds)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        self.below.setsockopt(level, option, value)

    def getsockname(self) -> Any:
        return self.below.getsockname()

    def getpeername(self) -> Any:
        return self.below.getpeername()

    def fileno(self) -> int:
        return int(self.below.fileno())

    # -- more than a socket has

    @property
    def is_between(self) -> bool:
        """All that was begun is sent, so that another request may follow."""
        return self._reader.is_between and not self._leaving

    @property
    def holds(self) -> bool:
        """Something that was to be sent waits for credit."""
        return self._held > 0

    @property
    def has_more(self) -> bool:
        """Something was read and not yet asked for, or was said, on the way of something else."""
        return bool(self._coming) or self._has_ended

    def cut(self, how: Callable[[bytes], Iterable[bytes]]) -> None:
        """In which sends the frames leave from now on."""
        self.connection.cut = how

    def handshake(self) -> None:
        if hasattr(self.below, "handshake"):
            self.below.handshake()

    def is_lost(self) -> bool:
        """Whether the answer that is awaited was given up; found out without taking anything of it."""
        with contextlib.suppress(TimeoutError):
            self._take_in(0.001)
        return self.connection.ended or any(writer.answer.reset is not None for writer in self._writers)

    # -- between the two

    def _begin(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            self.connection.begin({Setting.ENABLE_PUSH: 0})

    def _end(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _read(self, end: float | None) -> None:
        """Wait for bytes of the server, once, until that monotonic instant."""
        if self.connection.ended:
            self._finish()
            return
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        self._take_in(left)
        self._render()

    def _take_in(self, seconds: float | None) -> None:
        """The next bytes, waited for so long."""
        if seconds is not None:
            self.below.settimeout(seconds)
        try:
            data = self.connection.fetch()
        finally:
            self.below.settimeout(self._timeout)
        self._note(self.connection.understand(data))

    def _note(self, found: list[frames.Frame]) -> None:
        """The connection's credit for what was read."""
        self._read_bytes += sum(len(frame.payload) for frame in found if frame.kind == Type.DATA)
        if self._read_bytes >= CREDIT:
            self.connection.send(frames.window_update(0, self._read_bytes))
            self._read_bytes = 0

    def _finish(self) -> None:
        """The server has closed: what it has not answered stays so."""
        self._render()
        self._has_ended = True
        if self.connection.reset and not self._coming:
            raise ConnectionResetError("the server has reset the connection")

    def _render(self) -> None:
        """The answer whose turn it is, as far as it has come, and those behind it."""
        while self._writers and not self._has_ended:
            writer = self._writers[0]
            more, taken = writer.more()
            self._coming += more
            stream = writer.answer.stream
            self._taken[stream] = self._taken.get(stream, 0) + taken
            if writer.is_whole:
                self._writers.popleft()
                self._has_ended = writer.closes or writer.is_tunnel
                if writer.head.key is not None and not writer.is_tunnel:
                    self._no_tunnel()
            elif writer.answer.reset is not None or writer.answer.is_ours_reset:
                self._has_ended = True
            else:
                return

    def _give(self) -> None:
        """The streams' credit for what somebody has asked for."""
        for stream, size in list(self._taken.items()):
            if self.connection.strict.answers[stream].is_over:
                del self._taken[stream]
            elif size >= CREDIT:
                self.connection.send(frames.window_update(stream, size))
                del self._taken[stream]

    def _no_tunnel(self) -> None:
        """A WebSocket was refused: what was meant for it goes nowhere, and requests may follow."""
        if self._reader.tunnels:
            self._reader.tunnels = False
            self._leaving.clear()
            self._sending = None

    # -- sending

    @property
    def _awaits_settings(self) -> bool:
        """A WebSocket is to be opened, and the server has not said whether it may be (RFC 8441 §3)."""
        first = self._leaving[0] if self._leaving else None
        is_asked = isinstance(first, Head) and first.key is not None
        return is_asked and not self.connection.strict.has_settings and not self.connection.ended

    @property
    def _held(self) -> int:
        return sum(item.left if isinstance(item, Content) else 0 for item in self._leaving)

    def _flush(self) -> bool:
        """Send what can be sent now; True when nothing is left."""
        while self._leaving and not self.connection.ended and not self.connection.hung_up:
            item = self._leaving[0]
            done = self._head(item) if isinstance(item, Head) else self._content(item)
            if not done:
                return False
            self._leaving.popleft()
        return True

    def _head(self, head: Head) -> bool:
        connection, strict = self.connection, self.connection.strict
        if head.key is not None and not strict.has_settings:
            return False
        if strict.goaway is not None:
            return True  # it takes no more
        most = strict.settings.get(Setting.MAX_CONCURRENT_STREAMS, 1 << 31)
        if sum(not answer.is_over for answer in strict.answers.values()) >= most:
            return False
        tunnel = head.key is not None and strict.settings.get(Setting.ENABLE_CONNECT_PROTOCOL) == 1
        fields = head.translated(connection.scheme, tunnel)
        stream = connection.begin_request(fields, end=head.ends and not tunnel)
        self._writers.append(Writer(head, strict.answers[stream]))
        self._sending = stream if tunnel or not head.ends else None
        if tunnel:
            self._reader.tunnels = True
            self._leaving.extend(self._reader.feed(b""))
        return True

    def _content(self, content: Content) -> bool:
        """True when all of it is sent, or nobody wants it any more."""
        stream = self._sending
        if stream is None or self.connection.strict.answers[stream].reset is not None:
            return True
        while content.left:
            room = min(self.connection.credit(stream), self.connection.max_frame)
            if room <= 0:
                return False
            part = content.take(room)
            last = content.ends and not content.left and not content.trailers
            self.connection.send(frames.data(stream, part, end=last))
            if last:
                content.ends = False
        if content.ends and content.trailers:
            self.connection.begin_request(content.trailers, end=True, stream=stream)
        elif content.ends:
            self.connection.send(frames.data(stream, end=True))
        return True
