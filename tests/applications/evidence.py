"""What was seen of an application behind one server, and how that of two servers differs.

Knows: addresses of resources, statuses, lines of a console. Must not know: browsers, servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

#: What is another in each run: ports, sessions, tokens, times.
_PASSING = (
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{20,}|\b[0-9a-fA-F]{16,}\b"), "ID"),
    (re.compile(r"(?<=[=/])(?=[\w-]*\d)[\w-]{16,}(?=[/?&#]|$)"), "ID"),
    (re.compile(r"(?<==)[\d.]+"), "N"),
)
#: A query of the page's own library (times, sessions) tells nothing of the server; its names do.
_VALUES = re.compile(r"=[^&]*")


def lasting(text: str) -> str:
    """A text without what is another in each run."""
    for pattern, word in _PASSING:
        text = pattern.sub(word, text)
    return text


#: Whether a browser asks for all of what it has kept, or only whether it has changed, is a matter of moments.
_KEPT: dict[int | str, str] = {304: "200"}


#: A browser asks for it unasked, when it likes: over HTTP/2 often before a page is left, else seldom. Here no
#: application that lacks it is told from another.
_ICON = re.compile(r"status of 404 .*/favicon\.ico")


@dataclass
class Evidence:
    """Resources, console and results behind one server.

    resources: path and names in the query → each outcome that it had: a status and media type, or an error.
    result: what shows that the application works, in its own words.
    fault: why the run could not be finished.
    """

    resources: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    console: list[str] = field(default_factory=list)
    result: str = ""
    reload: str = ""
    fault: str = ""
    log: str = ""

    def resource(self, url: str, outcome: int | str, media_type: str) -> None:
        parts = urlsplit(url)
        query = _VALUES.sub("", parts.query)
        key = lasting(parts.path) + (f"?{query}" if query else "")
        self.resources.setdefault(key, set()).add((_KEPT.get(outcome, str(outcome)), media_type))

    def say(self, line: str) -> None:
        line = lasting(line.strip().split("\n", 1)[0])
        if not _ICON.search(line) and line not in self.console:
            self.console.append(line)

    def failures(self) -> list[str]:
        """Each resource that did not arrive, and how."""
        return [
            f"{outcome} {key}"
            for key, outcomes in sorted(self.resources.items())
            for outcome, _ in sorted(outcomes)
            if not outcome.isdecimal() or int(outcome) >= 400
        ]


def differences(ours: Evidence, theirs: Evidence) -> Iterator[str]:
    """What is worse or other here than there; nothing if the two cannot be told apart."""
    if ours.fault:
        yield f"it did not work: {ours.fault}" + (f" (nor there: {theirs.fault})" if theirs.fault else "")
    yield from (f"only here: {line}" for line in ours.failures() if line not in theirs.failures())
    yield from (f"only here on the console: {line}" for line in ours.console if line not in theirs.console)
    if ours.log and not theirs.log:
        yield f"only here in the log: {ours.log}"
    if ours.fault or theirs.fault:
        return
    if ours.result != theirs.result:
        yield f"it shows {ours.result!r}, there {theirs.result!r}"
    for key in sorted(ours.resources.keys() & theirs.resources.keys()):
        if ours.resources[key] != theirs.resources[key]:
            yield f"{key}: {_words(ours.resources[key])}, there {_words(theirs.resources[key])}"
    for key in sorted(theirs.resources.keys() - ours.resources.keys()):
        yield f"not asked for here: {key}"
    for key in sorted(ours.resources.keys() - theirs.resources.keys()):
        yield f"not asked for there: {key}"


def _words(outcomes: set[tuple[str, str]]) -> str:
    return " and ".join(" ".join(filter(None, outcome)) for outcome in sorted(outcomes))
