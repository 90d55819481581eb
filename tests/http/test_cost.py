"""What messages cost: work in proportion to their bytes however they are cut, and no memory that stays."""

from __future__ import annotations

import contextlib
import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
from fuzz.frames import BINARY, CONTINUATION, PING, TEXT, deflated, length_bytes, masked
from harness.axes import HAS_HTTP_2
from harness.cost import assert_linear, processor_seconds
from harness.http2 import frames as h2
from harness.http2.frames import PREFACE, SETTINGS_ACK, Setting
from harness.packets import packet, said

from tricorn.http import proxy_protocol
from tricorn.http.errors import ProtocolError, ResponseError
from tricorn.http.forwarded import HeaderPolicy, TrustedPeers, checked_prefix, resolve_forwarded
from tricorn.http.proxy_protocol import V1_LONGEST, V2_SIGNATURE
from tricorn.http.reader import RequestReader
from tricorn.http.request import Limits
from tricorn.http.websocket import Deflate, FrameStream
from tricorn.http.websocket_handshake import DeflatePolicy, accept_head, negotiate, read_handshake
from tricorn.http.writer import response_head

#: Bytes of chunk extensions in one body, as h1 has it.
LONGEST_EXTENSION = 16384

#: Limits far beyond the default ones, so that work that is not linear has room to show.
WIDE = Limits(request_line=0, field_size=0, fields=0, head=1 << 24)

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def read_whole(data: bytes) -> None:
    reader = RequestReader(WIDE)
    reader.feed(data)


def read_bytes(data: bytes) -> None:
    reader = RequestReader(WIDE)
    for at in range(len(data)):
        reader.feed(data[at : at + 1])


#: What grows with n behind a beginning, as it comes in one piece and byte by byte.
MESSAGES: dict[str, Callable[[int], bytes]] = {
    "a request line": lambda n: b"GET /" + b"a" * n,
    "a query": lambda n: b"GET /?" + b"?" * n,
    "an authority": lambda n: b"GET http://" + b"a" * n + b"/ HTTP/1.1\r\n",
    "an authority of escapes": lambda n: b"GET http://" + b"%41" * (n // 3) + b"/ HTTP/1.1\r\n",
    "a Host": lambda n: b"GET / HTTP/1.1\r\nHost: " + b"a" * n + b"\r\n\r\n",
    "a field line": lambda n: HEAD + b"A: " + b"b" * n,
    "a field of blanks": lambda n: HEAD + b"A: " + b" " * n + b"\r\n",
    "a field name": lambda n: HEAD + b"b" * n,
    "many fields": lambda n: HEAD + b"A: bcd\r\n" * (n // 8),
    "many fields of unknown names": lambda n: HEAD + b"".join(b"N%06d:\r\n" % k for k in range(n // 10)),
    "a list in Connection": lambda n: HEAD + b"Connection: " + b"," * n + b"\r\n\r\n",
    "words in Connection": lambda n: HEAD + b"Connection: " + b"close, " * (n // 7) + b"\r\n\r\n",
    "blanks in Connection": lambda n: HEAD + b"Connection: " + b"a " * (n // 2) + b"\r\n\r\n",
    "a list in Expect": lambda n: HEAD + b"Expect: " + b"100-continue," * (n // 13) + b"\r\n\r\n",
    "separators in Expect": lambda n: HEAD + b"Expect: " + b" ," * (n // 2) + b"\r\n\r\n",
    "a list in Transfer-Encoding": lambda n: (
        HEAD + b"Transfer-Encoding: " + b"a, " * (n // 3) + b"chunked\r\n\r\n"
    ),
    "many Transfer-Encodings": lambda n: HEAD + b"Transfer-Encoding: a\r\n" * (n // 22) + b"\r\n",
    "parameters in Transfer-Encoding": lambda n: (
        HEAD + b"Transfer-Encoding: a" + b" ;" * (n // 2) + b"\r\n\r\n"
    ),
    "digits of Content-Length": lambda n: HEAD + b"Content-Length: " + b"0" * n + b"\r\n\r\n",
    "cookies": lambda n: HEAD + b"Cookie: a=b\r\n" * (n // 13),
    "a body": lambda n: HEAD + b"Content-Length: 99999999\r\n\r\n" + b"x" * n,
    "a chunk": lambda n: CHUNKED + b"ffffff\r\n" + b"x" * n,
    "chunks of one byte": lambda n: CHUNKED + b"1\r\nx\r\n" * (n // 6),
    "chunks with all the digits": lambda n: CHUNKED + b"0000000000000001\r\nx\r\n" * (n // 21),
    "an extension of a chunk": lambda n: CHUNKED + b"1;a=" + b"b" * min(n, LONGEST_EXTENSION),
    "chunks with an extension": lambda n: CHUNKED + b'1;a="\\b"\r\nx\r\n' * (n // 14),
    "one trailer": lambda n: CHUNKED + b"0\r\nA: " + b"b" * n,
    "many trailers": lambda n: CHUNKED + b"0\r\n" + b"A: bcd\r\n" * (n // 8),
    "trailers that are dropped": lambda n: CHUNKED + b"0\r\n" + b"Vary: b\r\n" * (n // 9),
}

#: Trusted hops of their own, so that no cache helps.
HOPS = [b"10.%d.%d.%d" % (a, b, c) for a in range(4) for b in range(64) for c in range(256)]
POLICY = HeaderPolicy(
    TrustedPeers(["10.0.0.0/8"]), frozenset(["SCRIPT_NAME"]), "drop", {"X-FORWARDED-PROTO": "https"}
)
SPREAD = 7


def forwarded(name: bytes, value: Callable[[int], bytes]) -> Callable[[int], dict[bytes, list[bytes]]]:
    """n bytes in so many fields, as the limit of one field makes it."""
    return lambda n: {name: [value(n // SPREAD)] * SPREAD}


def resolve(fields: dict[bytes, list[bytes]]) -> None:
    with contextlib.suppress(ProtocolError):
        resolve_forwarded(fields, "10.0.0.1", 1, "http", POLICY)


CLAIMS: dict[str, Callable[[int], dict[bytes, list[bytes]]]] = {
    **{
        f"{what} in X-Forwarded-{name.title().decode()}": forwarded(b"x-forwarded-" + name, value)
        for name in (b"for", b"host", b"port", b"prefix", b"proto")
        for what, value in {
            "separators": lambda n: b"," * n,
            "blank members": lambda n: b" ," * (n // 2),
            "blanks": lambda n: b" " * n,
            "letters": lambda n: b"a" * n,
            "digits": lambda n: b"1" * n,
            "brackets": lambda n: b"[" * n,
            "colons": lambda n: b":" * n,
            "escapes": lambda n: b"%41" * (n // 3),
            "segments": lambda n: b"/a" * (n // 2) + b"?",
            "slashes": lambda n: b"/" * n,
        }.items()
    },
    "hops": forwarded(b"x-forwarded-for", lambda n: b",".join(HOPS[: n // 10])),
    **{
        f"{what} in Forwarded": forwarded(b"forwarded", value)
        for what, value in {
            "separators": lambda n: b";" * n,
            "commas": lambda n: b"," * n,
            "blanks": lambda n: b" " * n,
            "a token": lambda n: b"for=" + b"a" * n,
            "a name": lambda n: b"a" * n,
            "a quoted string": lambda n: b'for="' + b"a" * n + b'"',
            "an open quote": lambda n: b'for="' + b"a" * n,
            "escapes": lambda n: b'for="' + b"\\a" * (n // 2) + b'"',
            "pairs": lambda n: b";".join(b"a%d=b" % k for k in range(n // 8)),
            "elements": lambda n: b"for=10.0.0.1," * (n // 13),
            "a host": lambda n: b"host=" + b"a" * n,
        }.items()
    },
}

PREFIXES: dict[str, Callable[[int], bytes]] = {
    "segments": lambda n: b"/a" * (n // 2),
    "a wrong end": lambda n: b"/a" * (n // 2) + b"?",
    "one segment": lambda n: b"/" + b"a" * n,
    "slashes at the end": lambda n: b"/a" + b"/" * n,
    "dots": lambda n: b"/a" + b"/." * (n // 2),
}


def check_prefix(value: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        checked_prefix(value)


V2 = V2_SIGNATURE + bytes([0x21, 0x11])


def v2(entries: bytes) -> bytes:
    block = bytes([192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2]) + entries
    return V2 + len(block).to_bytes(2) + block


def checked(header: bytes) -> bytes:
    return header[:-4] + proxy_protocol.crc32c(header).to_bytes(4)


def proxy_whole(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        proxy_protocol.parse(data, "auto")


def proxy_bytes(data: bytes) -> None:
    """As a connection does it: again with each byte that comes."""
    with contextlib.suppress(ProtocolError):
        for end in range(1, len(data) + 1):
            proxy_protocol.parse(data[:end], "auto")


PROXY: dict[str, Callable[[int], bytes]] = {
    "a line of version 1": lambda n: b"PROXY UNKNOWN" + b" " * n,
    "spaces in a line of version 1": lambda n: b"PROXY TCP4" + b" " * n,
    "entries": lambda n: v2(b"\x04\x00\x00" * (n // 3)),
    "one entry": lambda n: v2(b"\x04" + n.to_bytes(2) + bytes(n)),
    "a checksum": lambda n: checked(v2(b"\x04" + n.to_bytes(2) + bytes(n) + b"\x03\x00\x04" + bytes(4))),
}

HEADERS = [
    (b"connection", b"Upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"A" * 22 + b"=="),
]


def shake_hands(header: tuple[bytes, bytes]) -> None:
    with contextlib.suppress(ProtocolError):
        handshake = read_handshake("GET", 1, [*HEADERS, header])
        negotiate(handshake.offers, DeflatePolicy())
        accept_head(handshake)


HANDSHAKES: dict[str, Callable[[int], tuple[bytes, bytes]]] = {
    "separators in Connection": lambda n: (b"connection", b"," * n),
    "blank members of Connection": lambda n: (b"connection", b" ," * (n // 2)),
    "blanks in Connection": lambda n: (b"connection", b"a " * (n // 2)),
    "separators of subprotocols": lambda n: (b"sec-websocket-protocol", b"," * n),
    "subprotocols": lambda n: (b"sec-websocket-protocol", b",".join(b"a%06d" % k for k in range(n // 8))),
    "a subprotocol": lambda n: (b"sec-websocket-protocol", b"a" * n),
    "separators of extensions": lambda n: (b"sec-websocket-extensions", b"," * n),
    "blank members of extensions": lambda n: (b"sec-websocket-extensions", b"a" + b" ," * (n // 2)),
    "blanks in extensions": lambda n: (b"sec-websocket-extensions", b"a" + b" " * n),
    "extensions": lambda n: (b"sec-websocket-extensions", b"a," * (n // 2)),
    "extensions with long names": lambda n: (b"sec-websocket-extensions", (b"a" * (n // 300) + b",") * 300),
    "offers": lambda n: (b"sec-websocket-extensions", b"permessage-deflate;x," * (n // 21)),
    "parameters": lambda n: (b"sec-websocket-extensions", b"permessage-deflate" + b";a=b" * (n // 4)),
    "a quoted parameter": lambda n: (b"sec-websocket-extensions", b'a;b="' + b"c" * n + b'"'),
    "an open quote": lambda n: (b"sec-websocket-extensions", b'a;b="' + b"c" * n),
    "escapes": lambda n: (b"sec-websocket-extensions", b'a;b="' + b"\\c" * (n // 2) + b'"'),
    "keys": lambda n: (b"sec-websocket-key", b"A" * n),
}


def frames_whole(data: bytes) -> None:
    FrameStream(1 << 30, Deflate()).feed(data)


def frames_bytes(data: bytes) -> None:
    stream = FrameStream(1 << 30, Deflate())
    for at in range(len(data)):
        stream.feed(data[at : at + 1])


def frame_head(opcode: int, size: int, rsv: int = 0) -> bytes:
    """The head of a frame whose key is all zeros, so that a payload can be anything."""
    return bytes([0x80 | rsv << 4 | opcode]) + length_bytes(size) + bytes(4)


def fragmented(opcode: int, first: bytes, each: bytes) -> Callable[[int], bytes]:
    return lambda n: masked(opcode, first, fin=False) + each * (n // len(each))


FRAMES: dict[str, Callable[[int], bytes]] = {
    "a text": lambda n: frame_head(TEXT, 1 << 29) + b"a" * n,
    "a text beyond ASCII": lambda n: frame_head(TEXT, 1 << 29) + "aé€😀".encode() * (n // 10),
    "a text that is not UTF-8 at its end": lambda n: (
        frame_head(TEXT, n + 1) + "€".encode() * (n // 3) + b"\xff\xff\xff"
    ),
    "bytes": lambda n: frame_head(BINARY, 1 << 29) + b"a" * n,
    "messages of one byte": lambda n: masked(TEXT, b"x") * (n // 7),
    "empty messages": lambda n: masked(BINARY) * (n // 6),
    "fragments of one byte": fragmented(BINARY, b"", masked(CONTINUATION, b"x", fin=False)),
    "fragments of text": fragmented(TEXT, b"", masked(CONTINUATION, b"x", fin=False)),
    "empty fragments": fragmented(BINARY, b"", masked(CONTINUATION, fin=False)),
    "pings": lambda n: masked(PING) * (n // 6),
    "pings between fragments": fragmented(
        TEXT, b"x" * 1000, masked(PING) + masked(CONTINUATION, b"x", fin=False)
    ),
    "a compressed message": lambda n: (
        frame_head(TEXT, 1 << 29, rsv=4) + deflated(b"abcdefgh" * n, level=0)[:n]
    ),
    "compressed messages": lambda n: masked(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4) * (n // 13),
    # DEFLATE streams that end at once, as many as are let pass in each frame.
    "streams that end": lambda n: (
        masked(TEXT, b"\x03\x00", fin=False, rsv=4)
        + masked(CONTINUATION, b"\x03\x00" * 2, fin=False) * (n // 10)
    ),
    "stored blocks of nothing": lambda n: (
        frame_head(BINARY, 1 << 29, rsv=4) + b"\x00\x00\x00\xff\xff" * (n // 5)
    ),
}


#: A megabyte for each KB: what a message may inflate to is limited, and so is the work.
def bomb(n: int) -> bytes:
    return frame_head(BINARY, len(packed := deflated(bytes(1000 * n), level=9)), rsv=4) + packed


def inflate(data: bytes) -> None:
    FrameStream(1 << 20, Deflate()).feed(data)


#: What a session is given at a time: less than the thousand answers that may wait to be sent.
READ = 8192
OFFER = {"window": 1 << 24, "head_list": 0}


def session_given(data: bytes, size: int) -> list[tuple[Any, ...]]:
    """What a session tells of this, so many bytes at a time.

    It has to bear all of it, so that each byte is looked at. That somebody does too much is judged elsewhere:
    frame_meter.pyx.
    """
    from tricorn.http.h2_reader import SessionReader  # which need not have been built

    session = SessionReader(WIDE, **OFFER)
    session.feed(PREFACE + h2.settings())
    session.take()
    session.feed(SETTINGS_ACK)
    found = []
    for start in range(0, len(data), READ):
        for at in range(start, min(start + READ, len(data)), size):
            told = session.feed(data[at : min(at + size, start + READ)])
            assert told is not None, "the session has ended"
            found += told
        session.take()
    return found


def session_whole(data: bytes) -> None:
    session_given(data, READ)


def session_bytes(data: bytes) -> None:
    session_given(data, 1)


def asks_whole(data: bytes) -> None:
    """The request has to be one that is served, or not all of its fields would be looked at."""
    assert {told[0] for told in session_given(data, READ)} - {"end"} == {"head"}


def asks_bytes(data: bytes) -> None:
    assert {told[0] for told in session_given(data, 1)} - {"end"} == {"head"}


PSEUDO = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a"))
GET = h2.block(*PSEUDO)
#: The field that went into the table last, in one byte (RFC 7541 §6.1).
LAST = b"\xbe"


def asking(*parts: bytes, size: int = h2.SMALLEST_MAX_FRAME) -> bytes:
    """A request with this field block, in as many frames as it takes."""
    return b"".join(h2.in_pieces(1, b"".join(parts), size, end=True))


def indexed(name: bytes, value: bytes) -> bytes:
    """RFC 7541 §6.2.1: a literal that goes into the table."""
    return b"\x40" + h2.text(name) + h2.text(value)


def with_trailers(block: bytes) -> bytes:
    return h2.headers(1, GET) + b"".join(h2.in_pieces(1, block, h2.SMALLEST_MAX_FRAME, end=True))


#: Requests of HTTP/2 whose head has n bytes.
FIELD_BLOCKS: dict[str, Callable[[int], bytes]] = {
    "a value": lambda n: asking(GET, h2.literal(b"a", b"b" * n)),
    # Huffman's code of X has eight bits.
    "a value in Huffman's code": lambda n: asking(
        GET, b"\x00", h2.text(b"a"), h2.integer(n, 7, 0x80), b"\xfc" * n
    ),
    "a name": lambda n: asking(GET, h2.literal(b"a" * n, b"")),
    "a path": lambda n: asking(h2.block(*PSEUDO[:2], (b":path", b"/" + b"a" * n), PSEUDO[3])),
    "an authority": lambda n: asking(h2.block(*PSEUDO[:3], (b":authority", b"a" * n))),
    "a priority": lambda n: asking(GET, h2.literal(b"priority", b"u=1," * (n // 4) + b"i")),
    "many fields": lambda n: asking(GET, h2.literal(b"a", b"bcd") * (n // 7)),
    "many fields of unknown names": lambda n: asking(
        GET, *(h2.literal(b"n%06d" % k, b"") for k in range(n // 10))
    ),
    "a field of the table again and again": lambda n: asking(GET, indexed(b"a", b""), LAST * n),
    "fields that go into the table": lambda n: asking(
        GET, *(indexed(b"n%06d" % k, b"") for k in range(n // 10))
    ),
    "fields that push each other out of the table": lambda n: asking(
        GET, *(indexed(b"n%06d" % k, b"a" * 4000) for k in range(n // 4010))
    ),
    "sizes of the table": lambda n: asking(b"\x20\x3f\xe1\x1f" * (n // 4), GET),
    # The name is the 32nd of the static table.
    "cookie crumbs": lambda n: asking(GET, (b"\x0f\x11" + h2.text(b"a=b")) * (n // 6)),
    "cookie crumbs of the table": lambda n: asking(GET, b"\x60" + h2.text(b"a=b"), LAST * n),
    "cookie crumbs between fields": lambda n: asking(
        GET, indexed(b"a", b"b"), b"\x60" + h2.text(b"a=b"), (LAST + b"\xbf") * (n // 2)
    ),
    "a Host that says the same": lambda n: asking(
        h2.block(*PSEUDO[:3], (b":authority", b"a" * (n // 2)), (b"host", b"A" * (n // 2)))
    ),
    "many trailers": lambda n: with_trailers(h2.literal(b"a", b"bcd") * (n // 7)),
    "a trailer of the table again and again": lambda n: with_trailers(indexed(b"a", b"") + LAST * n),
    "frames of one byte": lambda n: asking(GET, h2.literal(b"a", b"b" * (n // 10)), size=1),
    "empty frames": lambda n: (
        h2.headers(1, GET, end=True, whole=False)
        + h2.continuation(1, b"", whole=False) * (n // 9)
        + h2.continuation(1, b"")
    ),
}

OPEN = h2.headers(1, GET)
#: As many as a client may have open by default.
OPEN_100 = b"".join(h2.headers(number, GET) for number in range(1, 201, 2))


def settings_of(*windows: int) -> bytes:
    return h2.settings([(Setting.INITIAL_WINDOW_SIZE, size) for size in windows])


def streams(n: int, make: Callable[[int], bytes]) -> bytes:
    """n bytes of what is said of one stream after the other."""
    return b"".join(make(number) for number in range(1, 2 * (n // len(make(1))), 2))


#: Other frames of HTTP/2, and heads of many requests.
SESSIONS: dict[str, Callable[[int], bytes]] = {
    "empty SETTINGS": lambda n: h2.settings() * (n // 9),
    "SETTINGS of the most entries": lambda n: settings_of(*range(32)) * (n // 201),
    "windows of all streams": lambda n: OPEN_100 + (settings_of(1) + settings_of(2)) * (n // 30),
    "windows of all streams, in one frame": lambda n: OPEN_100 + settings_of(*range(32)) * (n // 201),
    "PINGs": lambda n: h2.ping() * (n // 17),
    "answers to PINGs": lambda n: h2.ping(ack=True) * (n // 17),
    "PRIORITY": lambda n: OPEN + h2.priority(1) * (n // 14),
    "PRIORITY_UPDATE": lambda n: (
        OPEN + (h2.priority_update(1, b"u=1") + h2.priority_update(1, b"u=5,i")) * (n // 34)
    ),
    "PRIORITY_UPDATE of streams that are to come": lambda n: streams(
        n, lambda number: h2.priority_update(number, b"u=1")
    ),
    "PRIORITY_UPDATE of all streams": lambda n: (
        OPEN_100
        + b"".join(h2.priority_update(2 * (k % 100) + 1, b"u=%d" % (k // 100 % 8)) for k in range(n // 16))
    ),
    "long PRIORITY_UPDATE": lambda n: OPEN + h2.priority_update(1, b"u=1," * 4000) * (n // 16013),
    "WINDOW_UPDATE of the connection": lambda n: h2.window_update(0, 1) * (n // 13),
    "WINDOW_UPDATE of a stream": lambda n: OPEN + h2.window_update(1, 1) * (n // 13),
    "WINDOW_UPDATE of all streams": lambda n: (
        OPEN_100 + b"".join(h2.window_update(2 * (k % 100) + 1, 1) for k in range(n // 13))
    ),
    "empty DATA": lambda n: OPEN + h2.data(1) * (n // 9),
    "DATA of one byte": lambda n: OPEN + h2.data(1, b"x") * (n // 10),
    "DATA of padding": lambda n: OPEN + h2.data(1, pad=255) * (n // 265),
    "DATA": lambda n: OPEN + h2.data(1, b"x" * 16384) * (n // 16393),
    "unknown frames": lambda n: h2.frame(0x42) * (n // 9),
    "long unknown frames": lambda n: h2.frame(0x42, payload=bytes(16384)) * (n // 16393),
    "GOAWAY": lambda n: h2.goaway() * (n // 17),
    "requests": lambda n: streams(n, lambda number: h2.headers(number, GET, end=True)),
    "requests that are reset": lambda n: streams(
        n, lambda number: h2.headers(number, GET) + h2.rst_stream(number)
    ),
}


class Row(NamedTuple):
    name: str
    size: int  # bytes, of the smaller of two measurements
    build: Callable[[int], Any]
    parse: Callable[[Any], None]
    bound: float  # seconds that a byte may take


def packet_whole(data: bytes) -> None:
    RequestReader(WIDE, packets=True).feed(data)


def packet_bytes(data: bytes) -> None:
    reader = RequestReader(WIDE, packets=True)
    for at in range(len(data)):
        reader.feed(data[at : at + 1])


#: A packet has 64 KiB at most, so the larger measurement is at that.
PACKETS: dict[str, Callable[[int], bytes]] = {
    "variables": lambda n: packet([*said(), *[(b"A%05d" % k, b"x" * 60) for k in range(n // 70)]]),
    "a long value": lambda n: packet([*said(), (b"A", b"x" * n)]),
    "fields": lambda n: packet([*said(), *[(b"HTTP_A%05d" % k, b"x" * 60) for k in range(n // 75)]]),
    "one field again and again": lambda n: packet([*said(), *[(b"HTTP_A", b"x" * 60)] * (n // 70)]),
    "a long field": lambda n: packet(said(b"/", (b"a", b" " * n))),
    "a long path": lambda n: packet(said(b"/" + b"a" * (n // 2))),
    "a path of escapes": lambda n: packet(said(b"/" + b"%41" * (n // 4))),
    "a path that is no more the client's": lambda n: packet(said(b"/x", PATH_INFO=b"/" + b"\xff" * n)),
    "a long mount": lambda n: packet(said(b"/x", SCRIPT_NAME=b"/" + b"a" * n)),
    "a long mount of slashes": lambda n: packet(said(b"/x", SCRIPT_NAME=b"/" * n)),
    "one variable again and again": lambda n: packet([*said(), *[(b"PATH_INFO", b"/" * 60)] * (n // 75)]),
    "a query": lambda n: packet(said(b"/", QUERY_STRING=b"?" * n)),
}


def table() -> Iterator[Row]:
    """Wherever a limit is not for us to lift, the larger measurement is at the limit."""
    whole, each = 300e-9, 5e-6
    for name, build in MESSAGES.items():
        at_limit = LONGEST_EXTENSION // 2 if name == "an extension of a chunk" else 100_000
        yield Row(f"message: {name}", at_limit, build, read_whole, whole)
        yield Row(f"message: {name}, byte by byte", min(at_limit, 10_000), build, read_bytes, each)
    for name, build in PACKETS.items():
        yield Row(f"packet: {name}", 32_000, build, packet_whole, whole)
        yield Row(f"packet: {name}, byte by byte", 10_000, build, packet_bytes, each)
    for name, fields in CLAIMS.items():
        yield Row(f"claims: {name}", 32_000, fields, resolve, whole)
    for name, build in PREFIXES.items():
        yield Row(f"prefix: {name}", 32_000, build, check_prefix, whole)
    for name, build in PROXY.items():
        size = V1_LONGEST // 2 if "version 1" in name else 2000
        yield Row(f"proxy: {name}", size, build, proxy_whole, 1e-6)
        yield Row(f"proxy: {name}, byte by byte", size, build, proxy_bytes, 10e-6)
    for name, header in HANDSHAKES.items():
        yield Row(f"handshake: {name}", 32_000, header, shake_hands, whole)
    for name, build in FRAMES.items():
        yield Row(f"frames: {name}", 50_000, build, frames_whole, whole)
        yield Row(f"frames: {name}, byte by byte", 10_000, build, frames_bytes, each)
    yield Row("frames: a bomb", 2_000, bomb, inflate, 2e-6)
    for name, build in FIELD_BLOCKS.items() if HAS_HTTP_2 else ():
        # One byte may be a whole field, which HPACK's table has.
        yield Row(f"HTTP/2: {name}", 32_000, build, asks_whole, 1e-6)
        yield Row(f"HTTP/2: {name}, byte by byte", 10_000, build, asks_bytes, each)
    for name, build in SESSIONS.items() if HAS_HTTP_2 else ():
        yield Row(f"HTTP/2: {name}", 100_000, build, session_whole, whole)
        yield Row(f"HTTP/2: {name}, byte by byte", 20_000, build, session_bytes, each)


ROWS = list(table())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_work_is_linear(row: Row) -> None:
    build = cache(row.build)

    def seconds(size: int) -> float:
        built = build(size)
        return processor_seconds(lambda: row.parse(built))

    assert_linear(seconds, row.size, row.bound)


REQUEST = (
    b"GET /path?query HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nX-Unknown-%d: y\r\nAccept: */*\r\n\r\n"
    b"POST http://b.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n0\r\nTrailer-%d: x\r\n\r\n"
)
REFUSED = (
    b"GET /\x00 HTTP/1.1\r\n",
    CHUNKED + b"5\r\nhellox",
    CHUNKED + b"0\r\nHost: x\r\n\r\n",
    HEAD + b" x: y\r\n",
)


def exercise(rounds: int) -> None:
    for number in range(rounds):
        data = REQUEST % (number, number)
        reader = RequestReader()
        reader.feed(data)
        reader.feed(data[:90])
        reader.feed(data[90:])
        for refused in REFUSED:
            RequestReader().feed(refused)
        response_head("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        try:
            response_head("200 OK", [("A", "b\r\nc")])
        except ResponseError:
            continue


@pytest.mark.slow
def test_memory_stays_flat() -> None:
    exercise(1000)
    gc.collect()
    before_blocks = sys.getallocatedblocks()
    tracemalloc.start()
    exercise(100)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    exercise(5000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A single byte leaked in each round would show.
    assert after - before < 5000
    assert sys.getallocatedblocks() - before_blocks < 500


def test_references_are_given_back() -> None:
    """The objects that every call touches."""
    data = REQUEST % (1, 1)
    headers = [("A", "b"), ("C", "d")]
    things = (data, headers, headers[0], "GET", RequestReader, None, b"", ())
    RequestReader().feed(data)
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(2000):
        RequestReader().feed(data)
        response_head("200 OK", headers)
    after = [sys.getrefcount(thing) for thing in things]
    assert all(b - a < 100 for a, b in zip(before, after, strict=True)), (before, after)


@pytest.mark.slow
def test_a_million_heads() -> None:
    """Resident memory, which also sees what Python's allocators do not."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    data = b"GET /path?query HTTP/1.1\r\nHost: a.example\r\nA: b\r\n\r\n" * 1000
    reader = RequestReader()
    for _ in range(20):
        reader.feed(data)
    before = resident()
    for number in range(1000):
        reader.feed(data if number % 2 else data[:-10])
        if not number % 2:
            reader.feed(data[-10:])
    assert resident() - before < 4_000_000
