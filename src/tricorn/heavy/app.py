"""Heavy applications: their base class, how a setting names one, how it is loaded.

Knows: classes, imports. Must not know: processes, who calls an application, when.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from tricorn.records import dataclass


class DirtyApp:
    """Base class of heavy applications. A subclass has a method for each action.

        class Reports(DirtyApp):
            workers = 1                      # of the pool, how many load it; None: all

            def init(self):                  # once in each worker, before it takes calls
                self.fonts = load_fonts()

            def monthly(self, year, month):  # client.execute("reports:Reports", "monthly", 2026, 11)
                ...

            def close(self):                 # when the worker ends
                ...

    With `dirty_threads` above 1 actions run beside each other in one object.
    """

    workers: ClassVar[int | None] = None

    #: Tables of the stash that there are before `init`. Others are made when something is put into them.
    stashes: ClassVar[Any] = ()

    def init(self) -> None:
        """Load what takes long. An exception means that the worker cannot start."""

    def __call__(self, action: str, *args: Any, **kwargs: Any) -> Any:
        """Do it: call the method of that name. A generator streams what it yields. Raises ValueError: there
        is no such action."""
        method = None if action.startswith("_") else getattr(self, action, None)
        if not callable(method):
            raise ValueError(f"unknown action: {action}")
        return method(*args, **kwargs)

    def close(self) -> None:
        """Let go of what `init` has loaded."""


@dataclass(frozen=True)
class Spec:
    """One application as a setting names it: `module:Class`, or `module:Class:N`.

    path: `module:Class`, by which it is called. workers: how many load it; None: what its class says.
    """

    path: str
    workers: int | None = None

    @property
    def module(self) -> str:
        return self.path.partition(":")[0]

    @property
    def name(self) -> str:
        return self.path.partition(":")[2]


def spec_of(text: str) -> Spec:
    """Raises ValueError."""
    path, _, number = text.partition(":")[2].partition(":")
    module = text.partition(":")[0]
    if not all(part.isidentifier() for part in (*module.split("."), *path.split("."))):
        raise ValueError(f"{text!r} does not name a class; write module:Class, or module:Class:N")
    if text.count(":") == 1:
        return Spec(text)
    if not (number.isascii() and number.isdigit() and int(number)):
        raise ValueError(f"{text!r}: {number!r} is not a number of workers; write 1 or more")
    return Spec(f"{module}:{path}", int(number))


class LoadError(Exception):
    """There is no such application. Its text is for the log."""


def class_of(spec: Spec) -> Any:
    """Import it. Raises LoadError, and whatever the module raises."""
    try:
        found: Any = import_module(spec.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{spec.module}.".startswith(f"{error.name}."):
            raise  # it is there, and something that it imports is not
        raise LoadError(
            f"there is no module {spec.module!r} for the heavy application {spec.path}"
        ) from error
    for part in spec.name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise LoadError(f"{spec.path} is not a class, and a heavy application is one")
    missing = [name for name in ("init", "__call__", "close") if not callable(getattr(found, name, None))]
    if missing:
        raise LoadError(f"{spec.path} has no method {missing[0]}; derive it from tricorn.heavy.DirtyApp")
    return found


def is_loaded_at(slot: int, spec: Spec, kind: Any) -> bool:
    """Whether the worker at this place of its pool, from 1, has it: the first ones have what not all have."""
    limit = maybe_limit(spec, kind)
    return limit is None or slot <= limit


def maybe_limit(spec: Spec, kind: Any) -> int | None:
    """How many workers have it; None: all."""
    found: int | None = spec.workers if spec.workers is not None else getattr(kind, "workers", None)
    return found
