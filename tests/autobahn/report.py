"""What the suite's reports say, judged and printed.

Knows: the JSON reports, what their words mean. Must not know: processes, sockets.

The suite gives a case two words: one for its events, one for how the connection was closed. A case is OK here
only if both are `OK`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK = "OK"
NON_STRICT = "NON-STRICT"
INFORMATIONAL = "INFORMATIONAL"
UNIMPLEMENTED = "UNIMPLEMENTED"
FAILED = "FAILED"
MISSING = "MISSING"

#: Columns of the table. A case without a report is MISSING: the client was cut or fell over.
VERDICTS = (OK, INFORMATIONAL, NON_STRICT, UNIMPLEMENTED, FAILED, MISSING)

#: These the suite can give nothing but INFORMATIONAL: their code sets the word at the end, whatever happened.
#: 7.1.6: a close right behind a message of 256 KiB; whether the message is still answered is left open by
#: RFC 6455 §5.5.1. 7.13.1 and 7.13.2: close codes 5000 and 65536, of which RFC 6455 §7.4.2 says nothing.
ONLY_INFORMATIONAL = frozenset({"7.1.6", "7.13.1", "7.13.2"})


@dataclass(frozen=True)
class Outcome:
    """One case: its number, the verdict on it, and why."""

    case: str
    verdict: str
    why: str = ""

    @property
    def is_good(self) -> bool:
        return self.verdict == OK or (self.verdict == INFORMATIONAL and self.case in ONLY_INFORMATIONAL)


def judge(behavior: str, close: str) -> str:
    """The verdict on a case from the suite's two words."""
    if behavior not in VERDICTS:
        return FAILED
    if behavior == OK and close != OK:
        return FAILED
    return behavior


def outcomes(index: Path, announced: Sequence[str]) -> list[Outcome]:
    """Of every case that the client announced, in its order."""
    reports: dict[str, dict[str, str]] = {}
    if index.exists():
        (reports,) = json.loads(index.read_text()).values()
    return [_outcome(index.parent, case, reports.get(case)) for case in announced]


def _outcome(directory: Path, case: str, entry: dict[str, str] | None) -> Outcome:
    if entry is None:
        return Outcome(case, MISSING, "no report")
    behavior, close = entry["behavior"], entry["behaviorClose"]
    verdict = judge(behavior, close)
    if verdict == OK:
        return Outcome(case, OK)
    details = json.loads((directory / entry["reportfile"]).read_text())
    return Outcome(case, verdict, "; ".join(_reasons(behavior, close, details)))


def _reasons(behavior: str, close: str, details: dict[str, Any]) -> Iterator[str]:
    if behavior not in (OK, INFORMATIONAL):
        wanted = details["expected"].get(OK, details["result"])
        yield _short(f"wanted {wanted}, got {details['received']}")
    if close not in (OK, INFORMATIONAL):
        yield _short(f"close: {close} ({details['remoteCloseCode']}), {details['resultClose']}")


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def table(groups: Iterable[tuple[str, Sequence[Outcome]]]) -> str:
    """A line for each group, and their sum."""
    counts = {name: Counter(outcome.verdict for outcome in found) for name, found in groups}
    counts["all"] = sum(counts.values(), Counter())
    widths = [max(len(verdict), 5) for verdict in VERDICTS]
    lines = [
        "  ".join(["group".ljust(6), "cases", *(v.rjust(w) for v, w in zip(VERDICTS, widths, strict=True))])
    ]
    for name, count in counts.items():
        cells = [str(count[v] or "-").rjust(w) for v, w in zip(VERDICTS, widths, strict=True)]
        lines.append("  ".join([name.ljust(6), str(count.total()).rjust(5), *cells]))
    return "\n".join(lines)


def remarks(found: Iterable[Outcome]) -> str:
    """A line for each case that is not OK; those that the suite never calls OK are marked so."""
    return "\n".join(
        f"{outcome.case:8} {outcome.verdict:13} "
        + ("(the suite knows no other word for this case)" if outcome.is_good else outcome.why)
        for outcome in found
        if outcome.verdict != OK
    )
