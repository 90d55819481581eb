"""What a request head costs a worker, from the first byte to the response: work in proportion to its bytes.

Of parsers and header policies by themselves, see tests/http/test_cost.py; of heads of HTTP/2,
tests/http2/test_cost.py. Here is what else is made of a head: paths, environs, scopes. The limits are far
beyond the default ones, so that work that is not linear has room to show.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from harness.axes import ONE_OF_EACH
from harness.cases import head
from harness.cost import assert_linear, settled_ns
from harness.server import Server, Servers

LIMITS = (
    "--limit-request-line=0",
    "--limit-request-field-size=0",
    "--limit-request-fields=0",
    "--limit-request-head=4m",
)


def target(value: bytes) -> bytes:
    return head(b"Connection: close", start=b"GET /unread" + value + b" HTTP/1.1")


def fields(*lines: bytes) -> bytes:
    """For a path of which the application records nothing."""
    return head(b"Connection: close", *lines, start=b"GET /seen HTTP/1.1")


HEADS: dict[str, Callable[[int], bytes]] = {
    "a path": lambda n: target(b"a" * n),
    "an escaped path": lambda n: target(b"%41" * (n // 3)),
    "a path of percent signs": lambda n: target(b"%" * n),
    "a path that is not UTF-8": lambda n: target(b"%C3%A9" * (n // 6) + b"%FF"),
    "a query": lambda n: target(b"?" + b"%41" * (n // 3)),
    "a long field": lambda n: fields(b"A: " + b"b" * n),
    "cookies": lambda n: fields(*[b"Cookie: a=b"] * (n // 13)),
    "one name again and again": lambda n: fields(*[b"A: bcd"] * (n // 8)),
    "empty values of one name": lambda n: fields(*[b"A:"] * (n // 4)),
    "two names in turn": lambda n: fields(*[b"A: b", b"C: d"] * (n // 12)),
    "unknown names": lambda n: fields(*[b"N%06d: x" % k for k in range(n // 12)]),
    "names with an underscore": lambda n: fields(*[b"N_%06d: x" % k for k in range(n // 13)]),
    "hosts": lambda n: fields(*[b"X-Forwarded-Host: a"] * (n // 21)),
    "separators in TE": lambda n: fields(b"TE: " + b"," * n),
    "words in TE": lambda n: fields(b"TE: " + b"a;q=1," * (n // 6)),
    "many TE": lambda n: fields(*[b"TE: a"] * (n // 7)),
    "separators in Connection": lambda n: fields(b"Connection: " + b"," * n),
    "separators in Upgrade": lambda n: fields(b"Connection: upgrade", b"Upgrade: " + b"," * n),
    "many Upgrades": lambda n: fields(b"Connection: upgrade", *[b"Upgrade: a"] * (n // 12)),
    "separators in X-Forwarded-For": lambda n: fields(b"X-Forwarded-For: " + b"," * n),
    "separators in Forwarded": lambda n: fields(b"Forwarded: " + b";" * n),
    "a prefix": lambda n: fields(b"X-Forwarded-Prefix: " + b"/a" * (n // 2)),
    "SCRIPT_NAME": lambda n: fields(b"SCRIPT_NAME: " + b"/a" * (n // 2)),
    "many SCRIPT_NAMEs": lambda n: fields(*[b"SCRIPT_NAME: /a"] * (n // 17)),
}


@pytest.fixture
def wide(servers: Servers, kind: str) -> Server:
    server = servers.get(*LIMITS, kind=kind)
    server.seen()
    return server


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("name", HEADS)
def test_work_is_linear(wide: Server, name: str) -> None:
    build = cache(HEADS[name])
    assert wide.worker_pid is not None
    pid = wide.worker_pid

    def cost(n: int) -> float:
        head = build(n)
        before = settled_ns(pid)
        with wide.connect() as client:
            client.send(head)
            assert client.response().status in {200, 400, 431}
        return (settled_ns(pid) - before) / 1e9

    assert_linear(cost, 100_000, 300e-9)
    wide.seen()
