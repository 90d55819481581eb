"""What happens to a server while its clients are served: one row for each.

An act begins something and returns when it is over. A row whose `able` a server lacks (service.py) is left
out for it. A new row is one line in EVENTS, and an entry in the `able` of each server that can do it;
`signalled` makes the act of a plain signal.

Knows: signals, files, processes. Must not know: HTTP beyond one request, what is counted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import tls
from harness.server import frozen

from lossless.clients import Door
from lossless.service import WANTED, WORKERS, Service

Act = Callable[[Service], None]

#: System calls of a thread that has nothing to do, by their numbers: epoll_wait, epoll_pwait, futex, poll,
#: ppoll, clock_nanosleep, select, pselect6, and read, in which some wait for their supervisor.
IDLE_CALLS = {
    "x86_64": {"232", "281", "202", "7", "271", "230", "23", "270", "0"},
    "aarch64": {"22", "98", "73", "115", "72", "63"},
}


@dataclass(frozen=True)
class Event:
    """name: in the tables. able: what a server must be able to do.

    wires: on which it makes sense. without: kinds of clients that are left out.
    kills: a worker is killed, and requests that it had are lost with it; at most so many.
    ends: the service ends; what begins later is refused.
    moves: another master takes over.
    """

    name: str
    able: str
    act: Act
    wires: Sequence[str] = ("plain", "tls")
    without: Sequence[str] = ()
    kills: int = 0
    ends: bool = False
    moves: bool = False


def signalled(number: signal.Signals, *said: str) -> Act:
    """Send it; over when all workers were replaced, or, with words, when the log says one of them."""

    def act(service: Service) -> None:
        old = service.workers()
        service.tell(number)
        if said:
            service.wait_log(*said)
        else:
            service.wait_replaced(old)

    return act


def _reload_five_times(service: Service) -> None:
    old = service.workers()
    for _ in range(5):
        service.tell(signal.SIGHUP)
        time.sleep(0.2)
    service.wait_replaced(old)
    if service.is_own:
        service.wait_log("Reload done")
    service.wait_count(WORKERS)


def _reload_with(text: str) -> Act:
    """HUP with an application that does not come up; then it is mended, and HUP again."""

    def act(service: Service) -> None:
        service.write_site(text)
        service.tell(signal.SIGHUP)
        service.wait_log("Reload failed")
        service.write_site()

    return act


def _reload_with_broken_settings(service: Service) -> None:
    for path in (service.configuration("tricorn.toml"), service.configuration("gunicorn.conf.py")):
        path.write_text("workers = = 2\n")
    service.tell(signal.SIGHUP)
    service.wait_log("Reload failed")


def _upgrade(service: Service) -> None:
    old = service.workers()
    service.tell(signal.SIGUSR2)
    if not service.is_own:
        # Both masters serve until somebody sends the old one away.
        service.wait_count(2 * WORKERS)
        service.tell(signal.SIGTERM)
    service.wait_replaced(old)


def _upgrade_to_a_broken_installation(service: Service) -> None:
    """What is to be imported now is found before what is installed."""
    for name in ("tricorn", "gunicorn"):
        package = service.site.parent / name
        package.mkdir()
        (package / "__init__.py").write_text("raise ImportError('this installation is broken')\n")
    service.tell(signal.SIGUSR2)
    service.wait_log("Upgrade failed")


def _resize(service: Service) -> None:
    service.tell(signal.SIGTTIN)
    service.wait_count(WORKERS + 1)
    service.tell(signal.SIGTTOU)
    service.wait_count(WORKERS)


def _recycle(service: Service) -> None:
    """By itself: four workers more than at the start."""
    service.told_at = time.monotonic()
    first = len(service.journal.started())
    service.wait(lambda: len(service.journal.started()) >= first + 2 * WORKERS, "no worker is replaced")
    service.wait_count(WORKERS)


def _grow(service: Service) -> None:
    service.told_at = time.monotonic()
    grown = int(_ask(service, "/grow?grow").split()[1])
    service.wait(lambda: grown not in service.workers(), "the worker that has grown is not replaced")
    service.wait_count(WORKERS)


def _refork(service: Service) -> None:
    """By itself: a worker becomes the mold, and all others are replaced by those that it forks."""
    service.told_at = time.monotonic()
    first = service.workers()
    service.wait_log("was a worker until now")
    service.wait_replaced(first)
    service.wait_count(WORKERS)


def _autoscale(first: int, last: int) -> Act:
    """The load wants another number of workers."""

    def act(service: Service) -> None:
        service.wait_count(first)
        service.told_at = time.monotonic()
        service.configuration(WANTED).write_text(str(last))
        service.wait_count(last)

    return act


def _renew_certificate(service: Service) -> None:
    service.told_at = time.monotonic()
    new = service.pem.with_suffix(".new")
    shutil.copy(tls.CERTIFICATES / "two.example.pem", new)
    new.replace(service.pem)
    service.wait_log("two.example")


def _kill_an_idle_worker(service: Service) -> None:
    """The one that has the most clients. They stand still meanwhile: so it gets done what it has, however
    busy the machine is, and nothing begins between the look and the kill."""
    idle: list[int] = []

    def is_one_idle() -> bool:
        idle[:] = [pid for pid in service.workers() if _is_idle(service, pid)]
        return bool(idle)

    with frozen(service.crowd):
        service.wait(is_one_idle, "no worker is ever idle")
        _kill(service, max(idle, key=lambda pid: len(_sockets(pid))), signal.SIGKILL)
    service.wait_count(WORKERS)


def _is_idle(service: Service, pid: int) -> bool:
    return _waits(pid) and not _has_unread(pid) and not service.journal.under_way(pid)


def _waits(pid: int) -> bool:
    """Whether none of its threads does anything."""
    return {_call(task) for task in Path(f"/proc/{pid}/task").iterdir()} <= IDLE_CALLS[os.uname().machine]


def _call(task: Path) -> str:
    return (task / "syscall").read_text().split()[0]


def _has_unread(pid: int) -> bool:
    """Whether a connection of this process holds bytes that it has not read, or not got rid of."""
    inodes = _sockets(pid)
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[9] in inodes and words[3] == "01" and words[4] != "00000000:00000000":
            return True
    return False


def _sockets(pid: int) -> set[str]:
    """Of this process, by their inodes."""
    links = [_link(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


def _crash_a_busy_worker(service: Service) -> None:
    with _door(service).connect() as client:
        client.send(_request("/hold?hold"))
        service.wait(lambda: "hold" in service.journal.begun(), "the application is not inside the request")
        _kill(service, service.journal.begun()["hold"], signal.SIGSEGV)
        service.wait_count(WORKERS)
        with contextlib.suppress(tls.TruncatedError):
            assert not client.read_to_end(), "what was lost is answered"


def _kill(service: Service, pid: int, number: signal.Signals) -> None:
    service.victims.add(pid)
    service.tell(number, pid)


def _stop(service: Service) -> None:
    assert service.process is not None
    service.tell(signal.SIGTERM)
    service.wait(lambda: not service.is_alive(), "it has not stopped")


def _door(service: Service) -> Door:
    return Door(("127.0.0.1", service.port), service.wire == "tls")


def _ask(service: Service, target: str) -> str:
    with _door(service).connect() as client:
        client.send(_request(target))
        return client.response().body.decode()


def _request(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: lossless.example\r\nConnection: close\r\n\r\n".encode()


_LASTING = ("streaming", "sse", "websocket")

EVENTS = [
    Event("HUP", "reload", signalled(signal.SIGHUP)),
    Event("HUP five times in a second", "reload", _reload_five_times),
    Event("HUP, syntax error in the code", "reload, broken code", _reload_with("def app(:\n")),
    Event("HUP, broken configuration", "reload, broken settings", _reload_with_broken_settings),
    Event("HUP, code that hangs", "reload, hanging code", _reload_with("import time\ntime.sleep(3600)\n")),
    Event("USR2", "upgrade", _upgrade, moves=True),
    Event("USR2, a broken installation", "upgrade", _upgrade_to_a_broken_installation),
    Event("TTIN, then TTOU", "resize", _resize),
    Event("max_requests = 100", "max_requests", _recycle),
    Event("max_lifetime = 1", "max_lifetime", _recycle),
    Event("max_memory, a worker that grows", "max_memory", _grow),
    Event("refork", "refork", _refork),
    Event("autoscale up", "autoscale up", _autoscale(WORKERS, WORKERS + 1)),
    Event("autoscale down", "autoscale down", _autoscale(WORKERS + 1, WORKERS)),
    Event("a renewed certificate", "certificate", _renew_certificate, wires=("tls",)),
    Event("KILL of an idle worker", "replaces the dead", _kill_an_idle_worker, without=_LASTING, kills=4),
    Event("SEGV of a busy worker", "replaces the dead", _crash_a_busy_worker, kills=20),
    Event("TERM", "stop", _stop, ends=True),
]
