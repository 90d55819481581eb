"""What is told of a request that was slow: for how long of it the server, the application and its client were
waited for.

Knows: the instants of a request (tracing/trace.pxd). Must not know: how it was served, who reads this.

    the client sends      from the end of the head until all is there, as far as it is waited for
    waiting               for a thread or a task: the server is short of them
    application           what is left of the time in the application, when the client's part is taken off
    the client reads      until the response is out, and while the application waits for room
"""

from __future__ import annotations

from typing import Any

from tricorn.http.target import split
from tricorn.tracing.trace import SlowRequest

#: Of a path, an id: as much of it, in characters.
WORD_MAX = 500

#: Who is slow, by what is longest.
SERVER, APPLICATION, CLIENT = "server", "application", "client"


def told(slow: SlowRequest, route: str | None, wall: float) -> dict[str, Any]:
    """route: the prefix that it is on. wall: when CLOCK_MONOTONIC began, seconds since 1970. Of the target
    only the path: queries have tokens in them."""
    now = slow.sent_ns or slow.asked_ns
    ended = slow.ended_ns or now
    begun = slow.begun_ns or ended
    ready = slow.queued_ns or begun
    sends = _within(slow.client_sends_ns, ended - begun)
    reads = _within(slow.client_reads_ns, ended - begun - sends)
    parts = {
        "client_sends": max(0, ready - slow.head_ns) + sends,
        "waiting": max(0, begun - ready),
        "application": max(0, ended - begun - sends - reads),
        "client_reads": max(0, now - ended) + reads,
    }
    return {
        "number": slow.number,
        "time": round(wall + slow.head_ns / 1e9, 3),
        "method": slow.method[:WORD_MAX],
        "path": split(slow.uri)[0][:WORD_MAX],
        "route": route,
        "http": slow.version,
        "status": int(slow.status[:3]) if slow.status is not None else None,
        "id": slow.request_id[:WORD_MAX] if slow.request_id is not None else None,
        "is_over": bool(slow.sent_ns),
        "has_left": slow.left,
        "sent": slow.body_sent,
        "seconds": _seconds(now - slow.head_ns),
        **{name: _seconds(value) for name, value in parts.items()},
        "slow": whose(parts),
        "stacks": [{"after": _seconds(after), "stack": stack} for after, stack in slow.stacks],
    }


def whose(parts: dict[str, int]) -> str:
    """Who took the longest."""
    shares = {
        APPLICATION: parts["application"],
        SERVER: parts["waiting"],
        CLIENT: parts["client_sends"] + parts["client_reads"],
    }
    return max(shares, key=lambda each: shares[each])


def _within(value: int, most: int) -> int:
    return max(0, min(value, most))


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 3)
