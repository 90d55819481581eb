"""The master and its workers as processes: signals, deaths, reloads. The worker is serve.py's."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arbiter.service import Service, is_alive
from harness.server import wait_for

from tricorn.arbiter import oom
from tricorn.arbiter.arbiter import TICK
from tricorn.arbiter.children import MOLD_SILENCE
from tricorn.arbiter.decide import MOLD_GRACE
from tricorn.arbiter.presence import STALL

TERM, INT, QUIT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP


def port_of(service: Service) -> int:
    line = next(line for line in service.log().splitlines() if "Listening at" in line)
    return int(line.rpartition(":")[2])


def can_connect(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


# -- start -------------------------------------------------------------------------------------------------


def test_start_lines_say_what_runs_where(service: Service) -> None:
    log = service.start(workers=2).log()
    assert f"starts (pid {service.pid})" in log
    assert f"Listening at http://127.0.0.1:{port_of(service)}" in log
    assert "Starting 2 workers" in log
    assert can_connect(port_of(service))


def test_workers_draw_different_random_numbers(service: Service) -> None:
    service.start(workers=3)
    assert len({event[-1] for event in service.events("ready")}) == 3


def test_process_titles(service: Service) -> None:
    service.start(workers=1, wsgi_app="shop:app")
    (worker,) = service.workers()
    assert Path(f"/proc/{service.pid}/cmdline").read_bytes().startswith(b"tricorn: master [shop:app]")
    assert Path(f"/proc/{worker}/cmdline").read_bytes().startswith(b"tricorn: worker [shop:app]")


@pytest.mark.slow
def test_a_port_that_stays_in_use_is_one_line(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        service.start(ready=0, bind=[address])
        assert service.exit_code(15) == 1
    assert f"http://{address} is in use by process {os.getpid()} (" in service.log()
    assert service.log().splitlines()[-1] == (
        f"ERROR Cannot listen on http://{address}: something else is listening there"
    )


def test_a_bad_address_is_a_configuration_error(service: Service) -> None:
    service.start(ready=0, bind=["8000"])
    assert service.exit_code() == 2
    assert "write :8000" in service.log()


def test_nobody_boots(service: Service) -> None:
    service.mood(boot="fail")
    service.start(ready=0, workers=4)
    assert service.exit_code() == 3
    assert service.log().count("cannot import name 'app'") == 1


def open_in(pid: int) -> list[str]:
    """What a process has open. It may close a file that it reads while this is looked at."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(entry))
    return found


@pytest.mark.parametrize("preload", [False, True], ids=["forked", "preloaded"])
def test_workers_hold_nothing_of_the_master(service: Service, tmp_path: Path, preload: bool) -> None:
    """Nor of a mold; and that has one socket more, by which it is told what to do. So has a worker that may
    become one."""
    service.start(workers=2, pidfile=str(tmp_path / "pid"), preload_app=preload)
    service.signal(HUP)
    service.wait_for_log("Reload done")
    expected = None
    (*molds,) = service.molds()
    assert len(molds) == preload
    for worker in [*service.ready(), *molds]:
        open_files = open_in(worker)
        kinds = sorted(name.partition(":")[0] for name in open_files)
        if preload:
            kinds.remove("socket")
        # stdin, stdout, stderr; the listener with the pair by which connections are passed on, and where it
        # finds new log files; the lifeline, its status pipe, the two ends of its own pipe
        assert kinds.count("socket") == 4
        assert kinds.count("pipe") == 4 + sum(
            "pipe:" in os.readlink(f"/proc/{worker}/fd/{n}") for n in (0, 1)
        )
        assert str(tmp_path / "pid") not in open_files
        expected = expected or kinds
        assert kinds == expected


# -- stop --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "told"), [(TERM, "SIGTERM"), (INT, "SIGINT"), (QUIT, "SIGINT")])
def test_stop(service: Service, number: signal.Signals, told: str) -> None:
    workers = service.start(workers=2).workers()
    service.signal(number)
    assert service.exit_code() == 0
    assert {int(event[0]) for event in service.events(told)} == workers
    assert not any(map(is_alive, workers))
    assert "ERROR" not in service.log()


def test_the_port_is_open_until_the_last_worker_has_gone(service: Service) -> None:
    service.mood(drain="never")
    service.start(workers=1, graceful_timeout=0.3)
    service.signal(TERM)
    service.wait(lambda: service.events("SIGTERM"))
    assert can_connect(port_of(service))
    assert service.exit_code() == 0
    assert "killed" in service.log()
    assert not can_connect(port_of(service))


def test_a_second_term_is_quick(service: Service) -> None:
    service.mood(drain="never")
    service.start(workers=2)
    service.signal(TERM)
    service.wait(lambda: len(service.events("SIGTERM")) == 2)
    service.signal(TERM)
    assert service.exit_code() == 0
    assert len(service.events("SIGINT")) == 2


def test_term_while_workers_boot(service: Service) -> None:
    service.mood(boot="hang")
    service.start(ready=0)
    service.wait(lambda: len(service.workers()) == 2)
    service.signal(TERM)
    assert service.exit_code() == 0


# -- workers end -------------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_the_reason_guessed(service: Service) -> None:
    victim = min(service.start(workers=2).workers())
    os.kill(victim, signal.SIGKILL)
    known = "" if oom.watch().is_blind else ", and not because memory ran out"
    service.wait_for_log(f"Worker {victim} was killed by SIGKILL; not by Tricorn{known}")
    service.wait(lambda: len(service.ready()) == 2)


def is_removed(group: Path) -> bool:
    """The kernel may still be at what its processes have left."""
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@contextlib.contextmanager
def little_memory(size: int) -> Iterator[Callable[[int], None]]:
    """A control group that may have so many bytes; puts a process into it."""
    counter = oom.watch().counter
    if counter is None or not counter.is_own or not os.access(counter.path.parent, os.W_OK):
        pytest.skip("no control group for memory can be made here")
    group = counter.path.parent / f"tricorn-test-{os.getpid()}"
    limit = group / ("memory.max" if counter.path.name == "memory.events" else "memory.limit_in_bytes")
    try:
        group.mkdir()
        limit.write_text(str(size))
    except OSError as error:
        pytest.skip(f"no control group for memory can be made here: {error}")
    try:
        yield lambda pid: (group / "cgroup.procs").write_text(str(pid)) and None
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        wait_for(lambda: is_removed(group), "the group is removed")


def test_a_worker_that_ran_out_of_memory(service: Service) -> None:
    with little_memory(150 << 20) as confine:
        # Confined before it looks where it is counted.
        service.start(ready=0, workers=1, confine=confine)
        try:
            service.wait(lambda: len(service.ready()) == 1)
            (victim,) = service.ready()
            service.mood(eat=victim)
            service.wait_for_log(f"Worker {victim} was killed by SIGKILL; memory ran out (oom_kill in /")
            service.mood()
            service.wait(lambda: len(service.ready()) == 1)
        finally:
            service.end()


def test_a_start_that_fails_is_tried_again(service: Service) -> None:
    service.mood(boot="fail")
    service.start(ready=0, workers=2, max_boot_failures=20)
    service.wait_for_log("No worker could start: try 2 of 20 (max_boot_failures); the next one in 0.2 s")
    service.mood()
    service.wait(lambda: len(service.ready()) == 2)
    assert service.log().count("cannot import name 'app'") == 1


def test_a_start_that_fails_too_often(service: Service) -> None:
    service.mood(boot="fail")
    service.start(ready=0, workers=2, max_boot_failures=2)
    assert service.exit_code() == 3
    assert service.log().count("No worker could start: try") == 1
    assert "Stopping: no worker could start" in service.log()


def test_a_worker_that_retires_is_replaced_at_once(service: Service) -> None:
    victim = min(service.start(workers=1).workers())
    service.mood(retire=victim)
    service.wait(lambda: service.ready() and victim not in service.ready())
    assert "Workers crash" not in service.log()


def test_crashes_are_backed_off(service: Service) -> None:
    service.start(workers=1)
    service.mood(crash="all")
    service.wait_for_log("starting the next one in 0.2 s")
    service.mood()
    service.wait(lambda: len(service.ready()) == 1)
    assert "killed by SIGSEGV" in service.log()


@pytest.mark.slow
def test_nobody_is_blamed_when_the_whole_machine_stood_still(service: Service) -> None:
    workers = service.start(workers=1, timeout=0.5).workers()
    for pid in (service.pid, *workers):
        os.kill(pid, signal.SIGSTOP)
    # The only wait for time in these tests: that time passed is what is tested.
    time.sleep(STALL + TICK + 0.1)
    for pid in (service.pid, *workers):
        os.kill(pid, signal.SIGCONT)
    service.wait_for_log("The master was suspended")
    assert service.workers() == workers
    assert "sign of life" not in service.log()


def test_a_frozen_worker_is_aborted(service: Service) -> None:
    victim = min(service.start(workers=2, timeout=0.3).workers())
    service.mood(frozen=victim)
    service.wait_for_log(f"Worker {victim} was killed by SIGABRT")
    service.wait(lambda: len(service.ready()) == 2)
    assert f"Worker {victim} has shown no sign of life" in service.log()


def test_a_stopped_worker_is_aborted(service: Service) -> None:
    """It is told to go on, so that it can show its stacks."""
    victim = min(service.start(workers=1, timeout=0.3).workers())
    os.kill(victim, signal.SIGSTOP)
    service.wait_for_log(f"Worker {victim} was killed by SIGABRT")
    assert "; it is stopped (SIGSTOP)" in service.log()


@pytest.mark.slow
def test_a_frozen_worker_that_survives_the_abort_is_killed(service: Service) -> None:
    victim = min(service.start(workers=1, timeout=0.3).workers())
    service.mood(deaf=victim, frozen=victim)
    service.wait_for_log(f"Worker {victim} was killed by SIGKILL")
    assert f"Worker {victim} did not stop in time: killed it" in service.log()
    service.wait(lambda: len(service.ready()) == 1)


def test_workers_end_with_a_master_that_was_killed(service: Service) -> None:
    workers = service.start(workers=3).workers()
    service.signal(signal.SIGKILL)
    service.exit_code()
    service.wait(lambda: not any(map(is_alive, workers)))
    assert {int(event[0]) for event in service.events("orphan")} == workers


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR2", "SIGTTIN", "SIGTTOU"])
def test_the_masters_signals_do_not_kill_workers(service: Service, name: str) -> None:
    (worker,) = service.start(workers=1).workers()
    os.kill(worker, getattr(signal, name))
    os.kill(worker, signal.SIGUSR1)
    service.wait(lambda: service.events("SIGUSR1"))
    assert set(service.ready()) == {worker}


# -- TTIN, TTOU, USR1 --------------------------------------------------------------------------------------


def test_more_and_fewer_workers(service: Service) -> None:
    service.start(workers=1)
    service.signal(signal.SIGTTIN)
    service.wait(lambda: len(service.ready()) == 2)
    service.signal(signal.SIGTTOU)
    service.wait(lambda: len(service.workers()) == 1)
    service.signal(signal.SIGTTOU)
    service.wait_for_log("SIGTTOU: there are 1 workers")
    assert len(service.ready()) == 1


def test_usr1_goes_to_all(service: Service) -> None:
    workers = service.start(workers=2).workers()
    service.signal(signal.SIGUSR1)
    service.wait(lambda: {int(event[0]) for event in service.events("SIGUSR1")} == workers)
    assert service.workers() == workers


# -- reload ------------------------------------------------------------------------------------------------


def test_reload_replaces_one_by_one(service: Service) -> None:
    old = service.start(workers=3).workers()
    service.signal(HUP)
    service.wait_for_log("Reload done: generation 2 serves")
    assert sorted(service.ready().values()) == [2, 2, 2]
    assert not old & service.workers()
    # In the order of what happened: never two old ones told to leave without a new one READY in between.
    names = [line.split()[:3] for line in (service.home / "events").read_text().splitlines()]
    serving = 0
    for name, _pid, generation in (words if len(words) == 3 else [*words, ""] for words in names):
        serving += (name == "ready") - (name == "SIGTERM")
        assert generation != "2" or serving >= 3


def test_reload_takes_new_settings_and_the_old_port_closes_last(service: Service) -> None:
    service.start(workers=2)
    old_port = port_of(service)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        new_port = probe.getsockname()[1]
    service.settings(workers=3, threads=4, bind=[f"127.0.0.1:{new_port}"])
    service.mood(drain="never")
    service.signal(HUP)
    service.wait(lambda: list(service.ready().values()).count(2) == 3)
    # Old workers still drain, and their clients may still connect.
    assert can_connect(old_port)
    assert can_connect(new_port)
    for pid, generation in service.ready().items():
        if generation == 1:
            os.kill(pid, INT)
    service.wait(lambda: not can_connect(old_port))
    assert len(service.ready()) == 3


def test_a_generation_that_does_not_boot_replaces_nobody(service: Service) -> None:
    old = service.start(workers=2).workers()
    service.mood(boot="fail")
    service.settings(workers=5)
    service.signal(HUP)
    service.wait_for_log("Reload failed: generation 2 does not start; generation 1 keeps serving")
    assert service.workers() == old
    assert not service.events("SIGTERM")
    # And the next one may work.
    service.mood()
    service.settings(workers=2)
    service.signal(HUP)
    service.wait_for_log("Reload done: generation 3 serves")


def test_settings_that_cannot_be_used_change_nothing(service: Service) -> None:
    old = service.start(workers=1).workers()
    service.settings(broken=True)
    service.signal(HUP)
    service.wait_for_log("Reload failed; nothing has changed: broken: does not exist")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service.settings(bind=[f"127.0.0.1:{taken.getsockname()[1]}"])
        service.signal(HUP)
        service.wait_for_log("Reload failed; nothing has changed: Cannot listen on")
    assert service.workers() == old


def test_term_during_a_reload_that_hangs(service: Service) -> None:
    service.start(workers=2)
    service.mood(boot="hang")
    service.signal(HUP)
    service.wait(lambda: len(service.workers()) == 3)
    service.signal(TERM)
    assert service.exit_code() == 0


def test_many_reloads_at_once(service: Service) -> None:
    service.start(workers=2)
    for _ in range(20):
        service.signal(HUP)
    service.wait_for_log("Reload done")
    service.signal(HUP)
    service.wait(lambda: service.log().count("Reload done") == 2 or len(set(service.ready().values())) == 1)
    service.signal(TERM)
    assert service.exit_code() == 0


# -- preload, pidfile, privileges --------------------------------------------------------------------------


def loaded_in(service: Service) -> set[int]:
    """The molds that living workers come from."""
    said = {int(event[0]): int(event[-1].rstrip("}")) for event in service.events("application")}
    return {said[pid] for pid in service.ready()}


def test_preload(service: Service) -> None:
    """Workers come from a mold, and are the master's children all the same."""
    service.start(workers=2, preload_app=True, wsgi_app="shop:app")
    (mold,) = service.molds()
    assert Path(f"/proc/{mold}/cmdline").read_bytes().startswith(b"tricorn: mold [shop:app]")
    assert service.events("preload") == [[str(mold)]]
    service.wait(
        lambda: len(service.events("application")) >= 2
    )  # each tells that it has it when it is there
    assert loaded_in(service) == {mold}
    assert {event[2] for event in service.events("ready")} == {str(service.pid)}
    service.signal(TERM)
    assert service.exit_code() == 0
    assert not is_alive(mold)
    assert "ERROR" not in service.log()


def test_a_reload_loads_the_application_anew(service: Service) -> None:
    service.start(workers=2, preload_app=True)
    (before,) = service.molds()
    service.signal(HUP)
    service.wait_for_log("Reload done")
    (after,) = service.molds()
    assert after != before
    assert loaded_in(service) == {after}
    assert not is_alive(before)


@pytest.mark.slow
def test_a_reload_turns_it_on_and_off(service: Service) -> None:
    service.start(workers=1)
    for number, preload in enumerate([True, False], start=1):
        service.settings(workers=1, preload_app=preload)
        service.signal(HUP)
        service.wait(lambda number=number: service.log().count("Reload done") == number)
        assert len(service.molds()) == preload
        assert list(service.ready().values()) == [number + 1]


def test_preload_that_fails(service: Service) -> None:
    service.mood(boot="fail")
    service.start(ready=0, preload_app=True)
    assert service.exit_code(10) == 3
    assert service.log().count("cannot import name 'app'") == 1
    assert "ERROR Stopping: no worker could start" in service.log()


@pytest.mark.parametrize("how", ["fail", "hang"])
def test_new_code_that_does_not_load_leaves_the_old_serving(service: Service, how: str) -> None:
    """And the old mold is there to replace what is lost."""
    service.start(workers=2, preload_app=True)
    (mold,), workers = service.molds(), service.workers()
    service.settings(workers=2, preload_app=True, boot_timeout=0.3)
    service.mood(preload=how)
    service.signal(HUP)
    service.wait_for_log("Reload failed: generation 2 does not start; generation 1 keeps serving")
    service.wait(lambda: service.molds() == {mold})
    assert service.workers() == workers
    assert ("(boot_timeout): aborting it" if how == "hang" else "cannot import name 'app'") in service.log()
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    service.wait(lambda: len(service.ready()) == 2 and victim not in service.ready())
    assert loaded_in(service) == {mold}
    service.signal(TERM)
    assert service.exit_code() == 0


def test_workers_live_without_their_mold(service: Service) -> None:
    """A new one is made when a worker is wanted."""
    service.start(workers=2, preload_app=True)
    (mold,), workers = service.molds(), service.workers()
    os.kill(mold, signal.SIGKILL)
    service.wait_for_log(f"Mold {mold} was killed by SIGKILL")
    assert service.workers() == workers
    assert not service.molds()
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    service.wait(lambda: len(service.ready()) == 2 and victim not in service.ready())
    assert len(loaded_in(service)) == 2
    assert len(service.molds()) == 1


@pytest.mark.slow
def test_a_mold_that_is_told_to_end_is_replaced(service: Service) -> None:
    """`kill` with the wrong number loses nothing."""
    service.start(workers=1, preload_app=True)
    (mold,), workers = service.molds(), service.workers()
    os.kill(mold, TERM)
    service.wait_for_log(f"Mold {mold} has exited")
    service.signal(signal.SIGTTIN)
    service.wait(lambda: len(service.ready()) == 2)
    assert workers < service.workers()


@pytest.mark.parametrize("mood", [{}, {"preload": "hang"}], ids=["ready", "loading"])
def test_a_mold_ends_with_a_master_that_was_killed(service: Service, mood: dict[str, str]) -> None:
    service.mood(**mood)
    service.start(ready=0, preload_app=True, workers=1)
    service.wait(lambda: service.events("preload") if mood else service.ready())
    children = service.children()
    assert service.molds()
    service.signal(signal.SIGKILL)
    service.exit_code()
    service.wait(lambda: not any(map(is_alive, children)))


@pytest.mark.slow
@pytest.mark.parametrize("number", [TERM, INT])
def test_a_mold_that_hangs_while_it_forks_holds_a_stop_for_seconds(
    service: Service, number: signal.Signals
) -> None:
    service.mood(preload="fork hangs")
    service.start(ready=0, preload_app=True)
    service.wait_for_log("has loaded the application")
    service.signal(number)
    assert service.exit_code(MOLD_GRACE + 7) == 0
    assert "did not stop in time: killed it" in service.log()


@pytest.mark.slow
def test_a_mold_that_hangs_while_it_forks_is_replaced(service: Service) -> None:
    service.mood(preload="fork hangs")
    service.start(ready=0, preload_app=True, timeout=1.0)
    service.wait_for_log("has loaded the application")
    service.mood()
    service.wait(lambda: "(timeout): aborting it" in service.log(), MOLD_SILENCE + 7)
    # The generation has not been READY once: that is its end.
    assert service.exit_code() == 3


@pytest.mark.parametrize("more", [0, 2], ids=["for the order", "for the fork"])
def test_a_mold_without_descriptors_is_told_again(service: Service, more: int) -> None:
    service.mood(files=more)
    service.start(ready=0, preload_app=True)
    service.wait_for_log("No worker started: Too many open files")
    (service.home / "lifted").touch()
    service.wait(lambda: len(service.ready()) == 2)
    assert len(service.events("preload")) == 1


def test_pidfile(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "run.pid"
    service.start(workers=1, pidfile=str(path))
    assert path.read_text() == f"{service.pid}\n"
    other = subprocess.run(service.process.args, stderr=subprocess.PIPE, text=True, timeout=10, check=False)
    assert other.returncode == 1
    assert f"Already running: process {service.pid} holds the pidfile" in other.stderr
    assert path.exists()
    service.signal(TERM)
    service.exit_code()
    assert not path.exists()


def test_pidfile_of_a_killed_master_is_replaced_although_a_worker_lives(
    service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "run.pid"
    (worker,) = service.start(workers=1, pidfile=str(path)).workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        service.signal(signal.SIGKILL)
        service.exit_code()
        assert path.exists()
        service.start(workers=1, pidfile=str(path))
        assert path.read_text() == f"{service.pid}\n"
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.fixture
def open_service() -> Iterator[Service]:
    """One whose directory workers can use that are not root; pytest keeps its own closed to them."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        running = Service(Path(directory))
        (running.home / "events").chmod(0o666)
        try:
            yield running
        finally:
            running.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_privileges_are_given_up(open_service: Service) -> None:
    service, path = open_service, open_service.home / "sock"
    service.start(workers=1, user=12345, group=23456, bind=[f"unix:{path}"])
    (worker,) = service.workers()
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{worker}/status").read_text().splitlines())
    assert status["Uid"].split() == ["12345"] * 4
    assert status["Gid"].split() == ["23456"] * 4
    assert status["Groups"].split() == ["23456"]
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (12345, 23456, 0o660)
    service.signal(TERM)
    assert service.exit_code() == 0
    assert not path.exists()
