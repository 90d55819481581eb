"""What is told of a slow request: whose time it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tricorn.tracing.trace import SlowRequest
from tricorn.workers.slow import told

SECOND = 10**9


def slow(**more: Any) -> SlowRequest:
    """Instants in seconds."""
    made: dict[str, Any] = {"number": 1, "method": "GET", "uri": "/a", "request_id": None, "status": "200 OK"}
    made |= {"group": 0, "version": 11, "body_sent": 9, "left": False, "stacks": [(2 * SECOND, "there")]}
    instants = {"head_ns": 1.0, "queued_ns": 0, "begun_ns": 1.0, "ended_ns": 0, "sent_ns": 0, "asked_ns": 0}
    instants |= {"client_sends_ns": 0, "client_reads_ns": 0}
    made |= {
        name: int(value * SECOND) for name, value in {**instants, **more}.items() if name.endswith("_ns")
    }
    made |= {name: value for name, value in more.items() if not name.endswith("_ns")}
    return cast(SlowRequest, SimpleNamespace(**made))


PARTS = ("client_sends", "waiting", "application", "client_reads")


@pytest.mark.parametrize(
    ("instants", "parts", "whose"),
    [
        ({"ended_ns": 4, "sent_ns": 4.5}, (0, 0, 3, 0.5), "application"),
        ({"ended_ns": 1.5, "sent_ns": 4.5}, (0, 0, 0.5, 3), "client"),
        ({"queued_ns": 2, "begun_ns": 5, "ended_ns": 5.5, "sent_ns": 6}, (1, 3, 0.5, 0.5), "server"),
        # a body that is collected first, and one that the application waits for
        ({"begun_ns": 5, "ended_ns": 6, "sent_ns": 6}, (4, 0, 1, 0), "client"),
        ({"ended_ns": 6, "sent_ns": 6, "client_sends_ns": 4}, (4, 0, 1, 0), "client"),
        ({"ended_ns": 6, "sent_ns": 6, "client_reads_ns": 4}, (0, 0, 1, 4), "client"),
        # no more than there was
        ({"ended_ns": 2, "sent_ns": 2, "client_sends_ns": 9, "client_reads_ns": 9}, (1, 0, 0, 0), "client"),
        # never begun: refused, or given up
        ({"queued_ns": 1, "begun_ns": 0, "ended_ns": 4, "sent_ns": 4}, (0, 3, 0, 0), "server"),
        # it goes on
        ({"asked_ns": 4}, (0, 0, 3, 0), "application"),
    ],
    ids=str,
)
def test_whose_time_it_was(instants: dict[str, float], parts: tuple[float, ...], whose: str) -> None:
    found = told(slow(**instants), None, 0.0)
    assert tuple(found[part] for part in PARTS) == parts
    assert found["slow"] == whose
    assert found["is_over"] == ("sent_ns" in instants)
    assert found["seconds"] == (instants.get("sent_ns") or instants["asked_ns"]) - 1


def test_the_rest() -> None:
    one = slow(uri="/a/b?token=s3cret", sent_ns=4, ended_ns=4, request_id="id-1", left=True, status=None)
    found = told(one, "/a", 1000.0)
    assert (found["path"], found["route"], found["id"], found["status"]) == ("/a/b", "/a", "id-1", None)
    assert (found["time"], found["sent"], found["http"], found["has_left"]) == (1001.0, 9, 11, True)
    assert found["stacks"] == [{"after": 2.0, "stack": "there"}]
    assert "s3cret" not in str(found)
    assert len(told(slow(uri="/" * 9999, sent_ns=4), None, 0.0)["path"]) == 500
    assert told(slow(uri="http://name/a?token=s3cret", sent_ns=4), None, 0.0)["path"] == "/a"
