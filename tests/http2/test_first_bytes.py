"""RFC 9113 §3: which protocol it is. One port speaks both; the first bytes, or ALPN, tell."""

from __future__ import annotations

import os
import socket
import ssl

import pytest
from harness import tls
from harness.axes import ONE_OF_EACH, WIRES
from harness.client import Client
from harness.http2 import frames
from harness.http2.connection import Connection
from harness.http2.frames import PREFACE, Code, Setting
from harness.server import Server, Servers
from http2.cases import EITHER_KIND, GET, opened
from integration.live import Live

REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
BEGIN = PREFACE + frames.settings()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_server_says_its_settings_first(server: Server) -> None:
    """§3.4. The client is strict about what comes first."""
    with opened(server) as connection:
        connection.handshake()
        said = connection.strict.settings
        assert said.get(Setting.ENABLE_PUSH, 0) == 0
        assert 100 <= said[Setting.MAX_CONCURRENT_STREAMS] <= 1000
        assert said.get(Setting.MAX_HEADER_LIST_SIZE, 0) > 0, "it has a limit, so it should tell"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_client_need_not_wait_for_them(server: Server) -> None:
    """§3.4: requests may follow at once, in the same packet."""
    with opened(server, begins=False) as connection:
        connection.send(b"")
        connection.has_begun = True
        connection._sendall(PREFACE)
        connection.send(frames.settings() + GET)
        assert connection.answer(1).status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_preface_in_every_cut(server: Server) -> None:
    for cut in range(1, len(BEGIN)):
        with opened(server, begins=False) as connection:
            connection.strict.sends(frames.settings())
            connection.has_begun = True
            connection._sendall(BEGIN[:cut])
            os.sched_yield()  # let the server see it in two pieces, at no cost in time
            connection._sendall(BEGIN[cut:])
            assert connection.get("/").status == 200, f"cut behind {cut} bytes"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_both_protocols_on_one_port(server: Server) -> None:
    with opened(server) as connection, server.connect_http1() as client:
        for _ in range(3):
            assert connection.get("/").status == 200
            client.send(REQUEST)
            assert client.response().status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(
    "first",
    [
        frames.ping(),
        GET,
        frames.SETTINGS_ACK,
        frames.window_update(0, 1),
        frames.goaway(),
        frames.frame(0x99),
    ],
    ids=["PING", "HEADERS", "SETTINGS with ACK", "WINDOW_UPDATE", "GOAWAY", "unknown"],
)
def test_something_else_than_settings_comes_first(server: Server, first: bytes) -> None:
    """§3.4: a connection error of type PROTOCOL_ERROR."""
    with opened(server, begins=False) as connection:
        connection.has_begun = True
        connection._sendall(PREFACE)
        connection.send(first)
        connection.wait_closed()
        goaway = connection.strict.goaway
        assert goaway is None or goaway[1] == Code.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(
    "wrong",
    [
        PREFACE[:-1] + b"x",
        PREFACE[:18] + b"XX\r\n\r\n",
        b"PRI / HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n",
    ],
)
def test_a_preface_that_is_none(server: Server, wrong: bytes) -> None:
    """§3.4: it is ended, with GOAWAY or in the words of HTTP/1, and nothing of it is a request."""
    server.seen()
    with server.connect_http1() as client:
        client.send(wrong + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        received = client.read_to_end()
        assert received == b"" or received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 ", b"\0\0")), received
    assert server.seen() == []


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_an_upgrade_is_ignored(server: Server) -> None:
    """§3.1: h2c by Upgrade is gone."""
    with server.connect_http1() as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        assert client.response().status == 200
        client.send(REQUEST)
        assert client.response().status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_preface_behind_a_request_of_http_1_is_none(server: Server) -> None:
    """Which protocol it is is said once."""
    with server.connect_http1() as client:
        client.send(REQUEST + BEGIN)
        assert client.response().status == 200
        assert client.response().status in {400, 505}
        client.wait_closed()


# -- TLS


def context_of(*protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(tls.AUTHORITY))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@pytest.fixture
def secured(running_servers: Servers, kind: str) -> Server:
    return running_servers.on("h2").get(kind=kind)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("h2",), "h2"),
        (("h2", "http/1.1"), "h2"),
        (("http/1.1", "h2"), None),
        (("http/1.1",), "http/1.1"),
        ((), None),
    ],
)
def test_alpn(secured: Server, offered: tuple[str, ...], chosen: str | None) -> None:
    """RFC 9113 §3.2, RFC 7301. The server's order counts; without ALPN it is HTTP/1."""
    with socket.create_connection(secured.address) as raw:
        raw.settimeout(4)
        it = tls.TLSSocket(raw, context_of(*offered))
        it.handshake()
        selected = it.tls.selected_alpn_protocol()
        assert selected == chosen or (chosen is None and (not offered or selected in offered)), selected
        if selected == "h2":
            with Connection(it, scheme="https") as connection:
                assert connection.get("/").status == 200
        else:
            it.sendall(REQUEST)
            assert it.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_http_1_on_a_connection_that_said_h2(secured: Server) -> None:
    """It has agreed to HTTP/2."""
    client = Client(secured.address, wrap=lambda raw: tls.TLSSocket(raw, context_of("h2")))
    with client:
        client.send(REQUEST)
        try:
            received = client.read_to_end()
        except tls.TruncatedError:
            return
        assert not received.startswith(b"HTTP/1.1 200"), received


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_tls_1_2(secured: Server) -> None:
    """RFC 9113 §9.2.2: with a suite that is not on the list of Appendix A."""
    context = context_of("h2")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(secured.address) as raw:
        raw.settimeout(4)
        it = tls.TLSSocket(raw, context)
        with Connection(it, scheme="https") as connection:
            assert connection.get("/").status == 200
            cipher = it.tls.cipher()
            assert cipher is not None
            assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_frames_in_records_of_every_size(secured: Server) -> None:
    """A record may hold a part of a frame, or several frames."""
    for size in (1, 9, 10, 100):
        with opened(secured) as connection:
            connection.cut = lambda data, size=size: [
                data[at : at + size] for at in range(0, len(data), size)
            ]
            assert connection.get("/", method="POST", body=b"b" * 300).status == 200


# -- what is there when the settings say nothing


@pytest.mark.parametrize("kind", EITHER_KIND)
def test_by_default_with_tls(kind: str) -> None:
    with Live("echo:app", kind=kind, wire="tls") as server:
        with opened(server.over(WIRES["h2"])) as connection:
            assert connection.get("/").status == 200
        with server.connect() as client:
            client.send(REQUEST)
            assert client.response().status == 200
        assert "(h2, http/1.1)" in server.log()


@pytest.mark.parametrize("kind", EITHER_KIND)
def test_by_default_in_clear_text(kind: str) -> None:
    """From this machine, whomever else the settings trust."""
    with Live("echo:app", "--forwarded-allow-ips=192.0.2.1", kind=kind) as server:
        with opened(server.over(WIRES["h2c"])) as connection:
            assert connection.get("/").status == 200
        with server.connect(source="127.0.0.9") as client:
            client.send(REQUEST)
            assert client.response().status == 200


# -- who may speak HTTP/2 in clear text


@pytest.mark.parametrize("kind", EITHER_KIND)
def test_a_unix_socket(running_servers: Servers, kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("unix") / "socket")
    server = running_servers.on("h2c").get(kind=kind, address=path)
    with opened(server) as connection:
        assert connection.get("/").status == 200


@pytest.mark.parametrize("kind", EITHER_KIND)
@pytest.mark.parametrize(
    ("peer", "may"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("128.0.0.1", False),
        ("2001:db8::1", False),
    ],
)
def test_this_machine_and_trusted_peers_alone(
    running_servers: Servers, kind: str, peer: str, may: bool
) -> None:
    """To others it is a request of a version that is not known, and nothing of it reaches the application.
    A PROXY header says where each comes from."""
    options = ("--http2-cleartext=prior-knowledge", "--forwarded-allow-ips=192.0.2.1", "--proxy-protocol")
    server = running_servers.on("h2c").get(*options, kind=kind, preamble=b"PROXY UNKNOWN\r\n")
    server.seen()
    family, own = ("TCP6", "::1") if ":" in peer else ("TCP4", "127.0.0.1")
    with server.connect_http1() as client:
        client.send(f"PROXY {family} {peer} {own} 5 6\r\n".encode())
        if may:
            with Connection(client.socket) as connection:
                assert connection.get("/").status == 200
        else:
            client.send(BEGIN + GET)
            assert client.response("PRI").status == 505
            client.wait_closed()
    assert len(server.seen()) == may


@pytest.mark.parametrize("kind", EITHER_KIND)
@pytest.mark.parametrize("option", ["--http-protocols=h1", "--http2-cleartext=off"])
def test_http_protocols_may_say_no(running_servers: Servers, kind: str, option: str) -> None:
    """As to a server that does not know it: 505, in the words of HTTP/1."""
    server = running_servers.get(option, kind=kind)
    with server.connect_http1() as client:
        client.send(BEGIN)
        assert client.response("PRI").status in {400, 505}
        client.wait_closed()
