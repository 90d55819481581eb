"""Worker classes of others: from the name in `worker_class` to a kind of worker, or to why there is none.

Knows: how a class is found, which classes mean a worker of ours, which methods of Gunicorn's are not called.
Must not know: the master, what any class does.

It is imported in the master, where directories and sys.path are those of the settings, as in Gunicorn: before
a worker exists, so a mistake in it is found at the start.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import FunctionType, MappingProxyType
from typing import Any

from tricorn import kinds
from tricorn.compat import gunicorn
from tricorn.config.errors import ConfigError
from tricorn.config.settings import SETTINGS, Settings
from tricorn.config.sources import Written, parsed
from tricorn.config.uvicorn import run_settings
from tricorn.handover import Assignment
from tricorn.records import replace
from tricorn.workers.base import Worker
from tricorn.workers.boot import function_at
from tricorn.workers.signals import SignalPipe

SETTING = "worker_class"

#: Packages whose classes are not somebody's own.
SERVERS = frozenset({"gunicorn", "tricorn", "uvicorn", "uvicorn_worker"})

#: What Gunicorn's workers do in these is done otherwise here, so a class that defines one would not do what
#: it is for.
NOT_SERVED_BY = frozenset(
    {"accept", "enqueue_req", "handle", "handle_error", "handle_request", "run_for_multiple", "run_for_one"}
)

#: These are not called, and what they do can be done elsewhere.
NOT_CALLED = frozenset(
    {"handle_abort", "handle_exit", "handle_quit", "handle_usr1", "handle_winch", "init_signals", "load_wsgi"}
    | {"notify", "patch", "setup"}
)


def resolved(settings: Settings) -> Settings:
    """The settings with the name of a kind in place of that of a class. Raises ConfigError."""
    name = settings.worker_class
    if not kinds.is_class_name(name):
        return settings
    origin = settings.origins.get(SETTING, "")
    found = imported(name, origin)
    if not isinstance(found, type):
        raise ConfigError(
            SETTING, origin, f"{name!r} is not a class", "name a subclass of tricorn.workers.base.Worker"
        )
    if (word := maybe_known(found)) is not None:
        return as_known(settings, found, word, origin)
    if not issubclass(found, Worker):
        raise ConfigError(
            SETTING,
            origin,
            f"{name!r} is not a subclass of tricorn.workers.base.Worker",
            "docs/embedding.md says what such a class looks like; or write auto",
        )
    return adopted(settings, found, origin)


def imported(name: str, origin: str) -> Any:
    """What the name leads to: module.Class, or module:Class."""
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    try:
        with gunicorn.installed_if_used():  # such a class mostly begins with `from gunicorn.workers…`
            return getattr(sys.modules.get(module) or import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            SETTING,
            origin,
            f"{name!r} cannot be imported: {error}",
            f"write module.Class, or one of {', '.join(kinds.words())}",
        ) from error
    except (Exception, SystemExit) as error:  # foreign code
        raise ConfigError(
            SETTING, origin, f"{name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def maybe_known(found: type) -> str | None:
    """The word for a class, by the first of its bases that means a worker of somebody's: a kind of ours, or
    what we do not have."""
    for base in found.__mro__:
        if issubclass(base, Worker) and "kind" in vars(base):
            return None  # it says itself what it is
        for name in names_of(base):
            if name in kinds.other_names():
                return kinds.other_names()[name]
            if name in kinds.absent():
                return name
    return None


def names_of(found: type) -> tuple[str, str]:
    """As it is defined, and as its package offers it: uvicorn_worker._workers.X, and uvicorn_worker.X."""
    package = found.__module__.partition(".")[0]
    return (
        f"{found.__module__}.{found.__qualname__}".lower(),
        f"{package}.{found.__qualname__}".lower(),
    )


def as_known(settings: Settings, found: type, word: str, origin: str) -> Settings:
    if word in kinds.absent():
        raise ConfigError(
            SETTING, origin, f"{settings.worker_class!r} is based on {word}, which {kinds.absent()[word]}"
        )
    name = settings.worker_class
    values, said = translated(getattr(found, "CONFIG_KWARGS", None) or {}, name)
    read = f"{SETTING}: {name!r} is read as {word!r}, Tricorn's own worker ({origin})"
    if defined := sorted(set(names_defined(found))):
        said.append(f"{SETTING}: {', '.join(defined)} of {name!r} is not called ({origin})")
    return replace(
        settings,
        **values,
        worker_class=word,
        origins=MappingProxyType({**settings.origins, **dict.fromkeys(values, name)}),
        warnings=(*settings.warnings, read, *said),
    )


def translated(given: Mapping[str, Any], origin: str) -> tuple[dict[str, Any], list[str]]:
    """Values of settings, and what to say of the rest."""
    values, said = {}, []
    for name, value in given.items():
        try:
            for ours, written in run_settings({name: value}, origin).items():
                values[ours] = parsed(SETTINGS[ours], Written(written, origin))
        except (ConfigError, KeyError) as error:
            said.append(f"{name} is ignored ({origin}): {getattr(error, 'hint', '') or error}")
    return values, said


def adopted(settings: Settings, found: type[Worker], origin: str) -> Settings:
    """A row in the table for this class, and these settings."""
    name = settings.worker_class
    if not found.kind:
        raise ConfigError(
            SETTING,
            origin,
            f"{name!r} is a server of its own: its base is gunicorn.workers.base.Worker",
            "write auto, or asgi",
        )
    if found.kind not in kinds.KINDS:
        problem = f"{name!r} has the kind {found.kind!r}"
        if found.kind in kinds.absent():
            raise ConfigError(SETTING, origin, f"{problem}, which {kinds.absent()[found.kind]}")
        raise ConfigError(SETTING, origin, problem, f"set kind to one of {', '.join(kinds.KINDS)}")
    defined = set(names_defined(found))
    if refused := sorted(defined & NOT_SERVED_BY):
        raise ConfigError(
            SETTING,
            origin,
            f"{name!r} defines {', '.join(refused)}, which Tricorn does not call: it serves by itself",
            "do it in a middleware around the application",
        )
    warnings = settings.warnings
    if ignored := sorted(defined & NOT_CALLED):
        warnings += (
            f"{SETTING}: {', '.join(ignored)} of {name!r} is not called; do it in run(), before or behind "
            f"super().run() ({origin})",
        )
    base = kinds.KINDS[found.kind]
    function_at(base.serve)  # imported in the master, as for any kind
    life = Life(found, settings)
    kinds.adopt(
        replace(
            base,
            name=name,
            doc=f"is a class of its own, based on `{base.name}`",
            serve=life.serve,
            also=(),
            is_usual=False,
            prepare=life.prepare,
        )
    )
    return replace(settings, warnings=warnings)


def names_defined(found: type) -> Iterator[str]:
    """Methods of the class and its bases, down to those of servers."""
    for base in found.__mro__:
        if base.__module__.partition(".")[0] in SERVERS or base is object:
            return
        for name, value in vars(base).items():
            if isinstance(value, FunctionType | classmethod | staticmethod) and not name.startswith("__"):
                yield name


class Life:
    """In a worker: one object of the class, made before the application is imported."""

    def __init__(self, found: type[Worker], settings: Settings) -> None:
        self._class = found
        self._settings = settings
        self._worker: Worker | None = None

    def prepare(self) -> None:
        """After the kind's own: that may be what the class builds on."""
        if (prepare := kinds.KINDS[self._class.kind].prepare) is not None:
            function_at(prepare)()
        self._worker = self._class(self._settings)
        self._worker.init_process()

    def serve(self, assignment: Assignment, application: Any, signals: SignalPipe) -> int:
        assert self._worker is not None
        return self._worker.serve(assignment, application, signals)
