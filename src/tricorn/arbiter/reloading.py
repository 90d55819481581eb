"""`reload`: starts the program that watches files (watcher.py).

Knows: which files the settings mean. Must not know: how they are watched, or what follows.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tricorn.arbiter import watcher
from tricorn.config.settings import Settings

log = logging.getLogger("tricorn.error")


def start_watching(settings: Settings, lifeline: int) -> None:
    """If the settings ask for it. It ends by itself, with the other end of `lifeline`."""
    if not settings.reload:
        return
    trees = list(trees_of(settings))
    patterns = [str(Path(settings.chdir, pattern)) for pattern in settings.reload_extra_files]
    about = (str(os.getpid()), str(time.time_ns()))
    command = [sys.executable, "-I", "-S", watcher.__file__, *about, *trees, "--", *patterns]
    try:
        os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, lifeline, 0)],
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    except OSError as error:
        log.warning("reload: cannot start %s: %s; send HUP instead", sys.executable, error.strerror)
        return
    log.info("Watching files for changes, for development: %s", ", ".join((*trees, *patterns)))


def trees_of(settings: Settings) -> Iterator[str]:
    """Where the application is looked for, each once; not what lies in another one."""
    found = {Path(path).resolve() for path in (settings.chdir, *settings.pythonpath)}
    yield from sorted(str(path) for path in found if not found & set(path.parents))
