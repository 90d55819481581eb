"""Starting and ending a server: its core, its process group, its log.

Nothing outlives the `with` block, and if this process is killed, the kernel ends the servers
(`setpriv --pdeathsig`)."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from bench import paths, proc, servers, tls
from bench.frames import FrameError
from bench.servers import Launch, Server

Answer = TypeVar("Answer")

SERVER_CORE = 0
CLIENT_CORE = 1
ON_SERVER_CORE = ("taskset", "-c", str(SERVER_CORE))
START_TIMEOUT = 20.0
STOP_TIMEOUT = 3.0


class ServerError(Exception):
    """The server did not start, died, or gave a wrong answer."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    def __init__(
        self,
        server: Server,
        launch: Launch,
        log: Path,
        loops: int,
        source: str = "",
        *,
        within: Sequence[str] = ON_SERVER_CORE,
        environment: Mapping[str, str] | None = None,
        patience: float = START_TIMEOUT,
    ) -> None:
        """`source` comes before what is installed, so that another state of Tricorn can be measured.

        `within` is the program that runs the server's command."""
        self.server = server
        self._patience = patience
        self._path = launch.path
        self._tls = tls.client() if launch.tls else None
        self.port = free_port()
        self._log = log
        command = servers.command(server, launch, self.port)
        source = source or os.environ.get("PYTHONPATH", "")
        variables = {
            **os.environ,
            "PYTHONPATH": f"{paths.APPS}:{source}" if source else str(paths.APPS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_FILE": str(paths.FILE_1MB),
            "BENCH_LOOPS": str(loops),
            **(environment or {}),
        }
        self.started = time.monotonic()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *within, *command],
                cwd=paths.APPS,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_ready(self, method: str = "GET", body: bytes = b"", headers: tuple[str, ...] = ()) -> bytes:
        """Asks until the first answer; returns its body."""
        return self.wait_for(partial(self.ask, method, body, headers))

    def wait_for(self, ask: Callable[[], Answer]) -> Answer:
        """Asks until the server listens; returns the answer."""
        deadline = self.started + self._patience
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"exit code {self._process.returncode}: {self.last_words()}")
            try:
                return ask()
            except ConnectionRefusedError:
                time.sleep(0.002)
            except (OSError, http.client.HTTPException, FrameError) as error:
                raise ServerError(f"{type(error).__name__}: {error}; log: {self.last_words()}") from error
        raise ServerError(f"did not listen within {self._patience:.0f} s: {self.last_words()}")

    def ask(self, method: str, body: bytes, headers: tuple[str, ...]) -> bytes:
        fields = dict(field.split(": ", 1) for field in headers)
        connection = self._connection()
        try:
            connection.request(method, self._path, body=body or None, headers=fields)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ServerError(f"status {response.status}: {answer[:200]!r}")
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=self._patience, context=self._tls
            )
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._patience)

    def alive(self) -> bool:
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        return proc.cpu_seconds(self.pid)

    def empty_log(self) -> None:
        os.truncate(self._log, 0)

    def last_words(self) -> str:
        """The last line of the log that names an error, or the last line."""
        lines = self._log.read_text(errors="replace")[-4000:].strip().splitlines()
        errors = [line for line in lines if "error" in line.lower()]
        return (errors or lines or ["(it said nothing)"])[-1][:200]

    def stop(self) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT)
        self._signal(signal.SIGKILL)  # workers that a master left behind

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # the whole group has ended
