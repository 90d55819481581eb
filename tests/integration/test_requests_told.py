"""What each request does now, as workers tell it, and what the master knows of those that do not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from harness.server import wait_for
from harness.websocket import Socket
from integration.live import Live, entered, message
from integration.test_control import Site

#: By path: it waits for a file before its response begins, when it has begun, or sends more than anybody
#: takes.
WSGI = """
import os, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/wait"):
        wait()
    start_response("200 OK", [])
    return answer(path)

def answer(path):
    if path == "/big":
        yield b"x" * 30_000_000
    yield b"x"
    if path == "/begin":
        wait()

def wait():
    while not os.path.exists("gate"):
        time.sleep(0.005)
"""

ASGI = """
import asyncio, os, time

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    path = scope["path"]
    if path == "/post":
        while (await receive()).get("more_body"):
            pass
    if path.startswith("/wait"):
        await wait()
    if path == "/block":
        open("block.in", "w").write(str(os.getpid()))
        while not os.path.exists("gate"):
            time.sleep(0.005)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = b"x" * (30_000_000 if path == "/big" else 1)
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if path == "/begin":
        await wait()
    await send({"type": "http.response.body", "body": b"x"})

async def wait():
    while not os.path.exists("gate"):
        await asyncio.sleep(0.005)
"""

#: Two run; four on a loop, where one whose body comes and one that is read run too.
LIMITS = {"gthread": "--threads=2", "asgi": "--max-concurrency=4"}


def serving(home: Path, kind: str, wire: str = "plain", **more: Any) -> Live:
    (home / "told_app.py").write_text(ASGI if kind == "asgi" else WSGI)
    options = (f"--control-socket={home}/ctl", LIMITS[kind], "--graceful-timeout=0.1", "--asgi-lifespan=off")
    options = options if kind == "asgi" else options[:-1]
    return Live("told_app:app", *options, kind=kind, wire=wire, chdir=home, **more)


def told(live: Live, home: Path) -> list[dict[str, Any]]:
    answer = Site(live, home, home / "ctl").ask({"do": "requests"})
    assert answer["ok"]
    return [each for worker in answer["data"] for each in worker["requests"]]


def phases(requests: list[dict[str, Any]]) -> dict[str, str]:
    return {f"{each['method']} {each['target']}": each["phase"] for each in requests}


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
@pytest.mark.parametrize("wire", ["plain", "h2c"])
def test_each_phase(tmp_path: Path, clients: ExitStack, kind: str, wire: str) -> None:
    with serving(tmp_path, kind, wire) as live:

        def begin(data: bytes) -> None:
            clients.enter_context(live.connect(timeout=10)).send(data)

        def has(*wanted: str) -> dict[str, dict[str, Any]] | None:
            found = {each["phase"]: each for each in told(live, tmp_path)}
            return found if set(found) >= set(wanted) else None

        begin(message("/post", method="POST", fields=("Content-Length: 10",)) + b"12345")
        begin(message("/wait?q=%22", fields=("X-Forwarded-For: 203.0.113.7",)))
        begin(message("/big"))
        wait_for(lambda: has("body", "application", "client"), "three have come")
        begin(message("/begin"))
        wait_for(lambda: has("responding"), "the fourth has begun")
        begin(message("/wait-too"))
        if wire == "plain":
            begin(b"GET /half HTTP/1.1\r\nHo")
        found = wait_for(lambda: has("waiting", *(["head"] if wire == "plain" else [])), "all are there")
        assert {phase: (each["method"], each["target"]) for phase, each in found.items()} == {
            "body": ("POST", "/post"),
            "application": ("GET", "/wait?q=%22"),
            "client": ("GET", "/big"),
            "responding": ("GET", "/begin"),
            "waiting": ("GET", "/wait-too"),
            **({"head": (None, None)} if wire == "plain" else {}),
        }
        assert found["application"]["client"] == "203.0.113.7"
        assert found["body"]["client"] == "127.0.0.1"
        assert found["application"]["http"] == (20 if wire == "h2c" else 11)
        assert found["responding"]["sent"] == 1
        assert all(0 < found[phase]["seconds"] < 10 for phase in found if phase != "head")
        (tmp_path / "gate").touch()


def test_a_websocket(tmp_path: Path) -> None:
    with serving(tmp_path, "asgi") as live, Socket(live, "/socket"):
        (found,) = told(live, tmp_path)
        assert (found["phase"], found["method"], found["target"]) == ("websocket", "GET", "/socket")


def test_a_loop_that_is_blocked_tells_nothing_and_the_master_what_it_knows(tmp_path: Path) -> None:
    with serving(tmp_path, "asgi") as live, live.connect(timeout=10) as client:
        client.send(message("/block"))
        pid = entered(tmp_path / "block")
        (worker,) = Site(live, tmp_path, tmp_path / "ctl").ask({"do": "requests"})["data"]
        (tmp_path / "gate").touch()
        assert worker["pid"] == pid
        assert isinstance(worker["silent"], str)
        (request,) = worker["requests"]
        assert (request["phase"], request["method"], request["target"]) == ("application", "GET", "/block")
        assert request["seconds"] > 0


@pytest.mark.slow
def test_two_who_ask_at_once_are_both_told(tmp_path: Path) -> None:
    """And who asks again is told what is then."""
    with serving(tmp_path, "gthread") as live, live.connect(timeout=10) as client:
        client.send(message("/wait"))
        answers: list[list[dict[str, Any]]] = []
        asking = [Thread(target=lambda: answers.append(told(live, tmp_path))) for _ in range(2)]
        for each in asking:
            each.start()
        for each in asking:
            each.join(10)
        assert [phases(found) for found in answers] == [{"GET /wait": "application"}] * 2
        (tmp_path / "gate").touch()
        assert client.response("GET").status == 200
        assert told(live, tmp_path) == []
