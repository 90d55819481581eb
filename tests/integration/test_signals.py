"""What each signal does to a running service, and that no client pays for it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness.axes import KINDS, ONE_OF_EACH
from harness.client import ClosedError
from harness.server import TWINS, wait_for
from integration.answering import serving, told
from integration.live import APPS, Live, Load, entered, in_background, is_alive, message

TERM, INT, QUIT, HUP, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1


# -- TERM: graceful


def test_term_lets_a_running_request_finish(kind: str, gate: Path) -> None:
    with Live("life:app", kind=kind) as live, live.connect() as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(TERM)
        live.wait_log("SIGTERM: stopping")
        assert client.is_quiet(0.1)
        gate.touch()
        response = client.response()
        assert (response.status, response.body) == (200, b"released")
        assert "close" in response.connection, "a server that goes away says so"
        client.wait_closed()
        client.close()
        assert live.wait_exit() == 0
        assert "Traceback" not in live.log()


def test_term_lets_a_stream_finish(kind: str, gate: Path) -> None:
    with Live("life:app", kind=kind) as live, live.connect() as client:
        client.send(message(f"/trickle?{gate}"))
        client.read_until(b"first;")
        live.signal(TERM)
        live.wait_log("SIGTERM: stopping")
        gate.touch()
        assert b"second" in client.read_until(b"0\r\n\r\n")
        client.wait_closed()
        client.close()
        assert live.wait_exit() == 0


def test_term_lets_an_upload_finish(kind: str) -> None:
    """The request has begun, but the application has not been called yet."""
    with Live("life:app", kind=kind) as live, live.connect() as client:
        data = message("/", method="POST", body=b"b" * 100_000)
        client.send(data[:50_000])
        (worker,) = live.workers()
        live.request("/")  # whatever came before this was read
        live.signal(TERM)
        live.wait_log("SIGTERM: stopping")
        assert client.is_quiet(0.1)
        client.send(data[50_000:])
        response = client.response("POST")
        assert response.body.split()[0] == str(worker).encode()
        client.close()
        assert live.wait_exit() == 0


def test_term_closes_idle_connections_soon(kind: str) -> None:
    with Live("life:app", "--keep-alive=60", kind=kind) as live, live.connect() as client:
        client.send(message("/"))
        client.response()
        start = time.monotonic()
        live.signal(TERM)
        client.wait_closed()
        client.close()
        assert live.wait_exit() == 0
        assert time.monotonic() - start < 5


def test_term_is_bounded_by_graceful_timeout(kind: str, gate: Path) -> None:
    with Live("life:app", "--graceful-timeout=0.5", kind=kind) as live, live.connect() as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        (worker,) = live.workers()
        start = time.monotonic()
        live.signal(TERM)
        with pytest.raises(ClosedError):
            client.response()
        live.wait_exit()
        assert 0.4 < time.monotonic() - start < 5
        assert not is_alive(worker)


def test_a_graceful_timeout_of_0_is_no_limit(kind: str, gate: Path) -> None:
    with Live("life:app", "--graceful-timeout=0", kind=kind) as live, live.connect() as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(TERM)
        live.wait_log("SIGTERM: stopping")
        assert client.is_quiet(0.5)
        gate.touch()
        assert client.response().body == b"released"
        client.close()
        assert live.wait_exit() == 0


def test_no_new_connection_after_the_end() -> None:
    with Live("life:app") as live:
        live.signal(TERM)
        assert live.wait_exit() == 0
        assert "Tricorn has stopped" in live.log()


# -- INT and QUIT: at once


@pytest.mark.parametrize("number", [INT, QUIT])
def test_int_and_quit_do_not_wait(kind: str, gate: Path, number: signal.Signals) -> None:
    with Live("life:app", kind=kind, workers=2) as live, live.connect() as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        workers = live.workers()
        start = time.monotonic()
        live.signal(number)
        assert live.wait_exit() == 0
        assert time.monotonic() - start < 3
        assert not any(map(is_alive, workers))


def test_int_while_term_is_waited_for(gate: Path) -> None:
    """Somebody loses patience."""
    with Live("life:app") as live, live.connect() as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(TERM)
        live.wait_log("SIGTERM: stopping")
        live.signal(INT)
        assert live.wait_exit(3) == 0


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_ctrl_c_on_a_terminal(kind: str) -> None:
    """The terminal sends INT to the whole group, workers and all; nobody shows a traceback."""
    controller, terminal = pty.openpty()
    worker = KINDS[kind]
    app = TWINS[worker.interface].get("life:app", "life:app")
    options = ["--bind", "127.0.0.1:0", "--workers", "2", *worker.options]
    command = [sys.executable, "-m", "tricorn", *options, app]
    shell = "import os, pty, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{shell}os.execvp(sys.argv[1], sys.argv[1:])", *command],
        cwd=APPS,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    os.set_blocking(controller, False)
    screen = b""

    def shows(text: bytes, times: int) -> bool:
        nonlocal screen
        try:
            screen += os.read(controller, 65536)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal open any more
            return True
        return screen.count(text) >= times

    try:
        wait_for(lambda: shows(b"is ready", 2), f"two workers are ready: {screen!r}", deadline=15)
        os.write(controller, b"\x03")
        assert process.wait(5) == 0
        shows(b"", 0)
        assert b"SIGINT" in screen
        assert b"Traceback" not in screen
        assert b"KeyboardInterrupt" not in screen
    finally:
        process.kill()
        process.wait()
        os.close(controller)


# -- HUP: new code, not one request lost


@pytest.mark.parametrize("workers", [1, 2])
def test_hup_under_load_loses_nothing(kind: str, tmp_path: Path, workers: int) -> None:
    version = tmp_path / "version"
    version.write_text("1")
    environ = {"VERSION_FILE": str(version)}
    with Live("life:app", kind=kind, workers=workers, environ=environ) as live, Load(live) as load:
        for generation in (2, 3):
            before = live.workers()
            load.wait_served(50)
            version.write_text(str(generation))
            live.signal(HUP)
            live.wait_log(f"Reload done: generation {generation} serves", deadline=20)
            assert live.request("/").body.split()[1] == str(generation).encode()
            assert not set(before) & set(live.workers())
            assert len(live.workers()) == workers
        load.wait_served(50)
        load.check()
        live.stop()


#: While there is a file `hold`, whoever loads this waits, and says so; but for the first one.
HELD = """
from pathlib import Path
HOME = Path(__file__).parent
if (HOME / "hold").exists():
    try:
        (HOME / "first").touch(exist_ok=False)
    except FileExistsError:
        (HOME / f"{os.getpid()}.boots").touch()
        while (HOME / "hold").exists():
            time.sleep(0.005)
def answer(path):
    return str(os.getpid())
"""


@pytest.mark.parametrize(
    ("surge", "unavailable", "old", "boots"), [(1, 0, 2, 1), (2, 0, 2, 2), (0, 2, 0, 2), (0, 1, 1, 1)]
)
def test_a_reload_starts_as_many_and_takes_as_many_away_as_it_may(
    tmp_path: Path, surge: int, unavailable: int, old: int, boots: int
) -> None:
    """Of three workers, when the first of the new ones has shown that the code is good. Then the next ones do
    not get ready for a while."""
    options = (f"--reload-max-surge={surge}", f"--reload-max-unavailable={unavailable}")
    hold = tmp_path / "hold"
    with serving(tmp_path, HELD, *options, kind="sync", workers=3) as live:
        before = set(live.workers())

        def is_as_bounded() -> bool:
            workers = set(live.workers())
            booting = {int(path.stem) for path in tmp_path.glob("*.boots")}
            new = workers - before
            counts = (len(before & workers), len(booting), len(new))
            return counts == (old, boots, boots + 1) and booting < new

        hold.touch()
        live.signal(HUP)
        wait_for(is_as_bounded, "the next ones boot")
        assert len({told(live, "/") for _ in range(10)}) <= old + 1
        assert is_as_bounded()
        hold.unlink()
        live.wait_log("Reload done")
        assert len(live.workers()) == 3
        assert not before & set(live.workers())
        live.stop()


def test_hup_lets_requests_of_the_old_code_finish(kind: str, gate: Path) -> None:
    with Live("life:app", kind=kind) as live, live.connect() as client:
        (before,) = live.workers()
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(HUP)
        live.wait_log("is ready", times=2)
        wait_for(lambda: live.request("/").body.split()[0] != str(before).encode(), "the new worker serves")
        gate.touch()
        assert client.response().body == b"released"
        client.close()
        live.wait_log("Reload done")
        assert before not in live.workers()


def freeze(live: Live, worker: int) -> None:
    """Once it has nothing to do: until SIGCONT no thread of it runs."""

    def is_all(state: str) -> bool:
        states = [path.read_text().rpartition(")")[2].split()[0] for path in tasks.glob("*/stat")]
        return set(states) == {state}

    tasks = Path(f"/proc/{worker}/task")
    wait_for(lambda: is_all("S"), "it sleeps")
    live.signal(signal.SIGSTOP, worker)
    wait_for(lambda: is_all("T"), "it stands still")


#: How many requests make a worker of the kind busy.
THREADS = {"sync": 1, "gthread": 4}


@pytest.mark.parametrize("kind", THREADS)
@pytest.mark.parametrize("drains", [False, True], ids=["goes on", "drains"])
def test_a_request_does_not_wait_in_a_busy_worker_when_another_is_free(
    kind: str, drains: bool, gate: Path
) -> None:
    """Behind a request that outlives `graceful_timeout` it would even be lost."""
    with Live("life:app", kind=kind, workers=2) as live, ExitStack() as stack:
        busy, free = live.workers()
        freeze(live, free)  # so that all come to the other one
        blocked = [stack.enter_context(live.connect()) for _ in range(THREADS[kind])]
        for number, client in enumerate(blocked):
            client.send(message(f"/block?{gate}{number}"))
            assert entered(Path(f"{gate}{number}")) == busy
        late = stack.enter_context(live.connect())
        late.send_ahead(message("/"))
        if drains:
            live.signal(TERM, busy)
            live.wait_log("is ready", times=3)  # its successor
        assert drains or late.is_quiet(0.2)  # long enough for the busy one to take it
        live.signal(signal.SIGCONT, free)
        assert late.response().body.split()[0] != str(busy).encode()
        for number, client in enumerate(blocked):
            Path(f"{gate}{number}").touch()
            assert client.response().body == b"released"


class Configured(Live):
    """A server that listens where its configuration says: on a path in `home`, which another may replace."""

    def __init__(self, home: Path, *, kind: str) -> None:
        self.config = home / "tricorn.toml"
        super().__init__("life:app", "-c", str(self.config), kind=kind)
        self.move(home / "old")
        self.address = str(home / "old")

    def move(self, path: Path) -> None:
        self.config.write_text(f'bind = "{self.wire.scheme}unix:{path}"')

    @property
    def command(self) -> list[str]:
        words = super().command
        at = words.index("--bind")
        return words[:at] + words[at + 2 :]


def test_hup_that_moves_the_address_loses_nobody_who_came_to_the_old_one(
    kind: str, gate: Path, tmp_path: Path
) -> None:
    with Configured(tmp_path, kind=kind) as live, live.connect() as client:
        (before,) = live.workers()
        client.send(message(f"/block?{gate}"))
        entered(gate)
        freeze(live, before)
        with live.connect() as waiting:
            waiting.send_ahead(message("/"))
            live.move(tmp_path / "new")
            live.signal(HUP)
            wait_for(lambda: not has_taken(before, TERM), "the old worker is told to end", deadline=15)
            live.signal(signal.SIGCONT, before)
            assert client.is_quiet(0.1)  # who keeps house in it hears of that first
            gate.touch()
            assert client.response().body == b"released"
            assert waiting.response().body.split()[0] == str(before).encode()
        live.wait_log("Reload done")
        assert "No longer listening" in live.log()


def test_hup_with_broken_code_leaves_the_old_code_serving(kind: str, tmp_path: Path) -> None:
    version = tmp_path / "version"
    version.write_text("1")
    environ = {"VERSION_FILE": str(version)}
    with Live("life:app", kind=kind, workers=2, environ=environ) as live, Load(live) as load:
        workers = live.workers()
        version.write_text("broken")
        live.signal(HUP)
        log = live.wait_log("this version does not boot", deadline=20)
        assert "RuntimeError" in log
        load.wait_served(100)
        load.check()
        assert set(workers) <= set(live.workers())
        assert live.request("/").body.split()[1] == b"1"
        # And it is no dead end: a version that boots takes over.
        version.write_text("3")
        live.signal(HUP)
        wait_for(lambda: live.request("/").body.split()[1] == b"3", "the repaired code serves", deadline=20)
        load.check()


def test_hup_takes_new_settings(tmp_path: Path) -> None:
    config = tmp_path / "tricorn.toml"
    config.write_text("limit_request_line = 100")
    with Live("life:app", "-c", str(config)) as live:
        long_path = "/" + "p" * 200
        assert live.request(long_path).status == 414
        config.write_text("limit_request_line = 1000")
        live.signal(HUP)
        live.wait_log("Reload done")
        assert live.request(long_path).status == 200
        config.write_text("limit_request_lime = 1000")
        live.signal(HUP)
        live.wait_log("limit_request_lime")
        assert live.request(long_path).status == 200


# -- TTIN, TTOU


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_ttin_and_ttou_under_load(kind: str) -> None:
    with Live("life:app", kind=kind, workers=1) as live, Load(live) as load:
        for wanted in (2, 3):
            live.signal(signal.SIGTTIN)
            live.wait_log("is ready", times=wanted)
            assert len(live.workers()) == wanted
            load.wait_served(20)
        for wanted in (2, 1):
            live.signal(signal.SIGTTOU)
            wait_for(lambda wanted=wanted: len(live.workers()) == wanted, f"{wanted} workers", deadline=10)
            load.wait_served(20)
        load.check()
        live.signal(signal.SIGTTOU)  # the last one stays
        live.wait_log("which is the limit")
        assert live.request("/").status == 200


# -- USR1: the logs are opened again


def test_usr1_loses_no_line(kind: str, tmp_path: Path) -> None:
    """Rotated three times under load: each request is in exactly one of the files."""
    access = tmp_path / "access.log"
    options = (f"--access-logfile={access}", "--access-logformat=%(U)s")
    with Live("life:app", *options, kind=kind, workers=2) as live:
        with Load(live, "/counted") as load:
            for number in range(3):
                load.wait_served(50)
                access.rename(tmp_path / f"access.log.{number}")
                live.signal(USR1)
                live.wait_log("reopened the log files", times=number + 1)
                wait_for(lambda: access.exists() and access.stat().st_size, "the new file is in use")
        load.check()
        assert load.resent == 0
        live.stop()
    lines = "".join(path.read_text() for path in tmp_path.glob("access.log*")).splitlines()
    assert lines.count("/counted") == load.served
    assert set(lines) == {"/", "/counted"}


def test_usr1_reopens_the_error_log(tmp_path: Path) -> None:
    error = tmp_path / "error.log"
    with Live("life:app", errorlog=error) as live:
        live.request("/log?before")
        wait_for(lambda: "before" in error.read_text(), "the line is in the file")
        error.rename(tmp_path / "error.log.1")
        live.signal(USR1)
        wait_for(error.exists, "the new file")

        def arrives() -> bool:  # the worker hears of it a moment after the master
            live.request("/log?after")
            return "after" in error.read_text()

        wait_for(arrives, "lines are written to the new file")
        assert "before" not in error.read_text()


#: What a worker does not mind: the master's signals (`pkill -HUP tricorn` reaches everybody), and those that
#: no process minds.
HARMLESS = (
    *(HUP, USR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH, signal.SIGCHLD),
    *(signal.SIGCONT, signal.SIGURG, signal.SIGPIPE),
)

#: What ends one, as it ends any process: nothing that means a worker in particular.
DEADLY = {
    *(signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGXCPU),
    *(signal.SIGSTKFLT, signal.SIGRTMIN, signal.SIGRTMIN + 7, signal.SIGRTMAX),
    *(signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS),
    *(signal.SIGTRAP, signal.SIGKILL),
}


def has_taken(pid: int, number: int) -> bool:
    """Whether the signal is no longer on its way to the process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return not any(mask >> (number - 1) & 1 for mask in pending)


def send_harmless(live: Live, worker: int) -> None:
    for number in HARMLESS:
        live.signal(number, worker)
        wait_for(lambda number=number: has_taken(worker, number), "the signal arrives")
        assert is_alive(worker), f"{number.name} ended it\n{live.log()}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
def test_signals_for_the_master_do_not_hurt_a_worker(kind: str, options: tuple[str, ...], gate: Path) -> None:
    """Neither one that is ready nor one that drains."""
    with Live("life:app", *options, kind=kind) as live, live.connect(timeout=10) as client:
        (worker,) = live.workers()
        send_harmless(live, worker)
        assert live.request("/").body.split()[0] == str(worker).encode()
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(TERM, worker)
        live.wait_log("is ready", times=2)
        send_harmless(live, worker)
        gate.touch()
        assert client.response().body == b"released"
        wait_for(lambda: not is_alive(worker), "it ends when it is done")
        live.wait_log(f"Worker {worker} has exited")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_signals_for_the_master_do_not_hurt_a_worker_that_boots(kind: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\nhome = pathlib.Path(__file__).parent\n(home / 'booting').touch()\n"
        "while not (home / 'go').exists():\n    time.sleep(0.01)\n"
        f"import sys\nsys.path.append({str(APPS)!r})\n"
        f"from {'asgi_life' if kind == 'asgi' else 'life'} import app\n"
    )
    live = Live("slow:app", kind=kind, chdir=tmp_path)
    live.start(wait=False)
    try:
        wait_for(lambda: (tmp_path / "booting").exists(), "the worker boots", deadline=20)
        (worker,) = live.workers()
        send_harmless(live, worker)
        (tmp_path / "go").touch()
        live.wait_log("is ready")
        assert live.request("/").body.split()[0] == str(worker).encode()
    finally:
        live.kill()


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
def test_any_other_signal_ends_a_worker_and_the_master_replaces_it(options: tuple[str, ...]) -> None:
    with Live("life:app", *options, workers=len(DEADLY)) as live:
        victims = dict(zip(sorted(DEADLY), live.workers(), strict=True))
        for number, victim in victims.items():
            live.signal(number, victim)
        names = {each.value: each.name for each in signal.Signals}
        for number, victim in victims.items():
            live.wait_log(f"Worker {victim} was killed by {names.get(number, f'signal {number}')}")
        wait_for(lambda: len(live.workers()) == len(DEADLY), "all were replaced", deadline=20)
        assert not set(live.workers()) & set(victims.values())
        assert live.request("/").status == 200


#: One of each: a timer's, that of a fault, one that nothing holds off, one that has no name of its own.
DEADLY_SAMPLE = (signal.SIGALRM, signal.SIGSEGV, signal.SIGKILL, signal.SIGRTMIN)


@pytest.mark.parametrize("number", DEADLY_SAMPLE, ids=lambda number: signal.Signals(number).name)
def test_a_worker_that_drains_may_be_killed(number: signal.Signals, gate: Path) -> None:
    """Its successor serves, and nobody takes its place a second time."""
    with Live("life:app") as live, live.connect(timeout=10) as client:
        (worker,) = live.workers()
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(TERM, worker)
        live.wait_log("is ready", times=2)
        live.signal(number, worker)
        live.wait_log(f"Worker {worker} was killed by {number.name}")
        (successor,) = live.workers()
        assert live.request("/").body.split()[0] == str(successor).encode()
        assert live.log().count("is ready") == 2


@pytest.mark.parametrize("number", DEADLY_SAMPLE, ids=lambda number: signal.Signals(number).name)
def test_a_worker_that_boots_may_be_killed(number: signal.Signals, tmp_path: Path) -> None:
    """Of a service that runs: another one is started, and the others serve."""
    (tmp_path / "slow.py").write_text(
        "import os, pathlib, sys, time\nhome = pathlib.Path(__file__).parent\n"
        "if (home / 'slowly').exists():\n    (home / f'booting.{os.getpid()}').touch()\n"
        "    while not (home / 'go').exists():\n        time.sleep(0.01)\n"
        f"sys.path.append({str(APPS)!r})\nfrom life import app\n"
    )
    with Live("slow:app", chdir=tmp_path) as live:
        (tmp_path / "slowly").touch()
        live.signal(signal.SIGTTIN)
        wait_for(lambda: list(tmp_path.glob("booting.*")), "another worker boots")
        (booting,) = (int(path.suffix[1:]) for path in tmp_path.glob("booting.*"))
        live.signal(number, booting)
        live.wait_log(f"{booting} was killed by {number.name}")
        assert live.request("/").status == 200
        (tmp_path / "go").touch()
        live.wait_log("is ready", times=2)


def test_term_to_a_worker_replaces_it(kind: str) -> None:
    with Live("life:app", kind=kind) as live, Load(live) as load:
        (worker,) = live.workers()
        load.wait_served(20)
        live.signal(TERM, worker)
        wait_for(lambda: live.workers() and worker not in live.workers(), "another worker", deadline=10)
        load.wait_served(20)
        load.check()


def test_requests_in_the_backlog_are_served_after_hup(gate: Path) -> None:
    """One busy thread, clients waiting: whoever got in is answered, by the old worker or by the new one."""
    with Live("life:app") as live, live.connect() as busy:
        busy.send(message(f"/block?{gate}"))
        entered(gate)
        clients = [live.connect(timeout=10) for _ in range(10)]
        for client in clients:
            client.send(message("/"))
        live.signal(HUP)
        live.wait_log("is ready", times=2)
        with in_background(gate.touch):
            assert busy.response().body == b"released"
        for client in clients:
            assert client.response().status == 200
            client.close()
