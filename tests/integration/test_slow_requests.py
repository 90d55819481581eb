"""Requests that were slow: they are recorded with where they were, and with whose fault it was."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.server import wait_for
from integration.live import Live, message
from integration.test_control import Site

#: What is slow, seconds.
SLOW = 0.1

#: More than sockets take.
SIZE = 16_000_000

WSGI = f"""
import os, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    if path == "/work":
        time.sleep({SLOW * 3})
    if path == "/gate":
        wait()
    start_response("200 OK", [])
    return (b"x" * 65536 for _ in range({SIZE} // 65536)) if path == "/big" else [b"x"]

def wait():
    while not os.path.exists("gate"):
        time.sleep(0.005)
"""

ASGI = f"""
import asyncio, os, time

async def app(scope, receive, send):
    path = scope["path"]
    while (await receive()).get("more_body"):
        pass
    if path == "/work":
        await asyncio.sleep({SLOW * 3})
    if path == "/block":
        time.sleep({SLOW * 5})
    if path == "/gate":
        while not os.path.exists("gate"):
            await asyncio.sleep(0.005)
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    if path == "/big":
        for _ in range({SIZE} // 65536):
            await send({{"type": "http.response.body", "body": b"x" * 65536, "more_body": True}})
    await send({{"type": "http.response.body", "body": b"x"}})
"""

TORNADO = f"""
import asyncio
from tornado.web import Application, RequestHandler

class Work(RequestHandler):
    async def get(self):
        await asyncio.sleep({SLOW * 3})
        self.write("x")

app = Application([("/work", Work)])
"""

#: One runs, the others wait for it.
LIMITS = {
    "gthread": ("--threads=1",),
    "asgi": ("--max-concurrency=1", "--asgi-lifespan=off"),
    "gevent": (),
    "tornado": (),
}
SOURCES = {"gthread": WSGI, "asgi": ASGI, "gevent": WSGI, "tornado": TORNADO}


def serving(home: Path, kind: str, *options: str, wire: str = "plain", **more: Any) -> Live:
    (home / "slow_app.py").write_text(SOURCES[kind])
    options = (f"--control-socket={home}/ctl", *LIMITS[kind], "--graceful-timeout=1", *options)
    return Live(
        "slow_app:app", f"--slow-request-time={SLOW}", *options, kind=kind, wire=wire, chdir=home, **more
    )


def slow_ones(live: Live, home: Path) -> list[dict[str, Any]]:
    answer = Site(live, home, home / "ctl").ask({"do": "slow"})
    assert answer["ok"], answer
    return list(answer["data"])


def until(live: Live, home: Path, is_it: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first one that is, once there is one."""

    def maybe_one() -> dict[str, Any] | None:
        found = next((each for each in slow_ones(live, home) if is_it(each)), None)
        if found is None:
            time.sleep(
                0.05
            )  # workers tell once a second, and the master takes no more than so many questions
        return found

    return wait_for(maybe_one, "it is recorded")


def over(path: str) -> Callable[[dict[str, Any]], bool]:
    return lambda each: each["path"] == path and each["is_over"]


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
@pytest.mark.parametrize("wire", ["plain", "h2c"])
def test_whose_fault_it_was(tmp_path: Path, kind: str, wire: str) -> None:
    with serving(tmp_path, kind, "--request-id-header=X-Request-ID", wire=wire) as live:
        with (
            live.connect(timeout=10) as reads,
            live.connect(timeout=10) as sends,
            live.connect(timeout=10) as one,
        ):
            reads.send(message("/big"))
            time.sleep(SLOW * 4)
            assert len(reads.response().body) > SIZE - 65536
            sends.send(message("/post", method="POST", fields=("Content-Length: 10",)) + b"12345")
            time.sleep(SLOW * 2)
            sends.send(b"12345")
            assert sends.response().status == 200
            one.send(message("/work?token=s3cret"))
            time.sleep(SLOW / 2)
            assert live.request("/waits").status == 200
            assert one.response().status == 200
        found = {path: until(live, tmp_path, over(path)) for path in ("/big", "/post", "/work", "/waits")}
        big = found.pop("/big")  # to make all of it may take longer than that, on a busy machine
        assert (big["client_reads"] >= SLOW * 2, big["sent"] > SIZE - 65536) == (True, True), big
        assert {path: each["slow"] for path, each in found.items()} == {
            "/post": "client",
            "/work": "application",
            "/waits": "server",
        }
        assert found["/post"]["client_sends"] >= SLOW
        assert found["/waits"]["waiting"] >= SLOW
        work = found["/work"]
        assert work["application"] >= SLOW * 2.9
        assert "s3cret" not in str(work)
        assert (work["method"], work["status"], work["http"]) == ("GET", 200, 20 if wire == "h2c" else 11)
        assert (work["pid"], len(work["id"]) > 8) == (live.workers()[0], True)
        for name, each in (*found.items(), ("/big", big)):
            parts = sum(each[part] for part in ("client_sends", "waiting", "application", "client_reads"))
            assert abs(parts - each["seconds"]) < 0.05, name
        stacks = work["stacks"]
        assert [round(each["after"] / SLOW) for each in stacks][:1] == [1]
        assert "slow_app.py" in stacks[0]["stack"]
        assert live.log().count("longer than slow_request_time: GET /work") == 1


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_one_that_goes_on_is_known_and_outlives_its_worker(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind) as live, live.connect(timeout=10) as one, live.connect(timeout=10) as other:
        one.send(message("/gate"))
        before = until(live, tmp_path, lambda each: each["path"] == "/gate")
        assert (before["is_over"], before["status"], before["slow"]) == (False, None, "application")
        assert "slow_app.py" in before["stacks"][0]["stack"]
        (tmp_path / "gate").touch()
        assert one.response().status == 200
        after = until(live, tmp_path, over("/gate"))
        assert (after["number"], after["status"]) == (before["number"], 200)
        assert after["change"] > before["change"]
        assert len(after["stacks"]) >= len(before["stacks"])
        (tmp_path / "gate").unlink()
        other.send(message("/gate"))
        until(live, tmp_path, lambda each: each["path"] == "/gate" and not each["is_over"])
        os.kill(before["pid"], signal.SIGKILL)
        live.wait_log("is ready", times=2)
        assert [each["is_over"] for each in slow_ones(live, tmp_path)] == [True, False]


def test_a_blocked_loop_shows_by_what(tmp_path: Path) -> None:
    with serving(tmp_path, "asgi") as live:
        assert live.request("/block").status == 200
        found = until(live, tmp_path, over("/block"))
        assert found["slow"] == "application"
        assert "time.sleep" in found["stacks"][0]["stack"]


@pytest.mark.parametrize("kind", ["gevent", "tornado"])
def test_other_kinds(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind, workers=1) as live:
        assert live.request("/work").status == 200
        found = until(live, tmp_path, over("/work"))
        assert (found["slow"], found["application"] >= SLOW * 2.9) == ("application", True)
        assert "slow_app.py" in found["stacks"][0]["stack"]


def test_what_is_recorded_last_is_told_when_the_worker_ends(tmp_path: Path) -> None:
    """By a worker that is replaced at once: it need not keep house again."""
    with serving(tmp_path, "gthread", "--max-requests=2") as live:
        assert live.request("/work").status == 200
        found = until(live, tmp_path, over("/work"))
        wait_for(lambda: found["pid"] not in live.workers(), "it has gone")
        assert [each["path"] for each in slow_ones(live, tmp_path)] == ["/work"]


def test_only_where_a_route_wants_it(tmp_path: Path) -> None:
    (tmp_path / "slow_app.py").write_text(WSGI)
    options = (f"--control-socket={tmp_path}/ctl", f"--route=/work slow_request_time={SLOW}", "--threads=4")
    with (
        Live("slow_app:app", *options, kind="gthread", chdir=tmp_path) as live,
        live.connect(timeout=10) as one,
    ):
        one.send(message("/gate"))
        assert live.request("/work").status == 200
        assert until(live, tmp_path, over("/work"))["route"] == "/work"
        (tmp_path / "gate").touch()
        assert one.response().status == 200
        assert [each["path"] for each in slow_ones(live, tmp_path)] == ["/work"]


def test_nothing_is_recorded_unless_it_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "slow_app.py").write_text(WSGI)
    with Live("slow_app:app", f"--control-socket={tmp_path}/ctl", kind="gthread", chdir=tmp_path) as live:
        answer = Site(live, tmp_path, tmp_path / "ctl").ask({"do": "slow"})
        assert (answer["ok"], "set slow_request_time" in answer["say"]) == (False, True)
