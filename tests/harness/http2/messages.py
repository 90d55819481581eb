"""HTTP/1 messages of a test, taken apart; and answers of HTTP/2, put together as HTTP/1 would have them.

Only what is well-formed can be said in HTTP/2 at all; anything else is a NotTranslatableError, and a test
that sends it is one of HTTP/1 alone (harness/axes.py).

Knows: as much of RFC 9112 as the tests send. Must not know: sockets, streams.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import responses as REASONS  # noqa: N812 - a table

from harness.http2.frames import Fields
from harness.http2.strict import OF_HTTP_1, Answer

_START = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\S+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class NotTranslatableError(AssertionError):
    """It cannot be said in HTTP/2; the test should not run on that wire."""


@dataclass
class Head:
    """What begins an exchange. closes: the client wants no more behind it. key: of a WebSocket."""

    method: bytes
    target: bytes
    old: bool  # HTTP/1.0
    fields: Fields
    closes: bool = False
    ends: bool = True  # no body follows
    key: bytes | None = None

    @property
    def upgrades(self) -> bool:
        """To something else than a WebSocket, which HTTP/2 opens in its own way (RFC 8441)."""
        return any(name == b"upgrade" and value.lower() != b"websocket" for name, value in self.fields)

    def pseudo(self, scheme: str, tunnel: bool) -> Fields:
        hosts = [value for name, value in self.fields if name == b"host"]
        authority, path = hosts[:1], self.target
        if match := _ABSOLUTE.fullmatch(self.target):
            authority, path = [match[1]], match[2] or b"/"
        if self.method == b"CONNECT":
            return [(b":method", b"CONNECT"), (b":authority", self.target)]
        method = b"CONNECT" if tunnel else self.method
        return [
            (b":method", method),
            *([(b":protocol", b"websocket")] if tunnel else []),
            (b":scheme", scheme.encode()),
            *((b":authority", host) for host in authority),
            (b":path", path),
        ]

    def translated(self, scheme: str, tunnel: bool) -> Fields:
        dropped = OF_HTTP_1 | {b"host"} | ({b"sec-websocket-key"} if tunnel else set())
        listed = {token for name, value in self.fields if name == b"connection" for token in _tokens(value)}
        out = self.pseudo(scheme, tunnel)
        for name, value in self.fields:
            if name in dropped or name in listed - {b"te", b"host"}:
                continue
            if name == b"te":  # RFC 9113 §8.2.2: nothing else may stand there
                if b"trailers" not in _tokens(value):
                    continue
                value = b"trailers"
            # RFC 9113 §8.2.3: crumbs may come apart, and so they do.
            crumbs = value.split(b"; ") if name == b"cookie" else [value]
            out += [(name, crumb) for crumb in crumbs]
        return out


@dataclass
class Content:
    """A part of the body of the last head."""

    data: bytes = b""
    ends: bool = False
    trailers: Fields = field(default_factory=list)
    at: int = 0  # what is in front of this was taken

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        part = self.data[self.at : self.at + size]
        self.at += len(part)
        return part


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]


class Reader:
    """Feeds on bytes of requests in a row."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0  # what is in front of this was read
        self._left = 0
        self._state = self._head
        self.tunnels = False  # what comes from now on is for the other end of a tunnel

    def feed(self, data: bytes) -> Iterator[Head | Content]:
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        while True:
            if self.tunnels:
                if rest := self._take(len(self._buffer)):
                    yield Content(rest)
                return
            before = self._state, self._at
            if (item := self._state()) is not None:
                yield item
            elif before == (self._state, self._at):
                return

    @property
    def is_between(self) -> bool:
        """Nothing of a message waits for its rest."""
        return self._state == self._head and self._at == len(self._buffer)

    @property
    def is_in_chunks(self) -> bool:
        """A body in chunks waits for more; what it has of them may be nothing that could be sent."""
        return self._state in {self._chunk_line, self._chunk, self._chunk_end, self._trailers}

    def _take(self, size: int) -> bytes:
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def _until(self, mark: bytes) -> bytes | None:
        """What is in front of the mark, which is dropped; None if it has not come."""
        end = self._buffer.find(mark, self._at)
        if end < 0:
            return None
        data = self._buffer[self._at : end]
        self._at = end + len(mark)
        return data

    def _head(self) -> Head | None:
        while self._buffer.startswith(b"\r\n", self._at):
            self._at += 2
        text = self._until(b"\r\n\r\n")
        if text is None:
            return None
        first, *lines = text.split(b"\r\n")
        match = _START.fullmatch(first)
        if match is None:
            raise NotTranslatableError(f"request line {first!r}")
        return self._body_of(Head(match[1], match[2], match[3] == b"0", [_field(line) for line in lines]))

    def _body_of(self, head: Head) -> Head:
        fields = dict(head.fields)
        tokens = [token for name, value in head.fields if name == b"connection" for token in _tokens(value)]
        head.closes = b"close" in tokens or (head.old and b"keep-alive" not in tokens)
        head.key = fields.get(b"sec-websocket-key") if b"upgrade" in tokens else None
        if b"transfer-encoding" in fields:
            if b"content-length" in fields or fields[b"transfer-encoding"].lower() != b"chunked":
                raise NotTranslatableError("framing that HTTP/2 does not have")
            head.ends = False
            self._state = self._chunk_line
        elif b"content-length" in fields:
            if not re.fullmatch(rb"[0-9]{1,18}", fields[b"content-length"]):
                raise NotTranslatableError(f"content-length {fields[b'content-length']!r}")
            self._left = int(fields[b"content-length"])
            head.ends = not self._left
            self._state = self._length if self._left else self._head
        return head

    def _length(self) -> Content | None:
        data = self._take(self._left)
        self._left -= len(data)
        if not data:
            return None
        if not self._left:
            self._state = self._head
        return Content(data, ends=not self._left)

    def _chunk_line(self) -> Content | None:
        line = self._until(b"\r\n")
        if line is None:
            return None
        size = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
            raise NotTranslatableError(f"chunk line {line!r}")
        self._left = int(size, 16)
        self._state = self._chunk if self._left else self._trailers
        return None

    def _chunk(self) -> Content | None:
        data = self._take(self._left)
        self._left -= len(data)
        if not self._left:
            self._state = self._chunk_end
        return Content(data) if data else None

    def _chunk_end(self) -> None:
        if len(self._buffer) - self._at >= 2:
            if self._take(2) != b"\r\n":
                raise NotTranslatableError("no CRLF behind a chunk")
            self._state = self._chunk_line

    def _trailers(self) -> Content | None:
        if self._buffer.startswith(b"\r\n", self._at):
            self._at += 2
            self._state = self._head
            return Content(ends=True)
        text = self._until(b"\r\n\r\n")
        if text is None:
            return None
        self._state = self._head
        return Content(ends=True, trailers=[_field(line) for line in text.split(b"\r\n")])


def _field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise NotTranslatableError(f"field line {line!r}")
    return match[1].lower(), match[2]


class Writer:
    """Makes of one answer, as it comes, the bytes that HTTP/1 would have."""

    def __init__(self, head: Head, answer: Answer) -> None:
        self.head = head
        self.answer = answer
        self.closes = head.closes
        self._interim = self._pieces = 0
        self._is_begun = False
        self._is_chunked = False
        self.is_whole = False

    @property
    def is_tunnel(self) -> bool:
        return self.answer.tunnels

    def more(self) -> tuple[bytes, int]:
        """What has come since the last time, and how much of the stream's window it took."""
        # RFC 9110 §15.2: no interim response for HTTP/1.0
        interim = [] if self.head.old else self.answer.interim[self._interim :]
        out = [_head(int(fields[0][1]), fields[1:]) for fields in interim]
        self._interim = len(self.answer.interim)
        if self.answer.head and not self._is_begun:
            self._is_begun = True
            out.append(self._begin())
        content = self.answer.pieces[self._pieces :]
        self._pieces = len(self.answer.pieces)
        out += [b"%X\r\n%b\r\n" % (len(p), p) if self._is_chunked and p else p for p in content]
        if self.answer.ended and not self.is_whole:
            self.is_whole = True
            if self._is_chunked:
                trailers = b"".join(_line(name, value) for name, value in self.answer.trailers or ())
                out.append(b"0\r\n" + trailers + b"\r\n")
        return b"".join(out), sum(map(len, content))

    def _begin(self) -> bytes:
        answer = self.answer
        fields = answer.head[1:]
        if answer.tunnels:
            return _head(101, [*self._accepted(), *fields])
        # HTTP/1 has no place for trailers behind a length.
        takes_trailers = (b"te", b"trailers") in self.head.fields
        self._is_chunked = (
            answer.has_content and (answer.length is None or takes_trailers) and not self.head.old
        )
        if self._is_chunked:
            fields = [field for field in fields if field[0] != b"content-length"]
        if answer.has_content and answer.length is None and self.head.old:
            self.closes = True
        more: Fields = [(b"transfer-encoding", b"chunked")] if self._is_chunked else []
        if self.closes:
            more.append((b"connection", b"close"))
        elif self.head.old:
            more.append((b"connection", b"keep-alive"))
        return _head(answer.status, [*fields, *more])

    def _accepted(self) -> Fields:
        """RFC 6455 §4.2.2, which RFC 8441 §5 has no need of."""
        assert self.head.key is not None
        accept = base64.b64encode(hashlib.sha1(self.head.key + _GUID).digest())
        return [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", accept)]


def _head(status: int, fields: Fields) -> bytes:
    lines = b"".join(_line(name, value) for name, value in fields)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, REASONS.get(status, "").encode(), lines)


def _line(name: bytes, value: bytes) -> bytes:
    return name + b": " + value + b"\r\n"
