"""Every signal in every state of the master: what ends it, and what does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from arbiter.service import Service, is_alive

from tricorn.arbiter.signals import MEANING, STOPS, STRAYS, signal_name

#: The system's own meaning: they end or halt any process, or cannot be caught. TSTP is Ctrl-Z.
CRASHES = {"SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS"}
OWN = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP} | {signal.Signals[name] for name in CRASHES}

HARMLESS = sorted(signal.valid_signals() - STOPS - OWN)

# What HUP, TTIN and TTOU do depends on the state; they must not end the master in any.


def starting(service: Service) -> None:
    service.mood(boot="hang")
    service.start(ready=0)
    service.wait(lambda: len(service.workers()) == 2)


def preloading(service: Service) -> None:
    service.mood(preload="hang")
    service.start(ready=0, preload_app=True)
    service.wait(lambda: service.events("preload"))


def serving(service: Service) -> None:
    service.start()


def reading_settings(service: Service) -> None:
    service.start()
    service.mood(settings="hang")
    service.signal(signal.SIGHUP)
    service.wait(lambda: len(service.events("settings")) == 2)


def reloading(service: Service) -> None:
    service.start()
    service.mood(boot="hang")
    service.signal(signal.SIGHUP)
    service.wait(lambda: len(service.workers()) == 3)


def draining(service: Service) -> None:
    service.mood(drain="never at all")
    service.start(graceful_timeout=20.0)
    service.signal(signal.SIGTERM)
    service.wait(lambda: len(service.events("SIGTERM")) == 2)


def stopping(service: Service) -> None:
    service.mood(drain="never at all")
    service.start()
    service.signal(signal.SIGINT)
    service.wait(lambda: len(service.events("SIGINT")) == 2)


State = Callable[[Service], None]
STATES: list[State] = [starting, preloading, serving, reading_settings, reloading, draining, stopping]
by_name = pytest.mark.parametrize("state", STATES, ids=[state.__name__ for state in STATES])


def has_taken(pid: int, number: int) -> bool:
    """Whether the signal is no longer on its way to the process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return not any(mask >> (number - 1) & 1 for mask in pending)


def test_each_signal_has_its_place() -> None:
    """None is forgotten: a new kind of signal has to be given one."""
    own = {*OWN, signal.SIGCONT, signal.SIGURG, signal.SIGPIPE, signal.SIGXFSZ}
    assert MEANING.keys() | STRAYS | own == signal.valid_signals()
    assert not STRAYS & (MEANING.keys() | own)


@by_name
def test_no_other_signal_ends_the_master(service: Service, state: State) -> None:
    state(service)
    for number in HARMLESS:
        os.kill(service.pid, number)
        service.wait(lambda number=number: not is_alive(service.pid) or has_taken(service.pid, number))
        assert is_alive(service.pid), f"ended by {signal_name(number)}; log:\n{service.log()}"
    # It is still the same service: told to stop, it stops.
    service.mood()
    service.signal(signal.SIGINT)
    assert service.exit_code(10) == 0
    assert "Traceback" not in service.log()


@by_name
@pytest.mark.parametrize("number", sorted(STOPS), ids=lambda number: number.name)
def test_it_ends_when_told(service: Service, state: State, number: signal.Signals) -> None:
    """In a moment where nobody can lose anything by it; workers that do not end are killed in their time."""
    state(service)
    began = time.monotonic()
    if state in (draining, stopping):
        service.mood()
    service.signal(number)
    assert service.exit_code(10) == 0
    if state is not stopping:
        assert time.monotonic() - began < 4
    assert not service.workers()
    assert "Traceback" not in service.log()


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGPWR, signal.SIGRTMIN + 5], ids=signal_name)
def test_a_stray_signal_is_named_once(service: Service, number: int) -> None:
    service.start(workers=1)
    for _ in range(3):
        os.kill(service.pid, number)
    service.wait_for_log(f"{signal_name(number)}: ignored; the master does not use this signal")
    service.signal(signal.SIGTERM)
    assert service.exit_code() == 0
    assert service.log().count(signal_name(number)) == 1


def test_usr2_without_a_command_line(service: Service) -> None:
    """One that was not started by the command `tricorn`."""
    workers = service.start(workers=1).workers()
    service.signal(signal.SIGUSR2)
    service.wait_for_log("WARNING SIGUSR2: no upgrade: how this process was started is not known")
    assert service.workers() == workers


def test_signals_that_were_blocked_by_who_started_it(service: Service) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    try:
        service.start(workers=1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    service.signal(signal.SIGHUP)
    service.wait_for_log("Reload done")
    service.signal(signal.SIGTERM)
    assert service.exit_code() == 0


#: Is told to stop between any two steps of the installation: each that changes a handler sends TERM.
INSTALL = """
import os, signal
from tricorn.arbiter.signals import SignalPipe

set_handler = signal.signal
sent = []

def signal_(number, handler):
    before = set_handler(number, handler)
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        os.kill(os.getpid(), signal.SIGTERM)
        sent.append(number)
    return before

pipe = SignalPipe()
signal.signal = signal_
pipe.install()
print(bool(sent), list(pipe.arrived()).count(signal.SIGTERM) == len(sent))
"""


def test_no_stop_is_lost_while_the_handlers_are_installed() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INSTALL], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout == "True True\n"
