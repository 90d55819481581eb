"""A server that faults can be planned for, and one exchange with it.

Knows: the harness, the plan. Must not know: which faults there are.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from faults.judge import Stream
from faults.plan import Fault, Plan
from harness.axes import KINDS
from harness.client import Address
from harness.server import APPS, Server, wait_for

#: What a client sends, each followed by what it waits for before it sends the next.
Steps = Sequence[tuple[bytes, bytes]]
DEADLINE = 4.0

#: What a wire makes of a connected socket.
Wrap = Callable[[socket.socket], Any]

#: A client of these tests answers no close frame, so it is not waited for.
_ASGI = ("--websocket-close-timeout=0.2",)
_OPTIONS = (
    "--workers=1",
    "--keep-alive=30",
    "--request-buffer-size=20000",
    "--request-buffer-memory=0",
    f"--chdir={APPS}",
)


class Faulty:
    def __init__(self, kind: str, library: Path, directory: Path) -> None:
        files = directory / "files"
        files.mkdir()
        self.plan = Plan(directory, files)
        self._kind = kind
        self._environ = {"LD_PRELOAD": str(library), "FAULT_PLAN": str(self.plan.path), "TMPDIR": str(files)}
        self._start()

    def _start(self) -> None:
        interface = KINDS[self._kind].interface
        options = _OPTIONS + (_ASGI if interface == "asgi" else ())
        self.server = Serving(
            f"{interface}_paths:app", options, kind=self._kind, environ=self._environ
        ).start()
        self.pid = self._worker()
        self._at_rest = self._descriptors()

    def restart(self) -> None:
        """Whatever it still holds."""
        self.server.kill()
        self._start()

    def exchange(self, steps: Steps, fault: Fault | None) -> Stream:
        """Send all of it and receive until the end of the connection, while `fault` is planned."""
        with socket.socket() as client:
            client.settimeout(DEADLINE)
            client.bind(("127.0.0.1", 0))
            self.plan.arm(client.getsockname()[1], fault)
            try:
                stream = talk(client, self.server.address, steps)
            finally:
                self.plan.disarm()
        self._check(fault)
        return stream

    def _check(self, fault: Fault | None) -> None:
        """The worker is the same and holds nothing of that connection any more."""
        assert self._worker() == self.pid, f"the worker died of {fault}\n{self.server.log()[-4000:]}"
        wait_for(lambda: self._descriptors() <= self._at_rest, f"a descriptor is left after {fault}")

    def _worker(self) -> int:
        assert self.server.process is not None
        master = self.server.process.pid
        with open(f"/proc/{master}/task/{master}/children") as file:
            return int((file.read().split() or ["0"])[0])

    def _descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stop(self) -> None:
        """Not in good order: a task whose step the event loop has lost to MemoryError would hold that up."""
        self.server.kill()


class Serving(Server):
    """Whose application is not asked what it has seen."""

    def _wait_ready(self) -> None:
        wait_for(lambda: self.get("/last") == (200, b"last"), "the server answers", deadline=20)


def talk(client: socket.socket, address: Address, steps: Steps, wrap: Wrap | None = None) -> Stream:
    """All that comes on a connection, which may be silent as long as the timeout of `client`."""
    data = b""
    try:
        client.connect(address)
    except ConnectionResetError:  # the server was faster
        return Stream(data, reset=True)
    if wrap is not None:
        client = wrap(client)
    for request, mark in steps:
        try:
            client.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            break
        while mark not in data:
            piece = _receive(client)
            if not piece:
                break
            data += piece
        if mark not in data:
            break
    while piece := _receive(client):
        data += piece
    return Stream(data, piece is None)


def _receive(client: socket.socket) -> bytes | None:
    """None: the connection was reset."""
    try:
        return client.recv(1 << 20)
    except ConnectionResetError:
        return None
    except TimeoutError:
        raise AssertionError(f"nothing came for {client.gettimeout()} s") from None
