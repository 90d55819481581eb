"""The kinds of workers: one row each, from which `worker_class`, its words and the choice in the worker come.

It is a room of its own because two rooms read it that must not know each other: config, which needs the names
before anything is loaded, and workers, which needs the modules behind them. So it is plain data: modules are
named, not imported, and an interface is a word (gateway/loader.py has the type).

Knows: the kinds, and their names here, in Gunicorn and in Uvicorn. Must not know: what a kind does, who asks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

from tricorn.records import dataclass

#: A class where it can be imported. The last name has a capital, as classes have.
CLASS_NAME = re.compile(r"(\w+\.)*\w+[.:](\w+\.)*[A-Z]\w*")

#: The word for no kind in particular: the application decides.
AUTO = "auto"

WSGI, ASGI, TORNADO = "WSGI", "ASGI", "Tornado"


class Runner(Enum):
    """On what a kind runs the application. The value is what each worker has of it."""

    THREADS = "threads"
    LOOP = "one event loop"
    GREEN = "green threads"


@dataclass(frozen=True)
class WorkerKind:
    """One kind of worker.

    name: the word for `worker_class`.
    interface: of the applications that it serves.
    runner: on what it runs them.
    doc: what it does, for users, to stand behind the name.
    serve: the function that serves, as module:function; it is a workers.boot.Serve. Of a kind that is made
        of somebody's class it is the function itself; so is `prepare`.
    also: other names by which configurations ask for it. The first one is shown in the reference.
    serves_too: other interfaces whose applications it serves.
    is_usual: `auto` takes it for applications of its interface. An interface has no usual kind if all of its
        kinds have to prepare something.
    prepare: a function, as module:function, which the worker calls without arguments before it imports the
        application (with `preload_app`, a mold has imported it before). With `auto` the kind is not known
        by then, so a usual kind has none.
    patch: another one, for what has to be done before the application is imported in any case: with
        `preload_app` the mold calls it too, before the workers that are forked from it do.
    needs: the package that it is made of, which Tricorn does not bring along; empty: none. The extra that
        brings it has the same name.
    """

    name: str
    interface: str
    runner: Runner
    doc: str
    serve: str | Callable[..., int]
    also: tuple[str, ...] = ()
    serves_too: tuple[str, ...] = ()
    is_usual: bool = False
    prepare: str | Callable[[], None] | None = None
    patch: str | None = None
    needs: str = ""

    def takes(self, interface: str) -> bool:
        """Whether it serves applications with this interface."""
        return interface == self.interface or interface in self.serves_too


def table(*rows: WorkerKind) -> Mapping[str, WorkerKind]:
    """The kinds by name. Raises ValueError where the rows contradict each other."""
    names = Counter([AUTO, *(name.lower() for row in rows for name in (row.name, *row.also))])
    usual = Counter(row.interface for row in rows if row.is_usual)
    if twice := [name for name, times in names.items() if times > 1]:
        raise ValueError(f"more than one kind of worker is called {twice[0]!r}")
    if usual != Counter({row.interface for row in rows if row.prepare is None or row.is_usual}):
        raise ValueError("one kind of worker has to be the usual one for each interface")
    if any(row.is_usual and (row.prepare or row.patch) for row in rows):
        raise ValueError("a usual kind of worker is chosen too late to prepare anything")
    return MappingProxyType({row.name: row for row in rows})


THREADED = "tricorn.workers.threaded:serve_threaded"

#: Gunicorn's other way to write one of its words: as an entry point of a distribution.
EGG = "egg:gunicorn#"

KINDS = table(
    WorkerKind(
        "sync",
        interface=WSGI,
        runner=Runner.THREADS,
        doc="serves WSGI applications with `threads` threads; it is Gunicorn's name for a worker with one",
        serve=THREADED,
        also=("gunicorn.workers.sync.SyncWorker",),
    ),
    WorkerKind(
        "gthread",
        interface=WSGI,
        runner=Runner.THREADS,
        doc="does the same; it is Gunicorn's name for a worker with several",
        serve=THREADED,
        also=("gunicorn.workers.gthread.ThreadWorker",),
        is_usual=True,
    ),
    WorkerKind(
        "asgi",
        interface=ASGI,
        runner=Runner.LOOP,
        doc="serves ASGI applications on an event loop",
        serve="tricorn.workers.asgi:serve_asgi",
        also=(
            "uvicorn.workers.UvicornWorker",
            "uvicorn.workers.UvicornH11Worker",
            "uvicorn_worker.UvicornWorker",
            "uvicorn_worker.UvicornH11Worker",
            "gunicorn.workers.gasgi.ASGIWorker",
        ),
        is_usual=True,
    ),
    WorkerKind(
        "tornado",
        interface=TORNADO,
        runner=Runner.LOOP,
        doc="serves Tornado's applications on an event loop (and WSGI applications as `gthread` does)",
        serve="tricorn.workers.tornado:serve_tornado",
        also=("gunicorn.workers.gtornado.TornadoWorker",),
        serves_too=(WSGI,),
        prepare="tricorn.workers.tornado:prepare",
        needs="tornado",
    ),
    WorkerKind(
        "gevent",
        interface=WSGI,
        runner=Runner.GREEN,
        doc="serves WSGI applications with up to `green_requests` greenlets; the standard library is patched "
        "before the application is imported, so that what waits lets others go on",
        serve="tricorn.workers.gevent_hub:serve",
        also=(
            "gunicorn.workers.ggevent.GeventWorker",
            "gunicorn.workers.ggevent.GeventPyWSGIWorker",
            "gevent_wsgi",
            "gevent_pywsgi",
            f"{EGG}gevent_wsgi",
            f"{EGG}gevent_pywsgi",
            "geventwebsocket.gunicorn.workers.GeventWebSocketWorker",
        ),
        patch="tricorn.workers.gevent_hub:patch",
        needs="gevent",
    ),
    WorkerKind(
        "eventlet",
        interface=WSGI,
        runner=Runner.GREEN,
        doc="does the same with Eventlet",
        serve="tricorn.workers.eventlet_hub:serve",
        also=("gunicorn.workers.geventlet.EventletWorker",),
        patch="tricorn.workers.eventlet_hub:patch",
        needs="eventlet",
    ),
)

AIOHTTP = (
    "serves aiohttp's own applications, which are neither WSGI nor ASGI; start them with "
    "aiohttp.web.run_app(), or write asgi for an application that was made ASGI"
)
C_SERVER = "is a server of its own, in C; write auto"
SANIC = "is Sanic's own server; an application of Sanic's is ASGI too: write asgi"

#: Names of workers that are not here → why, and what to write instead. In lower case.
ABSENT: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "aiohttp.gunicornuvloopwebworker",
                "aiohttp.gunicornwebworker",
                "aiohttp.worker.gunicornuvloopwebworker",
                "aiohttp.worker.gunicornwebworker",
            ),
            AIOHTTP,
        ),
        **dict.fromkeys(("egg:meinheld#gunicorn_worker", "meinheld.gmeinheld.meinheldworker"), C_SERVER),
        "sanic.worker.gunicornworker": SANIC,
    }
)

#: Kinds that are made of somebody's class, by its name. The master adds them before it forks.
_adopted: dict[str, WorkerKind] = {}


def adopt(kind: WorkerKind) -> None:
    """From now on `worker_class` may have its name, in this process and in those that it forks."""
    _adopted[kind.name] = kind


def is_class_name(word: str) -> bool:
    """Whether it can only be the name of a class: module.Class, or module:Class."""
    return word not in KINDS and bool(CLASS_NAME.fullmatch(word))


def maybe_kind(word: str) -> WorkerKind | None:
    """The kind that `worker_class` names; None for AUTO, and for a class that was not looked at yet."""
    return None if word == AUTO else KINDS.get(word) or _adopted.get(word)


def words() -> tuple[str, ...]:
    """What `worker_class` may be."""
    return (AUTO, *KINDS)


def other_names() -> Mapping[str, str]:
    """Other names, in lower case → the word for the kind."""
    names = {name.lower(): kind.name for kind in KINDS.values() for name in kind.also}
    return names | {f"{EGG}{word}": word for word in KINDS}


def absent() -> Mapping[str, str]:
    """Names for what we do not have → why, and what to write instead."""
    return {word: said for word, said in ABSENT.items() if word not in KINDS and word not in other_names()}


def usual(interface: str) -> WorkerKind:
    """The kind that `auto` takes for an application with this interface; where there is none, the first that
    serves such."""
    suited = [kind for kind in KINDS.values() if kind.interface == interface]
    return next((kind for kind in suited if kind.is_usual), suited[0])


def running_on(runner: Runner) -> str:
    """The words for the kinds with this runner, to stand in parentheses."""
    return ", ".join(kind.name for kind in KINDS.values() if kind.runner is runner)


def description() -> str:
    """What the reference says of the words."""
    chosen = " and ".join(f"`{kind.name}` for {kind.interface}" for kind in KINDS.values() if kind.is_usual)
    each = " ".join(f"`{kind.name}` {kind.doc}." for kind in KINDS.values())
    also = ", ".join(f"`{kind.also[0]}` as `{kind.name}`" for kind in KINDS.values() if kind.also)
    return (
        f"`{AUTO}` looks at the application, and takes {chosen}. {each} "
        f"Names from Gunicorn and Uvicorn are accepted too: {also}."
    )
