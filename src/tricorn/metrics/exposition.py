"""Figures as text for Prometheus: its own format, and OpenMetrics.

Knows: the two formats (https://prometheus.io/docs/instrumenting/exposition_formats/, OpenMetrics 1.0). Must
not know: which figures there are, where they come from.

What comes in is plain data, each family with its name, type, help and samples: so it can have crossed a
socket, from a server of another version too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, zip_longest
from typing import Any

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Family = Mapping[str, Any]
#: Its bucket, labels, value, and seconds since 1970.
Exemplar = Sequence[Any]

#: In OpenMetrics, units that a name may end with (before `_total`).
UNITS = ("seconds", "bytes")


def rendered(families: Sequence[Family], accept: str = "") -> tuple[bytes, str]:
    """The text and its type. accept: what the client takes; OpenMetrics is given to who names
    it."""
    is_open = wants_open(accept)
    lines: list[str] = []
    for family in families:
        lines += _lines(family, is_open=is_open)
    if is_open:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode("utf-8"), OPEN if is_open else PLAIN


def wants_open(accept: str) -> bool:
    """Whether OpenMetrics is taken at least as gladly as the older format (RFC 9110 §12.5.1)."""
    wishes = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for each in accept.lower().split(","):
        media, *parameters = (part.strip() for part in each.split(";"))
        if media in wishes:
            wishes[media] = max(wishes[media], _quality(parameters))
    return (
        wishes["application/openmetrics-text"] > 0
        and wishes["application/openmetrics-text"] >= wishes["text/plain"]
    )


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _lines(family: Family, *, is_open: bool) -> Iterator[str]:
    name, kind = family["name"], family["type"]
    # In OpenMetrics a family of counters is called as its samples are, without the suffix; `info` too.
    base = name.removesuffix("_total") if is_open else name
    if is_open and name.endswith("_info"):
        base, kind = name.removesuffix("_info"), "info"
    yield f"# HELP {base} {_escaped(family['help'], quote=is_open)}"
    yield f"# TYPE {base} {kind}"
    if is_open and (unit := next((each for each in UNITS if base.endswith(f"_{each}")), None)):
        yield f"# UNIT {base} {unit}"
    if kind == "histogram":
        # The older format has no place for exemplars.
        exemplars = family.get("exemplars", ()) if is_open else ()
        for sample, found in zip_longest(family["samples"], exemplars, fillvalue=()):
            yield from _histogram(name, family["bounds"], *sample, exemplars=found)
        return
    for labels, value in family["samples"]:
        yield f"{name}{_labels(labels)} {_number(value)}"


def _histogram(
    name: str,
    bounds: Sequence[float],
    labels: Mapping[str, str],
    buckets: Sequence[int],
    total: float,
    *,
    exemplars: Sequence[Exemplar],
) -> Iterator[str]:
    own = "".join(f"{_label(key, value)}," for key, value in labels.items())
    counts = accumulate(buckets)
    behind = {bucket: _exemplar(*rest) for bucket, *rest in exemplars}
    for index, (bound, count) in enumerate(zip(_bounds(tuple(bounds)), counts, strict=True)):
        yield f'{name}_bucket{{{own}le="{bound}"}} {count}{behind.get(index, "")}'
    yield f"{name}_sum{_labels(labels)} {_number(total)}"
    yield f"{name}_count{_labels(labels)} {sum(buckets)}"


def _exemplar(labels: Mapping[str, str], value: float, at: float) -> str:
    return f" # {_labels(labels)} {_number(value)} {at:.3f}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(_label(key, value) for key, value in labels.items()) + "}"


@lru_cache(maxsize=1024)
def _label(key: str, value: str) -> str:
    return f'{key}="{_escaped(value, quote=True)}"'


def _escaped(text: str, *, quote: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    # What is no UTF-8 in a path of the settings has no place here.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace('"', '\\"') if quote else text


@lru_cache
def _bounds(values: tuple[float, ...]) -> Sequence[str]:
    return (*map(_bound, values), "+Inf")


def _bound(value: float) -> str:
    """Without an exponent, which people do not read."""
    text = f"{value:.6f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
