"""Tornado's applications on the worker `tornado`: handlers, bodies, streams, WebSockets, ends.

What HTTP does is the transport's, which the shared tests are about; here is what Tornado makes of it.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.server import APPS, Server, Servers, wait_for
from harness.websocket import for_websockets
from integration.live import Live, message
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

APP = "tornado_site:app"
TERM, HUP = signal.SIGTERM, signal.SIGHUP
MEGABYTE = 1 << 20


@pytest.fixture
def server(servers: Servers) -> Server:
    options = ("--access-logfile=-", "--request-id-header=X-Request-Id", "--request-id-response")
    return servers.get(*options, app=APP, kind="tornado")


def get(server: Server, path: str) -> bytes:
    status, body = server.get(path)
    assert status == 200, (status, server.log()[-2000:])
    return body


def notes(server: Server) -> list[str]:
    found: list[str] = json.loads(get(server, "/log"))["log"]
    return found


def wait_note(server: Server, text: str) -> None:
    seen: list[str] = []

    def has_come() -> bool:
        seen.extend(notes(server))
        return text in seen

    wait_for(has_come, f"{text!r} in {seen}")


def test_a_class_of_its_own_on_it(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import tornado.web\nfrom tricorn.workers.base import Worker\n"
        "class Own(Worker):\n    kind = 'tornado'\n"
        "    def init_process(self):\n        self.log.info('Mine')\n"
        "class Hello(tornado.web.RequestHandler):\n    def get(self):\n        self.write('hello')\n"
        "app = tornado.web.Application([('/', Hello)])\n"
        "def wsgi(environ, start_response):\n    start_response('200 OK', [])\n    return [b'on a thread']\n"
    )
    for app, body in (("own:app", b"hello"), ("own:wsgi", b"on a thread")):
        with Live(app, "--worker-class", "own.Own", kind="tornado", chdir=tmp_path) as live:
            assert live.request("/").body == body
            assert "Mine" in live.log()


# -- handlers


def test_a_handler_on_a_kept_connection(server: Server) -> None:
    mark = server.log_mark()
    with server.connect() as client:
        client.send(message("/") * 3)
        for _ in range(3):
            response = client.response()
            assert (response.status, response.body, response.framing) == (200, b"hello", "length")
            assert response.get("X-Request-Id")
        etag = response.get("Etag")
        client.send(message("/", fields=[f"If-None-Match: {etag}"]))
        assert client.response().status == 304
        client.send(message("/nowhere"))
        assert client.response().status == 404
    protocol = server.wire.protocol
    wait_for(lambda: f'"GET /nowhere {protocol}" 404' in server.log(mark), "the line of the log")
    assert f'"GET / {protocol}" 200 5' in server.log(mark)


def test_what_a_handler_knows_of_its_request(server: Server) -> None:
    fields = ["X-Twice: a", "X-Twice: b", "Cookie: one=1; two=2", "X-Forwarded-For: 203.0.113.9"]
    with server.connect() as client:
        client.send(message("/request?a=1&a=2&b=%C3%A9", fields=fields))
        found = json.loads(client.response().body)
        assert found.pop("port") == 0  # the proxy has not said
    assert found == {
        "method": "GET",
        "uri": "/request?a=1&a=2&b=%C3%A9",
        "path": "/request",
        "query": "a=1&a=2&b=%C3%A9",
        "version": server.wire.protocol,
        "protocol": server.wire.url_scheme,
        "host": "live.example",
        "ip": "203.0.113.9",
        "arguments": {"a": ["1", "2"], "b": ["é"]},
        "twice": ["a", "b"],
        "cookies": {"one": "1", "two": "2"},
        "tls": server.wire.url_scheme == "https",
    }
    with server.connect() as client:
        client.send(b"GET http://other.example/request?x HTTP/1.1\r\nHost: live.example\r\n\r\n")
        found = json.loads(client.response().body)
        assert [found[key] for key in ("uri", "host")] == ["/request?x", "other.example"]
        if client.multiplexed:
            return
        client.send(b"GET /request HTTP/1.0\r\n\r\n")
        assert json.loads(client.response().body)["version"] == "HTTP/1.0"


def test_coroutines_and_their_contexts(server: Server) -> None:
    notes(server)
    with server.connect() as client:
        client.send(message("/coroutine") + message("/context") * 2)
        response = client.response()
        assert (response.framing, response.body) == ("chunked", b"one;two")
        assert [client.response().body for _ in range(2)] == [b"nothing", b"nothing"]
    assert notes(server) == ["flushed coroutine"]


def test_what_the_module_has_started_at_import_runs(server: Server) -> None:
    wait_for(lambda: int(get(server, "/timer")) > 2, "its PeriodicCallback")


def test_errors_are_tornados_and_bad_heads_are_not_sent(server: Server) -> None:
    mark = server.log_mark()
    with server.connect() as client:
        client.send(message("/raises"))
        response = client.response()
        assert (response.status, b"500: Internal Server Error" in response.body) == (500, True)
    assert "ValueError: on purpose" in server.log(mark)
    with server.connect() as client:
        client.send(message("/broken"))
        response = client.response()
        assert (response.status, response.get("X-Forged")) == (500, None)
    assert get(server, "/") == b"hello"


def test_files(server: Server) -> None:
    whole = (APPS / "tornado_site.py").read_bytes()
    with server.connect() as client:
        client.send(message("/static/tornado_site.py"))
        assert client.response().body == whole
        client.send(message("/static/tornado_site.py", fields=["Range: bytes=10-19"]))
        response = client.response()
        assert (response.status, response.body) == (206, whole[10:20])


@pytest.mark.slow
def test_a_slow_reader_makes_its_handler_wait(server: Server) -> None:
    notes(server)
    size = 16 * MEGABYTE
    with server.connect(receive_buffer=65536, timeout=20) as client:
        client.send(message(f"/large?{size}"))
        client.read_until(b"\r\n\r\n")
        wait_for(lambda: notes(server), "it writes")
        sent = 0
        while written := notes(server):  # it goes on
            sent = int(written[-1])
            time.sleep(0.05)
        assert sent < size // 2
        rest = client.read_until(b"\r\n0\r\n\r\n")
        assert rest.count(b"l") >= size - MEGABYTE
    with server.connect(receive_buffer=65536) as client:
        client.send(message(f"/large?{size}"))
        client.read_until(b"\r\n\r\n")
    wait_note(server, "closed")


# -- bodies


@pytest.mark.parametrize("size", [0, 10, MEGABYTE])
def test_a_body(server: Server, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    with server.connect(timeout=10) as client:
        client.send(message("/echo", method="POST", body=body) if size else message("/echo", method="POST"))
        assert client.response().body == body
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]) if part)
        head = message("/echo", method="POST", fields=["Transfer-Encoding: chunked"])
        client.send(head + chunks + b"0\r\n\r\n")
        assert client.response().body == body


@pytest.mark.parametrize("query", ["", "?slow"])
def test_a_streamed_body(server: Server, query: str) -> None:
    """And what its handler waits for stops the reading."""
    with server.connect(timeout=10) as client:
        client.send(message(f"/stream{query}", method="POST", body=b"b" * MEGABYTE))
        found = json.loads(client.response().body)
        assert found["size"] == MEGABYTE
        assert found["largest"] <= 131072
        head = message("/stream", method="POST", fields=["Expect: 100-continue", "Content-Length: 5"])
        client.send(head)
        assert client.interim().status == 100
        client.send(b"after")
        assert json.loads(client.response().body)["size"] == 5
        client.send(message("/stream", method="POST", fields=["Content-Length: 0"]))
        assert json.loads(client.response().body) == {"size": 0, "largest": 0}


def test_a_streamed_body_that_is_cut(server: Server) -> None:
    notes(server)
    with server.connect() as client:
        client.send(message("/stream", method="POST", fields=["Content-Length: 100"]) + b"part")
        client.finish()
        client.read_to_end()
    wait_note(server, "cut")


def test_an_answer_before_the_body_and_a_limit_of_the_handlers(server: Server) -> None:
    with server.connect() as client:
        client.send(message("/early?refuse", method="POST", fields=["Content-Length: 100"]))
        assert client.response().status == 403
    for framing, body in (
        ("Content-Length: 2000", b""),
        ("Transfer-Encoding: chunked", b"7d0\r\n" + b"x" * 2000 + b"\r\n"),
    ):
        with server.connect() as client:
            client.send(message("/early", method="POST", fields=[framing]) + body)
            assert client.response().status == 413
    with server.connect() as client:
        client.send(message("/early", method="POST", body=b"x" * 1000))
        assert client.response().body == b"all"


# -- clients that go


@pytest.mark.parametrize(("path", "note"), [("/silent", "left"), ("/silent?callback", "heard")])
def test_a_handler_hears_that_its_client_is_gone(server: Server, path: str, note: str) -> None:
    """By on_connection_close(), or by its own set_close_callback()."""
    notes(server)
    mark = server.log_mark()
    with server.connect() as client:
        client.send(message(path))
        wait_note(server, "waits")
    wait_note(server, note)
    wait_for(lambda: f'"GET {path} {server.wire.protocol}"' in server.log(mark), "its line in the log")


# -- WebSockets


def test_a_websocket(server: Server) -> None:
    mark = server.log_mark()
    notes(server)
    with connect(**for_websockets(server, "/ws"), subprotocols=["chat"], compression=None) as client:  # type: ignore[list-item]
        assert client.subprotocol == "chat"
        for text in ("one", b"two", "x" * 300_000):
            client.send(text)
            assert client.recv(10) == text
        client.ping().wait(10)
        client.send("close")
        with pytest.raises(ConnectionClosed) as ended:
            client.recv(10)
        assert (ended.value.rcvd and ended.value.rcvd.code) == 4001
    wait_note(server, "ended 4001")
    wait_for(lambda: '"GET /ws HTTP/1.1" 101' in server.log(mark), "its line in the log")


def test_a_compressed_websocket_whose_client_leaves(server: Server) -> None:
    notes(server)
    with connect(**for_websockets(server, "/ws?deflate")) as client:
        client.send("x" * 100_000)
        assert client.recv(10) == "x" * 100_000
        client.socket.shutdown(socket.SHUT_RDWR)
        wait_note(server, "ended None")


def test_an_error_in_a_websocket(server: Server) -> None:
    mark = server.log_mark()
    with connect(**for_websockets(server, "/ws")) as client:
        client.send("raise")
        with pytest.raises(ConnectionClosed):
            client.recv(10)
    wait_for(lambda: "ValueError: on purpose" in server.log(mark), "it is logged")
    assert get(server, "/") == b"hello"


def test_a_detached_connection(server: Server) -> None:
    with server.connect() as client:
        client.send(
            message("/detached", fields=["Connection: upgrade", "Upgrade: line"]) + b"with the head\n"
        )
        assert b" 101 " in client.read_until(b"\r\n\r\n")
        assert client.read_to_end() == b"with the head\n"
    with server.connect() as client:
        client.send(message("/detached"))
        assert client.response().status == 500


# -- the worker


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(TERM, 1001, id="stop"), pytest.param(HUP, 1012, id="reload", marks=pytest.mark.slow)],
)
def test_websockets_and_requests_when_the_worker_ends(number: signal.Signals, code: int, wire: str) -> None:
    with Live(APP, kind="tornado", wire=wire) as live, live.connect(timeout=10) as other:
        with connect(**for_websockets(live, "/ws")) as client:
            client.send("one")
            assert client.recv(10) == "one"
            other.send(message("/coroutine"))
            live.signal(number)
            assert other.response().body == b"one;two"
            other.close()
            with pytest.raises(ConnectionClosed) as ended:
                client.recv(10)
            assert (ended.value.rcvd and ended.value.rcvd.code) == code
        if number is HUP:
            live.wait_log("is ready", times=2)
            wait_for(lambda: len(live.workers()) == 1, "the old worker is gone")
            live.signal(TERM)
        assert live.wait_exit() == 0
        assert "Traceback" not in live.log()


def test_limits_of_the_application_and_hooks(tmp_path: Path) -> None:
    conf = tmp_path / "conf.py"
    conf.write_text(
        "def pre_request(worker, req):\n"
        "    req.headers = [*req.headers, ('X-TWICE', 'hook')]\n"
        "def post_request(worker, req, environ, resp):\n"
        "    worker.log.info('done %s %s', req.uri, resp.status)\n"
    )
    options = ("-c", str(conf), "--request-timeout=0.3", "--slow-request-time=0.1", "--max-concurrency=1")
    with Live(APP, *options, kind="tornado") as live:
        assert json.loads(live.request("/request").body)["twice"] == ["hook"]
        with live.connect(timeout=10) as client, live.connect(timeout=10) as waiting:
            client.send(message("/never"))
            live.wait_log("takes longer than slow_request_time: GET /never")
            waiting.send(message("/"))
            assert client.response().status == 504
            assert waiting.response().body == b"hello"
        assert json.loads(live.request("/log").body)["log"] == ["cancelled"]
        with live.connect(timeout=10) as client, live.connect() as ended:
            client.send(message("/never"))
            live.wait_log("takes longer than slow_request_time: GET /never", times=2)
            ended.send(message("/silent"))
            ended.finish()  # before its turn: its handler hears of it at once, not when its time is over
            assert client.response().status == 504
            wait_note(live, "left")
        assert "GET /silent" not in live.log()
        log = live.wait_log("done / 200 OK")
        assert "await asyncio.Event().wait()" in log
        live.signal(TERM)
        assert live.wait_exit() == 0


@pytest.mark.parametrize("app", ["tornado_site:make()", pytest.param("plain:app", marks=pytest.mark.slow)])
def test_factories_and_wsgi(app: str) -> None:
    with Live(app, kind="tornado") as live:
        assert live.request("/").status == 200
        live.signal(TERM)
        assert live.wait_exit() == 0


@pytest.mark.slow
def test_without_the_word_and_without_the_package(tmp_path: Path) -> None:
    tricorn = (sys.executable, "-m", "tricorn", "--chdir", str(APPS), "--bind", "127.0.0.1:0")
    run = subprocess.run((*tricorn, APP), capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert "is an application for Tornado; write --worker-class tornado" in run.stderr
    (tmp_path / "tornado.py").write_text("raise ModuleNotFoundError('hidden')")
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'tornado' else found(name, *more)\n"
    )
    run = subprocess.run(
        (*tricorn, "--worker-class", "tornado", "plain:app"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert run.returncode != 0
    assert "pip install 'tricorn[tornado]'" in run.stderr
    assert "Traceback" not in run.stderr
