"""The files of examples/deploy/, and the programs that they are for, as far as this machine has them.

What differs between a server in production and a test are addresses, paths and users: `example` puts the
test's in their place, and fails if there is nothing to replace, so an example that changes changes its test.

Knows: files, processes. Must not know: HTTP, what any program does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.patience import PATIENCE
from harness.ports import at_free_port
from harness.server import APPS, wait_for

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "deploy"

#: Where Debian puts servers, which is not on everybody's PATH.
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

TRICORN = [sys.executable, "-m", "tricorn"]
#: Variables that would change what the server under test does.
FOREIGN = ("TRICORN_", "GUNICORN_", "WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "NOTIFY_SOCKET")


def program(name: str) -> str:
    """Its path. The test is skipped if there is none; on the machines of the project there is (.ci/run)."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def example(name: str, replaced: Mapping[str, object]) -> str:
    """The text of a file, with what stands on the left of `replaced` as it is on the right."""
    text = (EXAMPLES / name).read_text()
    for old, new in replaced.items():
        assert old in text, f"{name} has no {old!r} any more"
        text = text.replace(old, str(new))
    return text


def free_port(host: str = "127.0.0.1") -> int:
    """One that nobody listens on now."""
    with at_free_port(lambda port: socket.create_server((host, port))) as listener:
        port: int = listener.getsockname()[1]
        return port


def environ(**more: str) -> dict[str, str]:
    """That of a service: nothing of what this process was told about servers."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**usual, "PYTHONPATH": str(APPS), **more}


def accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


@dataclass
class Running:
    """A program that was started."""

    process: subprocess.Popen[bytes]
    log_path: Path

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until it is so; a failure, with the log, if the program ends or takes too long."""

        def is_so() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log()}"
            return bool(condition())

        try:
            wait_for(is_so, what, deadline=20)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-4000:]}") from None

    def wait_log(self, text: str, *, times: int = 1) -> None:
        self.wait(lambda: self.log().count(text) >= times, f"{text!r} is in the log {times} times")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60 * PATIENCE)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    directory: Path,
    *,
    name: str = "program",
    env: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Started in `directory`; at the end nothing of it is left. Its log is beside: NAME.log."""
    log_path = directory / f"{name}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=directory,
            env=dict(environ() if env is None else env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Running(process, log_path)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10 * PATIENCE)
