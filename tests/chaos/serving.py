"""A server whose system calls misbehave, and what must be true of it when that is over.

Knows: the harness, the plan. Must not know: which faults there are.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from faults.judge import Stream
from faults.paths import LAST, NOTHING
from faults.served import Serving, Steps, talk
from harness.axes import KINDS
from harness.server import APPS, wait_for

from chaos.plan import Plan, Rates

SOURCE = Path(__file__).with_name("chaos.c")
#: Others need the processors too, and a lack of descriptors is waited out for a quarter of a second.
PATIENCE = 20.0

_OPTIONS = (
    "--workers=1",
    "--keep-alive=30",
    "--request-buffer-size=20000",
    "--request-buffer-memory=0",
    "--health-path=/health",
    f"--chdir={APPS}",
)
#: The clients answer no close frame, so it is not waited for.
_ASGI = ("--websocket-close-timeout=0.2",)


class Storm:
    """One server of a kind, in calm weather at first: `blow` begins it, `calm` ends it."""

    def __init__(self, kind: str, library: Path, directory: Path, seed: str, wire: str = "plain") -> None:
        files = directory / "files"
        files.mkdir()
        self.plan = Plan(directory / "plan", seed, {})
        interface = KINDS[kind].interface
        options = _OPTIONS + (_ASGI if interface == "asgi" else ())
        environ = self.plan.environ(library) | {"TMPDIR": str(files)}
        self.server = Serving(
            f"{interface}_paths:app", options, kind=kind, wire=wire, environ=environ
        ).start()
        self.pid = self._worker()
        self._at_rest = self._descriptors()

    def blow(self, faults: Rates) -> None:
        self.plan.change(faults)

    def calm(self) -> None:
        """It answers as before, with the same worker, which holds nothing more than before."""
        self.plan.change({})
        assert self._worker() == self.pid, f"the worker died\n{self.server.log()[-4000:]}"
        end = time.monotonic() + PATIENCE
        while (stream := self.exchange([(LAST, NOTHING)])).data[-4:] != b"last":
            assert time.monotonic() < end, f"it does not answer as before: {stream}"
        wait_for(lambda: self._descriptors() <= self._at_rest, "descriptors are left", deadline=PATIENCE)

    def exchange(self, steps: Steps) -> Stream:
        """Send all of it and receive until the end of the connection."""
        with socket.socket() as client:
            client.settimeout(PATIENCE)
            return talk(client, self.server.address, steps, self.server.wire.wrap)

    def stop(self) -> None:
        """In good order."""
        self.server.stop()

    def _worker(self) -> int:
        assert self.server.process is not None
        master = self.server.process.pid
        with open(f"/proc/{master}/task/{master}/children") as file:
            return int((file.read().split() or ["0"])[0])

    def _descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))
