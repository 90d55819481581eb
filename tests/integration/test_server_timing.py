"""`Server-Timing`: how long a response has taken, beside what the application says of itself."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from integration.live import Live, message

#: `/own` says something of itself, `/work` takes a while, `/file` is sent as a file, `/fails` is answered by
#: the server.
WSGI = """
import time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/work":
        time.sleep(0.1)
    if path == "/fails":
        raise ValueError
    own = [("Server-Timing", "db;dur=53")] if path == "/own" else []
    start_response("200 OK", [("Content-Type", "text/plain"), *own])
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    return [b"x"]
"""

ASGI = """
import asyncio

async def app(scope, receive, send):
    path = scope["path"]
    if path == "/work":
        await asyncio.sleep(0.1)
    if path == "/fails":
        raise ValueError
    own = [(b"server-timing", b"db;dur=53")] if path == "/own" else []
    headers = [(b"content-type", b"text/plain"), *own]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x"})
"""

TORNADO = """
import asyncio
from tornado.web import Application, RequestHandler

class Any(RequestHandler):
    async def get(self):
        path = self.request.path
        if path == "/work":
            await asyncio.sleep(0.1)
        if path == "/fails":
            raise ValueError
        if path == "/own":
            self.set_header("Server-Timing", "db;dur=53")
        self.write("x")

app = Application([("/.*", Any)])
"""

SOURCES = {"gthread": WSGI, "asgi": ASGI, "gevent": WSGI, "tornado": TORNADO}
LIMITS = {"gthread": ["--threads=1"], "asgi": ["--max-concurrency=1", "--asgi-lifespan=off"]}


def serving(home: Path, kind: str, *options: str, wire: str = "plain") -> Live:
    (home / "timed_app.py").write_text(SOURCES[kind])
    return Live("timed_app:app", *LIMITS.get(kind, []), *options, kind=kind, wire=wire, chdir=home)


def durations(field: str) -> dict[str, float]:
    """By name, seconds. The form is RFC 8941's list, as W3C Server Timing has it."""
    metrics = field.split(", ")
    assert all(re.fullmatch(r"[a-z]+;dur=\d+\.\d", each) for each in metrics), field
    return {each.partition(";")[0]: float(each.partition("=")[2]) / 1000 for each in metrics}


@pytest.mark.parametrize("kind", ["gthread", "asgi", "gevent", "tornado"])
@pytest.mark.parametrize("wire", ["plain", "h2c"])
def test_what_took_how_long(tmp_path: Path, kind: str, wire: str) -> None:
    with serving(tmp_path, kind, "--server-timing", wire=wire) as live:
        (field,) = live.request("/work").all("Server-Timing")
        found = durations(field)
        assert list(found) == ["wait", "app"]
        assert found["wait"] < 0.1
        assert 0.09 <= found["app"] < 5  # a loop's timer may be early by its clock's grain
        own, ours = live.request("/own").all("Server-Timing")
        assert own == "db;dur=53"
        assert list(durations(ours)) == ["wait", "app"]
        assert live.request("/file").status == 200
        assert len(live.request("/file").all("Server-Timing")) == 1
        assert len(live.request("/", method="HEAD").all("Server-Timing")) == 1
        assert live.request("/fails").status == 500
        if kind in LIMITS:
            with live.connect() as one, live.connect() as other:
                one.send(message("/work"))
                time.sleep(0.03)  # one of them is first
                other.send(message("/"))
                assert one.response().status == 200
                waited = durations(str(other.response().get("Server-Timing")))
                assert waited["wait"] >= 0.03 > waited["app"]


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_what_a_trusted_proxy_says(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind, "--server-timing") as live:
        # A hundredth more: the field is rounded, and the server's clock is coarse.
        fields = (f"X-Request-Start: t={time.time() - 100.01:.3f}",)
        found = durations(str(live.request("/", fields=fields).get("Server-Timing")))
        assert list(found) == ["queue", "wait", "app"]
        assert 100 <= found["queue"] < 115
    with serving(tmp_path, kind, "--server-timing", "--forwarded-allow-ips=192.0.2.1") as live:
        assert list(durations(str(live.request("/", fields=fields).get("Server-Timing")))) == ["wait", "app"]


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_nothing_is_said_unless_it_is_wanted(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind) as live:
        assert live.request("/work").all("Server-Timing") == []
        assert live.request("/own").all("Server-Timing") == ["db;dur=53"]
