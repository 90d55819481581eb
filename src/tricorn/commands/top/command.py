"""`tricorn top`: what a running server does, on a terminal, and keys to look closer and to step in.

Knows: the words of this command line, exit statuses. Must not know: how anything is asked or shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from tricorn.commands import ctl

HELP = """Usage: tricorn top [options]

Shows what a running server does: its workers, what each request does now, rates,
latencies, memory. Keys sort, show stacks, replace and kill workers; h shows them.
Where the output is no terminal it prints that once and ends.

Options:
  -1, --once              Print it once and end.
  -i, --interval SECONDS  Look so often, 1 by default.
  -p, --pid FILE          The server whose process id is in this file, or is this number.
  -b, --bind ADDRESS      The one that listens there.
  -s, --socket FILE       The one with this control socket.
  -h, --help              Show this text and exit.

It needs the package rich: pip install 'tricorn[top]'.
NO_COLOR=1 does without colours.

Exit status: as of `tricorn ctl`."""

NAME = "tricorn top"

#: Seconds. Workers tell of their requests about once a second.
INTERVAL = 1.0
INTERVAL_LEAST, INTERVAL_MOST = 0.2, 3600.0


def main(words: Sequence[str]) -> int:
    """The exit status."""
    return ctl.status_of(run, words, NAME)


def run(words: Sequence[str]) -> int:
    if "-h" in words or "--help" in words:
        print(HELP)
        return ctl.DONE
    line, interval, is_once = taken_apart(words)
    if find_spec("rich") is None:
        return ctl.complain("the package rich is missing; write pip install 'tricorn[top]'", ctl.FAILED, NAME)
    from tricorn.commands.top import screen, watch

    try:
        gone = watch.show(line, interval, is_once=is_once)
    except screen.EndedError as ended:
        return 128 + ended.number
    return ctl.DONE if gone is None else ctl.complain(gone, ctl.DONE, NAME)


def taken_apart(words: Sequence[str]) -> tuple[ctl.Line, float, bool]:
    """Which server; the interval, seconds; whether once is enough."""
    rest, is_once, interval = [], False, INTERVAL
    left = list(words)
    while left:
        word = left.pop(0)
        option, equals, value = word.partition("=")
        if word in ("-1", "--once"):
            is_once = True
        elif option in ("-i", "--interval"):
            if not equals and not left:
                raise ctl.UsageError(f"{option} needs a value")
            interval = seconds_of(value if equals else left.pop(0))
        elif option in ("-p", "--pid", "-b", "--bind", "-s", "--socket"):
            rest += [word] if equals else [word, *left[:1]]
            left = left if equals else left[1:]
        else:
            raise ctl.UsageError(f"{word!r} is not understood; see tricorn top --help")
    return ctl.taken_apart(rest), interval, is_once


def seconds_of(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not INTERVAL_LEAST <= seconds <= INTERVAL_MOST:
        least, most = f"{INTERVAL_LEAST:g}", f"{INTERVAL_MOST:g}"
        raise ctl.UsageError(f"--interval: {text!r} is not a number of seconds from {least} to {most}")
    return seconds
