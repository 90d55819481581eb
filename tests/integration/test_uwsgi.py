"""The uwsgi protocol in the life of a server: binds, TLS, time limits, drains, reloads, logs, WebSockets.

What is said by it: tests/conformance/test_uwsgi.py. By nginx: tests/deploy/test_uwsgi.py.
"""

from __future__ import annotations

import ast
import signal
import socket
from pathlib import Path

import pytest
from harness import tls
from harness.axes import ONE_OF_EACH
from harness.client import Client
from harness.packets import packet, said
from harness.server import wait_for
from harness.websocket import Socket
from integration.answering import write_site
from integration.live import Live, Load, entered, message
from integration.test_time_limits import LIMIT, closed_after_408, limited, trickle
from metrics.scraping import Scrapes, counting

WIRE = "uwsgi"
one_of_each = pytest.mark.parametrize("kind", ONE_OF_EACH)


def ask(address: object, path: bytes, **changed: bytes | None) -> Client:
    client = Client(address, timeout=10)
    client.send(packet(said(path, **changed)))
    return client


# -- where it is spoken


class Both(Live):
    """At one address HTTP, at another one packets."""

    def __init__(self, kind: str, *options: str, wire: str = "plain") -> None:
        self.packets = socket.create_server(("127.0.0.1", 0))
        scheme = "uwsgi" if wire == "plain" else "suwsgi"
        bind = f"{scheme}://fd://{self.packets.fileno()}"
        super().__init__("echo:app", "--bind", bind, *options, kind=kind, wire=wire, ready="/seen")
        self.pass_fds = (self.packets.fileno(),)

    @property
    def packet_address(self) -> tuple[str, int]:
        host, port = self.packets.getsockname()
        return host, port

    def kill(self) -> None:
        super().kill()
        self.packets.close()


@one_of_each
def test_a_bind_of_each(kind: str) -> None:
    with Both(kind) as live:
        host, port = live.packet_address
        told = live.log()
        assert f"Listening at http://{live.address[0]}:{live.address[1]}\n" in told.replace(
            " (http/1.1, h2c)", ""
        )
        assert f"Listening at uwsgi://{host}:{port}\n" in told
        with ask(live.packet_address, b"/x", REMOTE_USER=b"amy") as client:
            assert client.response().status == 200
        assert live.request("/y").status == 200
        assert [entry["path"] for entry in live.seen()] == ["/x", "/y"]


@one_of_each
def test_the_protocol_of_all_that_do_not_say(kind: str, tmp_path: Path) -> None:
    """A setting of Gunicorn's. A scheme says it for one address."""
    path = tmp_path / "http.sock"
    options = ("--protocol=uwsgi", "--bind", f"http://unix:{path}")
    with Live("echo:app", *options, kind=kind, wire=WIRE, ready="/seen") as live:
        assert f"Listening at unix:{path}\n" in live.log()
        with Client(str(path)) as client:
            client.send(message("/x"))
            assert client.response().status == 200
        assert [entry["path"] for entry in live.seen()] == ["/x"]


class Plainly(Live):
    """The same address, without a scheme."""

    @property
    def command(self) -> list[str]:
        return [word.replace("uwsgi://fd", "fd") for word in super().command]


@one_of_each
def test_the_setting_alone(kind: str) -> None:
    with Plainly("echo:app", "--protocol", "uwsgi", kind=kind, wire=WIRE, ready="/seen") as live:
        assert "Listening at uwsgi://127.0.0.1" in live.log()
        assert live.request("/x").status == 200


@one_of_each
def test_a_unix_socket(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with Live("echo:app", "--bind", f"uwsgi://unix:{path}", kind=kind, wire="plain", ready="/seen") as live:
        assert f"Listening at uwsgi://unix:{path}\n" in live.log()
        with ask(str(path), b"/x") as client:
            assert client.response().status == 200
        (entry,) = live.seen()
        assert entry["environ"]["REMOTE_ADDR"] == "192.0.2.7"


@one_of_each
def test_over_tls(kind: str) -> None:
    """nginx's suwsgi. Of the TLS between us applications are told nothing: it is not their client's."""
    with Both(kind, wire="tls") as live:
        host, port = live.packet_address
        assert f"Listening at suwsgi://{host}:{port}\n" in live.log()
        for scheme in (b"http", b"https"):
            with Client(live.packet_address, wrap=tls.wrap, timeout=10) as client:
                client.send(packet(said(b"/x", REQUEST_SCHEME=scheme)))
                assert client.response().status == 200
            (entry,) = live.seen()
            assert entry["environ"]["wsgi.url_scheme"] == scheme.decode()
            assert "SSL_PROTOCOL" not in entry["environ"]


def test_http_2_is_not_spoken_there() -> None:
    """Although the same certificate is for clients that speak it elsewhere."""
    with (
        Both("sync", "--http-protocols=h2,h1", wire="tls") as live,
        socket.create_connection(live.packet_address, 10) as raw,
        tls.client_context("h2").wrap_socket(raw, server_hostname=tls.NAME) as secured,
    ):
        assert secured.selected_alpn_protocol() == "h2"
        secured.sendall(packet(said(b"/x")))
        assert secured.recv(12) == b"HTTP/1.1 200"


# -- scopes


@pytest.mark.parametrize("offered", [True, False])
def test_a_scope(tmp_path: Path, offered: bool) -> None:
    source = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    text = repr({name: scope[name] for name in scope if name not in ("state",)})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
"""
    (tmp_path / "scopes.py").write_text(source)
    options = () if offered else ("--asgi-extensions=http.response.early_hint",)
    with Live("scopes:app", *options, kind="asgi", wire=WIRE, chdir=tmp_path) as live:
        told = said(
            b"/app/%C3%A9?q",
            (b"a", b"b"),
            SCRIPT_NAME=b"/app",
            PATH_INFO=b"/\xc3\xa9",
            HTTPS=b"on",
            REMOTE_USER=b"amy",
        )
        with Client(live.address) as client:
            client.send(packet(told))
            scope = ast.literal_eval(client.response().body.decode())
    assert scope["http_version"] == "1.1"
    assert scope["scheme"] == "https"
    assert scope["client"] == ("192.0.2.7", 4711)
    assert scope["server"] == ("a.example", 80)
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/app", "/app/é", b"/app/%C3%A9")
    assert scope["query_string"] == b"q"
    assert scope["headers"] == [(b"host", b"a.example"), (b"a", b"b")]
    assert "http.response.early_hint" not in scope["extensions"]
    if offered:
        variables = scope["extensions"]["tricorn.uwsgi"]
        assert variables["REMOTE_USER"] == "amy"
        assert variables["DOCUMENT_ROOT"] == "/usr/share/nginx/html"
        assert not any(name.startswith("HTTP_") for name in variables)
    else:
        assert "tricorn.uwsgi" not in scope["extensions"]


def test_a_websocket() -> None:
    """nginx passes on the handshake as it passes on other fields, and the frames as they come."""
    with Live("asgi_sockets:app", kind="asgi", wire=WIRE, ready="/none") as live:
        with Socket(live, "/scope") as client:
            scope = ast.literal_eval(str(client.message()))
            assert client.closed_with() == 1000
        with Socket(live, "/echo") as client:
            client.text("é" * 70_000)
            assert client.message() == "é" * 70_000
            client.close()
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "ws"
    assert scope["client"] == ("192.0.2.7", 4711)
    assert scope["extensions"]["tricorn.uwsgi"]["SERVER_NAME"] == "a.example"


def test_tornado() -> None:
    with Live("tornado_site:app", kind="tornado", wire=WIRE) as live:
        with ask(live.address, b"/request?a", HTTPS=b"on") as client:
            response = client.response()
        assert response.status == 200
        told = response.body.decode()
        assert "192.0.2.7" in told
        assert "https" in told


# -- limits, logs, probes


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (packet(said())[:2], 408),
        (packet(said())[:-1], 408),
        (packet(said(method=b"POST", body=b"hello"), b"hel"), 408),
    ],
    ids=["its header", "a packet", "a body"],
)
@one_of_each
def test_a_gateway_that_stalls(data: bytes, status: int, kind: str) -> None:
    options = (f"--header-timeout={LIMIT}", f"--body-timeout={LIMIT}", "--min-body-rate=0")
    with (
        Live("echo:app", *options, kind=kind, wire=WIRE, ready="/seen") as live,
        Client(live.address) as client,
    ):
        client.send(data)

        def answered() -> None:
            assert client.response().status == status
            client.wait_closed()

        limited(answered)


@one_of_each
def test_a_packet_that_trickles(kind: str) -> None:
    """The limit counts from the first byte; more bytes do not put it off."""
    with (
        Live("echo:app", f"--header-timeout={LIMIT}", kind=kind, wire=WIRE, ready="/seen") as live,
        Client(live.address) as client,
    ):

        def send_slowly() -> None:
            trickle(client, packet([*said(), (b"X", b"x" * 10_000)]), every=0.02)
            closed_after_408(client)

        limited(send_slowly)
        assert live.seen() == []


@one_of_each
def test_a_gateway_that_says_nothing(kind: str) -> None:
    options = (f"--header-timeout={LIMIT}",)
    with (
        Live("echo:app", *options, kind=kind, wire=WIRE, ready="/seen") as live,
        Client(live.address) as client,
    ):
        limited(client.wait_closed)


@one_of_each
def test_a_request_that_takes_too_long(kind: str, tmp_path: Path) -> None:
    with (
        Live("life:app", "--request-timeout=0.3", kind=kind, wire=WIRE) as live,
        ask(live.address, b"/block?%b" % bytes(tmp_path / "gate")) as client,
    ):
        assert client.response().status == 504
        client.wait_closed()


@one_of_each
def test_a_probe_and_the_access_log(kind: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    options = ("--ready-path=/readyz", "--access-logfile", str(log))
    with Live("life:app", *options, kind=kind, wire=WIRE) as live:
        with ask(live.address, b"/readyz") as client:
            assert client.response().body.startswith(b"ready")
        with ask(live.address, b"/x", SERVER_PROTOCOL=b"HTTP/2.0") as client:
            assert client.response().status == 200
        wait_for(lambda: "/x" in log.read_text(), "it is logged")
        (line,) = [line for line in log.read_text().splitlines() if "/x" in line]
        assert line.startswith("192.0.2.7 ")
        assert '"GET /x HTTP/2.0" 200' in line


#: What comes → what it counts as: method, class of the status, error.
COUNTED: list[tuple[bytes, str, str, str]] = [
    (packet(said()), "GET", "2xx", ""),
    (packet(said(b"/status/404", method=b"DELETE")), "DELETE", "4xx", ""),
    (packet(said(b"/raise", method=b"PATCH")), "PATCH", "5xx", "application"),
    (packet(said(method=b"POST", body=b"x" * 1000), b"x" * 1000), "POST", "2xx", ""),
    (packet(said(REQUEST_METHOD=None)), "", "", "bad_request"),
    (packet(said(), modifier1=7), "", "", "bad_request"),
    (packet(said(b"/" + b"x" * 9000)), "", "", "too_large"),
    (packet(said())[:-1], "", "", "client_timeout"),
]


@one_of_each
def test_what_is_counted(kind: str, tmp_path: Path) -> None:
    with counting(tmp_path, f"--header-timeout={LIMIT}", kind=kind, wire=WIRE) as live:
        scrapes = Scrapes(tmp_path)
        scrapes.mark()
        for data, *_ in COUNTED:
            with Client(live.address, timeout=10) as client:
                client.send(data)
                client.read_to_end()
        served = [(method, status) for _, method, status, _ in COUNTED if method]
        errors = [error for *_, error in COUNTED if error]
        scrapes.wait(len(errors), "tricorn_errors_total")
        scrapes.wait(len(served), "tricorn_requests_total")
        for method, status in served:
            assert scrapes.value("tricorn_requests_total", method=method, status=status) == 1, method
        for error in errors:
            assert scrapes.value("tricorn_errors_total", kind=error) == errors.count(error), error
        assert scrapes.value("tricorn_connections_total") == len(COUNTED)
        assert scrapes.value("tricorn_received_bytes_total") == sum(len(data) for data, *_ in COUNTED)


def test_pages_are_warmed_up_where_no_http_is_spoken(tmp_path: Path) -> None:
    write_site(tmp_path, "def answer(path):\n    return path\n", "sync")
    with Live("site_app:app", "--warmup=/warm", wire=WIRE, chdir=tmp_path) as live:
        assert live.request("/x").body == b"/x"


# -- ends and reloads


@one_of_each
def test_a_stop_waits_for_what_runs(kind: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with (
        Live("life:app", kind=kind, wire=WIRE) as live,
        ask(live.address, b"/block?%b" % bytes(gate)) as client,
    ):
        entered(gate)
        live.signal(signal.SIGTERM)
        live.wait_log("stopping")
        gate.touch()
        assert client.response().body == b"released"
        client.wait_closed()
        assert live.wait_exit() == 0


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_nothing_is_lost_in_a_reload(kind: str) -> None:
    with Live("life:app", kind=kind, wire=WIRE, workers=2) as live:
        with Load(live, clients=3) as load:
            load.wait_served(50)
            live.signal(signal.SIGHUP)
            live.wait_log("is ready", times=4)
            load.wait_served(50)
        load.check()
        assert load.resent == 0


@one_of_each
def test_workers_are_recycled(kind: str) -> None:
    with Live("life:app", "--max-requests=20", kind=kind, wire=WIRE) as live:
        with Load(live, clients=2) as load:
            live.wait_log("is ready", times=3)
        load.check()
        assert len(load.bodies) >= 2
