"""When the service may pause, and what is said of it.

Knows: the target. Must not know: processes, who asks. What follows from a pause is in decide.py.

While it is paused there are no workers. The master keeps the listeners, so the kernel takes connections, as
many as `backlog` says, and they wait; with preload_app the mold stays, so the workers are back at once.
"""

from __future__ import annotations

from tricorn.arbiter.goals import Answer, refusal
from tricorn.arbiter.signals import Change, pause, resume
from tricorn.arbiter.target import STOPPING, Mode, Target

#: What changes the target in a way that is dealt with here.
CHANGES: frozenset[Change] = frozenset({pause, resume})

SAID = {
    Mode.PAUSED: "paused; workers finish their requests, and new connections wait",
    Mode.RUNNING: "resumed",
}

#: In the words of a service manager.
STATUS = {Mode.PAUSED: "Paused", Mode.RUNNING: "Resumed"}


def maybe_refusal(change: Change, target: Target, *, is_alone: bool) -> Answer | None:
    """is_alone: no other master is there, or comes."""
    if target.mode in STOPPING:
        return refusal("The server is stopping")
    if change is resume:
        return None if target.mode is Mode.PAUSED else refusal("The server is not paused")
    if target.mode is Mode.PAUSED:
        return refusal("The server is paused already")
    if target.mode is not Mode.RUNNING or not is_alone:
        return refusal("An upgrade is under way: a pause would not stop the other master")
    if target.fallback is not None:
        return refusal("A reload is under way")
    if not target.plan.proven:
        return refusal("No worker has been ready yet")
    return None
