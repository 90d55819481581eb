"""A server with any application, seen as an operator sees it: a master, its workers, its signals, its log.

Knows: processes, sockets, the command line of the server. Must not know: a name of `tricorn`'s modules.
Unlike the harness's `Server`, which it builds on, it asks nothing of the application.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.axes import USUAL_WIRE
from harness.client import Client, ClosedError, Response
from harness.patience import PATIENCE
from harness.server import APPS, BOOT_DEADLINE, Server, wait_for
from harness.tls import TruncatedError

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "examples"


class Live(Server):
    """A running server whose life is the test's subject. Use it with `with`; what is left of it is killed."""

    def __init__(
        self,
        app: str,
        *options: str,
        kind: str = "sync",
        wire: str = USUAL_WIRE,
        workers: int = 1,
        chdir: Path = APPS,
        ready: str = "/",
        errorlog: Path | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        defaults = ("--workers", str(workers), "--chdir", str(chdir))
        if errorlog is not None:
            defaults += ("--error-logfile", str(errorlog))
        super().__init__(app, (*defaults, *options), kind=kind, wire=wire, environ=environ)
        self.errorlog = errorlog
        self.ready = ready
        self.wanted = workers
        #: To the request that was the first of all, `ready`. Whoever has sent it is busy for a moment longer.
        self.first_answer: Response | None = None

    def __enter__(self) -> Live:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _wait_ready(self) -> None:
        """Until it answers and all its workers are ready."""
        assert self.process is not None

        def is_up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"
            return self.log().count("is ready") >= self.wanted

        wait_for(is_up, "the workers are ready", deadline=BOOT_DEADLINE)
        self.first_answer = self.request(self.ready)

    def kill(self) -> None:
        """Also workers that outlived their master: they are in its process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        super().kill()

    def log(self, since: int = 0) -> str:
        """The error log, wherever it is."""
        if self.errorlog is None:
            return super().log(since)
        return self.errorlog.read_text()[since:] if self.errorlog.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def workers(self) -> list[int]:
        """The process ids of the master's children, without molds, and without those that only wait to be
        reaped."""
        return [pid for pid in children(self.pid) if not is_mold(pid) and is_alive(pid)]

    def untouched(self) -> int:
        """Of two workers that answer with their process id, the one that has served nothing yet.

        It alone is free for certain: the other one is still inside the application for a moment after its
        client has the response, and if it is frozen in that moment it stays there.
        """
        assert self.first_answer is not None
        (pid,) = set(self.workers()) - {int(self.first_answer.body.split()[0])}
        return pid

    def molds(self) -> list[int]:
        """Those that have loaded the application for the others (--preload)."""
        return [pid for pid in children(self.pid) if is_mold(pid)]

    def signal(self, number: signal.Signals, pid: int | None = None) -> None:
        os.kill(self.pid if pid is None else pid, number)

    def wait_exit(self, deadline: float = 10.0) -> int:
        assert self.process is not None
        return self.process.wait(deadline * PATIENCE)

    def wait_log(self, text: str, *, times: int = 1, deadline: float = 10.0) -> str:
        """The log, once it holds `text` so many times."""
        size = -1

        def is_there() -> bool:
            nonlocal size
            before, size = size, self._log_size()
            return size != before and self.log().count(text) >= times

        wait_for(is_there, f"{text!r} {times} times in the log", deadline=deadline)
        return self.log()

    def _log_size(self) -> int:
        if self.errorlog is None:
            return self.log_mark()
        return self.errorlog.stat().st_size if self.errorlog.exists() else 0

    def request(
        self, path: str, *, method: str = "GET", body: bytes = b"", fields: Sequence[str] = ()
    ) -> Response:
        """One request on a connection of its own."""
        with self.connect(timeout=10) as client:
            client.send(
                self.preamble + message(path, method=method, body=body, fields=(*fields, "Connection: close"))
            )
            return client.response(method)


class Started(Live):
    """One that is not forked: the beginning of the process is part of what is tested."""

    may_be_forked = False


def first_to_hear(clients: Sequence[Client]) -> Client:
    """Of those who have sent a request each. Whom the server reads first is not for them to say."""
    while True:
        readable, _, _ = select.select([client.raw for client in clients], [], [], 4)
        assert readable, "nobody was answered"
        for client in clients:
            if client.raw in readable and not client.is_quiet(0):  # not only a ticket of TLS
                return client


def message(path: str, *, method: str = "GET", body: bytes = b"", fields: Sequence[str] = ()) -> bytes:
    """A request as it stands on the wire; with a Content-Length if it has a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: live.example", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def entered(gate: Path) -> int:
    """Once a worker is inside the request: its process id."""
    mark = Path(f"{gate}.in")
    return int(wait_for(lambda: mark.exists() and mark.read_text(), "the application is inside the request"))


def children(pid: int) -> list[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in words]


def is_mold(pid: int) -> bool:
    """By its name in `ps`."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"tricorn: mold")
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_alive(pid: int) -> bool:
    """False for a zombie too: it only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


class Load:
    """A few clients that ask for `path` again and again and count what fails.

    Each keeps its connection as long as the server does. A request fails if it is not answered in full with
    200. What the contract of a keep-alive connection allows is no failure: a server may close one between two
    requests (RFC 9112 §9.3.1), and if it did so before a byte of an answer, a `GET` is sent again on a new
    connection, as every client library does; `resent` counts these.

    Between two requests a client does nothing for up to `PAUSE` seconds, by chance: so they meet each moment
    of what the server does in another order, and leave it the processor time to do it.
    """

    PAUSE = 0.004

    def __init__(self, server: Server, path: str = "/", clients: int = 4) -> None:
        self.server = server
        self.path = path
        self.served = 0
        self.resent = 0
        self.failures: list[str] = []
        self.bodies: dict[bytes, int] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._loop) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)

    def wait_served(self, count: int, *, deadline: float = 15.0) -> None:
        """Until `count` more requests were answered."""
        goal = self.served + count
        wait_for(
            lambda: self.served >= goal or self.failures, f"{count} more requests served", deadline=deadline
        )

    def check(self) -> None:
        assert self.failures == [], self.failures[:5]

    def _loop(self) -> None:
        client: Client | None = None
        while not self._stop.is_set():
            fresh = client is None
            try:
                if client is None:
                    client = self.server.connect(timeout=10)
                client.send(message(self.path))
                response = client.maybe_response()
            except (OSError, AssertionError) as error:
                is_end = isinstance(error, ClosedError) and not isinstance(error.__cause__, TruncatedError)
                if is_end and not error.received and not fresh:
                    response = None
                else:
                    self._fail(f"{type(error).__name__}: {error}")
                    client = None
                    continue
            if response is None:
                if fresh:
                    self._fail("a new connection was closed without an answer")
                with self._lock:
                    self.resent += 1
                client = None
                continue
            self._note(response)
            self._stop.wait(random.uniform(0, self.PAUSE))
            if "close" in response.connection and client is not None:
                client.close()
                client = None
        if client is not None:
            client.close()

    def _note(self, response: Response) -> None:
        if response.status != 200 or not response.complete:
            self._fail(f"{response.status}, complete: {response.complete}, {response.body[:100]!r}")
        with self._lock:
            self.served += 1
            self.bodies[response.body] = self.bodies.get(response.body, 0) + 1

    def _fail(self, what: str) -> None:
        with self._lock:
            self.failures.append(f"after {self.served} requests: {what}")


@contextlib.contextmanager
def in_background(function: Any, *arguments: Any) -> Iterator[list[Any]]:
    """Run it in a thread; its result is the only element of the list, once there is one."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)))
    thread.start()
    try:
        yield results
    finally:
        thread.join(15)


def poll_until(deadline: float) -> Iterator[None]:
    """Turns of a loop that is bounded by time, with a short pause between them."""
    end = time.monotonic() + deadline * PATIENCE
    while time.monotonic() < end:
        yield
        time.sleep(0.005)
