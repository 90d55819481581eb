"""Messages that are nearly right: made of good and of bad parts, then bent.

Knows: where HTTP parsers are known to differ. Must not know: which parser reads the message.

Everything takes a `random.Random`. The fuzzer hands in a seeded one, hypothesis one of its own,
so that it can
shrink what it found.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"TRACE")
ODD_METHODS = (
    b"get",
    b"BREW",
    b"M-SEARCH",
    b"G(T",
    b"",
    b"GET\t",
    b"A" * 32,
    b"A" * 33,
    b"PRI",
    b"X'!#$%&*+",
)

TARGETS = (
    b"/",
    b"/a/b?c=d",
    b"/%41?",
    b"//x//",
    b"/a?b?c",
    b"http://b.example/p?q",
    b"http://b.example?q",
    b"/;x=,",
)
ODD_TARGETS = (
    b"*", b"b.example:443", b"http://", b"http:///", b"https://u@b.example/", b"a", b"", b"/a#b", b"/a b",
    b"/\x80",
    b"/\x7f", b"/a\tb", b"/\xc3\xa9", b"ftp://x/", b"HTTP://B.example:80/", b"/<>\"|\\^`{}", b"?a",
    b"[::1]:80",
)  # fmt: skip

VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0")
ODD_VERSIONS = (
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"http/1.1",
    b"HTTP/1.10",
    b"HTTP/1.",
    b"HTTP/11",
    b"ICE/1.0",
    b"",
)

FIELDS = (
    b"Accept: */*", b"A:b", b"User-Agent: x/1 (y; z)", b"X-Empty:", b"X-Tabs:\t a\tb \t", b"Cookie: a=b; c=d",
    b"x_under: 1", b"Connection: keep-alive", b"Connection: close", b"connection: TE, close",
    b"X-Obs: \xe9\xff",
    b"Expect: 100-continue", b"Upgrade: websocket", b"Connection: upgrade", b"X!#$%&'*+-.^_`|~9: 1",
)  # fmt: skip
ODD_FIELDS = (
    b"Host: c.example", b"host:", b"Host: a b", b"Host: [::1]:80", b"no colon", b": empty", b"A : b",
    b" A: b",
    b"\tfold", b"A\tb: c", b"A(: b", b"A\x00: b", b"A: \x00", b"A: \x7f", b"A: \x0b", b"A: b\rc", b"A: b\nc",
    b"A:\r",
    b"\xe9: b", b"Expect: more", b"Expect:", b"Content-Type: a/b", b"Content-Type: c/d",
    b"Proxy-Connection: close",
    b"Connection:", b"Connection: ,, close ,", b"Connection: x-close-y", b"A" * 50 + b": b", b"Keep-Alive: 5",
)  # fmt: skip

LENGTHS = (b"%d",)
ODD_LENGTHS = (
    b"+%d", b"-%d", b"0x%x", b"%d, %d", b"%d,%d", b"0%d", b" %d \t", b"%d_0", b"%d ", b"", b"1 %d", b"%d.0",
    b"99999999999999999999", b"000000000000000000%d", b"\xb2%d",
)  # fmt: skip
CODINGS = (b"chunked",)
ODD_CODINGS = (
    b"Chunked", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity", b"xchunked",
    b"chunked;a=b",
    b"", b",chunked", b"chunked,", b"\x0bchunked", b"chunked x", b"gzip", b"chunked\t", b'"chunked"',
    b"chunke",
)  # fmt: skip
SIZES = (b"%x", b"%X", b"0%x", b"000%x")
ODD_SIZES = (
    b"+%x",
    b"0x%x",
    b" %x",
    b"%x ",
    b"%x\t",
    b"%xg",
    b"",
    b"-%x",
    b"%x" + b"0" * 16,
    b"f" * 16,
    b"0" * 17 + b"%x",
)
EXTENSIONS = (b"", b"", b"", b";a", b";a=b", b';a="b"')
ODD_EXTENSIONS = (
    b"; a = b",
    b';a="b',
    b";",
    b";a=",
    b";a;b",
    b";=b",
    b";a=\x00",
    b';a="\\"";b',
    b" ;a",
    b";a b",
    b";\xe9",
)
TRAILERS = (b"X-Trailer: 1", b"Expires: never")
ODD_TRAILERS = (
    b"Content-Length: 3",
    b"Host: x",
    b"no colon",
    b" fold",
    b"A: \x00",
    b"Authorization: x",
    b"A : b",
)

LINE_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"\x00\r\n", b"\x0b\r\n", b"")
BODIES = (
    b"",
    b"x",
    b"hello",
    b"0\r\n\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: s.example\r\n\r\n",
    b"\r\n",
    b"a" * 40,
)

#: Bytes that mean something to some parser.
SPICE = b'\r\n \t:,;="\\()/?#%@[]{}\x00\x0b\x0c\x1f\x7f\x80\x85\xa0\xff0159aAfFxXgG+-_.'


class Writer:
    """One message. `oddity`: how likely each part is to be a bad one."""

    def __init__(self, chance: random.Random, oddity: float) -> None:
        self.chance = chance
        self.oddity = oddity

    def odd(self) -> bool:
        return self.chance.random() < self.oddity

    def pick(self, good: Sequence[bytes], bad: Sequence[bytes]) -> bytes:
        return self.chance.choice(bad if self.odd() else good)

    def line_end(self) -> bytes:
        return self.pick((b"\r\n",), LINE_ENDS)

    def number(self, form: bytes, value: int) -> bytes:
        return form % ((value,) * form.count(b"%"))

    def message(self) -> bytes:
        method = self.pick(METHODS, ODD_METHODS)
        target = self.pick(TARGETS, ODD_TARGETS)
        if method == b"CONNECT" and not self.odd():
            target = b"b.example:443"
        space = self.pick((b" ",), (b"  ", b"\t", b" \t", b""))
        start = method + space + target + b" " + self.pick(VERSIONS, ODD_VERSIONS)
        lines = [start]
        if not self.odd():
            lines.append(b"Host: a.example")
        lines += [self.pick(FIELDS, ODD_FIELDS) for _ in range(self.chance.randrange(4))]
        framing, body = self.body()
        lines[self.chance.randrange(1, len(lines) + 1) : 0] = framing
        before = self.pick((b"",), (b"\r\n", b"\r\n\r\n", b"\n", b" ", b"\r"))
        return before + b"".join(line + self.line_end() for line in lines) + self.line_end() + body

    def body(self) -> tuple[list[bytes], bytes]:
        """The fields that frame a body, and the body."""
        kind = self.chance.choice(("none", "length", "length", "chunked", "chunked", "both"))
        if kind == "both" and not self.odd():
            kind = "none"
        content = self.chance.choice(BODIES)
        fields = []
        if kind in ("length", "both"):
            fields.append(b"Content-Length: " + self.number(self.pick(LENGTHS, ODD_LENGTHS), len(content)))
            if self.odd():
                fields.append(
                    b"content-length: " + self.number(self.pick(LENGTHS, ODD_LENGTHS), len(content))
                )
        if kind in ("chunked", "both"):
            fields.append(b"Transfer-Encoding: " + self.pick(CODINGS, ODD_CODINGS))
            if self.odd():
                fields.append(b"Transfer-Encoding: " + self.pick(CODINGS, ODD_CODINGS))
        if kind == "chunked" or (kind == "both" and self.chance.random() < 0.5):
            return fields, self.chunks(content)
        return fields, b"" if kind == "none" else content

    def chunks(self, content: bytes) -> bytes:
        out = b""
        while content:
            n = self.chance.randrange(1, len(content) + 1)
            out += self.chunk_line(n) + content[:n] + self.line_end()
            content = content[n:]
        out += self.chunk_line(0)
        for _ in range(self.chance.choice((0, 0, 0, 1, 2))):
            out += self.pick(TRAILERS, ODD_TRAILERS) + self.line_end()
        return out + self.line_end()

    def chunk_line(self, size: int) -> bytes:
        number = self.number(self.pick(SIZES, ODD_SIZES), size)
        return number + self.pick(EXTENSIONS, ODD_EXTENSIONS) + self.line_end()


def bend(chance: random.Random, data: bytes) -> bytes:
    """One small change at a random place."""
    at = chance.randrange(len(data) + 1)
    kind = chance.choice(("insert", "replace", "delete", "double", "swap", "cut"))
    if kind == "insert":
        return data[:at] + bytes([chance.choice(SPICE)]) + data[at:]
    if kind == "replace":
        return data[:at] + bytes([chance.choice(SPICE)]) + data[at + 1 :]
    if kind == "delete":
        return data[:at] + data[at + chance.randrange(1, 4) :]
    if kind == "double":
        return data[:at] + data[max(0, at - chance.randrange(1, 9)) :]
    if kind == "swap":
        return data[:at] + data[at + 1 : at + 2] + data[at : at + 1] + data[at + 2 :]
    return data[:at]


def near_valid(chance: random.Random) -> bytes:
    """One to three messages in a row, mostly with one or two faults."""
    oddity = chance.choice((0.0, 0.02, 0.05, 0.15))
    writer = Writer(chance, oddity)
    data = b"".join(writer.message() for _ in range(chance.choice((1, 1, 2, 3))))
    for _ in range(chance.choice((0, 0, 1, 2))):
        data = bend(chance, data)
    return data
