"""What settings say to the transport reaches it: each of them, in the units that it counts in."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from harness.server import Server

from tricorn.config.declaration import Core
from tricorn.config.parsers import LARGEST, seconds
from tricorn.config.settings import SETTINGS, Settings
from tricorn.handover import Assignment
from tricorn.records import replace
from tricorn.scoreboard import Board
from tricorn.transport.worker_context import Terms, WorkerContext
from tricorn.workers.context import filled, header_policy, worker_context

#: Settings that fill a part of the core → the parsed example of each, which is not its default.
EXAMPLES: dict[Core, dict[str, Any]] = {
    core: {
        name: declared.kind.parse(declared.kind.example)
        for name, declared in SETTINGS.items()
        if declared.fills is not None and declared.fills[0] is core
    }
    for core in Core
}


def service(**values: Any) -> WorkerContext:
    settings = Settings(**values)
    assignment = Assignment(settings, [], Board(1, 1)[0], -1, lambda: None, print, sys.exit)
    return worker_context(assignment, None, header_policy(settings), settings.request_timeout or 0)


def test_each_setting_reaches_the_terms() -> None:
    made = service(**EXAMPLES[Core.TERMS])
    for name, value in EXAMPLES[Core.TERMS].items():
        declared = SETTINGS[name]
        assert declared.fills is not None
        expected = declared.kind.to_core(value)
        assert expected != declared.kind.to_core(declared.default) or declared.kind.is_switch, name
        assert getattr(made, declared.fills[1]) == expected, name


def test_each_setting_reaches_the_limits() -> None:
    limits = service(**EXAMPLES[Core.LIMITS]).limits
    for name, value in EXAMPLES[Core.LIMITS].items():
        declared = SETTINGS[name]
        assert declared.fills is not None
        assert value != declared.default, name
        assert getattr(limits, declared.fills[1]) == value, name


@pytest.mark.parametrize("name", [name for name, each in SETTINGS.items() if each.kind.is_switch])
def test_a_switch_reaches_the_terms(name: str) -> None:
    fills = SETTINGS[name].fills
    if fills is not None:
        assert [getattr(service(**{name: value}), fills[1]) for value in (True, False)] == [True, False]


def test_settings_that_have_to_be_handed_over() -> None:
    """The tests above would pass on declarations that fill nothing."""
    assert {"keepalive", "sendfile", "max_requests", "request_timeout"} <= EXAMPLES[Core.TERMS].keys()
    filling = [declared.fills for declared in SETTINGS.values() if declared.fills is not None]
    assert len(set(filling)) == len(filling)
    assert [name for name in SETTINGS if name.startswith("limit_request_")] == list(EXAMPLES[Core.LIMITS])


def test_times_are_nanoseconds() -> None:
    made = service(keepalive=0.25, header_timeout=0.0, body_timeout=1e-12, write_timeout=sys.float_info.max)
    times = [made.keepalive, made.header_timeout, made.body_timeout, made.write_timeout]
    assert times == [250_000_000, 0, 1, LARGEST]
    assert seconds().to_core(1e-9) == 1


def test_terms_are_all_or_none() -> None:
    terms = filled(replace(Settings(), request_timeout=1.0), Core.TERMS)
    Terms(terms)
    for name in terms:
        some = {other: value for other, value in terms.items() if other != name}
        with pytest.raises(TypeError, match=f"missing or unknown: {name}$"):
            Terms(some)
    for unknown in ("keepalives", "draining", "__doc__"):
        with pytest.raises(TypeError, match=f"missing or unknown: {unknown}$"):
            Terms({**terms, unknown: 1})


def test_terms_keep_their_types() -> None:
    terms = filled(replace(Settings(), request_timeout=1.0), Core.TERMS)
    for name, wrong in (("keepalive", "5"), ("server_header", 5), ("max_connections", None)):
        with pytest.raises(TypeError):
            Terms({**terms, name: wrong})


def test_jitter_is_added_to_max_requests() -> None:
    found = {service(max_requests=10, max_requests_jitter=2).max_requests for _ in range(100)}
    assert found == {10, 11, 12}
    assert service(max_requests_jitter=5).max_requests == 0


#: Values that are far beyond any limit that somebody would notice, and so switch it off.
HUGE = {
    "--keep-alive": "999999999999999",
    "--header-timeout": "999999999999",
    "--body-timeout": "99999999999",
    "--write-timeout": "9999999999999",
    "--request-timeout": "999999999999999",
    "--worker-connections": "3000000000",
    "--max-requests": "999999999999999999",
    "--min-body-rate": "1",
    "--limit-body-drain": "999999999g",
    "--asgi-lifespan-shutdown-timeout": "999999999999999",
}


@pytest.mark.parametrize("kind", ["sync", "asgi"])
def test_huge_values_are_no_limit(kind: str) -> None:
    server = Server("echo:app", [f"{name}={value}" for name, value in HUGE.items()], kind=kind).start()
    try:
        with server.connect(timeout=10) as client:
            for _ in range(2):
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
                assert client.response().status == 200
        server.terminate()
        assert server.process is not None
        assert server.process.wait(15) == 0
        assert "ERROR" not in server.log()
    finally:
        server.kill()
