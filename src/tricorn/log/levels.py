"""Tables by level of logging.

Knows: numbers. Must not know: what a table is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def of_level(table: Iterable[tuple[int, T]], level: int, otherwise: T) -> T:
    """What stands first of what is for this level or a lower one. (By no generator: see error.py.)"""
    for lowest, found in table:
        if level >= lowest:
            return found
    return otherwise
