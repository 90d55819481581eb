"""`tricorn metrics`: what a running server counts, as text for Prometheus.

Knows: the words of this command line. Must not know: how a server is found and asked (that is `tricorn
ctl`'s), formats.
"""

from __future__ import annotations

from collections.abc import Sequence

from tricorn.commands import ctl

HELP = """Usage: tricorn metrics [options]

Prints what a running server counts, in the text format of Prometheus. The server needs --metrics.

Options:
  --openmetrics           Print OpenMetrics 1.0 instead.
  -p, --pid FILE          Of the server whose process id is in this file, or is this number.
  -b, --bind ADDRESS      Of the one that listens there.
  -s, --socket FILE       Of the one with this control socket.
  -t, --timeout SECONDS   Wait so long at most.
  -j, --json              Print the figures as JSON.
  -h, --help              Show this text and exit.

Exit status: as of `tricorn ctl`."""


def main(words: Sequence[str]) -> int:
    """The exit status."""
    if "-h" in words or "--help" in words:
        print(HELP)
        return ctl.DONE
    return ctl.main(["metrics", *words])
