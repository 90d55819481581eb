"""`reload`: watches files, and sends HUP to the master when one has changed.

A program of its own: a thread beside the master could hold any lock when that forks. It is run by its path,

    python -I -S watcher.py MASTER SINCE TREES… -- PATTERNS…

and imports the standard library alone, so that it is there at once and costs little. Its standard input is
the master's lifeline: the end of file is the master's end. SINCE is when it was started, in nanoseconds: what
was written later may be newer than what the workers load.

It looks at the files again and again. What the kernel offers for that (inotify) is a descriptor for each
directory, and does not see what a host writes into a directory that it shares with a virtual machine, where a
good part of development happens; and for a thousand files a look takes some milliseconds.

Knows: files. Must not know: what is served; what HUP leads to.
"""

from __future__ import annotations

import glob
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from select import POLLIN, poll

#: How often files are looked at, seconds; less often where that would take more than a tenth of the time.
EVERY = 0.3
SHARE = 10
#: Who saves several files, or one in several steps, is done when nothing changes for so long, seconds.
SETTLED = 0.1

#: Of a tree; nobody edits what lies in directories with these names, or with a dot in front.
SUFFIXES = (".py", ".pyx", ".so")
LEFT_OUT = {"__pycache__", "node_modules", "site-packages"}
#: A directory that has this file is a virtual environment.
ENVIRONMENT = "pyvenv.cfg"

#: Path → what changes when the file does.
Snapshot = dict[str, tuple[int, int, int]]


def files_below(tree: str) -> Iterator[str]:
    waiting = [tree]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = list(entries)
        except OSError:  # it has gone, or is not ours to read
            continue
        if any(entry.name == ENVIRONMENT for entry in found):
            continue
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in LEFT_OUT:
                    waiting.append(entry.path)
            elif entry.name.endswith(SUFFIXES):
                yield entry.path


def snapshot(trees: Sequence[str], patterns: Sequence[str]) -> Snapshot:
    seen: Snapshot = {}
    named = (path for pattern in patterns for path in glob.iglob(pattern, recursive=True))
    for path in (*named, *(path for tree in trees for path in files_below(tree))):
        with suppress(OSError):  # it has gone in between
            status = os.stat(path)
            seen[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return seen


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def watch(master: int, since: int, trees: Sequence[str], patterns: Sequence[str]) -> None:
    """Until the master has gone."""
    lifeline = poll()
    lifeline.register(0, POLLIN)
    known, pause = snapshot(trees, patterns), EVERY
    known = {path: status for path, status in known.items() if status[0] <= since}
    while not lifeline.poll(pause * 1000):
        begin = time.monotonic()
        now = snapshot(trees, patterns)
        pause = max(EVERY, SHARE * (time.monotonic() - begin))
        if now == known:
            continue
        while not lifeline.poll(SETTLED * 1000) and now != (later := snapshot(trees, patterns)):
            now = later
        if os.getppid() != master:
            return
        tell(changed(known, now))
        os.kill(master, signal.SIGHUP)
        known = now


def tell(paths: Sequence[str]) -> None:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    with suppress(OSError):  # nobody reads it
        print(f"tricorn: {os.path.relpath(paths[0])!r}{more} changed: reloading", file=sys.stderr, flush=True)


if __name__ == "__main__":
    place = sys.argv.index("--")
    # Ctrl-C is for all processes of a terminal, and the master's to obey.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:place], sys.argv[place + 1 :])
