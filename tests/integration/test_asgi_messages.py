"""receive() and send(): bodies as streams in both directions, back-pressure, the extensions of a response."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest
from harness.cases import SMUGGLED, chunked, head, post
from harness.server import Server, Servers, wait_for
from integration.asgi import PAGES, Notes, ask, get, open_gate, resident, worker_of

MEGABYTE = 1 << 20
#: What kernel buffers and the server's own may hold of a stream that nobody takes.
BOUND = 16 * MEGABYTE
FILE = bytes(range(256)) * 40  # of the page `/copy`

_names = itertools.count()


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(kind="asgi", app=PAGES)


@pytest.fixture
def gate() -> str:
    """The name of a gate that nobody has used."""
    return f"messages-{next(_names)}"


# -- the body of the request


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_is_not_read_is_left_to_the_client(server: Server, gate: str, framing: str) -> None:
    """20 MB wait outside: the server stops reading the socket, its memory does not grow, and none is lost."""
    size = 20 * MEGABYTE
    pid, notes = worker_of(server), Notes(server)
    path = f"/reads-late?{gate}".encode()
    with server.connect(timeout=30) as client:
        if framing == "length":
            client.send(post(b"", b"Content-Length: %d" % size, path=path))
            wire = b"b" * size
        else:
            client.send(chunked(b"", path=path))
            wire = (b"10000\r\n" + b"c" * 0x10000 + b"\r\n") * (size >> 16) + b"0\r\n\r\n"
        notes.wait("entered")
        before = resident(pid)
        sent = client.send_some(wire, until=time.monotonic() + 0.5)
        assert sent < BOUND
        assert resident(pid) - before < 3 * MEGABYTE
        open_gate(server, gate)
        client.send(wire[sent:])
        total, greatest = client.response("POST").body.split()
        assert int(total) == size
        assert int(greatest) <= MEGABYTE
        assert resident(pid) - before < 8 * MEGABYTE
        assert ask(client, "/quick").body == b"quick"


def test_a_body_is_given_as_it_comes(server: Server) -> None:
    """The application is called with the head alone, and hears of each piece at once."""
    notes = Notes(server)
    with server.connect() as client:
        client.send(chunked(b"", path=b"/reads-pieces"))
        notes.wait("entered")
        assert "message" not in notes
        for number, piece in enumerate((b"first", b"second"), 1):
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            message = notes.wait("message", times=number)
            assert message == {"type": "http.request", "body": piece.decode(), "more_body": True}
        client.send(b"0\r\n\r\n")
        assert notes.wait("message", times=3) == {"type": "http.request", "body": "", "more_body": False}
        assert client.response("POST").body == b"read"


def test_the_end_comes_with_the_last_piece_where_it_is_known(server: Server) -> None:
    notes = Notes(server)
    with server.connect() as client:
        client.send(post(b"hello", b"Content-Length: 5", path=b"/reads-pieces"))
        assert client.response("POST").body == b"read"
    assert notes.wait("message") == {"type": "http.request", "body": "hello", "more_body": False}


@pytest.mark.parametrize(
    ("raw", "rest"),
    [
        (chunked(b"5\r\nhello\r\n", path=b"/reads-pieces"), b"x\r\n"),
        (post(b"hell", b"Content-Length: 5", path=b"/reads-pieces"), b""),
    ],
    ids=["bad chunk", "cut"],
)
def test_a_body_that_breaks_off_is_a_disconnect(server: Server, raw: bytes, rest: bytes) -> None:
    """It is no end of the body: what is there of it may not be taken for all of it."""
    notes = Notes(server)
    with server.connect() as client:
        client.send(raw)
        notes.wait("entered")
        if rest:
            client.send(rest)
        else:
            client.finish()
        assert client.read_to_end().startswith(b"HTTP/1.1 400 ")
    wait_for(lambda: "message" in notes, "the application is told")
    wait_for(
        lambda: (
            "message" in notes
            and {"type": "http.disconnect", "body": ""} in [value for _, value in notes.all]
        ),
        "it hears of the end",
    )
    assert not any(key == "message" and value.get("more_body") is False for key, value in notes.all)


def test_100_continue_is_sent_when_the_application_asks(server: Server, gate: str) -> None:
    """RFC 9110 §10.1.1: until receive() is called, it may still refuse."""
    notes = Notes(server)
    with server.connect() as client:
        path = f"/reads-late?{gate}".encode()
        client.send(post(b"", b"Content-Length: 5", b"Expect: 100-continue", path=path))
        notes.wait("entered")
        assert client.is_quiet(0.1)
        open_gate(server, gate)
        assert client.interim().status == 100
        client.send(b"hello")
        total, _ = client.response("POST").body.split()
        assert total == b"5"


def test_the_body_behind_a_finished_response_is_none(server: Server, gate: str) -> None:
    """receive() says http.disconnect then: the exchange is over. The body is never the next request."""
    notes = Notes(server)
    with server.connect() as client:
        path = f"/answers-first?{gate}".encode()
        client.send(post(SMUGGLED, b"Content-Length: %d" % len(SMUGGLED), path=path) + get("/quick"))
        assert client.response("POST").body == b"answered"
        open_gate(server, gate)
        assert notes.wait("message") == "http.disconnect"
        after = client.maybe_response()
        assert after is None or after.body == b"quick"


# -- the response


def test_the_head_does_not_wait_for_the_first_event(server: Server, gate: str) -> None:
    """An event stream: a browser calls it open when the head is there, however late the first event is."""
    with server.connect() as client:
        client.send(get(f"/event-stream?{gate}"))
        received = client.read_until(b"\r\n\r\n")
        assert received.startswith(b"HTTP/1.1 200 ")
        assert client.buffer == b""
        open_gate(server, gate + "1")
        assert client.read_until(b"\n\n\r\n").endswith(b"data: 1")
        open_gate(server, gate + "2")
        assert client.read_until(b"\r\n0\r\n\r\n").endswith(b"data: 2\n\n")
        assert ask(client, "/quick").body == b"quick"


def test_a_client_that_does_not_read_makes_send_wait(server: Server) -> None:
    """Memory stays bounded, and all of it arrives as soon as the client reads."""
    size = 20 * MEGABYTE
    pid, notes = worker_of(server), Notes(server)
    before = resident(pid)
    with server.connect(receive_buffer=65536, timeout=30) as client:
        client.send(get(f"/download?{size}"))
        assert notes.wait("waits", deadline=10) < BOUND
        assert "sent" not in notes
        assert resident(pid) - before < 4 * MEGABYTE
        response = client.response()
        assert (len(response.body), response.complete) == (size, True)
        notes.wait("sent")
        assert resident(pid) - before < 8 * MEGABYTE
        assert ask(client, "/quick").body == b"quick"


@pytest.mark.parametrize(
    "spelling", ["computed", "read", "subclass", "more", "backwards", "mapping", "pairs"]
)
def test_keys_of_a_message_need_only_be_equal(server: Server, spelling: str) -> None:
    with server.connect() as client:
        response = ask(client, f"/spells?{spelling}")
    assert (response.status, response.body) == (201, b"spelt")
    assert response.get("content-type") == "text/plain"


def test_early_hints(server: Server) -> None:
    """RFC 8297: each message is one interim response, sent before the application goes on."""
    with server.connect() as client:
        response = ask(client, "/hint")
    assert [hint.status for hint in response.interim] == [103, 103]
    assert [hint.all("Link") for hint in response.interim] == [
        ["</a.css>; rel=preload", "</b.js>; rel=preload"],
        ["</c.png>; rel=preload"],
    ]
    assert response.body == b"hinted"


def test_early_hints_in_gunicorns_words(server: Server) -> None:
    """Its message for them is `http.response.informational`, which no specification has."""
    with server.connect() as client:
        response = ask(client, "/informational")
    assert [(hint.status, hint.get("Link"), hint.get("X-A")) for hint in response.interim] == [
        (103, "</a.css>; rel=preload", "b")
    ]
    assert (response.status, response.body) == (200, b"informed")


# -- trailers (RFC 9112 §7.1.2)


def test_trailers(server: Server) -> None:
    with server.connect() as client:
        client.send(get("/trailers", b"TE: trailers"))
        fields = client.read_until(b"\r\n\r\n").lower()
        assert b"\r\ntransfer-encoding: chunked" in fields
        assert client.read_until(b"0\r\n") == b"3\r\nfir\r\n2\r\nst\r\n"
        assert client.read_until(b"\r\n\r\n").split(b"\r\n") == [b"x-sum: 1", b"x-more: 2"]
        assert ask(client, "/quick").body == b"quick"


@pytest.mark.parametrize(
    ("lines", "version", "method"),
    [((), "1.1", "GET"), ((b"TE: trailers",), "1.0", "GET"), ((b"TE: trailers",), "1.1", "HEAD")],
    ids=["not asked for", "HTTP/1.0", "HEAD"],
)
def test_trailers_are_dropped(server: Server, lines: tuple[bytes, ...], version: str, method: str) -> None:
    """Where they cannot be sent; the application need not care. The client is strict about them."""
    with server.connect() as client:
        response = ask(client, "/trailers", *lines, version=version, method=method)
        assert response.status == 200
        assert response.complete
        assert response.body == (b"" if method == "HEAD" else b"first")
        if version == "1.1":
            assert ask(client, "/quick").body == b"quick"
        else:
            client.wait_closed()


@pytest.mark.parametrize("path", ["/bad-trailer", "/no-trailers"])
def test_a_response_whose_trailers_fail_has_no_end(server: Server, path: str) -> None:
    with server.connect() as client:
        client.send(get(path, b"TE: trailers"))
        received = client.read_to_end()
    assert b"s3cr3t" not in received
    assert received.endswith(b"\r\n5\r\nfirst\r\n"), received


# -- files


@pytest.mark.parametrize("size", [0, 1, 65536, 5_000_000])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pathsend(server: Server, tmp_path: Path, method: str, size: int) -> None:
    file = tmp_path / "file"
    content = bytes(range(251)) * (size // 251 + 1)
    file.write_bytes(content[:size])
    with server.connect() as client:
        response = ask(client, f"/path?{file}", method=method)
        assert response.status == 200
        assert response.get("Content-Length") == str(size)
        assert response.body == (b"" if method == "HEAD" else content[:size])
        assert ask(client, "/quick").body == b"quick"


def test_pathsend_of_what_is_no_file(server: Server, tmp_path: Path) -> None:
    """500 without a word about it; the log says which."""
    secret = tmp_path / "s3cr3t"
    for path in (secret, tmp_path):
        mark = server.log_mark()
        with server.connect() as client:
            response = ask(client, f"/path?{path}")
            assert response.status == 500
            assert b"s3cr3t" not in response.body
        server.seen()
        assert str(path) in server.log(mark)


@pytest.mark.parametrize(
    ("start", "steps", "expected"),
    [
        (0, [["copy", None, None]], FILE),
        (7, [["copy", None, None]], FILE[7:]),
        (7, [["copy", None, 9]], FILE[7:16]),
        (0, [["copy", 10, None]], FILE[10:]),
        (0, [["copy", 10, 5]], FILE[10:15]),
        (0, [["copy", 0, 0]], b""),
        (0, [["copy", len(FILE), None]], b""),
        (
            0,
            ["head;", ["copy", 1, 2], "middle;", ["copy", 3, 4], "tail"],
            b"head;\x01\x02middle;\x03\x04\x05\x06tail",
        ),
        (0, [["copy", 5000, 3000], ["copy", 0, 3000]], FILE[5000:8000] + FILE[:3000]),
        (0, [["copy", 1, 2], ""], b"\x01\x02"),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_zerocopysend(
    server: Server, method: str, version: str, start: int, steps: list[object], expected: bytes
) -> None:
    """Offset, count, several of them, mixed with pieces; in chunks or up to the end of the connection."""
    plan = json.dumps([start, *steps]).encode().hex()
    with server.connect() as client:
        response = ask(client, f"/copy?{plan}", version=version, method=method)
        assert response.status == 200
        assert response.complete
        assert response.body == (b"" if method == "HEAD" else expected)
        if version == "1.1":
            assert ask(client, "/quick").body == b"quick"


@pytest.mark.slow
def test_a_file_outlives_the_application_that_sent_it(server: Server) -> None:
    """The last send() returns at once, and the application may close its file: the client gets all of it."""
    size = 30 * MEGABYTE
    notes = Notes(server)
    with server.connect(receive_buffer=65536, timeout=30) as client:
        client.send(get(f"/copy-large?{size}"))
        client.read_until(b"\r\n\r\n")
        notes.wait("sent")
        taken = len(client.buffer)
        client.buffer = b""
        while taken < size:
            assert client.more()
            taken += len(client.buffer)
            client.buffer = b""
        assert taken == size
        assert ask(client, "/quick").body == b"quick"


def test_spans_that_wait_are_bounded(server: Server) -> None:
    """Ten thousand small ones from one file, and a client that does not read: no descriptor for each."""
    pid = worker_of(server)
    with server.connect(receive_buffer=4096, timeout=30) as client:
        client.send(get("/copy-often?10000"))
        client.read_until(b"\r\n\r\n")
        for _ in range(20):
            assert server.get("/quick")[0] == 200
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) < 100


# -- requests behind each other


def test_pipelined_requests_wait_for_a_slow_one(server: Server, gate: str) -> None:
    """In order, one at a time; what is behind it has not been called."""
    notes = Notes(server)
    with server.connect() as client:
        client.send(get(f"/waits?{gate}") + get("/quick"))
        notes.wait("entered")
        assert "quick" not in notes
        assert client.is_quiet(0.02)
        open_gate(server, gate)
        assert [client.response().body for _ in range(2)] == [b"waited", b"quick"]


def test_pipelined_requests_that_wait_are_bounded(server: Server, gate: str) -> None:
    """Behind a slow request a client may send what it likes: it is left in the socket."""
    request = get("/quick", b"X: " + b"x" * 4000)
    wire = request * 10_000
    pid, notes = worker_of(server), Notes(server)
    with server.connect(timeout=30) as client:
        client.send(get(f"/waits?{gate}"))
        notes.wait("entered")
        before = resident(pid)
        sent = client.send_some(wire, until=time.monotonic() + 0.5)
        assert sent < BOUND
        assert resident(pid) - before < 3 * MEGABYTE
        open_gate(server, gate)
        assert client.response().body == b"waited"
        for _ in range(sent // len(request)):
            assert client.response().body == b"quick"


def test_a_task_behind_the_response_does_not_hold_up_the_connection(server: Server, gate: str) -> None:
    """Starlette's BackgroundTask: the response is over, so is the exchange."""
    notes = Notes(server)
    with server.connect() as client:
        for number in range(3):
            assert ask(client, f"/background-task?{gate}{number}").body == b"answered"
        assert ask(client, "/quick").body == b"quick"
        assert "finished" not in notes
        for number in (2, 0, 1):
            open_gate(server, f"{gate}{number}")
        notes.wait("finished", times=3)
        assert [value[-1] for key, value in notes.all if key == "finished"] == ["2", "0", "1"]
        assert ask(client, "/quick").body == b"quick"


def test_a_failure_behind_the_response_is_logged(server: Server, gate: str) -> None:
    """Nobody can be told but the operator; the connection is in order."""
    mark = server.log_mark()
    with server.connect() as client:
        assert ask(client, f"/fails-behind?{gate}").body == b"answered"
        open_gate(server, gate)
        wait_for(
            lambda: "RuntimeError: behind the response" in server.log(mark), "the traceback is in the log"
        )
        assert ask(client, "/quick").body == b"quick"


def test_half_closed_clients_read_on(server: Server) -> None:
    """A client that has said all it wants to say is answered."""
    with server.connect() as client:
        client.send(head(start=b"GET /quick HTTP/1.1"))
        client.finish()
        assert client.response().body == b"quick"
        client.wait_closed()
