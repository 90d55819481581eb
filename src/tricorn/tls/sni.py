"""Which certificate a client gets: the one for the name that it asks for (SNI, RFC 6066 §3).

Knows: names and how they match (RFC 9525 §6.3). Must not know: what is chosen by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class NameTable(Generic[T]):
    """Names → what belongs to them. An exact name is better than a wildcard, an earlier entry than a later
    one. `*` stands for one whole label: `*.example.org` is for a.example.org, and neither for example.org
    nor for a.b.example.org."""

    def __init__(self, entries: Iterable[tuple[Iterable[str], T]]) -> None:
        self._exact: dict[str, T] = {}
        self._wildcard: dict[str, T] = {}
        #: Names that several entries claim; the first has them.
        self.contested: list[str] = []
        for names, found in entries:
            for name in dict.fromkeys(map(_canonical, names)):
                self._add(name, found)

    def _add(self, name: str, found: T) -> None:
        table, key = (self._wildcard, name[2:]) if name.startswith("*.") else (self._exact, name)
        if "*" in key:
            return  # f*.example.org, *.*.example.org: no client takes them (RFC 9525 §6.3)
        if key in table:
            self.contested.append(name)
        table.setdefault(key, found)

    def find(self, name: str) -> T | None:
        name = _canonical(name)
        label, _, rest = name.partition(".")
        return self._exact.get(name) or (self._wildcard.get(rest) if label else None)


def _canonical(name: str) -> str:
    """Names are the same in any case, and with a dot at their end or without."""
    return name.lower().removesuffix(".")
