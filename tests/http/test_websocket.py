"""Frames of clients and of the server: every rule of RFC 6455 §5 to §8, each delivered in several ways."""

from __future__ import annotations

import itertools
import random
import struct
from functools import cache

import pytest
from fuzz.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    events,
    fragments,
    length_bytes,
    mask,
    masked,
)
from fuzz.reading import pieces

from tricorn.http.websocket import (
    Binary,
    Close,
    Event,
    Failed,
    FrameStream,
    Ping,
    Pong,
    Text,
    close_frame,
    frame,
    message,
)

DELIVERIES = ("whole", "bytes", "cuts")
GREEK = "κόσμε 😀"


def deliver(data: bytes, delivery: str, name: str, limit: int = 0) -> list[Event]:
    return events(pieces(data, delivery, name), limit)


# ---- what is accepted ---------------------------------------------------------------------------------

ACCEPTED: dict[str, tuple[bytes, list[Event]]] = {
    # RFC 6455 §5.7
    "a masked text": (bytes.fromhex("818537fa213d7f9f4d5158"), [Text("Hello")]),
    "a masked pong": (bytes.fromhex("8a8537fa213d7f9f4d5158"), [Pong(b"Hello")]),
    "an empty text": (masked(TEXT), [Text("")]),
    "an empty message": (masked(BINARY), [Binary(b"")]),
    "one character": (masked(TEXT, b"a"), [Text("a")]),
    "one character beyond ASCII": (masked(TEXT, "é".encode()), [Text("é")]),
    "a text beyond ASCII": (masked(TEXT, GREEK.encode()), [Text(GREEK)]),
    "the last code point": (masked(TEXT, b"\xf4\x8f\xbf\xbf"), [Text("\U0010ffff")]),
    "no character, but a code point": (masked(TEXT, b"\xef\xbf\xbf\x00"), [Text("\uffff\x00")]),
    "any bytes": (masked(BINARY, bytes(range(256))), [Binary(bytes(range(256)))]),
    "no UTF-8, but binary": (masked(BINARY, b"\xff\xc0"), [Binary(b"\xff\xc0")]),
    "a key of zeros": (masked(TEXT, b"Hello", key=bytes(4)), [Text("Hello")]),
    "messages in a row": (
        masked(TEXT, b"a") + masked(BINARY, b"b") + masked(TEXT, b"c"),
        [Text("a"), Binary(b"b"), Text("c")],
    ),
    # §5.2: lengths at the borders of their three forms
    **{
        f"{size} bytes": (masked(BINARY, b"x" * size), [Binary(b"x" * size)])
        for size in (125, 126, 127, 128, 65535, 65536, 65537)
    },
    # §5.4
    "two fragments": (b"".join(fragments(TEXT, [b"Hel", b"lo"])), [Text("Hello")]),
    "a character in three fragments": (b"".join(fragments(TEXT, [b"\xe2", b"\x82", b"\xac"])), [Text("€")]),
    "fragments of bytes": (b"".join(fragments(BINARY, [b"\xff", b"", b"\xfe"])), [Binary(b"\xff\xfe")]),
    "ASCII, then more": (b"".join(fragments(TEXT, [b"a" * 40, GREEK.encode()])), [Text("a" * 40 + GREEK)]),
    "empty fragments": (b"".join(fragments(TEXT, [b"", b"", b""])), [Text("")]),
    "empty fragments of nothing": (b"".join(fragments(BINARY, [b"", b""])), [Binary(b"")]),
    "all in the last fragment": (b"".join(fragments(TEXT, [b"", b"", b"all"])), [Text("all")]),
    "all in the first fragment": (b"".join(fragments(TEXT, [b"all", b"", b""])), [Text("all")]),
    "a thousand fragments": (b"".join(fragments(TEXT, [b"x"] * 1000)), [Text("x" * 1000)]),
    "a ping between fragments": (
        masked(TEXT, b"Hel", fin=False) + masked(PING, b"?") + masked(CONTINUATION, b"lo"),
        [Ping(b"?"), Text("Hello")],
    ),
    "a ping within a character": (
        masked(TEXT, b"\xe2\x82", fin=False) + masked(PING) + masked(PONG) + masked(CONTINUATION, b"\xac"),
        [Ping(b""), Pong(b""), Text("€")],
    ),
    # §5.5
    "an empty ping": (masked(PING), [Ping(b"")]),
    "a ping of any bytes": (masked(PING, b"\x00\xff\xfe"), [Ping(b"\x00\xff\xfe")]),
    "the longest ping": (masked(PING, b"p" * 125), [Ping(b"p" * 125)]),
    "a close without a code": (masked(CLOSE), [Close(1005, "")]),
    "a close": (masked(CLOSE, b"\x03\xe8"), [Close(1000, "")]),
    "a close with a reason": (masked(CLOSE, b"\x03\xe9" + GREEK.encode()), [Close(1001, GREEK)]),
    "the longest reason": (masked(CLOSE, b"\x03\xe8" + b"r" * 123), [Close(1000, "r" * 123)]),
    "a close between fragments": (
        masked(TEXT, b"Hel", fin=False) + masked(CLOSE, b"\x03\xe8"),
        [Close(1000, "")],
    ),
    # §1.4, §5.5.1: nothing counts behind a close
    "frames behind a close": (
        masked(CLOSE, b"\x03\xe8") + masked(PING) + masked(TEXT, b"a") + b"\xff\xff\xff",
        [Close(1000, "")],
    ),
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str, delivery: str) -> None:
    data, expected = ACCEPTED[name]
    assert deliver(data, delivery, name) == expected


CODES = {
    *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
    *(3000, 3999, 4000, 4999),
}


@pytest.mark.parametrize("code", [*range(995, 1020), 0, 1, 999, 1100, 2000, 2999, *CODES, 5000, 65535])
def test_close_codes(code: int) -> None:
    """RFC 6455 §7.4."""
    (event,) = events([masked(CLOSE, struct.pack(">H", code) + b"bye")])
    if code in CODES:
        assert event == Close(code, "bye")
        assert close_frame(code, "bye") == frame(CLOSE, struct.pack(">H", code) + b"bye")
    else:
        assert isinstance(event, Failed)
        assert event.code == 1002
        if code != 1005:
            with pytest.raises(ValueError, match="close code"):
                close_frame(code)


# ---- what is refused ----------------------------------------------------------------------------------

UNMASKED = bytes([0x81, 5]) + b"Hello"
BEFORE: list[Event] = [Text("before")]

#: Code and a word of the reason → frames, behind a message that is right.
REFUSED: dict[tuple[int, str], dict[str, bytes]] = {
    (1002, "§5.1"): {
        "a frame without a mask": UNMASKED,
        "a ping without a mask": bytes([0x89, 0]),
        "a close without a mask": bytes([0x88, 2]) + b"\x03\xe8",
        "a long frame without a mask": bytes([0x82, 126, 1, 0]) + bytes(256),
    },
    (1002, "reserved bit"): {
        f"RSV {rsv} on opcode {opcode}": masked(opcode, b"x", rsv=rsv)
        for rsv in range(1, 8)
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
    },
    (1002, "opcode is unknown"): {
        f"opcode {opcode}": masked(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    (1002, "fragmented"): {
        f"a part of control frame {opcode}": masked(opcode, b"x", fin=False) for opcode in (CLOSE, PING, PONG)
    },
    (1002, "longer than 125"): {
        **{f"a long control frame {opcode}": masked(opcode, b"x" * 126) for opcode in (CLOSE, PING, PONG)},
        "a very long ping": masked(PING, b"x" * 65536),
        "a short ping in a long form": masked(PING, b"x", form=2),
    },
    (1002, "no message to continue"): {
        "a continuation of nothing": masked(CONTINUATION, b"x"),
        "an open continuation of nothing": masked(CONTINUATION, b"x", fin=False),
        "a continuation of a finished message": masked(TEXT, b"a") + masked(CONTINUATION, b"x"),
        "a continuation of a ping": masked(PING) + masked(CONTINUATION, b"x"),
    },
    (1002, "before the previous one is finished"): {
        f"message {second} in message {first}": masked(first, b"a", fin=False) + masked(second, b"b")
        for first in (TEXT, BINARY)
        for second in (TEXT, BINARY)
    },
    (1002, "shortest form"): {
        f"{size} in {form} bytes": masked(BINARY, b"x" * size, form=form)
        for size, form in ((0, 2), (1, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8))
    },
    (1002, "first bit"): {
        "a length of 2 ** 63": b"\x82\xff\x80" + bytes(7) + KEY,
        "a length of 2 ** 64 - 1": b"\x82\xff" + b"\xff" * 8 + KEY,
    },
    (1002, "half a close code"): {"a close of one byte": masked(CLOSE, b"\x03")},
    (1007, "reason is not UTF-8"): {
        "half a character": masked(CLOSE, b"\x03\xe8\xc3"),
        "a surrogate": masked(CLOSE, b"\x03\xe8\xed\xa0\x80"),
    },
    (1007, "text message"): {
        "a lone continuation": masked(TEXT, b"\x80"),
        "an overlong form": masked(TEXT, b"a\xc0\xaf"),
        "a surrogate in a text": masked(TEXT, b"\xed\xa0\x80"),
        "beyond Unicode": masked(TEXT, b"\xf4\x90\x80\x80"),
        "a cut character at the end": masked(TEXT, b"abc\xe2\x82"),
        "a cut character at the end of fragments": b"".join(fragments(TEXT, [b"abc\xe2", b"\x82"])),
        "a cut character before an empty end": b"".join(fragments(TEXT, [b"abc\xe2", b""])),
        "a cut character before ASCII": b"".join(fragments(TEXT, [b"abc\xe2", b"abc"])),
        "behind much ASCII": masked(TEXT, b"a" * 300 + b"\xff"),
    },
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize(
    ("breach", "name"), [(breach, name) for breach in REFUSED for name in REFUSED[breach]]
)
def test_refused(breach: tuple[int, str], name: str, delivery: str) -> None:
    """And whatever comes behind it is not read."""
    data = masked(TEXT, b"before") + REFUSED[breach][name] + masked(TEXT, b"behind")
    found = deliver(data, delivery, name)
    failed = found.pop()
    assert isinstance(failed, Failed)
    assert failed.code == breach[0]
    assert breach[1] in failed.reason
    assert all(isinstance(event, Text | Ping) and event.content != "behind" for event in found)
    assert found[0] == Text("before")


def test_every_reason_fits_a_close_frame() -> None:
    """RFC 6455 §5.5: with its code it has 125 bytes."""
    for rows in REFUSED.values():
        for data in rows.values():
            failed = events([data])[-1]
            assert isinstance(failed, Failed)
            assert len(failed.reason.encode()) <= 123
            assert close_frame(failed.code, failed.reason)[4:].decode() == failed.reason


#: Bytes → how many of them are needed to see the fault.
EARLY: dict[str, tuple[bytes, int]] = {
    "a reserved bit": (masked(TEXT, rsv=2), 1),
    "an unknown opcode": (masked(3), 1),
    "a fragmented ping": (masked(PING, fin=False), 1),
    "a continuation of nothing": (masked(CONTINUATION), 1),
    "no mask": (UNMASKED, 2),
    "a long ping": (masked(PING, b"x" * 126), 2),
    "a long form": (masked(TEXT, b"x", form=2), 4),
    "a very long form": (masked(TEXT, b"x", form=8), 10),
    "a bad byte": (masked(TEXT, b"abc\xffdef"), 10),
    "a surrogate": (masked(TEXT, b"\xed\xa0\x80" + b"x" * 100), 8),
    "beyond Unicode": (masked(TEXT, GREEK.encode() + b"\xf4\x90\x80\x80abc"), 6 + len(GREEK.encode()) + 2),
}


@pytest.mark.parametrize("name", EARLY)
def test_refused_at_the_first_byte_that_is_wrong(name: str) -> None:
    data, needed = EARLY[name]
    stream = FrameStream()
    assert stream.feed(data[: needed - 1]) == []
    (event,) = stream.feed(data[needed - 1 : needed])
    assert isinstance(event, Failed)
    assert stream.is_closed


# ---- UTF-8 --------------------------------------------------------------------------------------------

BORDERS = bytes.fromhex("00 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 ff")


#: What could make UTF-8 of the beginning of a character.
ENDS = [
    b"",
    *(
        first + rest
        for first in map(bytes, zip(BORDERS, strict=True))
        for rest in (b"", b"\x80", b"\x80\x80")
    ),
]


@cache
def is_beginning(text: bytes) -> bool:
    return any(map(is_utf8, (text + end for end in ENDS)))


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def viable(text: bytes) -> int:
    """How many bytes of it can begin UTF-8. (Python's incremental decoder sees a surrogate a byte later.)"""
    return next((at for at in range(len(text)) if not is_beginning(text[: at + 1])), len(text))


def check_utf8(text: bytes) -> None:
    good = viable(text)
    stream = FrameStream()
    stream.feed(masked(TEXT, text, fin=False)[:6])
    for at, byte in enumerate(mask(text, KEY)):
        failed = stream.feed(bytes([byte]))
        assert bool(failed) == (at == good), (text, at)
        if failed:
            break
    expected = Text(text.decode()) if is_utf8(text) else None
    for data in (masked(TEXT, text), b"".join(fragments(TEXT, [text, b""]))):
        (event,) = events([data])
        assert event == expected if expected else isinstance(event, Failed) and event.code == 1007


def test_utf8_of_up_to_three_bytes() -> None:
    for size in (1, 2, 3):
        for text in itertools.product(BORDERS, repeat=size):
            check_utf8(bytes(text))


@pytest.mark.slow
def test_utf8_of_four_bytes() -> None:
    for first in b"\xe0\xed\xef\xf0\xf1\xf3\xf4\xf5":
        for rest in itertools.product(BORDERS, repeat=3):
            check_utf8(bytes([first, *rest]))


def test_utf8_at_every_place_of_a_long_text() -> None:
    """Wide steps over ASCII must not jump over what is not."""
    for place in range(70):
        for odd in (b"\xc3\xa9", b"\xff", b"\xe2\x82", b"\xf0\x9f\x98\x80"):
            text = b"a" * place + odd + b"b" * (70 - place)
            expected = is_utf8(text)
            for parts in ([text], [text[:33], text[33:]]):
                event = events(fragments(TEXT, parts))[-1]
                assert isinstance(event, Text) == expected
                if expected:
                    assert event == Text(text.decode())


def test_utf8_in_wide_steps() -> None:
    """Each sequence of the borders at some place among characters of each length, in a piece of its own."""
    chance = random.Random(3)
    around = ["a", "é", "€", "😀", "ab", "к", "\ud7ff", "\ue000", "\u0800", "\U00010000", "\U0010ffff"]
    for odd in itertools.product(BORDERS, repeat=3):
        before = "".join(chance.choices(around, k=chance.randrange(20))).encode()
        behind = "".join(chance.choices(around, k=chance.randrange(20))).encode()
        text = before + bytes(odd) + chance.choice([b"\x80", b"\xbf", b"x"]) + behind
        stream = FrameStream()
        failed = stream.feed(masked(TEXT, text + b"end", fin=False))
        assert bool(failed) != is_utf8(text), text
        if not failed:
            assert stream.feed(masked(CONTINUATION)) == [Text(text.decode() + "end")]


# ---- masks --------------------------------------------------------------------------------------------


def test_unmasking_of_every_size() -> None:
    """Steps of 64, 16, 8, 4 and 1 bytes, and the key turned for each."""
    chance = random.Random(0)
    for size in [*range(200), 255, 256, 1000, 4095, 4096, 5000]:
        payload, key = chance.randbytes(size), chance.randbytes(4)
        assert events([masked(BINARY, payload, key=key)]) == [Binary(payload)]
        text = "".join(chance.choices("abcdefgh", k=size))
        assert events([masked(TEXT, text.encode(), key=key)]) == [Text(text)]


def test_unmasking_goes_on_where_a_piece_was_cut() -> None:
    chance = random.Random(1)
    for size in range(1, 60):
        payload, key = chance.randbytes(size), chance.randbytes(4)
        data = masked(BINARY, payload, key=key)
        for at in range(len(data)):
            assert events([data[:at], data[at:]]) == [Binary(payload)]


def test_unmasking_from_any_address() -> None:
    """Frames stand where the last one ended, so no address is even."""
    chance = random.Random(2)
    payloads = [chance.randbytes(size) for size in range(64)]
    data = b"".join(masked(BINARY, payload, key=chance.randbytes(4)) for payload in payloads)
    assert events([data]) == [Binary(payload) for payload in payloads]


# ---- limits -------------------------------------------------------------------------------------------

LIMIT = 300


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_message_at_the_limit(kind: int, delivery: str) -> None:
    (event,) = deliver(masked(kind, b"x" * LIMIT), delivery, "", LIMIT)
    assert isinstance(event, Text | Binary)
    assert len(event.content) == LIMIT
    parts = [b"x" * 100, b"", b"x" * 200, b""]
    (event,) = deliver(b"".join(fragments(kind, parts)), delivery, "", LIMIT)
    assert isinstance(event, Text | Binary)
    assert len(event.content) == LIMIT


#: What came before → the head that shows that the limit is passed.
TOO_LONG = {
    "one frame": (b"", masked(BINARY, b"x" * (LIMIT + 1))[:4]),
    "a huge frame": (b"", b"\x82\xff" + struct.pack(">Q", 1 << 40)),
    "the hugest frame": (b"", b"\x82\xff\x7f" + b"\xff" * 7),
    "a second fragment": (
        masked(TEXT, b"x" * 200, fin=False),
        bytes([0x80]) + length_bytes(101),
    ),
    "a huge fragment": (masked(TEXT, b"x", fin=False), b"\x80\xff\x7f" + b"\xff" * 7),
}


@pytest.mark.parametrize("name", TOO_LONG)
def test_a_message_beyond_the_limit_is_refused_when_a_head_says_so(name: str) -> None:
    before, head = TOO_LONG[name]
    stream = FrameStream(LIMIT)
    assert stream.feed(before + head[:-1]) == []
    (event,) = stream.feed(head[-1:])
    assert event == Failed(1009, "the message is too long")
    assert stream.held == 0


def test_control_frames_do_not_count() -> None:
    data = masked(TEXT, b"x" * 50, fin=False) + masked(PING, b"p" * 125) * 5 + masked(CONTINUATION, b"x" * 50)
    assert events([data], 100)[-1] == Text("x" * 100)
    assert events([masked(PING, b"p" * 125)], 10) == [Ping(b"p" * 125)]


def test_a_length_that_no_memory_has_is_too_long_without_a_limit_too() -> None:
    (event,) = events([b"\x82\xff\x7f" + b"\xff" * 7 + KEY])
    assert event == Failed(1009, "the message is too long")


def test_limits_start_anew_with_each_message() -> None:
    data = b"".join(fragments(TEXT, [b"x" * 60, b"x" * 40])) * 3 + masked(BINARY, b"y" * 100)
    assert events([data], 100) == [Text("x" * 100)] * 3 + [Binary(b"y" * 100)]


def test_endless_empty_fragments() -> None:
    data = masked(TEXT, b"", fin=False) + masked(CONTINUATION, b"", fin=False) * 1023
    stream = FrameStream(LIMIT)
    assert stream.feed(data) == []
    (event,) = stream.feed(masked(CONTINUATION, b"", fin=False))
    assert isinstance(event, Failed)
    assert event.code == 1008
    stream = FrameStream(LIMIT)
    assert stream.feed(data + masked(CONTINUATION, b"end") + data) == [Text("end")]


# ---- the server's frames ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_frames_of_every_length(size: int) -> None:
    payload = b"x" * size
    head = bytes([0x80 | BINARY, length_bytes(size)[0] & 0x7F]) + length_bytes(size)[1:]
    assert frame(BINARY, payload) == head + payload
    assert message(payload) == head + payload
    assert message("x" * size) == bytes([0x80 | TEXT]) + head[1:] + payload


def test_texts_beyond_ascii() -> None:
    for text in ("é", "é" * 63, GREEK, "😀" * 20000):
        assert message(text) == frame(TEXT, text.encode())


def test_a_text_without_utf8() -> None:
    with pytest.raises(UnicodeEncodeError):
        message("\ud800")


def test_ping_and_pong() -> None:
    assert frame(PING, b"Hello") == bytes.fromhex("890548656c6c6f")  # RFC 6455 §5.7
    assert frame(PONG, b"") == b"\x8a\x00"


def test_close_without_a_code() -> None:
    assert close_frame() == b"\x88\x00"
    assert close_frame(1005, "not sent") == b"\x88\x00"


@pytest.mark.parametrize("character", ["a", "é", "€", "😀"])
def test_a_long_reason_is_cut_between_characters(character: str) -> None:
    for shift in range(4):
        reason = "x" * shift + character * 130
        data = close_frame(1000, reason)
        sent = data[4:].decode()
        assert data[1] == len(data) - 2
        assert reason.startswith(sent)
        assert 123 - len(character.encode()) < len(sent.encode()) <= 123


def test_a_reason_that_fits_is_not_cut() -> None:
    for reason in ("r" * 123, "é" * 61, "", "€" * 41):
        assert close_frame(1000, reason)[4:].decode() == reason


def test_a_reason_without_utf8() -> None:
    assert close_frame(1000, "a\ud800b")[4:] == b"a?b"
