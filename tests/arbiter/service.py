"""A real master with real workers (serve.py), seen from the outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.nursery import Process, maybe_forked

SERVE = Path(__file__).with_name("serve.py")
#: What of Tricorn it imports.
MODULES = ("tricorn.arbiter.arbiter", "tricorn.arbiter.farewell", "tricorn.tls.renewal")


class Service:
    """A running master. `wait` is the only way to wait, and always for a condition."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | Process | None = None
        self.mood()
        (home / "events").touch()

    def settings(self, **values: Any) -> None:
        defaults = {"bind": ["127.0.0.1:0"], "workers": 2, "graceful_timeout": 5.0, "timeout": 30.0}
        self._replace("settings", json.dumps(defaults | values))

    def mood(self, **values: Any) -> None:
        self._replace("mood", json.dumps(values))

    def _replace(self, name: str, text: str) -> None:
        # Workers read these files all the time: never let them see half of one.
        draft = self.home / f".{name}"
        draft.write_text(text)
        draft.rename(self.home / name)

    def start(
        self,
        ready: int | None = None,
        *,
        confine: Callable[[int], None] | None = None,
        environ: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Service:
        """confine: is called with the process id of the master before that does anything. environ: more of
        it."""
        self.settings(**settings)
        command = [sys.executable, str(SERVE), str(self.home)]
        with open(self.home / "log", "ab") as log:
            if confine is None:
                self._run(command, {**os.environ, **(environ or {})}, log.fileno())
            else:
                self._run_confined(command, confine, log.fileno())
        if ready is None:
            ready = settings.get("workers", 2)
        if ready:
            self.wait(lambda: len(self.ready()) == ready or self.process.poll() is not None)
            assert self.process.poll() is None, f"the master has ended; log:\n{self.log()}"
        return self

    def _run(self, command: list[str], environ: dict[str, str], log: int) -> None:
        with open(os.devnull) as nothing:
            descriptors = {0: nothing.fileno(), 1: 1, 2: log}
            self.process = maybe_forked(
                command, MODULES, environ=environ, cwd=Path.cwd(), descriptors=descriptors, new_session=False
            ) or subprocess.Popen(command, stderr=log, stdin=nothing, env=environ)

    def _run_confined(self, command: list[str], confine: Callable[[int], None], log: int) -> None:
        wrapped = ["sh", "-c", 'read go && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(wrapped, stderr=log, stdin=subprocess.PIPE)
        confine(self.process.pid)
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.close()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def exit_code(self, timeout: float = 5) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def log(self) -> str:
        return (self.home / "log").read_text()

    def events(self, name: str) -> list[list[str]]:
        lines = (self.home / "events").read_text().splitlines()
        return [line.split()[1:] for line in lines if line.split()[0] == name]

    def children(self) -> set[int]:
        """The master's children that have not ended."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except FileNotFoundError:
            return set()
        return {int(pid) for pid in children if is_alive(int(pid))}

    def workers(self) -> set[int]:
        return {pid for pid in self.children() if not is_mold(pid)}

    def molds(self) -> set[int]:
        return {pid for pid in self.children() if is_mold(pid)}

    def ready(self) -> dict[int, int]:
        """Living workers that were READY, with their generations."""
        living = self.workers()
        return {int(e[0]): int(e[1]) for e in self.events("ready") if int(e[0]) in living}

    def wait(self, condition: Callable[[], object], timeout: float = 5) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain; log:\n{self.log()}"
            time.sleep(0.005)

    def wait_for_log(self, text: str) -> None:
        self.wait(lambda: text in self.log())

    def end(self) -> None:
        """Leave nothing behind, however the test went."""
        if self.process is None:
            return
        children = self.children()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in children:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that waits to be reaped does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def is_mold(pid: int) -> bool:
    """Whether it is one that has loaded the application for the workers; by its name in `ps`."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"tricorn: mold")
    except (FileNotFoundError, ProcessLookupError):
        return False
