"""Server hooks: which is called when, in which process, with what; what follows when one raises.

tests/apps/hooks_conf.py notes every call; here the notes are read.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from harness.axes import KINDS
from harness.server import APPS, wait_for
from integration.answering import serving, told
from integration.live import Live, is_alive

CONF = APPS / "hooks_conf.py"

APP = """
def answer(path):
    return str(os.getpid())
"""

#: Asks its own environ or scope for the field that a hook adds.
ECHO = {
    "wsgi": """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/fails":
        raise ValueError("the application")
    for _ in range(500 * (environ["PATH_INFO"] == "/slow")):
        time.sleep(0.01)
    text = environ.get("HTTP_X_HOOK", "none").encode()
    environ["PATH_INFO"] = "/changed by the application"
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
""",
    "asgi": """
import asyncio

async def app(scope, receive, send):
    if scope["path"] == "/fails":
        raise ValueError("the application")
    await asyncio.sleep(5 * (scope["path"] == "/slow"))
    text = dict(scope["headers"]).get(b"x-hook", b"none")
    scope["path"] = "/changed by the application"
    scope["headers"] = []
    head = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": text})
""",
}


class Notes:
    """What hooks have noted so far."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "notes"

    @property
    def environ(self) -> dict[str, str]:
        return {"HOOK_NOTES": str(self.file)}

    def have_raise(self, name: str) -> None:
        """This hook raises from now on, NAME or NAME:EXCEPTION."""
        Path(f"{self.file}.raises").write_text(name)

    def all(self) -> list[dict[str, Any]]:
        text = self.file.read_text() if self.file.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # the last line may be on its way
        return [json.loads(line) for line in whole.splitlines()]

    def of(self, *moments: str, **given: object) -> list[dict[str, Any]]:
        found = [each for each in self.all() if each["moment"] in moments]
        return [each for each in found if all(each.get(name) == value for name, value in given.items())]

    def wait(self, moment: str, times: int = 1, **given: object) -> dict[str, Any]:
        """The last of so many."""
        wait_for(
            lambda: len(self.of(moment, **given)) >= times, f"{moment} {given} {times} times", deadline=10
        )
        return self.of(moment, **given)[times - 1]

    def moments(self, **given: object) -> list[str]:
        """In their order."""
        return [each["moment"] for each in self.all() if all(each.get(k) == v for k, v in given.items())]


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


def hooked(tmp_path: Path, notes: Notes, source: str, *options: str, kind: str, **more: Any) -> Live:
    environ = {**notes.environ, **more.pop("environ", {})}
    return serving(tmp_path, source, "-c", str(CONF), *options, kind=kind, environ=environ, **more)


#: Of all kinds, with and without a mold; some of them take a second.
LIVES = [
    ("sync", False),
    ("gthread", True),
    ("asgi", False),
    *(
        pytest.param(*life, marks=pytest.mark.slow)
        for life in [
            *[("sync", True), ("gthread", False), ("asgi", True)],
            *[("gevent", True), ("gevent", False), ("eventlet", True), ("eventlet", False)],
        ]
    ),
]


@pytest.mark.parametrize(("kind", "preload"), LIVES)
def test_a_whole_life(kind: str, preload: bool, tmp_path: Path, notes: Notes) -> None:
    options = ("--preload",) if preload else ()
    with hooked(tmp_path, notes, APP, *options, kind=kind, workers=2) as live:
        master = live.pid
        first = sorted(live.workers())
        _started(notes, live, first, kind, preload)
        _served(notes, live, kind)

        live.signal(signal.SIGTTIN)
        notes.wait("nworkers_changed", new=3, old=2)
        notes.wait("when_worker_ready", 3)
        live.signal(signal.SIGTTOU)
        notes.wait("nworkers_changed", new=2, old=3)
        gone = notes.wait("child_exit")["worker"]
        assert notes.moments(pid=gone)[-1] == "worker_exit"
        assert not is_alive(gone)

        _dies(notes, live, signal.SIGKILL, [])
        _dies(notes, live, signal.SIGABRT, ["worker_abort", "worker_exit"])
        _dies(notes, live, signal.SIGINT, ["worker_int", "worker_exit"])

        _wait_complete(notes, live)
        before = live.workers()
        ends = len(notes.of("child_exit"))
        live.signal(signal.SIGHUP)
        reload = notes.wait("on_reload")
        assert (reload["pid"], reload["since"], reload["number"]) == (master, "the start", 2)
        notes.wait("child_exit", ends + 2)
        assert {each["worker"] for each in notes.of("child_exit")[ends:]} == set(before)
        moments = notes.moments(pid=master)
        assert (
            moments.index("on_reload")
            == moments.index("nworkers_changed", moments.index("on_reload") - 1) + 1
        )
        live.wait_log("Reload done")

        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        moments = notes.moments(pid=master)
        assert moments[-4:] == ["on_drain", "child_exit", "child_exit", "on_exit"]
        assert len(notes.of("on_drain")[0]["workers"]) == 2
        assert notes.of("on_exit")[0]["workers"] == []
        # Every worker that was forked has ended once, with its figures, whoever has forked it.
        forked = [each["worker"] for each in notes.of("post_fork")]
        assert sorted(forked) == sorted(each["worker"] for each in notes.of("child_exit"))
        assert [each["age"] for each in notes.of("pre_fork")] == list(range(1, len(forked) + 1))
        assert "Traceback" not in live.log()


def _started(notes: Notes, live: Live, first: list[int], kind: str, preload: bool) -> None:
    notes.wait("when_worker_ready", 2)
    master = live.pid
    in_master = [each for each in notes.moments(pid=master) if each != "pre_fork"]
    assert in_master[:5] == [
        *("nworkers_changed", "on_starting", "when_ready"),
        *("when_worker_ready", "when_worker_ready"),
    ]
    assert notes.of("nworkers_changed")[0] | {"new": 2, "old": None} == notes.of("nworkers_changed")[0]
    starting, ready = notes.of("on_starting", "when_ready")
    assert (starting["listening"], starting["workers"], starting["number"]) == ([], [], 2)
    assert ready["listening"] == [f"{live.wire.url_scheme}://127.0.0.1:{live.address[1]}"]
    assert ready["workers"] == []
    forkers = {each["pid"] for each in notes.of("pre_fork")}
    assert forkers == set(live.molds() if preload else [master])
    for pid in first:
        fork, init = notes.of("post_fork", "post_worker_init", pid=pid)
        assert fork["mark"] == f"number {fork['age']}"  # what pre_fork has hung on it
        assert fork["forks"] == fork["age"]  # … and what it has changed elsewhere
        assert (fork["worker"], fork["ppid"], fork["since"]) == (pid, master, "the start")
        assert fork["app"] is None
        # Eventlet tells no thread that it is the main one.
        assert (init["app"], init["sockets"], init["main"]) == ("app", 1, kind != "eventlet")
        assert notes.wait("when_worker_ready", worker=pid)["pid"] == master


def _served(notes: Notes, live: Live, kind: str) -> None:
    """With one line of the request's, of the response's and of both objects' attributes."""
    worker = int(told(live, "/page%20one?a=1&b=2"))
    notes.wait("after_response", path="/page%20one")
    calls = [
        each for each in notes.of("pre_request", "post_request", "after_response") if "page" in each["path"]
    ]
    assert [each["moment"] for each in calls] == ["pre_request", "post_request", "after_response"]
    pre, post, after = calls
    assert {each["pid"] for each in calls} == {worker}
    for each in (pre, post):
        assert (each["method"], each["path"], each["query"]) == ("GET", "/page%20one", "a=1&b=2")
        assert (each["uri"], each["version"], each["scheme"]) == (
            "/page%20one?a=1&b=2",
            [1, 1],
            live.wire.url_scheme,
        )
        assert each["peer"][0] == "127.0.0.1"
        assert each["peer"][1] > 0
        assert each["headers"]["HOST"] == "live.example"
    assert (post["status"], post["code"], post["sent"]) == ("200 OK", 200, len(str(worker)))
    assert (post["length"], post["seen"], post["path_info"]) == (len(str(worker)), True, "/page one")
    assert {name.lower() for name in post["response"]} == {"content-length"}
    assert post["scope"] is (KINDS[kind].interface == "asgi")
    assert after["path_info"] == "/page one"
    assert pre["main"] is (kind != "gthread" and not KINDS[kind].rare)


def _wait_complete(notes: Notes, live: Live) -> None:
    """Until both workers are ready."""

    def are_ready() -> bool:
        workers = live.workers()
        return len(workers) == 2 and all(notes.of("when_worker_ready", worker=pid) for pid in workers)

    wait_for(are_ready, "both are ready", deadline=10)


def _dies(notes: Notes, live: Live, number: signal.Signals, moments: list[str]) -> None:
    """A worker of which somebody makes an end."""
    _wait_complete(notes, live)
    victim = live.workers()[0]
    before = notes.moments(pid=victim)
    live.signal(number, victim)
    end = notes.wait("child_exit", worker=victim)
    assert notes.moments(pid=victim)[len(before) :] == moments
    assert (end["pid"], end["alive"]) == (live.pid, False)
    assert victim not in end["living"]


def test_requests_that_are_not_as_others(kind: str, tmp_path: Path, notes: Notes) -> None:
    """A hook changes them, the application or the hook raises, they take too long, the worker has to go."""
    (tmp_path / "echoing.py").write_text(ECHO[KINDS[kind].interface])
    options = ("-c", str(CONF), "--asgi-lifespan", "off", "--request-timeout", "0.3")
    with Live("echoing:app", *options, kind=kind, chdir=tmp_path, environ=notes.environ) as live:
        (worker,) = live.workers()
        assert live.request("/changed").body == b"here"
        assert live.request("/other").body == b"none"
        # What the application has made of it is its own affair.
        post = notes.wait("post_request", path="/changed")
        assert post["headers"]["HOST"] == "live.example"
        assert post["headers"]["X-HOOK"] == "here"

        assert live.request("/fails").status == 500
        post = notes.wait("post_request", path="/fails")
        assert (post["status"], post["response"]) == ("500 Internal Server Error", {})

        assert live.request("/raises").status == 500
        assert notes.wait("post_request", path="/raises")["seen"] is True
        assert "the hook pre_request raised ValueError" in live.wait_log("on purpose")

        assert live.request("/slow").status == 504
        assert notes.wait("on_request_timeout", path="/slow")["main"] is False
        assert notes.wait("post_request", path="/slow")["status"] == "504 Gateway Timeout"
        assert notes.wait("after_response", path="/slow")

        assert live.request("/last").status == 200
        live.wait_log("to be alive no longer: a successor takes its place")
        assert notes.wait("child_exit", worker=worker)["nr"] == 7
        assert notes.wait("when_worker_ready", 2)["worker"] != worker


#: Hook that raises → exit code of the service, what its log says.
FATAL = {
    "on_starting": (1, "The hook on_starting raised ValueError"),
    "when_ready:SystemExit": (1, "The hook when_ready raised SystemExit"),
    "pre_fork": (3, "The hook pre_fork raised ValueError"),
    "pre_fork --preload": (3, "The hook pre_fork raised ValueError"),
    "post_fork": (3, "could not start: the hook post_fork raised ValueError"),
    "post_worker_init": (3, "could not start: the hook post_worker_init raised ValueError"),
}
#: Those that are tried first.
QUICK = ("on_starting", "when_ready:SystemExit", "pre_fork --preload", "post_fork")


@pytest.mark.parametrize(
    "raises",
    [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in FATAL],
)
def test_a_start_that_a_hook_forbids(raises: str, tmp_path: Path, notes: Notes) -> None:
    name, *options = raises.split(" ")
    code, said = FATAL[raises]
    notes.have_raise(name)
    socket = tmp_path / "control"
    options += ["--control-socket", str(socket)]
    live = hooked(tmp_path, notes, APP, *options, kind="sync").start(wait=False)
    try:
        assert live.wait_exit() == code
        assert said in live.log()
        assert "on purpose" in live.log()
        assert live.log().count("Traceback") == 1
        assert "\\x0A" not in live.log()  # it is a block of lines
        assert not socket.exists()
        assert len(notes.of("on_exit")) == (code == 3)
    finally:
        live.kill()


@pytest.mark.parametrize("name", ["on_starting", "when_ready"])
def test_a_start_that_waits_for_a_hook_ends_when_it_is_told_to(name: str, tmp_path: Path) -> None:
    socket = tmp_path / "control"
    (tmp_path / "conf.py").write_text(
        f"import time\ndef {name}(server):\n    server.log.info('Hanging')\n    time.sleep(60)\n"
    )
    options = ("-c", str(tmp_path / "conf.py"), "--control-socket", str(socket))
    live = serving(tmp_path, APP, *options, kind="sync").start(wait=False)
    try:
        live.wait_log("Hanging")
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        assert "Traceback" not in live.log()
        assert not socket.exists()
    finally:
        live.kill()


def test_a_service_that_runs_survives_its_hooks(tmp_path: Path, notes: Notes) -> None:
    """One after the other raises; the workers that there are serve on."""
    with hooked(tmp_path, notes, APP, kind="sync", workers=1) as live:
        for name in ("post_request", "after_response"):
            notes.have_raise(name)
            told(live, f"/{name}")
            live.wait_log(f"The hook {name} raised (GET /{name})")
        notes.have_raise("child_exit")
        live.signal(signal.SIGKILL, live.workers()[0])
        live.wait_log("The hook child_exit raised ValueError")
        notes.wait("when_worker_ready", 2)

        notes.have_raise("pre_fork")
        live.signal(signal.SIGTTIN)
        live.wait_log("The hook pre_fork raised ValueError")
        live.wait_log("Workers cannot be started: starting the next one in 0.")
        notes.have_raise("nworkers_changed")
        live.signal(signal.SIGTTOU)
        live.wait_log("The hook nworkers_changed raised ValueError")

        for name in ("nworkers_changed", "on_reload"):
            before = live.log().count("Reload failed")
            notes.have_raise(name)
            live.signal(signal.SIGHUP)
            live.wait_log(f"Reload failed; workers stay as they are, because the hook {name}")
            live.wait_log("Reload failed", times=before + 1)
        notes.have_raise("pre_exec")
        live.signal(signal.SIGUSR2)
        live.wait_log("the hook pre_exec raised ValueError")
        assert notes.of("pre_exec")[0]["pid"] != live.pid
        told(live, "/")

        notes.have_raise("on_exit")
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 1
        assert "The hook on_exit raised ValueError" in live.log()


#: As it is published for Gunicorn again and again. There is no number to spare.
NUMBERED = """
import os

def on_starting(server):
    server._worker_id_overload = set()

def nworkers_changed(server, new_value, old_value):
    server._worker_id_current_workers = new_value

def _next_worker_id(server):
    if server._worker_id_overload:
        return server._worker_id_overload.pop()
    in_use = set(w._worker_id for w in tuple(server.WORKERS.values()) if w.alive)
    free = set(range(1, server._worker_id_current_workers + 1)) - in_use
    return free.pop()

def on_reload(server):
    server._worker_id_overload = set(range(1, server.cfg.workers + 1))

def pre_fork(server, worker):
    worker._worker_id = _next_worker_id(server)

def post_fork(server, worker):
    os.environ["APP_WORKER_ID"] = str(worker._worker_id)
"""
NUMBER = """
def answer(path):
    return f"{os.getpid()} {os.environ['APP_WORKER_ID']}"
"""


@pytest.mark.parametrize("preload", ["--preload", pytest.param("--no-preload", marks=pytest.mark.slow)])
def test_a_successor_has_the_number_of_whom_it_replaces(preload: str, tmp_path: Path) -> None:
    """It is forked while the worker before it still serves, which the recipe sees alive no longer then."""
    (tmp_path / "conf.py").write_text(NUMBERED)
    options = ("-c", str(tmp_path / "conf.py"), preload, "--max-requests", "3")
    with serving(tmp_path, NUMBER, *options, kind="sync", workers=2) as live:
        seen: dict[str, str] = {}

        def are_six() -> bool:
            pid, number = told(live, "/").split()
            assert seen.setdefault(pid, number) == number
            return len(seen) >= 6

        wait_for(are_six, "they are replaced", deadline=10)
        assert set(seen.values()) == {"1", "2"}
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        assert "The hook" not in live.log()


SLOW = """
import signal, time

def nworkers_changed(server, new, old):
    while new == 2:
        time.sleep(0.01)

def when_worker_ready(server, worker):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
"""


@pytest.mark.slow  # the master is told twice to be patient
def test_a_hook_that_hangs_in_the_master(tmp_path: Path) -> None:
    """It is named, nobody is killed for it, and the master ends when it is told to."""
    (tmp_path / "conf.py").write_text(SLOW)
    with serving(tmp_path, APP, "-c", str(tmp_path / "conf.py"), "--timeout", "2", kind="sync") as live:
        live.wait_log("The hook when_worker_ready has changed the handlers of SIGTERM")
        live.wait_log("The hook when_worker_ready has changed the signal mask")
        (worker,) = live.workers()
        live.signal(signal.SIGTTIN)
        live.wait_log("The hook nworkers_changed has run for 5 s; the master waits for it")
        told(live, "/")
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        assert "The hook nworkers_changed was left, because the master is told to stop" in live.log()
        assert f"Worker {worker} has exited" in live.log()
        assert "suspended" not in live.log()
