"""Each time limit on a client, and that none of them needs a thread of the application.

Limits are short here, and every wait is for a condition. Two bounds are checked for each limit: nothing
happens before it, and it does not come much later (`LATE` is generous, for busy machines).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness.axes import ONE_OF_EACH
from harness.cases import chunked, head, post
from harness.client import Client
from harness.patience import PATIENCE
from harness.server import Server, Servers, frozen, wait_for
from integration.answering import write_site
from integration.live import Live

LIMIT = 0.3 * PATIENCE  # the clients, too, must keep up with it
LATE = 2.5
#: Clocks are coarse: the server may look at its deadlines in ticks, and counts from when it saw the byte.
EARLY = 0.05

SHORT = (
    f"--header-timeout={LIMIT}",
    f"--body-timeout={LIMIT}",
    f"--write-timeout={LIMIT}",
    f"--keep-alive={LIMIT}",
)
#: One that is kept alive for longer, so that another limit is seen at work.
PATIENT = (*SHORT[:-1], "--keep-alive=20")
PREAMBLE = b"PROXY UNKNOWN\r\n"
BIG = 30_000_000  # more than both sockets' buffers and the server's own hold


@pytest.fixture
def server(servers: Servers, kind: str) -> Server:
    return servers.get(*SHORT, "--min-body-rate=0", kind=kind)


def limited(action: Callable[[], None], *, limit: float = LIMIT) -> None:
    """`action` returns when the limit struck: not before it, and not much later."""
    start = time.monotonic()
    action()
    took = time.monotonic() - start
    assert limit - EARLY <= took <= limit + LATE, f"after {took:.2f} s instead of {limit} s"


def closed_after_408(client: Client) -> None:
    response = client.response()
    assert response.status == 408
    client.wait_refused(response)


def trickle(client: Client, data: bytes, *, every: float) -> None:
    """One byte each `every` seconds, until all is sent or something comes back."""
    for at in range(len(data)):
        if not client.send(data[at : at + 1]) or not client.is_quiet(every):
            return


# -- the head


def test_a_client_that_sends_nothing_is_closed(server: Server) -> None:
    with server.connect() as client:
        limited(client.wait_closed)


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", head()[:-1], b"\r\n"])
def test_a_stalled_head_is_408(server: Server, start: bytes) -> None:
    """RFC 9110 §15.5.9."""
    server.seen()
    with server.connect() as client:
        client.send(start)
        if start == b"\r\n":  # nothing of a request has come yet
            limited(client.read_to_end)  # type: ignore[arg-type]
        else:
            limited(lambda: closed_after_408(client))
    assert server.seen() == []


def test_a_trickled_head_is_408(server: Server) -> None:
    """The limit counts from the first byte; more bytes do not put it off."""
    with server.connect() as client:

        def send_slowly() -> None:
            trickle(client, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100, every=0.02)
            closed_after_408(client)

        limited(send_slowly)


def test_a_stalled_head_of_a_second_request_is_408(server: Server) -> None:
    with server.connect() as client:
        client.send(head() + b"GET / HTTP/1.1\r\n")
        assert client.response().status == 200
        limited(lambda: closed_after_408(client))


# -- the body


@pytest.mark.parametrize(
    "start",
    [
        post(b"", b"Content-Length: 5"),
        post(b"hell", b"Content-Length: 5"),
        post(b"b" * 100000, b"Content-Length: 100001"),
        chunked(b""),
        chunked(b"5\r\nhe"),
        chunked(b"5\r\nhello\r\n0\r\n"),
    ],
    ids=["nothing", "short", "in a file", "no chunk", "in a chunk", "in the trailers"],
)
def test_a_stalled_body_is_408(server: Server, start: bytes) -> None:
    server.seen()
    with server.connect() as client:
        client.send(start)
        limited(lambda: closed_after_408(client))
    assert server.seen_whole() == []


def test_a_body_that_makes_progress_is_taken(server: Server) -> None:
    """It takes longer in all than the limit on one pause."""
    with server.connect() as client:
        client.send(post(b"", b"Content-Length: 8"))
        start = time.monotonic()
        trickle(client, b"progress", every=LIMIT / 4)
        assert client.response().status == 200
        assert time.monotonic() - start > LIMIT


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_below_the_rate_is_408(servers: Servers, kind: str, framing: str) -> None:
    """Every pause is short, the whole is slower than `min_body_rate` bytes a second."""
    server = servers.get(f"--body-timeout={LIMIT}", "--min-body-rate=100000", kind=kind)
    server.seen()
    with server.connect() as client:
        start = time.monotonic()
        if framing == "length":
            client.send(post(b"", b"Content-Length: 100000"))
            trickle(client, b"b" * 1000, every=0.02)
        else:
            client.send(chunked(b""))
            trickle(client, b"1\r\nb\r\n" * 200, every=0.02)
        closed_after_408(client)
        assert time.monotonic() - start < 10
    assert server.seen_whole() == []


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_stalled_body_while_streaming(servers: Servers, kind: str) -> None:
    """The application is reading it: it gets an error, and its thread back."""
    server = servers.get(*PATIENT, "--min-body-rate=0", "--no-request-buffering", kind=kind)
    server.seen()
    with server.connect() as client:
        client.send(post(b"hell", b"Content-Length: 5"))

        def cut() -> None:
            response = client.maybe_response()
            assert response is None or response.status in {408, 500}
            if response is None or not client.multiplexed:
                client.wait_closed()

        limited(cut)
    (request,) = server.seen()
    assert request["error"] is not None
    assert request["body"] is None


# -- the response


@pytest.mark.parametrize("path", ["/big", "/stream"])
def test_a_client_that_stops_reading_is_reset(server: Server, path: str) -> None:
    with server.connect(receive_buffer=4096, timeout=0.05) as client:
        client.send(head(start=f"GET {path}?{BIG} HTTP/1.1".encode()))
        wait_for(lambda: _is_lost(client), "the connection is reset", deadline=LIMIT + LATE)
        client.timeout = 4
        assert len(_drain(client)) < BIG
    assert server.get("/")[0] == 200


def _is_lost(client: Client) -> bool:
    """Whether the server has given up."""
    time.sleep(0.02)
    return client.is_lost()


def _drain(client: Client) -> bytes:
    try:
        return client.read_to_end()
    except AssertionError:
        return client.buffer


def test_a_client_that_reads_slowly_is_served(server: Server) -> None:
    """Progress starts the clock again: in all it takes longer than the limit."""
    with server.connect(receive_buffer=65536) as client:
        client.send(head(start=b"GET /big?%d HTTP/1.1" % BIG))
        end = time.monotonic() + 2 * LIMIT
        while time.monotonic() < end:
            have = len(client.buffer)
            while len(client.buffer) < have + 65536:  # over TLS one read gives one record
                assert client.more()
            time.sleep(LIMIT / 50)  # a slow reader, not a wait
        response = client.response()
        assert (len(response.body), response.complete) == (BIG, True)


# -- between requests


def test_an_idle_connection_is_closed(server: Server) -> None:
    """Without a word: RFC 9112 §9.5. Idle is one that waits for a request."""
    with server.connect() as client:
        client.send(head())
        assert client.response().status == 200
        limited(client.wait_closed)


def test_requests_keep_a_connection_alive(server: Server) -> None:
    with server.connect() as client:
        for _ in range(5):
            client.send(head())
            assert client.response().status == 200
            assert client.is_quiet(LIMIT / 3)


def test_a_slow_application_is_no_idle_client(server: Server, tmp_path: Path) -> None:
    """The client waits longer than every limit on it, and is answered."""
    release = tmp_path / "release"
    with server.connect() as client:
        client.send(head(start=f"GET /block?{release} HTTP/1.1".encode()))
        assert client.is_quiet(2 * LIMIT)
        release.touch()
        assert client.response().body == b'"released"'


# -- the monitor: one thread, which is inside the application


class Busy:
    """A server whose only thread is held by one request until `release`."""

    def __init__(self, server: Server, gate: Path) -> None:
        self.server = server
        self.gate = gate
        self.client = server.connect(timeout=10)
        mark = gate.with_name("entered")
        self.client.send(head(start=f"GET /block?{gate}&{mark} HTTP/1.1".encode()))
        wait_for(mark.exists, "the request is in the application")

    def release(self) -> None:
        self.gate.touch()
        assert self.client.response().body == b'"released"'
        self.client.close()


@pytest.fixture
def busy(servers: Servers, tmp_path: Path) -> Iterator[Busy]:
    server = servers.get(*PATIENT, "--min-body-rate=0", "--threads=1")
    server.seen()
    held = Busy(server, tmp_path / "gate")
    yield held
    held.gate.touch()
    held.client.close()


def test_silent_and_stalled_clients_time_out_while_the_thread_is_busy(busy: Busy) -> None:
    server = busy.server
    silent, slow_head, slow_body = server.connect(), server.connect(), server.connect()
    try:
        slow_head.send(b"GET / HTTP/1.1\r\n")
        slow_body.send(post(b"hell", b"Content-Length: 5"))
        silent.wait_closed()
        closed_after_408(slow_head)
        closed_after_408(slow_body)
        assert not busy.gate.exists()
    finally:
        for client in (silent, slow_head, slow_body):
            client.close()
    busy.release()


def test_refusals_are_answered_while_the_thread_is_busy(busy: Busy) -> None:
    for message, status in (
        (b"BAD\r\n", 400),
        (head(start=b"GET / HTTP/2.0"), 505),
        (head(b"Expect: x"), 417),
    ):
        with busy.server.connect() as client:
            client.send(message)
            assert client.response().status == status
            client.wait_closed()
    busy.release()


def test_uploads_are_read_while_the_thread_is_busy(busy: Busy) -> None:
    """5 MB are taken off the client's hands although nobody can answer yet; 100 comes before that."""
    size = 5_000_000
    content = b"u" * size
    with busy.server.connect(timeout=10) as large, busy.server.connect(timeout=10) as polite:
        polite.send(post(b"", b"Content-Length: 5", b"Expect: 100-continue"))
        assert polite.interim().status == 100
        polite.send(b"hello")
        large.send(post(b"", b"Content-Length: %d" % size, path=b"/unread"))
        assert large.send_some(content, until=time.monotonic() + 5) == size
        assert large.is_quiet(0.05)
        assert not busy.gate.exists()
        busy.release()
        assert large.response().status == 200
        assert b'"hello"' in polite.response().body


def test_downloads_go_on_while_the_thread_is_busy(servers: Servers, tmp_path: Path) -> None:
    """The application of the big response has finished; the rest of it flows without a thread."""
    server = servers.get(*PATIENT, "--min-body-rate=0", "--threads=1")
    server.seen()
    with server.connect(receive_buffer=65536, timeout=10) as client:
        client.send(head(start=b"GET /big?%d HTTP/1.1" % BIG))
        wait_for(
            server.seen, "the application has been called"
        )  # and it is free again, since it answers this
        busy = Busy(server, tmp_path / "gate")
        response = client.response()
        assert (len(response.body), response.complete) == (BIG, True)
        assert not busy.gate.exists()
        busy.release()


def test_a_client_that_stops_reading_is_reset_while_the_thread_is_busy(
    servers: Servers, tmp_path: Path
) -> None:
    server = servers.get(*PATIENT, "--min-body-rate=0", "--threads=1")
    server.seen()
    with server.connect(receive_buffer=4096) as client:
        client.send(head(start=b"GET /big?%d HTTP/1.1" % BIG))
        wait_for(server.seen, "the application has been called")
        busy = Busy(server, tmp_path / "gate")
        wait_for(lambda: _is_lost(client), "the connection is reset", deadline=LIMIT + LATE)
        assert not busy.gate.exists()
        busy.release()


def test_requests_wait_for_the_thread_in_order(busy: Busy) -> None:
    """Complete requests are queued; so are the pipelined ones behind the request that holds the thread."""
    busy.client.send(head(start=b"GET /behind HTTP/1.1"))
    clients = [busy.server.connect(timeout=10) for _ in range(20)]
    try:
        for number, client in enumerate(clients):
            client.send(head(start=b"GET /%d HTTP/1.1" % number) * 2)
        assert clients[0].is_quiet(0.05)
        busy.gate.touch()
        assert busy.client.response().body == b'"released"'
        assert b'"/behind"' in busy.client.response().body
        for number, client in enumerate(clients):
            for _ in range(2):
                assert b'"/%d"' % number in client.response().body
    finally:
        for client in clients:
            client.close()


def test_queued_requests_do_not_time_out(busy: Busy) -> None:
    """Longer than every limit on the client: it has done its part, the application has not."""
    with busy.server.connect(timeout=10) as client:
        client.send(head(start=b"GET /queued HTTP/1.1"))
        assert client.is_quiet(2 * LIMIT)
        busy.release()
        assert b'"/queued"' in client.response().body


def test_idle_connections_are_closed_while_the_thread_is_busy(servers: Servers, tmp_path: Path) -> None:
    server = servers.get(*SHORT, "--min-body-rate=0")
    server.seen()
    with server.connect() as client:
        client.send(head())
        assert client.response().status == 200
        busy = Busy(server, tmp_path / "gate")
        client.wait_closed()
        assert not busy.gate.exists()
        busy.release()


# -- what has come in time, and nobody has come to


class Proxied(Live):
    """Behind a proxy that says nothing of its clients."""

    def connect(self, **options: Any) -> Client:
        client = super().connect(**options)
        client.send(PREAMBLE)
        return client


def test_what_has_come_by_the_end_of_a_limit_is_in_time(tmp_path: Path) -> None:
    """Others come first, each for so short a while that nobody else reads meanwhile."""
    source = """
    def answer(path):
        time.sleep(0.004)
        return "answered"
    """
    write_site(tmp_path, source, "sync")
    limits = ("--header-timeout=0.4", "--body-timeout=0.4", "--min-body-rate=0", "--proxy-protocol=auto")
    whole = PREAMBLE + post(b"hello", b"Content-Length: 5")
    cuts = (5, len(PREAMBLE) + 10, len(whole) - 2)  # in what is in front of TLS and HTTP, the head, the body
    with (
        Proxied("site_app:app", *limits, kind="sync", chdir=tmp_path) as live,
        ExitStack() as stack,
    ):
        (worker,) = live.workers()
        others = [stack.enter_context(live.connect(timeout=10)) for _ in range(130)]
        for client in others:
            client.send(head())
        assert {client.response().status for client in others} == {200}
        late = [stack.enter_context(Live.connect(live)) for _ in cuts]
        for client, cut in zip(late, cuts, strict=True):
            client.send(whole[:cut])
        assert late[-1].is_quiet(0.03)
        with frozen(worker):
            for client in others:
                client.send(head())
            for client, cut in zip(late, cuts, strict=True):
                client.send(whole[cut:])
        assert [client.response("POST").status for client in late] == [200, 200, 200]
