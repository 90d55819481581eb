"""Signal handlers that the application installs: the server's own signals stay the server's, and it says
so."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness.axes import EVERY_KIND, KINDS_OF
from harness.server import wait_for
from integration.answering import serving, told
from integration.live import entered, message

EVERYWHERE = pytest.mark.parametrize("kind", EVERY_KIND)
PRELOAD = pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])

#: Ways of taking a signal. Each ends the process, or swallows the signal, when it is let.
WAYS = {
    "a handler that exits": "signal.signal(NUMBER, lambda *_: sys.exit(0))",
    "a handler that does nothing": "signal.signal(NUMBER, lambda *_: None)",
    "the default": "signal.signal(NUMBER, signal.SIG_DFL)",
    "ignored": "signal.signal(NUMBER, signal.SIG_IGN)",
    "no wakeup": "signal.signal(NUMBER, lambda *_: None); signal.set_wakeup_fd(-1)",
}

SLOW = """
from pathlib import Path
def answer(path):
    if path.startswith("/slow"):
        gate = Path(GATE)
        Path(str(gate) + ".in").write_text(str(os.getpid()))
        while not gate.exists():
            time.sleep(0.005)
    return str(os.getpid())
"""


@PRELOAD
@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
@pytest.mark.parametrize("way", WAYS)
def test_a_taken_term_loses_no_request(
    tmp_path: Path, gate: Path, kind: str, way: str, preload: tuple[str, ...]
) -> None:
    source = f"GATE = {str(gate)!r}\n" + WAYS[way].replace("NUMBER", "signal.SIGTERM") + SLOW
    with serving(tmp_path, source, *preload, kind=kind) as live, live.connect() as client:
        client.send(message("/slow"))
        before = entered(gate)
        live.signal(signal.SIGTERM, before)
        wait_for(lambda: live.workers() != [before], "another worker", deadline=10)
        assert client.is_quiet(0.05)
        gate.touch()
        assert client.response().body == str(before).encode()
        client.close()
        assert preload or "has set its own action for SIGTERM while it was loaded" in live.log()
        live.stop()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1"])
@EVERYWHERE
def test_each_of_our_signals_is_named_and_still_ours(tmp_path: Path, kind: str, name: str) -> None:
    source = f"""
    signal.signal(signal.{name}, lambda *_: os._exit(7))
    def answer(path):
        return str(os.getpid())
    """
    with serving(tmp_path, source, kind=kind) as live:
        (before,) = live.workers()
        assert f"own action for {name} while it was loaded" in live.log()
        live.signal(getattr(signal, name), before)
        if name != "SIGUSR1":
            wait_for(lambda: before not in live.workers(), "it ends", deadline=10)
            wait_for(lambda: live.log().count("is ready") == 2, "another worker", deadline=10)
        assert told(live, "/")
        assert "exit code 7" not in live.log()
        live.stop()


@pytest.mark.parametrize("kind", KINDS_OF["asgi"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("way", ["signal.signal", "add_signal_handler"])
def test_what_a_start_up_takes_is_taken_back(tmp_path: Path, kind: str, loop: str, way: str) -> None:
    source = f"""
    import asyncio
    def start_up():
        if {way!r} == "signal.signal":
            signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        else:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, lambda: os._exit(7))
            loop.add_signal_handler(signal.SIGUSR2, lambda: print("still mine", flush=True))
    def answer(path):
        return str(os.getpid())
    """
    with serving(tmp_path, source, f"--asgi-loop={loop}", kind=kind) as live:
        (before,) = live.workers()
        assert "own action for SIGTERM in its start-up" in live.log()
        if way == "add_signal_handler":
            live.signal(signal.SIGUSR2, before)
            live.wait_log("still mine")
        live.signal(signal.SIGTERM, before)
        wait_for(lambda: before not in live.workers(), "it ends", deadline=10)
        assert "exit code 7" not in live.log()
        live.stop()


@pytest.mark.parametrize("name", ["SIGALRM", "SIGCHLD", "SIGUSR2", "SIGHUP", "SIGWINCH"])
@EVERYWHERE
def test_signals_that_we_do_not_need_are_the_applications(tmp_path: Path, kind: str, name: str) -> None:
    source = f"""
    import subprocess
    signal.signal(signal.{name}, lambda *_: print("the handler of {name}", flush=True))
    def answer(path):
        if path == "/child":
            subprocess.run(["true"], check=True)
        return str(os.getpid())
    """
    with serving(tmp_path, source, kind=kind) as live:
        (worker,) = live.workers()
        if name == "SIGCHLD":
            # A real one: gevent passes on what its own children cause, and nothing that is only sent.
            told(live, "/child")
        else:
            live.signal(getattr(signal, name), worker)
        live.wait_log(f"the handler of {name}")
        assert "own action" not in live.log()
        assert told(live, "/") == str(worker)
        live.stop()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR2", "SIGTTIN", "SIGPIPE"])
@EVERYWHERE
def test_a_default_that_would_end_the_worker_is_not_kept(tmp_path: Path, kind: str, name: str) -> None:
    source = f"""
    signal.signal(signal.{name}, signal.SIG_DFL)
    def answer(path):
        return str(os.getpid())
    """
    with serving(tmp_path, source, kind=kind) as live:
        (worker,) = live.workers()
        assert f"own action for {name} while it was loaded" in live.log()
        live.signal(getattr(signal, name), worker)
        assert told(live, "/") == str(worker)
        live.stop()


@EVERYWHERE
def test_faulthandler_does_not_take_our_signals(tmp_path: Path, kind: str) -> None:
    """It sets its handlers behind the interpreter's back."""
    source = """
    import faulthandler
    faulthandler.register(signal.SIGTERM, all_threads=True)
    def answer(path):
        return str(os.getpid())
    """
    with serving(tmp_path, source, kind=kind) as live:
        (worker,) = live.workers()
        live.signal(signal.SIGTERM, worker)
        wait_for(lambda: worker not in live.workers(), "it ends", deadline=10)
        live.stop()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@EVERYWHERE
def test_a_stop_that_an_import_swallows_is_said_again(tmp_path: Path, kind: str, name: str) -> None:
    """Only the master can know: the worker's interpreter has not seen it."""
    source = f"""
    import faulthandler
    from pathlib import Path
    home = Path({str(tmp_path)!r})
    stacks = open(home / "stacks", "w")
    faulthandler.register(signal.{name}, file=stacks)
    if (home / "second").exists():
        (home / "begun").touch()
        while not os.fstat(stacks.fileno()).st_size:
            time.sleep(0.01)
    def answer(path):
        return str(os.getpid())
    """
    with serving(tmp_path, source, kind=kind) as live:
        (worker,) = live.workers()
        (tmp_path / "second").touch()
        live.signal(signal.SIGKILL, worker)
        wait_for((tmp_path / "begun").exists, "the next one is being loaded", deadline=10)
        live.signal(getattr(signal, name))
        assert live.wait_exit(8) == 0
        assert live.log().count("is ready") == 2
