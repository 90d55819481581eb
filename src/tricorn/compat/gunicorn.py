"""Makes `import gunicorn` work where Gunicorn is not installed, for code that was written for it.

What a configuration file or a program imports of Gunicorn are base classes, names for annotations and a few
constants. `install()` lets Python find these under Gunicorn's names. Where the real package is installed it
is found before them, and nothing of this is used.

Knows: the names in Gunicorn's package that such code uses, and what stands for each. Must not know: when it
is needed (the command installs it while it reads the configuration).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "gunicorn"

#: The version whose names and settings these are.
VERSION = (27, 0, 1)

BASE, CONFIG, PASTER, WSGI = (f"tricorn.app.{name}" for name in ("base", "config", "pasterapp", "wsgiapp"))
CLASSES = "tricorn.app.gunicorn"

HEAVY = "tricorn.heavy"
HEAVY_CLIENT = (
    *("DirtyClient", "get_dirty_client", "get_dirty_client_async"),
    *("close_dirty_client", "close_dirty_client_async"),
)
HEAVY_ERRORS = (
    *("DirtyError", "DirtyTimeoutError", "DirtyConnectionError", "DirtyWorkerError", "DirtyAppError"),
    *("DirtyAppNotFoundError", "DirtyNoWorkersAvailableError", "DirtyProtocolError"),
)
STASH_CLASSES = (
    *("StashClient", "StashTable", "StashError", "StashTableNotFoundError", "StashKeyNotFoundError"),
)
STASH_FUNCTIONS = (
    *("put", "get", "delete", "keys", "clear", "info", "ensure", "exists", "delete_table", "tables"),
    "table",
)

#: Module → name → where it is, as module:name. Imported when the name is asked for.
MODULES: Mapping[str, Mapping[str, str]] = {
    "": {name: f"{CLASSES}:{name}" for name in ("SERVER", "SERVER_SOFTWARE", "__version__", "version_info")},
    "app": {},
    "app.base": {
        "Application": f"{BASE}:Application",
        "BaseApplication": f"{BASE}:BaseApplication",
        "Config": f"{CONFIG}:Config",
    },
    "app.pasterapp": {"get_wsgi_app": f"{PASTER}:get_wsgi_app", "serve": f"{PASTER}:serve"},
    "app.wsgiapp": {"WSGIApplication": f"{WSGI}:WSGIApplication", "run": f"{WSGI}:run"},
    "arbiter": {"Arbiter": f"{CLASSES}:Arbiter"},
    "config": {
        "Config": f"{CONFIG}:Config",
        "KNOWN_SETTINGS": f"{CLASSES}:KNOWN_SETTINGS",
        "get_default_config_file": f"{CLASSES}:get_default_config_file",
        "make_settings": f"{CLASSES}:make_settings",
    },
    "dirty": {
        **{name: f"{HEAVY}:{name}" for name in (*HEAVY_ERRORS, *HEAVY_CLIENT, *STASH_CLASSES, "DirtyApp")},
        "stash": f"{HEAVY}:stash",
    },
    "dirty.app": {"DirtyApp": f"{HEAVY}:DirtyApp"},
    "dirty.client": {name: f"{HEAVY}:{name}" for name in HEAVY_CLIENT},
    "dirty.errors": {name: f"{HEAVY}:{name}" for name in HEAVY_ERRORS},
    "dirty.stash": {name: f"{HEAVY}.stash:{name}" for name in (*STASH_CLASSES, *STASH_FUNCTIONS)},
    "errors": {name: f"{CLASSES}:{name}" for name in ("AppImportError", "ConfigError", "HaltServer")},
    "glogging": {
        "CONFIG_DEFAULTS": f"{CLASSES}:CONFIG_DEFAULTS",
        "Logger": "tricorn.log.logger:Logger",
    },
    "instrument": {},
    "instrument.statsd": {"Statsd": "tricorn.log.logger:Statsd"},
    "http": {"Request": f"{CLASSES}:Request"},
    "http.errors": {"NoMoreData": f"{CLASSES}:NoMoreData", "ParseException": f"{CLASSES}:ParseException"},
    "http.message": {"Request": f"{CLASSES}:Request"},
    "http.wsgi": {"Response": f"{CLASSES}:Response"},
    "util": {"getcwd": f"{CLASSES}:getcwd", "import_app": "tricorn.gateway.loader:load_application"},
    "workers": {"SUPPORTED_WORKERS": f"{CLASSES}:SUPPORTED_WORKERS"},
    "workers.base": {"Worker": f"{CLASSES}:Worker"},
    "workers.base_async": {"AsyncWorker": f"{CLASSES}:AsyncWorker"},
    "workers.gasgi": {"ASGIWorker": f"{CLASSES}:ASGIWorker"},
    "workers.geventlet": {"EventletWorker": f"{CLASSES}:EventletWorker"},
    "workers.ggevent": {
        "GeventPyWSGIWorker": f"{CLASSES}:GeventPyWSGIWorker",
        "GeventWorker": f"{CLASSES}:GeventWorker",
    },
    "workers.gthread": {"ThreadWorker": f"{CLASSES}:ThreadWorker"},
    "workers.gtornado": {"TornadoWorker": f"{CLASSES}:TornadoWorker"},
    "workers.sync": {"SyncWorker": f"{CLASSES}:SyncWorker"},
}


def found_at(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


class StandIn(ModuleType):
    """A module whose names are looked up when they are asked for."""

    def __getattr__(self, name: str) -> Any:
        place = MODULES[self.__name__.removeprefix(PACKAGE).lstrip(".")].get(name)
        if place is None:
            raise AttributeError(
                f"module {self.__name__!r} has no attribute {name!r} (Gunicorn is not installed; Tricorn "
                "stands in for what configuration files use of it)"
            )
        value = found_at(place)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *MODULES[self.__name__.removeprefix(PACKAGE).lstrip(".")]})


class Finder:
    """The last one to be asked, so that a real package is found first.

    A finder and a loader in form only: the module of their base classes takes in a dozen others.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        name = fullname.removeprefix(f"{PACKAGE}.") if fullname != PACKAGE else ""
        if name == fullname or name not in MODULES or (name and not is_ours(sys.modules.get(PACKAGE))):
            return None
        return _spec(fullname, name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def _spec(fullname: str, name: str, finder: Finder) -> ModuleSpec:
    is_package = not name or any(each.startswith(f"{name}.") for each in MODULES)
    return ModuleSpec(
        fullname,
        finder,  # type: ignore[arg-type]  # a loader in form only
        origin="tricorn.compat.gunicorn",
        is_package=is_package,
    )


class DirtyFinder(Finder):
    """The first one to be asked for gunicorn.dirty, and for nothing else: also where Gunicorn is installed,
    whose own finds no arbiter here."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        name = fullname.removeprefix(f"{PACKAGE}.")
        if not f"{fullname}.".startswith(f"{PACKAGE}.dirty.") or name not in MODULES:
            return None
        return _spec(fullname, name, self)


_finder = Finder()
_dirty = DirtyFinder()


def is_ours(module: object) -> bool:
    return isinstance(module, StandIn)


def install() -> None:
    """From here on the imports find what stands in. Again: nothing."""
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)


def install_dirty() -> None:
    """From here on `import gunicorn.dirty` means Tricorn's heavy workers."""
    install()
    if _dirty not in sys.meta_path:
        sys.meta_path.insert(0, _dirty)


def uninstall_if_unused() -> None:
    """Unless something has been imported by it: then its other modules belong to it."""
    if _finder in sys.meta_path and not is_ours(sys.modules.get(PACKAGE)):
        sys.meta_path.remove(_finder)


@contextmanager
def installed_if_used() -> Iterator[None]:
    """While a configuration file is read, and from then on if that has imported something."""
    was_there = _finder in sys.meta_path
    install()
    try:
        yield
    finally:
        if not was_there:
            uninstall_if_unused()
