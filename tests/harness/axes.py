"""The axes of the suite: what one test body runs on. They are declared here and nowhere else.

A test gets a value of an axis by naming the axis as an argument, or through a fixture that does so:

    def test_head(servers: Servers, kind: str) -> None:     # every kind of worker and, because of `servers`,
        response = get(servers.get(kind=kind), "/")         # every wire

`@pytest.mark.parametrize("kind", ONE_OF_EACH)` restricts it to some values.

`make test-all` runs the whole product. `make test` runs as much of it as it takes that each pair of values of
two axes appears. Whatever else a test is parametrised by counts there too, each `parametrize` as one more
axis: each case meets each value of each axis, but not all of their combinations. `make test-sample` runs a
part of what that leaves out. How they choose: harness/combinations.py.

A new value is one line in a table below. What makes it real takes it from there:

    kind        `Server` starts with its options
    wire        `Server` starts with its options, and `Server.connect` wraps the socket; fixture `servers`
    delivery    `pieces` in cases.py has a way of cutting of that name

A new axis is one line in `AXES`, and one in tests/conftest.py, which makes a fixture of it.

Knows: names, and how the server is told of them. Must not know: processes, pytest.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness import tls


@dataclass(frozen=True)
class Kind:
    """What the tests have to know about a kind of worker.

    options: select it on the command line.
    interface: of its applications, "wsgi" or "asgi".
    early: it calls the application before it has the body. So an application hears of a request whose body is
        broken, cut or too long: it is told that the client is gone, and is never given a body that ends well.
    shared: the shared tests run with it. Else it has what others have been tested with (a transport, a
        protocol), and tests of its own for the rest.
    rare: `make test` takes little of it, see `OFTEN`.
    """

    options: tuple[str, ...]
    interface: str = "wsgi"
    early: bool = False
    shared: bool = True
    rare: bool = False


@dataclass(frozen=True)
class Wire:
    """How bytes travel between client and server.

    options: of the server.
    scheme: in front of the address in `--bind`.
    url_scheme: what applications are told.
    wrap: makes of a connected socket the client's end of it; None: that is the socket itself.
    """

    options: tuple[str, ...] = ()
    scheme: str = ""
    url_scheme: str = "http"
    wrap: Callable[[socket.socket], Any] | None = None


KINDS: dict[str, Kind] = {
    "sync": Kind(("--worker-class", "sync")),
    "gthread": Kind(("--worker-class", "gthread", "--threads", "4")),
    "asgi": Kind(("--worker-class", "asgi"), interface="asgi", early=True),
    "tornado": Kind(("--worker-class", "tornado"), interface="tornado", early=True, shared=False),
    "gevent": Kind(("--worker-class", "gevent"), rare=True),
    "eventlet": Kind(("--worker-class", "eventlet"), rare=True),
}

#: What `make test` takes of kinds that are rare, by the beginning of its name below tests/: there each of
#: them meets each value of the other axes, but not each case. Their servers take longest to start, and all
#: but the way in which an application waits is code that other kinds run too.
OFTEN = ("conformance/test_framing.py", "integration/test_green.py")

WIRES: dict[str, Wire] = {
    "plain": Wire(),
    # By the kernel where it can: `make ktls` runs them on one that does.
    "tls": Wire(("--certfile", str(tls.CERTIFICATE), "--kernel-tls=auto"), "https://", "https", tls.wrap),
}

#: What runs over one wire only, by the beginning of its name below tests/, and why.
ONE_WIRE: dict[str, tuple[str, str]] = {
    "conformance/test_proxy_protocol.py": (
        "plain",
        "a PROXY header comes before TLS, and here each is sent as the first bytes of a message; "
        "integration/test_tls.py sends it in front",
    ),
    "integration/test_asgi_clock.py::test_the_next_request": (
        "plain",
        "150 handshakes in a row take longer than the time limits that it is about",
    ),
    "integration/test_asgi_edges.py::test_requests_that_wait_behind_a_large_response_keep_their_order": (
        "plain",
        "its client sends in one thread what it reads the answers of in another, which an SSLObject cannot",
    ),
    "integration/test_asgi_hostile.py::test_an_allocation_that_fails": (
        "plain",
        "one that fails inside OpenSSL ends the connection, which the application hears of afterwards",
    ),
    "integration/test_websocket_life.py::test_idle_sockets_cost_little": (
        "plain",
        "it is about our memory; OpenSSL takes 15 KB for each connection",
    ),
}

#: What each means stands at the top of cases.py.
DELIVERIES = ("whole", "bytes", "cuts", "trailing")

AXES: dict[str, tuple[str, ...]] = {
    "kind": tuple(name for name, kind in KINDS.items() if kind.shared),
    "wire": tuple(WIRES),
    "delivery": DELIVERIES,
}

#: The kinds whose applications have an interface.
KINDS_OF = {
    interface: [name for name, kind in KINDS.items() if kind.interface == interface]
    for interface in ("wsgi", "asgi")
}
#: Where rare kinds do not run, by the beginning of the name below tests/. What the libraries themselves have
#: and do there (descriptors of a hub in a process that a request forks, modules that are imported late)
#: has not been told from what would be ours.
NOT_OF_RARE = ("integration/test_hostile_import.py", "integration/test_inheritance.py")

#: Those that are not rare: for what meddles with the system calls of a worker. A hub has its own.
FREQUENT = [name for name, kind in KINDS.items() if kind.shared and not kind.rare]
#: The first kind of each interface: for what does not depend on threads.
ONE_OF_EACH = [kinds[0] for kinds in KINDS_OF.values()]
