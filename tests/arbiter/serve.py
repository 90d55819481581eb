"""A service for the tests: the real arbiter with a worker that does nothing but live.

    python serve.py DIRECTORY

The directory is the only way in and out:

    settings    JSON, read at the start and at each reload
    mood        JSON, read by each worker when it boots, and while it lives ("frozen", "deaf", "crash")
    events      one line for everything that a worker did: "ready PID GENERATION PARENT ..."
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tricorn import scoreboard
from tricorn.arbiter.arbiter import Arbiter
from tricorn.arbiter.farewell import leave
from tricorn.arbiter.mold import BootError
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.handover import EXIT_BOOT, EXIT_OK, Assignment
from tricorn.tls import renewal

renewal.INTERVAL = 0.02

HOME = Path(sys.argv[1])
TUPLES = ("bind", "certificates")


def read_settings() -> Settings:
    event("settings", os.getpid())
    while mood().get("settings") == "hang":
        time.sleep(0.01)
    values: dict[str, Any] = json.loads((HOME / "settings").read_text())
    if "broken" in values:
        raise ConfigError("broken", "settings", "does not exist")
    return Settings(**{name: tuple(v) if name in TUPLES else v for name, v in values.items()})


def mood() -> dict[str, Any]:
    result: dict[str, Any] = json.loads((HOME / "mood").read_text())
    return result


def event(*words: object) -> None:
    line = " ".join(map(str, words)) + "\n"
    fd = os.open(HOME / "events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, line.encode())
    os.close(fd)


def load(_settings: Settings, _descriptors: Sequence[int]) -> object:
    event("preload", os.getpid())
    while mood().get("preload") == "hang":
        time.sleep(0.01)
    if mood().get("preload") == "fork hangs":
        os.register_at_fork(before=lambda: time.sleep(60))
    if "fail" in (mood().get("boot"), mood().get("preload")):
        raise BootError("cannot import name 'app'")
    if (more := mood().get("files")) is not None:
        threading.Thread(target=lift_limit, args=(limit_files(more),), daemon=True).start()
    return {"loaded_in": os.getpid()}


def limit_files(more: int) -> tuple[int, int]:
    """Let this process open so many files more; gives the limit that there was."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, before[1]))
    return before


def lift_limit(before: tuple[int, int]) -> None:
    while not (HOME / "lifted").exists():
        time.sleep(0.01)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def worker(job: Assignment) -> int:
    boot = mood().get("boot")
    if boot == "hang":
        time.sleep(60)
    if boot == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if boot == "fail":
        job.fail("cannot import name 'app'")
        return EXIT_BOOT
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    job.row.state = scoreboard.READY
    job.row.beat()
    event("tls", os.getpid(), *map(int, job.tls_listeners))
    event("shows", os.getpid(), *shown(job))
    event("ready", os.getpid(), job.row.generation, os.getppid(), os.getuid(), os.getgid(), random.random())
    event("application", os.getpid(), job.application)
    job.notify()
    return live(job, reader)


def shown(job: Assignment) -> list[object]:
    """Which context a worker has (it is the same object after a fork), and the names on its certificates."""
    if job.certificates is None:
        return []
    tls = job.certificates.tls
    return [id(tls.context), *(name for pair in tls.material.pairs for name in pair.leaf.dns)]


def context(_settings: Settings, default: Any) -> Any:
    """A hook that the settings may name."""
    event("hook", os.getpid())
    while mood().get("hook") == "hang":
        time.sleep(0.01)
    return default()


def live(job: Assignment, wakes: int) -> int:
    poll = select.poll()
    poll.register(wakes, select.POLLIN)
    poll.register(job.lifeline, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll(10)]
        now = mood()
        if now.get("deaf") == os.getpid():
            signal.signal(signal.SIGABRT, signal.SIG_IGN)
        if now.get("frozen") == os.getpid():
            time.sleep(60)
        if "crash" in now and now["crash"] in (os.getpid(), "all"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if now.get("eat") == os.getpid():
            bytearray(b"x") * (1 << 30)
        if now.get("retire") == os.getpid():
            return EXIT_OK
        job.row.beat()
        if job.certificates is not None and job.certificates.take():
            event("shows", os.getpid(), *shown(job))
        if job.lifeline in ready:
            event("orphan", os.getpid())
            return EXIT_OK
        for number in os.read(wakes, 100) if wakes in ready else b"":
            event(signal.Signals(number).name, os.getpid())
            if number == signal.SIGTERM:
                job.row.state = scoreboard.DRAINING
                job.notify()
                if not mood().get("drain", "").startswith("never"):
                    return EXIT_OK
            elif number in (signal.SIGINT, signal.SIGQUIT) and mood().get("drain") != "never at all":
                return EXIT_OK


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(levelname)s %(message)s")
    try:
        code = Arbiter(read_settings(), worker, read_settings, load).run()
    except ConfigError as error:
        print(error, file=sys.stderr)
        code = 2
    leave(code)
