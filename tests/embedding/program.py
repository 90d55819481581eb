"""A program that starts a server in its own process, as a subprocess of the test.

Knows: processes, the lines of the log. Must not know: which way the program starts it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.client import Client
from harness.server import _FOREIGN, BOOT_DEADLINE, STOP_DEADLINE, wait_for
from integration.live import message

RECIPES = Path(__file__).parent / "recipes"

#: How a program that has come to its end says so in these tests.
GOES_ON = "the program goes on"


class Program:
    """A script, and what it writes."""

    def __init__(self, script: Path | str, *arguments: str, cwd: Path = RECIPES, **environ: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the program
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            cwd=cwd,
            env={**inherited, **environ},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        return os.pread(self._output.fileno(), 1 << 20, 0).decode()

    def wait_said(self, text: str, times: int = 1) -> str:
        def is_said() -> bool:
            assert self.process.poll() is None or self.output.count(text) >= times, self.output
            return self.output.count(text) >= times

        wait_for(is_said, f"{text!r} {times} times", deadline=BOOT_DEADLINE)
        return self.output

    @property
    def port(self) -> int:
        listening = re.search(r"Listening at https?://[\d.]+:(\d+)", self.wait_said("Listening at"))
        assert listening is not None
        return int(listening[1])

    def wait_log(self, log: Path, text: str, times: int = 1) -> None:
        """Where the error log is a file."""

        def is_there() -> bool:
            assert self.process.poll() is None, self.output
            return log.exists() and log.read_text().count(text) >= times

        wait_for(is_there, f"{text!r} {times} times", deadline=BOOT_DEADLINE)

    def get(self, path: str = "/", port: int = 0) -> tuple[int, bytes]:
        with Client(("127.0.0.1", port or self.port), timeout=10) as client:
            client.send(message(path, fields=("Connection: close",)))
            response = client.response()
            return response.status, response.body

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.tell(number)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(STOP_DEADLINE)

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_DEADLINE)
        self._output.close()


@contextmanager
def program(script: Path | str, *arguments: str, cwd: Path = RECIPES, **environ: str) -> Iterator[Program]:
    running = Program(script, *arguments, cwd=cwd, **environ)
    try:
        yield running
    finally:
        running.end()


def ended(script: Path | str, *arguments: str, cwd: Path = RECIPES, **environ: str) -> tuple[int, str]:
    """Exit code and output of a program that ends by itself."""
    with program(script, *arguments, cwd=cwd, **environ) as running:
        return running.wait(), running.output
