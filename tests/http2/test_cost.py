"""What a request head of HTTP/2 costs a worker, from the first byte to the response: work in proportion to
its bytes, although a byte may stand for a field.

Of frames and field blocks by themselves, see tests/http/test_cost.py; of what is made of a head whichever way
it came, tests/conformance/test_cost.py. The limits are far beyond the default ones, so that work that is not
linear has room to show. In a block of 100 KB are as many CONTINUATION frames as are let pass.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.axes import ONE_OF_EACH
from harness.cost import assert_linear, settled_ns
from harness.http2.frames import SMALLEST_MAX_FRAME, block, in_pieces, literal, text
from harness.server import Server, Servers
from http2.cases import opened

LIMITS = (
    "--limit-request-line=0",
    "--limit-request-field-size=0",
    "--limit-request-fields=0",
    "--limit-request-head=8m",
    "--http2-max-header-list-size=8m",
)
#: Of a block: the smaller of two measurements.
SIZE = 50_000
#: The field that went into the table last (RFC 7541 §6.1).
LAST = b"\xbe"
#: One that goes into the table, with the name of the 32nd there (§6.2.1).
COOKIE = b"\x60" + text(b"a=b")

BLOCKS: dict[str, Callable[[int], bytes]] = {
    "many fields": lambda n: literal(b"a", b"bcd") * (n // 7),
    "a field of the table again and again": lambda n: b"\x40" + text(b"a") + text(b"") + LAST * n,
    "cookie crumbs of the table": lambda n: COOKIE + LAST * n,
}


def head(fields: bytes) -> bytes:
    """For a path of which the application records nothing."""
    pseudo = block((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/seen"), (b":authority", b"a"))
    return b"".join(in_pieces(1, pseudo + fields, SMALLEST_MAX_FRAME, end=True))


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("name", BLOCKS)
def test_work_is_linear(running_servers: Servers, kind: str, name: str) -> None:
    server: Server = running_servers.on("h2c").get(*LIMITS, kind=kind)
    server.seen()
    built = {n: head(BLOCKS[name](n)) for n in (SIZE // 2, SIZE, 2 * SIZE)}
    assert server.worker_pid is not None
    pid = server.worker_pid

    def cost(n: int) -> float:
        before = settled_ns(pid)
        with opened(server) as connection:
            connection.send(built[n])
            assert connection.answer(1).status == 200
        return (settled_ns(pid) - before) / 1e9

    # A field of the table is a byte here, and a name and a value to the worker and its application.
    assert_linear(cost, SIZE, 2e-6 if "table" in name else 300e-9)
    server.seen()
