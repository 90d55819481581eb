"""Routes: what of the settings requests below a path prefix have of their own, and how one writes that.

    [tool.tricorn.routes."/reports/"]
    request_timeout = 300

A route holds whatever settings say in their declaration that they may stand in one (`in_routes`). Its value
is parsed as the setting's own would be.

Knows: prefixes, the form of a route. Must not know: which settings these are, or what they are used for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from tricorn.config.declaration import Core, Declared
from tricorn.config.errors import BadValueError, did_you_mean
from tricorn.config.parsers import Kind, shortened, show_plain, split_commas

#: Prefix, as it is written → name of the setting → value.
Routes = Mapping[str, Mapping[str, Any]]
Known = Callable[[], Mapping[str, Declared]]

WORDS = "path prefixes with their settings: a table for each prefix, or texts like '/reports/ NAME=VALUE'"
EXAMPLE = "/reports/ request_timeout=300"


def routes_of(known: Known) -> Kind[Routes]:
    """known: gives all settings. They are asked for when there is a route: this one is among them."""

    def convert(written: object) -> Routes:
        made: dict[str, Mapping[str, Any]] = {}
        taken: dict[bytes, str] = {}
        for found, values in _pairs(written):
            prefix = checked_prefix(found)
            bare = wire_form(prefix)
            if bare in taken:
                raise BadValueError(
                    f"{shortened(prefix)} is the same prefix as {shortened(taken[bare])}",
                    "write all of its settings in one route",
                )
            taken[bare] = prefix
            made[prefix] = _route(prefix, values, known())
        return MappingProxyType(made)

    def to_core(routes: Any) -> object:
        """(prefix, value by attribute), the longest prefix first: the order in which they are tried."""
        made = [(wire_form(prefix), _core_values(values, known())) for prefix, values in routes.items()]
        return tuple(sorted(made, key=lambda route: -len(route[0])))

    return Kind(
        convert, WORDS, "ROUTE", EXAMPLE, split=split_commas, blank=True, show=_shown, to_core=to_core
    )


def checked_prefix(prefix: object) -> str:
    if not isinstance(prefix, str) or not prefix.startswith("/"):
        raise BadValueError(f"{shortened(prefix)} is not a path prefix", "begin it with '/'")
    if found := re.search(r"[\x00-\x20\x7f*?#%]", prefix):
        hints = {
            "*": "leave the '*' out: a prefix stands for all paths below it",
            "%": "write the path decoded, as the application gets it",
        }
        hint = hints.get(found[0], "write a path, as '/reports/'")
        raise BadValueError(f"{shortened(prefix)} contains {found[0]!r}, so it is no path prefix", hint)
    if "//" in prefix:
        raise BadValueError(f"{shortened(prefix)} contains '//'", "write '/' once")
    return prefix


def wire_form(prefix: str) -> bytes:
    """What paths are compared with: '/reports' and '/reports/' both stand for that path and all below it."""
    return prefix.rstrip("/").encode("utf-8", "surrogateescape")


def in_order(routes: Routes) -> list[str]:
    """Their prefixes as people read them, in the order in which they are tried."""
    bare = sorted((wire_form(prefix) for prefix in routes), key=lambda prefix: -len(prefix))
    return [prefix.decode("utf-8", "surrogateescape") or "/" for prefix in bare]


def _pairs(written: object) -> Iterable[tuple[object, object]]:
    if written is None:
        return []
    if isinstance(written, Mapping):
        return written.items()
    items = split_commas(written) if isinstance(written, str) else written
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise BadValueError(f"{shortened(written)} is not a table of routes", f"write {WORDS}")
    return [_pair(item) for item in items]


def _pair(text: str) -> tuple[str, object]:
    prefix, *assignments = text.split()
    values = {}
    for word in assignments:
        name, equals, value = word.partition("=")
        if not equals:
            raise BadValueError(f"{shortened(text)}: {shortened(word)} is not NAME=VALUE", _example())
        values[name] = value
    return prefix, values


def _route(prefix: str, values: object, known: Mapping[str, Declared]) -> Mapping[str, Any]:
    allowed = [name for name, declared in known.items() if declared.in_routes]
    if not isinstance(values, Mapping) or not values:
        raise BadValueError(f"{shortened(prefix)} has no table of settings", _example())
    made = {}
    for name, value in values.items():
        if name not in allowed:
            raise _misplaced(prefix, str(name), allowed, known)
        try:
            made[name] = known[name].kind.parse(value)
        except BadValueError as error:
            raise BadValueError(f"{shortened(prefix)}, {name}: {error.message}", error.hint) from error
    return MappingProxyType({name: value for name, value in made.items() if value is not None})


def _misplaced(prefix: str, name: str, allowed: list[str], known: Mapping[str, Declared]) -> BadValueError:
    what = "cannot be set for a route" if name in known else "is not a setting"
    near = "" if name in known else did_you_mean(name, allowed)
    return BadValueError(
        f"{shortened(prefix)}: {shortened(name)} {what}", near or f"a route may set {', '.join(allowed)}"
    )


def _core_values(values: Mapping[str, Any], known: Mapping[str, Declared]) -> dict[str, object]:
    made = {}
    for name, value in values.items():
        fills = known[name].fills
        assert fills is not None
        assert fills[0] is Core.TERMS
        made[fills[1]] = known[name].kind.to_core(value)
    return made


def _example() -> str:
    return f"for example {EXAMPLE!r}"


def _shown(routes: Any) -> str:
    texts = [
        " ".join([prefix, *(f"{name}={show_plain(value)}" for name, value in values.items())])
        for prefix, values in routes.items()
    ]
    return ",".join(texts) or "(empty)"
