"""One cell of the table: a server, a wire, an event; and what became of every request.

Knows: what the clients say, what the application's journal says, and how both are weighed. Must not know: how
a server is started, what an event does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.server import APPS

from lossless.clients import KINDS, Tally, Trouble
from lossless.events import Event
from lossless.service import DidNotHappenError, Kind, Service

#: How long the clients go on behind an event: what it has broken shows then.
BEHIND = 0.5

TESTS = Path(__file__).parent.parent


@dataclass
class Result:
    """begun = answered + resent + lost + own + after_end.

    resent: by kind of client: not begun by the server, on a connection that it closed between two requests
        (see clients.py).
    lost: by sort: failed, refused, truncated. own: was in a worker that was killed, and went with it.
    after_end: on a connection that was made after the service was told to end. what: what was lost, in words.
    """

    server: str
    wire: str
    event: str
    begun: int = 0
    answered: int = 0
    resent: dict[str, int] = field(default_factory=dict)
    own: int = 0
    after_end: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    what: list[str] = field(default_factory=list)
    #: The server did not do what it was told, or has ended.
    remark: str = ""
    seconds: float = 0.0

    @property
    def losses(self) -> int:
        return sum(self.lost.values())

    def __str__(self) -> str:
        words = [f"{self.begun} begun", f"{self.losses} lost"]
        words += [f"{count} {sort}" for sort, count in self.lost.items()]
        words += [f"{count} {kind} sent again" for kind, count in self.resent.items()]
        words += [f"{self.own} with the worker"] if self.own else []
        words += [f"{self.after_end} after the end"] if self.after_end else []
        words += [self.remark] if self.remark else []
        return f"{self.server}, {self.wire}, {self.event}: {', '.join(words)} ({self.seconds:.1f} s)"


def kinds_for(kind: Kind, event: Event) -> list[str]:
    """The clients that make sense. A worker that serves one request at a time has no room for streams."""
    missing = {*event.without, *(() if kind.interface == "asgi" else ("websocket",))}
    missing |= set() if kind.streams else {"sse"}
    return [name for name in KINDS if name not in missing]


def count(kind: Kind, wire: str, event: Event, directory: Path, bin: Path) -> Result:
    """AssertionError: the cell says nothing, because the server did not start or the clients did not run."""
    began = time.monotonic()
    result = Result(kind.name, wire, event.name)
    with Service(kind, wire, event.able, directory, bin) as service:
        clients = _start_clients(service, kinds_for(kind, event))
        service.crowd = clients.pid
        try:
            try:
                event.act(service)
            except DidNotHappenError as error:
                result.remark = str(error)
            time.sleep(BEHIND)
            tallies = _stop_clients(clients)
        finally:
            clients.kill()
            clients.wait()
        if not event.ends:
            result.remark = _what_is_left(service, event) or result.remark
        weigh(result, tallies, event, service.journal.begun(), service.victims, service.told_at)
    result.seconds = time.monotonic() - began
    return result


def _what_is_left(service: Service, event: Event) -> str:
    """In words, if it is not a master and its workers."""
    if not service.is_alive() and not event.moves:
        return "the server has ended"
    return "" if service.workers() else "no worker serves"


def weigh(
    result: Result,
    tallies: dict[str, Tally],
    event: Event,
    begun: dict[str, int],
    victims: set[int],
    told_at: float,
) -> None:
    """begun: the requests that the application was called for, and in which process."""

    def went_with_its_worker(name: str) -> bool:
        return bool(event.kills) and (name not in begun or begun[name] in victims)

    sorts: Counter[str] = Counter()
    again: Counter[str] = Counter()
    for kind, tally in tallies.items():
        result.begun += tally.begun
        result.answered += tally.answered
        for name in tally.resent:
            # A close frame tells a WebSocket's client what it has to know, whatever the application has seen.
            if name not in begun or kind == "websocket":
                again[kind] += 1
            elif went_with_its_worker(name):
                result.own += 1
            else:
                sorts["failed"] += 1
                result.what.append(f"{name}: the application was called, and nothing answered")
        for trouble in tally.troubles:
            if trouble.sort != "refused" and went_with_its_worker(trouble.name):
                result.own += 1
            elif event.ends and _is_after_end(trouble, begun, told_at):
                result.after_end += 1
            else:
                sorts[trouble.sort] += 1
                result.what.append(f"{trouble.name}, {trouble.began - told_at:+.3f} s: {trouble.what}")
        if missing := tally.begun - tally.answered - len(tally.resent) - len(tally.troubles):
            sorts["failed"] += missing
            result.what.append(f"{kind}: {missing} without an end")
    result.lost, result.resent = dict(sorts), dict(again)
    if event.kills and result.own > event.kills:
        result.what.append(f"{result.own} were lost with their worker, more than it can have had")


def _is_after_end(trouble: Trouble, begun: dict[str, int], told_at: float) -> bool:
    is_late = trouble.fresh and trouble.began >= told_at
    return is_late and trouble.sort != "truncated" and trouble.name not in begun


def is_good(result: Result, event: Event) -> bool:
    return not result.losses and not result.remark and (not event.kills or result.own <= event.kills)


# -- the process of the clients


def _start_clients(service: Service, kinds: Sequence[str]) -> subprocess.Popen[str]:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(APPS)])}
    clients = subprocess.Popen(
        [sys.executable, "-m", "lossless.clients", "127.0.0.1", str(service.port), service.wire, *kinds],
        cwd=TESTS,
        env=environ,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert clients.stdout is not None
    assert clients.stdout.readline() == "going\n", "the clients do not run"
    return clients


def _stop_clients(clients: subprocess.Popen[str]) -> dict[str, Tally]:
    said, _ = clients.communicate("stop\n", timeout=60)
    return {kind: _tally(words) for kind, words in json.loads(said).items()}


def _tally(words: dict[str, Any]) -> Tally:
    return Tally(**{**words, "troubles": [Trouble(**trouble) for trouble in words["troubles"]]})


def as_words(result: Result) -> dict[str, Any]:
    return asdict(result)
