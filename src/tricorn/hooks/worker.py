"""The moments in the life of one worker, called in its process.

Knows: the order of a worker's life, what each hook is given. Must not know: the master, how requests are
served.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tricorn.hooks.found import HookError, Hooks
from tricorn.hooks.objects import Server, Worker
from tricorn.hooks.requests import AROUND, Visitors
from tricorn.log.error import ERROR_LOGGER

log = logging.getLogger(ERROR_LOGGER)


class WorkerHooks:
    """One worker's hooks. Each moment comes once, whoever says that it is there."""

    def __init__(self, hooks: Hooks, server: Server, worker: Worker) -> None:
        self._hooks = hooks
        self._server = server
        self.worker = worker
        self._told: set[str] = set()

    def forked(self, pid: int) -> None:
        """Raises HookError."""
        self.worker.pid = pid
        self._hooks.call("post_fork", self._server, self.worker)

    def loaded(self, application: Any) -> bool:
        """Whether there was something to call. Raises HookError."""
        self.worker.app.callable = self.worker.wsgi = application
        self._hooks.call("post_worker_init", self.worker)
        self.worker.booted = True
        return self._hooks.has("post_worker_init")

    def interrupted(self) -> None:
        """It is told to stop at once."""
        self.worker._alive = False
        self._tell("worker_int", self.worker)

    def aborted(self) -> None:
        self.worker._alive = False
        self.worker.aborted = True
        self._tell("worker_abort", self.worker)

    def ends(self) -> None:
        self.worker._alive = False
        self._tell("worker_exit", self._server, self.worker)

    @property
    def wants_abort(self) -> bool:
        return self._hooks.has("worker_abort", "worker_exit")

    def maybe_visitors(self, application: Callable[..., Any], *, is_loop: bool) -> Visitors | None:
        """What has the hooks around requests called; None: there are none."""
        if not self._hooks.has(*AROUND):
            return None
        return Visitors(self._hooks, self.worker, application, is_loop)

    def _tell(self, name: str, *arguments: Any) -> None:
        """The worker ends, so whatever the hook raises is logged."""
        if name in self._told:
            return
        self._told.add(name)
        try:
            self._hooks.call(name, *arguments)
        except BaseException as error:
            cause = error.__cause__ if isinstance(error, HookError) else None
            log.exception("The hook %s raised", name, exc_info=cause or error)


class HeavyHooks(WorkerHooks):
    """The same for a heavy worker. Its end is told in the master."""

    def forked(self, pid: int) -> None:
        """Raises HookError."""
        self.worker.pid = pid
        self._hooks.call("dirty_post_fork", self._server, self.worker)

    def loaded(self, application: Any) -> bool:
        """Raises HookError."""
        del application  # there may be several
        self._hooks.call("dirty_worker_init", self.worker)
        self.worker.booted = True
        return self._hooks.has("dirty_worker_init")

    def ends(self) -> None:
        """Nobody is told here."""
        self.worker._alive = False

    @property
    def wants_abort(self) -> bool:
        return False
