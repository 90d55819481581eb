"""`tricorn.testing.serve`: any application, ready when the block begins, nothing left of it at the end."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import pytest
from harness.server import wait_for
from integration.live import children

from tricorn.config.errors import ConfigError
from tricorn.testing import StartError, serve


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
    return body


def saying(words: bytes) -> Callable[..., Any]:
    """A closure, which nobody could import."""

    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(words)))])
        return [words]

    return app


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Neither processes nor descriptors."""
    before = set(children(os.getpid()))
    descriptors = len(os.listdir("/proc/self/fd"))
    yield
    assert set(children(os.getpid())) <= before
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """What is imported by the first server opens descriptors once."""
    with serve(saying(b"")):
        assert True


def test_a_closure_is_served_and_its_log_is_there() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        print("printed by the application")
        environ["wsgi.errors"].write("written to wsgi.errors\n")
        return saying(b"hello")(environ, start_response)

    def of_the_test() -> None:
        print("an exit hook of the test")

    atexit.register(of_the_test)
    with serve(app, accesslog="-") as server:
        atexit.unregister(of_the_test)
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.host == "127.0.0.1"
        assert get(server.url) == b"hello"
        assert "is ready" in server.log
    assert server.exit_code == 0
    for said in (
        "printed by the application",
        "written to wsgi.errors",
        '"GET / HTTP/1.1" 200',
        "has stopped",
    ):
        assert said in server.log
    assert "an exit hook of the test" not in server.log
    with pytest.raises(urllib.error.URLError):
        get(server.url)


def test_asgi_with_its_lifespan() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = (await receive())["type"]
                print(event, flush=True)
                await send({"type": f"{event}.complete"})
                if event == "lifespan.shutdown":
                    return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["root_path"].encode()})

    with serve(app, root_path="/api") as server:
        assert get(server.url) == b"/api"
    assert server.log.count("lifespan.startup") == server.log.count("lifespan.shutdown") == 1


def test_the_applications_state_is_that_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name it is the module that the test has, with what it has changed there."""
    import plain

    monkeypatch.setattr(plain, "app", saying(b"patched"))
    with serve("plain:app") as server:
        assert get(server.url) == b"patched"


def test_several_at_once_beside_threads_and_from_one() -> None:
    """A lock that another thread holds is not waited for, and no warning of 3.12's is raised."""
    busy = threading.Event()
    others = [threading.Thread(target=busy.wait) for _ in range(3)]
    for thread in others:
        thread.start()
    answers: list[bytes] = []

    def ask() -> None:
        with serve(saying(b"in a thread")) as server:
            answers.append(get(server.url))

    try:
        with serve(saying(b"one")) as one, serve(saying(b"two"), threads=2) as two:
            asking = threading.Thread(target=ask)
            asking.start()
            assert {get(one.url), get(two.url)} == {b"one", b"two"}
            asking.join(20)
            assert answers == [b"in a thread"]
            one.stop()
            assert get(two.url) == b"two"
    finally:
        busy.set()
        for thread in others:
            thread.join()


def test_in_a_test_that_is_a_coroutine() -> None:
    async def test() -> bytes:
        with serve(saying(b"asked by a loop")) as server:
            return await asyncio.to_thread(get, server.url)

    assert asyncio.run(test()) == b"asked by a loop"


def test_a_test_that_fails() -> None:
    with pytest.raises(KeyboardInterrupt), serve(saying(b"")) as server:
        raise KeyboardInterrupt
    assert server.exit_code == 0
    server.stop()  # again: nothing


def test_a_server_that_is_broken() -> None:
    """And what the application has started is ended with it."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        return saying(b"%d" % subprocess.Popen(["sleep", "60"]).pid)(environ, start_response)

    with serve(app, workers=2) as server:
        family = [*children(server.pid), int(get(server.url))]
        assert len(family) == 3
        os.kill(server.pid, signal.SIGKILL)
    assert server.exit_code == -signal.SIGKILL
    wait_for(lambda: not any(map(is_running, family)), "they end")


PARENT = """
import os, sys, time
sys.path[:0] = {path!r}
from tricorn.testing import serve

def app(environ, start_response): ...

with serve(app, workers=2) as server:
    child = os.fork()  # somebody who outlives this process
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(os.getpid(), server.pid, child, flush=True)
    time.sleep(60)
"""


def test_the_tests_process_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(path=sys.path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    _, master, other = map(int, parent.stdout.readline().split())
    family = [master, *children(master)]
    try:
        assert len(family) == 3
        parent.kill()
        parent.wait()
        wait_for(lambda: not any(is_running(pid) for pid in family), "the server ends")
        assert is_running(other)
    finally:
        for pid in filter(is_running, [other, *family]):
            os.kill(pid, signal.SIGKILL)
        parent.stdout.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


NOT_STARTED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "no application": (lambda _: None, {}, StartError, "cannot be called with"),
    "it raises": (lambda: 1 / 0, {"factory": True}, StartError, "ZeroDivisionError: division by zero"),
    "no module": ("no_such_module:app", {}, StartError, "there is no module 'no_such_module'"),
    "a setting": (saying(b""), {"worker": 2}, ConfigError, "did you mean workers?"),
    "an address": (saying(b""), {"host": "host.invalid"}, Exception, "host 'host.invalid' not found"),
    "a check": (saying(b""), {"keyfile": "k"}, ConfigError, "there is no certificate for this key"),
}


@pytest.mark.parametrize(("app", "settings", "error", "said"), NOT_STARTED.values(), ids=NOT_STARTED)
def test_what_does_not_start(app: Any, settings: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught, serve(app, **settings):
        raise AssertionError("it has started")
    assert said in str(caught.value)


def test_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("TRICORN_TIMEOUT", "never")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nobody")
    monkeypatch.setenv("WATCHDOG_USEC", "1")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        return saying(json.dumps(environ["wsgi.multiprocess"]).encode())(environ, start_response)

    with serve(app) as server:
        assert get(server.url) == b"false"
        assert "NOTIFY_SOCKET" not in server.log


def test_a_unix_socket_has_no_url(tmp_path: Path) -> None:
    with serve(saying(b""), uds=str(tmp_path / "site.sock")) as server:
        assert (server.url, server.port) == ("", 0)
        assert (tmp_path / "site.sock").is_socket()


@pytest.mark.slow
def test_it_costs_little() -> None:
    """Processor time of all processes, with the end, beside that of an interpreter that imports what any
    server does: where other things run, and on slow machines, both take longer."""

    def spent() -> float:
        return time.process_time() + sum(getrusage(RUSAGE_CHILDREN)[:2])

    def cost(of: Callable[[], object]) -> float:
        started = spent()
        of()
        return spent() - started

    def once() -> None:
        with serve(saying(b"")):
            pass

    def imports() -> None:
        subprocess.run([sys.executable, "-I", "-c", "import asyncio, logging, ssl"], check=True)

    rounds = [(cost(once), cost(imports)) for _ in range(5)]
    assert min(ours / floor for ours, floor in rounds) < 1, rounds
