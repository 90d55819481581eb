"""The servers that an application is tried behind: ours with its defaults, and its usual one.

Knows: three command lines, processes. Must not know: applications, browsers.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SITES = Path(__file__).parent / "sites"

#: Seconds until it answers. Some of these packages take ten to import.
BOOT_DEADLINE = 60.0
STOP_DEADLINE = 40.0

#: Lines of a log that tell of a fault.
_COMPLAINT = re.compile(r"^(Traceback .*|.*\b(?:ERROR|CRITICAL)\b.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """A server: its name, the packages that bring it, and its command line for a site on a descriptor."""

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]


OURS = Kind("tricorn", (), ("tricorn", "--bind", "fd://{fd}", "{site}:site()"))
UVICORN = Kind("uvicorn", ("uvicorn", "websockets"), ("uvicorn", "--fd", "{fd}", "--factory", "{site}:site"))
GUNICORN = Kind(
    "gunicorn",
    ("gunicorn",),
    ("gunicorn", "--no-control-socket", "--bind", "fd://{fd}", "--threads", "4", "{site}:site()"),
)
GUNICORN_UVICORN = Kind(
    "gunicorn with uvicorn's worker",
    ("gunicorn", "uvicorn-worker", "websockets"),
    (
        "gunicorn",
        "--no-control-socket",
        "--bind",
        "fd://{fd}",
        "--worker-class",
        "uvicorn_worker.UvicornWorker",
        "{site}:site()",
    ),
)

#: What an application of an interface usually runs on.
PEERS = {"asgi": UVICORN, "wsgi": GUNICORN}


class ServerError(AssertionError):
    """The server does not start, or does not end as it should."""


class Server:
    """One running server. Use it in a `with`; `url` has no slash at its end."""

    def __init__(self, kind: Kind, python: Path, site: str, data: Path, options: Sequence[str] = ()) -> None:
        self.kind = kind
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.log_file = data.parent / f"{data.name}.log"
        words = [word.format(fd=self._listener.fileno(), site=site) for word in kind.command]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), str(python.parent / words[0]), *options, *words[1:]],
                cwd=SITES,
                env={**os.environ, "APPLICATION_DATA": str(data), "PYTHONPATH": str(SITES)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._listener.fileno(),),
                start_new_session=True,
            )

    def __enter__(self) -> Server:
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.stop()
        finally:
            self.kill()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def _last_line(self) -> str:
        """What a server says last before it ends is, as a rule, why; with where the rest is."""
        lines = [line for line in self.log().splitlines() if " [INFO] " not in line]
        return f"{lines[-1] if lines else 'it says nothing'} ({self.log_file})"

    def complaint(self) -> str:
        """The first line of the log that tells of a fault, and the last of a traceback."""
        text = self.log()
        found = _COMPLAINT.search(text)
        if found is None:
            return ""
        last = re.search(r"^\w[\w.]*(?:Error|Exception|Interrupt|Disconnected)\b.*$", text, re.MULTILINE)
        return found[0] + (f" … {last[0]}" if last else "")

    @property
    def pid(self) -> int:
        return self._process.pid

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def workers(self) -> set[int]:
        """The processes that the master has now."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return {int(pid) for pid in children.read_text().split()}

    def stop(self) -> None:
        """TERM and the exit code 0."""
        self._process.terminate()
        try:
            code = self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            raise ServerError(f"does not end {STOP_DEADLINE:.0f} s after TERM") from None
        if code not in {0, -signal.SIGTERM}:  # Uvicorn sends itself the signal again
            raise ServerError(f"ended with {code}: {self._last_line()}")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._listener.close()

    def _wait(self) -> None:
        """Until it answers: one connection waits in the backlog while the server boots."""
        host, port = self.url.removeprefix("http://").split(":")
        end = time.monotonic() + BOOT_DEADLINE
        with socket.create_connection((host, int(port))) as waiting:
            waiting.settimeout(0.2)
            waiting.sendall(b"GET /is-it-there HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            while True:
                with contextlib.suppress(TimeoutError):
                    if waiting.recv(1):
                        return
                    raise ServerError(f"closed the first connection: {self._last_line()}")
                if (code := self._process.poll()) is not None:
                    raise ServerError(f"ended with {code}: {self._last_line()}")
                if time.monotonic() > end:
                    raise ServerError(f"does not answer: {self._last_line()}")
