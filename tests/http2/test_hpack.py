"""RFC 7541: the coding of fields, where its rules can be broken, and that both sides stay in step."""

from __future__ import annotations

import pytest
from harness.axes import ONE_OF_EACH
from harness.http2.frames import (
    Code,
    Setting,
    Type,
    block,
    headers,
    integer,
    literal,
    rst_stream,
    settings,
    text,
)
from harness.server import Server, Servers
from http2.cases import (
    ABOUT,
    BEHIND,
    BLOCK,
    FIELDS,
    Case,
    Wait,
    answered,
    cases,
    connection_error,
    malformed,
    opened,
    run,
)

COMPRESSION = Code.COMPRESSION_ERROR


def asks(*parts: bytes) -> bytes:
    return headers(ABOUT, b"".join(parts), end=True)


#: A stream behind others.
LATER = 7


def later(*parts: bytes) -> bytes:
    return headers(LATER, b"".join(parts), end=True)


def broken(section: str, name: str, *parts: bytes) -> Case:
    return connection_error(section, name, asks(*parts), code=COMPRESSION, reaches=False)


def good(section: str, name: str, *parts: bytes) -> Case:
    return answered(section, name, asks(*parts))


def indexed(index: int) -> bytes:
    """§6.1"""
    return integer(index, 7, 0x80)


def added(name: bytes, value: bytes) -> bytes:
    """§6.2.1: a literal that goes into the table."""
    return b"\x40" + text(name) + text(value)


def named(index: int, value: bytes, bits: int = 4, first: int = 0) -> bytes:
    """A literal whose name stands in a table."""
    return integer(index, bits, first) + text(value)


def resized(size: int) -> bytes:
    """§6.3"""
    return integer(size, 5, 0x20)


def huffman(coded: bytes) -> bytes:
    return integer(len(coded), 7, 0x80) + coded


#: "a.example" in Huffman's code, padded with ones.
A_EXAMPLE = bytes.fromhex("1a e5 f2 3a 6b a0 bf")
STATIC = indexed(2) + indexed(6) + indexed(4)  # GET, http, /
FIRST_DYNAMIC = 62

STRINGS = [
    broken("5.2", "a name that is cut", b"\x00" + b"\x05abc"),
    broken("5.2", "a value that is cut", BLOCK, b"\x00" + text(b"x") + b"\x05abc"),
    broken("5.2", "a value without a length", BLOCK, b"\x00" + text(b"x")),
    broken("5.2", "a length without an end", BLOCK, b"\x00" + text(b"x") + b"\x7f\x80"),
    broken("5.2", "Huffman's code padded with zeros", BLOCK, b"\x00" + text(b"x") + huffman(b"\x18")),
    broken(
        "5.2", "Huffman's code with a byte of padding", BLOCK, b"\x00" + text(b"x") + huffman(b"\x1f\xff")
    ),
    broken(
        "5.2",
        "Huffman's code with the end of a string in it",
        BLOCK,
        b"\x00" + text(b"x") + huffman(b"\xff\xff\xff\xff\xff"),
    ),
    good("5.2", "an empty string in Huffman's code", BLOCK, b"\x00" + text(b"x") + b"\x80"),
]

INTEGERS = [
    broken("5.1", "an index of 2^35", b"\xff" + b"\xff" * 4 + b"\x7f"),
    broken("5.1", "an index of a hundred bytes", b"\xff" + b"\xff" * 100 + b"\x01"),
    broken("5.1", "a length of 2^70", BLOCK, b"\x00" + b"\x7f" + b"\xff" * 9 + b"\x7f"),
    broken("5.1", "an index that is cut", b"\xff"),
]

INDEXES = [
    broken("6.1", "index 0", STATIC, b"\x80"),
    broken("2.3.3", "an index behind the table", STATIC, indexed(FIRST_DYNAMIC)),
    broken("2.3.3", "an index far behind the table", STATIC, indexed(70_000)),
    broken("2.3.3", "a name behind the table, to be added", STATIC, named(FIRST_DYNAMIC, b"v", 6, 0x40)),
    broken("2.3.3", "a name behind the table, not to be added", STATIC, named(FIRST_DYNAMIC, b"v")),
    broken(
        "2.3.3", "a name behind the table, never to be added", STATIC, named(FIRST_DYNAMIC, b"v", 4, 0x10)
    ),
    good("6.1", "fields of the static table", STATIC, named(1, b"a.example")),
    good("6.2.1", "a name of the static table, added", STATIC, named(1, b"a.example", 6, 0x40)),
    good(
        "6.2.2",
        "a name of the static table, not added",
        indexed(2),
        indexed(6),
        indexed(4),
        named(1, b"a.example"),
    ),
    good("6.2.3", "a name of the static table, never to be added", STATIC, named(1, b"a.example", 4, 0x10)),
    good("6.2.3", "a literal that is never to be added", BLOCK, b"\x10" + text(b"x") + text(b"y")),
    good("5.2", "a value in Huffman's code", STATIC, integer(1, 4) + huffman(A_EXAMPLE)),
    good(
        "6.2.1",
        "what was added is there at once",
        STATIC,
        added(b":authority", b"a.example"),
        added(b"x", b"y"),
        indexed(62),
        indexed(62),
    ),
    malformed(
        "2.3.1",
        "a field of responses out of the static table",
        asks(STATIC, named(1, b"a.example"), indexed(8)),
    ),
]

SIZES = [
    broken("6.3", "a table of 4097 bytes", resized(4097), BLOCK),
    broken("6.3", "a table of 2^31 bytes", resized(1 << 31), BLOCK),
    broken("4.2", "another size behind a field", BLOCK, resized(100)),
    broken("4.2", "another size between fields", STATIC, resized(100), named(1, b"a.example")),
    good("6.3", "a table of 4096 bytes", resized(4096), BLOCK),
    good("6.3", "a table of no bytes", resized(0), BLOCK),
    good("4.2", "two sizes in front", resized(0), resized(4096), BLOCK),
    broken(
        "4.4",
        "an entry larger than the table empties it",
        resized(60),
        STATIC,
        named(1, b"a.example"),
        added(b"x", b"y"),
        added(b"z" * 50, b"z" * 50),
        indexed(62),
    ),
    good(
        "4.4",
        "an entry larger than the table is no error",
        resized(60),
        STATIC,
        named(1, b"a.example"),
        added(b"z" * 50, b"z" * 50),
    ),
    answered(
        "4.3",
        "nothing is left when the size was 0",
        headers(3, BLOCK + added(b"x", b"y"), end=True),
        Wait(3),
        headers(5, resized(0) + BLOCK, end=True),
        Wait(5),
        later(resized(4096), BLOCK),
        about=LATER,
    ),
    connection_error(
        "4.3",
        "an entry of before the size was 0",
        headers(3, BLOCK + added(b"x", b"y"), end=True),
        Wait(3),
        headers(5, resized(0) + resized(4096) + BLOCK, end=True),
        Wait(5),
        later(BLOCK, indexed(62)),
        code=COMPRESSION,
    ),
]

IN_STEP = [
    answered(
        "2.2",
        "the table lives as long as the connection",
        headers(3, BLOCK + added(b"x", b"y"), end=True),
        Wait(3),
        later(BLOCK, indexed(62)),
        about=LATER,
    ),
    answered(
        "RFC 9113 4.3",
        "what a malformed request added is there",
        headers(3, added(b":authority", b"a.example") + block((b"X", b"y")), end=True),
        later(STATIC, indexed(62)),
        about=LATER,
    ),
    answered(
        "RFC 9113 4.3",
        "what a stream that was given up added is there",
        headers(3, BLOCK + added(b"x", b"y")),
        rst_stream(3),
        later(BLOCK, indexed(62)),
        about=LATER,
    ),
]


@cases(*STRINGS, *INTEGERS, *INDEXES, *SIZES, *IN_STEP)
def test_hpack(case: Case, worker: str, sends: str, running_servers: Servers) -> None:
    run(case, running_servers.on("h2c").get(kind=worker), sends)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("size", [0, 64, 1 << 16])
def test_the_server_keeps_to_the_clients_table(server: Server, size: int) -> None:
    """§4.2, §6.3: a smaller table is used from the acknowledgement on, and the next block says so. The
    client looks."""
    with opened(server) as connection:
        for _ in range(3):
            assert connection.get("/").status == 200
        connection.send(settings({Setting.HEADER_TABLE_SIZE: size}))
        connection.handshake()
        for _ in range(3):
            assert connection.get("/").status == 200
        connection.send(settings({Setting.HEADER_TABLE_SIZE: 4096}))
        connection.handshake()
        assert connection.get("/").status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_sizes_that_change_twice_between_two_answers(server: Server) -> None:
    """§4.2: the smallest is said, and then the last, or the client's table would keep what ours has lost."""
    with opened(server) as connection:
        assert connection.get("/").status == 200
        connection.send(settings({Setting.HEADER_TABLE_SIZE: 0}) + settings({Setting.HEADER_TABLE_SIZE: 100}))
        connection.handshake()
        connection.strict.seen.clear()
        assert connection.get("/").status == 200
        (head,) = [frame for frame in connection.strict.seen if frame.kind == Type.HEADERS]
        assert head.payload.startswith(resized(0) + resized(100))


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_hundred_requests_in_step(server: Server) -> None:
    """Both tables fill and overflow; the fields that arrive are those that were sent."""
    server.seen()
    with opened(server) as connection:
        for number in range(100):
            fields = [("x-number", str(number)), (f"x-{number}", "v" * 90), ("cookie", f"n={number}")]
            assert connection.get("/", fields=fields).status == 200
    seen = [request["environ"] for request in server.seen()]
    assert [environ["HTTP_X_NUMBER"] for environ in seen] == [str(number) for number in range(100)]
    assert all(environ[f"HTTP_X_{number}"] == "v" * 90 for number, environ in enumerate(seen))


def test_every_case_is_encoded_by_us_as_by_the_package() -> None:
    """What these cases are made with is right where they do not mean to be wrong."""
    import hpack

    decoder = hpack.Decoder()
    assert list(decoder.decode(BLOCK, raw=True)) == list(FIELDS)
    assert decoder.decode(integer(1, 4) + huffman(A_EXAMPLE)) == [(":authority", "a.example")]
    assert decoder.decode(literal(b"x" * 200, b"y" * 20_000)) == [("x" * 200, "y" * 20_000)]
    assert decoder.decode(STATIC) == [(":method", "GET"), (":scheme", "http"), (":path", "/")]
    assert BEHIND % 2
