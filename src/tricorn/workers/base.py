"""Worker: the base of worker classes that are not Tricorn's own, named as `worker_class = "module.Class"`.

    class Traced(Worker):
        kind = "gthread"

        def init_process(self):      # before the application is imported
            start_tracer()

        def run(self):               # serves, from here until the worker is told to stop
            code = super().run()
            stop_tracer()
            return code

Knows: the moments of a worker's life at which a class may do something. Must not know: how it serves.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from tricorn import kinds
from tricorn.config.settings import Settings
from tricorn.handover import Assignment
from tricorn.workers.boot import function_at
from tricorn.workers.signals import SignalPipe


class Worker:
    """One worker, as its class sees it. A subclass may define the two methods, and has these attributes:

    kind: the word of `worker_class` for the worker of Tricorn's that serves; a subclass sets it.
    cfg: the settings, by their names. log: the error log. pid: the process id.
    app: the program's BaseApplication, where it is one that serves; else None.
    wsgi: the application, in `run`.

    If one of the methods raises, the worker ends, and as a worker that could not boot if it does so before it
    serves.
    """

    kind = "gthread"

    cfg: Settings
    wsgi: Any = None

    def __init__(self, settings: Settings) -> None:
        self.cfg = settings
        self.log = logging.getLogger("tricorn.error")
        self.pid = os.getpid()
        self.app = getattr(settings.loader, "__self__", None)
        self._served: tuple[Assignment, Any, SignalPipe] | None = None

    def init_process(self) -> None:
        """Called before the application is imported; with `preload_app`, it has been imported already."""

    def run(self) -> int:
        """Serve until told to stop; gives the exit code of the process."""
        assert self._served is not None
        assignment, application, signals = self._served
        code: int = function_at(kinds.KINDS[self.kind].serve)(assignment, application, signals)
        return code

    def serve(self, assignment: Assignment, application: Any, signals: SignalPipe) -> int:
        """Called by the server, once: `run` with what it needs."""
        self._served = assignment, application, signals
        self.wsgi = application
        code = self.run()
        # A subclass that was written for Gunicorn returns nothing.
        return code if isinstance(code, int) else 0
