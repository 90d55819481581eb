"""A worker that is told to end does, whatever in it does not: within `graceful_timeout` and a few seconds."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.live import Live, is_alive, message

GRACEFUL = 0.5
A_FEW_SECONDS = 6.0

APP = """
import asyncio, atexit, ctypes, threading, time
from concurrent.futures import ThreadPoolExecutor

AGES = 10 ** 6
POOL = ThreadPoolExecutor(1)
BACKGROUND = []

def stuck():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def leave_behind(what):
    if what == "thread":
        threading.Thread(target=time.sleep, args=(AGES,), daemon=False).start()
    if what == "pool":
        POOL.submit(time.sleep, AGES)
    if what == "hook":
        atexit.register(time.sleep, AGES)

HELD_UP = {"sleep": lambda: time.sleep(AGES), "lock": stuck, "foreign": lambda: ctypes.CDLL(None).pause()}

def wsgi(environ, start_response):
    what = environ["QUERY_STRING"]
    if what in HELD_UP:
        environ["wsgi.errors"].write("held up\\n")
        HELD_UP[what]()
    leave_behind(what)
    start_response("200 OK", [])
    return [b"ok"]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    what = scope["query_string"].decode()
    if what in HELD_UP:
        print("held up", flush=True)
        HELD_UP[what]()
    if what == "background":
        BACKGROUND.append(asyncio.create_task(asyncio.to_thread(stuck)))
        await asyncio.sleep(0.05)
    if what == "threads-own-loop":
        started = threading.Event()
        async def on_its_own():
            waiting = asyncio.create_task(asyncio.to_thread(stuck))
            await asyncio.sleep(0.05)
            started.set()
            await waiting
        threading.Thread(target=asyncio.run, args=(on_its_own(),), daemon=True).start()
        started.wait()
    if what == "executor":
        print("held up", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, stuck)
    leave_behind(what)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""

#: What its client gets an answer for, and what not.
LEFT_BEHIND = ["thread", "pool", "hook"]
HELD_UP = ["sleep", "lock", "foreign"]


def ends(kind: str, what: str, directory: Path, *, is_held_up: bool) -> None:
    (directory / "ending.py").write_text(APP)
    app = "ending:asgi" if kind == "asgi" else "ending:wsgi"
    with Live(app, f"--graceful-timeout={GRACEFUL}", kind=kind, chdir=directory) as live:
        with live.connect() as client:
            client.send(message(f"/?{what}"))
            if is_held_up:
                live.wait_log("held up")
            else:
                assert client.response().body == b"ok"
            (worker,) = live.workers()
            start = time.monotonic()
            live.signal(signal.SIGTERM)
            live.wait_exit()
        assert time.monotonic() - start < GRACEFUL + A_FEW_SECONDS
        assert not is_alive(worker)


@pytest.mark.slow
@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_what_an_application_left_behind(kind: str, what: str, tmp_path: Path) -> None:
    ends(kind, what, tmp_path, is_held_up=False)


@pytest.mark.slow
@pytest.mark.parametrize("what", HELD_UP)
def test_a_request_that_hears_nothing(kind: str, what: str, tmp_path: Path) -> None:
    ends(kind, what, tmp_path, is_held_up=True)


@pytest.mark.slow
def test_a_task_that_waits_for_a_stuck_thread(tmp_path: Path) -> None:
    ends("asgi", "executor", tmp_path, is_held_up=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_a_worker_without_a_master(kind: str, what: str, tmp_path: Path) -> None:
    """Nobody is there to kill it."""
    (tmp_path / "ending.py").write_text(APP)
    app = "ending:asgi" if kind == "asgi" else "ending:wsgi"
    with Live(app, f"--graceful-timeout={GRACEFUL}", kind=kind, chdir=tmp_path) as live:
        assert live.request(f"/?{what}").body == b"ok"
        (worker,) = live.workers()
        live.signal(signal.SIGKILL)
        wait_for(
            lambda: not is_alive(worker), "the worker is gone", deadline=2 * GRACEFUL + 2 * A_FEW_SECONDS
        )


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("what", ["background", "threads-own-loop"])
def test_nobody_waits_for_a_thread_of_a_loops_executor(tmp_path: Path, loop: str, what: str) -> None:
    """Its task was cancelled, or its loop is a daemon's, and what it waits for never comes: no case for
    `graceful_timeout`."""
    (tmp_path / "ending.py").write_text(APP)
    with Live("ending:asgi", f"--asgi-loop={loop}", kind="asgi", chdir=tmp_path) as live:
        assert live.request(f"/?{what}").body == b"ok"
        start = time.monotonic()
        live.signal(signal.SIGTERM)
        assert live.wait_exit(15) == 0
        assert time.monotonic() - start < A_FEW_SECONDS
        assert "ERROR" not in live.log()
