from collections.abc import Callable
from typing import Any

from tricorn.gateway.asgi import HTTPCall
from tricorn.gateway.waiting import TaskRunner
from tricorn.transport.worker_context import WorkerContext

class LoopContext:
    """What the connections of one event loop share: see loop_context.pyx."""

    worker: WorkerContext
    task_runner: TaskRunner
    calls: set[HTTPCall]
    def __init__(
        self,
        worker: WorkerContext,
        task_runner: TaskRunner,
        application: Callable[..., Any],
    ) -> None: ...
