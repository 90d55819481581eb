"""`reload`: starts the program that watches files (watcher.py).

Knows: which files the settings mean, which engine can see them change. Must not know: how they are watched,
or what follows.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from tricorn.arbiter import watcher
from tricorn.config.settings import Settings
from tricorn.machine import file_system

log = logging.getLogger("tricorn.error")

#: File systems that others write to as well, of which the kernel here is not told: of hosts of virtual
#: machines (WSL, VirtualBox, VMware, Parallels, Docker Desktop), and of networks.
SHARED = ("9p", "vboxsf", "prl_fs", "virtiofs", "fuse", "nfs", "cifs", "smb", "drvfs")
#: What watchfiles itself is made of, in Python.
PARTS = ("watchfiles", "anyio", "idna", "sniffio", "typing_extensions")


def start_watching(settings: Settings, lifeline: int) -> None:
    """It ends by itself, with the other end of `lifeline`."""
    trees = list(trees_of(settings))
    named = [str(Path(settings.chdir, pattern)) for pattern in settings.reload_extra_files]
    engine = engine_for(settings.reload_engine, trees)
    asked = {
        "trees": trees,
        "named": named,
        "includes": settings.reload_includes,
        "excludes": settings.reload_excludes,
        "engine": engine,
        "path": list(places(PARTS)) if engine == "watchfiles" else [],
    }
    about = (str(os.getpid()), str(time.time_ns()), json.dumps(asked))
    command = [sys.executable, "-I", "-S", watcher.__file__, *about]
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
    log.info("Watching files for changes (%s), for development: %s", engine, ", ".join((*trees, *named)))


def trees_of(settings: Settings) -> Iterator[str]:
    """Where the application is looked for, or what is named; each once, and not what lies in another one."""
    named = [Path(settings.chdir, each) for each in settings.reload_dirs]
    found = {Path(path).resolve() for path in named or (settings.chdir, *settings.pythonpath)}
    yield from sorted(str(path) for path in found if not found & set(path.parents))


def engine_for(wanted: str, trees: Sequence[str]) -> str:
    """Of those that there are: `watchfiles` or `poll`."""
    if wanted == "poll" or not has_watchfiles():
        return "poll"
    is_shared = any(file_system(tree).startswith(SHARED) for tree in trees)
    return "poll" if is_shared and wanted != "watchfiles" else "watchfiles"


def has_watchfiles() -> bool:
    return find_spec("watchfiles") is not None


def places(packages: Sequence[str]) -> Iterator[str]:
    """The directories that they are in, of those that are there; nothing is imported."""
    specs = [find_spec(package) for package in packages]
    yield from dict.fromkeys(
        str(Path(spec.origin).parent.parent if spec.submodule_search_locations else Path(spec.origin).parent)
        for spec in specs
        if spec is not None and spec.origin is not None
    )
