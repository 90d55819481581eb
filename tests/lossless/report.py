"""The tables of the counting test, as text and in the page docs/lossless.md.

Knows: results. Must not know: how they came about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from lossless.count import Result

START, END = "<!-- written by `make lossless` -->\n", "<!-- /written -->\n"

Show = Callable[[Sequence[Result]], str]


def lost(results: Sequence[Result]) -> str:
    """A cell: what was lost of how many, and what else has to be said."""
    if not results:
        return "-"
    gone, begun = sum(result.losses for result in results), sum(result.begun for result in results)
    words = f"{gone:,} of {begun:,}" if not gone else f"**{gone:,} of {begun:,}**"
    own = sum(result.own for result in results)
    remarks = {result.remark for result in results if result.remark}
    return "; ".join([words, *([f"{own} with it"] if own else []), *sorted(remarks)])


def resent(results: Sequence[Result]) -> str:
    """A cell: how many, and of which clients."""
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.resent)
    words = [f"{count:,} {kind}" for kind, count in sorted(counts.items())]
    return (", ".join(words) or "0") if results else "-"


def table(results: Sequence[Result], servers: Sequence[str], events: Sequence[str], show: Show) -> str:
    """Markdown: a row for each event that any of the servers knows."""
    lines = [["", *servers]]
    for event in events:
        cells = [[r for r in results if (r.server, r.event) == (server, event)] for server in servers]
        if any(cells):
            lines.append([event, *map(show, cells)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    return "\n".join([rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]]) + "\n"


def put_into(page: Path, text: str) -> None:
    """Between the marks of the page."""
    before, _, rest = page.read_text().partition(START)
    _, _, behind = rest.partition(END)
    page.write_text(f"{before}{START}\n{text}\n{END}{behind}")
