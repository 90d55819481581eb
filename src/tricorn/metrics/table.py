"""Which figures there are: one row for each, of which everything that shows figures is made.

Knows: names, meanings, labels, the places of figures.pxd. Must not know: whose figures they are, text
formats.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/): base units, `_total` for
what only grows. Each label has a fixed set of values, but for `route`, whose values are the routes of the
settings: no client can make a new series.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

from tricorn.metrics import figures
from tricorn.records import dataclass


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Label = tuple[str, Sequence[str]]

METHODS: Label = ("method", ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"))
#: The first one: broken off before there was a status.
STATUSES: Label = ("status", ("none", "1xx", "2xx", "3xx", "4xx", "5xx"))
HANDSHAKES: Label = ("kind", ("full", "resumed", "failed"))
GENERATIONS: Label = ("generation", ("0", "1", "2"))
ERRORS: Label = (
    "kind",
    (
        *("bad_request", "too_large", "client_timeout", "write_timeout", "queue_full", "client_left"),
        *("application", "request_timeout", "http2"),
    ),
)


@dataclass(frozen=True)
class Family:
    """One name. place: where its words begin, in the order of its labels' values. divisor: how many of what
    is counted make one of what is shown (ns: 10**9)."""

    name: str
    kind: Kind
    help: str
    place: int
    labels: tuple[Label, ...] = ()
    divisor: int = 1

    @property
    def words(self) -> int:
        each = figures.HISTOGRAM_WORDS if self.kind is Kind.HISTOGRAM else 1
        return each * math.prod(len(values) for _, values in self.labels)


NS = 10**9


def _counter(place: str, name: str, text: str, *labels: Label, divisor: int = 1) -> Family:
    return Family(f"tricorn_{name}_total", Kind.COUNTER, text, figures.PLACES[place], labels, divisor)


def _histogram(place: int, name: str, text: str) -> Family:
    return Family(f"tricorn_{name}_seconds", Kind.HISTOGRAM, text, place, divisor=NS)


#: Of a worker; shown is the sum of all.
OF_WORKER: Sequence[Family] = (
    _counter("bytes_in", "received_bytes", "Bytes that clients have sent; with TLS what was in it."),
    _counter("bytes_out", "sent_bytes", "Bytes that clients were sent; with TLS what was in it."),
    _counter("connections", "connections", "Connections that were accepted."),
    Family(
        "tricorn_idle_connections",
        Kind.GAUGE,
        "Connections that wait for their next request.",
        figures.PLACES["idle_connections"],
    ),
    _counter("websockets", "websockets", "WebSockets that were opened."),
    _counter("http2_connections", "http2_connections", "Connections on which HTTP/2 was begun."),
    _counter("http2_streams", "http2_streams", "Requests that came over HTTP/2, refused ones too."),
    _counter("handshakes", "tls_handshakes", "TLS handshakes, by how they ended.", HANDSHAKES),
    _counter("errors", "errors", "What went wrong, by kind.", ERRORS),
    _counter("cpu", "worker_cpu_seconds", "CPU time of the workers, in user mode and kernel.", divisor=NS),
    _counter("collections", "gc_collections", "Runs of the garbage collector, by generation.", GENERATIONS),
    _histogram(figures.PLACES["pauses"], "gc_pause", "How long the garbage collector held a worker up."),
    _histogram(
        figures.PLACES["loop_lag"], "loop_lag", "How late an event loop was, twice a second or oftener."
    ),
)

#: Of the requests of one route, or of all that are on none.
OF_GROUP: Sequence[Family] = (
    Family(
        "tricorn_requests_total",
        Kind.COUNTER,
        "Requests, when they end, by method and class of status (1xx: WebSockets and other protocols).",
        figures.GROUP_PLACES["requests"],
        (METHODS, STATUSES),
    ),
    _histogram(
        figures.GROUP_PLACES["waiting"],
        "request_waiting",
        "How long complete requests waited for a thread or task.",
    ),
    _histogram(
        figures.GROUP_PLACES["application"],
        "request_application",
        "From the call of the application until its response was complete.",
    ),
    _histogram(
        figures.GROUP_PLACES["sending"],
        "request_sending",
        "From then until the last byte was handed to the kernel: how long slow clients took.",
    ),
    _histogram(
        figures.GROUP_PLACES["whole"],
        "request_duration",
        "From the complete request until its response was sent: the three parts together.",
    ),
    _histogram(
        figures.GROUP_PLACES["queue"],
        "request_queue",
        "From X-Request-Start of a trusted proxy until the application was called.",
    ),
)

#: Words of a group that are not shown as they are.
BEGUN = figures.GROUP_PLACES["begun"]
ENDED = figures.GROUP_PLACES["ended"]

#: The name of the group of all that are on no route, and of those for which there is no place.
NO_ROUTE = ""
OTHERS = "other"


def groups_of(prefixes: Sequence[str]) -> tuple[str, ...]:
    """The names of groups in their order. prefixes: of the routes, in the order in which they are tried."""
    named = figures.GROUPS_MAX - 1
    if len(prefixes) <= named:
        return (NO_ROUTE, *prefixes)
    return (NO_ROUTE, *prefixes[: named - 1], OTHERS)


def words_of(groups: Sequence[str]) -> int:
    """How many words a worker has."""
    return figures.COMMON_WORDS + figures.GROUP_WORDS * len(groups)
