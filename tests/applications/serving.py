"""The servers that an application is tried behind: ours with its defaults, and its usual one.

Knows: command lines, processes. Must not know: applications, browsers.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from applications.wires import PLAIN, Wire

SITES = Path(__file__).parent / "sites"

#: Seconds until it answers. Some of these packages take ten to import.
BOOT_DEADLINE = 60.0
STOP_DEADLINE = 40.0

_FIRST = b"GET /is-it-there HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"

#: Lines of a log that tell of a fault.
_COMPLAINT = re.compile(r"^(Traceback .*|.*\b(?:ERROR|CRITICAL)\b.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """A server: its name, the packages that bring it, and its command line for a site on a descriptor.

    secured: what stands there besides, for TLS.
    """

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    secured: tuple[str, ...] = ("--certfile", "{certificate}", "--keyfile", "{key}")


OURS = Kind("tricorn", (), ("tricorn", "--bind", "fd://{fd}", "{site}:site()"))
UVICORN = Kind(
    "uvicorn",
    ("uvicorn", "websockets"),
    ("uvicorn", "--fd", "{fd}", "--factory", "{site}:site"),
    ("--ssl-certfile", "{certificate}", "--ssl-keyfile", "{key}"),
)
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

    def __init__(self, kind: Kind, python: Path, site: str, data: Path, wire: Wire = PLAIN) -> None:
        self.kind = kind
        self.wire = wire
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._address = self._listener.getsockname()
        self.url = f"{wire.scheme}://127.0.0.1:{self._address[1]}"
        self.log_file = data.parent / f"{data.name}.log"
        program, *options = [
            word.format(fd=self._listener.fileno(), site=site, **wire.files)
            for word in (*kind.command[:1], *(kind.secured if wire.files else ()), *kind.command[1:])
        ]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), str(python.parent / program), *options],
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
        end = time.monotonic() + BOOT_DEADLINE
        asked = False
        with self.wire.wrap(socket.create_connection(self._address, 0.2)) as waiting:
            while True:
                with contextlib.suppress(TimeoutError):  # of a handshake too, which goes on in the next turn
                    if not asked:
                        waiting.sendall(_FIRST)
                        asked = True
                    if waiting.recv(1):
                        return
                    raise ServerError(f"closed the first connection: {self._last_line()}")
                if (code := self._process.poll()) is not None:
                    raise ServerError(f"ended with {code}: {self._last_line()}")
                if time.monotonic() > end:
                    raise ServerError(f"does not answer: {self._last_line()}")
