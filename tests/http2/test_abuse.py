"""What a client may do to a server: memory and processor time are bounded, the neighbour is served.

An attack is a row of `ATTACKS`: bytes, sent again and again by a client that reads nothing unless it says
so. It has to be over before all of them are taken: the server ends the connection, most often with
ENHANCE_YOUR_CALM, or stops reading until its client reads. Or it costs so little that it may go on: then
only the bounds hold.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.http2 import frames
from harness.http2.connection import Connection
from harness.http2.frames import PREFACE, Code, Frame, Setting, Type, block, integer, literal
from harness.patience import PATIENCE
from harness.server import Server, Servers, wait_for
from http2.cases import BLOCK, POST_BLOCK, opened
from integration.asgi import resident, worker_of
from integration.live import Live

MEGABYTE = 1 << 20
#: Of the worker: what it may grow by, whatever comes. The most that one connection's heads and queues may
#: hold. (A sanitizer keeps what is freed for a while.)
GROWTH = 12 * MEGABYTE
#: Seconds of the worker's processor time for one attack.
COST = 2.0
#: Seconds in which the neighbour is answered, each time.
LATE = 4.0


class Attacker:
    """A socket, and the frames that came on it. Nothing is checked: it breaks the rules itself."""

    def __init__(self, server: Server, settings: dict[int, int] | None = None) -> None:
        self.socket = socket.create_connection(server.address)
        self.socket.settimeout(0.3)
        self.found: list[Frame] = []
        self.ended = False
        self._unread = b""
        self.send(PREFACE + frames.settings(settings or {}))

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """False when the server does not take it: it has hung up, or does not read."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return False
        return True

    def read(self, seconds: float = 0.0) -> None:
        """What is there, or comes within so many seconds."""
        self.socket.settimeout(max(seconds, 0.0001))
        try:
            data = self.socket.recv(1 << 18)
        except TimeoutError:
            return
        except ConnectionResetError:
            data = b""
        finally:
            self.socket.settimeout(0.3)
        self.ended = not data
        found, self._unread = frames.split(self._unread + data)
        self.found += found

    def codes(self) -> list[int]:
        """Of the GOAWAY frames that have come."""
        return [int.from_bytes(frame.payload[4:8]) for frame in self.found if frame.kind == Type.GOAWAY]


def attack_of(unit: Callable[[int], bytes], first: bytes = b"") -> Callable[[], Iterator[bytes]]:
    """Batches of some 32 KiB."""

    def batches() -> Iterator[bytes]:
        batch = first
        for number in range(1 << 20):
            batch += unit(number)
            if len(batch) >= 1 << 15:
                yield batch
                batch = b""

    return batches


@dataclass(frozen=True)
class Attack:
    """most: bytes after which it has to be over; None: it may go on. reads: it takes what comes.

    codes: of GOAWAY, if one comes.
    """

    batches: Callable[[], Iterator[bytes]]
    most: int | None = 4 * MEGABYTE
    reads: bool = True
    settings: dict[int, int] | None = None
    codes: tuple[Code, ...] = (Code.ENHANCE_YOUR_CALM,)


def stream(number: int) -> int:
    return 2 * number + 1


def get(number: int, whole: bytes = BLOCK) -> bytes:
    return frames.headers(stream(number), whole, end=True)


def post(number: int) -> bytes:
    return frames.headers(stream(number), POST_BLOCK)


NO_CREDIT = {Setting.INITIAL_WINDOW_SIZE: 0}
CALM_OR_WRONG = (
    Code.ENHANCE_YOUR_CALM,
    Code.PROTOCOL_ERROR,
    Code.FLOW_CONTROL_ERROR,
    Code.STREAM_CLOSED,
    Code.INTERNAL_ERROR,
)
MALFORMED = block((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"X", b"y"))
#: One entry of 4,000 bytes, and references to it, a byte each.
BOMB = b"\x40" + frames.text(b"x") + frames.text(b"b" * 3900)
#: The largest index that the first one may be given: 62.
AGAIN = integer(62, 7, 0x80)

ATTACKS: dict[str, Attack] = {
    # CVE-2023-44487
    "resets": Attack(attack_of(lambda n: get(n) + frames.rst_stream(stream(n)))),
    "resets of uploads": Attack(attack_of(lambda n: post(n) + frames.rst_stream(stream(n)))),
    # CVE-2025-8671: the server is made to reset
    "streams that make us reset, by malformed requests": Attack(
        attack_of(lambda n: get(n, MALFORMED)), codes=CALM_OR_WRONG
    ),
    "streams that make us reset, by an increment of 0": Attack(
        attack_of(lambda n: get(n) + frames.window_update(stream(n), 0)), codes=CALM_OR_WRONG
    ),
    "streams that make us reset, by too much credit": Attack(
        attack_of(lambda n: get(n) + frames.window_update(stream(n), frames.LARGEST_WINDOW)),
        codes=CALM_OR_WRONG,
    ),
    "streams that make us reset, by DATA behind the end": Attack(
        attack_of(lambda n: get(n) + frames.data(stream(n), b"x")), codes=CALM_OR_WRONG
    ),
    # CVE-2024-27316 and its kin
    "CONTINUATION": Attack(
        attack_of(
            lambda _: frames.continuation(1, literal(b"x", b"v" * 16_000), whole=False),
            frames.headers(1, BLOCK, end=True, whole=False),
        ),
        codes=CALM_OR_WRONG,
    ),
    "empty CONTINUATION": Attack(
        attack_of(
            lambda _: frames.continuation(1, b"", whole=False),
            frames.headers(1, BLOCK, end=True, whole=False),
        ),
        most=MEGABYTE,
        codes=CALM_OR_WRONG,
    ),
    "CONTINUATION of a byte": Attack(
        attack_of(
            lambda _: frames.continuation(1, b"\x82", whole=False),
            frames.headers(1, b"", end=True, whole=False),
        ),
        most=MEGABYTE,
        codes=CALM_OR_WRONG,
    ),
    # CVE-2019-9512, 9515
    "PING, unread": Attack(attack_of(lambda _: frames.ping()), reads=False),
    "PING": Attack(attack_of(lambda _: frames.ping())),
    "SETTINGS, unread": Attack(attack_of(lambda _: frames.settings()), reads=False),
    "SETTINGS": Attack(attack_of(lambda _: frames.settings())),
    "SETTINGS of many": Attack(
        attack_of(lambda n: frames.settings([(Setting.INITIAL_WINDOW_SIZE, n)] * 2000), post(0) + post(1))
    ),
    "SETTINGS of table sizes": Attack(
        attack_of(lambda n: frames.settings({Setting.HEADER_TABLE_SIZE: n % 4097}))
    ),
    # CVE-2019-9518
    "empty DATA": Attack(attack_of(lambda _: frames.data(1), post(0))),
    "padding alone": Attack(attack_of(lambda _: frames.data(1, b"", pad=0), post(0)), codes=CALM_OR_WRONG),
    # CVE-2019-9511, 9517
    "credit in drops": Attack(
        attack_of(
            lambda _: frames.window_update(1, 1) + frames.window_update(0, 1),
            frames.headers(
                1,
                block(
                    (b":method", b"GET"),
                    (b":scheme", b"http"),
                    (b":authority", b"a"),
                    (b":path", b"/big?10000000"),
                ),
                end=True,
            ),
        ),
        settings=NO_CREDIT,
    ),
    "credit in drops for the connection": Attack(attack_of(lambda _: frames.window_update(0, 1))),
    # CVE-2019-9513
    "PRIORITY": Attack(attack_of(lambda n: frames.priority(stream(n % 1000), on=stream((n * 7) % 1000)))),
    "PRIORITY of ever new streams": Attack(attack_of(lambda n: frames.priority(stream(n)))),
    "PRIORITY_UPDATE of ever new streams": Attack(
        attack_of(lambda n: frames.priority_update(stream(n), b"u=%d, i" % (n % 8)))
    ),
    "PRIORITY_UPDATE of one stream": Attack(
        attack_of(lambda n: frames.priority_update(1, b"u=%d" % (n % 8)), post(0))
    ),
    # CVE-2016-1544, 6581
    "HPACK bombs": Attack(
        attack_of(
            lambda n: frames.headers(stream(n + 1), BLOCK + AGAIN * 16_000, end=True),
            frames.headers(1, BLOCK + BOMB, end=True),
        ),
        codes=(*CALM_OR_WRONG, Code.COMPRESSION_ERROR),
    ),
    "frames that nobody knows": Attack(
        attack_of(lambda n: frames.frame(0x20 + n % 200, 0, 0, b"x")), most=None
    ),
    "RST_STREAM of streams that are over": Attack(
        attack_of(lambda _: frames.rst_stream(1), post(0) + frames.rst_stream(1)),
        most=None,
        codes=CALM_OR_WRONG,
    ),
    "GOAWAY": Attack(attack_of(lambda _: frames.goaway()), most=None, codes=(*CALM_OR_WRONG, Code.NO_ERROR)),
    "requests, unread": Attack(attack_of(get), reads=False, codes=CALM_OR_WRONG),
    "more streams than there may be": Attack(attack_of(post), codes=CALM_OR_WRONG),
}


class Neighbour:
    """Asks two hundred times a second on a connection of its own; how long the longest answer took."""

    def __init__(self, server: Server) -> None:
        self.longest = 0.0
        self.answers = 0
        self.failure: BaseException | None = None
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _ask(self) -> None:
        try:
            with opened(self._server, timeout=10) as connection:
                while not self._stop.is_set():
                    start = time.monotonic()
                    assert connection.get("/neighbour").status == 200
                    self.longest = max(self.longest, time.monotonic() - start)
                    self.answers += 1
                    connection.strict.seen.clear()
                    self._stop.wait(0.005)
        except BaseException as error:  # noqa: BLE001 - it is raised where the test ends
            self.failure = error

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure
        assert self.answers > 0
        assert self.longest < LATE * PATIENCE, f"the neighbour waited {self.longest:.2f} s"


def seconds(pid: int) -> float:
    """Of processor time."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100


@contextmanager
def bounded(server: Server, growth: int = GROWTH, cost: float = COST) -> Iterator[None]:
    """Around an attack: what the worker may grow by, and work; and that somebody else is served all the
    while."""
    pid = worker_of(server)
    with opened(server) as connection:  # what is made once
        for _ in range(20):
            assert connection.get("/").status == 200
    before, worked = resident(pid), seconds(pid)
    with Neighbour(server) as neighbour:
        wait_for(lambda: neighbour.answers or neighbour.failure, "the neighbour is served")
        yield
        grown = resident(pid) - before
        answered = neighbour.answers
        wait_for(
            lambda: neighbour.answers > answered or neighbour.failure, "the neighbour is served afterwards"
        )
    neighbour.check()
    assert grown < growth * PATIENCE, f"the worker grew by {grown / MEGABYTE:.1f} MB"
    spent = seconds(pid) - worked
    assert spent < cost * PATIENCE, f"the worker has worked for {spent:.2f} s"
    server.seen()


#: One of each sort; the others are its variants.
QUICK = {"resets", "CONTINUATION", "PING, unread", "empty DATA", "HPACK bombs"}


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ATTACKS]
)
def test_attack(server: Server, name: str) -> None:
    attack = ATTACKS[name]
    most = attack.most or 2 * MEGABYTE
    with bounded(server), Attacker(server, attack.settings) as attacker:
        sent = 0
        over = False
        for batch in attack.batches():
            if sent >= most:
                break
            if not attacker.send(batch):
                over = True
                break
            sent += len(batch)
            if attack.reads:
                attacker.read()
                if attacker.ended or attacker.codes():
                    over = True
                    break
        end = time.monotonic() + 4 * PATIENCE
        while not attacker.ended and (over or not attack.reads) and time.monotonic() < end:
            attacker.read(0.05)
            over = over or attacker.ended or bool(attacker.codes())
        assert over or attack.most is None, f"{sent} bytes were taken"
        assert set(attacker.codes()) <= set(attack.codes), attacker.codes()


# -- who is no attacker


class Naive(Connection):
    """Opens both windows again for each frame that it gets, however small, and takes no notice of others."""


class Measuring(Connection):
    """Pings with each frame that it gets, as grpc-go does to learn how much a connection carries."""

    def _react(self, frame: Frame) -> None:
        super()._react(frame)
        if frame.kind == Type.DATA:
            self.send(frames.ping())


#: Server-sent events, or messages of gRPC, as they come from other tasks.
SMALL_PIECES = """
import asyncio
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(int(scope["query_string"] or 1)):
        await send({"type": "http.response.body", "body": b"data: %d" % number, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})
"""


@pytest.mark.parametrize("manner", [Naive, Measuring])
def test_an_answer_in_small_pieces_may_be_taken_piece_by_piece(
    manner: type[Connection], tmp_path: Path
) -> None:
    """Three thousand of some ten bytes, as fast as they come."""
    (tmp_path / "small_pieces.py").write_text(SMALL_PIECES)
    with (
        Live("small_pieces:app", kind="asgi", wire="h2c", chdir=tmp_path) as server,
        manner(server.connect_http1().socket) as connection,
    ):
        answer = connection.get("/?3000")
        assert answer.content.endswith(b"data: 2999")
        assert len(answer.pieces) > 2500, "they were put together"
        # Behind all that it said of them.
        assert connection.get("/?1").content == b"data: 0"


@pytest.mark.parametrize("kind", ONE_OF_EACH[:1])
def test_a_browser_may_say_of_each_request_how_urgent_it_is(server: Server) -> None:
    """Twice: when the page is laid out, and when it is scrolled. A page of six hundred pictures."""
    with opened(server) as connection:
        for _ in range(12):
            streams = [connection.request("/") for _ in range(50)]
            connection.send(
                b"".join(frames.priority_update(stream, b"u=%d, i" % n) for stream in streams for n in (5, 1))
            )
            for stream in streams:
                assert connection.answer(stream).status == 200


# -- what takes time


IMPATIENT = ("--header-timeout=0.4", "--body-timeout=0.4", "--min-body-rate=0")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_head_that_never_ends_has_a_time_limit(running_servers: Servers, kind: str) -> None:
    """CONTINUATION in drops: header_timeout counts from the first byte."""
    server = running_servers.on("h2c").get(*IMPATIENT, kind=kind)
    with bounded(server), Attacker(server) as attacker:
        attacker.send(frames.headers(1, BLOCK, end=True, whole=False))
        start = time.monotonic()
        while not attacker.ended and time.monotonic() - start < 5:
            attacker.send(frames.continuation(1, b"\x82", whole=False))  # so few that they are no flood
            attacker.read(0.12)
        assert attacker.ended
        assert time.monotonic() - start > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_head_in_half_a_frame_has_a_time_limit(running_servers: Servers, kind: str) -> None:
    """The same where the frame itself comes in drops."""
    server = running_servers.on("h2c").get(*IMPATIENT, kind=kind)
    for start_of in (b"", b"PRI *", frames.headers(1, BLOCK, end=True)[:15]):
        with socket.create_connection(server.address) as raw:
            raw.settimeout(5)
            raw.sendall(start_of if start_of[:3] in (b"", b"PRI") else PREFACE + frames.settings() + start_of)
            begun = time.monotonic()
            while raw.recv(65536):
                pass
            assert 0.3 < time.monotonic() - begun < 3


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_body_that_stalls_ends_its_stream(running_servers: Servers, kind: str) -> None:
    """body_timeout holds for each stream by itself: the others, and those that come later, go on."""
    server = running_servers.on("h2c").get(*IMPATIENT, kind=kind)
    server.seen()
    with opened(server) as connection:
        connection.handshake()
        stalled = connection.begin_request(connection.fields("POST", "/stalled"), end=False)
        connection.send_data(stalled, b"hell")
        lively = connection.begin_request(connection.fields("POST", "/lively"), end=False)
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            connection.send_data(lively, b"x")
            connection.is_quiet(0.05)
        answer = connection.answer(stalled)
        assert answer.reset is not None or answer.status == 408
        connection.send_data(lively, b"y", end=True)
        assert connection.answer(lively).status == 200
        assert connection.get("/next").status == 200
    assert "/stalled" not in [request["path"] for request in server.seen_whole()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_bodies_in_drops_end_their_streams(running_servers: Servers, kind: str) -> None:
    """min_body_rate, fifty times side by side."""
    server = running_servers.on("h2c").get("--body-timeout=0.4", "--min-body-rate=100000", kind=kind)
    with bounded(server), Attacker(server) as attacker:
        attacker.send(b"".join(post(number) for number in range(50)))
        start = time.monotonic()
        over: set[int] = set()
        while len(over) < 50 and time.monotonic() - start < 6:
            attacker.send(
                b"".join(
                    frames.data(stream(number), b"x") for number in range(50) if stream(number) not in over
                )
            )
            attacker.read(0.05)
            over = {
                frame.stream
                for frame in attacker.found
                if frame.kind == Type.RST_STREAM or (frame.flags & 1 and frame.kind <= 1)
            }
            if attacker.ended or attacker.codes():
                break
        assert attacker.ended or attacker.codes() or len(over) == 50


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("path", ["/big?3000000", "/stream?3000000"])
def test_a_window_that_never_opens(running_servers: Servers, kind: str, path: str) -> None:
    """write_timeout ends such streams; what they held is let go, and no thread waited for them."""
    server = running_servers.on("h2c").get("--write-timeout=0.4", kind=kind)
    request = block(
        (b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path.encode())
    )
    with bounded(server, growth=80 * MEGABYTE), Attacker(server, NO_CREDIT) as attacker:
        attacker.send(b"".join(get(number, request) for number in range(20)))
        start = time.monotonic()
        over: set[int] = set()
        while not attacker.ended and len(over) < 20 and time.monotonic() - start < 8:
            attacker.read(0.05)
            attacker.send(frames.ping())  # a sign of life is no progress
            over = {frame.stream for frame in attacker.found if frame.kind == Type.RST_STREAM}
        assert attacker.ended or attacker.codes() or len(over) == 20
    with opened(server) as connection:
        assert connection.get("/").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_client_that_reads_nothing_at_all(running_servers: Servers, kind: str) -> None:
    """Its windows are wide open; it is the socket that is full. The connection ends, the memory is
    bounded."""
    server = running_servers.on("h2c").get("--write-timeout=0.5", kind=kind)
    wide = {Setting.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW}
    request = block(
        (b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/stream?30000000")
    )
    with bounded(server, growth=60 * MEGABYTE), Attacker(server, wide) as attacker:
        attacker.send(
            frames.window_update(0, 1 << 30) + b"".join(get(number, request) for number in range(10))
        )
        wait_for(lambda: not attacker.send(frames.frame(0x99)), "the server has hung up", deadline=6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_streams_that_never_end_on_many_connections(running_servers: Servers, kind: str) -> None:
    """Two thousand half-open requests: little memory for each, and a time limit for all."""
    server = running_servers.on("h2c").get("--body-timeout=0.7", "--min-body-rate=0", kind=kind)
    with bounded(server, growth=40 * MEGABYTE):
        attackers = [Attacker(server) for _ in range(20)]
        try:
            for attacker in attackers:
                assert attacker.send(b"".join(post(number) for number in range(100)))
            for attacker in attackers:
                end = time.monotonic() + 8
                over: set[int] = set()
                while not attacker.ended and len(over) < 100 and time.monotonic() < end:
                    attacker.read(0.05)
                    over = {
                        frame.stream
                        for frame in attacker.found
                        if frame.kind in {Type.RST_STREAM, Type.HEADERS}
                    }
                assert attacker.ended or len(over) == 100
        finally:
            for attacker in attackers:
                attacker.socket.close()
