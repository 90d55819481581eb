"""Bodies on their way to the application: whole wherever they wait, in bounded memory that is given back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.cases import chunked, deliver, post
from harness.client import Client
from harness.server import wait_for
from integration.live import Live
from transport.served import Pool, appears, same_worker

#: Where a body waits: all that can be said of it with two settings.
PLACES = {
    "small": ("--request-buffer-size=10m", "--request-buffer-memory=0"),
    "memory": ("--request-buffer-size=1000", "--request-buffer-memory=10m"),
    "file": ("--request-buffer-size=1000", "--request-buffer-memory=0"),
    "file-no-buffer": ("--request-buffer-size=0", "--request-buffer-memory=0"),
    "memory-then-file": ("--request-buffer-size=1000", "--request-buffer-memory=100000"),
}
#: Random, so that nothing in the wrong place looks right.
CONTENT = random.Random(1).randbytes(3_000_000)

#: The bodies beyond `request_buffer_size` may take so much: one of BODY fits, two do not.
ONE_BODY = ("--request-buffer-size=1000", "--request-buffer-memory=300000", "--threads=2")
BODY = CONTENT[:250_000]


def in_chunks(content: bytes, size: int) -> bytes:
    parts = (content[at : at + size] for at in range(0, len(content), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def upload(content: bytes, framing: str = "length", path: bytes = b"/where") -> bytes:
    if framing == "length":
        return post(content, b"Content-Length: %d" % len(content), path=path)
    return chunked(in_chunks(content, int(framing)), path=path)


def seen(client: Client) -> dict[str, Any]:
    response = client.response()
    assert response.status == 200
    found: dict[str, Any] = json.loads(response.body)
    return found


def place_of(live: Live, content: bytes = BODY) -> str:
    """Where a body waits that comes now."""
    with live.connect() as client:
        client.send(upload(content))
        place: str = seen(client)["place"]
        return place


# -- whole


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("framing", ["length", "7", "5000", "300000"])
@pytest.mark.parametrize("size", [0, 999, 1000, 1001, 1024, 16384, 65536, 131073, 262144, 700_001])
def test_a_body_arrives_whole(serve: Pool, place: str, framing: str, size: int) -> None:
    live = serve("uploads:app", *PLACES[place])
    content = CONTENT[:size]
    with live.connect() as client:
        for delivery in ("whole", "cuts"):
            deliver(client, upload(content, framing), delivery, f"{place} {framing} {size}")
            found = seen(client)
            assert found["sha256"] == hashlib.sha256(content).hexdigest()
            assert (found["size"], found["length"]) == (size, str(size))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("framing", ["length", "100"])
def test_a_body_that_comes_byte_by_byte(serve: Pool, place: str, framing: str) -> None:
    live = serve("uploads:app", *PLACES[place])
    content = CONTENT[:3000]
    with live.connect() as client:
        for byte in upload(content, framing):
            client.send(bytes([byte]))
        assert seen(client)["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("framing", ["length", "60000"])
def test_what_follows_a_body_is_the_next_request(serve: Pool, place: str, framing: str) -> None:
    """Several in one piece: no byte of one is taken for another's."""
    live = serve("uploads:app", *PLACES[place])
    bodies = [CONTENT[:size] for size in (200_000, 10, 70_000, 500_000)]
    with live.connect() as client:
        client.send(b"".join(upload(body, framing) for body in bodies))
        assert [seen(client)["sha256"] for _ in bodies] == [
            hashlib.sha256(body).hexdigest() for body in bodies
        ]


def test_bytes_behind_the_last_body_do_not_cost_its_answer(serve: Pool) -> None:
    """A close that leaves them unread would reset the connection, and the answer would be lost."""
    live = serve("uploads:app", *PLACES["memory"])
    (worker,) = live.workers()
    request = post(BODY, b"Content-Length: %d" % len(BODY), b"Connection: close", path=b"/where")
    with live.connect() as client:
        client.send(request[:-70_000])
        wait_for(lambda: not unread(live), "all so far is read")
        live.signal(signal.SIGSTOP, worker)
        wait_for(lambda: is_stopped(worker), "the worker has stopped")
        client.send(request[-70_000:] + b"\r\n" * 10_000)
        wait_for(lambda: unread(live) >= 90_000, "the rest waits in one piece")
        live.signal(signal.SIGCONT, worker)
        assert seen(client)["place"] == "memory"
        client.wait_closed()
        assert not client.reset


# -- how much memory


def test_the_budget_is_for_all_bodies_together(serve: Pool, gate: Path) -> None:
    live = serve("uploads:app", *ONE_BODY)
    assert place_of(live, b"b" * 1000) == "memory"
    assert place_of(live) == "memory"
    assert place_of(live, CONTENT[:300_001]) == "file"
    with live.connect() as first:
        first.send(upload(BODY, path=f"/block?{gate}".encode()))
        appears(gate.with_name("gate.in"))
        assert place_of(live, b"b" * 1000) == "memory"
        assert place_of(live) == "file"
        gate.touch()
        assert first.response().status == 200
    wait_for(lambda: place_of(live) == "memory", "the memory is given back")


@pytest.mark.parametrize("content_length", [299_000, 1 << 62])
def test_a_length_alone_takes_no_memory(serve: Pool, content_length: int) -> None:
    """Nor do the first bytes: clients that promise much and send little do not drive others to the disk."""
    live = serve("uploads:app", *ONE_BODY)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            client = stack.enter_context(live.connect())
            client.send(post(b"b" * 1000, b"Content-Length: %d" % content_length))
        assert place_of(live) == "memory"


def test_small_pieces_are_collected_before_they_are_written(serve: Pool) -> None:
    """200,000 chunks of one byte, in a file: not 200,000 writes."""
    live = serve("uploads:app", *PLACES["file"])
    with live.connect() as client:
        client.send(upload(b"b"))
        before = seen(client)["writes"]
        client.send(upload(CONTENT[:200_000], "1"))
        found = seen(client)
        assert found["place"] == "file"
        assert found["writes"] - before < 100


def slow_uploads(live: Live, count: int, size: int, bound: int) -> None:
    """All but the last byte of `count` bodies is there before one is complete: that fits into `bound`."""
    request = upload(CONTENT[:size])
    digest = hashlib.sha256(CONTENT[:size]).hexdigest()
    with live.connect() as probe, contextlib.ExitStack() as stack:
        probe.send(upload(b"b"))
        before = seen(probe)["resident"]
        clients = [stack.enter_context(live.connect(timeout=60)) for _ in range(count)]
        for at in range(0, len(request) - 1, 100_000):
            for client in clients:
                client.send(request[at : min(at + 100_000, len(request) - 1)])
        wait_for(lambda: not unread(live), "everything is read", deadline=60)
        probe.send(upload(b"b"))
        assert seen(probe)["resident"] - before < bound
        for client in clients:
            client.send(request[-1:])
        places = {"memory": 0, "file": 0}
        for client in clients:
            found = seen(client)
            assert found["sha256"] == digest
            places[found["place"]] += 1
        assert places["memory"] > 0
        assert places["file"] > count // 2


def unread(live: Live) -> int:
    """How many bytes of its clients the kernel still holds."""
    assert isinstance(live.address, tuple)
    port = f":{live.address[1]:04X}"
    held = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        sending, _, received = queues.partition(":")
        if remote.endswith(port):
            held += int(sending, 16)
        if local.endswith(port):
            held += int(received, 16)
    return held


def is_stopped(pid: int) -> bool:
    """With all its threads."""
    states = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(state.rpartition(")")[2].split()[0] == "T" for state in states)


MIB = 1 << 20


def test_many_uploads_at_once_are_bounded(serve: Pool) -> None:
    """60 MiB under way; the bound is the budget, 64 KiB for each, and some change."""
    live = serve("uploads:app", "--request-buffer-memory=8m", "--min-body-rate=0")
    slow_uploads(live, 60, MIB, bound=(8 + 4 + 6) * MIB)


@pytest.mark.slow
def test_a_thousand_uploads_at_once_are_bounded(serve: Pool) -> None:
    """1,000 MiB under way, with the default budget of 64 MiB."""
    live = serve("uploads:app", "--worker-connections=1100", "--min-body-rate=0", "--body-timeout=120")
    slow_uploads(live, 1000, MIB, bound=(64 + 64 + 20) * MIB)


# -- given back


def gone(live: Live) -> None:
    with live.connect() as client:
        client.send(upload(BODY)[:-1])
        client.abort()


def cut(live: Live) -> None:
    with live.connect() as client:
        client.send(upload(BODY)[:-1])
        client.finish()
        assert client.response().status == 400


def refused(live: Live) -> None:
    with live.connect() as client:
        client.send(upload(BODY, "1000")[:-7] + b"x")
        assert client.response().status == 400


def too_long(live: Live) -> None:
    with live.connect() as client:
        client.send(chunked(in_chunks(BODY, 1000)[:-5] + b"%x\r\n" % 300_000))
        assert client.response().status == 413


def too_slow(live: Live) -> None:
    with live.connect() as client:
        client.send(upload(BODY)[:-1])
        assert client.response().status == 408


def failed(live: Live) -> None:
    with live.connect() as client:
        client.send(upload(BODY, path=b"/fail"))
        assert client.response().status == 500


def kept(live: Live) -> None:
    """What the application keeps of it is closed, as a file would be."""
    with live.connect() as client:
        client.send(upload(BODY, path=b"/keep"))
        assert client.response().body == b"kept"
        client.send(upload(b"", path=b"/kept"))
        assert client.response().body.endswith(b"True]")


def held_in_a_view(live: Live) -> None:
    """It cannot be closed then; that is the application's own memory."""
    with live.connect() as client:
        client.send(upload(BODY, path=b"/keep?view"))
        assert client.response().body == b"kept"


@pytest.mark.parametrize(
    "end",
    [gone, cut, refused, too_long, too_slow, failed, kept, held_in_a_view],
    ids=lambda end: end.__name__,
)
def test_memory_is_given_back_however_a_request_ends(serve: Pool, end: Callable[[Live], None]) -> None:
    live = serve("uploads:app", *ONE_BODY, "--limit-request-body=400000", "--body-timeout=0.3")
    with same_worker(live):
        for _ in range(3):
            end(live)
            wait_for(lambda: place_of(live) == "memory", "the memory is given back")


# -- a disk that is full


@pytest.mark.parametrize("framing", ["length", "1", "1000", "180000"])
@pytest.mark.parametrize("size", [200_001, 260_000, 700_000])
@pytest.mark.parametrize("place", ["file", "file-no-buffer", "memory-then-file"])
def test_a_full_disk(serve: Pool, place: str, size: int, framing: str) -> None:
    """Seen while the body comes, or with its last bytes: 503, a line in the log, the connection ends."""
    live = serve("full_disk:app", *PLACES[place])
    with same_worker(live):
        mark = len(live.log())
        with live.connect() as client:
            client.send(upload(CONTENT[:size], framing))
            response = client.response()
            assert response.status == 503
            assert "close" in response.connection
            client.wait_closed()
        assert live.log()[mark:].count("Cannot store the body of a request: [Errno 27] File too large") == 1
        assert place_of(live, CONTENT[:190_000]) == "file"
