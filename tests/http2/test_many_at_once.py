"""Requests side by side on one connection: who runs them, in which order, what becomes of those that are
given up."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.http2.frames import LARGEST_WINDOW, Code, Setting, Type, goaway, rst_stream, settings
from harness.server import Server, Servers, wait_for
from http2.cases import EITHER_KIND, opened
from integration.asgi import PAGES, Notes, open_gate
from integration.live import Live, entered

NO_CREDIT = {Setting.INITIAL_WINDOW_SIZE: 0}


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_they_run_side_by_side(server: Server, tmp_path: Path) -> None:
    """In as many threads as there are, or tasks; what comes later and is quicker is answered first."""
    gates = [tmp_path / f"gate{number}" for number in range(3)]
    with opened(server) as connection:
        slow = [connection.request(f"/block?{gate}&{gate}.in") for gate in gates]
        for gate in gates:
            wait_for(Path(f"{gate}.in").exists, "the request is in the application")
        assert connection.get("/quick").status == 200
        for number in (2, 0, 1):
            gates[number].touch()
            assert connection.answer(slow[number]).content == b'"released"'


def test_one_thread_takes_them_in_turn(running_servers: Servers, tmp_path: Path) -> None:
    """And reads, meanwhile, what others send; none is lost, none is called twice."""
    server = running_servers.on("h2c").get(kind="sync")
    gate = tmp_path / "gate"
    server.seen()
    with opened(server) as connection:
        slow = connection.request(f"/block?{gate}&{gate}.in")
        wait_for(Path(f"{gate}.in").exists, "the request is in the application")
        waiting = [connection.request(f"/{number}") for number in range(50)]
        connection.ping()
        assert not any(connection.strict.answers[stream].head for stream in waiting)
        gate.touch()
        assert connection.answer(slow).status == 200
        assert {connection.answer(stream).status for stream in waiting} == {200}
    paths = [request["path"] for request in server.seen()]
    assert sorted(paths) == sorted(["/block", *(f"/{number}" for number in range(50))])


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_threads_are_shared_among_connections(server: Server, tmp_path: Path) -> None:
    """A client with a hundred requests does not keep a thread from one with a single request for ever."""
    gate = tmp_path / "gate"
    with opened(server) as greedy, opened(server) as modest:
        streams = [greedy.request(f"/block?{gate}&{gate}.in") for _ in range(20)]
        wait_for(Path(f"{gate}.in").exists, "one of them is in the application")
        stream = modest.request("/")
        gate.touch()
        assert modest.answer(stream).status == 200
        assert {greedy.answer(stream).status for stream in streams} == {200}


def test_answers_do_not_mix(server: Server) -> None:
    """Bodies of different sizes both ways, twenty at a time."""
    with opened(server) as connection:
        for turn in range(10):
            bodies = [f"{turn}-{number};" * (number * 30 + 1) for number in range(20)]
            streams = [
                connection.request(f"/{n}", method="POST", body=text.encode())
                for n, text in enumerate(bodies)
            ]
            for stream, text in zip(streams, bodies, strict=True):
                answer = connection.answer(stream)
                assert answer.status == 200
                assert text.encode() in answer.content


def test_a_thousand_requests_on_one_connection(server: Server) -> None:
    with opened(server) as connection:
        for start in range(0, 1000, 50):
            streams = [connection.request(f"/{number}") for number in range(start, start + 50)]
            assert {connection.answer(stream).status for stream in streams} == {200}
            connection.strict.seen.clear()


def test_responses_of_every_kind_at_once(running_servers: Servers, kind: str) -> None:
    """One piece, pieces, files, failures, statuses without a body: each ends its own stream in its own
    way."""
    server = running_servers.on("h2c").get(kind=kind, app="misbehave:app")
    expected = {
        "/one-piece": (200, b"first"),
        "/generator": (200, b"first"),
        "/file": (200, b"first"),
        "/nothing": (200, b""),
        "/204": (204, b""),
        "/304": (304, b""),
        "/raises-at-once": (500, None),
        "/too-many": (200, b"first"),
        "/raises-midway": (200, None),
    }
    with opened(server) as connection:
        for _ in range(5):
            streams = {path: connection.request(path) for path in expected}
            for path, stream in streams.items():
                answer = connection.answer(stream)
                status, content = expected[path]
                assert answer.status == status
                assert content is None or answer.content == content
                assert answer.ended == (path != "/raises-midway")
        assert connection.get("/one-piece", method="HEAD").content == b""


# -- requests that are given up


def test_a_task_hears_of_a_reset_at_once(running_servers: Servers) -> None:
    """RST_STREAM is the end of that client for the application: http.disconnect, then OSError (ASGI 2.4)."""
    server = running_servers.on("h2c").get("--asgi-disconnect-grace-period=20", kind="asgi", app=PAGES)
    notes = Notes(server)
    with opened(server) as connection:
        stream = connection.request("/disconnect")
        notes.wait("entered")
        connection.send(rst_stream(stream, Code.CANCEL))
        assert notes.wait("message") == {"type": "http.disconnect"}
        assert notes.wait("error")
        assert connection.get("/quick").content == b"quick"
        connection.ping()
        assert not connection.strict.answers[stream].head, "nothing is sent on a stream that was reset"


def test_a_task_that_goes_on_is_cancelled(running_servers: Servers) -> None:
    server = running_servers.on("h2c").get("--asgi-disconnect-grace-period=0.1", kind="asgi", app=PAGES)
    mark, notes = server.log_mark(), Notes(server)
    with opened(server) as connection:
        stream = connection.request("/ignores-disconnect?many")
        notes.wait("entered")
        connection.send(rst_stream(stream))
        notes.wait("cancelled")
        assert connection.get("/quick").content == b"quick"
    assert "Traceback" not in server.log(mark)


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_a_request_that_is_given_up_before_its_turn_is_never_called(
    running_servers: Servers, kind: str, tmp_path: Path
) -> None:
    server = running_servers.on("h2c").get(kind=kind)
    gate = tmp_path / "gate"
    server.seen()
    with opened(server) as connection:
        busy = [connection.request(f"/block?{gate}&{gate}.{n}") for n in range(1 if kind == "sync" else 4)]
        for number in range(len(busy)):
            wait_for(Path(f"{gate}.{number}").exists, "every thread is in the application")
        streams = [connection.request(f"/{number}") for number in range(6)]
        for stream in streams[::2]:
            connection.send(rst_stream(stream))
        connection.ping()
        gate.touch()
        assert {connection.answer(stream).status for stream in (*busy, *streams[1::2])} == {200}
    paths = [request["path"] for request in server.seen()]
    assert sorted(path for path in paths if path != "/block") == ["/1", "/3", "/5"]


def test_a_reset_in_the_middle_of_an_answer(server: Server) -> None:
    """What was queued for it goes; the others, and the window of the connection, stay."""
    with opened(server, settings={Setting.INITIAL_WINDOW_SIZE: 1 << 24}) as connection:
        for path in ("/big?3000000", "/stream?3000000"):
            for _ in range(10):
                stream = connection.request(path)
                connection.head(stream)
                connection.send(rst_stream(stream))
            assert connection.get("/").status == 200
        assert len(connection.get("/big?300000").content) == 300_000


def test_a_reset_in_the_middle_of_a_body(server: Server) -> None:
    server.seen()
    with opened(server) as connection:
        connection.handshake()
        for _ in range(20):
            stream = connection.begin_request(
                connection.fields("POST", "/cut", [("content-length", "10")]), end=False
            )
            connection.send_data(stream, b"hello")
            connection.send(rst_stream(stream))
        assert connection.get("/next").status == 200
    assert [request["path"] for request in server.seen_whole()] == ["/next"]


def test_a_connection_that_is_reset_with_requests_under_way(server: Server) -> None:
    """Also where some of them have begun to answer, and others wait."""
    for _ in range(3):
        client = server.connect()
        connection = client.socket.connection
        connection.begin({})
        for number in range(20):
            connection.request(f"/big?{number}00000")
        client.abort()
    server.seen()
    with opened(server) as connection:
        assert connection.get("/").status == 200


# -- the end of a connection


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_an_idle_connection_is_closed_with_a_word(running_servers: Servers, kind: str) -> None:
    """RFC 9113 §9.1: GOAWAY, so that a client knows that nothing was lost."""
    server = running_servers.on("h2c").get("--keep-alive=0.3", kind=kind)
    with opened(server) as connection:
        assert connection.get("/").status == 200
        assert connection.ended_with() == Code.NO_ERROR
        assert connection.strict.goaway is not None
        assert connection.strict.goaway[0] in {1, LARGEST_WINDOW}


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_connection_with_a_request_is_not_idle(running_servers: Servers, kind: str, tmp_path: Path) -> None:
    server = running_servers.on("h2c").get("--keep-alive=0.3", kind=kind)
    gate = tmp_path / "gate"
    with opened(server) as connection:
        stream = connection.request(f"/block?{gate}")
        assert connection.is_quiet(0.7) or connection.strict.goaway is None
        gate.touch()
        assert connection.answer(stream).status == 200
        connection.wait_closed()


@pytest.mark.slow
@pytest.mark.parametrize("kind", EITHER_KIND)
def test_a_client_that_waits_in_silence_is_asked_whether_it_is_there(
    running_servers: Servers, kind: str, tmp_path: Path
) -> None:
    """By PING. One that answers may wait as long as it likes."""
    server = running_servers.on("h2c").get("--write-timeout=0.3", kind=kind)
    gate = tmp_path / "gate"
    with opened(server) as connection:
        stream = connection.request(f"/block?{gate}")
        connection.until(lambda: any(frame.kind == Type.PING for frame in connection.strict.seen), "a PING")
        assert connection.is_quiet(0.5) or connection.strict.goaway is None
        gate.touch()
        assert connection.answer(stream).status == 200


@pytest.mark.slow
def test_a_client_that_is_gone_without_a_word_loses_its_connection(
    running_servers: Servers, tmp_path: Path
) -> None:
    server = running_servers.on("h2c").get("--write-timeout=0.3", kind="asgi")
    with opened(server) as connection:
        connection.handshake().request(f"/block?{tmp_path / 'gate'}")
        connection._react = lambda _: None  # type: ignore[method-assign]
        connection.wait_closed()
        assert any(frame.kind == Type.PING for frame in connection.strict.seen)


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGTERM, id="TERM"), pytest.param(signal.SIGHUP, id="HUP", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_drain(kind: str, number: signal.Signals, tmp_path: Path) -> None:
    """RFC 9113 §6.8: GOAWAY twice, first with the highest number, then with the last one that is served.
    What was asked in between is answered, what comes behind is not begun, and the connection closes when all
    is answered."""
    gates = [tmp_path / f"gate{at}" for at in range(2)]
    with Live("life:app", kind=kind, wire="h2c") as live, ExitStack() as stack:
        connection = stack.enter_context(opened(live))
        idle = stack.enter_context(opened(live))
        assert idle.get("/").status == 200
        slow = [connection.request(f"/block?{gate}") for gate in gates]
        for gate in gates:
            entered(gate)
        live.signal(number)
        connection.until(lambda: connection.strict.goaway is not None, "GOAWAY")
        assert connection.strict.goaway is not None
        assert connection.strict.goaway[1] == Code.NO_ERROR
        assert idle.ended_with() == Code.NO_ERROR
        late = connection.request("/")
        gates[0].touch()
        assert connection.answer(slow[0]).content == b"released"
        gates[1].touch()
        assert connection.answer(slow[1]).content == b"released"
        connection.wait_closed()
        farewells = [frame for frame in connection.strict.seen if frame.kind == Type.GOAWAY]
        last = connection.strict.goaway[0]
        answer = connection.strict.answers[late]
        assert len(farewells) == 2
        assert int.from_bytes(farewells[0].payload[:4]) == LARGEST_WINDOW
        assert slow[-1] <= last < LARGEST_WINDOW
        assert answer.ended if late <= last else not answer.head, (
            "what is not served is not begun, and GOAWAY says so"
        )
        if number == signal.SIGTERM:
            assert live.wait_exit() == 0
        else:
            assert live.request("/").status == 200


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_what_comes_behind_the_last_goaway_counts(kind: str) -> None:
    """RFC 9113 §6.8: nobody serves it, but its fields are in the table (§4.3), and its bytes in the window of
    the connection, for those who are served."""
    with Live("echo:app", kind=kind, wire="h2c") as live, opened(live) as connection:
        connection.handshake()
        served = connection.begin_request(connection.fields("POST", "/"), end=False)
        connection.ping()
        live.signal(signal.SIGTERM)
        seen = connection.strict.seen
        connection.until(lambda: sum(frame.kind == Type.GOAWAY for frame in seen) == 2, "the last GOAWAY")
        for _ in range(4):
            late = connection.begin_request(
                connection.fields("POST", "/", [("x-late", "again and again")]), end=False
            )
            assert connection.send_data(late, b"l" * 50_000) == 50_000
        assert connection.send_data(served, b"s" * 200_000) == 200_000
        connection.begin_request([("x-late", "again and again")], end=True, stream=served)
        assert connection.answer(served).status == 200
        assert not connection.strict.answers[late].head
        assert connection.ended_with() == Code.NO_ERROR
        assert live.wait_exit() == 0


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_max_requests_counts_streams(kind: str) -> None:
    """The worker is replaced as with HTTP/1; what it has begun is answered."""
    with Live("life:app", "--max-requests=20", kind=kind, wire="h2c") as live, opened(live) as connection:
        served = 0
        while connection.strict.goaway is None and served < 5000:  # until another worker is ready
            streams = [connection.request("/") for _ in range(3)]
            for stream in streams:
                answer = connection.strict.answers[stream]
                connection.until(lambda answer=answer: answer.is_over or connection.ended, "its answer")
                served += answer.ended
        assert 15 <= served < 5000
        connection.wait_closed()
        live.wait_log("is ready", times=2)
        assert live.request("/").status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_client_that_closes_with_answers_under_way(server: Server) -> None:
    """Half-closed or gone: the server ends the connection, quietly."""
    mark = server.log_mark()
    with opened(server, settings=NO_CREDIT) as connection:
        for _ in range(5):
            connection.request("/big?100000")
        connection.ping()
        connection.send(goaway())
    server.seen()
    assert "Traceback" not in server.log(mark)


def test_work_behind_the_answer_goes_on(running_servers: Servers) -> None:
    """A background task of ASGI does not hold the stream, nor the connection."""
    server = running_servers.on("h2c").get(kind="asgi", app=PAGES)
    notes = Notes(server)
    with opened(server) as connection:
        assert connection.get("/background-task?many-at-once").content == b"answered"
        connection.send(settings())
        assert connection.get("/quick").content == b"quick"
    open_gate(server, "many-at-once")
    assert notes.wait("finished") == "many-at-once"
