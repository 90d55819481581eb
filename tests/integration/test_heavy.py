"""Heavy workers in real servers: calls from each kind of worker, crashes, hangs, reloads, stops.

The forms in which applications are written and called are those that Gunicorn documents for dirty arbiters.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness.axes import KINDS
from harness.server import wait_for
from integration.live import Live, Load, in_background, is_alive, message

from tricorn.commands.ctl import main as ctl

TERM, HUP, KILL, QUIT = signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGQUIT

HEAVY = """
import ctypes, os, pathlib, time
from PACKAGE import DirtyApp, stash

HERE = pathlib.Path(__file__).parent

class Models(DirtyApp):
    def __init__(self):
        self.models = {}

    def init(self):
        self.models["base"] = len

    def load_model(self, name):
        self.models[name] = str.upper
        return {"loaded": True, "name": name}

    def inference(self, name, text):
        if name not in self.models:
            raise ValueError(f"Model not loaded: {name}")
        return self.models[name](text)

    def pid(self):
        return os.getpid()

    def version(self):
        return VERSION

    def user(self):
        return os.geteuid()

    def crash(self):
        ctypes.string_at(0)

    def hold(self):
        ctypes.PyDLL(None).usleep(20_000_000)

    def wait(self, gate):
        (HERE / f"{gate}.in").write_text(str(os.getpid()))
        while not (HERE / gate).exists():
            time.sleep(0.002)
        return gate

    def tokens(self, count):
        for number in range(count):
            yield f"token {number}\\n"

    def endless(self):
        (HERE / "endless.in").write_text("")
        try:
            while True:
                yield "more\\n"
                time.sleep(0.002)
        finally:
            (HERE / "endless.out").write_text("")

    def visit(self):
        visits = stash.get("visits", "count", 0) + 1
        stash.put("visits", "count", visits)
        return visits

    def close(self):
        with (HERE / "closed").open("a") as file:
            file.write(f"{os.getpid()}\\n")

class Rare(Models):
    workers = 1
"""

WSGI = """
import json
from PACKAGE import get_dirty_client, DirtyError

def app(environ, start_response):
    app_path, _, action = environ["PATH_INFO"].strip("/").partition("/")
    args = json.loads(environ["HTTP_X_ARGS"]) if "HTTP_X_ARGS" in environ else []
    client = get_dirty_client(timeout=20)
    if not action:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    if action.startswith("stream-"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (piece.encode() for piece in client.stream(f"heavy_app:{app_path}", action[7:], *args))
    try:
        status, found = "200 OK", client.execute(f"heavy_app:{app_path}", action, *args)
    except DirtyError as error:
        status, found = "500 Failed", [type(error).__name__, error.message]
    body = json.dumps(found).encode()
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]
"""

ASGI = """
import json
from PACKAGE import get_dirty_client_async, DirtyError

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    app_path, _, action = scope["path"].strip("/").partition("/")
    args = json.loads(dict(scope["headers"]).get(b"x-args", b"[]"))
    client = await get_dirty_client_async(timeout=20)
    status, body = 200, b"ok"
    if action.startswith("stream-"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for piece in client.stream_async(f"heavy_app:{app_path}", action[7:], *args):
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
        await send({"type": "http.response.body"})
        return
    if action:
        try:
            found = await client.execute_async(f"heavy_app:{app_path}", action, *args)
        except DirtyError as error:
            status, found = 500, [type(error).__name__, error.message]
        body = json.dumps(found).encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
"""


class Site(Live):
    """A server with heavy workers, whose requests are calls: /Models/pid."""

    def __init__(
        self,
        home: Path,
        *options: str,
        kind: str = "gthread",
        heavy: int = 1,
        apps: tuple[str, ...] = ("Models",),
        package: str = "tricorn.heavy",
        **more: Any,
    ) -> None:
        self.home = home
        self.package = package
        self.heavy = heavy
        self.control = home / "ctl"
        self.write()
        interface = ASGI if KINDS[kind].interface == "asgi" else WSGI
        (home / "heavy_site.py").write_text(interface.replace("PACKAGE", package))
        named = [f"--dirty-app=heavy_app:{app}" for app in apps]
        own = (f"--dirty-workers={heavy}", f"--control-socket={self.control}", *named)
        super().__init__("heavy_site:app", *own, *options, kind=kind, chdir=home, **more)
        self.wanted += heavy  # a heavy worker that is ready says so, too

    def write(self, version: int = 1) -> None:
        text = HEAVY.replace("PACKAGE", self.package).replace("VERSION", str(version))
        (self.home / "heavy_app.py").write_text(text)

    def _wait_ready(self) -> None:
        super()._wait_ready()
        wait_for(lambda: len(self.pool()["workers"]) >= self.heavy, "there are heavy workers")
        wait_for(lambda: self.pool()["ready"] == self.heavy, "heavy workers are ready")

    def call(self, path: str, *args: Any) -> Any:
        status, found = self.answer(path, *args)
        assert status == 200, f"{found}\n{self.log()}"
        return found

    def answer(self, path: str, *args: Any) -> tuple[int, Any]:
        response = self.request(f"/{path}", fields=[f"X-Args: {json.dumps(args)}"])
        return response.status, json.loads(response.body)

    def pool(self, name: str = "heavy") -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.control))
            lines = client.makefile("rb")
            lines.readline()
            client.sendall(b'{"do": "status"}\n')
            pools = json.loads(lines.readline())["data"]["pools"]
        found: dict[str, Any] = next(each for each in pools if each["name"] == name)
        return found

    def pids(self) -> list[int]:
        return [each["pid"] for each in self.pool()["workers"] if each["state"] == "ready"]

    def ctl(self, *words: str) -> int:
        return ctl(["--socket", str(self.control), *words])

    def is_inside(self, gate: str) -> None:
        wait_for((self.home / f"{gate}.in").exists, "the call runs")

    def open(self, gate: str) -> None:
        (self.home / gate).touch()


CALLERS = ["sync", "gthread", "asgi", "gevent", "eventlet"]


@pytest.mark.parametrize("kind", [kind for kind in CALLERS if kind in KINDS])
def test_every_kind_of_worker_calls(kind: str, tmp_path: Path) -> None:
    with Site(tmp_path, kind=kind) as site:
        (heavy,) = site.pids()
        assert site.call("Models/pid") == heavy
        assert site.call("Models/inference", "base", "four") == 4
        assert site.answer("Models/inference", "large", "x") == (
            500,
            ["DirtyAppError", "Model not loaded: large"],
        )
        assert site.call("Models/load_model", "large") == {"loaded": True, "name": "large"}
        assert site.call("Models/inference", "large", "x") == "X"
        assert site.answer("Nobody/pid")[1][0] == "DirtyAppNotFoundError"
        stream = site.request("/Models/stream-tokens", fields=["X-Args: [3]"])
        assert stream.body == b"token 0\ntoken 1\ntoken 2\n"
        site.terminate()
        assert site.wait_exit() == 0
        assert (tmp_path / "closed").read_text() == f"{heavy}\n"


@pytest.mark.parametrize("kind", [kind for kind in ("asgi", "gevent", "eventlet") if kind in KINDS])
def test_whoever_waits_for_a_call_holds_nobody_up(kind: str, tmp_path: Path) -> None:
    with Site(tmp_path, kind=kind) as site:
        with in_background(site.call, "Models/wait", "gate") as found:
            site.is_inside("gate")
            assert site.request("/").body == b"ok"
            site.open("gate")
        assert found == ["gate"]


def test_code_for_gunicorn_runs_where_that_is_installed_or_not(tmp_path: Path) -> None:
    with Site(tmp_path, package="gunicorn.dirty") as site:
        assert site.call("Models/pid") in site.pids()
        assert site.call("Models/visit") == 1


# -- what goes wrong ---------------------------------------------------------------------------------------


def test_a_crash_is_its_callers_error_and_nobody_elses(tmp_path: Path) -> None:
    with Site(tmp_path, "--metrics") as site:
        (before,) = site.pids()
        web = [pid for pid in site.workers() if pid != before]
        status, (kind, said) = site.answer("Models/crash")
        assert (status, kind) == (500, "DirtyWorkerError")
        assert "has ended" in said
        log = site.wait_log(f"Heavy worker {before} was killed by SIGSEGV")
        assert "it was busy with 'heavy_app:Models crash'" in log
        assert site.call("Models/pid") != before
        wait_for(lambda: figures(site)["calls", "lost"] == 1, "it is counted")
        assert set(web) <= set(site.workers())


def test_one_that_holds_the_gil_is_aborted(tmp_path: Path) -> None:
    with Site(tmp_path, "--dirty-timeout=1") as site:
        (before,) = site.pids()
        assert site.answer("Models/hold")[1][0] == "DirtyWorkerError"
        log = site.wait_log(f"Heavy worker {before} has shown no sign of life")
        assert "in hold" in log  # its stacks
        assert site.call("Models/pid") != before


def test_a_pool_that_does_not_start_leaves_the_web_workers_alone(tmp_path: Path) -> None:
    site = Site(tmp_path, heavy=0)
    (tmp_path / "heavy_app.py").write_text("import no_such_package\n")
    site.options = (*site.options, "--dirty-workers=1")
    with site:
        site.wait_log("raised while it was loaded")
        assert "no_such_package" in site.log()
        wait_for(lambda: site.answer("Models/pid")[1][0] == "DirtyNoWorkersAvailableError", "it is said")
        site.write()
        (heavy,) = wait_for(site.pids, "there is one")
        assert site.call("Models/pid") == heavy


def test_too_many_calls_are_refused_and_counted(tmp_path: Path) -> None:
    with Site(tmp_path, "--dirty-max-queue=1", "--threads=4", "--metrics") as site:
        with in_background(site.call, "Models/wait", "gate") as first:
            site.is_inside("gate")
            with in_background(site.call, "Models/pid") as second:
                wait_for(lambda: site.pool()["waiting"] == 1, "one waits")
                assert site.answer("Models/pid")[1][0] == "DirtyQueueFullError"
                site.open("gate")
        assert (first, second) == (["gate"], site.pids())
        site.answer("Models/inference", "none", "x")
        counted = {"ok": 2, "refused": 1, "failed": 1}
        wait_for(
            lambda: all(figures(site)["calls", each] == n for each, n in counted.items()), "all is counted"
        )


def figures(site: Site) -> dict[tuple[str, str], float]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(site.control))
        lines = client.makefile("rb")
        lines.readline()
        client.sendall(b'{"do": "metrics"}\n')
        families = {each["name"]: each["samples"] for each in json.loads(lines.readline())["data"]}
    calls = {("calls", labels["outcome"]): value for labels, value in families["tricorn_heavy_calls_total"]}
    workers = {("workers", labels["state"]): value for labels, value in families["tricorn_heavy_workers"]}
    return calls | workers


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_a_client_that_leaves_ends_the_stream(kind: str, tmp_path: Path) -> None:
    with Site(tmp_path, "--asgi-disconnect-grace-period=0.1", kind=kind) as site:
        with site.connect(timeout=10) as client:
            client.send(message("/Models/stream-endless"))
            wait_for(lambda: client.more() and b"more" in client.buffer, "it streams")
        wait_for((tmp_path / "endless.out").exists, "the generator is closed")
        assert site.call("Models/pid") in site.pids()


@pytest.mark.parametrize("kind", [kind for kind in CALLERS if kind in KINDS])
def test_a_client_that_leaves_ends_the_call(kind: str, tmp_path: Path) -> None:
    options = ("--asgi-disconnect-grace-period=0.1", "--metrics")
    with Site(tmp_path, *options, kind=kind) as site:
        with site.connect(timeout=10) as client:
            client.send(message("/Models/wait", fields=['X-Args: ["never"]']))
            site.is_inside("never")
        wait_for(lambda: figures(site)["calls", "cancelled"] == 1, "the call is given up")
        assert site.call("Models/pid") in site.pids()
        site.signal(TERM)
        assert site.wait_exit() == 0
        assert "Traceback" not in site.log()


# -- a life ------------------------------------------------------------------------------------------------


def test_a_stop_finishes_what_requests_wait_for(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        heavy = site.pids()
        with in_background(site.call, "Models/wait", "gate") as found:
            site.is_inside("gate")
            site.signal(TERM)
            site.wait_log("stopping")
            assert all(map(is_alive, heavy))
            site.open("gate")
        assert found == ["gate"]
        assert site.wait_exit() == 0
        assert "failed" not in site.log()


def test_a_quick_stop_waits_for_nobody(tmp_path: Path) -> None:
    with Site(tmp_path) as site, site.connect(timeout=10) as client:
        client.send(message("/Models/wait", fields=['X-Args: ["never"]']))
        site.is_inside("never")
        site.signal(QUIT)
        assert site.wait_exit(5) == 0


def test_without_their_master_they_end(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        heavy = site.pids()
        site.call("Models/visit")
        everybody = site.workers()
        assert set(heavy) < set(everybody)
        assert len(everybody) == 3  # the stash, too
        site.signal(KILL)
        wait_for(lambda: not any(map(is_alive, everybody)), "all have ended", deadline=10)


def test_a_reload_brings_new_code_and_loses_nothing(tmp_path: Path) -> None:
    with Site(tmp_path, heavy=2) as site:
        before = site.pids()
        assert site.call("Models/version") == 1
        with Load(site, "/Models/pid", clients=2) as load:
            load.wait_served(5)
            site.write(version=2)
            assert site.ctl("reload") == 0
            load.wait_served(5)
            load.check()
        assert site.call("Models/version") == 2
        assert not set(before) & set(site.pids())


def test_a_reload_whose_heavy_code_is_broken_keeps_what_works(tmp_path: Path, capsys: Any) -> None:
    with Site(tmp_path) as site:
        before = site.pids()
        good = (tmp_path / "heavy_app.py").read_text()
        (tmp_path / "heavy_app.py").write_text("import no_such_package\n")
        assert site.ctl("reload") == 1
        assert "heavy workers do not start" in capsys.readouterr().err
        assert site.pids() == before
        assert site.call("Models/pid") == before[0]
        (tmp_path / "heavy_app.py").write_text(good)
        assert site.ctl("reload") == 0
        assert site.pids() != before


def test_a_reload_begins_and_ends_them(tmp_path: Path) -> None:
    config = tmp_path / "own.conf.py"
    config.write_text("dirty_workers = 1\n")
    site = Site(tmp_path, f"--config={config}")
    site.options = tuple(each for each in site.options if not each.startswith("--dirty-workers"))
    with site:
        (before,) = site.pids()
        config.write_text("dirty_workers = 0\n")
        assert site.ctl("reload") == 0
        wait_for(lambda: not is_alive(before), "it has ended")
        assert site.answer("Models/pid")[1] == [
            "DirtyError",
            "there are no heavy workers; set dirty_apps and dirty_workers",
        ]
        config.write_text("dirty_workers = 2\n")
        assert site.ctl("reload") == 0
        assert len(site.pids()) == 2
        assert site.call("Models/pid") in site.pids()


def test_there_can_be_more_and_fewer(tmp_path: Path, capsys: Any) -> None:
    with Site(tmp_path, "--metrics") as site:
        assert site.ctl("scale", "heavy", "3") == 0
        assert len(site.pids()) == 3
        assert figures(site)["workers", "ready"] == 3
        assert site.ctl("scale", "heavy", "-2") == 0
        assert site.ctl("dirty", "add") == 0
        capsys.readouterr()
        assert site.ctl("workers") == 0
        assert capsys.readouterr().out.count("heavy ready") == 2
        assert site.ctl("scale", "heavy", "0") == 1
        assert site.ctl("scale", "nobody", "2") == 1
        assert "There is no pool 'nobody'" in capsys.readouterr().err
        first, second = site.pids()
        assert site.ctl("dump", str(first)) == 0
        assert f"Worker {first}" in capsys.readouterr().out
        assert site.ctl("replace", str(first)) == 0
        assert f"Worker {first}" in capsys.readouterr().out
        assert first not in site.pids()
        assert second in site.pids()
        assert site.ctl("kill", str(second)) == 0
        assert f"Worker {second} was killed" in capsys.readouterr().out
        wait_for(lambda: len(site.pids()) == 2, "there are two again")


def test_what_not_all_have_is_where_it_is(tmp_path: Path) -> None:
    with Site(tmp_path, heavy=2, apps=("Models", "Rare")) as site:
        (rare,) = {site.call("Rare/pid") for _ in range(4)}
        assert rare in site.pids()
        os.kill(rare, KILL)
        wait_for(lambda: rare not in site.pids() and len(site.pids()) == 2, "it is replaced")
        assert site.call("Rare/pid") in site.pids()
        assert site.ctl("scale", "heavy", "1") == 0
        assert site.call("Rare/pid") in site.pids()
        assert site.call("Models/pid") in site.pids()


def test_the_stash_outlives_workers_and_reloads(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        assert site.pool("stash")["workers"] == []  # nobody has asked
        assert site.call("Models/visit") == 1
        (kept,) = [each["pid"] for each in site.pool("stash")["workers"]]
        os.kill(site.pids()[0], KILL)
        wait_for(lambda: site.pool()["ready"] == 0, "it has gone")
        assert site.call("Models/visit") == 2
        assert site.ctl("reload") == 0
        assert site.call("Models/visit") == 3
        assert [each["pid"] for each in site.pool("stash")["workers"]] == [kept]


def test_hooks_are_called_where_gunicorn_says(tmp_path: Path) -> None:
    config = tmp_path / "own.conf.py"
    config.write_text(
        f"""
import os
def note(*what):
    with open({str(tmp_path / "notes")!r}, "a") as file:
        print(os.getpid(), *what, file=file)
def on_dirty_starting(arbiter): note("starting", arbiter.pid)
def dirty_post_fork(arbiter, worker): note("forked", worker.pid)
def dirty_worker_init(worker): note("loaded", worker.pid)
def dirty_worker_exit(arbiter, worker): note("ended", worker.pid)
"""
    )
    with Site(tmp_path, f"--config={config}") as site:
        (heavy,) = site.pids()
        site.terminate()
        assert site.wait_exit() == 0
        assert (tmp_path / "notes").read_text().splitlines() == [
            f"{site.pid} starting {site.pid}",
            f"{heavy} forked {heavy}",
            f"{heavy} loaded {heavy}",
            f"{site.pid} ended {heavy}",
        ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_calls_and_is_called(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == 0 and each != Path("/tmp") and str(each).startswith("/tmp/"):
            each.chmod(each.stat().st_mode | 0o055)
    with Site(tmp_path, "--user=nobody", f"--env=PYTHONPATH={tmp_path}") as site:
        assert site.call("Models/user") == nobody
        assert site.call("Models/visit") == 1


def test_a_preloaded_application_calls(tmp_path: Path) -> None:
    with Site(tmp_path, "--preload") as site:
        assert site.call("Models/pid") in site.pids()


@pytest.mark.slow
def test_calls_go_on_under_load_while_heavy_workers_are_killed(tmp_path: Path) -> None:
    with Site(tmp_path, "--threads=4", heavy=2) as site:
        counts: Counter[str] = Counter()
        is_over = threading.Event()

        def calls() -> None:
            while not is_over.is_set():
                status, found = site.answer("Models/pid")
                counts["ok" if status == 200 else found[0]] += 1

        threads = [threading.Thread(target=calls) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            wait_for(lambda: len(site.pids()) == 2, "both are there", deadline=15)
            os.kill(site.pids()[0], KILL)
        before = counts["ok"]
        wait_for(lambda: counts["ok"] > before + 20, "calls go on", deadline=15)
        is_over.set()
        for thread in threads:
            thread.join(20)
        # One call with each that was killed, and who called while both were gone.
        assert counts.keys() <= {"ok", "DirtyWorkerError", "DirtyNoWorkersAvailableError"}
