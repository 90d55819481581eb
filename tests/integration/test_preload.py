"""An application in a mold (`--preload`): whatever it does there, the service goes on, says what it saw, and
ends when told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.server import frozen, wait_for
from integration.live import Live, Load, is_alive

TERM, INT, HUP, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL

APP = """
import os, signal, sys, threading, time
{code}
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


class Preloading(Live):
    """A server whose application ran `code` in a mold."""

    def __init__(self, home: Path, code: str, *options: str, workers: int = 1) -> None:
        (home / "theapp.py").write_text(APP.format(code=code))
        super().__init__("theapp:app", "--preload", *options, chdir=home, workers=workers)


#: What the application does at import, and what the log says of it.
TRESPASSES = {
    "handlers": (
        "for n in signal.valid_signals() - {9, 19}:\n    signal.signal(n, lambda *a: None)",
        "has changed the handlers of SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD, SIGTTIN, "
        "SIGTTOU, SIGWINCH; the mold has restored its own",
    ),
    "ignored": (
        "for n in signal.valid_signals() - {9, 19}:\n    signal.signal(n, signal.SIG_IGN)",
        "has changed the handlers of SIGHUP, SIGINT,",
    ),
    "defaults": (
        "for n in signal.valid_signals() - {9, 19}:\n    signal.signal(n, signal.SIG_DFL)",
        "has changed the handlers of SIGHUP, SIGINT,",
    ),
    "one of no meaning": (
        "signal.signal(signal.SIGRTMIN + 3, lambda *a: None)",
        "has changed the handlers of signal 37, which the mold does not use",
    ),
    "wake-up descriptor": ("signal.set_wakeup_fd(-1)", "has changed the wake-up descriptor"),
    "blocked": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
        "has changed the signal mask; the mold has unblocked SIGHUP, SIGINT, SIGQUIT, "
        "SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD,",
    ),
    "asyncio": (
        "import asyncio\nasync def main():\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)\n"
        "asyncio.run(main())",
        "has changed the wake-up descriptor; the mold has restored its own",
    ),
    "faulthandler": (
        "import faulthandler\nfor n in (10, 12, 15, 1): faulthandler.register(n)",
        "is ready",  # it goes past Python, so nothing shows; the handlers hold all the same
    ),
    "threads": (
        "threading.Thread(target=time.sleep, args=(600,), name='refresh', daemon=True).start()",
        "has started threads in the mold; the workers do not have them: 'refresh'",
    ),
}


@pytest.mark.parametrize("name", TRESPASSES)
def test_the_mold_keeps_what_is_its_own(tmp_path: Path, name: str) -> None:
    code, said = TRESPASSES[name]
    with Preloading(tmp_path, code) as live:
        assert said in live.log()
        for number in sorted({signal.SIGALRM, signal.SIGPROF, signal.SIGRTMIN + 3}):
            live.signal(number)
        live.signal(HUP)
        live.wait_log("Reload done")
        live.signal(signal.SIGTTIN)
        live.wait_log("SIGTTIN: changing to 2 workers")
        live.signal(signal.SIGUSR1)
        live.wait_log("SIGUSR1: reopened the log files")
        with frozen(live.pid):
            live.signal(signal.SIGUSR2)
            live.signal(TERM)
        assert live.wait_exit() == 0
        assert "SIGUSR2: no upgrade: this master is stopping" in live.log()
        assert "Traceback" not in live.log()


@pytest.mark.parametrize("error", ["RuntimeError", "SystemExit", "KeyboardInterrupt"])
def test_a_handler_that_raises_does_not_end_the_mold(tmp_path: Path, error: str) -> None:
    """A timer calls it in the middle of anything. In a worker it is the application's own again."""
    code = f"""
def handler(number, frame):
    raise {error}("from the handler")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
def watch():
    while signal.getsignal(signal.SIGALRM) is not handler:
        time.sleep(0.01)
    open("restored", "w").close()
os.register_at_fork(after_in_child=lambda: threading.Thread(target=watch, daemon=True).start())
"""
    with Preloading(tmp_path, code) as live:
        live.wait_log("The application's handler of SIGALRM raised in the mold", times=3)
        mold = live.molds()
        live.signal(TERM, live.workers()[0])
        live.wait_log("is ready", times=2)
        assert live.molds() == mold
        live.signal(HUP)
        live.wait_log("Reload done")
        assert live.request("/").status == 200
        wait_for((tmp_path / "restored").exists, "the worker has the handler itself")
        live.stop()


def test_a_configuration_that_takes_signals_in_a_reload(tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text("workers = 1")
    with Live("life:app", "-c", str(config)) as live:
        config.write_text("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nworkers = 1\n")
        live.signal(HUP)
        live.wait_log(
            "The configuration has changed the handlers of SIGTERM; the master has restored its own"
        )
        live.wait_log("Reload done")
        live.stop()


# -- the end


#: What the application leaves in the mold, and how the log names it.
LEFTOVERS = {
    "thread": (
        "threading.Thread(target=time.sleep, args=(600,), name='poller').start()",
        "threads that are not daemons: 'poller' at ",
    ),
    "pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "ThreadPoolExecutor(1, 'pool').submit(time.sleep, 600)",
        "threads that are not daemons: 'pool_0' at ",
    ),
    "exit hook": (
        "import atexit\nmold = os.getpid()\n@atexit.register\ndef farewell():\n"
        "    while os.getpid() == mold:\n        time.sleep(0.1)",
        "an exit hook (atexit), at {home}/theapp.py, line 8, in farewell",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFTOVERS)
def test_what_the_application_left_holds_the_end_only_for_seconds(tmp_path: Path, name: str) -> None:
    code, said = LEFTOVERS[name]
    with Preloading(tmp_path, code) as live:
        live.signal(TERM)
        live.wait_log("Tricorn has stopped")
        assert live.wait_exit(15) == 0
        log = live.log()
        assert (
            "The process did not end within 5 s: no longer waiting for " + said.format(home=tmp_path) in log
        )
        assert "Traceback" not in log


@pytest.mark.parametrize("first", [TERM, INT], ids=lambda number: number.name)
@pytest.mark.parametrize("name", LEFTOVERS)
def test_who_asks_again_does_not_wait(tmp_path: Path, name: str, first: signal.Signals) -> None:
    code, _ = LEFTOVERS[name]
    with Preloading(tmp_path, code) as live:
        (mold,) = live.molds()
        live.signal(first)
        live.wait_log("has exited")  # the worker, and the mold is told
        began = time.monotonic()
        live.signal(INT)
        assert live.wait_exit() == 0
        assert time.monotonic() - began < 3
        assert not is_alive(mold)
        assert "SIGTERM: no longer waiting for " in live.log()


@pytest.mark.parametrize("number", [TERM, INT, signal.SIGQUIT], ids=lambda number: number.name)
def test_what_a_configuration_left_holds_nobody_who_asks_again(
    tmp_path: Path, number: signal.Signals
) -> None:
    """It has run in the master."""
    config = tmp_path / "conf.py"
    config.write_text("import threading, time\n" + LEFTOVERS["thread"][0])
    with Live("life:app", "-c", str(config)) as live:
        live.signal(TERM)
        live.wait_log("Tricorn has stopped")
        began = time.monotonic()

        def has_ended() -> bool:  # the first one may come before the process is listening again
            live.signal(number)
            return live.process.poll() is not None

        wait_for(has_ended, "the master ends")
        assert time.monotonic() - began < 3
        assert live.wait_exit() == 0
        assert f"{number.name}: no longer waiting for " in live.log()


@pytest.mark.slow
def test_an_exit_hook_that_lets_nobody_else_run(tmp_path: Path) -> None:
    """It holds the GIL: no handler and no thread of Python's comes to run any more."""
    code = (
        "import atexit, ctypes\nmold = os.getpid()\n"
        "atexit.register(lambda: os.getpid() == mold and ctypes.PyDLL(None).sleep(600))"
    )
    with Preloading(tmp_path, code) as live:
        live.signal(TERM)
        assert live.wait_exit(15) == 0
        assert "Timeout" in live.log()


def test_exit_hooks_and_threads_that_end_are_waited_for(tmp_path: Path) -> None:
    code = """
import atexit
mold = os.getpid()
def late():
    while not os.path.exists("stop"):
        time.sleep(0.01)
    open("thread", "w").close()
threading.Thread(target=late).start()
atexit.register(lambda: os.getpid() == mold and open("hook", "w").close())
"""
    with Preloading(tmp_path, code) as live:
        live.signal(TERM)
        live.wait_log("has exited")
        (tmp_path / "stop").touch()
        assert live.wait_exit() == 0
        assert (tmp_path / "thread").exists()
        assert (tmp_path / "hook").exists()


@pytest.mark.slow
def test_check_config_ends_although_the_application_has_threads(tmp_path: Path) -> None:
    (tmp_path / "theapp.py").write_text(APP.format(code=LEFTOVERS["thread"][0]))
    command = [sys.executable, "-m", "tricorn", "--check-config", "--chdir", str(tmp_path), "theapp:app"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0
    assert "are in order" in done.stdout


# -- a stop while the application is being loaded


#: Imports that do not end.
IMPORTS = {
    "sleeps": "time.sleep(600)",
    "tries again": "while True:\n    try: time.sleep(0.05); raise OSError\n    except BaseException: pass",
    "in C code": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nwhile True: libc.sleep(600)"  # without the GIL
    ),
    "waits for a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "blocks the signals": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); time.sleep(600)",
}


def begin(home: Path, how: str, *options: str) -> Live:
    code = "open('begun', 'a').write('x\\n')\n" + IMPORTS[how]
    (home / "theapp.py").write_text(APP.format(code=code))
    socket_path, pidfile = home / "sock", home / "pid"
    files = ("--bind", f"unix:{socket_path}", "--pid", str(pidfile))
    live = Live("theapp:app", *files, *options, chdir=home)
    live.start(wait=False)
    wait_for(lambda: (home / "begun").exists(), "the import has begun", deadline=20)
    return live


@pytest.mark.parametrize(
    "number",
    [TERM, pytest.param(INT, marks=pytest.mark.slow), pytest.param(signal.SIGQUIT, marks=pytest.mark.slow)],
    ids=lambda number: number.name,
)
@pytest.mark.parametrize("how", IMPORTS)
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["in a worker", "in a mold"])
def test_an_import_that_hangs_is_not_waited_for(
    tmp_path: Path, how: str, options: tuple[str, ...], number: signal.Signals
) -> None:
    with_files = begin(tmp_path, how, *options)
    try:
        began = time.monotonic()
        with_files.signal(number)
        assert with_files.wait_exit() == 0
        assert time.monotonic() - began < 4
        assert "Traceback" not in with_files.log()
        assert "ERROR" not in with_files.log()
        assert "Tricorn has stopped" in with_files.log()
        assert not (tmp_path / "sock").exists()
        assert not (tmp_path / "pid").exists()
    finally:
        with_files.kill()


@pytest.mark.parametrize("number", [TERM, INT, signal.SIGQUIT], ids=lambda number: number.name)
def test_check_config_of_an_import_that_hangs(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "theapp.py").write_text(APP.format(code="open('begun', 'w').close()\ntime.sleep(600)"))
    command = [sys.executable, "-m", "tricorn", "--check-config", "--chdir", str(tmp_path), "theapp:app"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: (tmp_path / "begun").exists(), "the import has begun", deadline=20)
            process.send_signal(number)
            assert process.wait(5) == -number
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_a_start_up_that_hangs_is_cancelled(tmp_path: Path) -> None:
    (tmp_path / "theapp.py").write_text(
        """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        open("begun", "w").close()
        try:
            await asyncio.sleep(600)
        finally:
            open("cancelled", "w").close()
"""
    )
    live = Live("theapp:app", kind="asgi", chdir=tmp_path)
    live.start(wait=False)
    try:
        wait_for(lambda: (tmp_path / "begun").exists(), "the start-up has begun", deadline=20)
        began = time.monotonic()
        live.signal(TERM)
        assert live.wait_exit() == 0
        assert time.monotonic() - began < 4
        assert (tmp_path / "cancelled").exists()
    finally:
        live.kill()


# -- children


@pytest.mark.parametrize("where", ["mold", "master"])
@pytest.mark.parametrize(
    "code",
    [
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "def reap():\n    while True:\n        try: os.waitpid(-1, 0)\n"
        "        except OSError: time.sleep(0.01)\n"
        "threading.Thread(target=reap, daemon=True).start()",
        "def ignore():\n    import ctypes\n    while True:\n        ctypes.CDLL(None).signal(17, 1)\n"
        "        time.sleep(0.001)\nthreading.Thread(target=ignore, daemon=True).start()",
    ],
    ids=["ignores CHLD", "reaps all", "ignores CHLD behind our back"],
)
def test_foreign_code_that_waits_for_any_child(tmp_path: Path, code: str, where: str) -> None:
    """In the mold it takes the ends of processes in between, in the master those of workers."""
    config = tmp_path / "conf.py"
    config.write_text("import os, signal, threading, time\n" + code if where == "master" else "")
    options = ("--preload",) if where == "mold" else ()
    (tmp_path / "theapp.py").write_text(APP.format(code=code if where == "mold" else ""))
    with Live("theapp:app", "-c", str(config), *options, chdir=tmp_path, workers=2) as live:
        victim = live.workers()[0]
        live.signal(KILL, victim)
        live.wait_log("is ready", times=3)
        wait_for(lambda: victim not in live.workers(), "it is gone")
        assert f"Worker {victim} " in live.log()
        assert where == "master" or f"Worker {victim} was killed by SIGKILL" in live.log()
        live.signal(HUP)
        live.wait_log("Reload done")
        live.signal(TERM)
        assert live.wait_exit() == 0
        assert "Traceback" not in live.log()


CHILD = """
child = os.fork()
if child == 0:
    while True:
        time.sleep(0.05)
open("child", "w").write(str(child))
"""


@pytest.fixture
def with_child(tmp_path: Path) -> Iterator[tuple[Live, int]]:
    child = 0
    try:
        with Preloading(tmp_path, CHILD, "--bind", "127.0.0.1:0", "--pid", str(tmp_path / "pid")) as live:
            child = int((tmp_path / "child").read_text())
            yield live, child
    finally:
        if child and is_alive(child):
            os.kill(child, KILL)


def test_signals_of_the_applications_children_are_not_the_masters(with_child: tuple[Live, int]) -> None:
    live, child = with_child
    live.signal(HUP, child)  # as any process, it ends by it
    wait_for(lambda: not is_alive(child), "the child has its own way with signals")
    live.signal(signal.SIGTTIN)
    live.wait_log("SIGTTIN: changing to 2 workers")
    assert "SIGHUP" not in live.log()
    live.stop()


def test_a_child_of_the_application_keeps_nothing_of_the_masters(with_child: tuple[Live, int]) -> None:
    """Neither the port, nor the pid file's lock, nor the workers' belief that their master lives."""
    live, child = with_child
    workers = [pid for pid in live.workers() if pid != child]
    live.signal(KILL)
    live.wait_exit()
    wait_for(lambda: not any(map(is_alive, workers)), "the workers have noticed", deadline=10)
    assert is_alive(child)
    ports = re.findall(r"Listening at \S+:(\d+)", live.log())
    wait_for(lambda: _is_free(int(ports[-1])), "the port is free", deadline=10)  # the mold ends, too
    assert is_alive(child)
    assert "The master is gone" in live.log()


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_orphans_are_reaped(tmp_path: Path) -> None:
    """A worker with a mold is adopted by the master, and so is whatever else has lost its parent."""
    code = """
import subprocess
def app(environ, start_response):
    subprocess.run(["sh", "-c", "sleep 0.2 & echo $! >orphan"], check=True)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
    with Preloading(tmp_path, "") as live:
        (tmp_path / "theapp.py").write_text("import os\n" + code)
        live.signal(HUP)
        live.wait_log("Reload done")
        assert live.request("/").status == 200
        orphan = int((tmp_path / "orphan").read_text())
        wait_for(lambda: orphan in live.workers(), "the master has it")
        wait_for(lambda: not Path(f"/proc/{orphan}").exists(), "it is gone for good")
        assert "ERROR" not in live.log()
        live.stop()


# -- new code


VERSION = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "{length}")])
    return [b"{text}"]
"""


def write_version(home: Path, text: str) -> None:
    (home / "theapp.py").write_text(VERSION.format(text=text, length=len(text)))


def test_hup_brings_new_code_and_loses_nothing(tmp_path: Path) -> None:
    write_version(tmp_path, "first")
    with Live("theapp:app", "--preload", chdir=tmp_path, workers=2) as live, Load(live) as load:
        load.wait_served(50)
        write_version(tmp_path, "the second")
        live.signal(HUP)
        live.wait_log("Reload done")
        load.wait_served(50)
        assert live.request("/").body == b"the second"
        (mold,) = live.molds()
        (tmp_path / "theapp.py").write_text("def app(:")
        live.signal(HUP)
        live.wait_log("generation 3 does not start; generation 2 keeps serving")
        load.wait_served(50)
        load.check()
        assert load.bodies.keys() == {b"first", b"the second"}
        wait_for(lambda: live.molds() == [mold], "only the mold of the code that serves is left")
        assert live.log().count("SyntaxError") == 1
        live.stop()
