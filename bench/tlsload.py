"""Running `tlsload.c`: TLS handshakes, each with one request after it."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from bench import load, openload, paths
from bench.scenarios import Handshake, Scenario
from bench.wrk import WrkResult

RESUMED = 0.99  # of the handshakes of a server that resumes; one whose ticket came too late may be a full one


def connected(scenario: Scenario, port: int) -> AbstractContextManager[Callable[[float], WrkResult]]:
    """What it gives makes handshakes for so many seconds. The first tickets are there already."""
    payload = paths.WORK / f"request-{scenario.name}"
    payload.write_bytes(openload.request(scenario))
    return load.connected(paths.TLSLOAD, port, scenario.connections, scenario.handshake, payload)


def objection(scenario: Scenario, result: WrkResult) -> str:
    """Why the result is not one of this scenario: sessions should have been resumed, and were not."""
    if scenario.handshake is not Handshake.RESUMED or result.resumed >= RESUMED * result.requests:
        return ""
    return f"resumed {result.resumed:,} of {result.requests:,} sessions"
