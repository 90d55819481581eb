"""The wire format of HTTP/2: bytes of frames, right ones and false ones, and frames of bytes.

Knows: RFC 9113 §4, §6 and §7, RFC 9218 §7.1, literals of RFC 7541 §6.2. Must not know: streams, order, what
is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9  # bytes in front of each payload
SMALLEST_MAX_FRAME = 16384  # RFC 9113 §4.2: what everybody takes
LARGEST_MAX_FRAME = (1 << 24) - 1
LARGEST_WINDOW = (1 << 31) - 1
USUAL_WINDOW = 65535  # RFC 9113 §6.9.2

Fields = list[tuple[bytes, bytes]]


class Type(IntEnum):
    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9
    PRIORITY_UPDATE = 0x10


class Flag(IntFlag):
    NONE = 0
    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Code(IntEnum):
    """RFC 9113 §7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6
    ENABLE_CONNECT_PROTOCOL = 0x8  # RFC 8441 §3
    NO_RFC7540_PRIORITIES = 0x9  # RFC 9218 §2.1


@dataclass(frozen=True)
class Frame:
    """One frame as it stood on the wire; `kind` is a number, since there are more than we know."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    reserved: bool = False  # the bit in front of the stream's number

    @property
    def name(self) -> str:
        return Type(self.kind).name if self.kind in Type.__members__.values() else f"type {self.kind:#x}"

    def has(self, flag: Flag) -> bool:
        return bool(self.flags & flag)

    @property
    def number(self) -> int:
        """The payload, or its first four bytes, as a number: codes, increments."""
        return int.from_bytes(self.payload[:4])

    def __str__(self) -> str:
        return f"{self.name} flags {self.flags:#x} stream {self.stream}, {len(self.payload)} bytes"


def split(data: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames at the start of `data`, and what is behind them."""
    found = []
    at = 0
    while len(data) - at >= HEAD:
        size = int.from_bytes(data[at : at + 3])
        if len(data) - at - HEAD < size:
            break
        number = int.from_bytes(data[at + 5 : at + 9])
        payload = data[at + HEAD : at + HEAD + size]
        found.append(Frame(data[at + 3], data[at + 4], number & LARGEST_WINDOW, payload, number >> 31 == 1))
        at += HEAD + size
    return found, data[at:]


# -- bytes of frames


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None
) -> bytes:
    """Any frame. length: a false one."""
    size = len(payload) if length is None else length
    return size.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _padded(payload: bytes, pad: int | None, said: int | None) -> tuple[int, bytes]:
    if pad is None:
        return 0, payload
    return Flag.PADDED, bytes([pad if said is None else said]) + payload + bytes(pad)


def data(
    stream: int, content: bytes = b"", *, end: bool = False, pad: int | None = None, said: int | None = None
) -> bytes:
    """pad: bytes of padding. said: a false number of them."""
    flags, payload = _padded(content, pad, said)
    return frame(Type.DATA, flags | (Flag.END_STREAM if end else 0), stream, payload)


def headers(
    stream: int,
    block: bytes,
    *,
    end: bool = False,
    whole: bool = True,
    pad: int | None = None,
    said: int | None = None,
    after: tuple[int, int] | None = None,
) -> bytes:
    """whole: END_HEADERS. after: the stream that it depends on, and its weight as it is written."""
    flags = (Flag.END_STREAM if end else 0) | (Flag.END_HEADERS if whole else 0)
    if after is not None:
        flags |= Flag.PRIORITY
        block = after[0].to_bytes(4) + bytes([after[1]]) + block
    more, payload = _padded(block, pad, said)
    return frame(Type.HEADERS, flags | more, stream, payload)


def continuation(stream: int, block: bytes, *, whole: bool = True) -> bytes:
    return frame(Type.CONTINUATION, Flag.END_HEADERS if whole else 0, stream, block)


def priority(stream: int, on: int = 0, weight: int = 15) -> bytes:
    return frame(Type.PRIORITY, 0, stream, on.to_bytes(4) + bytes([weight]))


def priority_update(stream: int, value: bytes, *, on: int = 0) -> bytes:
    """RFC 9218 §7.1. on: the stream of the frame, which must be 0."""
    return frame(Type.PRIORITY_UPDATE, 0, on, stream.to_bytes(4) + value)


def rst_stream(stream: int, code: int = Code.CANCEL) -> bytes:
    return frame(Type.RST_STREAM, 0, stream, code.to_bytes(4))


def settings(values: Mapping[int, int] | Iterable[tuple[int, int]] = (), *, stream: int = 0) -> bytes:
    pairs = values.items() if isinstance(values, Mapping) else values
    payload = b"".join(number.to_bytes(2) + value.to_bytes(4) for number, value in pairs)
    return frame(Type.SETTINGS, 0, stream, payload)


SETTINGS_ACK = frame(Type.SETTINGS, Flag.ACK)


def ping(content: bytes = b"12345678", *, ack: bool = False, stream: int = 0) -> bytes:
    return frame(Type.PING, Flag.ACK if ack else 0, stream, content)


def goaway(last: int = 0, code: int = Code.NO_ERROR, more: bytes = b"", *, stream: int = 0) -> bytes:
    return frame(Type.GOAWAY, 0, stream, last.to_bytes(4) + code.to_bytes(4) + more)


def window_update(stream: int, increment: int) -> bytes:
    return frame(Type.WINDOW_UPDATE, 0, stream, increment.to_bytes(4))


def push_promise(stream: int, promised: int, block: bytes) -> bytes:
    return frame(Type.PUSH_PROMISE, Flag.END_HEADERS, stream, promised.to_bytes(4) + block)


# -- blocks of fields that depend on no table, so that they may stand in any order of cases


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """RFC 7541 §5.1. first: what stands in the other bits of the first byte."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out = [first | limit]
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def text(value: bytes) -> bytes:
    """RFC 7541 §5.2, without Huffman's code."""
    return integer(len(value), 7) + value


def literal(name: bytes, value: bytes) -> bytes:
    """RFC 7541 §6.2.2: without indexing, with a new name."""
    return b"\x00" + text(name) + text(value)


def block(*fields: tuple[bytes, bytes]) -> bytes:
    return b"".join(literal(name, value) for name, value in fields)


def in_pieces(stream: int, whole: bytes, size: int, *, end: bool = False) -> Iterator[bytes]:
    """HEADERS and as many CONTINUATION frames as a block takes with so many bytes in each."""
    parts = [whole[at : at + size] for at in range(0, len(whole), size)] or [b""]
    last = len(parts) - 1
    for number, part in enumerate(parts):
        if number:
            yield continuation(stream, part, whole=number == last)
        else:
            yield headers(stream, part, end=end, whole=number == last)
