"""What goes wrong with a call, as its caller sees it. The names are Gunicorn's.

Knows: how an error is told to another process (`to_dict`) and made again there (`from_dict`). Must not know:
how it gets there, who raises it.

    DirtyError
    ├── DirtyTimeoutError               it has taken too long
    ├── DirtyConnectionError            the worker cannot be reached
    ├── DirtyNoWorkersAvailableError    nobody is there who could take it
    │   └── DirtyQueueFullError         too many wait already
    ├── DirtyWorkerError                the worker has ended, or the answer is not what was asked for
    ├── DirtyAppError                   the application has raised
    │   └── DirtyAppNotFoundError       there is no such application
    ├── DirtyProtocolError              a value that cannot be sent, or is too large
    └── StashError
        ├── StashTableNotFoundError
        └── StashKeyNotFoundError
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class DirtyError(Exception):
    """message: a sentence. details: what else is known, as plain data."""

    #: Attributes that stand in `details`.
    told: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"error_type": type(self).__name__, "message": self.message, "details": self.details}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> DirtyError:
        """The error again that `to_dict` has made plain data of."""
        kind = KINDS.get(str(data.get("error_type")), DirtyError)
        error = kind.__new__(kind)
        DirtyError.__init__(error, str(data.get("message", "unknown error")), data.get("details"))
        for name in kind.told:
            setattr(error, name, error.details.get(name))
        return error


class DirtyTimeoutError(DirtyError):
    """timeout: how long it was waited, seconds."""

    told = ("timeout",)

    def __init__(self, message: str = "the call has taken too long", timeout: float | None = None) -> None:
        super().__init__(message, {"timeout": timeout})
        self.timeout = timeout


class DirtyConnectionError(DirtyError):
    """socket_path: always None; Tricorn's sockets have no paths."""

    told = ("socket_path",)

    def __init__(self, message: str = "the connection failed", socket_path: str | None = None) -> None:
        super().__init__(message, {"socket_path": socket_path})
        self.socket_path = socket_path


class DirtyWorkerError(DirtyError):
    """worker_id: the process id, where it is known. traceback: a text."""

    told = ("worker_id", "traceback")

    def __init__(self, message: str, worker_id: int | None = None, traceback: str | None = None) -> None:
        super().__init__(message, {"worker_id": worker_id, "traceback": traceback})
        self.worker_id = worker_id
        self.traceback = traceback


class DirtyAppError(DirtyError):
    """The application has raised.

    message: what the exception said. error_type: its class, with its module. traceback: that of the worker,
    as a text.
    """

    told = ("app_path", "action", "traceback", "error_type")

    def __init__(
        self,
        message: str,
        app_path: str | None = None,
        action: str | None = None,
        traceback: str | None = None,
        error_type: str | None = None,
    ) -> None:
        details = {"app_path": app_path, "action": action, "traceback": traceback, "error_type": error_type}
        super().__init__(message, details)
        self.app_path = app_path
        self.action = action
        self.traceback = traceback
        self.error_type = error_type


class DirtyAppNotFoundError(DirtyAppError):
    """No worker has such an application."""

    def __init__(self, app_path: str, hint: str = "") -> None:
        super().__init__(
            f"there is no heavy application {app_path!r}{hint and '; '}{hint}", app_path=app_path
        )


class DirtyNoWorkersAvailableError(DirtyError):
    """No worker of the application is there just now."""

    told = ("app_path",)

    def __init__(self, app_path: str, message: str | None = None) -> None:
        super().__init__(message or f"no heavy worker is there for {app_path}", {"app_path": app_path})
        self.app_path = app_path


class DirtyQueueFullError(DirtyNoWorkersAvailableError):
    """So many calls wait for the application that no more are let in. Gunicorn does not have it."""


class DirtyProtocolError(DirtyError):
    """What is to be sent cannot be sent."""

    def __init__(self, message: str = "what was received makes no sense", raw_data: object = None) -> None:
        del raw_data  # Gunicorn's name; a value that cannot be sent is not for a log either
        super().__init__(message)


class StashError(DirtyError):
    """Something is wrong with the stash, or with what was asked of it."""


class StashTableNotFoundError(StashError):
    """There is no such table: nothing was put into it yet, or it was deleted."""

    told = ("table_name",)

    def __init__(self, table_name: str) -> None:
        super().__init__(f"the stash has no table {table_name!r}", {"table_name": table_name})
        self.table_name = table_name


class StashKeyNotFoundError(StashError):
    """The table has no such key."""

    told = ("table_name", "key")

    def __init__(self, table_name: str, key: str) -> None:
        super().__init__(
            f"the table {table_name!r} of the stash has no key {key!r}",
            {"table_name": table_name, "key": key},
        )
        self.table_name = table_name
        self.key = key


class CallStoppedError(BaseException):
    """Raised in a thread whose call is to end. Not an Exception: code that catches all of those would go
    on."""


class CallCancelledError(CallStoppedError):
    """Nobody waits for the result any more."""


class CallTimedOutError(CallStoppedError):
    """It has taken longer than `dirty_timeout`."""


KINDS: Mapping[str, type[DirtyError]] = {
    kind.__name__: kind
    for kind in (
        *(DirtyError, DirtyTimeoutError, DirtyConnectionError, DirtyWorkerError, DirtyAppError),
        *(DirtyAppNotFoundError, DirtyNoWorkersAvailableError, DirtyQueueFullError, DirtyProtocolError),
        *(StashError, StashTableNotFoundError, StashKeyNotFoundError),
    )
}
