"""The slow requests of late, of all workers, also of those that are gone.

Knows: what workers have noted of them. Must not know: how it came here, who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: What is kept. Of those in which only the client was slow, fewer: whoever dawdles on purpose must not push
#: out the others.
KEPT = 200
KEPT_OF_CLIENTS = 100

#: Of the stacks of one request, and of any other text.
STACKS_MAX = 8
STACK_MAX = 4000
TEXT_MAX = 1000

#: Of a number, and of an instant: in the year 2242.
LARGEST = 2**53
LATEST = 2**33

_NUMBER = (int, float)

#: What has to be there, and what it may be. The application may write where a worker does.
FORM: Mapping[str, tuple[type, ...]] = {
    "pid": (int,),
    "number": (int,),
    "time": _NUMBER,
    "method": (str,),
    "path": (str,),
    "route": (str, type(None)),
    "http": (int,),
    "status": (int, type(None)),
    "id": (str, type(None)),
    "is_over": (bool,),
    "has_left": (bool,),
    "sent": (int,),
    "seconds": _NUMBER,
    "client_sends": _NUMBER,
    "waiting": _NUMBER,
    "application": _NUMBER,
    "client_reads": _NUMBER,
    "slow": (str,),
}


class SlowRequests:
    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], dict[str, Any]] = {}
        self._changes = 0

    def add(self, notes: Iterable[Mapping[str, Any]]) -> None:
        """What is known already is replaced: it went on."""
        for note in notes:
            found = maybe_record(note)
            if found is None:
                continue
            self._changes += 1
            key = (found["pid"], found["number"])
            self._kept.pop(key, None)
            self._kept[key] = {"change": self._changes, **found}
        while len(self._kept) > KEPT:
            self._forget_one()

    def _forget_one(self) -> None:
        of_clients = [key for key, each in self._kept.items() if each["slow"] == "client"]
        if len(of_clients) > KEPT_OF_CLIENTS:
            del self._kept[of_clients[0]]
        else:
            del self._kept[next(iter(self._kept))]

    def after(self, change: int, most: int = KEPT) -> Sequence[Mapping[str, Any]]:
        """Those that are new since that change, or went on, in that order; of many the last ones."""
        found = [each for each in self._kept.values() if each["change"] > change]
        return found[max(0, len(found) - most) :]


def maybe_record(note: Mapping[str, Any]) -> dict[str, Any] | None:
    """As it may be shown; None: it is none."""
    if any(not _fits(note.get(name), types) for name, types in FORM.items()) or note["time"] > LATEST:
        return None
    found = {name: _cut(note[name], TEXT_MAX) for name in FORM}
    stacks = note.get("stacks")
    found["stacks"] = [
        {"after": each["after"], "stack": _cut(each["stack"], STACK_MAX)}
        for each in (stacks[:STACKS_MAX] if isinstance(stacks, list) else ())
        if isinstance(each, dict) and _fits(each.get("after"), _NUMBER) and _fits(each.get("stack"), (str,))
    ]
    return found


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    """JSON of Python's has infinite numbers, and some that are none, which no clock and no other reader
    takes."""
    return isinstance(value, types) and (not isinstance(value, _NUMBER) or 0 <= value <= LARGEST)


def _cut(value: Any, most: int) -> Any:
    return value[:most] if isinstance(value, str) else value
