"""The open-loop client, compiled and let loose on servers whose delays are known."""

import shutil
import time
from dataclasses import replace

import pytest
from harness.listening import talking

from bench import environment, openload, paths
from bench.scenarios import by_name

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("cc", "taskset"))), reason="needs cc and util-linux"),
]

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
MODES = pytest.mark.parametrize("spin", [True, False], ids=["spin", "sleep"])


@pytest.fixture(scope="module", autouse=True)
def work(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(paths, "WORK", tmp_path_factory.mktemp("work"))
    patch.setattr(paths, "OPENLOAD", paths.WORK / "openload")
    assert environment.compile_program("openload", paths.OPENLOAD) == ""
    yield
    patch.undo()


def server(answer):
    """Calls answer(connection) for each request, on one thread for each connection."""

    def talk(connection):
        with connection:
            try:
                while connection.recv(65536).endswith(b"\r\n\r\n"):
                    if answer(connection) is False:
                        return
            except OSError:
                return  # the client has gone: it ends when the run does

    return talking(talk)


def drive(port, rate, seconds=0.5, connections=4, spin=False):
    scenario = replace(by_name("get-constant"), name="test", rate=rate, connections=connections, spin=spin)
    with openload.connected(scenario, port) as run:
        return run(seconds)


@MODES
@pytest.mark.parametrize("response", [RESPONSE, CHUNKED], ids=["length", "chunked"])
def test_as_many_requests_are_sent_as_planned(response, spin):
    with server(lambda connection: connection.sendall(response)) as port:
        result = drive(port, 200, spin=spin)
    assert (result.requests, result.failures) == (100, 0)
    assert result.per_second == pytest.approx(200, rel=0.3)
    assert 0 < result.p50_ms <= result.p99_ms <= result.p999_ms <= result.max_ms * 1.01


@MODES
def test_a_known_delay_is_the_latency(spin):
    def late(connection):
        time.sleep(0.02)
        connection.sendall(RESPONSE)

    with server(late) as port:
        result = drive(port, 50, connections=8, spin=spin)
    assert result.requests == 25
    assert 20 <= result.p50_ms < 60


def test_a_stall_counts_for_all_requests_that_were_planned_in_it():
    """One connection and one stall of 300 ms: a closed loop would see one slow request in fifty."""
    stalls = iter([0.3])

    def stall_once(connection):
        time.sleep(next(stalls, 0))
        connection.sendall(RESPONSE)

    with server(stall_once) as port:
        result = drive(port, 100, connections=1)
    assert (result.requests, result.failures) == (50, 0)
    assert result.max_ms >= 300
    assert result.p50_ms >= 30  # thirty of fifty were planned in the stall


def test_a_server_that_is_too_slow_leaves_requests_unanswered():
    def slow(connection):
        time.sleep(0.1)
        connection.sendall(RESPONSE)

    with server(slow) as port:
        result = drive(port, 200, connections=1)
    assert result.requests + result.failures == 100
    assert 15 <= result.requests <= 30  # ten a second, for half a second and two of grace
    assert result.p50_ms > 500


def test_a_connection_that_the_server_closes_is_replaced():
    def once(connection):
        connection.sendall(CLOSING)
        return False

    with server(once) as port:
        result = drive(port, 200)
    assert (result.requests, result.failures) == (100, 0)


@pytest.mark.parametrize(
    "response",
    [b"", RESPONSE[:20], RESPONSE.replace(b"200", b"503"), b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["nothing", "a part", "503", "no length"],
)
def test_what_is_not_a_response_is_a_failure(response):
    def wrong(connection):
        connection.sendall(response)
        return False

    with server(wrong) as port:
        result = drive(port, 100)
    assert result.failures >= 50


def test_a_request_is_what_wrk_would_send():
    sent = openload.request(by_name("post-10k-echo"))
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\nHost: ")
    assert b"\r\nContent-Length: 10240" in head
    assert len(body) == 10_240
    assert openload.request(by_name("browser-get")).count(b"\r\nHost: ") == 1
