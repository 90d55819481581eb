"""The axes of the suite: what one test body runs on. They are declared here and nowhere else.

A test gets a value of an axis by naming the axis as an argument, or through a fixture that does so:

    def test_head(servers: Servers, kind: str) -> None:     # every kind of worker and, because of `servers`,
        response = get(servers.get(kind=kind), "/")         # every wire

`@pytest.mark.parametrize("kind", ONE_OF_EACH)` restricts it to some values.

`make test-all` runs the whole product. `make test` runs as much of it as it takes that each pair of values of
two axes appears. Whatever else a test is parametrised by counts there too, each `parametrize` as one more
axis: each case meets each value of each axis, but not all of their combinations. Where cases take long
(costly.py) each runs once, and once for each interface, on the other axes by turns. `make test-sample` runs a
part of what that leaves out. How they choose: harness/combinations.py.

A test that does not ask for a wire has the usual one, `USUAL_WIRE`. `make test-tls` runs these over TLS.

A new value is one line in a table below. What makes it real takes it from there:

    kind        `Server` starts with its options
    wire        `Server` starts with its options, and `Server.connect` wraps the socket; fixture `servers`.
                Those of HTTP/2 are there where it was built
    delivery    `pieces` in cases.py has a way of cutting of that name

A new axis is one line in `AXES`, and one in tests/conftest.py, which makes a fixture of it.

Knows: names, and how the server is told of them. Must not know: processes, pytest.
"""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from harness import packets, tls
from harness.http2 import face


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
    wrap: makes of a connected socket the client's end of it, which takes and gives HTTP/1 messages whatever
        they travel as; None: that is the socket itself.
    multiplexed: requests travel as streams, side by side, so the end of one is not the end of the connection.
    shared: it is a value of the axis. Else each request has a connection of its own, and tests name it.
    """

    options: tuple[str, ...] = ()
    scheme: str = ""
    url_scheme: str = "http"
    wrap: Callable[[socket.socket], Any] | None = None
    multiplexed: bool = False
    shared: bool = True

    @property
    def protocol(self) -> str:
        """As logs, and CGI, say it."""
        return "HTTP/2.0" if self.multiplexed else "HTTP/1.1"


KINDS: dict[str, Kind] = {
    "sync": Kind(("--worker-class", "sync")),
    "gthread": Kind(("--worker-class", "gthread", "--threads", "4")),
    "asgi": Kind(("--worker-class", "asgi"), interface="asgi", early=True),
    "tornado": Kind(("--worker-class", "tornado"), interface="tornado", early=True, shared=False, rare=True),
    "gevent": Kind(("--worker-class", "gevent"), rare=True),
    "eventlet": Kind(("--worker-class", "eventlet"), rare=True),
}

#: What `make test` takes of kinds that are rare, by the beginning of its name below tests/: there each of
#: them meets each value of the other axes, but not each case. Their servers take longest to start, and all
#: but the way in which an application waits is code that other kinds run too.
OFTEN = (
    "conformance/test_framing.py",
    "integration/test_foreign_handlers.py::test_each_of_our_signals",
    "integration/test_green.py",
    "integration/test_heavy.py::test_every_kind",
    "integration/test_inheritance.py::test_a_program_starts",
    "integration/test_patched.py::test_an_application_that_was_imported",
    "integration/test_standard_streams.py::test_an_application_can_print[gevent",
    "integration/test_standard_streams.py::test_an_application_can_print[tornado",
    "http2/test_many_at_once.py::test_answers_do_not_mix",
    "http2/test_many_at_once.py::test_a_reset_in_the_middle",
)

#: Whether the server was built with it, which it is where libnghttp2 was found.
HAS_HTTP_2 = find_spec("tricorn.transport.http2") is not None
_HTTP_2 = ("--http-protocols=h2,h1", "--http2-cleartext=anyone")
# By the kernel where it can: `make ktls` runs them on one that does.
_TLS = ("--certfile", str(tls.CERTIFICATE), "--kernel-tls=auto")

WIRES: dict[str, Wire] = {
    "plain": Wire(),
    "tls": Wire(_TLS, "https://", "https", tls.wrap),
    "uwsgi": Wire(scheme="uwsgi://", wrap=packets.Gateway, shared=False),
}
if HAS_HTTP_2:
    WIRES |= {
        "h2c": Wire(_HTTP_2, wrap=face.over_plain, multiplexed=True),
        "h2": Wire((*_TLS, *_HTTP_2), "https://", "https", face.over_tls, multiplexed=True),
    }
#: A server that speaks HTTP/2 speaks HTTP/1 on the same port: `Servers` shares it between two wires.
SHARED = {"plain": "h2c", "tls": "h2"} if HAS_HTTP_2 else {}
#: Those that say HTTP/1 as it is written.
HTTP_1 = tuple(name for name, wire in WIRES.items() if wire.shared and not wire.multiplexed)
PLAIN = ("plain",)
#: Of tests that do not say which. With another one than "plain" only they run.
USUAL_WIRE = os.environ.get("TRICORN_TEST_WIRE", "plain")

#: What runs over some wires only, by the beginning of its name below tests/, and why. The usual wire is no
#: exception.
NARROW: dict[str, tuple[tuple[str, ...], str]] = {
    **{
        f"conformance/test_{name}.py": (HTTP_1, "it is about how HTTP/1 is written")
        for name in ("request_line", "framing", "cost", "connection")
    },
    "conformance/test_fields.py::test_obs_fold": (HTTP_1, "streams have no lines"),
    "conformance/test_bodies.py::test_chunk": (HTTP_1, "streams have no chunks"),
    "conformance/test_bodies.py::test_broken_chunks": (HTTP_1, "streams have no chunks"),
    "conformance/test_bodies.py::test_a_cut_body": (
        HTTP_1,
        "a cut is a reset there, whichever byte of a chunk it comes behind: http2/test_many_at_once.py",
    ),
    "conformance/test_bodies.py::test_a_long_unread_body": (
        HTTP_1,
        "no request stands behind another's body",
    ),
    "conformance/test_expect.py::test_100_is_not_sent_when_the_application": (
        HTTP_1,
        "no request stands behind another's body",
    ),
    "conformance/test_limits.py::test_zero_switches": (HTTP_1, "heads are counted in another way there"),
    "conformance/test_limits.py::test_what_never_ends": (HTTP_1, "http2/test_abuse.py has its own"),
    "conformance/test_limits.py::test_a_chunk_size": (HTTP_1, "streams have no chunks"),
    "conformance/test_limits.py::test_the_limit_holds": (HTTP_1, "no request stands behind a refused one"),
    "conformance/test_limits.py::test_who_sends_a_refused": (HTTP_1, "a refused stream gets no more credit"),
    "conformance/test_responses.py::test_a_refusal": (HTTP_1, "it is a broken line that is refused"),
    "conformance/test_responses.py::test_a_reason": (HTTP_1, "streams have none"),
    "conformance/test_responses.py::test_the_application_may_close": (
        HTTP_1,
        "a stream is not the connection",
    ),
    "conformance/test_trust.py::test_forwarder_headers_are": (
        HTTP_1,
        "no request stands behind a refused one",
    ),
    "conformance/test_responses.py::test_http10": (HTTP_1, "it is about HTTP/1.0"),
    "conformance/test_responses.py::test_an_http10": (HTTP_1, "it is about HTTP/1.0"),
    "conformance/test_responses.py::test_server_can_be_turned_off": (HTTP_1, "it refuses a broken line"),
    "faults/": (HTTP_1, "its clients count system calls that HTTP/1 makes"),
    "integration/test_asgi_messages.py::test_a_body_that_breaks_off": (
        HTTP_1,
        "a cut is a reset there, and needs no answer: http2/test_many_at_once.py",
    ),
    "integration/test_asgi_clock.py::test_a_response_before": (
        HTTP_1,
        "there it has left before the block, so its client was idle meanwhile",
    ),
    "integration/test_asgi_edges.py::test_a_task_is_cancelled_once": (HTTP_1, "half a connection is closed"),
    "integration/test_asgi_log.py::test_so_for_a_body": (HTTP_1, "half a connection is closed"),
    "integration/test_asgi_scope.py::test_the_end_of": (HTTP_1, "a body need not be there with its head"),
    "integration/test_asgi_scope.py::test_trailers_are_offered": (HTTP_1, "HTTP/1.0 is among it"),
    "integration/test_asgi_scope.py::test_what_is_offered": (HTTP_1, "HTTP/1.0 is among it"),
    **{
        f"integration/test_asgi_tasks.py::test_a_{name}": (HTTP_1, "pieces may travel together there")
        for name in ("stream_that_ends_stops", "client_that_leaves_stops")
    },
    "integration/test_asgi_messages.py::test_trailers[": (HTTP_1, "pieces may travel together there"),
    "integration/test_asgi_messages.py::test_pipelined": (HTTP_1, "streams do not wait for each other"),
    "integration/test_asgi_messages.py::test_half_closed": (HTTP_1, "a client that has ended has left"),
    "integration/test_time_limits.py::test_a_stalled_head": (
        HTTP_1,
        "half a frame is not answered: http2/test_abuse.py",
    ),
    "integration/test_time_limits.py::test_a_trickled_head": (
        HTTP_1,
        "half a frame is not answered: http2/test_abuse.py",
    ),
    "integration/test_time_limits.py::test_refusals_are": (HTTP_1, "it is broken lines that are refused"),
    "integration/test_time_limits.py::test_silent_and_stalled": (HTTP_1, "half a head is among them"),
    "integration/test_time_limits.py::test_requests_wait": (HTTP_1, "streams do not wait for each other"),
    "integration/test_asgi_edges.py::test_a_handshake_with": (
        HTTP_1,
        "it has no body there, but the session",
    ),
    **{
        f"integration/test_tornado.py::test_{name}": (HTTP_1, "Tornado takes the connection for itself there")
        for name in ("a_websocket", "a_compressed_w", "an_error_in_a_w", "a_detached", "websockets_and")
    },
    "integration/test_tornado.py::test_a_streamed_body_that_is_cut": (
        HTTP_1,
        "a request that is taken back at once need not begin",
    ),
    "integration/test_client_socket.py": (HTTP_1, "a stream is no connection that could be given away"),
    **{
        f"integration/test_websocket_handshake.py::test_{name}": (HTTP_1, why)
        for name, why in {
            "words_compare": "streams have no Upgrade",
            "a_key_that_is": "nor a key",
            "a_post_is": "the method is always CONNECT there",
            "another_upgrade": "streams have no Upgrade",
            "what_follows_a": "no request stands behind a refused one",
            "a_wsgi_worker": "http2/test_extended_connect.py has its own",
        }.items()
    },
    "conformance/test_proxy_protocol.py": (
        PLAIN,
        "a PROXY header comes before TLS, and here each is sent as the first bytes of a message; "
        "integration/test_tls.py sends it in front",
    ),
    "integration/test_asgi_clock.py::test_the_next_request": (
        PLAIN,
        "150 handshakes in a row take longer than the time limits that it is about",
    ),
    "integration/test_asgi_edges.py::test_requests_that_wait_behind_a_large_response_keep_their_order": (
        PLAIN,
        "its client sends in one thread what it reads the answers of in another, which an SSLObject cannot",
    ),
    "integration/test_asgi_hostile.py::test_an_allocation_that_fails": (
        PLAIN,
        "one that fails inside OpenSSL ends the connection, which the application hears of afterwards",
    ),
    "integration/test_autoscaling.py::test_up_and_down_without": (
        PLAIN,
        "its clients keep three workers busy, which they cannot with a handshake for each request",
    ),
    "integration/test_time_limits.py::test_what_has_come_by_the_end": (
        PLAIN,
        "a PROXY header comes before TLS, and is one of the messages that are cut",
    ),
    "integration/test_control.py::test_there_are_no_certificates": (PLAIN, "over TLS there are"),
    **{
        f"integration/test_even_load.py::test_{name}": (
            PLAIN,
            "what a connection is secured with is in one process, so it is not passed on",
        )
        for name in ("a_kept_connection_goes_on", "what_a_proxy", "a_worker_that_dies", "what_nobody_takes")
    },
    **{
        f"integration/{name}": (
            PLAIN,
            "at a stop a handshake has three seconds, and many clients in one process may take longer",
        )
        for name in (
            "test_lifecycle.py::test_a_long_backlog_is_served_at_a_stop",
            "test_own_queues.py::test_a_backlog_is_served_at_a_stop",
        )
    },
    "integration/test_lifecycle.py::test_ten_thousand_idle_connections": (
        PLAIN,
        "it is about our memory; OpenSSL takes 15 KB for each connection",
    ),
    "integration/test_websocket_life.py::test_idle_sockets_cost_little": (
        PLAIN,
        "it is about our memory; OpenSSL takes 15 KB for each connection",
    ),
}

#: What each means stands at the top of cases.py.
DELIVERIES = ("whole", "bytes", "cuts", "trailing")

AXES: dict[str, tuple[str, ...]] = {
    "kind": tuple(name for name, kind in KINDS.items() if kind.shared),
    "wire": (*HTTP_1, "http2") if HAS_HTTP_2 else HTTP_1,
    "delivery": DELIVERIES,
}

#: A value that stands for either of several, which differ in what has tests of its own. Which of them a test
#: gets is said by its name: half of the cases run on each.
EITHER: dict[str, tuple[str, ...]] = {"http2": ("h2c", "h2")}


def resolved(value: str, name: str) -> str:
    """What a test of that name gets for a value of an axis."""
    among = EITHER.get(value, (value,))
    return among[zlib.crc32(name.encode()) % len(among)]


#: The kinds whose applications have an interface.
KINDS_OF = {
    interface: [name for name, kind in KINDS.items() if kind.interface == interface]
    for interface in ("wsgi", "asgi")
}

#: Where `make test` runs each test over HTTP/2, but not each of its cases, by the beginning of the name below
#: tests/: they are about what is the same code on every wire, and would be so many tests more.
FEW_OVER_HTTP_2 = ("conformance/test_responses.py", "integration/")

#: Those that are not rare.
FREQUENT = [name for name, kind in KINDS.items() if kind.shared and not kind.rare]
#: Those of green threads.
GREEN = [name for name, kind in KINDS.items() if kind.shared and kind.rare]
#: Also those that the shared tests leave out: for what a process does, whoever serves in it.
EVERY_KIND = list(KINDS)
#: The first kind of each interface: for what does not depend on threads.
ONE_OF_EACH = [kinds[0] for kinds in KINDS_OF.values()]
