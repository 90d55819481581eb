"""The load of TLS handshakes, compiled and let loose on servers of Python's ssl; and idle TLS connections.

Python's ssl is the judge: a server here says itself of each connection whether it resumed a session."""

import shutil
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
from harness.listening import talking

from bench import environment, idle, measure, openload, paths, process, tls, tlsload, wrk
from bench.process import Running, ServerError
from bench.scenarios import Entry, Handshake, by_name
from bench.servers import Launch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("cc", "taskset", "setpriv", "openssl"))),
        reason="needs cc, openssl, util-linux",
    ),
]

RESPONSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\nHello, World!"
KEPT = RESPONSE.replace(b"Connection: close\r\n", b"")
SECONDS = 0.3
PATIENCE = 5.0
KINDS = pytest.mark.parametrize("kind", Handshake)


@pytest.fixture(scope="module", autouse=True)
def work(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    place = tmp_path_factory.mktemp("work")
    patch.setattr(paths, "WORK", place)
    patch.setattr(paths, "LOGS", place)
    patch.setattr(paths, "TLSLOAD", place / "tlsload")
    patch.setattr(paths, "TLS", place / "tls")
    for name in ("AUTHORITY", "CERTIFICATE", "KEY"):
        patch.setattr(paths, name, paths.TLS / getattr(paths, name).name)
    assert tls.make_certificate() == ""
    assert environment.compile_program("tlsload", paths.TLSLOAD) == ""
    yield
    patch.undo()


def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths.CERTIFICATE, paths.KEY)
    return context


@dataclass
class Seen:
    """What a server has seen: each request, and whether its connection resumed a session."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    resumed: list[bool] = field(default_factory=list)


@contextmanager
def server(answer=RESPONSE, context=None, *, before=None):
    """Shakes hands and answers each request of a connection, on a thread for each.

    before(connection) may spoil the handshake."""
    context = context or server_context()

    def talk(plain):
        plain.settimeout(PATIENCE)
        try:
            if before:
                before(plain)
            with context.wrap_socket(plain, server_side=True) as connection:
                while (request := connection.recv(65536)).endswith(b"\r\n\r\n"):
                    seen.resumed.append(connection.session_reused)
                    seen.requests.append(request)
                    connection.sendall(answer)
                    if b"close" in answer:
                        return
        except OSError:
            return  # the client has gone, or does not speak what this server speaks
        finally:
            plain.close()

    with talking(talk) as port:
        seen = Seen(port)
        yield seen


def scenario(kind, connections=4):
    return replace(by_name(f"tls-handshake-{kind}"), name="test", connections=connections)


def drive(port, kind, connections=4):
    with tlsload.connected(scenario(kind, connections), port) as run:
        return run(SECONDS)


def test_each_full_handshake_is_counted_and_none_resumes():
    with server() as seen:
        result = drive(seen.port, "full")
    assert (result.requests, result.failures, result.resumed) == (len(seen.requests), 0, 0)
    assert result.requests > 8
    assert not any(seen.resumed)
    assert 0 < result.p50_ms <= result.p99_ms <= result.p999_ms <= result.max_ms * 1.01


def test_each_handshake_resumes_but_the_first_of_a_connection():
    with server() as seen:
        result = drive(seen.port, "resumed")
    assert (result.requests, result.failures) == (len(seen.requests) - 4, 0)
    assert result.requests > 8
    assert result.resumed == sum(seen.resumed) == result.requests
    assert tlsload.objection(scenario("resumed"), result) == ""


def test_each_connection_carries_one_request_that_closes_it():
    with server() as seen:
        drive(seen.port, "full")
    (request,) = set(seen.requests)
    assert request == openload.request(by_name("tls-handshake-full"))
    assert b"\r\nConnection: close\r\n" in request
    assert b"\r\nHost: " in request


def test_a_server_that_keeps_the_connection_is_left_all_the_same():
    with server(KEPT) as seen:
        result = drive(seen.port, "full")
    assert (result.requests, result.failures) == (len(seen.requests), 0)
    assert result.requests > 8


def test_a_server_without_tickets_is_seen_to_resume_nothing():
    context = server_context()
    context.num_tickets = 0
    with server(context=context) as seen:
        result = drive(seen.port, "resumed")
    assert (result.resumed, result.failures) == (0, 0)
    assert result.requests > 8
    assert tlsload.objection(scenario("resumed"), result) == f"resumed 0 of {result.requests} sessions"
    assert tlsload.objection(scenario("full"), result) == ""


def test_one_session_in_a_hundred_may_be_lost():
    result = wrk.WrkResult(1_000, 1.0, 1.0, 1.0, 0, resumed=990)
    assert tlsload.objection(scenario("resumed"), result) == ""
    assert (
        tlsload.objection(scenario("resumed"), replace(result, resumed=989))
        == "resumed 989 of 1,000 sessions"
    )


@pytest.mark.parametrize(
    "answer",
    [
        RESPONSE[:20] + b"close",
        RESPONSE.replace(b"200", b"503"),
        RESPONSE.replace(b"Content-Length: 13\r\n", b""),
    ],
    ids=["a part", "503", "no length"],
)
def test_what_is_not_a_response_is_a_failure(answer):
    with server(answer) as seen:
        result = drive(seen.port, "full")
    assert result.failures == len(seen.requests) > 8


@pytest.mark.parametrize(
    "spoil", [lambda s: s.sendall(b"HTTP/1.1 400 \r\n\r\n"), lambda s: s.shutdown(socket.SHUT_RDWR)]
)
def test_a_handshake_that_fails_is_a_failure(spoil):
    with server(before=spoil) as seen:
        result = drive(seen.port, "full")
    assert (result.requests, len(seen.requests)) == (0, 0)
    assert result.failures > 8


def test_an_older_tls_is_a_failure():
    context = server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with server(context=context) as seen:
        result = drive(seen.port, "full")
    assert result.requests == 0
    assert result.failures > 8


def test_where_nobody_listens_each_connection_fails_once():
    result = drive(process.free_port(), "full")
    assert (result.requests, result.failures) == (0, 4)


def test_without_the_first_handshakes_nothing_is_resumed():
    with pytest.raises(wrk.WrkError, match="only 0 of 4 first handshakes"):
        drive(process.free_port(), "resumed")


def test_idle_connections_have_shaken_hands_and_stay_open():
    client = replace(idle.HTTP, context=tls.client())
    with server(KEPT) as seen:
        sockets = idle.open_all(seen.port, 20, client)
        versions = {sock.version() for sock in sockets}
        opened = [idle.still_open(sock) for sock in sockets]
        for sock in sockets:
            sock.close()
    assert (len(sockets), len(seen.requests), versions) == (20, 20, {"TLSv1.3"})
    assert all(opened)


def test_idle_connections_are_opened_at_the_same_time():
    """Some servers let each wait for 40 ms."""
    all_there = threading.Barrier(10, timeout=PATIENCE)
    with server(KEPT, before=lambda _: all_there.wait()) as seen:
        sockets = idle.open_all(seen.port, 10, replace(idle.HTTP, context=tls.client()))
        for sock in sockets:
            sock.close()
    assert len(sockets) == 10


@pytest.mark.parametrize("prefix", ["", "asgi-"])
def test_idle_connections_are_over_tls_where_the_scenario_is(prefix):
    plain, secure = (by_name(f"{prefix}{name}idle-connections") for name in ("", "tls-"))
    assert measure.idle_client(plain).context is None
    assert measure.idle_client(secure).context is not None
    full, quick = (measure.Plan(1, 1, wanted, frozenset(), {}, {}, 0, "", "") for wanted in (10_000, 1_000))
    assert (full.idle_of(plain), full.idle_of(secure)) == (10_000, 2_000)
    assert (quick.idle_of(plain), quick.idle_of(secure)) == (1_000, 1_000)


def test_a_server_that_serves_one_connection_after_the_other_gets_its_idle_ones():
    """It shakes hands with the next when it has answered this one, as a server of one thread does."""
    kept = []

    def serve(listener):
        for _ in range(5):
            plain, _ = listener.accept()
            kept.append(server_context().wrap_socket(plain, server_side=True))
            assert kept[-1].recv(65536) == idle.REQUEST
            kept[-1].sendall(KEPT)

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        sockets = idle.open_all(listener.getsockname()[1], 5, replace(idle.HTTP, context=tls.client()))
        serving.join()
    opened = [idle.still_open(sock) for sock in sockets]
    for sock in (*sockets, *kept):
        sock.close()
    assert opened == [True] * 5


def test_idle_connections_that_the_server_closes_are_not_kept():
    client = replace(idle.HTTP, context=tls.client())
    with server(RESPONSE.replace(b"Connection: close", b"X-Silently: close")) as seen:
        sockets = idle.open_all(seen.port, 3, client)
        for sock in sockets:
            sock.settimeout(PATIENCE)
            assert sock.recv(1) == b""
        assert not any(idle.still_open(sock) for sock in sockets)
        for sock in sockets:
            sock.close()
    assert len(sockets) == 3


def test_where_nobody_listens_no_idle_connection_is_opened():
    assert idle.open_all(process.free_port(), 3, replace(idle.HTTP, context=tls.client())) == []


def shake_hands(client, context=None):
    """The certificate of a server, as this client gets it."""
    with (
        server(context=context) as seen,
        socket.create_connection(("127.0.0.1", seen.port), PATIENCE) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return connection.getpeercert(binary_form=True)


def test_the_certificate_is_an_elliptic_one():
    assert b"\x2a\x86\x48\xce\x3d\x03\x01\x07" in shake_hands(tls.client())  # the object identifier of P-256


def test_nobody_else_trusts_the_certificate():
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(ssl.create_default_context())


def test_no_other_certificate_is_trusted(tmp_path, monkeypatch):
    client = tls.client()
    for name in ("AUTHORITY", "CERTIFICATE", "KEY"):
        monkeypatch.setattr(paths, name, tmp_path / getattr(paths, name).name)
    monkeypatch.setattr(paths, "TLS", tmp_path)
    assert tls.make_certificate() == ""
    shake_hands(tls.client())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client)


def test_the_check_before_a_measurement_takes_no_older_tls():
    context = server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        shake_hands(tls.client(), context)


def test_a_certificate_that_cannot_be_made_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(paths, "TLS", tmp_path / "file")
    assert "file" in tls.make_certificate()


@contextmanager
def tricorn(scenario, entry=Entry("tricorn")):  # noqa: B008 - it is frozen
    with measure.launch(scenario, entry, "test", 0) as running:
        measure.check(scenario, entry, running)
        yield running


@KINDS
@pytest.mark.parametrize("prefix", ["", "asgi-"])
def test_tricorn_is_driven_as_the_scenario_says(prefix, kind):
    found = replace(by_name(f"{prefix}tls-handshake-{kind}"), connections=4)
    with tricorn(found) as running:
        values = measure.drive(found, running, SECONDS)
    assert values["failures"] == 0
    assert values["cpu_us"] > 0


def test_a_server_that_does_not_resume_has_no_figure(monkeypatch):
    monkeypatch.setattr(tlsload, "RESUMED", 1.5)
    found = replace(by_name("tls-handshake-resumed"), connections=4)
    with tricorn(found) as running, pytest.raises(ServerError, match=r"^resumed \d+ of \d+ sessions$"):
        measure.drive(found, running, SECONDS)


def test_an_answer_over_http_is_not_one_over_tls(tmp_path):
    """A server that is told of TLS and does not speak it is found before it is timed."""
    found = by_name("tls-get-1-header")
    deaf = replace(found.server(Entry("tricorn")), tls="")
    log = tmp_path / "log"
    log.touch()
    with Running(deaf, Launch("hello", tls=True), log, 0) as running, pytest.raises(ServerError, match="SSL"):
        running.wait_ready()
