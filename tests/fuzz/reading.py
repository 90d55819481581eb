"""The engine under test, and the deliveries that it must not be able to tell apart.

Knows: RequestReader and its events. Must not know: what is right; that is said by each test.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator

from tricorn.http.reader import Data, End, Event, Head, Refused, RequestReader
from tricorn.http.request import Limits

DELIVERIES = ("whole", "bytes", "cuts", "trailing")

#: Put behind a message; it must come out as the next request, or not at all behind a refused one.
NEXT = b"GET /next HTTP/1.1\r\nHost: next.example\r\n\r\n"


def joined(events: Iterable[Event]) -> list[Event]:
    """Neighbouring Data events made one: where content is cut is all that a delivery may change."""
    out: list[Event] = []
    for event in events:
        last = out[-1] if out else None
        if isinstance(event, Data) and isinstance(last, Data):
            out[-1] = Data(last.content + event.content)
        else:
            out.append(event)
    return out


def read(pieces: Iterable[bytes], limits: Limits | None = None) -> list[Event]:
    reader = RequestReader(limits)
    return joined(event for piece in pieces for event in reader.feed(piece))


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place for place in places if 0 < place < len(data)), len(data)]
    return (data[a:b] for a, b in itertools.pairwise(edges))


def pieces(data: bytes, delivery: str, seed: str = "") -> Iterable[bytes]:
    if delivery == "bytes":
        return (data[at : at + 1] for at in range(len(data)))
    if delivery == "cuts":
        chance = random.Random(seed)
        return cut(data, [chance.randrange(len(data) + 1) for _ in range(6)])
    if delivery == "trailing":
        return (data + NEXT,)
    return (data,)


def deliver(data: bytes, delivery: str, seed: str = "", limits: Limits | None = None) -> list[Event]:
    """The events of `data`. Of the trailing delivery without those of the request behind it, once checked."""
    events = read(pieces(data, delivery, seed), limits)
    if delivery != "trailing":
        return events
    alone = read((data,), limits)
    if alone and isinstance(alone[-1], End) and _last_head(alone).keep_alive:
        behind = events[-2:]
        assert isinstance(behind[0], Head), events
        assert behind[0].target == b"/next", events
        assert behind[1] == End(()), events
        return events[:-2]
    return events


def _last_head(events: list[Event]) -> Head:
    return [event for event in events if isinstance(event, Head)][-1]


def refusal(events: list[Event]) -> Refused | None:
    return events[-1] if events and isinstance(events[-1], Refused) else None
