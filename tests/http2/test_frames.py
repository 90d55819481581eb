"""RFC 9113 §4 to §7: frames, their order, the states of streams. What is said of messages is in
test_messages.py."""

from __future__ import annotations

import pytest
from harness.axes import ONE_OF_EACH
from harness.http2.frames import (
    LARGEST_WINDOW,
    Code,
    Flag,
    Setting,
    Type,
    continuation,
    data,
    frame,
    goaway,
    headers,
    literal,
    ping,
    priority,
    push_promise,
    rst_stream,
    settings,
    window_update,
)
from harness.server import Server, Servers
from http2.cases import (
    ABOUT,
    BLOCK,
    GET,
    OPEN,
    POST_BLOCK,
    Answered,
    Case,
    Ended,
    Ignored,
    Reset,
    Wait,
    answered,
    cases,
    connection_error,
    ignored,
    opened,
    run,
    some_error,
)

P = Code.PROTOCOL_ERROR
SIZE = Code.FRAME_SIZE_ERROR
CLOSED = Code.STREAM_CLOSED
FLOW = Code.FLOW_CONTROL_ERROR
RESERVED = 1 << 31
TYPES = range(0x20, 0x100, 0x23)
END = data(ABOUT, end=True)

#: Its response has no credit, so the stream stays half-closed.
NO_CREDIT = {Setting.INITIAL_WINDOW_SIZE: 0}

FORMAT = [
    *[ignored("4.1", f"type {kind:#x} on the connection", frame(kind, 0, 0, b"whatever")) for kind in TYPES],
    answered("4.1", "an unknown type on an open stream", OPEN, frame(0x99, 0xFF, ABOUT, b"x"), END),
    answered("4.1", "an unknown type on an idle stream", frame(0x99, 0, 7, b"x"), GET),
    answered("4.1", "an unknown type without a payload", frame(0xFF, 0, 0), GET),
    ignored("4.1", "flags of PING without a meaning", frame(Type.PING, 0xFE, 0, b"12345678")),
    answered("4.1", "flags of DATA without a meaning", OPEN, frame(Type.DATA, 0xF7, ABOUT)),
    answered(
        "4.1",
        "flags of WINDOW_UPDATE without a meaning",
        frame(Type.WINDOW_UPDATE, 0xFF, 0, b"\0\0\0\1"),
        GET,
    ),
    answered("4.1", "flags of SETTINGS without a meaning", frame(Type.SETTINGS, 0xFE, 0), GET),
    answered("4.1", "the reserved bit of HEADERS", headers(ABOUT | RESERVED, BLOCK, end=True)),
    answered("4.1", "the reserved bit of DATA", OPEN, data(ABOUT | RESERVED, end=True)),
    answered("4.1", "the reserved bit of SETTINGS", settings(stream=RESERVED), GET),
    answered("4.1", "the reserved bit of PING", ping(stream=RESERVED), GET),
    answered("4.1", "the reserved bit of WINDOW_UPDATE", window_update(RESERVED, 1), GET),
]

SIZES = [
    answered("4.2", "DATA of 2^14 bytes", OPEN, data(ABOUT, b"d" * 16384, end=True)),
    some_error("4.2", "DATA of 2^14 + 1 bytes", OPEN, data(ABOUT, b"d" * 16385, end=True), code=SIZE),
    connection_error(
        "4.2", "HEADERS of 2^14 + 1 bytes", headers(ABOUT, BLOCK + bytes(16385), end=True), code=SIZE
    ),
    connection_error("4.2", "SETTINGS of 16386 bytes", settings([(0xFF, 0)] * 2731), code=SIZE),
    connection_error(
        "4.2", "an unknown type of 2^24 - 1 bytes", frame(0x99, 0, 0, b"", length=(1 << 24) - 1), code=SIZE
    ),
    connection_error(
        "4.2",
        "CONTINUATION of 2^14 + 1 bytes",
        headers(ABOUT, BLOCK, end=True, whole=False),
        continuation(ABOUT, literal(b"x", b"v" * 16380)),
        code=SIZE,
    ),
    answered("4.2", "an unknown type of 2^14 bytes", frame(0x99, 0, 0, bytes(16384)), GET),
]

HALF = headers(ABOUT, BLOCK[:10], end=True, whole=False)

BLOCKS = [
    answered("4.3", "a block in two frames", HALF, continuation(ABOUT, BLOCK[10:])),
    answered(
        "4.3",
        "a block in seven frames",
        headers(ABOUT, BLOCK[:1], end=True, whole=False),
        *[continuation(ABOUT, BLOCK[at : at + 1], whole=False) for at in range(1, 6)],
        continuation(ABOUT, BLOCK[6:]),
    ),
    answered(
        "4.3", "an empty HEADERS", headers(ABOUT, b"", end=True, whole=False), continuation(ABOUT, BLOCK)
    ),
    answered(
        "4.3", "an empty CONTINUATION", headers(ABOUT, BLOCK, end=True, whole=False), continuation(ABOUT, b"")
    ),
    answered(
        "4.3",
        "a block in two frames, the first one padded",
        headers(ABOUT, BLOCK[:10], end=True, whole=False, pad=5),
        continuation(ABOUT, BLOCK[10:]),
    ),
    *[
        connection_error("6.10", f"{name} within a block", HALF, between, code=P, reaches=False)
        for name, between in {
            "DATA": data(ABOUT, b"x"),
            "HEADERS": headers(ABOUT, BLOCK),
            "HEADERS of another stream": headers(3, BLOCK, end=True),
            "CONTINUATION of another stream": continuation(3, BLOCK[10:]),
            "PRIORITY": priority(ABOUT),
            "RST_STREAM": rst_stream(ABOUT),
            "SETTINGS": settings(),
            "PING": ping(),
            "GOAWAY": goaway(),
            "WINDOW_UPDATE": window_update(0, 1),
            "an unknown type": frame(0x99, 0, ABOUT),
            "PRIORITY_UPDATE": frame(Type.PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1"),
        }.items()
    ],
    connection_error(
        "6.10", "CONTINUATION behind nothing", continuation(ABOUT, BLOCK), code=P, reaches=False
    ),
    connection_error("6.10", "CONTINUATION on stream 0", continuation(0, BLOCK), code=P, reaches=False),
    connection_error("6.10", "CONTINUATION behind END_HEADERS", OPEN, continuation(ABOUT, BLOCK), code=P),
    connection_error(
        "6.10", "CONTINUATION behind DATA", OPEN, data(ABOUT, b"x"), continuation(ABOUT, BLOCK), code=P
    ),
    connection_error(
        "6.10",
        "CONTINUATION behind another's END_HEADERS",
        HALF,
        continuation(ABOUT, BLOCK[10:]),
        continuation(ABOUT, b""),
        code=(P, CLOSED),
    ),
]

IDLE = [
    connection_error("5.1", f"{name} on an idle stream", sent, code=P, reaches=False)
    for name, sent in {
        "DATA": data(ABOUT, b"x"),
        "the end of DATA": END,
        "RST_STREAM": rst_stream(ABOUT),
        "WINDOW_UPDATE": window_update(ABOUT, 100),
    }.items()
] + [
    answered("5.1", "PRIORITY on an idle stream", priority(7), GET),
    answered("5.1", "PRIORITY on the stream that comes next", priority(ABOUT), GET),
]

HALF_CLOSED = [
    some_error(
        "5.1", "DATA on a half-closed stream", GET, data(ABOUT, b"x"), code=CLOSED, settings=NO_CREDIT
    ),
    some_error(
        "5.1",
        "HEADERS on a half-closed stream",
        GET,
        headers(ABOUT, BLOCK, end=True),
        code=(CLOSED, P),
        settings=NO_CREDIT,
    ),
    some_error(
        "5.1", "DATA behind the end of a body", OPEN, END, data(ABOUT, b"x"), code=CLOSED, settings=NO_CREDIT
    ),
    some_error(
        "5.1",
        "trailers behind trailers",
        OPEN,
        headers(ABOUT, b"\x00\x01x\x01y", end=True),
        headers(ABOUT, b"\x00\x01x\x01y", end=True),
        code=(CLOSED, P),
        settings=NO_CREDIT,
    ),
    answered(
        "5.1", "WINDOW_UPDATE on a half-closed stream", GET, window_update(ABOUT, 100_000), settings=NO_CREDIT
    ),
    answered(
        "5.1",
        "PRIORITY on a half-closed stream",
        GET,
        priority(ABOUT),
        window_update(ABOUT, 100_000),
        settings=NO_CREDIT,
    ),
    ignored("5.1", "RST_STREAM on a half-closed stream", GET, rst_stream(ABOUT), settings=NO_CREDIT),
    connection_error(
        "5.1",
        "CONTINUATION on a half-closed stream",
        GET,
        continuation(ABOUT, BLOCK),
        code=(P, CLOSED),
        settings=NO_CREDIT,
    ),
]

#: RFC 9113 §5.1 (closed): what comes there is ignored, or an error of the stream or of the connection.
WHATEVER = (Ignored(), Ended((CLOSED, P)), Reset((CLOSED,)))


def on_closed(name: str, *sent: bytes) -> list[Case]:
    return [
        Case("5.1", f"{name} behind {how}", (*start, *sent), WHATEVER)
        for how, start in {
            "the end of both halves": (GET, Wait()),
            "RST_STREAM": (OPEN, rst_stream(ABOUT)),
        }.items()
    ]


CLOSED_STREAMS = [
    *on_closed("DATA", data(ABOUT, b"x")),
    *on_closed("the end of DATA", END),
    *on_closed("HEADERS", headers(ABOUT, BLOCK, end=True)),
    *[
        ignored("5.1", f"{name} on a closed stream", GET, Wait(), sent)
        for name, sent in {
            "WINDOW_UPDATE": window_update(ABOUT, 1),
            "RST_STREAM": rst_stream(ABOUT),
            "PRIORITY": priority(ABOUT),
        }.items()
    ],
    *[
        connection_error(
            "5.1", f"CONTINUATION behind {how}", *start, continuation(ABOUT, BLOCK), code=(P, CLOSED)
        )
        for how, start in {
            "the end of both halves": (GET, Wait()),
            "RST_STREAM": (OPEN, rst_stream(ABOUT)),
        }.items()
    ],
    ignored("5.1", "RST_STREAM twice", OPEN, rst_stream(ABOUT), rst_stream(ABOUT)),
    ignored("5.4.2", "RST_STREAM with NO_ERROR", OPEN, rst_stream(ABOUT, Code.NO_ERROR)),
    ignored("7", "RST_STREAM with an unknown code", OPEN, rst_stream(ABOUT, 0xFFFFFFFF)),
]

NUMBERS = [
    connection_error("5.1.1", "an even number", headers(2, BLOCK, end=True), code=P, reaches=False),
    connection_error("5.1.1", "stream 0", headers(0, BLOCK, end=True), code=P, reaches=False),
    connection_error(
        "5.1.1",
        "a number below the last",
        headers(5, BLOCK, end=True),
        headers(3, BLOCK, end=True),
        code=(P, CLOSED),
    ),
    Case(
        "5.1.1",
        "the number of a stream that was passed over, for DATA",
        (headers(5, BLOCK, end=True), data(3, b"x")),
        (Ignored(), Ended((CLOSED, P))),  # it is closed: see WHATEVER
    ),
    answered("5.1.1", "numbers with gaps", GET, headers(99, BLOCK, end=True)),
]

DATA = [
    connection_error("6.1", "DATA on stream 0", data(0, b"x"), code=P),
    answered("6.1", "DATA in many frames", OPEN, *[data(ABOUT, b"x")] * 20, END),
    answered("6.1", "empty DATA", OPEN, *[data(ABOUT)] * 5, END),
    answered("6.1", "DATA with padding", OPEN, data(ABOUT, b"hello", pad=100, end=True)),
    answered("6.1", "DATA that is padding alone", OPEN, data(ABOUT, b"", pad=255, end=True)),
    answered("6.1", "DATA with a padding of no bytes", OPEN, data(ABOUT, b"hello", pad=0, end=True)),
    connection_error("6.1", "padding as long as the payload", OPEN, data(ABOUT, b"", pad=3, said=4), code=P),
    connection_error(
        "6.1", "padding longer than the payload", OPEN, data(ABOUT, b"x", pad=1, said=200), code=P
    ),
    connection_error(
        "6.1", "PADDED without a length", OPEN, frame(Type.DATA, Flag.PADDED, ABOUT), code=(P, SIZE)
    ),
]

HEADERS = [
    answered("6.2", "HEADERS with padding", headers(ABOUT, BLOCK, end=True, pad=77)),
    answered("6.2", "HEADERS with priority", headers(ABOUT, BLOCK, end=True, after=(0, 200))),
    answered("6.2", "HEADERS with both", headers(ABOUT, BLOCK, end=True, pad=9, after=(RESERVED | 7, 0))),
    connection_error(
        "6.2", "HEADERS padded beyond its end", headers(ABOUT, BLOCK, end=True, pad=1, said=250), code=P
    ),
    connection_error(
        "6.2", "HEADERS of padding alone", frame(Type.HEADERS, 0xD, ABOUT, b"\5\0\0\0"), code=(P, SIZE)
    ),
    connection_error("6.2", "PADDED without a length", frame(Type.HEADERS, 0xD, ABOUT), code=(P, SIZE)),
    connection_error(
        "6.2", "PRIORITY without its five bytes", frame(Type.HEADERS, 0x25, ABOUT, b"\0\0\0"), code=(P, SIZE)
    ),
    Case(
        "5.3.1",
        "HEADERS that depend on themselves",
        (headers(ABOUT, BLOCK, end=True, after=(ABOUT, 1)),),
        (Answered(), Reset((P,)), Ended((P,))),  # RFC 7540 forbade it, RFC 9113 §5.3.2 says nothing
    ),
]

PRIORITIES = [
    connection_error("6.3", "PRIORITY on stream 0", priority(0), code=P),
    some_error("6.3", "PRIORITY of 4 bytes", OPEN, frame(Type.PRIORITY, 0, ABOUT, bytes(4)), code=SIZE),
    some_error("6.3", "PRIORITY of 6 bytes", OPEN, frame(Type.PRIORITY, 0, ABOUT, bytes(6)), code=SIZE),
    answered("6.3", "PRIORITY while a body comes", OPEN, priority(ABOUT, on=9), END),
    Case(
        "5.3.1",
        "PRIORITY that depends on itself",
        (OPEN, priority(ABOUT, on=ABOUT), END),
        (Answered(), Reset((P,)), Ended((P,))),  # see HEADERS that depend on themselves
    ),
]

RST_STREAM = [
    connection_error("6.4", "RST_STREAM on stream 0", rst_stream(0), code=P),
    connection_error(
        "6.4", "RST_STREAM of 3 bytes", OPEN, frame(Type.RST_STREAM, 0, ABOUT, bytes(3)), code=SIZE
    ),
    connection_error(
        "6.4", "RST_STREAM of 5 bytes", OPEN, frame(Type.RST_STREAM, 0, ABOUT, bytes(5)), code=SIZE
    ),
]


def setting(name: str, number: int, value: int, code: Code) -> Case:
    return connection_error("6.5.2", name, settings({number: value}), code=code)


SETTINGS = [
    connection_error(
        "6.5", "SETTINGS with ACK and a payload", frame(Type.SETTINGS, Flag.ACK, 0, bytes(6)), code=SIZE
    ),
    connection_error("6.5", "SETTINGS on a stream", settings(stream=ABOUT), code=P),
    connection_error("6.5", "SETTINGS on an open stream", OPEN, settings(stream=ABOUT), code=P),
    connection_error("6.5", "SETTINGS of 5 bytes", frame(Type.SETTINGS, 0, 0, bytes(5)), code=SIZE),
    connection_error("6.5", "SETTINGS of 7 bytes", frame(Type.SETTINGS, 0, 0, bytes(7)), code=SIZE),
    setting("ENABLE_PUSH of 2", Setting.ENABLE_PUSH, 2, P),
    setting("ENABLE_PUSH of 2^32 - 1", Setting.ENABLE_PUSH, 0xFFFFFFFF, P),
    setting("INITIAL_WINDOW_SIZE of 2^31", Setting.INITIAL_WINDOW_SIZE, 1 << 31, FLOW),
    setting("MAX_FRAME_SIZE of 2^14 - 1", Setting.MAX_FRAME_SIZE, 16383, P),
    setting("MAX_FRAME_SIZE of 2^24", Setting.MAX_FRAME_SIZE, 1 << 24, P),
    setting("MAX_FRAME_SIZE of 0", Setting.MAX_FRAME_SIZE, 0, P),
    answered(
        "6.5.2", "settings that nobody knows", settings({0xFF: 7, 0xF000: 1 << 31, 0x7: 1, 0x0: 5}), GET
    ),
    answered(
        "6.5.2",
        "all settings at their ends",
        settings(
            {
                Setting.HEADER_TABLE_SIZE: 0,
                Setting.ENABLE_PUSH: 1,
                Setting.MAX_CONCURRENT_STREAMS: 0,
                Setting.INITIAL_WINDOW_SIZE: LARGEST_WINDOW,
                Setting.MAX_FRAME_SIZE: (1 << 24) - 1,
                Setting.MAX_HEADER_LIST_SIZE: 0xFFFFFFFF,
            }
        ),
        GET,
    ),
    answered(
        "6.5.3",
        "one setting twice in a frame",
        settings([(Setting.INITIAL_WINDOW_SIZE, 0), (Setting.INITIAL_WINDOW_SIZE, 70_000)]),
        GET,
    ),
]

OTHERS = [
    connection_error("6.6", "PUSH_PROMISE of a client", push_promise(ABOUT, 2, BLOCK), code=P, reaches=False),
    connection_error("8.4", "PUSH_PROMISE on an open stream", OPEN, push_promise(ABOUT, 2, BLOCK), code=P),
    connection_error("6.7", "PING on a stream", ping(stream=ABOUT), code=P),
    connection_error("6.7", "PING of 7 bytes", ping(b"1234567"), code=SIZE),
    connection_error("6.7", "PING of 9 bytes", ping(b"123456789"), code=SIZE),
    connection_error("6.7", "PING without a payload", ping(b""), code=SIZE),
    ignored("6.7", "an answer to a PING that nobody sent", ping(ack=True)),
    connection_error("6.8", "GOAWAY on a stream", goaway(stream=ABOUT), code=P),
    connection_error("6.8", "GOAWAY of 7 bytes", frame(Type.GOAWAY, 0, 0, bytes(7)), code=SIZE),
]

WINDOW_UPDATES = [
    connection_error("6.9", "an increment of 0 on the connection", window_update(0, 0), code=P),
    some_error("6.9", "an increment of 0 on a stream", OPEN, window_update(ABOUT, 0), code=P),
    connection_error("6.9", "WINDOW_UPDATE of 3 bytes", frame(Type.WINDOW_UPDATE, 0, 0, bytes(3)), code=SIZE),
    connection_error("6.9", "WINDOW_UPDATE of 5 bytes", frame(Type.WINDOW_UPDATE, 0, 0, bytes(5)), code=SIZE),
    connection_error(
        "6.9",
        "WINDOW_UPDATE of 5 bytes on a stream",
        OPEN,
        frame(Type.WINDOW_UPDATE, 0, ABOUT, bytes(5)),
        code=SIZE,
    ),
    answered("6.9", "the reserved bit of an increment", window_update(0, RESERVED | 1), GET),
    connection_error(
        "6.9.1", "a window of 2^31 on the connection", window_update(0, LARGEST_WINDOW), code=FLOW
    ),
    some_error(
        "6.9.1",
        "a window of 2^31 on a stream",
        OPEN,
        window_update(ABOUT, LARGEST_WINDOW),
        window_update(ABOUT, 1),
        code=FLOW,
    ),
    connection_error(
        "6.9.2",
        "a window of 2^31 by SETTINGS",
        OPEN,
        window_update(ABOUT, LARGEST_WINDOW),
        settings({Setting.INITIAL_WINDOW_SIZE: 1}),
        code=FLOW,
        settings=NO_CREDIT,
    ),
    answered(
        "6.9.2",
        "credit by SETTINGS",
        GET,
        settings({Setting.INITIAL_WINDOW_SIZE: 100_000}),
        settings=NO_CREDIT,
    ),
    answered(
        "6.9.2",
        "a window that is below zero for a while",
        GET,
        settings({Setting.INITIAL_WINDOW_SIZE: 5}),
        settings({Setting.INITIAL_WINDOW_SIZE: 0}),
        window_update(ABOUT, 100_000),
        settings=NO_CREDIT,
    ),
]

EVERY = [
    *FORMAT,
    *SIZES,
    *BLOCKS,
    *IDLE,
    *HALF_CLOSED,
    *CLOSED_STREAMS,
    *NUMBERS,
    *DATA,
    *HEADERS,
    *PRIORITIES,
    *RST_STREAM,
    *SETTINGS,
    *OTHERS,
    *WINDOW_UPDATES,
]


@cases(*EVERY)
def test_frames(case: Case, worker: str, sends: str, running_servers: Servers) -> None:
    run(case, running_servers.on("h2c").get(kind=worker), sends)


# -- what needs more than a line


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_settings_are_acknowledged(server: Server) -> None:
    """RFC 9113 §6.5.3: each, in order; the client counts."""
    with opened(server) as connection:
        for value in (1, 2, 3, 70_000, 16_384):
            connection.send(settings({Setting.INITIAL_WINDOW_SIZE: value}))
        connection.until(lambda: connection.strict.acks == 6, "all acknowledgements")
        assert connection.get("/").status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_ping_is_answered_with_what_it_holds(server: Server) -> None:
    with opened(server) as connection:
        for content in (bytes(8), b"\xff" * 8, b"01234567"):
            connection.ping(content)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_ping_is_answered_before_a_response_that_has_no_credit(server: Server) -> None:
    """RFC 9113 §6.7: PING responses SHOULD be given higher priority than any other frame."""
    with opened(server, settings=NO_CREDIT) as connection:
        stream = connection.request("/big?100000")
        connection.head(stream)
        connection.ping()
        connection.send(window_update(stream, 100_000))
        connection.send(window_update(0, 100_000))
        assert len(connection.answer(stream).content) == 100_000


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_reset_is_not_answered_with_another(server: Server) -> None:
    """RFC 9113 §5.4.2: whatever state the stream is in, and if it comes twice."""
    with opened(server, settings=NO_CREDIT) as connection:
        waits = connection.request("/big?1000")
        connection.head(waits)
        uploads = connection.begin_request(connection.fields("POST", "/"), end=False)
        at_once = connection.begin_request(connection.fields("GET", "/"))
        for stream in (at_once, uploads, waits):
            connection.send(rst_stream(stream) + rst_stream(stream, Code.INTERNAL_ERROR))
        connection.ping()
        assert [frame for frame in connection.strict.seen if frame.kind == Type.RST_STREAM] == []


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_larger_frames_only_to_who_takes_them(server: Server) -> None:
    """RFC 9113 §4.2: 2^14 bytes, unless SETTINGS_MAX_FRAME_SIZE says more. The client counts."""
    with opened(server, settings={Setting.INITIAL_WINDOW_SIZE: 1 << 20}) as connection:
        connection.send(window_update(0, 1 << 20))
        assert len(connection.get("/big?300000").content) == 300_000
        connection.send(settings({Setting.MAX_FRAME_SIZE: 1 << 17}))
        assert len(connection.get("/big?300000").content) == 300_000


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_client_that_says_goodbye_gets_what_it_asked_for(server: Server) -> None:
    """RFC 9113 §6.8: streams that were opened before are finished, then the server may close."""
    with opened(server) as connection:
        stream = connection.request("/big?200000")
        connection.send(goaway())
        answer = connection.answer(stream)
        assert (answer.status, len(answer.content)) == (200, 200_000)
        connection.wait_closed()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_client_that_says_goodbye_with_nothing_under_way(server: Server) -> None:
    with opened(server) as connection:
        assert connection.get("/").status == 200
        connection.send(goaway(code=0xDEAD, more=b"the reason why"))
        connection.wait_closed()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_highest_number(server: Server) -> None:
    """RFC 9113 §5.1.1: no stream can come behind it."""
    with opened(server) as connection:
        assert (
            connection.answer(
                connection.begin_request(connection.fields("GET", "/"), stream=LARGEST_WINDOW)
            ).status
            == 200
        )
        connection.ping()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_more_streams_than_were_offered(server: Server) -> None:
    """RFC 9113 §5.1.2: those beyond the limit are refused, one by one; the others are served."""
    with opened(server, settings=NO_CREDIT) as connection:
        connection.handshake()
        limit = connection.strict.settings[Setting.MAX_CONCURRENT_STREAMS]
        streams = [connection.request(f"/{number}") for number in range(limit + 3)]
        refused = [connection.answer(stream) for stream in streams[limit:]]
        assert {answer.reset for answer in refused} <= {Code.REFUSED_STREAM, Code.PROTOCOL_ERROR}
        connection.send(settings({Setting.INITIAL_WINDOW_SIZE: 65_535}))
        assert {connection.answer(stream).status for stream in streams[:limit]} == {200}
        assert connection.get("/next").status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_trailers_and_body_in_every_cut(server: Server) -> None:
    """A request of each kind of frame, cut behind each byte."""
    whole = (
        headers(ABOUT, POST_BLOCK, pad=1)
        + data(ABOUT, b"he", pad=2)
        + window_update(ABOUT, 1)
        + data(ABOUT, b"llo")
        + headers(ABOUT, b"\x00\x01x\x01y", end=True)
    )
    for at in range(1, len(whole)):
        server.seen()
        with opened(server) as connection:
            connection.send(whole[:at])
            connection.send(whole[at:])
            assert connection.answer(ABOUT).status == 200
        assert [request["body"] for request in server.seen()] == ["hello"]
