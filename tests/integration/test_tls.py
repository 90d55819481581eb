"""TLS on real sockets: who gets in, what ends a handshake, what an application is told, how it ends.

What HTTP and WebSocket do over TLS is the business of the other tests, which run on the wire "tls"
(tests/harness/axes.py). The client is strict: an end without close_notify is a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.axes import KINDS_OF, ONE_OF_EACH
from harness.client import Client
from harness.server import Server, Servers, _listen, frozen, wait_for
from harness.tls import AUTHORITY, CERTIFICATE, NAME, TLSSocket
from integration.asgi import worker_of
from integration.live import Live, Load, entered, message
from integration.tls_site import (
    busy_seconds,
    connect,
    hello,
    lets_all_go,
    new_keys,
    only,
    plain,
    resident,
    told,
)
from tls.authority import Authority, Issued, need_openssl
from websockets.asyncio.client import connect as connect_socket

LIMIT = 0.8  # the header_timeout of most servers here
LATE = 3.0
APP = "secured:app"
TERM, HUP = signal.SIGTERM, signal.SIGHUP
V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

each_interface = pytest.mark.parametrize("kind", ONE_OF_EACH)
each_version = pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])


@pytest.fixture
def server(running_servers: Servers, kind: str) -> Server:
    return running_servers.on("tls").get(f"--header-timeout={LIMIT}", app=APP, kind=kind)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    need_openssl()
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def home(authority: Authority) -> Issued:
    return authority.issue("site.test")


@pytest.fixture(scope="module")
def shop(authority: Authority) -> Issued:
    return authority.issue("shop.test", "*.shop.test")


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 MB in which no two pages are the same."""
    path = tmp_path_factory.mktemp("files") / "big"
    path.write_bytes(
        b"".join(hashlib.sha512(number.to_bytes(4)).digest() for number in range(10_000_000 // 64))
    )
    return path


@contextlib.contextmanager
def unharmed(server: Server) -> Iterator[None]:
    """Nothing in the log that speaks of a fault of ours, and the same worker answers."""
    server.seen()
    mark = server.log_mark()
    yield
    server.seen()
    assert "Traceback" not in server.log(mark)
    assert "nternal error" not in server.log(mark)


# -- those who speak something else


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "M-SEARCH"]
)
def test_plain_http_on_a_tls_port_is_told_so(server: Server, method: str) -> None:
    mark = server.log_mark()
    with unharmed(server), plain(server) as client:
        client.send(message("/", method=method))
        response = client.response()
        assert (response.status, response.connection) == (400, {"close"})
        assert b"https://" in response.body
        client.wait_closed()
    assert "its TLS handshake failed: it speaks plain HTTP" in server.log(mark)


@pytest.mark.parametrize("cut", [1, 2, 6, 100])
def test_tls_on_a_plain_port_is_said_in_the_log(running_servers: Servers, kind: str, cut: int) -> None:
    server = running_servers.on("plain").get(app=APP, kind=kind)
    mark = server.log_mark()
    with unharmed(server), plain(server) as client:
        client.send(hello()[:cut])
        response = client.response()
        assert (response.status, response.connection) == (400, {"close"})
        client.wait_closed()
    lines = [line for line in server.log(mark).splitlines() if "127.0.0.1" in line]
    assert len(lines) == 1
    assert "the client speaks TLS" in lines[0]


GARBAGE = {
    "zeros": b"\0" * 64,
    "words": b"EHLO mail.example\r\n",
    "an ssl 2 hello": b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + b"\0" * 37,
    "a record that is too long": b"\x16\x03\x01\xff\xff" + b"\x01" * 200,
    "an empty record": b"\x16\x03\x01\x00\x00",
    "data before a handshake": b"\x17\x03\x03\x00\x10" + b"d" * 16,
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "a hello of nonsense": b"\x16\x03\x01\x00\x2a\x01\x00\x00\x26" + b"\xa5" * 38,
    "a message of 16 MB": b"\x16\x03\x01\x00\x10\x01\xff\xff\xff" + b"m" * 12,
    "a finished message first": b"\x16\x03\x03\x00\x10\x14\x00\x00\x0c" + b"f" * 12,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_ends_in_time(server: Server, garbage: bytes) -> None:
    start = time.monotonic()
    with unharmed(server), plain(server) as client:
        client.send(garbage)
        answer = client.read_to_end()
        assert len(answer) < 20 or answer.startswith(b"HTTP/1.1 400 ")  # an alert; letters may be HTTP
        assert time.monotonic() - start < LIMIT + LATE


# -- those who do not come to an end


@pytest.mark.parametrize("part", [0, 1, 5, 60])
def test_a_stalled_handshake_ends_in_time(server: Server, part: int) -> None:
    with unharmed(server), plain(server) as client:
        start = time.monotonic()
        client.send(hello()[:part])
        assert len(client.read_to_end()) < 20
        assert LIMIT - 0.05 < time.monotonic() - start < LIMIT + LATE


def test_a_client_that_says_nothing_behind_our_flight_ends_in_time(server: Server) -> None:
    with unharmed(server), plain(server) as client:
        start = time.monotonic()
        client.send(hello())
        assert len(client.read_to_end()) > 500
        assert LIMIT - 0.05 < time.monotonic() - start < LIMIT + LATE


def test_a_trickled_handshake_ends_in_time(server: Server) -> None:
    with unharmed(server), plain(server) as client:
        start = time.monotonic()
        for byte in hello():
            if not client.send(bytes([byte])) or not client.is_quiet(0.02):
                break
        client.read_to_end()
        assert LIMIT - 0.05 < time.monotonic() - start < LIMIT + LATE


def test_a_handshake_and_a_head_have_one_limit_together(server: Server) -> None:
    with unharmed(server), connect(server) as client:
        start = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\n")
        assert client.response().status == 408
        client.wait_closed()
        assert LIMIT - 0.05 < time.monotonic() - start < LIMIT + LATE


@pytest.mark.parametrize("kind", [*ONE_OF_EACH, "gevent"])
def test_a_limit_does_not_count_while_nobody_looks(running_servers: Servers, kind: str) -> None:
    """A worker stands still, as one whose application blocks its loop or holds the GIL. A client whose hello
    waits for it cannot go on meanwhile; afterwards it has the time that it had."""
    server = running_servers.on("tls").get(f"--header-timeout={LIMIT}", app=APP, kind=kind)
    with unharmed(server), plain(server) as raw:
        pid = worker_of(server)  # the connection came before that, and was accepted
        with frozen(pid):
            it = TLSSocket(raw.socket)
            time.sleep(1.5 * LIMIT)
        wait_for(lambda: select.select([raw.socket], [], [], 0)[0], "the server's part of the handshake")
        time.sleep(0.3 * LIMIT)  # the client is far away
        it.sendall(message("/"))
        assert it.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_handshake_that_has_begun_is_finished_in_a_drain(kind: str) -> None:
    """Its client is far away, and has been let in; whoever has said nothing is not waited for."""
    with Live(APP, kind=kind, wire="tls") as live:
        (worker,) = live.workers()
        silent = Client(live.address, timeout=10)
        raw = Client(live.address, timeout=10)
        slow = TLSSocket(raw.raw)
        wait_for(lambda: select.select([raw.raw], [], [], 0)[0], "the server's part of the handshake")
        live.signal(signal.SIGHUP)
        silent.wait_closed()  # after the second that it has
        assert worker in live.workers()
        slow.sendall(message("/"))
        assert slow.recv(12) == b"HTTP/1.1 200"
        slow.close()
        wait_for(lambda: worker not in live.workers(), "the worker's end")
        live.stop()


@each_interface
def test_stalled_handshakes_take_no_thread_and_little_memory(kind: str) -> None:
    """300 of them, at one worker with as few threads as it can have."""
    count, most = 300, 96 * 1024
    options = ("--header-timeout=30", "--threads=1") if kind != "asgi" else ("--header-timeout=30",)
    with Live(APP, *options, kind=kind, wire="tls") as live:
        pid = live.workers()[0]
        first = hello()

        def crowd() -> None:
            with contextlib.ExitStack() as stalled:
                before = resident(pid)
                for number in range(count):
                    client = stalled.enter_context(plain(live))
                    client.send(first if number % 2 else first[:50])
                for _ in range(5):
                    assert live.request("/").status == 200
                assert (resident(pid) - before) / count < most
            assert live.request("/").status == 200

        lets_all_go(pid, crowd)
        live.stop()


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
def test_an_early_end_in_each_phase_of_a_handshake(server: Server, reset: bool) -> None:
    """Behind each part of the client's flights; the socket ends, or is reset."""
    first = hello()

    def leave(client: Client) -> None:
        if reset:
            client.abort()
        else:
            client.close()

    def come_and_go() -> None:
        for part in (0, 1, 5, 6, 100, len(first) - 1, len(first)):
            client = plain(server)
            client.send(first[:part])
            leave(client)
        client = plain(server)  # … when ours is under way
        client.send(first)
        assert client.more()
        leave(client)
        for part in (1, 6, 40):
            client = plain(server)
            finishing(client, part)
            leave(client)
        client = connect(server)
        client.socket.handshake()
        leave(client)

    with unharmed(server):
        lets_all_go(server.worker_pid or 0, come_and_go)


def finishing(client: Client, part: int) -> None:
    """Send so much of what finishes the handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.send(outgoing.read())
            assert client.more()
            incoming.write(client.buffer)
            client.buffer = b""
    client.send(outgoing.read()[:part])


@pytest.mark.slow
@each_interface
def test_a_stalled_handshake_does_not_hold_up_a_stop(kind: str) -> None:
    with Live(APP, "--header-timeout=60", kind=kind, wire="tls") as live, plain(live) as client:
        client.send(hello()[:60])
        assert live.request("/").status == 200
        start = time.monotonic()
        live.stop()
        assert time.monotonic() - start < 5
        client.read_to_end()


# -- what comes in front of TLS, and where it is spoken


V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(
    "!H4s4sHH", 12, b"\xcb\x00\x71\x07", b"\xc6\x33\x64\x01", 4711, 443
)


class Proxy(TLSSocket):
    """A header first, and all that is sent in one of several ways."""

    def __init__(self, raw: socket.socket, header: bytes, delivery: str) -> None:
        self.header, self.delivery = header, delivery
        super().__init__(raw)

    def _push(self, end: float | None = None) -> None:
        self._unsent = self.header + self._unsent + self._outgoing.read()
        if self.header and self.delivery == "apart":
            self.raw.sendall(self.header)
            time.sleep(0.05)
            self._unsent = self._unsent[len(self.header) :]
        self.header = b""
        while self.delivery == "bytes" and self._unsent:
            self.raw.sendall(self._unsent[:1])
            self._unsent = self._unsent[1:]
        super()._push(end)


@pytest.fixture(scope="module")
def proxied() -> Iterator[Callable[[str], Server]]:
    """Servers behind a proxy, by their kind."""
    running: dict[str, Live] = {}

    def get(kind: str) -> Server:
        if kind not in running:
            live = Live(APP, "--proxy-protocol=auto", f"--header-timeout={LIMIT}", kind=kind, wire="tls")
            running[kind] = live
            live.start(wait=False)
            live.wait_log("is ready")
        return running[kind]

    yield get
    for live in running.values():
        live.stop()


@pytest.mark.parametrize("delivery", ["at once", "apart", "bytes"])
@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_proxy_header_comes_before_tls(
    kind: str, proxied: Callable[[str], Server], header: bytes, delivery: str
) -> None:
    with Client(proxied(kind).address, wrap=lambda raw: Proxy(raw, header, delivery)) as client:
        for _ in range(2):
            about = told(client)
            assert about["peer"] == ["203.0.113.7", "4711"]
            assert about["scheme"] == "https"


def test_what_is_no_handshake_behind_a_proxy_header(kind: str, proxied: Callable[[str], Server]) -> None:
    server = proxied(kind)
    mark = server.log_mark()
    with plain(server) as client:
        start = time.monotonic()
        client.send(V1 + hello()[:20])
        client.read_to_end()
        assert LIMIT - 0.05 < time.monotonic() - start < LIMIT + LATE
    with plain(server) as client:
        client.send(V1 + message("/"))
        assert client.response().status == 400
        client.wait_closed()
    assert "Refused a request from 203.0.113.7: its TLS handshake failed: it speaks plain HTTP" in server.log(
        mark
    )


@each_interface
def test_a_unix_socket_with_tls(kind: str, tmp_path: Path) -> None:
    server = Server(APP, ("--workers=1",), kind=kind, wire="tls", address=str(tmp_path / "socket")).start()
    try:
        with server.connect() as client:
            assert told(client)["scheme"] == "https"
        server.stop()
    finally:
        server.kill()


@each_interface
def test_tls_and_plain_sockets_beside_each_other(kind: str) -> None:
    other = _listen(("127.0.0.1", 0))
    live = Live(APP, "--bind", f"http://fd://{other.fileno()}", kind=kind, wire="tls")
    live.pass_fds = (other.fileno(),)
    with other, live:
        with live.connect() as client, Client(other.getsockname()) as bare:
            for _ in range(2):
                assert told(client)["scheme"] == "https"
                assert told(bare)["scheme"] == "http"
            assert not told(bare)["tls"]
        live.stop()


# -- what an application is told


def test_the_scheme_is_https(server: Server, kind: str) -> None:
    with server.connect() as client:
        about = told(client)
    assert about["scheme"] == "https"
    if kind in KINDS_OF["wsgi"]:
        assert about["tls"] == {}  # nobody was asked for a certificate
    else:
        assert about["tls"]["server_cert"] in CERTIFICATE.read_text()
        assert about["tls"]["tls_version"] == 0x0304
        assert about["tls"]["cipher_suite"] in {0x1301, 0x1302, 0x1303}
        assert about["tls"]["client_cert_chain"] == []
        assert about["tls"]["client_cert_name"] is None
        assert about["tls"]["client_cert_error"] is None


def test_an_application_cannot_spoil_it_for_the_next_request(
    secured_by_client: Live, known: ssl.SSLContext
) -> None:
    with connect(secured_by_client, known, "site.test") as client:
        first = told(client, "/spoil")
        assert told(client) == first


def test_a_websocket_is_wss(running_servers: Servers) -> None:
    server = running_servers.on("tls").get(f"--header-timeout={LIMIT}", app=APP, kind="asgi")
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    uri = f"wss://{NAME}:{server.address[1]}/"

    async def visit() -> None:
        raw = socket.create_connection(server.address)
        async with connect_socket(uri, ssl=context, sock=raw, proxy=None) as web:
            about = json.loads(await web.recv())
            assert about["scheme"] == "wss"
            assert about["tls"]["tls_version"] == 0x0304
            for size in (0, 1, 16384, 1_000_000):
                data = bytes(size)
                await web.send(data)
                assert await web.recv() == data
        assert web.close_code == 1000

    asyncio.run(visit())


@pytest.fixture(scope="module")
def ada(authority: Authority) -> Issued:
    return authority.issue(
        subject="/C=GB/O=Engines/CN=Ada", extensions=["extendedKeyUsage=clientAuth"], serial="0x1234"
    )


@pytest.fixture
def known(authority: Authority, ada: Issued) -> ssl.SSLContext:
    return authority.client(ada)


@pytest.fixture(params=["optional", "required"])
def asked(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def secured_by_client(kind: str, asked: str, authority: Authority, home: Issued) -> Iterator[Live]:
    options = (
        *("--certfile", str(home.certfile), "--keyfile", str(home.keyfile)),
        *("--ca-certs", str(authority.certfile), "--cert-reqs", asked),
    )
    live = Live(APP, *options, kind=kind, wire="tls")
    live.start(wait=False)
    try:
        yield live
        live.stop()
    finally:
        live.kill()


@each_version
def test_client_certificates(
    secured_by_client: Live, kind: str, asked: str, authority: Authority, ada: Issued,
    version: ssl.TLSVersion, tmp_path: Path,
) -> None:  # fmt: skip
    live = secured_by_client
    with connect(live, only(version, authority.client(ada)), "site.test") as client:
        for about in (told(client), told(client)):
            if kind in KINDS_OF["wsgi"]:
                assert about["tls"]["SSL_CLIENT_VERIFY"] == "SUCCESS"
                assert about["tls"]["SSL_CLIENT_S_DN"] == "CN=Ada,O=Engines,C=GB"
                assert about["tls"]["SSL_CLIENT_M_SERIAL"] == "1234"
                assert about["tls"]["SSL_CLIENT_CERT"] in ada.pem
            else:
                assert about["tls"]["client_cert_name"] == "CN=Ada,O=Engines,C=GB"
                assert about["tls"]["client_cert_chain"][0] in ada.pem
                assert about["tls"]["tls_version"] == int(version)
    # Somebody else's authority.
    stranger = Authority(tmp_path, "Strangers").issue(subject="/CN=Eve")
    refused(live, only(version, authority.client(stranger)))
    nobody = only(version, authority.client())
    if asked == "required":
        refused(live, nobody)
        return
    with connect(live, nobody, "site.test") as client:
        about = told(client)
        if kind in KINDS_OF["wsgi"]:
            assert about["tls"] == {"SSL_CLIENT_VERIFY": "NONE"}
        else:
            assert about["tls"]["client_cert_chain"] == []


def refused(live: Live, context: ssl.SSLContext) -> None:
    """By an alert, in the handshake; with TLS 1.3 the client hears of it behind its own."""
    mark = live.log_mark()
    with connect(live, context, "site.test") as client, pytest.raises(ssl.SSLError, match="ALERT"):
        told(client)
    wait_for(lambda: "its TLS handshake failed" in live.log(mark), "the log says so")


class TrustingLive(Live):
    """Whose clients trust another authority."""

    authority: Authority

    def connect(self, **options: Any) -> Client:
        return connect(self, self.authority.client(), "site.test", **options)


@each_interface
def test_each_name_gets_its_certificate(kind: str, authority: Authority, home: Issued, shop: Issued) -> None:
    both = authority.directory / "shop-both.pem"
    both.write_text(shop.both())
    options = (
        *("--certfile", str(home.certfile), "--keyfile", str(home.keyfile), "--certificates", str(both)),
        "--keep-alive=30",
    )
    live = TrustingLive(APP, *options, kind=kind, wire="tls")
    live.authority = authority
    with live:
        for name, certificate in {
            "site.test": home,
            "shop.test": shop,
            "a.shop.test": shop,
            "A.SHOP.TEST": shop,
            "else.test": home,
            None: home,
        }.items():
            context = authority.client()
            context.check_hostname = False
            with connect(live, context, name) as client:
                about = told(client)
                assert client.socket.tls.getpeercert(True) == certificate.der
                if kind == "asgi":
                    assert about["tls"]["server_cert"] in certificate.pem
        live.stop()


# -- sessions, renewal


@each_version
@each_interface
def test_a_session_goes_on_at_any_worker(kind: str, version: ssl.TLSVersion) -> None:
    with Live(APP, kind=kind, wire="tls", workers=4) as live:
        context = only(version)
        with connect(live, context) as client:
            told(client)
            session = client.socket.tls.session
        assert session.has_ticket
        pids: set[int] = set()
        while len(pids) < 2:
            with connect(live, context, session=session) as client:
                pids.add(told(client)["pid"])
                assert client.socket.tls.session_reused
                with contextlib.ExitStack() as busy:  # so that another worker is free
                    for _ in range(8):
                        other = busy.enter_context(connect(live, context, session=session))
                        pids.add(told(other)["pid"])
                        assert other.socket.tls.session_reused
        live.stop()


def s_client(server: Server, *words: str, feed: bytes = b"", wait: bool = False) -> str:
    """What `openssl s_client` says. wait: for the server's end before ours."""
    need_openssl()
    host, port = server.address
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", str(AUTHORITY), *words]
    if wait:
        command.append("-ign_eof")
    done = subprocess.run(command, input=feed, capture_output=True, timeout=20, check=False)
    return done.stdout.decode("latin-1") + done.stderr.decode("latin-1")


CLOSING = message("/", fields=["Connection: close"])


@pytest.mark.parametrize("workers", [1, 4])
def test_openssl_resumes_with_tls_1_2(running_servers: Servers, kind: str, workers: int) -> None:
    """At whichever worker the connection ends."""
    server = running_servers.on("tls").get(f"--workers={workers}", app=APP, kind=kind)
    said = s_client(server, "-tls1_2", "-reconnect")
    assert said.count("Reused, TLSv1.2") == 5


def test_openssl_resumes_with_tls_1_3(server: Server, tmp_path: Path) -> None:
    kept = str(tmp_path / "session")
    assert "New, TLSv1.3" in s_client(server, "-tls1_3", "-sess_out", kept, feed=CLOSING, wait=True)
    again = s_client(server, "-tls1_3", "-sess_in", kept, feed=CLOSING, wait=True)
    assert "Reused, TLSv1.3" in again
    assert "HTTP/1.1 200 OK" in again


def test_renegotiation_is_refused(server: Server) -> None:
    """RFC 9325 §3.5. A line with R makes openssl ask for it."""
    said = s_client(server, "-tls1_2", feed=b"R\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said
    with server.connect() as client:
        assert told(client)["scheme"] == "https"


class Pair:
    """The files of a certificate that is going to be replaced."""

    def __init__(self, directory: Path, first: Issued) -> None:
        self.certfile, self.keyfile = directory / "live.pem", directory / "live.key"
        self.put(first)
        self.options = ("--certfile", str(self.certfile), "--keyfile", str(self.keyfile))

    def put(self, issued: Issued) -> None:
        for source, target in ((issued.keyfile, self.keyfile), (issued.certfile, self.certfile)):
            fresh = target.with_suffix(".new")
            shutil.copy(source, fresh)
            fresh.rename(target)


def shown(live: Live, authority: Authority) -> bytes:
    with connect(live, authority.client(), "site.test") as client:
        told(client)
        found = client.socket.tls.getpeercert(True)
        assert isinstance(found, bytes)
        return found


@each_interface
def test_a_reload_under_load_loses_nothing_and_shows_the_new_certificate(
    kind: str, tmp_path: Path, authority: Authority, home: Issued
) -> None:
    pair = Pair(tmp_path, home)
    live = TrustingLive(APP, *pair.options, kind=kind, wire="tls", workers=2)
    live.authority = authority
    newer = authority.issue("site.test", subject="/CN=newer")
    with live, Load(live, clients=3) as load:
        load.wait_served(30)
        assert shown(live, authority) == home.der
        pair.put(newer)
        live.signal(HUP)
        live.wait_log("is ready", times=4)
        wait_for(lambda: shown(live, authority) == newer.der, "the new certificate is shown", deadline=10)
        load.wait_served(60)
        for round_ in range(2):
            live.signal(HUP)
            live.wait_log("is ready", times=6 + 2 * round_)
            load.wait_served(30)
        load.check()
        for _ in range(6):
            assert shown(live, authority) == newer.der


@pytest.mark.slow
@each_interface
def test_replaced_files_are_shown_without_a_signal(
    kind: str, tmp_path: Path, authority: Authority, home: Issued
) -> None:
    pair = Pair(tmp_path, home)
    live = TrustingLive(APP, *pair.options, "--keep-alive=60", kind=kind, wire="tls", workers=2)
    live.authority = authority
    newer = authority.issue("site.test", subject="/CN=newer")
    with live, Load(live, clients=2) as load, live.connect() as old:
        pids = live.workers()
        told(old)
        pair.put(newer)
        wait_for(lambda: shown(live, authority) == newer.der, "the new certificate is shown", deadline=30)
        time.sleep(1.5)  # a worker may look a second later than the other
        for _ in range(8):
            assert shown(live, authority) == newer.der
        told(old)
        assert live.workers() == pids
        load.check()


# -- ends


@each_version
def test_both_sides_say_goodbye(server: Server, version: ssl.TLSVersion) -> None:
    with connect(server, only(version)) as client:  # ours, as the response says
        client.send(CLOSING)
        assert client.response().status == 200
        client.wait_closed()
    with connect(server, only(version)) as client:  # theirs, and the socket stays open
        told(client)
        client.socket.say_goodbye()
        client.wait_closed()
    with connect(server, only(version)) as client:  # theirs, behind a request
        client.send(CLOSING)
        client.finish()
        assert client.response().status == 200
        client.wait_closed()


def test_an_end_without_a_goodbye_is_not_an_error(server: Server) -> None:
    mark = server.log_mark()
    with connect(server) as client:
        told(client)
        client.raw.shutdown(socket.SHUT_WR)
        client.wait_closed()
    with connect(server) as client:
        client.send(CLOSING)
        client.raw.shutdown(socket.SHUT_WR)
        assert client.response().status == 200
        client.wait_closed()
    assert server.log(mark) == ""


@pytest.mark.parametrize("how", ["cut", "finished"])
def test_a_cut_body_is_refused(server: Server, how: str) -> None:
    with connect(server) as client:
        client.send(message("/digest", method="POST", body=b"b" * 1000)[:-500])
        if how == "cut":
            client.raw.shutdown(socket.SHUT_WR)
        else:
            client.finish()
        if server.kind.early:
            response = client.maybe_response(
                "POST"
            )  # it has called the application, which did not get it all
            assert response is None or response.status == 400
        else:
            assert client.response("POST").status == 400
            client.wait_closed()


def test_broken_ciphertext_ends_the_connection(server: Server) -> None:
    """RFC 8446 §5.2: bad_record_mac, and nothing of it reaches the application."""
    with unharmed(server), connect(server) as client:
        told(client)
        client.raw.sendall(b"\x17\x03\x03\x00\x40" + b"\xa5" * 64)
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            client.more()


@each_interface
def test_the_drain_says_goodbye_to_idle_connections(kind: str) -> None:
    with Live(APP, "--keep-alive=60", kind=kind, wire="tls") as live, contextlib.ExitStack() as end:
        idle = [end.enter_context(live.connect()) for _ in range(5)]
        for client in idle[1:]:
            told(client)
        idle[0].socket.handshake()  # its handshake is done, and nothing else
        start = time.monotonic()
        live.terminate()
        for client in idle:
            client.wait_closed()
        assert time.monotonic() - start < 5
        live.stop()


@pytest.mark.slow
@each_interface
def test_a_response_under_way_is_finished_by_the_drain(kind: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with Live("life:app", kind=kind, wire="tls") as live, live.connect(timeout=10) as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.terminate()
        time.sleep(0.3)  # so that the worker has heard of it
        gate.touch()
        response = client.response()
        assert (response.body, response.connection) == (b"released", {"close"})
        client.wait_closed()
        live.stop()


# -- requests and responses, by the record and otherwise


COUNT = 40


@each_version
def test_pipelined_in_one_record(server: Server, version: ssl.TLSVersion) -> None:
    with connect(server, only(version)) as client:
        client.send(message("/") * COUNT)
        for _ in range(COUNT):
            assert client.response().status == 200
        assert told(client)["scheme"] == "https"


@each_version
def test_pipelined_by_a_client_that_writes_and_reads_at_once(server: Server, version: ssl.TLSVersion) -> None:
    """As one does that writes in a thread of its own: responses come between its requests."""
    ahead = 300
    left = message("/") * (ahead - 1) + CLOSING
    half = len(left) // 2  # is written before anything has to come
    received = b""
    context = only(version)  # it takes a while, and a connection that says nothing has not long
    raw = socket.create_connection(server.address, timeout=10)
    with context.wrap_socket(raw, server_hostname=NAME) as client:
        client.setblocking(False)
        while True:
            writes = len(left) > half or (received and left)
            select.select([client], [client] if writes else [], [], 10)
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                left = left[client.send(left[:333]) :] if writes else left
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if not (data := client.recv(65536)):
                    break
                received += data
    assert not left
    assert received.count(b"HTTP/1.1 200 OK\r\n") == ahead


@each_version
def test_each_byte_in_a_record(server: Server, version: ssl.TLSVersion) -> None:
    request = message("/digest", method="POST", body=b"b" * 300)
    with connect(server, only(version)) as client:
        client.socket.handshake()
        client.raw.sendall(b"".join(client.socket.ciphertext(bytes([byte])) for byte in request * 2))
        for _ in range(2):
            assert json.loads(client.response().body) == hashlib.sha256(b"b" * 300).hexdigest()


@each_version
def test_each_byte_of_ciphertext_alone(server: Server, version: ssl.TLSVersion) -> None:
    with connect(server, only(version)) as client:
        client.socket.handshake()
        for byte in client.socket.ciphertext(message("/") * 2):
            client.raw.sendall(bytes([byte]))
        for _ in range(2):
            assert client.response().status == 200


def test_a_record_in_two_parts_with_a_pause(server: Server) -> None:
    """Half a record is nothing yet: the server waits, without turning round and round."""
    with connect(server) as client:
        told(client)
        record = client.socket.ciphertext(message("/"))
        client.raw.sendall(record[:30])
        assert client.is_quiet(0.2)
        client.raw.sendall(record[30:])
        assert client.response().status == 200


@pytest.mark.slow
def test_keys_that_change_without_end_hold_nobody_up(kind: str) -> None:
    """Each change is answered; a client that has as many as the server can answer is one among others.

    (Where the kernel encrypts, the first ends the connection.)"""
    options = ("--threads=1",) if kind == "gthread" else ()
    with Live("life:app", "--kernel-tls=off", *options, kind=kind, wire="tls") as live:
        over = threading.Event()

        def change() -> None:
            with connect(live) as client:
                client.socket.handshake()
                client.raw.settimeout(5)
                with contextlib.suppress(OSError):
                    while not over.is_set():
                        client.raw.sendall(new_keys(client, 200))
                        with contextlib.suppress(BlockingIOError):
                            client.raw.recv(1 << 20, socket.MSG_DONTWAIT)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            time.sleep(0.3)
            for _ in range(10):
                start = time.monotonic()
                assert live.request("/").status == 200
                assert time.monotonic() - start < 1
        finally:
            over.set()
            thread.join(20)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["nothing", "a large response", "a response", "a body"])
def test_who_changes_keys_and_reads_nothing_costs_nothing(kind: str, what: str, tmp_path: Path) -> None:
    """The server does not read on before its answers are taken, and does not look in vain meanwhile. What the
    client and the application wait for makes a difference."""
    app, request = {
        "nothing": ("life:app", message("/")),
        "a large response": ("life:app", message("/stream?20000000")),
        "a response": ("life:app", message(f"/block?{tmp_path / 'gate'}")),
        "a body": ("secured:app", message("/digest", method="POST", body=b"b" * 1000)[:-999]),
    }[what]
    options = ("--no-request-buffering",) if what == "a body" else ()
    with Live(
        app, "--kernel-tls=off", "--keep-alive=60", "--body-timeout=60", *options, kind=kind, wire="tls"
    ) as live:
        pid = live.workers()[0]
        with connect(live, receive_buffer=4096, timeout=1.5) as client:
            client.send(request)
            with contextlib.suppress(TimeoutError):
                while True:
                    client.raw.sendall(new_keys(client, 200))
            time.sleep(0.5)
            before = busy_seconds(pid)
            time.sleep(1)
            assert busy_seconds(pid) - before < 0.1
            (tmp_path / "gate").touch()
            client.abort()
            assert live.request("/").status == 200


@pytest.fixture
def patient(running_servers: Servers, kind: str) -> Server:
    return running_servers.on("tls").get(app=APP, kind=kind)


def test_a_file_to_a_slow_reader(patient: Server, big: Path) -> None:
    with patient.connect(receive_buffer=16384, timeout=20) as client:
        client.send(message(f"/file?{big}"))
        client.read_until(b"\r\n\r\n")
        with patient.connect() as other:  # meanwhile others are served
            for _ in range(5):
                assert told(other)["scheme"] == "https"
    with patient.connect(receive_buffer=16384, timeout=20) as client:
        client.send(message(f"/file?{big}"))
        for _ in range(20):
            client.more()
            time.sleep(0.01)
        assert hashlib.sha256(client.response().body).digest() == hashlib.sha256(big.read_bytes()).digest()
        assert told(client)["scheme"] == "https"


def test_an_upload(patient: Server, big: Path) -> None:
    body = big.read_bytes()
    with patient.connect(timeout=20) as client:
        for _ in range(2):
            client.send(message("/digest", method="POST", body=body))
            assert json.loads(client.response("POST").body) == hashlib.sha256(body).hexdigest()


def test_many_clients_and_eight_threads(running_servers: Servers, big: Path) -> None:
    """Files, uploads and small requests, all at once, each whole."""
    server = running_servers.on("tls").get("--threads=8", app=APP, kind="gthread")
    body = big.read_bytes()[:2_000_000]
    wanted = hashlib.sha256(body).hexdigest()
    path = big.with_name("smaller")
    path.write_bytes(body)
    failures: list[str] = []

    def run(number: int) -> None:
        try:
            with server.connect(timeout=30) as client:
                for turn in range(6):
                    if (number + turn) % 3 == 0:
                        client.send(message("/digest", method="POST", body=body))
                        assert json.loads(client.response("POST").body) == wanted
                    elif (number + turn) % 3 == 1:
                        client.send(message(f"/file?{path}"))
                        assert hashlib.sha256(client.response().body).hexdigest() == wanted
                    else:
                        for _ in range(20):
                            assert told(client)["scheme"] == "https"
        except (AssertionError, OSError) as error:
            failures.append(f"{number}: {error!r}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


# -- what somebody else says

SCANS = (
    *(
        "--sslv2",
        "--sslv3",
        "--tlsv1",
        "--tlsv1_1",
        "--tlsv1_2",
        "--tlsv1_3",
        "--heartbleed",
        "--openssl_ccs",
    ),
    *("--robot", "--reneg", "--compression", "--fallback", "--early_data", "--ems"),
)


@pytest.mark.slow
def test_sslyze_finds_nothing(server: Server) -> None:
    """Name the command in SSLYZE, from an environment of its own: `pip install sslyze`."""
    command = shutil.which(os.environ.get("SSLYZE", "sslyze"))
    if command is None:
        pytest.skip("sslyze is not installed; SSLYZE names it")
    host, port = server.address
    said = subprocess.run(
        [command, "--json_out=-", "--mozilla_config=disable", *SCANS, f"{host}:{port}"],
        capture_output=True,
        timeout=120,
        check=True,
    )
    (scanned,) = json.loads(said.stdout)["server_scan_results"]
    found = {name: each["result"] for name, each in scanned["scan_result"].items() if each["result"]}
    accepted = {
        name: len(result["accepted_cipher_suites"])
        for name, result in found.items()
        if name.endswith("_cipher_suites")
    }
    assert {name for name, count in accepted.items() if count} == {
        "tls_1_2_cipher_suites",
        "tls_1_3_cipher_suites",
    }
    assert len(accepted) == 6
    suites = [
        each["cipher_suite"]["name"] for each in found["tls_1_2_cipher_suites"]["accepted_cipher_suites"]
    ]
    assert [name for name in suites if "_CBC_" in name or "ECDHE" not in name] == []
    assert not found["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert found["robot"]["robot_result"].startswith("NOT_VULNERABLE")
    assert not found["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
    assert found["session_renegotiation"]["supports_secure_renegotiation"]
    assert not found["tls_compression"]["supports_compression"]
    assert found["tls_fallback_scsv"]["supports_fallback_scsv"]
    assert not found["tls_1_3_early_data"]["supports_early_data"]
    assert found["tls_extended_master_secret"]["supports_ems_extension"]


@pytest.mark.slow
def test_testssl_finds_nothing(server: Server, tmp_path: Path) -> None:
    """Protocols and vulnerabilities, in two minutes. TESTSSL names the command (`apt install testssl.sh`)."""
    command = shutil.which(os.environ.get("TESTSSL", ""))
    if command is None:
        pytest.skip("TESTSSL does not name the command")
    host, port = server.address
    report = tmp_path / "report.json"
    subprocess.run(
        [
            command,
            "--quiet",
            "--warnings",
            "off",
            "--color",
            "0",
            "--jsonfile",
            report,
            "-p",
            "-U",
            f"{host}:{port}",
        ],
        capture_output=True,
        timeout=400,
        check=False,  # its exit code counts findings
    )
    findings = {each["id"]: each for each in json.loads(report.read_text())}
    assert findings["TLS1_3"]["severity"] == "OK"
    assert findings["heartbleed"]["severity"] == "OK"
    bad = [each for each in findings.values() if each["severity"] not in ("OK", "INFO")]
    assert not bad


class Bound(Live):
    """One that binds its addresses itself, and finds them in its configuration."""

    def __init__(self, home: Path, bind: str) -> None:
        self.config = home / "tricorn.toml"
        super().__init__(APP, "-c", str(self.config), wire="tls")
        self.bind(bind)

    def bind(self, address: str) -> None:
        self.config.write_text(f'bind = "{address}"')

    @property
    def command(self) -> list[str]:
        words = super().command
        at = words.index("--bind")
        return words[:at] + words[at + 2 :]


def test_what_the_log_calls_an_address(tmp_path: Path) -> None:
    """Also one at which it cannot listen, and one that it gives up."""
    taken, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    first, second = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in (taken, other))
    live = Bound(tmp_path, first).start(wait=False)
    try:
        live.wait_log(f"https://{first} is in use by process {os.getpid()} (")
        taken.close()
        live.wait_log(f"Listening at https://{first}")
        live.wait_log("is ready")
        live.bind(second)
        live.signal(HUP)
        live.wait_log(f"Cannot listen on https://{second}: something else is listening there")
        live.bind(f"https://unix:{tmp_path}/nowhere/socket")
        live.signal(HUP)
        live.wait_log(
            f"Cannot listen on https://unix:{tmp_path}/nowhere/socket: its directory does not exist"
        )
        live.bind(f"unix:{tmp_path}/socket")
        live.signal(HUP)
        live.wait_log(f"No longer listening at https://{first}")
        live.signal(TERM)
        assert live.wait_exit() == 0
    finally:
        taken.close()
        other.close()
        live.kill()
