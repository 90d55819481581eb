"""Functions that settings name: module:function.

Knows: how a function is named, and what may be wrong with that. Must not know: what it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from tricorn.config.errors import ConfigError


def function_of(setting: str, value: Callable[..., Any] | str) -> Callable[..., Any]:
    """The function itself, imported if `value` names it, which runs foreign code. Raises ConfigError."""
    if not isinstance(value, str):
        return value
    module, _, name = value.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        what = f"{value!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(setting, "", what, "write module:function") from error
    if not callable(found):
        raise ConfigError(setting, "", f"{value!r} is not a function", "write module:function")
    function: Callable[..., Any] = found
    return function
