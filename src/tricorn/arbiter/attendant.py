"""Processes beside the workers that speak of the service, as far as the master goes: what they are given. One
answers health checks (`health_bind`), the other serves control (administration.py).

Each is a child like a worker, with a generation, a board and a listener of its own, so heartbeat, back-off,
logs and privileges are what they are for workers. Whether there shall be one decides decide().

Knows: settings, listeners, children as values. Must not know: what is answered, who asks, when it is started.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tricorn.arbiter.children import ChildRecord, Generation, rows_for
from tricorn.arbiter.decide import Child, State, is_serving
from tricorn.arbiter.spawn import Job
from tricorn.arbiter.target import ATTENDANT, STOPPING, Target, attended
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.handover import Assignment, RunWorker
from tricorn.net.listener import Listener, open_listeners
from tricorn.records import dataclass
from tricorn.scoreboard import Board, Row
from tricorn.summary import Numbers, Summary
from tricorn.tls.rules import called

if TYPE_CHECKING:
    from tricorn.tls.renewal import Renewal  # which imports ssl, and most servers need none

log = logging.getLogger("tricorn.error")

#: The life of the health process; the result is the exit code.
RunHealth = Callable[[Summary, Assignment], int]

#: A READY worker that has been silent for this long is stuck, seconds: its event loop is blocked, or
#: something in it holds the GIL. Workers beat several times a second; on a busy machine a second is not rare.
STUCK_AFTER = 5.0

#: A probe is a small request, and few ask.
CONNECTIONS = 100
BODY_MAX = 1024

#: How long one that is answered may hold up the end of the process, seconds.
GRACE = 2.0


#: Reads the certificates that settings name; None: they name none.
Certify = Callable[[Settings], "Renewal | None"]


@dataclass(frozen=True)
class Post:
    """What an attendant is for. generation: its number. role: what the process is called, in `ps` and in the
    log. setting: where it answers. settings_of: its own, from the service's. said: for the log, once it
    listens."""

    generation: int
    role: str
    setting: str
    settings_of: Callable[[Settings], Settings]
    said: str


class Attendance:
    """What the master has to do with an attendant. Where its setting is not set there is none, and nothing is
    done.

    prepare: gives what is called in the process; it may raise ConfigError.
    """

    def __init__(self, post: Post, prepare: Callable[[Settings], RunWorker]) -> None:
        self.post = post
        self._prepare = prepare
        self._run: RunWorker | None = None
        self.generation: Generation | None = None

    @property
    def listeners(self) -> Sequence[Listener]:
        return self.generation.listeners if self.generation else ()

    def open(self, first: Generation, known: Sequence[Listener], certify: Certify) -> Sequence[Listener]:
        """Listen. first: of the workers. known: listeners that there are already, inherited ones among them.
        certify: reads certificates. Raises ConfigError, ListenError."""
        post = self.post
        if getattr(first.settings, post.setting) is None:
            return ()
        own = post.settings_of(first.settings)
        try:
            listeners = open_listeners(own, known, partial(called, own))
        except ConfigError as error:  # it takes this for a `bind`
            raise ConfigError(post.setting, "", error.message, error.hint) from None
        certificates = certify(own)
        self._run = self._prepare(first.settings)
        board = Board(rows_for(own.workers), own.threads)
        self.generation = Generation(post.generation, own, listeners, board, first.identity, certificates)
        log.info(post.said, *self.generation.addresses)
        return listeners

    def wanted(self, target: Target, *, is_beside: bool) -> Target:
        """is_beside: an older master serves as well."""
        return attended(target, self.post.generation, is_beside=is_beside) if self.generation else target

    def job(self, row: Row, lifeline: int, forget: Callable[[], None]) -> Job:
        assert self.generation is not None
        assert self._run is not None
        return Job(self._run, self.generation, row, lifeline, forget, role=self.post.role)

    def maybe_listeners(self, children: Iterable[ChildRecord]) -> Sequence[Listener] | None:
        """Where it answers; None if it shall, and does not."""
        if self.generation is None:
            return ()
        is_there = any(child.generation is self.generation and child.stays for child in children)
        return self.listeners if is_there else None


class Health:
    """What the master has of the health process besides an attendant. run: called in it; None: there is
    none."""

    def __init__(self, run: RunHealth | None) -> None:
        self._run = run
        self._summary: Summary | None = None

    def prepare(self, _settings: Settings) -> RunWorker:
        assert self._run is not None
        self._summary = Summary()
        return partial(self._run, self._summary)

    def sum_up(self, children: Sequence[Child], target: Target, now: float) -> None:
        """For the process to read. While it leaves because another master answers, what was said last stays:
        workers that this one sends away are not missed by anybody."""
        if self._summary is not None and target.attends:
            self._summary.write(numbers(children, target, now))


def small_service(settings: Settings, bind: str | None, **own: Any) -> Settings:
    """Those of a service beside the other, which has nothing of what is set for the application."""
    return Settings(
        wsgi_app=settings.wsgi_app,
        proc_name=settings.proc_name,
        bind=(bind or "",),
        backlog=settings.backlog,
        workers=1,
        worker_connections=CONNECTIONS,
        graceful_timeout=GRACE,
        server_header=settings.server_header,
        accesslog=None,
        errorlog=settings.errorlog,
        loglevel=settings.loglevel,
        **own,
    )


def settings_of(settings: Settings) -> Settings:
    """Its socket file is never for the world, whatever `umask` says."""
    return small_service(
        settings,
        settings.health_bind,
        threads=1,
        limit_request_body=BODY_MAX,
        user=settings.user,
        group=settings.group,
        umask=None,
    )


POST = Post(ATTENDANT, "health process", "health_bind", settings_of, "Health checks are answered at %s")


def numbers(children: Iterable[Child], target: Target, now: float) -> Numbers:
    """What there is to say of the workers now."""
    plan = target.serving or target.plan
    ready = [child for child in children if is_serving(child)]
    starting = [child for child in children if child.state is State.BOOTING and not child.is_leaving]
    stuck = sum(now - child.heartbeat > STUCK_AFTER for child in ready)
    return Numbers(
        beat_ns=int(now * 1e9),
        wanted=max(1, plan.workers - plan.unavailable),
        ready=len(ready) - stuck,
        starting=sum(child.is_worker for child in starting),
        stuck=stuck,
        stopping=int(target.mode in STOPPING),
    )
