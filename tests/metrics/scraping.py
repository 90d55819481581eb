"""What a running server counts, as a program that reads Prometheus' text sees it.

Knows: the control socket, prometheus_client's parser. Must not know: which figures there are.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from harness.server import KINDS, wait_for
from integration.live import Live
from prometheus_client.parser import text_string_to_metric_families

from tricorn.metrics.exposition import rendered

#: Sample and labels → value.
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def counting(home: Path, *options: str, kind: str = "sync", **more: Any) -> Live:
    """A server that counts, with the application of tests/apps/metered.py."""
    app = "metered:asgi_app" if KINDS[kind].interface == "asgi" else "metered:app"
    socket_file = home / "ctl.sock"
    return Live(app, "--metrics", f"--control-socket={socket_file}", *options, kind=kind, **more)


def asked(path: Path) -> dict[str, Any]:
    """The master's answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        lines = client.makefile("rb")
        lines.readline()
        client.sendall(b'{"do": "metrics"}\n')
        answer: dict[str, Any] = json.loads(lines.readline())
        return answer


def parsed(text: str) -> Figures:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Scrapes:
    """Of one server. What was counted before `mark()` is not seen."""

    def __init__(self, home: Path) -> None:
        self._path = home / "ctl.sock"
        self._before: Figures = {}
        self._now: Figures = {}

    def everything(self) -> Figures:
        answer = asked(self._path)
        assert answer["ok"], answer
        return parsed(rendered(answer["data"])[0].decode())

    def mark(self) -> None:
        self._before = self._now = self.everything()

    def look(self) -> Scrapes:
        self._now = self.everything()
        return self

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have these labels, from the mark to the last look."""
        return _sum(self._now, name, labels) - _sum(self._before, name, labels)

    def wait(self, expected: float, name: str, **labels: str) -> None:
        """Until it is so: a client has its response before that is counted."""
        wait_for(lambda: self.look().value(name, **labels) >= expected, f"{name} {labels} is {expected}")
        assert self.value(name, **labels) == expected


def _sum(figures: Figures, name: str, labels: dict[str, str]) -> float:
    wanted = frozenset(labels.items())
    return sum(value for (found, has), value in figures.items() if found == name and wanted <= has)


def fallen(before: Figures, after: Figures) -> list[Any]:
    """What only grows, and has not."""
    endings = ("_total", "_count", "_sum", "_bucket")
    return [key for key, value in before.items() if key[0].endswith(endings) and after.get(key, -1.0) < value]
