"""The worker with an event loop, as an operator sees it: a blocked loop, its logs, mistakes in settings."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest
from harness.client import ClosedError
from harness.server import wait_for
from integration.asgi import PAGES
from integration.live import Live, message

FORMAT = (
    '--access-logformat=%(h)s "%(r)s" %(s)s %(B)s %(m)s %(U)s?%(q)s %(H)s "%(f)s" %({x-in}i)s %({x-out}o)s'
)


# -- a blocked loop


@pytest.mark.slow
def test_a_blocked_loop_is_seen_and_its_stack_is_dumped() -> None:
    """`time.sleep` in a coroutine: the worker gives no sign of life; the log shows the line to blame."""
    with Live("life:app", "--timeout=1", kind="asgi") as live:
        (worker,) = live.workers()
        with live.connect(timeout=15) as client:
            client.send(message("/nap"))
            with pytest.raises(ClosedError):
                client.response()
        log = live.wait_log("no sign of life")
        assert str(worker) in log
        live.wait_log("asgi_life.py")
        live.wait_log("in _at_once")
        live.wait_log("is ready", times=2)
        assert worker not in live.workers()
        assert live.request("/").status == 200


@pytest.mark.slow
def test_a_request_that_was_answered_is_not_to_blame() -> None:
    """Its last step was taken by the loop, not by us; what holds the loop afterwards is not a request."""
    with Live("life:app", "--timeout=1", kind="asgi") as live:
        assert live.request("/nap-later").status == 200
        log = live.wait_log("no sign of life")
        (line,) = [each for each in log.splitlines() if "no sign of life" in each]
        assert "nap-later" not in line


# -- the access log


@pytest.fixture
def access(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def lines(access: Path, count: int) -> list[str]:
    """So many lines of it, once they are there."""
    wait_for(lambda: access.exists() and access.read_text().count("\n") >= count, f"{count} lines")
    return access.read_text().splitlines()


def test_the_access_log(access: Path) -> None:
    options = (f"--access-logfile={access}", FORMAT)
    with Live("asgi_echo:app", *options, kind="asgi", ready="/unread") as live:
        fields = ["X-In: in", "Referer: http://a.example/"]
        assert live.request("/big?5", fields=fields).body == b"bbbbb"
        assert live.request("/stream?70000", method="HEAD").status == 200
        live.request("/caf%C3%A9?b=%20", method="POST", body=b"hello")
        with live.connect() as client:
            client.send(b"BAD\r\n\r\n")
            assert client.response().status == 400
        first, second, third, fourth = lines(access, 4)
        live.stop()
    assert '"GET /unread HTTP/1.1" 200' in first
    assert second == ('127.0.0.1 "GET /big?5 HTTP/1.1" 200 5 GET /big?5 HTTP/1.1 "http://a.example/" in -')
    assert third.startswith('127.0.0.1 "HEAD /stream?70000 HTTP/1.1" 200 0 HEAD /stream?70000')
    assert fourth.startswith('127.0.0.1 "POST /caf%C3%A9?b=%20 HTTP/1.1" 200 ')
    assert len(access.read_text().splitlines()) == 4  # what was refused is in the error log


def test_the_access_log_in_json(access: Path) -> None:
    options = (f"--access-logfile={access}", "--access-logformat=json")
    with Live("asgi_echo:app", *options, kind="asgi", ready="/unread") as live:
        live.request("/big?5")
        _, told = (json.loads(line) for line in lines(access, 2))
        live.stop()
    assert told["status"] == 200
    assert told["method"] == "GET"


def test_a_response_that_nobody_waited_for_is_logged(access: Path, gate: Path) -> None:
    """The client has gone before there was a response: there is a line for it all the same."""
    with Live("life:app", f"--access-logfile={access}", FORMAT, kind="asgi") as live:
        with live.connect() as client:
            client.send(message(f"/block?{gate}"))
            wait_for(Path(f"{gate}.in").exists, "the request is in the application")
        gate.touch()
        line = next(line for line in lines(access, 2) if "/block" in line)
        live.stop()
    assert '"GET /block?' in line


def test_a_client_that_left_before_its_response_is_499(access: Path, gate: Path) -> None:
    options = (f"--access-logfile={access}", FORMAT, "--asgi-disconnect-grace-period=0.1")
    with Live("life:app", *options, kind="asgi") as live:
        with live.connect() as client:
            client.send(message(f"/block?{gate}"))
            wait_for(Path(f"{gate}.in").exists, "the request is in the application")
        line = next(line for line in lines(access, 2) if "/block" in line)
        live.stop()
    assert '" 499 0' in line


@pytest.mark.parametrize("wire", ["plain", "h2c"])
@pytest.mark.parametrize(
    ("kind", "app", "path"), [("sync", "failures:app", "/raise?none"), ("asgi", PAGES, "/raises-group")]
)
def test_the_bytes_of_a_response_of_our_own_count(
    access: Path, kind: str, app: str, path: str, wire: str
) -> None:
    log = f"--access-logfile={access}"
    with Live(app, log, FORMAT, kind=kind, wire=wire, ready="/quick") as live:
        sizes = [len(live.request(path, method=method).body) for method in ("GET", "HEAD")]
        logged = [line for line in lines(access, 3) if " 500 " in line]
        live.stop()
    assert sizes == [26, 0]
    assert [re.search(r" 500 (\d+)", line)[1] for line in logged] == ["26", "0"]  # type: ignore[index]


def test_what_the_application_raises_is_logged_with_its_request() -> None:
    with Live(PAGES, kind="asgi", ready="/quick") as live:
        assert live.request("/raises-group").status == 500
        log = live.wait_log("in a task of the application")
        assert "/raises-group" in log
        assert "ExceptionGroup" in log


# -- mistakes


def fails(*options: str, app: str = PAGES, kind: str = "asgi") -> str:
    """The log of a service that does not start."""
    live = Live(app, *options, kind=kind)
    live.start(wait=False)
    try:
        assert live.wait_exit() in {2, 3}
        return live.log()
    finally:
        live.kill()


def test_a_loop_that_does_not_exist() -> None:
    assert "nowhere:loop" in fails("--asgi-loop=nowhere:loop")


def test_a_wsgi_application_on_an_asgi_worker() -> None:
    """The message says what to write instead."""
    log = fails(app="echo", kind="asgi")
    assert "WSGI" in log
    assert "worker_class" in log or "--worker-class" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_an_asgi_application_on_a_wsgi_worker(kind: str) -> None:
    log = fails(app=PAGES, kind=kind)
    assert "ASGI" in log
    assert "asgi" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("app", ["asgi_echo", "echo", "asgi_pages:application_object"])
def test_auto_recognises_the_interface(app: str) -> None:
    with Live(app, "--worker-class=auto", kind="asgi", ready="/seen") as live:
        assert live.request("/seen").status == 200
        live.stop()


# -- draining


def test_idle_and_busy_connections_while_draining(gate: Path) -> None:
    """The idle one closes, the busy one is answered with `Connection: close`, nobody new is let in."""
    with Live("life:app", "--keep-alive=60", kind="asgi") as live:
        with live.connect(timeout=10) as idle, live.connect(timeout=10) as busy:
            idle.send(message("/"))
            idle.response()
            busy.send(message(f"/block?{gate}") + message("/behind"))
            wait_for(Path(f"{gate}.in").exists, "the request is in the application")
            live.signal(signal.SIGTERM)
            idle.wait_closed()
            gate.touch()
            response = busy.response()
            assert response.body == b"released"
            if "close" not in response.connection:
                response = busy.response()
                assert "close" in response.connection
            busy.wait_closed()
        assert live.wait_exit() == 0


def test_tasks_that_go_on_behind_the_end_are_cancelled() -> None:
    """At the end of `graceful_timeout` the process ends, whatever the tasks do."""
    with Live(PAGES, "--graceful-timeout=0.5", kind="asgi", ready="/quick") as live:
        with live.connect() as client:
            client.send(message("/background-task?never"))
            assert client.response().body == b"answered"
        start = time.monotonic()
        live.signal(signal.SIGTERM)
        live.wait_exit(10)
        assert time.monotonic() - start < 5
