"""The process that serves control and metrics: an ASGI application of ours, served as any other is.

Knows: the application, and what it is served by. Must not know: what is answered, the master.
"""

from __future__ import annotations

import asyncio
import faulthandler

from tricorn import forks
from tricorn.admin.app import App
from tricorn.admin.desk import Desk
from tricorn.control.door import Door
from tricorn.handover import Assignment
from tricorn.sigaction import use_usual_stack
from tricorn.workers.asgi import Worker, new_loop
from tricorn.workers.signals import SignalPipe


def run_admin(token: str | None, door: Door, assignment: Assignment) -> int:
    """The life of the process. Returns its exit code."""
    signals = SignalPipe()
    signals.open()
    forks.let_go(signals.let_go)
    faulthandler.enable(2)  # as in a worker, for one that the master aborts
    use_usual_stack()
    loop = new_loop("asyncio")  # few ask, and uvloop costs some megabytes
    asyncio.set_event_loop(loop)
    return AdminWorker(assignment, App(Desk(door), token), signals, loop).run()


class AdminWorker(Worker):
    interface = "control and metrics"
