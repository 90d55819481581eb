"""`reload`: watches files, and sends HUP to the master when one has changed.

A program of its own: a thread beside the master could hold any lock when that forks. It is run by its path,

    python -I -S watcher.py MASTER SINCE WANTED

and imports the standard library alone, so that it is there at once and costs little; watchfiles too, where
that is the engine. Its standard input is the master's lifeline: the end of file is the master's end. SINCE is
when it was started, in nanoseconds: what was written later may be newer than what the workers load. WANTED is
what to watch, as JSON.

What has changed is found by looking at the files, with either engine; they differ in when it is worth a
look. `Clock` looks again and again: for a thousand files that takes some milliseconds. `Bell` waits until
the kernel tells of something (inotify), and looks seldom beside that. The kernel does not tell what a host
writes into a directory that it shares with a virtual machine, where a good part of development happens: who
starts this program chooses.

Knows: files. Must not know: what is served; what HUP leads to.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from select import POLLIN, poll
from typing import Any

#: How often files are looked at, seconds; less often where that would take more than a tenth of the time.
EVERY = 0.3
SHARE = 10
#: The same where the kernel tells of changes: a look for what it may have missed.
SELDOM = 5.0
#: Who saves several files, or one in several steps, is done when nothing changes for so long, seconds.
SETTLED = 0.1

#: Of watchfiles, milliseconds: how long it waits for anything, for more of the same, and at most with that.
TURN, STEP, DEBOUNCE = 200, 20, 100

#: Of a tree; nobody edits what lies in directories with these names, or with a dot in front.
SUFFIXES = (".py", ".pyx", ".so")
LEFT_OUT = {"__pycache__", "node_modules", "site-packages"}
#: A directory that has this file is a virtual environment.
ENVIRONMENT = "pyvenv.cfg"

#: Path → what changes when the file does.
Snapshot = dict[str, tuple[int, int, int]]


class Wanted:
    """What to watch.

    trees: directories, with all below them. named: paths of files, or patterns of such, that count in any
    case. includes: patterns of what counts in the trees beside SUFFIXES; excludes: of files and directories
    that do not.
    """

    def __init__(
        self,
        trees: Sequence[str],
        named: Sequence[str] = (),
        includes: Sequence[str] = (),
        excludes: Sequence[str] = (),
    ) -> None:
        self.trees = list(trees)
        self.named = list(named)
        self._includes = Patterns(includes, self.trees)
        self._excludes = Patterns(excludes, self.trees)
        self._names = _compiled([fnmatch.translate(pattern.replace("**/", "*")) for pattern in named])

    def is_named(self, path: str) -> bool:
        return bool(self._names(path))

    def counts(self, path: str) -> bool:
        """Whether a file of a tree does."""
        return (path.endswith(SUFFIXES) or self._includes.fit(path)) and not self._excludes.fit(path)

    def goes_into(self, path: str, name: str) -> bool:
        """Whether a directory of a tree is looked into."""
        return not name.startswith(".") and name not in LEFT_OUT and not self._excludes.fit(path)


class Patterns:
    """One without a slash means the name of a file or directory; one with a slash the end of its path in the
    tree, from a slash on; one that begins with a slash the whole path."""

    def __init__(self, patterns: Sequence[str], trees: Sequence[str]) -> None:
        bare = [pattern.rstrip("/") for pattern in patterns]
        self._names = _compiled([fnmatch.translate(each) for each in bare if "/" not in each])
        self._paths = _compiled([fnmatch.translate(each) for each in bare if each.startswith("/")])
        ends = [each for each in bare if "/" in each and not each.startswith("/")]
        self._ends = _compiled([f"(?:.*/)?{fnmatch.translate(each)}" for each in ends])
        self._trees = trees

    def fit(self, path: str) -> bool:
        return bool(
            self._names(os.path.basename(path)) or self._paths(path) or self._ends(self._inside(path))
        )

    def _inside(self, path: str) -> str:
        """The tree's own place is nobody's business: it may lie in a directory that is called `tests`."""
        tree = next((tree for tree in self._trees if path.startswith(f"{tree}/")), "")
        return path[len(tree) + 1 :] if tree else path


def _compiled(expressions: Sequence[str]) -> Any:
    return re.compile("|".join(expressions) or "(?!)", re.DOTALL).match


def walk(tree: str, wanted: Wanted) -> Iterator[tuple[str, list[str]]]:
    """Each directory, with the files in it that count."""
    waiting = [tree]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                found = list(entries)
        except OSError:  # it has gone, or is not ours to read
            continue
        if any(entry.name == ENVIRONMENT for entry in found):
            continue
        files = []
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                if wanted.goes_into(entry.path, entry.name):
                    waiting.append(entry.path)
            elif wanted.counts(entry.path):
                files.append(entry.path)
        yield directory, files


def look(wanted: Wanted) -> tuple[Snapshot, frozenset[str]]:
    """What there is, and the directories in which something may change that counts."""
    seen: Snapshot = {}
    directories: set[str] = set()
    paths = [path for pattern in wanted.named for path in glob.iglob(pattern, recursive=True)]
    directories.update(os.path.dirname(path) for path in paths)
    for pattern in wanted.named:
        is_deep, base = "**" in pattern, _base(pattern)
        directories |= {place for place, _ in walk(base, wanted)} if is_deep else {base}
    for tree in wanted.trees:
        for directory, files in walk(tree, wanted):
            directories.add(directory)
            paths += files
    for path in paths:
        with suppress(OSError):  # it has gone in between
            status = os.stat(path)
            seen[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return seen, frozenset(filter(os.path.isdir, directories))


def _base(pattern: str) -> str:
    """The directory in which what fits the pattern begins."""
    while glob.has_magic(pattern):
        pattern = os.path.dirname(pattern)
    return pattern if os.path.isdir(pattern) else os.path.dirname(pattern)


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


# ---- when to look ----------------------------------------------------------------------------------------


class Lifeline:
    """The master's, on the standard input."""

    def __init__(self) -> None:
        self._poll = poll()
        self._poll.register(0, POLLIN)

    def is_over(self, seconds: float = 0.0) -> bool:
        """Whether the master has gone. It is waited for so long."""
        return bool(self._poll.poll(seconds * 1000))


class Clock:
    """Looks again and again."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline

    def wait(self, _directories: frozenset[str], at_least: float) -> bool:
        """Until it is time to look; not before `at_least` seconds. False: the master has gone."""
        return not self._lifeline.is_over(max(EVERY, at_least))


class Bell:
    """Looks when watchfiles tells of something. Raises OSError where it cannot watch (no more of the kernel's
    watches are left)."""

    def __init__(self, lifeline: Lifeline, wanted: Wanted) -> None:
        """ImportError: it is not there."""
        from watchfiles import watch as changes_in

        self._changes_in = changes_in
        self._lifeline = lifeline
        self._wanted = wanted
        self._directories: frozenset[str] = frozenset()
        self._changes: Iterator[Any] = iter(())

    def wait(self, directories: frozenset[str], at_least: float) -> bool:
        """As Clock's."""
        begin = time.monotonic()
        # What was written before the kernel was asked to tell is found by a look soon after.
        at_most = SELDOM if directories == self._directories else EVERY
        self._listen(directories)
        has_rung = False
        while not self._lifeline.is_over():
            has_rung |= any(self._matters(path) for _, path in next(self._changes))
            waited = time.monotonic() - begin
            if waited >= (at_least if has_rung else max(at_least, at_most)):
                return True
        return False

    def _listen(self, directories: frozenset[str]) -> None:
        """Directory by directory, so that what is left out costs none of the kernel's watches."""
        if directories == self._directories:
            return
        self._directories = directories
        self._changes = self._changes_in(
            *directories,
            watch_filter=None,
            debounce=DEBOUNCE,
            step=STEP,
            rust_timeout=TURN,
            yield_on_timeout=True,
            recursive=False,
        )

    def _matters(self, path: str) -> bool:
        """A file that counts, or a directory that has come or gone."""
        return (
            self._wanted.counts(path)
            or path in self._directories
            or self._wanted.is_named(path)
            or os.path.isdir(path)
        )


def watch(master: int, since: int, wanted: Wanted, engine: str) -> None:
    """Until the master has gone."""
    lifeline = Lifeline()
    waiting: Clock | Bell = Clock(lifeline)
    if engine == "watchfiles":
        try:
            waiting = Bell(lifeline, wanted)
        except ImportError as error:
            say(f"watchfiles cannot be used: {error}; files are looked at three times a second")
    (known, directories), pause = look(wanted), 0.0
    known = {path: status for path, status in known.items() if status[0] <= since}
    while True:
        try:
            if not waiting.wait(directories, pause):
                return
        except OSError as error:
            say(f"watchfiles cannot watch: {error}; files are looked at three times a second")
            waiting = Clock(lifeline)
        begin = time.monotonic()
        now, directories = look(wanted)
        pause = SHARE * (time.monotonic() - begin)
        if now == known:
            continue
        while not lifeline.is_over(SETTLED) and now != (later := look(wanted)[0]):
            now = later
        if os.getppid() != master:
            return
        tell(changed(known, now))
        os.kill(master, signal.SIGHUP)
        known = now


def tell(paths: Sequence[str]) -> None:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    say(f"{os.path.relpath(paths[0])!r}{more} changed: reloading")


def say(text: str) -> None:
    with suppress(OSError):  # nobody reads it
        print(f"tricorn: {text}", file=sys.stderr, flush=True)


def main(master: str, since: str, told: str) -> None:
    # Ctrl-C is for all processes of a terminal, and the master's to obey.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked: Mapping[str, Any] = json.loads(told)
    sys.path += asked["path"]
    wanted = Wanted(asked["trees"], asked["named"], asked["includes"], asked["excludes"])
    watch(int(master), int(since), wanted, asked["engine"])


if __name__ == "__main__":
    main(*sys.argv[1:])
