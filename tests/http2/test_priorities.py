"""RFC 9218: urgency and incremental delivery, by the header field and by frames."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from harness.http2.connection import Connection
from harness.http2.frames import Code, Setting, Type, frame, priority_update, settings, window_update
from harness.server import Server, Servers
from http2.cases import ABOUT, GET, OPEN, Case, answered, cases, connection_error, ignored, opened, run

P = Code.PROTOCOL_ERROR
SIZE = 40_000
WIDE = {Setting.INITIAL_WINDOW_SIZE: 1 << 20}

FRAMES = [
    answered("7.1", "PRIORITY_UPDATE before its stream", priority_update(ABOUT, b"u=0, i"), GET),
    answered(
        "7.1",
        "PRIORITY_UPDATE of an open stream",
        OPEN,
        priority_update(ABOUT, b"u=7"),
        b"\0\0\0\0\1\0\0\0\1",
    ),
    ignored("7.1", "PRIORITY_UPDATE of a stream that is over", GET, priority_update(ABOUT, b"u=7")),
    answered("7.1", "PRIORITY_UPDATE that says nothing", priority_update(ABOUT, b""), GET),
    answered("7.1", "PRIORITY_UPDATE that is no dictionary", priority_update(ABOUT, b"u=\xff;;=("), GET),
    answered("7.1", "PRIORITY_UPDATE of an urgency that is none", priority_update(ABOUT, b"u=9"), GET),
    connection_error(
        "7.1", "PRIORITY_UPDATE on a stream", OPEN, priority_update(ABOUT, b"u=1", on=ABOUT), code=P
    ),
    connection_error("7.1", "PRIORITY_UPDATE of stream 0", priority_update(0, b"u=1"), code=P),
    connection_error(
        "7.1",
        "PRIORITY_UPDATE of 3 bytes",
        frame(Type.PRIORITY_UPDATE, 0, 0, bytes(3)),
        code=(Code.FRAME_SIZE_ERROR, P),
    ),
    connection_error(
        "2.1", "NO_RFC7540_PRIORITIES of 2", settings({Setting.NO_RFC7540_PRIORITIES: 2}), code=P
    ),
    answered("2.1", "NO_RFC7540_PRIORITIES of 1", GET, settings={Setting.NO_RFC7540_PRIORITIES: 1}),
]


@cases(*FRAMES)
def test_frames_of_priority(case: Case, worker: str, sends: str, running_servers: Servers) -> None:
    run(case, running_servers.on("h2c").get(kind=worker), sends)


def ends(connection: Connection, priorities: Sequence[str], *updates: bytes) -> list[int]:
    """Requests with these priorities wait for credit together; the order in which their answers end, by
    number."""
    connection.gives_credit = False
    strict = connection.strict
    plug = connection.head(connection.request("/big?65535"))
    connection.until(lambda: plug.ended, "the window of the connection is used up")
    streams = [
        connection.request(f"/big?{SIZE}", fields=[("priority", value)] if value else [])
        for value in priorities
    ]
    for stream in streams:
        connection.head(stream)
    for update in updates:
        connection.send(update)
    connection.ping()
    over: list[int] = []
    while len(over) < len(streams):
        connection.send(window_update(0, 16_384))
        connection.read()
        over += [n for n, stream in enumerate(streams) if n not in over and strict.answers[stream].ended]
    return over


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_the_more_urgent_comes_first(server: Server) -> None:
    """§4.1: 0 is the most urgent, 3 is usual."""
    with opened(server, settings=WIDE) as connection:
        assert ends(connection, ["u=7", "", "u=0", "u=5"]) == [2, 1, 3, 0]


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_of_one_urgency_the_first_comes_first(server: Server) -> None:
    """§4.2, §10: what is not incremental is of use when it is whole."""
    with opened(server, settings=WIDE) as connection:
        assert ends(connection, ["u=2"] * 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_incremental_responses_share(server: Server) -> None:
    """§4.2: none of them is whole before the others have begun."""
    with opened(server, settings=WIDE) as connection:
        connection.gives_credit = False
        strict = connection.strict
        plug = connection.head(connection.request("/big?65535"))
        connection.until(lambda: plug.ended, "the window of the connection is used up")
        streams = [connection.request(f"/big?{SIZE}", fields=[("priority", "i")]) for _ in range(3)]
        for stream in streams:
            connection.head(stream)
        while not any(strict.answers[stream].ended for stream in streams):
            connection.send(window_update(0, 16_384))
            connection.read()
        assert all(strict.answers[stream].size > 0 for stream in streams)


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_a_priority_may_change(server: Server) -> None:
    """§7: the frame stands over the field."""
    with opened(server, settings=WIDE) as connection:
        # Streams 3, 5, 7: the first one was the plug.
        assert ends(
            connection, ["u=5", "u=5", "u=5"], priority_update(7, b"u=0"), priority_update(3, b"u=7")
        ) == [2, 1, 0]


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_a_field_that_is_no_priority_is_ignored(server: Server) -> None:
    with opened(server, settings=WIDE) as connection:
        assert ends(connection, ["u=x", "urgent!", "u=3;q, i=?0", "\xff"]) == [0, 1, 2, 3]
