"""Figures as text: both formats, as others' parsers read them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from tricorn.metrics.exposition import OPEN, PLAIN, rendered

NASTY = 'a "b"\\c\nd \udcff é'
FAMILIES: list[dict[str, Any]] = [
    {
        "name": "tricorn_things_total",
        "type": "counter",
        "help": 'What "x" is\nfor.',
        "samples": [({"kind": NASTY}, 3), ({"kind": ""}, 1.5)],
    },
    {"name": "tricorn_some_bytes", "type": "gauge", "help": "G.", "samples": [({}, 1 << 40)]},
    {"name": "tricorn_info", "type": "gauge", "help": "I.", "samples": [({"version": "1"}, 1)]},
    {
        "name": "tricorn_time_seconds",
        "type": "histogram",
        "help": "H.",
        "bounds": [0.000032, 0.5, 1.0],
        "samples": [({"route": "/a"}, [1, 2, 0, 4], 7.25)],
    },
]


@pytest.mark.parametrize(
    ("accept", "parse"), [("", plain_families), (OPEN, open_families)], ids=["plain", "open"]
)
def test_a_parser_reads_it(accept: str, parse: Any) -> None:
    body, media = rendered(FAMILIES, accept)
    assert media == (OPEN if accept else PLAIN)
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(body.decode("utf-8"))
        for sample in family.samples
    }
    assert samples == {
        ("tricorn_things_total", ("kind", NASTY.replace("\udcff", "?"))): 3,
        ("tricorn_things_total", ("kind", "")): 1.5,
        ("tricorn_some_bytes",): 1 << 40,
        ("tricorn_info", ("version", "1")): 1,
        ("tricorn_time_seconds_bucket", ("le", "0.000032"), ("route", "/a")): 1,
        ("tricorn_time_seconds_bucket", ("le", "0.5"), ("route", "/a")): 3,
        ("tricorn_time_seconds_bucket", ("le", "1.0"), ("route", "/a")): 3,
        ("tricorn_time_seconds_bucket", ("le", "+Inf"), ("route", "/a")): 7,
        ("tricorn_time_seconds_count", ("route", "/a")): 7,
        ("tricorn_time_seconds_sum", ("route", "/a")): 7.25,
    }


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=0.0.4;q=0.4,*/*;q=0.3"
)


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text; q=x", False),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.2", False),
        ("APPLICATION/OpenMetrics-Text", True),
        (PROMETHEUS, True),
    ],
)
def test_the_format_is_the_clients_choice(accept: str, is_open: bool) -> None:
    body, media = rendered(FAMILIES, accept)
    assert media == (OPEN if is_open else PLAIN)
    assert body.endswith(b"# EOF\n") == is_open


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_exemplars_stand_behind_their_buckets() -> None:
    """In the format that has a place for them."""
    family: dict[str, Any] = {**FAMILIES[-1], "samples": [*FAMILIES[-1]["samples"], [{}, [1, 0, 0, 1], 2.0]]}
    ids = {"trace_id": TRACE, "span_id": SPAN}
    family["exemplars"] = [[(1, ids, 0.25, 1764257262.1142), (3, {"trace_id": NASTY}, 3.5, 1764257000.0)], []]
    (read,) = open_families(rendered([family], OPEN)[0].decode())
    found = {
        (sample.labels["le"], sample.labels.get("route")): (each.labels, each.value, float(each.timestamp))
        for sample in read.samples
        if (each := sample.exemplar) is not None
    }
    assert found == {
        ("0.5", "/a"): (ids, 0.25, 1764257262.114),
        ("+Inf", "/a"): ({"trace_id": NASTY.replace("\udcff", "?")}, 3.5, 1764257000.0),
    }
    plain = rendered([family])[0].decode()
    assert list(plain_families(plain))
    assert TRACE not in plain
