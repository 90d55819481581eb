"""A server under test: a subprocess on a socket that this process has bound.

Knows: processes, sockets, the command line of the server. Must not know: HTTP beyond one `GET`.

The listening socket is bound here and handed over as `fd://N`: the address is known before the server
runs, no port can be lost between two processes, and clients may connect while it is still booting.

`TRICORN_TEST_COMMAND="gunicorn"` points the tests at another server that takes `--bind fd://N`.
Many cases fail there and show where servers differ; it is how the harness itself was tried out.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import tls
from harness.axes import KINDS, SHARED, USUAL_WIRE, WIRES, Wire
from harness.client import Address, Client, ClosedError
from harness.nursery import Process, imports_of, maybe_forked
from harness.patience import PATIENCE
from harness.ports import at_free_port

APPS = Path(__file__).parent.parent / "apps"

#: Applications of the tests that exist for other interfaces too; the tests know the first name only.
TWINS = {
    "wsgi": {},
    "asgi": {
        "echo:app": "asgi_echo:app",
        "misbehave:app": "asgi_misbehave:app",
        "life:app": "asgi_life:app",
        "deadlines:app": "asgi_deadlines:app",
        "secured:app": "asgi_secured:app",
        "streams:app": "asgi_streams:app",
        "sends_files:app": "asgi_sends_files:app",
    },
    "tornado": {},
}

BOOT_DEADLINE = 20.0
STOP_DEADLINE = 15.0 * PATIENCE

# Variables that would change what the server under test does.
_FOREIGN = ("TRICORN_", "GUNICORN_", "WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "SCRIPT_NAME")


def wait_for(condition: Callable[[], Any], what: str, *, deadline: float = 5.0) -> Any:
    """The first true value of `condition`; a failure after `deadline` seconds.

    What takes long is looked at less often, since looking takes processor time, which the server needs too.
    """
    deadline *= PATIENCE
    begun = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - begun
        assert waited < deadline, f"waited {deadline} s in vain: {what}"
        time.sleep(min(max(0.002, waited / 30), 0.01))
    return value


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process stands still: what is sent meanwhile waits for it, and is found all at once."""
    os.kill(pid, signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it stands still")
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was killed, and reaped
            os.kill(pid, signal.SIGCONT)


def _listen(address: Address) -> socket.socket:
    if isinstance(address, tuple) and not address[1]:
        return at_free_port(lambda port: _listen((address[0], port)))
    family = socket.AF_UNIX
    if isinstance(address, tuple):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(512)
    except BaseException:
        listener.close()
        raise
    return listener


class Server:
    """One running server. `start` returns when it answers; `stop` checks how it ended.

    may_be_forked: from a process that has the imports behind it (nursery.py); not if the start is tested.
    preamble: bytes that each of our own control connections sends first (a PROXY header).
    """

    may_be_forked = True

    def __init__(
        self,
        app: str,
        options: Sequence[str] = (),
        *,
        kind: str = "sync",
        wire: str = USUAL_WIRE,
        address: Address = ("127.0.0.1", 0),
        preamble: bytes = b"",
        environ: dict[str, str] | None = None,
    ) -> None:
        self.kind = KINDS[kind]
        self.wire = WIRES[wire]
        self.app = TWINS[self.kind.interface].get(app, app)
        self.options = tuple(options)
        self.preamble = preamble
        self.environ = environ or {}
        self.listener = _listen(address)
        self.address = self.listener.getsockname()
        if isinstance(self.address, tuple):
            self.address = self.address[:2]
        self.log_file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        self.process: subprocess.Popen[bytes] | Process | None = None
        self.worker_pid: int | None = None
        self.told = False
        self.pass_fds: tuple[int, ...] = ()  # besides the listener

    def over(self, wire: Wire) -> Server:
        """The same server, to be spoken to in another way."""
        if wire is self.wire:
            return self
        view = copy.copy(self)
        view.wire = wire
        return view

    @property
    def command(self) -> list[str]:
        other = os.environ.get("TRICORN_TEST_COMMAND")
        start = shlex.split(other) if other else [sys.executable, "-m", "tricorn"]
        bind = ("--bind", f"{self.wire.scheme}fd://{self.listener.fileno()}")
        return [*start, *bind, *self.kind.options, *self.wire.options, *self.options, self.app]

    def start(self, *, wait: bool = True) -> Server:
        """Run it. Without `wait` the first client waits in the backlog until the server is there."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        environ.update(self.environ)
        descriptors = (self.listener.fileno(), *self.pass_fds)
        self.process = self._maybe_forked(environ, descriptors) or subprocess.Popen(
            self.command,
            cwd=APPS,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=self.log_file,
            stderr=self.log_file,
            pass_fds=descriptors,
            start_new_session=True,  # so that the whole family can be killed by its group id
        )
        try:
            if wait:
                self._wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def _maybe_forked(self, environ: dict[str, str], descriptors: Sequence[int]) -> Process | None:
        words = self.command
        if not self.may_be_forked or words[1:3] != ["-m", "tricorn"]:
            return None
        log = self.log_file.fileno()
        with open(os.devnull) as nothing:
            return maybe_forked(
                words,
                imports_of(words),
                environ=environ,
                cwd=APPS,
                descriptors={0: nothing.fileno(), 1: log, 2: log} | {fd: fd for fd in descriptors},
                new_session=True,
            )

    def _wait_ready(self) -> None:
        """Until it answers. One connection waits in the backlog while the server boots."""
        assert self.process is not None
        end = time.monotonic() + BOOT_DEADLINE * PATIENCE
        with self.connect_http1(timeout=0.1) as client:
            with contextlib.suppress(TimeoutError):  # of a handshake; it goes on below
                client.send(
                    self.preamble + b"GET /seen HTTP/1.1\r\nHost: harness\r\nConnection: close\r\n\r\n"
                )
            while b"\r\n\r\n" not in client.buffer:
                try:
                    ended = not client.more()
                except AssertionError:
                    ended = False
                if (code := self.process.poll()) is not None:
                    raise AssertionError(f"{shlex.join(self.command)} ended with {code}:\n{self.log()}")
                if ended or time.monotonic() > end:
                    raise AssertionError(f"{shlex.join(self.command)} does not answer:\n{self.log()}")
        self.seen()

    @property
    def url(self) -> str:
        """Where clients of libraries find it, on TCP; over TLS with `tls.context_for_urls()`."""
        return "{}://{}:{}".format(self.wire.url_scheme, *self.address)

    def connect(self, **options: Any) -> Client:
        return Client(self.address, wrap=self.wire.wrap, **options)

    def connect_http1(self, **options: Any) -> Client:
        """To the same port, without HTTP/2."""
        if not self.wire.shared:
            return self.connect(**options)
        wrap = tls.wrap if self.wire.url_scheme == "https" else None
        return Client(self.address, wrap=wrap, **options)

    def get(self, path: str) -> tuple[int, bytes]:
        """One `GET` on a connection of its own: (status, body)."""
        with self.connect_http1(timeout=10) as client:
            client.send(
                self.preamble
                + f"GET {path} HTTP/1.1\r\nHost: harness\r\nConnection: close\r\n\r\n".encode("ascii")
            )
            response = client.response()
            return response.status, response.body

    def seen(self) -> list[dict[str, Any]]:
        """What the application saw since the last time, in order (see `tests/apps/recorder.py`).

        It is asked over the wire, so all that the worker had read before this has been handled. It fails when
        another process answers than before: then a worker died on the way.
        """
        try:
            status, body = self.get("/seen")
        except ClosedError as error:
            raise AssertionError(f"the server does not answer any more: {error}\n{self.log()}") from None
        assert status == 200, f"/seen answers {status}\n{self.log()}"
        report = json.loads(body)
        if self.worker_pid is None:
            self.worker_pid = report["pid"]
        died = self.worker_pid != report["pid"]
        if died:
            self.worker_pid = report["pid"]
            raise AssertionError(f"the worker died\n{self.log()[-4000:]}")
        requests: list[dict[str, Any]] = report["requests"]
        return requests

    def seen_whole(self) -> list[dict[str, Any]]:
        """`seen`, without what an early kind's application was told of only to hear that it is cut short."""
        return [
            request
            for request in self.seen()
            if not (self.kind.early and request["body"] is None and request["error"] is not None)
        ]

    def log(self, since: int = 0) -> str:
        """What the server wrote to stdout and stderr."""
        return os.pread(self.log_file.fileno(), 1 << 24, since).decode("utf-8", "replace")

    def log_mark(self) -> int:
        return os.fstat(self.log_file.fileno()).st_size

    def terminate(self) -> None:
        """Ask it to stop, once; `stop` waits for it."""
        if self.process is not None and not self.told and self.process.poll() is None:
            self.told = True
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """TERM, wait, exit code 0. Whatever happens, nothing of it is left running."""
        assert self.process is not None
        try:
            self.terminate()
            code = self.process.wait(STOP_DEADLINE)
            assert code == 0, f"{shlex.join(self.command)} ended with {code}:\n{self.log()[-4000:]}"
        finally:
            self.kill()

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_DEADLINE)
        self.listener.close()
        self.log_file.close()


class Servers:
    """Running servers by their options, so that hundreds of cases share a few processes."""

    def __init__(self) -> None:
        self._running: dict[tuple[Any, ...], Server] = {}
        self._failed: dict[tuple[Any, ...], str] = {}
        self._views: dict[tuple[Any, ...], Server] = {}
        self._wire = USUAL_WIRE

    def on(self, wire: str) -> Servers:
        """The same servers, where `get` gives those on this wire."""
        view = copy.copy(self)
        view._wire = wire
        return view

    def get(
        self,
        *options: str,
        app: str = "echo:app",
        kind: str = "sync",
        address: Address = ("127.0.0.1", 0),
        preamble: bytes = b"",
    ) -> Server:
        """A server with `options` over the defaults of these tests: one worker, long keep-alive."""
        wire = SHARED.get(self._wire, self._wire)
        key = (app, kind, wire, options, address, preamble)
        if key in self._failed:  # do not wait for the same failure again
            raise AssertionError(self._failed[key])
        if key not in self._running:
            defaults = ("--workers", "1", "--keep-alive", "30")
            try:
                self._running[key] = Server(
                    app, (*defaults, *options), kind=kind, wire=wire, address=address, preamble=preamble
                ).start()
            except AssertionError as error:
                self._failed[key] = str(error)
                raise
        if (key, self._wire) not in self._views:
            self._views[key, self._wire] = self._running[key].over(WIRES[self._wire])
        return self._views[key, self._wire]

    def stop(self) -> None:
        """All of them; told at once, waited for one by one."""
        servers = list(self._running.values())
        self._running.clear()
        self._views.clear()
        for server in servers:
            server.terminate()
        failures = []
        for server in servers:
            try:
                server.stop()
            except (AssertionError, subprocess.TimeoutExpired) as error:
                failures.append(str(error))
        assert not failures, "\n".join(failures)
