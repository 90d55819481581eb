"""PEP 3333, clause by clause, through the real server: what the application sees, and what the client gets.

The framing of responses and hostile header values are in tests/conformance/test_responses.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.axes import KINDS, KINDS_OF
from harness.client import Client, Response
from harness.server import wait_for
from integration.live import Live, in_background, message

Serve = Callable[..., Live]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Servers by their options, shared by the tests of this module."""
    running: dict[Any, Live] = {}

    def get(*options: str, kind: str = "sync", environ: dict[str, str] | None = None) -> Live:
        key = (kind, options, tuple((environ or {}).items()))
        if key not in running:
            live = Live("pages:app", "--keep-alive=30", *options, kind=kind, environ=environ)
            running[key] = live.__enter__()
        return running[key]

    yield get
    for live in running.values():
        live.terminate()
    for live in running.values():
        live.stop()


@pytest.fixture(params=KINDS_OF["wsgi"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def live(serve: Serve, kind: str) -> Live:
    server = serve(kind=kind)
    events(server)
    return server


def events(live: Live) -> list[Any]:
    """What the application has noted since the last time."""
    found: list[Any] = json.loads(live.request("/events").body)
    return found


def wait_event(live: Live, *expected: Any) -> None:
    """Until the application has noted all of these, each once."""
    seen: list[Any] = []

    def have_come() -> bool:
        seen.extend(events(live))
        return all(event in seen for event in expected)

    wait_for(have_come, f"{expected!r}, there is {seen}")
    seen.extend(events(live))
    assert [seen.count(event) for event in expected] == [1] * len(expected)


def environ(live: Live, data: bytes) -> dict[str, Any]:
    """What the application gets for this request."""
    with live.connect() as client:
        client.send(data)
        response = client.response()
        assert response.status == 200, response
        values: dict[str, Any] = json.loads(response.body)["values"]
        return values


def get(path: str, *fields: str) -> bytes:
    return message(path, fields=fields)


# -- wsgiref.validate


BODIES = {
    "nothing": b"",
    "a line": b"one line\n",
    "lines": b"first\nsecond\r\n\nlast without an end",
    "binary": bytes(range(256)) * 40,
    "bigger than memory": b"0123456789abcde\n" * 5_000,
}


@pytest.mark.parametrize("buffering", ["--request-buffering", "--no-request-buffering"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("way", ["read", "pieces", "lines", "iterated", "unread"])
def test_wsgiref_validates(serve: Serve, kind: str, way: str, framing: str, buffering: str) -> None:
    live = serve(buffering, kind=kind)
    mark = live.log_mark()
    with live.connect() as client:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            for body in BODIES.values():
                if body and method in ("GET", "HEAD", "OPTIONS"):
                    continue
                if way == "unread" and len(body) > 60_000:
                    continue  # the connection would be closed, see limit_body_drain
                if framing == "chunked" and body:
                    half = len(body) // 2
                    client.send(
                        message(f"/valid/{way}", method=method, fields=["Transfer-Encoding: chunked"])
                        + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
                        % (half, body[:half], len(body) - half, body[half:])
                    )
                else:
                    client.send(message(f"/valid/{way}", method=method, body=body))
                response = client.response(method)
                assert response.status == 200, live.log(mark)
                expected = b"unread" if way == "unread" else body
                assert response.body == (b"" if method == "HEAD" else expected)
    log = live.log(mark)
    assert "AssertionError" not in log
    assert "garbage collected" not in log, "the validator saw an iterator that nobody closed"


# -- start_response and write()


def test_start_response_may_wait_for_the_first_piece(live: Live) -> None:
    assert live.request("/late-start").body == b"late"


def test_write_comes_before_the_iterable(live: Live) -> None:
    body = live.request("/write?3").body
    assert body == b"".join(b"%015d\n" % number * 4096 for number in range(3)) + b"last"


def test_write_waits_for_a_slow_client(serve: Serve, kind: str) -> None:
    """It holds the thread, as PEP 3333 wants it, but it does not pile up the body."""
    live = serve("--response-buffer-size=65536", kind=kind)
    events(live)
    count = 400  # 26 MB
    with live.connect(receive_buffer=4096, timeout=20) as client:
        client.send(get(f"/write?{count}"))
        client.read_until(b"\r\n\r\n")
        if kind == "gthread":  # another thread can be asked how far it has come
            taken = stable_count(live)
            assert taken < 200, "pieces of 64 KiB that a client took who reads nothing"
        client.buffer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + client.buffer
        body = client.response().body
    assert body == b"".join(b"%015d\n" % number * 4096 for number in range(count)) + b"last"


def test_write_after_the_end_is_refused(live: Live) -> None:
    """Somebody kept write(): nothing of it may come into the next response."""
    with live.connect() as client:
        client.send(get("/write-after-the-end") + get("/write-again") + get("/late-start"))
        assert client.response().body == b"done"
        assert client.response().body == b'"GatewayError"'
        assert client.response().body == b"late"


def test_exc_info_before_the_head_replaces_the_response(live: Live) -> None:
    response = live.request("/exc-info-before")
    assert (response.status, response.reason, response.body) == (500, "Oops", b"error page")
    assert response.get("X-First") is None
    assert response.get("X-Second") == "2"


def test_exc_info_after_the_head_is_raised_again(live: Live) -> None:
    mark = live.log_mark()
    with live.connect() as client:
        client.send(get("/exc-info-after"))
        response = client.response()
        assert (response.status, response.body) == (200, b"first")
        assert not response.complete, "the client must be able to tell that something is missing"
    assert events(live) == [["raised again", True]]
    wait_for(lambda: "after the head was sent" in live.log(mark), "the traceback is in the log")


# -- close()


@pytest.mark.parametrize("name", ["normal", "empty", "no-content", "fails-at-once", "fails-midway"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_close_is_called_once(live: Live, name: str, method: str) -> None:
    with live.connect() as client:
        client.send(message(f"/close/{name}", method=method))
        client.response(method)
    wait_event(live, f"closed {name}")


@pytest.mark.parametrize("name", ["never-started", "bad-piece"])
def test_close_is_called_where_the_server_refuses_the_answer(live: Live, name: str) -> None:
    assert live.request(f"/close/{name}").status == 500
    wait_event(live, f"closed {name}")


def test_close_of_a_list_is_called(live: Live) -> None:
    """It is a list, but it has a close()."""
    assert live.request("/close/list").body == b"ab"
    wait_event(live, "closed list")


def test_close_that_fails_is_logged_and_harms_nobody(live: Live) -> None:
    mark = live.log_mark()
    with live.connect() as client:
        client.send(get("/close/itself-fails"))
        assert client.response().body == b"0;1;"
    wait_event(live, "closed itself-fails")
    wait_for(lambda: "close() fails" in live.log(mark), "the traceback is in the log")


@pytest.mark.parametrize("name", ["generator", "endless"])
@pytest.mark.parametrize("end", ["reset", "orderly"])
def test_close_is_called_when_the_client_goes_away(live: Live, name: str, end: str) -> None:
    client = live.connect(receive_buffer=4096)
    client.send(get(f"/close/{name}"))
    client.read_exactly(100_000)
    if end == "reset":
        client.abort()
    else:
        client.close()
    wait_event(live, f"closed {name}")
    assert live.request("/late-start").status == 200


@pytest.mark.parametrize("name", ["generator", "endless"])
def test_close_is_called_after_head(live: Live, name: str) -> None:
    """Nobody wants the body, so an endless one must not be produced."""
    with live.connect() as client:
        client.send(message(f"/close/{name}", method="HEAD"))
        assert client.response("HEAD").status == 200
        client.send(get("/late-start"))
        assert client.response().body == b"late"
    wait_event(live, f"closed {name}")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_pieces_of_a_list_have_a_length(live: Live, method: str) -> None:
    """Also where the application returns an object whose iterator is a list's, as Django does: nothing of the
    application's runs between its pieces."""
    response = live.request("/close/list-iterator", method=method)
    assert response.get("Content-Length") == "7"
    assert response.body == (b"one;two" if method == "GET" else b"")
    wait_event(live, "closed list-iterator")


# -- pace


def stable_count(live: Live) -> int:
    """How many pieces the application was asked for, once no more are asked for."""
    count = 0

    def is_stable() -> bool:
        nonlocal count
        more = len(events(live)) + len(events(live))
        count += more
        return more == 0

    wait_for(is_stable, "the application is left alone", deadline=10)
    return count


def test_an_iterable_is_not_read_ahead_of_the_client(serve: Serve, kind: str) -> None:
    """And holds no thread meanwhile: with one thread (sync) the questions about it are answered."""
    live = serve("--response-buffer-size=65536", kind=kind)
    events(live)
    with live.connect(receive_buffer=4096) as client:
        client.send(get("/paced"))
        client.read_until(b"\r\n\r\n")
        taken = stable_count(live)
        # What fits into the sockets (4 MiB at most, net.ipv4.tcp_wmem), and one piece more.
        assert taken * 65536 < 8_000_000
        read = 0
        while read < 3_000_000:
            assert client.more()
            read += len(client.buffer)
            client.buffer = b""
        more = stable_count(live)
        assert 0 < more * 65536 < read + 8_000_000
        client.abort()
    assert live.request("/late-start").status == 200


@pytest.mark.parametrize("buffer_size", [1, 65536, 1_000_000])
def test_a_paused_iterable_goes_on_where_it_was(serve: Serve, kind: str, buffer_size: int) -> None:
    live = serve(f"--response-buffer-size={buffer_size}", kind=kind)
    expected = b"".join(b"%015d\n" % number * 4096 for number in range(200))
    with live.connect(receive_buffer=4096, timeout=20) as client:
        client.send(get("/paced?200"))
        client.more()
        assert live.request("/late-start").status == 200
        assert client.response().body == expected
        client.send(get("/late-start"))
        assert client.response().body == b"late"


def test_many_paused_iterables_and_one_thread(serve: Serve) -> None:
    """Each has its own place; the thread goes from one to the other as their clients read."""
    live = serve("--response-buffer-size=65536")
    clients = [live.connect(receive_buffer=4096, timeout=20) for _ in range(10)]
    for client in clients:
        client.send(get("/paced?100"))
    for client in clients:
        client.more()
    assert live.request("/late-start").status == 200
    expected = b"".join(b"%015d\n" % number * 4096 for number in range(100))
    for client in reversed(clients):
        assert client.response().body == expected
        client.close()


# -- contextvars


def test_a_context_ends_with_its_request(live: Live) -> None:
    with live.connect() as client:
        for number in range(10):
            client.send(get(f"/context?{number}"))
            assert json.loads(client.response().body) == ["unset", str(number)]


def test_a_context_belongs_to_its_response_alone(serve: Serve, kind: str) -> None:
    """Streams that are paused, resumed on whatever thread is free, and closed: all in their own context."""
    live = serve("--response-buffer-size=65536", kind=kind)
    events(live)
    names = ["a", "b", "c"]
    clients = [live.connect(receive_buffer=4096, timeout=20) for _ in names]
    for name, client in zip(names, clients, strict=True):
        client.send(get(f"/context/stream?{name}"))
    for client in clients:
        client.more()
    assert json.loads(live.request("/context?other").body) == ["unset", "other"]
    for name, client in zip(names, clients, strict=True):
        words = [word.strip() for word in client.response().body.split(b";")[:-1]]
        assert words == [b"unset"] + [name.encode()] * 150 + [f"{name}-late".encode()] * 50
        client.close()
    wait_event(live, *(["close", name, f"{name}-late"] for name in names))


def test_close_after_a_lost_client_sees_the_context(live: Live) -> None:
    with live.connect(receive_buffer=4096) as client:
        client.send(get("/context/stream?lost"))
        client.more()
        client.abort()
    seen: list[Any] = []
    wait_for(lambda: seen.extend(events(live)) or seen, "close() is called", deadline=5)
    assert seen[0][2].startswith("lost")


# -- wsgi.input

TEXT = b"first\nsecond line\n\r\nno end"
LINES = ["first\n", "second line\n", "\r\n", "no end"]
READS: dict[str, list[str]] = {
    "read": [TEXT.decode()],
    "read-minus-one": [TEXT.decode()],
    "read-none": [TEXT.decode()],
    "read-7": ["first\ns", "econd l", "ine\n\r\nn", "o end"],
    "read-more-than-there-is": [TEXT.decode(), "", ""],
    "read-0": ["", TEXT.decode()],
    "readline": LINES,
    "readline-5": ["first", "\n", "secon", "d lin", "e\n", "\r\n", "no en", "d"],
    "readlines": LINES,
    "readlines-hint": ["first\n", "second line\n", "|", "\r\n", "no end"],
    "iterated": LINES,
    "next": ["first\n", "sec", "ond line\n", "\r\n", "no end"],
    "mixed": ["first\n", "seco", "nd", " line\n", "\r\n", "no end", ""],
}


@pytest.mark.parametrize("buffering", ["--request-buffering", "--no-request-buffering"])
@pytest.mark.parametrize("framing", ["length", "chunked", "bytes"])
@pytest.mark.parametrize("reader", READS)
def test_input(serve: Serve, kind: str, reader: str, framing: str, buffering: str) -> None:
    """As a binary file, however its bytes arrive."""
    live = serve(buffering, kind=kind)
    path = f"/input?{reader}"
    with live.connect() as client:
        if framing == "chunked":
            client.send(message(path, method="POST", fields=["Transfer-Encoding: chunked"]))
            for at in range(0, len(TEXT), 4):
                piece = TEXT[at : at + 4]
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.send(b"0\r\n\r\n")
        elif framing == "bytes":
            for byte in message(path, method="POST", body=TEXT):
                client.send(bytes([byte]))
        else:
            client.send(message(path, method="POST", body=TEXT))
        response = client.response("POST")
        assert json.loads(response.body) == READS[reader]
        client.send(get("/late-start"))
        assert client.response().body == b"late"


@pytest.mark.parametrize("reader", ["read", "readline", "readlines", "iterated"])
@pytest.mark.parametrize("buffering", ["--request-buffering", "--no-request-buffering"])
def test_input_without_a_body_is_empty(serve: Serve, reader: str, buffering: str) -> None:
    response = serve(buffering).request(f"/input?{reader}")
    assert "".join(json.loads(response.body)) == ""


@pytest.mark.parametrize("memory", [0, 1_000_000])
def test_a_big_body_waits_in_a_temporary_file(serve: Serve, kind: str, memory: int) -> None:
    """`request_buffer_memory` is where it begins; nobody can find the file, and nothing of it stays."""
    live = serve(f"--request-buffer-memory={memory}", kind=kind)
    last = memory or 65536
    for size, place in [
        (100, "memory"),
        (65536, "memory"),
        (last, "memory"),
        (last + 1, "file"),
        (3_000_000, "file"),
    ]:
        where, length = json.loads(live.request("/input/kind", method="POST", body=b"b" * size).body)
        assert length == size
        assert (where == "memory") if place == "memory" else where.endswith("(deleted)"), (size, where)
    wait_for(lambda: not temporary_files(live), "the files are closed")


def temporary_files(live: Live) -> list[str]:
    """Unlinked files that a worker has open. The server's standard output is one of the test's own."""
    (worker,) = live.workers()
    output = str(Path(f"/proc/self/fd/{live.log_file.fileno()}").readlink())
    links = []
    for entry in Path(f"/proc/{worker}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:  # closed while we looked
            continue
    never_had_a_name = ("/dev/zero", "/memfd:")
    return [
        link
        for link in links
        if link.endswith("(deleted)") and link != output and not link.startswith(never_had_a_name)
    ]


def test_an_unbuffered_body_is_read_while_it_comes(serve: Serve, kind: str) -> None:
    """The answer has begun before the body is complete: only without buffering can it be so."""
    live = serve("--no-request-buffering", kind=kind)
    with live.connect() as client:
        client.send(message("/input/late", method="POST", fields=["Content-Length: 6"]))
        client.read_until(b"begun;")
        client.send(b"abcdef")
        assert b"6" in client.read_until(b"0\r\n\r\n")


# -- wsgi.file_wrapper

WHOLE = b"".join(b"%015d\n" % number for number in range(100_000))
FILES = {
    "disk": WHOLE,
    "opened": WHOLE,
    "unbuffered": WHOLE,
    "offset": WHOLE[1000:],
    "read-ahead": WHOLE[500:],
    "at-the-end": b"",
    "behind-the-end": b"",
    "memory": WHOLE,
    "filelike": WHOLE,
    "no-close": WHOLE,
    "gzip": WHOLE,
    "pipe": WHOLE,
    "spooled": WHOLE,
    "text-length": WHOLE,
}


@pytest.mark.parametrize("sendfile", ["--sendfile", "--no-sendfile"])
@pytest.mark.parametrize("name", FILES)
def test_file_wrapper(serve: Serve, kind: str, name: str, sendfile: str) -> None:
    """The client gets what read() would have given, from where the file stands."""
    if name == "pipe" and KINDS[kind].rare:
        pytest.skip("a file of the application's own waits outside of the hub, as its writer does for it")
    live = serve(sendfile, kind=kind)
    with live.connect() as client:
        for _ in range(2):
            client.send(get(f"/file?{name}"))
            response = client.response()
            assert response.complete
            assert response.body == FILES[name]
        client.send(message(f"/file?{name}", method="HEAD"))
        assert client.response("HEAD").status == 200
        client.send(get("/late-start"))
        assert client.response().body == b"late"


def test_a_sent_file_has_a_length(live: Live) -> None:
    assert live.request("/file?opened").get("Content-Length") == str(len(WHOLE))
    assert live.request("/file?offset").get("Content-Length") == str(len(WHOLE) - 1000)


@pytest.mark.parametrize("sendfile", ["--sendfile", "--no-sendfile"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/file?filelike", "/file/closed"])
def test_a_file_is_closed(serve: Serve, path: str, method: str, sendfile: str) -> None:
    live = serve(sendfile)
    events(live)
    live.request(path, method=method)
    wait_event(live, "closed")


def test_a_file_is_closed_when_the_client_goes_away(live: Live) -> None:
    for path in ("/file?filelike", "/file/closed"):
        with live.connect(receive_buffer=4096) as client:
            client.send(get(path))
            client.more()
            client.abort()
        wait_event(live, "closed")


def test_a_file_wrapper_can_be_iterated(live: Live) -> None:
    assert live.request("/file/iterated").body == b"ABC" * 10_000


def test_a_file_behind_write(live: Live) -> None:
    assert live.request("/file/after-write").body == b"written first;" + WHOLE


# -- early hints


def test_early_hints(live: Live) -> None:
    response = live.request("/hints")
    assert [hint.status for hint in response.interim] == [103, 103]
    assert response.interim[0].all("Link") == ["</style.css>; rel=preload", "</code.js>; rel=preload"]
    assert response.body == b"hinted"


def test_no_early_hints_in_http_1_0(live: Live) -> None:
    """RFC 9110 §15.2: a client of HTTP/1.0 does not expect a 1xx."""
    with live.connect() as client:
        client.send(b"GET /hints HTTP/1.0\r\n\r\n")
        response = client.response()
        assert (response.interim, response.status) == ([], 200)


# -- wsgi.errors


def test_errors_are_the_error_log(kind: str, tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    with Live("pages:app", kind=kind, errorlog=log) as live:
        live.request("/errors")
        text = live.wait_log("printed")
    for line in ("one line for the log", "two parts", "caf", "printed"):
        assert line in text


# -- environ


def test_environ_is_complete(live: Live) -> None:
    host, port = live.address
    with live.connect() as client:
        client.send(get("/path/x?a=1&b=%20", "Content-Type: text/x", "X-Custom: yes"))
        answer = json.loads(client.response().body)
        peer = client.name
    values, types = answer["values"], answer["types"]
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/path/x",
        "QUERY_STRING": "a=1&b=%20",
        "CONTENT_TYPE": "text/x",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": peer[0],
        "REMOTE_PORT": str(peer[1]),
        "RAW_URI": "/path/x?a=1&b=%20",
        "HTTP_HOST": "live.example",
        "HTTP_X_CUSTOM": "yes",
        "wsgi.url_scheme": live.wire.url_scheme,
        "wsgi.run_once": False,
        "wsgi.multiprocess": False,
        "wsgi.input_terminated": True,
    }
    assert {key: values.get(key) for key in expected} == expected
    assert values["SERVER_SOFTWARE"].startswith("tricorn/")
    assert answer["version"] == [1, 0]
    assert types["wsgi.version"] == "tuple"
    assert {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgi.early_hints"} <= set(types)
    assert "HTTP_CONTENT_TYPE" not in values
    assert "CONTENT_LENGTH" not in values
    assert all(kind == "str" for key, kind in types.items() if key.isupper())


@pytest.mark.parametrize(("options", "expected"), [((), False), (("--workers=2",), True)])
def test_multiprocess(options: tuple[str, ...], expected: bool) -> None:
    with Live("pages:app", *options) as live:
        assert environ(live, get("/"))["wsgi.multiprocess"] is expected


def test_multithread(serve: Serve) -> None:
    assert environ(serve(kind="sync"), get("/"))["wsgi.multithread"] is False
    assert environ(serve(kind="gthread"), get("/"))["wsgi.multithread"] is True


@pytest.mark.parametrize(
    ("path", "expected"), [("/shop/cart?x=1", "/cart"), ("/shop/", "/"), ("/shop", ""), ("/shop/a/b", "/a/b")]
)
def test_script_name_of_the_environment(serve: Serve, path: str, expected: str) -> None:
    values = environ(serve(environ={"SCRIPT_NAME": "/shop"}), get(path))
    assert (values["SCRIPT_NAME"], values["PATH_INFO"]) == ("/shop", expected)
    assert values["RAW_URI"] == path


def test_fields_of_one_name_are_joined(live: Live) -> None:
    """RFC 9110 §5.3; in the order in which they came."""
    values = environ(
        live, get("/", "X-List: a", "Accept: text/html", "x-list: b, c", "X-LIST:", "Accept: */*")
    )
    assert [word.strip() for word in values["HTTP_X_LIST"].split(",")] == ["a", "b", "c", ""]
    assert [word.strip() for word in values["HTTP_ACCEPT"].split(",")] == ["text/html", "*/*"]


def test_cookies_are_joined_as_cookies(live: Live) -> None:
    values = environ(live, get("/", "Cookie: a=1; b=2", "X-Between: 1", "Cookie: c=3"))
    assert values["HTTP_COOKIE"] == "a=1; b=2; c=3"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/caf%C3%A9", "/caf\xc3\xa9"),
        ("/caf%e9", "/caf\xe9"),
        ("/a%2Fb%2fc", "/a/b/c"),
        ("/%25%32%35", "/%25"),
        ("/a+b%20c", "/a+b c"),
        ("/%E2%98%83", "/\xe2\x98\x83"),
    ],
)
def test_paths_are_decoded_once_as_latin_1(live: Live, path: str, expected: str) -> None:
    values = environ(live, get(f"{path}?q=%C3%A9+%2F"))
    assert values["PATH_INFO"] == expected
    assert values["QUERY_STRING"] == "q=%C3%A9+%2F"
    assert values["RAW_URI"] == f"{path}?q=%C3%A9+%2F"


def test_field_values_are_latin_1(live: Live) -> None:
    assert environ(live, get("/", "X-Name: caf\xe9"))["HTTP_X_NAME"] == "caf\xe9"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("http://b.example/p/q?r=1", "/p/q", "r=1", "b.example"),
        ("http://b.example:81/", "/", "", "b.example:81"),
        ("http://b.example", "/", "", "b.example"),
        ("http://b.example?r=1", "/", "r=1", "b.example"),
    ],
)
def test_absolute_form(live: Live, target: str, path: str, query: str, host: str) -> None:
    """RFC 9112 §3.2.2: the authority of the target replaces Host."""
    data = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    values = environ(live, data)
    assert (values["PATH_INFO"], values["QUERY_STRING"], values["HTTP_HOST"]) == (path, query, host)


@pytest.mark.parametrize("size", [*range(1, 18), 24, 32, 47, 48, 49])
def test_names_that_differ_in_one_letter(live: Live, size: int) -> None:
    names = ["a" * at + "b" + "a" * (size - at - 1) for at in range(size)]
    for _ in range(2):
        values = environ(live, get("/", *[f"{name}: {at}" for at, name in enumerate(names)]))
        assert [values.get(f"HTTP_{name.upper()}") for name in names] == [str(at) for at in range(size)]


def test_each_request_has_its_own_host(live: Live) -> None:
    """Whatever the requests before it had; what comes twice in a row is kept for the next ones."""
    sent = ["a.example", "a.example", "a.example", None, "b.example", "a.example", "b.example"]
    sent += ["b.example", "b.example", None, "b.example", "a.example", "c" * 300, "c" * 300, "c" * 300, None]

    def seen(host: str | None) -> str | None:
        named = f"Host: {host}\r\n" if host else ""
        values = environ(live, f"GET / HTTP/1.{int(bool(host))}\r\n{named}\r\n".encode())
        value: str | None = values.get("HTTP_HOST")
        return value

    assert [seen(host) for host in sent] == sent


def test_each_request_has_an_environ_of_its_own(live: Live) -> None:
    """Nothing of one request is in the next one on the same connection."""
    with live.connect() as client:
        client.send(get("/a?b=1", "X-First: 1", "Content-Type: x/y") + get("/c"))
        first: Response = client.response()
        second = json.loads(client.response().body)["values"]
    assert b"HTTP_X_FIRST" in first.body
    assert not {"HTTP_X_FIRST", "CONTENT_TYPE"} & set(second)
    assert (second["PATH_INFO"], second["QUERY_STRING"]) == ("/c", "")


def test_threads_run_requests_side_by_side(serve: Serve) -> None:
    """Not one of them can be answered before all have arrived, if the clients wait for each other."""
    live = serve(kind="gthread")

    def ask(client: Client) -> bytes:
        client.send(get("/write?100"))
        return client.response().body

    clients = [live.connect(timeout=20) for _ in range(4)]
    with in_background(ask, clients[0]) as one, in_background(ask, clients[1]) as two:
        assert ask(clients[2]) == ask(clients[3])
    assert one == two
    for client in clients:
        client.close()
