"""What a function takes, by its own account.

Knows: signatures. Must not know: which functions are asked about, and why.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any


def is_async(called: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(called)


def as_declared(called: Callable[..., Any]) -> str:
    """Its name and its parameters, without what they are annotated with."""
    name = getattr(called, "__qualname__", "the object")
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return str(name)
    plain = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return f"{name}{signature.replace(parameters=plain, return_annotation=signature.empty)}"


def maybe_arity(called: Callable[..., Any], parameters: Iterable[str]) -> int | None:
    """How many arguments to call it with: as many as the first of these forms has that fits. None: none
    does."""
    counts = [each.count(",") + 1 for each in parameters]
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # a compiled function need not tell
        return counts[0]
    return next((count for count in counts if _fits(signature, count)), None)


def _fits(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
