"""What gevent has changed in the standard library of this process: undone, and done again.

A configuration or a program for gevent begins with `monkey.patch_all()`, so that nothing is imported before.
It is meant for the workers. In the master a wait for signals would be one of gevent's hub, threads would be
greenlets, and children would be waited for by gevent. There it is undone when the settings have been read,
and a worker of that kind, or a mold, does it again before anything of the application runs: what was imported
since then was imported from a patched library, and stays as it is.

gevent has functions of its own called at each fork, which expect what gevent has put there. So nothing is
undone while a fork lasts.

Eventlet changes more than names (code of functions, locks that there are), so that cannot be undone.

Knows: gevent's record of what it has changed, that Eventlet has changed something. Must not know: who has
called it, what for.
"""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType
from typing import Any

#: Where there is no such name.
_NOTHING = object()

#: What stays: gevent has put another lock into the main thread, and knows how to end with that.
STAYS = {"threading": frozenset({"_shutdown"})}

#: What was undone: module, name, and what gevent has put there.
_undone: list[tuple[ModuleType, str, Any]] = []
_watches_forks = False
_forks_undone = False


def undo() -> bool:
    """Whether there is something undone now."""
    monkey = sys.modules.get("gevent.monkey")
    saved: dict[str, dict[str, Any]] = getattr(monkey, "saved", {})
    for module, originals in [(sys.modules.get(name), originals) for name, originals in saved.items()]:
        if module is None:
            continue  # a note of gevent's own stands there, under a name that is no module's
        for name in originals.keys() - STAYS.get(module.__name__, frozenset()):
            there = _swap(module, name, originals[name])
            if there is not originals[name]:
                _undone.append((module, name, there))
    if _undone:
        _know_main_thread()
        _watch_forks()
    return is_undone()


def redo() -> None:
    """What was undone; in this process or the one that it was forked from."""
    while _undone:
        module, name, patched = _undone.pop()
        _swap(module, name, patched)
        if not _undone:
            _know_main_thread()


def is_undone() -> bool:
    return bool(_undone)


def is_eventlets() -> bool:
    """Whether Eventlet has patched this process."""
    patcher = sys.modules.get("eventlet.patcher")
    return bool(getattr(patcher, "already_patched", None))


def _watch_forks() -> None:
    """Registered after gevent's: called before those where a fork begins, and after them in the child."""
    global _watches_forks
    if not _watches_forks:
        _watches_forks = True
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)


def _before() -> None:
    global _forks_undone
    _forks_undone = is_undone()
    redo()


def _after() -> None:
    if _forks_undone:
        undo()


def _swap(module: ModuleType, name: str, value: Any) -> Any:
    there = vars(module).get(name, _NOTHING)
    if value is _NOTHING:
        vars(module).pop(name, None)
    elif value is not there:
        setattr(module, name, value)
    return there


def _know_main_thread() -> None:
    """`threading` finds a thread by its number, and gevent's numbers are others (3.11 to 3.14: `_active`)."""
    main = threading.main_thread()
    active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
    for number, thread in list(active.items()):
        if thread is main:
            del active[number]
    main._ident = threading.get_ident()  # type: ignore[attr-defined]
    active[threading.get_ident()] = main
