"""Frames of WebSocket clients: right ones for tests, bent ones for the fuzzer, what another makes of them.

Knows: the wire format, FrameStream, how to drive the `websockets` package. Must not know: what is right; that
is said by each test.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from fuzz.messages import bend
from fuzz.reading import cut, pieces
from tricorn.http.websocket import Binary, Close, Deflate, Event, Failed, FrameStream, Ping, Pong, Text

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"  # RFC 6455 §5.7
TAIL = b"\x00\x00\xff\xff"


def mask(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 §5.3, byte by byte."""
    return bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def length_bytes(size: int, form: int | None = None) -> bytes:
    """form: 0, 2 or 8 bytes behind the first; None: the shortest that does."""
    if form is None:
        form = 0 if size < 126 else 2 if size < 1 << 16 else 8
    first = size if form == 0 else 126 if form == 2 else 127
    return bytes([0x80 | first]) + size.to_bytes(8, "big")[8 - form :]


def masked(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes = KEY,
    form: int | None = None,
) -> bytes:
    """A frame of a client. rsv: its three bits, 4 is RSV1."""
    return bytes([fin << 7 | rsv << 4 | opcode]) + length_bytes(len(payload), form) + key + mask(payload, key)


def deflated(payload: bytes, bits: int = 15, level: int = 6) -> bytes:
    """The payload of a compressed message, without any context."""
    squeezer = zlib.compressobj(level, wbits=-bits)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def fragments(opcode: int, parts: Sequence[bytes], rsv: int = 0) -> list[bytes]:
    """One message in several frames."""
    last = len(parts) - 1
    return [
        masked(CONTINUATION if at else opcode, part, fin=at == last, rsv=0 if at else rsv)
        for at, part in enumerate(parts)
    ]


def events(parts: Iterable[bytes], limit: int = 0, deflate: Deflate | None = None) -> list[Event]:
    stream = FrameStream(limit, deflate)
    return [event for part in parts for event in stream.feed(part)]


# ------------------------------------------------------------------------------------- another's opinion


class Watched(PerMessageDeflate):
    """The extension of `websockets`, which notes when it is at a loss: for a message of no bytes, and for all
    that comes behind a stream that has ended (RFC 7692 §7.2.3.4)."""

    lost = False

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        self.lost = self.lost or (frame.rsv1 and not frame.data)
        decoded = super().decode(frame, max_size=max_size)
        self.lost = self.lost or self.decoder.eof
        return decoded


@dataclass
class Opinion:
    """What another implementation makes of some bytes.

    code: what it would close with, 0: it would not. waits: it has half a frame.
    """

    events: list[Event] = field(default_factory=list)
    code: int = 0
    waits: bool = False


def by_websockets(data: bytes, limit: int = 0, extension: PerMessageDeflate | None = None) -> Opinion:
    """Messages put together from the frames that the `websockets` package accepts."""
    protocol = ServerProtocol(state=State.OPEN, max_size=limit or None)
    protocol.extensions = [extension] if extension else []
    opinion = Opinion()
    frames: list[Frame] = []
    protocol.receive_data(data)
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode is Opcode.CLOSE:
            close = protocol.close_rcvd
            assert close is not None
            opinion.events.append(Close(int(close.code), close.reason))
        elif frame.opcode in (Opcode.PING, Opcode.PONG):
            opinion.events.append((Ping if frame.opcode is Opcode.PING else Pong)(bytes(frame.data)))
        else:
            frames.append(frame)
            if frame.fin and not _told(opinion, frames):
                return opinion
            frames = [] if frame.fin else frames
    if protocol.parser_exc is not None and protocol.close_sent is not None:
        opinion.code = int(protocol.close_sent.code)
    elif protocol.state is State.OPEN:
        protocol.receive_eof()
        opinion.waits = "stream ends after" in str(protocol.parser_exc)
    return opinion


def _told(opinion: Opinion, frames: list[Frame]) -> bool:
    """Add a message. It leaves the check of texts to whoever uses it."""
    content = b"".join(bytes(frame.data) for frame in frames)
    if frames[0].opcode is Opcode.BINARY:
        opinion.events.append(Binary(content))
        return True
    try:
        opinion.events.append(Text(content.decode()))
    except UnicodeDecodeError:
        opinion.code = 1007
        return False
    return True


# ----------------------------------------------------------------------------------------- bent frames

TEXTS = (b"", b"a", b"hello", "Kelvin °, κόσμε, 😀".encode(), b"x" * 125, b"y" * 126, b"z" * 700)
ODD_TEXTS = (
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"a" * 20 + b"\xe2\x82",
    b"\xc0\x80",
    b"\xc3a",
)
CLOSES = (b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xf0" + "é".encode(), b"\x0f\xa0")
ODD_CLOSES = (b"\x03", b"\x03\xe7", b"\x03\xed", b"\x03\xee", b"\xff\xff", b"\x03\xe8\xff", b"\x00\x00x")


def _message(chance: random.Random, oddity: float) -> Iterator[bytes]:
    """The frames of one message, with control frames between them."""

    def odd() -> bool:
        return chance.random() < oddity

    content = chance.choice(ODD_TEXTS if odd() else TEXTS)
    opcode = chance.choice((TEXT, BINARY))
    rsv = 4 if chance.random() < 0.4 else 0
    if rsv:
        content = deflated(content) if content else b"\x00"
    parts = list(
        cut(content, [chance.randrange(len(content) + 1) for _ in range(chance.choice((0, 0, 1, 3)))])
    )
    for at, part in enumerate(parts or [b""]):
        if chance.random() < 0.15:
            yield masked(
                chance.choice((PING, PONG)), b"p" * chance.choice((0, 5, 125, 126 if odd() else 125))
            )
        last = at >= len(parts) - 1
        yield masked(
            chance.randrange(16) if odd() else CONTINUATION if at else opcode,
            part,
            fin=last != odd(),
            rsv=chance.randrange(8) if odd() else 0 if at else rsv,
            key=chance.choice((KEY, b"\0\0\0\0", b"\x80\xff\x7f\x01")),
            form=chance.choice((2, 8)) if odd() else None,
        )


def any_frames(chance: random.Random) -> bytes:
    """A few messages in a row, mostly with a fault or two."""
    oddity = chance.choice((0.0, 0.02, 0.1))
    out = [b"".join(_message(chance, oddity)) for _ in range(chance.choice((1, 2, 4)))]
    if chance.random() < 0.3:
        out.append(masked(CLOSE, chance.choice(ODD_CLOSES if chance.random() < oddity * 3 else CLOSES)))
    data = b"".join(out)
    for _ in range(chance.choice((0, 0, 1, 3))):
        data = bend(chance, data)
    return data


TERMS: tuple[tuple[int, Callable[[], Deflate | None]], ...] = (
    (0, lambda: None),
    (64, lambda: None),
    (0, Deflate),
    (64, lambda: Deflate(client_no_context_takeover=True)),
)


def check_frames(data: bytes) -> None:
    """The same events however the bytes are cut; nothing after the last one; no message beyond the limit."""
    chance = random.Random(data)
    for limit, terms in TERMS:
        whole = events([data], limit, terms())
        places = [chance.randrange(len(data) + 1) for _ in range(4)]
        for parts in (pieces(data, "bytes"), cut(data, places)):
            same(events(parts, limit, terms()), whole, terms() is not None)
        assert not any(isinstance(event, Close | Failed) for event in whole[:-1])
        for event in whole:
            if limit and isinstance(event, Text | Binary):
                content = event.content
                assert len(content.encode() if isinstance(content, str) else content) <= limit


def same(one: list[Event], other: list[Event], compressed: bool) -> None:
    """The faults of a compressed message are seen in another order when it comes in pieces."""
    if compressed and one and other and isinstance(one[-1], Failed) and isinstance(other[-1], Failed):
        one, other = one[:-1], other[:-1]
    assert one == other


def check_frames_judge(data: bytes) -> None:
    """What we accept is what `websockets` accepts, and we refuse what it refuses, for the same reason."""
    agree(events([data]), by_websockets(data))
    extension = Watched(False, False, 15, 15)
    opinion = by_websockets(data, extension=extension)
    if not extension.lost:
        agree(events([data], deflate=Deflate()), opinion)


def agree(mine: list[Event], other: Opinion) -> None:
    last = mine[-1] if mine else None
    if isinstance(last, Close) and other.code == 1002:
        # It wants a message to be finished before a close; RFC 6455 §5.4 lets control frames come between.
        assert mine[:-1] == other.events
    elif not isinstance(last, Failed):
        assert (mine, 0) == (other.events, other.code)
    else:
        before = len(mine) - 1
        assert mine[:before] == other.events[:before]
        if not any(word in last.reason for word in OUR_RULES):
            assert other.code or other.waits, (last, other)
        if before == len(other.events) and other.code:
            # It looks at a frame when all of it is there, and at a text when all of that is.
            assert last.code == other.code or {last.code, other.code} <= {1002, 1007}, (last, other)


#: In reasons why we refuse what `websockets` takes: it does not ask for the shortest form of a length (which
#: makes a control frame too long), and does not look at a text before all of it is there.
OUR_RULES = ("shortest form", "longer than 125", "text message")
