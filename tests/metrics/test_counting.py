"""Real servers: what is counted is what clients did."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.server import KINDS, wait_for
from harness.tls import client_context
from integration.live import Live, message
from metrics.scraping import Scrapes, counting

pytestmark = pytest.mark.filterwarnings("error")

WIRES = ("plain", "h2c")
SOME_KINDS = ("sync", "gthread", "asgi", "gevent")


@dataclass
class Counted:
    live: Live
    scrapes: Scrapes
    home: Path
    kind: str

    @property
    def is_asgi(self) -> bool:
        return KINDS[self.kind].interface == "asgi"


@pytest.fixture(scope="module", params=SOME_KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    """On one port HTTP/1 and h2c."""
    home = tmp_path_factory.mktemp("counted")
    limits = (
        "--route=/api request_timeout=30",
        "--request-timeout=0.3",
        "--header-timeout=0.3",
        "--write-timeout=0.3",
        "--keep-alive=30",
    )
    with counting(home, *limits, kind=request.param, wire="h2c") as live:
        yield Counted(live, Scrapes(home), home, request.param)


def over(counted: Counted, wire: str) -> Live:
    from harness.axes import WIRES as KNOWN

    return counted.live.over(KNOWN[wire])  # type: ignore[return-value]


#: Method, path, body → class of the status.
REQUESTS = (
    ("GET", "/", b"", "2xx"),
    ("GET", "/api/x", b"", "2xx"),
    ("GET", "/apis", b"", "2xx"),
    ("HEAD", "/size/100", b"", "2xx"),
    ("POST", "/", b"y" * 1000, "2xx"),
    ("PUT", "/status/201", b"y", "2xx"),
    ("DELETE", "/status/404", b"", "4xx"),
    ("BREW", "/status/302", b"", "3xx"),
    ("PATCH", "/raise", b"", "5xx"),
)


@pytest.mark.parametrize("wire", WIRES)
def test_requests(served: Counted, wire: str) -> None:
    live, scrapes = over(served, wire), served.scrapes
    scrapes.mark()
    for method, path, body, _ in REQUESTS:
        with live.connect(timeout=10) as client:
            client.send(message(path, method=method, body=body))
            client.response(method)
    scrapes.wait(len(REQUESTS), "tricorn_requests_total")
    scrapes.wait(len(REQUESTS), "tricorn_request_duration_seconds_count")
    for method, path, _, status in REQUESTS:
        like = [each for each in REQUESTS if (each[0], each[3]) == (method, status)]
        shown = "other" if method == "BREW" else method
        assert scrapes.value("tricorn_requests_total", method=shown, status=status) == len(like), path
    for part in ("waiting", "application", "sending", "duration"):
        assert scrapes.value(f"tricorn_request_{part}_seconds_count", route="/api") == 1, part
        assert scrapes.value(f"tricorn_request_{part}_seconds_count") == len(REQUESTS), part
    assert scrapes.value("tricorn_connections_total") == len(REQUESTS)
    assert scrapes.value("tricorn_http2_connections_total") == (len(REQUESTS) if wire == "h2c" else 0)
    assert scrapes.value("tricorn_http2_streams_total") == (len(REQUESTS) if wire == "h2c" else 0)
    assert (
        scrapes.value("tricorn_errors_total", kind="application")
        == scrapes.value("tricorn_errors_total")
        == 1
    )
    assert scrapes.everything()["tricorn_requests_in_flight", frozenset({("route", "")})] == 0


def test_bytes(served: Counted) -> None:
    """Those of HTTP/1 a client can count."""
    served.scrapes.mark()
    request = message("/size/100000", method="POST", body=b"z" * 50_000, fields=["Connection: close"])
    with socket.create_connection(served.live.address) as client:
        client.sendall(request)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    served.scrapes.wait(1, "tricorn_requests_total")
    assert served.scrapes.value("tricorn_received_bytes_total") == len(request)
    assert served.scrapes.value("tricorn_sent_bytes_total") == len(received)


def test_a_kept_connection(served: Counted) -> None:
    served.scrapes.mark()
    with served.live.connect_http1(timeout=10) as client:
        for _ in range(3):
            client.send(message("/"))
            client.response()
        wait_for(
            lambda: served.scrapes.look().value("tricorn_idle_connections") == 1, "it is seen to be idle"
        )
        assert served.scrapes.value("tricorn_open_connections") == 1
        served.scrapes.wait(3, "tricorn_requests_total", method="GET", status="2xx")
        assert served.scrapes.value("tricorn_connections_total") == 1
    wait_for(lambda: served.scrapes.look().value("tricorn_open_connections") == 0, "it is closed")


BROKEN = (
    (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "bad_request"),
    (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "too_large"),
    (b"GET / HTTP/1.1\r\nHost:", "client_timeout"),
)


@pytest.mark.parametrize(("data", "kind"), BROKEN, ids=[kind for _, kind in BROKEN])
def test_refusals(served: Counted, data: bytes, kind: str) -> None:
    served.scrapes.mark()
    with served.live.connect_http1(timeout=10) as client:
        client.send(data)
        assert client.response().status in {400, 408, 414, 431}
    served.scrapes.wait(1, "tricorn_errors_total", kind=kind)
    assert served.scrapes.value("tricorn_errors_total") == 1
    assert served.scrapes.value("tricorn_requests_total") == 0


#: HTTP/2 that is none → who finds it.
BROKEN_FRAMES = {
    "the library: data on stream 0": bytes((0, 0, 1, 0, 0, 0, 0, 0, 0, 120)),
    "the library: a field block that cannot be read": bytes((0, 0, 1, 1, 5, 0, 0, 0, 1, 0x80)),
    "we: a frame that is too long": bytes((0x40, 0, 1, 0, 0, 0, 0, 0, 1)),
    "we: CONTINUATION without end": bytes((0, 0, 0, 1, 0, 0, 0, 0, 1))
    + bytes((0, 0, 0, 9, 0, 0, 0, 0, 1)) * 500,
}


@pytest.mark.parametrize("frames", BROKEN_FRAMES.values(), ids=BROKEN_FRAMES)
def test_http_2_that_is_none_is_counted_once(served: Counted, frames: bytes) -> None:
    served.scrapes.mark()
    with socket.create_connection(served.live.address) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)) + frames)
        client.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65536):
                pass
    served.scrapes.wait(1, "tricorn_errors_total", kind="http2")
    assert served.scrapes.value("tricorn_errors_total") == 1
    assert served.scrapes.value("tricorn_requests_total") == 0


def test_a_client_that_reads_nothing(served: Counted) -> None:
    served.scrapes.mark()
    with served.live.connect_http1(timeout=10, receive_buffer=4096) as client:
        client.send(message("/size/20000000"))
        served.scrapes.wait(1, "tricorn_errors_total", kind="write_timeout")
    assert served.scrapes.value("tricorn_errors_total") == 1


def test_the_garbage_collector(served: Counted) -> None:
    """By itself it may come as well."""
    served.scrapes.mark()
    served.live.request("/gc")
    served.scrapes.look()
    assert served.scrapes.value("tricorn_gc_collections_total", generation="2") >= 1
    counted = served.scrapes.value("tricorn_gc_collections_total")
    assert counted == served.scrapes.value("tricorn_gc_pause_seconds_count")
    assert served.scrapes.value("tricorn_gc_pause_seconds_sum") > 0


def test_a_loop_that_is_late(served: Counted) -> None:
    """It is blocked for longer than there is between two looks."""
    if not served.is_asgi:
        pytest.skip("there is no loop")
    served.scrapes.mark()
    served.live.request("/block/0.6")
    wait_for(lambda: served.scrapes.look().value("tricorn_loop_lag_seconds_sum") > 0.05, "it was late")
    assert served.scrapes.value("tricorn_loop_lag_seconds_count") >= 1


def test_a_request_that_is_held_up(served: Counted) -> None:
    """It is seen while it lasts. Then its time is over."""
    gate = served.home / "never"
    served.scrapes.mark()
    with served.live.connect_http1(timeout=10) as client:
        client.send(message(f"/hold{gate}"))
        wait_for(
            lambda: served.scrapes.look().value("tricorn_requests_in_flight", route="") == 1,
            "it is in flight",
        )
        assert client.response().status == 504
    served.scrapes.wait(1, "tricorn_errors_total", kind="request_timeout")
    served.scrapes.wait(1, "tricorn_requests_total", status="5xx")
    assert served.scrapes.value("tricorn_request_application_seconds_sum") >= 0.3
    assert served.scrapes.value("tricorn_requests_in_flight") == 0


def test_the_time_before_it_came(served: Counted) -> None:
    served.scrapes.mark()
    # A hundredth more: the field is rounded, and the server's clock is coarse. What cannot be is not counted.
    for start in (time.time() - 2.01, time.time() + 1e6):
        with served.live.connect_http1(timeout=10) as client:
            client.send(message("/api", fields=[f"X-Request-Start: t={start:.3f}"]))
            client.response()
    served.scrapes.wait(2, "tricorn_requests_total")
    assert served.scrapes.value("tricorn_request_queue_seconds_count", route="/api") == 1
    assert 2 <= served.scrapes.value("tricorn_request_queue_seconds_sum") < 60


def test_what_a_worker_is_made_of(served: Counted) -> None:
    figures = served.scrapes.everything()
    assert figures["tricorn_worker_cpu_seconds_total", frozenset()] > 0
    assert figures["tricorn_workers", frozenset({("state", "ready")})] == 1
    memory = figures["tricorn_workers_resident_memory_bytes", frozenset()]
    assert memory == figures["tricorn_worker_resident_memory_max_bytes", frozenset()] > 1 << 20
    assert figures["tricorn_start_time_seconds", frozenset()] < time.time()
    wait_for(
        lambda: (
            served.scrapes.everything()["tricorn_workers_proportional_memory_bytes", frozenset()] > 1 << 20
        ),
        "it is weighed",
    )


def test_waiting(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with counting(tmp_path, "--max-queue=1") as live:
        scrapes = Scrapes(tmp_path)
        scrapes.mark()
        with (
            live.connect(timeout=10) as first,
            live.connect(timeout=10) as second,
            live.connect(timeout=10) as third,
        ):
            first.send(message(f"/hold{gate}"))
            wait_for(lambda: scrapes.look().value("tricorn_requests_in_flight") == 1, "it is in flight")
            assert scrapes.everything()["tricorn_threads", frozenset({("state", "busy")})] == 1
            second.send(message("/"))
            wait_for(lambda: scrapes.look().value("tricorn_requests_waiting") == 1, "it waits")
            third.send(message("/"))
            assert third.response().status == 503
            gate.touch()
            assert first.response().status == second.response().status == 200
        scrapes.wait(2, "tricorn_requests_total", status="2xx")
        assert scrapes.value("tricorn_requests_total", status="5xx") == 1
        assert scrapes.value("tricorn_errors_total", kind="queue_full") == 1
        assert scrapes.value("tricorn_request_waiting_seconds_count") == 3
        assert scrapes.value("tricorn_request_waiting_seconds_sum") > 0
        assert scrapes.value("tricorn_request_duration_seconds_count") == 2


def test_who_leaves_while_it_waits(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with counting(tmp_path, "--max-queue=8") as live:
        scrapes = Scrapes(tmp_path)
        scrapes.mark()
        with live.connect(timeout=10) as first:
            first.send(message(f"/hold{gate}"))
            wait_for(lambda: scrapes.look().value("tricorn_requests_in_flight") == 1, "it is in flight")
            with live.connect(timeout=10) as second:
                second.send(message("/"))
                wait_for(lambda: scrapes.look().value("tricorn_requests_waiting") == 1, "it waits")
                second.abort()
            gate.touch()
            assert first.response().status == 200
        scrapes.wait(1, "tricorn_errors_total", kind="client_left")
        assert scrapes.value("tricorn_errors_total") == 1
        scrapes.wait(1, "tricorn_requests_total", status="4xx")  # 499, as in the access log


def test_connections_that_nobody_has_accepted(tmp_path: Path) -> None:
    with counting(tmp_path) as live, ExitStack() as clients:
        scrapes = Scrapes(tmp_path)
        scrapes.mark()
        (pid,) = live.workers()
        live.signal(signal.SIGSTOP, pid)
        try:
            for _ in range(3):
                clients.enter_context(socket.create_connection(live.address))
            assert scrapes.look().value("tricorn_backlog_connections") == 3
        finally:
            live.signal(signal.SIGCONT, pid)
        wait_for(lambda: scrapes.look().value("tricorn_backlog_connections") == 0, "they are accepted")
        scrapes.wait(3, "tricorn_connections_total")


HANDSHAKE = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]


def test_a_websocket_and_a_slow_reader(tmp_path: Path) -> None:
    with counting(tmp_path, kind="asgi") as live:
        scrapes = Scrapes(tmp_path)
        scrapes.mark()
        with live.connect(timeout=10) as client:
            client.send(message("/", fields=HANDSHAKE))
            wait_for(lambda: scrapes.look().value("tricorn_open_websockets") == 1, "it is open")
            # One figure is written after the other.
            scrapes.wait(1, "tricorn_requests_in_flight")
            scrapes.wait(1, "tricorn_websockets_total")
        scrapes.wait(1, "tricorn_requests_total", status="1xx")
        assert scrapes.value("tricorn_requests_in_flight") == scrapes.value("tricorn_open_websockets") == 0
        assert scrapes.value("tricorn_request_duration_seconds_count") == 0
        size = 20_000_000
        with live.connect(timeout=10, receive_buffer=4096) as client:
            client.send(message(f"/size/{size}"))
            scrapes.wait(1, "tricorn_requests_total", status="2xx")
            assert scrapes.value("tricorn_request_sending_seconds_count") == 0  # the client has not begun
            client.response()
        scrapes.wait(1, "tricorn_request_sending_seconds_count")
        assert scrapes.value("tricorn_request_sending_seconds_sum") > 0


def test_handshakes_of_tls(tmp_path: Path) -> None:
    with counting(tmp_path, wire="tls") as live:
        scrapes = Scrapes(tmp_path)
        scrapes.mark()
        context = client_context()
        with context.wrap_socket(
            socket.create_connection(live.address), server_hostname="one.example"
        ) as first:
            first.sendall(message("/"))
            first.recv(65536)
            session = first.session
        with context.wrap_socket(
            socket.create_connection(live.address), server_hostname="one.example", session=session
        ) as second:
            second.sendall(message("/"))
            second.recv(65536)
            assert second.session_reused
        with pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(
                socket.create_connection(live.address), server_hostname="one.example"
            )
        with socket.create_connection(live.address) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            plain.recv(65536)
        scrapes.wait(2, "tricorn_tls_handshakes_total", kind="failed")
        assert scrapes.value("tricorn_tls_handshakes_total", kind="full") == 1
        assert scrapes.value("tricorn_tls_handshakes_total", kind="resumed") == 1
