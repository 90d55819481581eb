"""Applications that call back, fail or tamper at the worst moment.

One head, a framing that is right or visibly cut, no crash.
"""

from __future__ import annotations

from functools import partial

import pytest
from asgi_hostile import HOSTILE, LARGE
from harness.client import ClosedError, Response
from harness.server import Server, Servers, wait_for
from harness.websocket import Socket
from integration.asgi import Notes, ask, get, literal

LOGGED = "--access-logformat=%(r)s %(s)s %({user-agent}i)s %(h)s %({x-sum}o)s %({content-type}o)s"


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get("--access-logfile=-", LOGGED, kind="asgi", app="asgi_hostile:app")


def tried(server: Server, path: str, *lines: bytes) -> Response:
    """The one response, whole, or cut so that its client can tell. The worker serves on."""
    with server.connect() as client:
        client.takes_trailers = True
        client.send(get(path.replace(" ", "%20"), *lines))
        response = client.response()
        rest = b"" if response.complete and "close" not in response.connection else client.read_to_end()
    assert rest == b"", response
    assert b"HTTP/1.1" not in response.body, response
    return response


# -- foreign code while a message is handled


@pytest.mark.parametrize("callback", ["start", "body", "receive"])
@pytest.mark.parametrize("what", HOSTILE)
def test_code_that_calls_back(server: Server, what: str, callback: str) -> None:
    """It gets an exception. The message around it is sent, or fails with that exception."""
    for passes in ("no", "yes"):
        notes = Notes(server)
        response = tried(server, f"/calls-back?{what};{callback};{passes}")
        assert response.status in {200, 500}
        assert passes == "yes" or (response.status == 200 and response.complete), response
        assert "called" not in notes or {value for _, value in notes.all} == {"RuntimeError"}, notes.all


def test_a_finalizer_that_sends(server: Server) -> None:
    """Where the application's own code runs it may; then that was the end of the response."""
    for _ in range(3):
        response = tried(server, "/collects")
        assert (response.status, response.complete, response.get("x-a")) == (200, True, "b")
        assert response.body.endswith(b"last")
        assert response.body.replace(b"piece;", b"") == b"last"


# -- failures


@pytest.mark.parametrize("step", range(5))
def test_an_allocation_that_fails(server: Server, step: int) -> None:
    """Whichever it is, in whichever message: the client never takes a broken response for a whole one."""
    pytest.importorskip("_testcapi")
    failed = 0
    whole = b"a" * 100 + b"b" * LARGE + b"contentlast"
    for at in range(25):
        notes = Notes(server)
        try:
            response = tried(server, f"/no-memory?{step};{at}")
        except ClosedError as error:
            assert error.received == b""  # noqa: PT017 - nothing was sent, and that is seen too
            assert "failed" in notes
            failed += 1
            continue
        failed += "failed" in notes
        if response.status == 200:
            assert whole.startswith(response.body), at
            assert response.complete == (response.body == whole), at
            assert response.complete or "failed" in notes
        else:
            answers = {(503, b"instead"), (500, b"500 Internal Server Error\n")}
            assert (response.status, response.body) in answers, at
    assert failed or step in {1, 4}, "small messages may need none"


@pytest.mark.parametrize("left", range(4))
@pytest.mark.parametrize("how", ["path", "span"])
def test_a_file_for_which_no_descriptor_is_left(server: Server, how: str, left: int) -> None:
    """Nothing has been sent yet: the application is free to send something else behind its head."""
    response = tried(server, f"/no-descriptors?{how};{left}")
    assert (response.status, response.complete) == (200, True)
    assert response.body in {b"content", b"instead"}
    assert left > 0 or response.body == b"instead"
    assert left < 3 or response.body == b"content"


# -- what it was given


def _access_lines(server: Server, mark: int, expected: int) -> list[str]:
    """Those of /pollutes, or none before all are there: another test must not find them in its log."""
    lines = [line for line in server.log(mark).splitlines() if "/pollutes" in line and "ERROR" not in line]
    return lines if len(lines) == expected else []


@pytest.mark.parametrize("how", ["clears", "replaces", "lists", "keys"])
def test_a_scope_that_is_tampered_with(server: Server, how: str) -> None:
    """It is the application's. The server has kept what it needs; the access log shows what is left."""
    mark = server.log_mark()
    response = tried(server, f"/pollutes?{how};ends", b"TE: trailers", b"User-Agent: curl")
    assert (response.status, response.body, response.trailers) == (200, b"last", [("x-sum", "1")])
    assert tried(server, f"/pollutes?{how};raises", b"User-Agent: curl").status == 500
    with Socket(server, f"/pollutes?{how};raises") as client:
        client.text("go on")
        assert client.closed_with() == 1011
    with Socket(server, f"/pollutes?{how};raises"):
        assert server.get("/kinds")[0] == 200
    uri = f"/pollutes?{how};raises"
    wait_for(lambda: server.log(mark).count(f"Error in the application (GET {uri})") == 3, "all are logged")
    lines = wait_for(partial(_access_lines, server, mark, 4), "all four are in the access log")
    assert all(f" {server.wire.protocol} " in line for line in lines), lines
    assert "Internal error" not in server.log(mark)


# -- send() and receive() as functions


def test_they_are_coroutine_functions(server: Server) -> None:
    """By all tests that there are; and what they return does nothing, and says so, unless it is awaited."""
    with server.connect() as client:
        response = ask(client, "/kinds")
    told, _, rest = response.body.partition(b"\n")
    unawaited = ["receive() was never awaited", "send() was never awaited"]
    assert literal(told) == [True] * 8 + [unawaited]
    assert rest == b"end"


def test_a_thread_sends_through_the_loop(server: Server, servers: Servers) -> None:
    options = ("--env=PYTHONASYNCIODEBUG=1", "--asgi-loop=asyncio")
    debugging = servers.get(*options, kind="asgi", app="asgi_hostile:app")
    for each in (server, debugging):
        response = tried(each, "/from-a-thread")
        assert response.body == b"x" * 300_000 + b"last"


def test_a_loop_of_another_thread_is_refused(server: Server) -> None:
    response = tried(server, "/in-a-thread")
    assert response.body.count(b"must be awaited in the thread of their event loop") == 2, response
