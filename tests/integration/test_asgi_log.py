"""What is logged about a request: in its context, once, with a traceback if the application is at fault."""

from __future__ import annotations

import itertools
import signal

import pytest
from harness.cases import post
from harness.server import Server, Servers, wait_for
from harness.websocket import Socket
from integration.asgi import ask, get
from integration.live import Live

APP = "asgi_logged:app"
_names = itertools.count()


@pytest.fixture
def name() -> str:
    return f"name-{next(_names)}"


@pytest.fixture
def server(servers: Servers) -> Server:
    options = ("--request-timeout=0.3", "--asgi-disconnect-grace-period=0.1")
    return servers.get(*options, kind="asgi", app=APP)


#: Each page, the status of its answer, and what the log says.
FAILURES = {
    "raises-at-once": (500, "Error in the application (GET /raises-at-once?{})", "ValueError: at once"),
    "raises-later": (500, "Error in the application (GET /raises-later?{})", "ValueError: later"),
    "raises-behind-the-end": (200, "Error in the application", "ValueError: behind the end"),
    "returns": (500, "Error in the application", "GatewayError: the application returned before"),
    "cancels-itself": (500, "The application's task was cancelled (GET /cancels-", "CancelledError"),
    "sends-too-much": (200, "The application sent more bytes", ""),
    "takes-too-long": (504, "A request takes longer than request_timeout", "await asyncio.sleep(30)"),
}


@pytest.mark.parametrize("page", FAILURES)
def test_a_record_is_in_the_context_of_its_request(server: Server, name: str, page: str) -> None:
    status, text, detail = FAILURES[page]
    mark = server.log_mark()
    with server.connect() as client:
        assert ask(client, f"/{page}?{name}").status == status
    wait_for(lambda: detail in server.log(mark), "it is logged")
    said = [line for line in server.log(mark).splitlines() if f"<{name}>" in line]
    assert len(said) == 1, server.log(mark)
    assert text.format(name) in said[0]
    assert "<nobody>" not in server.log(mark)


def test_so_for_a_body_that_breaks_off(server: Server, name: str) -> None:
    mark = server.log_mark()
    with server.connect() as client:
        client.send(post(b"he", b"Content-Length: 5", path=f"/reads?{name}".encode()))
        server.seen()
        client.finish()
        client.read_to_end()
    wait_for(lambda: f"<{name}> Refused a request" in server.log(mark), "it is logged")


@pytest.mark.parametrize("page", ["raises-at-once", "raises-in-the-body"])
@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_so_for_threads(servers: Servers, name: str, kind: str, page: str) -> None:
    server = servers.get(kind=kind, app="asgi_logged:wsgi")
    mark = server.log_mark()
    with server.connect() as client:
        client.send(get(f"/{page}?{name}", b"Connection: close"))
        client.read_to_end()
    wait_for(lambda: "ValueError: " in server.log(mark), "it is logged")
    assert f"<{name}> Error in the application" in server.log(mark)
    assert "<nobody> error" not in server.log(mark)


#: What an application does when its client has gone, and whether that is an error.
FAREWELLS = {
    "fails-in-its-cleanup": True,
    "fails-behind-a-farewell": True,
    "passes-the-farewell-on": False,
    "translates-the-farewell": False,
    "translates-without-a-cause": False,
    "groups-the-farewell": False,
    "is-cancelled": False,
}


@pytest.mark.parametrize("interface", ["http", "websocket"])
@pytest.mark.parametrize("page", FAREWELLS)
def test_an_error_is_shown_although_the_client_has_gone(
    server: Server, name: str, page: str, interface: str
) -> None:
    """A farewell is not one: it only says that the client has gone."""
    mark = server.log_mark()
    if interface == "websocket":
        with Socket(server, f"/{page}?{name}") as client:
            client.close()
    else:
        with server.connect() as plain:
            plain.send(get(f"/{page}?{name}"))
            plain.read_until(b"first")
    if FAREWELLS[page]:
        wait_for(lambda: "ValueError: list.remove" in server.log(mark), "it is logged")
        line = f"[ERROR] <{name}> Error in the application (GET /{page}?{name})\n"
        assert f"{line}Traceback" in server.log(mark)
        return
    with Socket(server, f"/fails-in-its-cleanup?{name}") as later:
        later.close()
    wait_for(lambda: "/fails-in-its-cleanup" in server.log(mark), "something later is logged")
    assert f"/{page}?" not in server.log(mark)


# -- tracebacks are blocks

#: Ways of asgi_lifespan.py to fail behind its start.
WAYS = ("fails_with_traceback", "raises_in_shutdown", "raises_while_serving", "hangs_in_shutdown")


@pytest.mark.parametrize("way", WAYS)
def test_a_traceback_of_the_lifespan_is_a_block(way: str) -> None:
    with Live(
        "asgi_lifespan:app",
        "--asgi-lifespan-shutdown-timeout=0.3",
        kind="asgi",
        environ={"LIFESPAN": way},
    ) as live:
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        log = live.log()
    lines = log.splitlines()
    assert "\\x0A" not in log
    assert any(line.startswith('  File "') and "asgi_lifespan.py" in line for line in lines), log
