"""RFC 9218: urgency and incremental delivery, by the header field, by frames, and by what the application
says of its responses. How a field is read: http/test_priority.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from harness.http2.connection import Connection
from harness.http2.frames import Code, Setting, Type, frame, priority_update, settings, window_update
from harness.server import Server, Servers
from http2.cases import ABOUT, GET, OPEN, Case, answered, cases, connection_error, ignored, opened, run
from integration.live import Live

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
    answered(
        "2.1",
        "NO_RFC7540_PRIORITIES of 1 again",
        settings({Setting.NO_RFC7540_PRIORITIES: 1}),
        GET,
        settings={Setting.NO_RFC7540_PRIORITIES: 1},
    ),
    connection_error(
        "2.1",
        "NO_RFC7540_PRIORITIES that was not there at first",
        settings({Setting.NO_RFC7540_PRIORITIES: 1}),
        code=P,
    ),
    connection_error(
        "2.1",
        "NO_RFC7540_PRIORITIES that is taken back",
        settings({Setting.NO_RFC7540_PRIORITIES: 0}),
        code=P,
        settings={Setting.NO_RFC7540_PRIORITIES: 1},
    ),
]


@cases(*FRAMES)
def test_frames_of_priority(case: Case, worker: str, sends: str, running_servers: Servers) -> None:
    run(case, running_servers.on("h2c").get(kind=worker), sends)


def ends(
    connection: Connection, priorities: Sequence[str], *updates: bytes, said: Sequence[str] = ()
) -> list[int]:
    """Requests with these priorities wait for credit together; the order in which their answers end, by
    number. updates: frames that come when the heads of all answers are there. said: what the application says
    of each answer."""
    connection.gives_credit = False
    strict = connection.strict
    plug = connection.head(connection.request("/big?65535"))
    connection.until(lambda: plug.ended, "the window of the connection is used up")
    streams = [
        connection.request(
            f"/big?{SIZE}",
            fields=[
                *([("priority", value)] if value else []),
                *([("x-say", said[n])] if said and said[n] else []),
            ],
        )
        for n, value in enumerate(priorities)
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


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_a_frame_before_its_stream(server: Server) -> None:
    """§7.1: it is kept, and stands over the field; of a member that it does not name it says the usual."""
    with opened(server, settings=WIDE) as connection:
        early = [priority_update(3, b"u=7"), priority_update(5, b"u=1"), priority_update(7, b"")]
        connection.send(b"".join(early))
        assert ends(connection, ["u=0", "u=6", "u=0", "u=2"]) == [1, 3, 2, 0]


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_a_member_that_is_wrong_does_not_spoil_the_others(server: Server) -> None:
    """§4: it is ignored. Those without `i` come one after the other, behind those that are more urgent."""
    with opened(server, settings=WIDE) as connection:
        assert ends(connection, ["u=4", "u=1, i=5", "u=3", "i=x, u=2"]) == [1, 3, 2, 0]


# -- what applications say

#: Content of the size that the query says, as urgent as the request has the application say.
SAYS = """
def application(environ, start_response):
    said = environ.get("HTTP_X_SAY")
    start_response("200 OK", [("PRIORITY", said)] if said else [])
    return [b"c" * int(environ["QUERY_STRING"])]

async def asgi_application(scope, receive, send):
    headers = [(b"priority", value) for name, value in scope["headers"] if name == b"x-say"]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"c" * int(scope["query_string"])})
"""


@pytest.fixture(scope="module", params=["gthread", "asgi"])
def says(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    place = tmp_path_factory.mktemp("says")
    (place / "says.py").write_text(SAYS)
    name = "asgi_application" if request.param == "asgi" else "application"
    with Live(f"says:{name}", kind=request.param, wire="h2c", chdir=place, ready="/?0") as live:
        yield live


@pytest.mark.parametrize(
    ("asked", "said", "order"),
    [
        # It stands over what the client asks for …
        (["u=1", "u=2", "u=3", "u=4"], ["u=7", "", "u=0", "u=5"], [2, 1, 3, 0]),
        # … also where the client does not speak of priorities: one that says nothing is as usual.
        (["", "", ""], ["u=4, i=?0", "", "u=2, i=?0"], [2, 1, 0]),
        # What it does not name stays.
        (["u=1", "u=2", "u=0"], ["i", "", "i"], [2, 0, 1]),
        # What is no priority changes nothing.
        (["u=5", "u=1", "u=3"], ["u=8", "urgent!", "u=0,"], [1, 2, 0]),
    ],
)
def test_the_application_has_the_last_word(
    says: Live, asked: list[str], said: list[str], order: list[int]
) -> None:
    """§8. The field is in the response, too."""
    with opened(says, settings=WIDE) as connection:
        assert ends(connection, asked, said=said) == order
        answers = connection.strict.answers
        assert [answers[stream].get("priority") or "" for stream in sorted(answers)[1:]] == said


def test_also_over_what_the_client_says_later(says: Live) -> None:
    """§8: the client's frame changes what the application has not named."""
    with opened(says, settings=WIDE) as connection:
        # Streams 3, 5, 7: the first one was the plug.
        later = [priority_update(3, b"u=0"), priority_update(7, b"u=1")]
        assert ends(connection, ["u=3", "u=3", "u=3"], *later, said=["u=7", "", "i=?0"]) == [2, 1, 0]
