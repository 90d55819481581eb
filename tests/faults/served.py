"""A server that faults can be planned for, and one exchange with it; others may keep it busy meanwhile.

Knows: the harness, the plan. Must not know: which faults there are.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from faults.judge import Stream
from faults.plan import Fault, Plan, preloaded
from harness.axes import GREEN, KINDS
from harness.cases import head
from harness.client import Address, Client
from harness.patience import PATIENCE
from harness.server import APPS, Server, wait_for
from harness.tls import TruncatedError

#: What a client sends, each followed by what it waits for before it sends the next.
Steps = Sequence[tuple[bytes, bytes]]
DEADLINE = 4.0 * PATIENCE

#: What a wire makes of a connected socket.
Wrap = Callable[[socket.socket], Any]

#: A client of these tests answers no close frame, so it is not waited for.
_ASGI = ("--websocket-close-timeout=0.2",)
_OPTIONS = (
    "--workers=1",
    "--keep-alive=30",
    "--request-buffer-size=20000",
    "--request-buffer-memory=0",
    "--health-path=/health",
    f"--chdir={APPS}",
)
#: How many requests make a worker busy.
_MOST = {"sync": 1, "gthread": 4, "asgi": 1} | dict.fromkeys(GREEN, 1)
_GREEN = ("--green-requests=1",)


class Faulty:
    """One worker of a kind. options: besides those of all."""

    def __init__(
        self, kind: str, library: Path, directory: Path, wire: str = "plain", options: Sequence[str] = ()
    ) -> None:
        files = directory / "files"
        files.mkdir()
        self.plan = Plan(directory, files)
        self._kind, self._wire, self._more = kind, wire, tuple(options)
        self._gate = directory / "gate"
        self._environ = preloaded(library) | {"FAULT_PLAN": str(self.plan.path), "TMPDIR": str(files)}
        self._start()

    def _start(self) -> None:
        interface = KINDS[self._kind].interface
        options = _OPTIONS + (_ASGI if interface == "asgi" else ()) + self._more
        if self._kind in GREEN:
            options += _GREEN
        self.server = Serving(
            f"{interface}_paths:app", options, kind=self._kind, wire=self._wire, environ=self._environ
        ).start()
        self.pid = self._worker()
        # At once after its start it may still have one more.
        with self.server.connect() as client:
            client.send(head(b"Connection: close", start=b"GET /last HTTP/1.1"))
            assert client.response().body == b"last"
            client.wait_closed()
        self._at_rest = self._descriptors()

    def restart(self) -> None:
        """Whatever it still holds."""
        self.server.kill()
        self._start()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """As many requests as the worker takes at a time stay in the application."""
        gates = [self._gate.with_name(f"gate{number}") for number in range(_MOST[self._kind])]
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.server.connect()) for _ in gates]
            for client, gate in zip(clients, gates, strict=True):
                _occupy(client, gate)
            self._at_rest += len(gates)
            try:
                yield
            finally:
                for gate in gates:
                    gate.touch()
                for client in clients:
                    assert client.response().body == b"last"  # so nobody looks for his gate any more
                self._at_rest -= len(gates)
        wait_for(lambda: self._descriptors() <= self._at_rest, "they are over")
        for gate in gates:
            gate.unlink()
            Path(f"{gate}.in").unlink()

    def exchange(self, steps: Steps, fault: Fault | None) -> Stream:
        """Send all of it and receive until the end of the connection, while `fault` is planned."""
        with socket.socket() as client:
            client.settimeout(DEADLINE)
            client.bind(("127.0.0.1", 0))
            self.plan.arm(client.getsockname()[1], fault)
            try:
                stream = talk(client, self.server.address, steps, self.server.wire.wrap)
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


def _occupy(client: Client, gate: Path) -> None:
    """With a request that waits in the application for `gate`, and before it as often as it has to."""
    request = head(start=b"GET /block?%s HTTP/1.1" % bytes(gate))
    inside = Path(f"{gate}.in")
    client.send(request)

    def is_inside() -> bool:
        if not inside.exists() and not client.is_quiet(0.01):
            assert client.response().status == 503
            client.send(request)
        return inside.exists()

    wait_for(is_inside, "it is in the application")


#: A server by its kind, wire and options.
Servers = Callable[[str, str, tuple[str, ...]], Faulty]


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
        except (BrokenPipeError, ConnectionResetError, TruncatedError):
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
    """None: the connection was reset, or ended without the goodbye that its wire wants."""
    try:
        return client.recv(1 << 20)
    except (BrokenPipeError, ConnectionResetError, TruncatedError):  # a handshake sends, too
        return None
    except TimeoutError:
        raise AssertionError(f"nothing came for {client.gettimeout()} s") from None
