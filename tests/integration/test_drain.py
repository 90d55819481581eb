"""What a stop looks like to load balancers, to probes and to responses that go on by themselves."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness.axes import KINDS, ONE_OF_EACH
from harness.client import Client, ClosedError
from harness.server import wait_for
from harness.tls import TruncatedError
from integration.live import Live, entered, message

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP

PROBES = ("--health-path=/healthz", "--ready-path=/readyz")
one_of_each = pytest.mark.parametrize("kind", ONE_OF_EACH)


def status(live: Live, path: str) -> int:
    return live.request(path).status


def begun(live: Live, path: str) -> Client:
    """A connection on which a request for this path is almost there: a drain waits for such."""
    client = live.connect(timeout=10)
    client.send(message("/"))
    client.response()
    client.send(message(path)[:-2])
    return client


# -- drain_delay


@one_of_each
def test_a_stop_with_a_delay_goes_on_serving(kind: str) -> None:
    with (
        Live("life:app", "--drain-delay=60", *PROBES, kind=kind, workers=2) as live,
        live.connect() as client,
    ):
        assert status(live, "/readyz") == 200
        live.signal(TERM)
        live.wait_log("SIGTERM: stopping, workers serve for another 60 s (drain_delay)")
        wait_for(lambda: status(live, "/readyz") == 503, "the answer of one that stops")
        assert [status(live, path) for path in ("/healthz", "/")] == [200, 200]
        client.send(message("/"))
        assert "close" in client.response().connection
        client.close()
        live.signal(TERM)
        live.wait_log("SIGTERM: stopping, workers finish their requests")
        assert live.wait_exit() == 0


def test_a_delay_ends_by_itself_and_then_requests_have_their_time(gate: Path) -> None:
    """graceful_timeout begins behind the delay."""
    options = ("--drain-delay=0.6", "--graceful-timeout=0.5")
    with Live("life:app", *options) as live, live.connect(timeout=10) as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(TERM)
        live.wait_log("The drain_delay is over")
        gate.touch()
        assert client.response().body == b"released"
        client.close()
        assert live.wait_exit() == 0


@pytest.mark.slow
def test_a_worker_lost_during_the_delay_is_replaced() -> None:
    with Live("life:app", "--drain-delay=60", *PROBES) as live:
        live.signal(TERM)
        live.wait_log("(drain_delay)")
        (worker,) = live.workers()
        live.signal(signal.SIGKILL, worker)
        live.wait_log("is ready", times=2)
        assert [status(live, path) for path in ("/readyz", "/")] == [503, 200]
        live.signal(INT)
        assert live.wait_exit() == 0


# -- health_path, ready_path


@one_of_each
def test_probes(kind: str) -> None:
    # What is counted: a request of the harness, one in the pipeline, two that are not for us.
    options = ("--access-logfile=-", "--max-requests=5")
    with Live("life:app", *PROBES, *options, kind=kind) as live, live.connect(timeout=10) as client:
        for method, path, body in (
            ("GET", "/healthz", b"alive\n"),
            ("GET", "/readyz?verbose", b"ready\n"),
            ("HEAD", "/healthz", b""),
        ):
            client.send(message(path, method=method))
            response = client.response(method)
            assert (response.status, response.body) == (200, body)
            assert response.get("Content-Length") == "6"
            assert response.get("Cache-Control") == "no-store"
        client.send(message("/healthz") + message("/") + message("/readyz"))
        bodies = [client.response().body for _ in range(3)]
        assert (bodies[0], bodies[1].split()[1], bodies[2]) == (b"alive\n", b"1", b"ready\n")
        client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert "close" in client.response().connection
        assert live.request("/health").body.split()[1] == b"1"
        assert live.request("/healthz", method="POST").body.split()[1] == b"1"
        live.wait_log("POST /healthz HTTP")
        assert "GET /healthz HTTP" not in live.log()
        assert "max_requests" not in live.log()


@one_of_each
def test_a_connection_that_is_left_learns_of_the_stop(kind: str) -> None:
    with (
        Live("life:app", *PROBES, kind=kind) as live,
        live.connect() as known,
        begun(live, "/readyz") as client,
    ):

        def is_told() -> bool:
            """The master says it first, its workers know it a moment later, and close what is idle."""
            try:
                known.send(message("/readyz"))
                return known.response().status == 503
            except (ClosedError, OSError):
                return True

        live.signal(TERM)
        wait_for(is_told, "a worker that knows of the stop")
        client.send(b"\r\n")
        response = client.response()
        assert (response.status, response.body) == (503, b"stopping\n")
        assert "close" in response.connection
        client.close()
        assert live.wait_exit() == 0


@pytest.mark.parametrize("kind", [pytest.param("sync", marks=pytest.mark.slow), "gthread"])
def test_probes_while_all_threads_are_busy(kind: str, gate: Path) -> None:
    threads = 4 if kind == "gthread" else 1
    with Live("life:app", *PROBES, kind=kind) as live, ExitStack() as clients:
        known = clients.enter_context(live.connect())
        for number in range(threads):
            client = clients.enter_context(live.connect())
            client.send(message(f"/block?{gate}{number}"))
            entered(Path(f"{gate}{number}"))
        known.send(message("/healthz"))
        assert known.response().body == b"alive\n"
        assert status(live, "/readyz") == 200
        for number in range(threads):
            Path(f"{gate}{number}").touch()


@pytest.mark.parametrize("kind", [pytest.param("sync", marks=pytest.mark.slow), "asgi"])
def test_a_worker_that_is_replaced_leaves_the_service_ready(kind: str) -> None:
    with Live("life:app", *PROBES, kind=kind) as live, live.connect(timeout=10) as idle:
        idle.send(message("/"))
        idle.response()
        with begun(live, "/readyz") as client:
            live.signal(HUP)
            idle.wait_closed()  # the old worker drains
            client.send(b"\r\n")
            response = client.response()
            assert (response.status, response.body) == (200, b"ready\n")
            assert "close" in response.connection


# -- streams


def open_stream(live: Live, path: str, gate: Path, version: str = "1.1") -> Client:
    """A client that has seen the beginning of the body."""
    client = live.connect(timeout=10)
    client.send(message(f"{path}?{gate}").replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
    client.read_until(b"\r\n\r\n")
    assert client.buffer or client.more()
    return client


def is_cut(client: Client, framed: bool = True) -> bool:
    """Whether the end of the connection shows that something is missing. framed: the body tells its end."""
    try:
        rest = client.read_to_end()
    except TruncatedError:  # an end that TLS does not know of
        return True
    return client.reset or (framed and not rest.endswith(b"0\r\n\r\n"))


def how_it_ended(gate: Path) -> str:
    mark = Path(f"{gate}.end")
    return str(wait_for(lambda: mark.exists() and mark.read_text(), "the application knows"))


@one_of_each
def test_a_stream_that_heeds_the_drain_ends_well(kind: str, gate: Path) -> None:
    with Live("streams:app", kind=kind) as live, open_stream(live, "/heed", gate) as client:
        live.signal(TERM)
        assert b"bye" in client.read_until(b"0\r\n\r\n")
        assert how_it_ended(gate) == "heeded"
        client.close()
        assert live.wait_exit() == 0
        assert "stream_timeout" not in live.log()


def test_streams_are_cut_so_that_their_clients_can_tell(kind: str, gate: Path, tmp_path: Path) -> None:
    """And a download is not, because it is its client that is slow. (One thread has one stream at a time.)"""
    second, third = tmp_path / "second", tmp_path / "third"
    with Live("streams:app", "--stream-timeout=0.2", kind=kind) as live, ExitStack() as clients:
        slow = clients.enter_context(live.connect(timeout=10, receive_buffer=65536))
        slow.send(message(f"/download?{gate}"))
        assert b"200 OK" in slow.read_until(b"\r\n\r\n")
        events = clients.enter_context(open_stream(live, "/events", second))
        if kind != "sync":
            old = clients.enter_context(open_stream(live, "/lines", third, version="1.0"))
        live.signal(TERM)
        assert is_cut(events)
        assert how_it_ended(second) == "closed"
        if kind != "sync":
            assert is_cut(old, framed=False)
        live.wait_log("drain began (stream_timeout): GET /")
        assert not Path(f"{gate}.end").exists()
        assert slow.read_until(b"\r\n0\r\n\r\n").count(b"0123456789abcdef") > 128 * 4090
        assert how_it_ended(gate) == "complete"
        clients.close()
        assert live.wait_exit() == 0
        assert "GET /download" not in live.log()
        assert "Traceback" not in live.log()


@pytest.mark.parametrize("kind", [pytest.param("sync", marks=pytest.mark.slow), "gthread", "asgi"])
def test_a_stream_that_says_nothing_does_not_hold_a_stop(kind: str, gate: Path) -> None:
    """A thread that does not come back has a second; a task is told by receive(), and why."""
    with Live("streams:app", "--stream-timeout=0.2", kind=kind) as live:
        with open_stream(live, "/stuck", gate) as client:
            start = time.monotonic()
            live.signal(TERM)
            assert is_cut(client)
        assert live.wait_exit() == 0
        assert time.monotonic() - start < 8
        if KINDS[kind].interface == "asgi":
            assert how_it_ended(gate) == "{'type': 'http.disconnect', 'reason': 'the worker is stopping'}"
        assert "Traceback" not in live.log()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_by_default_event_streams_hold_a_stop_for_a_few_seconds_only(
    kind: str, gate: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    with Live("streams:app", kind=kind) as live, open_stream(live, "/lines", other):
        with open_stream(live, "/events", gate) as events:
            start = time.monotonic()
            live.signal(TERM)
            assert is_cut(events)
            assert 4 < time.monotonic() - start < 15
            assert how_it_ended(gate) == "closed"
        assert "GET /lines" not in live.log()
        live.signal(INT)
        live.wait_exit()
