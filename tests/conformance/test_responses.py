"""RFC 9110 §6, §8.6, §15 and RFC 9112 §4, §6, §7: what the server makes of an application's answer.

The application is `tests/apps/misbehave.py`, or its twin for ASGI. Whatever it does, the client gets one
well-formed response, or one that it can tell to be incomplete, and nothing that the application did not
want to be seen.
"""

from __future__ import annotations

import email.utils
import re
import time

import asgi_misbehave
import misbehave
import pytest
from harness.axes import AXES, KINDS, KINDS_OF, ONE_OF_EACH
from harness.cases import NEXT, SMUGGLED, head
from harness.client import Client, Response
from harness.server import BOOT_DEADLINE, Server, Servers, wait_for
from misbehave import BAD_LENGTH, GOOD_FIELD, SECRET

HIDDEN = SECRET.encode()
APPLICATIONS = {"wsgi": misbehave, "asgi": asgi_misbehave}


def each_name(table: str) -> pytest.MarkDecorator:
    """Parametrise by `kind` and by `name`, which stands in this table of the kind's application."""
    return pytest.mark.parametrize(
        ("kind", "name"),
        [
            (name, entry)
            for name in AXES["kind"]
            for entry in getattr(APPLICATIONS[KINDS[name].interface], table)
        ],
    )


def each_path(*paths: str) -> pytest.MarkDecorator:
    """Parametrise by `kind` and by those of these `path`s that the kind's application has."""
    return pytest.mark.parametrize(
        ("kind", "path"),
        [
            (name, path)
            for name in AXES["kind"]
            for path in paths
            if path in APPLICATIONS[KINDS[name].interface].PAGES
        ],
    )


def test_every_page_has_a_twin_or_a_reason() -> None:
    """What ASGI's application leaves out of WSGI's is listed, and nothing is listed that it has."""
    absent = [path for path in misbehave.PAGES if path not in asgi_misbehave.PAGES]
    reasons = tuple(asgi_misbehave.NO_TWIN)
    assert [path for path in absent if not path.startswith(reasons)] == []
    assert [reason for reason in reasons if not any(path.startswith(reason) for path in absent)] == []


def ask(client: Client, path: str, method: str = "GET", *lines: bytes, version: str = "1.1") -> None:
    client.send(head(*lines, start=f"{method} {path} HTTP/{version}".encode()))


def raw(server: Server, path: str, method: str = "GET", *, version: str = "1.1") -> bytes:
    """Every byte that comes back on a connection of its own."""
    with server.connect() as client:
        ask(client, path, method, b"Connection: close", version=version)
        return client.read_to_end()


def get(server: Server, path: str, method: str = "GET", *, version: str = "1.1") -> Response:
    """One response, and a second one behind it to show that the first ended where it said."""
    with server.connect() as client:
        ask(client, path, method, version=version)
        response = client.response(method)
        if "close" in response.connection or response.framing == "close" or not response.complete:
            client.wait_closed()
        elif version == "1.1":
            ask(client, "/one-piece")
            after = client.response()
            assert (after.status, after.body) == (200, b"first")
    return response


def is_plain_500(received: bytes) -> bool:
    """A whole 500 of ours without a trace of the application's words."""
    assert HIDDEN not in received, received
    assert received.startswith(b"HTTP/1.1 500 Internal Server Error\r\n"), received[:300]
    return True


# -- RFC 9110 §5.5, CWE-113: what would split the response


@each_name("BAD_STATUS")
def test_a_bad_status_is_500(misbehaving: Server, name: str) -> None:
    assert is_plain_500(raw(misbehaving, f"/bad-status/{name}"))


@each_name("BAD_FIELD")
def test_a_bad_field_is_500(misbehaving: Server, name: str) -> None:
    assert is_plain_500(raw(misbehaving, f"/bad-field/{name}"))


@each_name("BAD_HINT")
def test_a_bad_early_hint_is_500(misbehaving: Server, name: str) -> None:
    received = raw(misbehaving, f"/bad-hint/{name}")
    assert b" 103 " not in received
    assert is_plain_500(received)


@pytest.mark.parametrize("name", GOOD_FIELD)
def test_latin_1_passes(misbehaving: Server, name: str) -> None:
    key, value = GOOD_FIELD[name]
    assert get(misbehaving, f"/good-field/{name}").get(key) == value.strip(" \t")


@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
def test_a_reason_may_be_anything_visible(misbehaving: Server) -> None:
    response = get(misbehaving, "/unknown-status")
    assert (response.status, response.reason) == (299, "Any Words \xe9")


def test_an_early_hint(misbehaving: Server) -> None:
    """RFC 8297. An HTTP/1.0 client knows no interim responses (RFC 9110 §15.2)."""
    response = get(misbehaving, "/hint")
    assert [hint.status for hint in response.interim] == [103]
    assert response.interim[0].all("Link") == ["</a.css>; rel=preload", "</b.js>; rel=preload"]
    assert response.interim[0].get("Content-Length") is None
    assert response.body == b"first"
    assert get(misbehaving, "/hint", version="1.0").interim == []


# -- failures before anything was sent


@each_path(
    "/raises-at-once",
    "/raises-behind-start",
    "/raises-before-first",
    "/raises-behind-start-later",
    "/raises-behind-empty",
    "/never-starts",
    "/never-starts-empty",
    "/returns-none",
    "/yields-text",
    "/starts-twice",
    "/system-exit",
    *(f"/broken-before/{name}" for name in asgi_misbehave.BROKEN_BEFORE),
)
def test_a_failure_before_the_head_is_500(misbehaving: Server, path: str) -> None:
    """The page is short, static, and quotes neither the request nor the exception."""
    mark = misbehaving.log_mark()
    received = raw(misbehaving, path + "?quoted")
    assert is_plain_500(received)
    assert b"quoted" not in received
    assert b"Traceback" not in received
    assert len(received) < 1000
    misbehaving.seen()
    assert "rror" in misbehaving.log(mark), "the operator can read what happened"


def test_a_connection_survives_a_500(misbehaving: Server) -> None:
    """The request was read whole, so the connection may go on; if it does not, the response says so."""
    response = get(misbehaving, "/raises-at-once")
    assert response.status == 500


# -- failures behind the head


@each_path(
    "/raises-midway",
    "/text-midway",
    *(f"/broken-behind/{name}" for name in asgi_misbehave.BROKEN_BEHIND),
)
def test_a_chunked_body_that_fails_has_no_end(misbehaving: Server, path: str) -> None:
    """RFC 9112 §8: the client must be able to tell."""
    received = raw(misbehaving, path)
    assert HIDDEN not in received
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n5\r\nfirst" in received
    assert b"\r\n0\r\n" not in received
    assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", ["/raises-midway-length", "/too-few", "/none-of-ten", "/file-too-short"])
def test_fewer_bytes_than_the_length_close_the_connection(misbehaving: Server, path: str) -> None:
    with misbehaving.connect() as client:
        ask(client, path)
        client.send(SMUGGLED.replace(b"/smuggled", b"/one-piece"))
        received = client.read_to_end()
    assert HIDDEN not in received
    assert received.count(b"HTTP/1.1") == 1
    # Nothing had been sent when it became known, so it may be a 500 as well.
    if received.startswith(b"HTTP/1.1 200 "):
        assert b"content-length: 10\r\n" in received.lower()
        assert received.endswith((b"\r\n\r\n", b"\r\n\r\nfirst"))
    else:
        assert is_plain_500(received)


def test_an_http10_body_that_fails(misbehaving: Server) -> None:
    """Without a length only a reset tells; at least nothing is added to it."""
    received = raw_or_reset(misbehaving, "/raises-midway")
    assert HIDDEN not in received
    assert received == b"" or received.endswith(b"\r\n\r\nfirst")


def raw_or_reset(server: Server, path: str) -> bytes:
    with server.connect() as client:
        ask(client, path, version="1.0")
        return client.read_to_end()


@each_path("/too-many", "/too-many-pieces", "/too-many-written", "/file-too-long", "/more-than-nothing")
def test_more_bytes_than_the_length_are_cut(misbehaving: Server, path: str) -> None:
    """RFC 9110 §8.6: what is behind the length would be the next response."""
    mark = misbehaving.log_mark()
    with misbehaving.connect() as client:
        ask(client, path)
        response = client.response()
        expected = b"" if path == "/more-than-nothing" else b"first"
        assert (response.status, response.body, response.complete) == (200, expected, True)
        if "close" not in response.connection and client.send(NEXT.replace(b"/next", b"/one-piece")):
            rest = client.read_exactly(12)
            assert rest in (b"", b"HTTP/1.1 200"), rest
        else:
            client.wait_closed()
    misbehaving.seen()
    assert "Content-Length" in misbehaving.log(mark), "it is logged"


# -- framing belongs to the server


@pytest.mark.parametrize("name", BAD_LENGTH)
def test_a_bad_content_length_is_500(misbehaving: Server, name: str) -> None:
    """RFC 9112 §6.3: recipients would differ about where the response ends."""
    assert is_plain_500(raw(misbehaving, f"/bad-length/{name}"))


def test_two_content_lengths_are_500(misbehaving: Server) -> None:
    assert is_plain_500(raw(misbehaving, "/two-lengths"))


@pytest.mark.parametrize("path", ["/own-chunked", "/own-gzip"])
def test_a_transfer_coding_is_not_the_applications(misbehaving: Server, path: str) -> None:
    """PEP 3333: hop-by-hop fields are an error. Refused, or framed rightly by us; never twice."""
    response = get(misbehaving, path)
    assert response.status in {200, 500}
    assert response.complete


def test_other_hop_by_hop_fields(misbehaving: Server) -> None:
    response = get(misbehaving, "/hop-by-hop")
    assert response.status == 500 or response.get("Keep-Alive") is None


def test_the_application_may_close(misbehaving: Server) -> None:
    with misbehaving.connect() as client:
        ask(client, "/says-close")
        response = client.response()
        assert response.status in {200, 500}
        if response.status == 200:
            assert response.all("Connection") == ["close"]
            client.wait_closed()


BODIES = [
    "/one-piece",
    "/tuple",
    "/generator",
    "/generator-with-empty-pieces",
    "/generator-with-length",
    "/write",
    "/file",
    "/file-with-length",
]
EMPTY_BODIES = ["/nothing", "/empty-piece", "/empty-generator", "/file-empty"]


@each_path(*BODIES, *EMPTY_BODIES)
def test_every_kind_of_body(misbehaving: Server, path: str) -> None:
    """Complete, never empty chunks in the middle, and no second end behind it (`get` looks)."""
    response = get(misbehaving, path)
    assert response.status == 200
    assert response.body == (b"" if path in EMPTY_BODIES else b"first")
    assert response.framing in {"length", "chunked"}
    assert response.complete


@each_path(*BODIES, *EMPTY_BODIES)
def test_http10_is_never_chunked(misbehaving: Server, path: str) -> None:
    """RFC 9112 §6.1."""
    response = get(misbehaving, path, version="1.0")
    assert response.get("Transfer-Encoding") is None
    assert response.framing in {"length", "close"}
    assert response.body == (b"" if path in EMPTY_BODIES else b"first")


@each_path(*BODIES, *EMPTY_BODIES)
def test_http10_keep_alive_is_never_chunked(misbehaving: Server, path: str) -> None:
    with misbehaving.connect() as client:
        ask(client, path, "GET", b"Connection: keep-alive", version="1.0")
        response = client.response()
        assert response.framing in {"length", "close"}
        assert response.body == (b"" if path in EMPTY_BODIES else b"first")
        assert response.framing == "length" or "keep-alive" not in response.connection


@each_path(*BODIES, *EMPTY_BODIES, "/too-many", "/file-large", "/204/body", "/304/body")
def test_head_has_no_body(misbehaving: Server, path: str) -> None:
    """RFC 9110 §9.3.2: the fields of GET, and not a byte behind them. `get` asks a second time."""
    response = get(misbehaving, path, "HEAD")
    assert response.body == b""
    assert response.status in {200, 204, 304}
    length = response.get("Content-Length")
    if response.status != 200:  # what a 200 would have had is not known
        assert length is None
        return
    expected = {"0"} if path in EMPTY_BODIES else {"2000000"} if path == "/file-large" else {"5"}
    assert length is None or length in expected


def test_head_of_a_failure_has_no_body(misbehaving: Server) -> None:
    received = raw(misbehaving, "/raises-at-once", "HEAD")
    assert received.startswith(b"HTTP/1.1 500 ")
    assert received.endswith(b"\r\n\r\n")
    assert received.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("kind_of_body", ["", "/empty", "/body", "/length"])
@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body(misbehaving: Server, status: int, kind_of_body: str, method: str) -> None:
    """RFC 9110 §15.3.5, §15.4.5; RFC 9110 §8.6: no Content-Length with 204, which the client checks."""
    with misbehaving.connect() as client:
        ask(client, f"/{status}{kind_of_body}", method)
        response = client.response(method)
        assert (response.status, response.body) == (status, b"")
        assert response.get("Transfer-Encoding") is None
        if kind_of_body != "/length":  # it would have to be that of a 200, which we do not know
            assert response.get("Content-Length") is None
        if "close" in response.connection:
            client.wait_closed()
        else:
            ask(client, "/one-piece")
            assert client.response().body == b"first"


def test_205_has_no_content(misbehaving: Server) -> None:
    """RFC 9110 §15.3.6: and says so with a length, since it is no status without a body."""
    response = get(misbehaving, "/205")
    assert (response.status, response.body) == (205, b"")
    assert response.framing in {"length", "chunked"}


def test_a_large_file(misbehaving: Server) -> None:
    response = get(misbehaving, "/file-large")
    assert len(response.body) == 2_000_000
    assert set(response.body) == {response.body[0]}


@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
def test_start_response_may_replace_what_was_not_sent(misbehaving: Server) -> None:
    response = get(misbehaving, "/replaced")
    assert (response.status, response.body) == (503, b"first")
    assert response.get("X-Never") is None


def test_fields_keep_their_order_and_number(misbehaving: Server) -> None:
    """RFC 6265 §3: Set-Cookie must not be folded into one."""
    assert get(misbehaving, "/two-fields").all("Set-Cookie") == ["a=b", "c=d"]


# -- fields of the server's own


def test_date_and_server_are_added(misbehaving: Server) -> None:
    """RFC 9110 §6.6.1, §10.2.4."""
    response = get(misbehaving, "/one-piece")
    assert is_now(response.get("Date"))
    assert response.get("Server") == "tricorn"


def is_now(date: str | None) -> bool:
    """RFC 9110 §5.6.7: IMF-fixdate, and about the present."""
    assert date is not None
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date), date
    return abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 3


@pytest.mark.parametrize("path", ["/own-date", "/own-date-lower-case"])
def test_date_and_server_of_the_application_stay(misbehaving: Server, path: str) -> None:
    response = get(misbehaving, path)
    assert response.get("Date") == email.utils.formatdate(0, usegmt=True)
    assert response.get("Server") == "mine"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_server_can_be_turned_off(servers: Servers, kind: str) -> None:
    server = servers.get("--server-header=", kind=kind, app="misbehave:app")
    assert get(server, "/one-piece").get("Server") is None
    assert get(server, "/raises-at-once").get("Server") is None
    with server.connect() as client:
        client.send(b"BAD\r\n\r\n")
        assert client.response().get("Server") is None


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_server_can_be_another_word(servers: Servers, kind: str) -> None:
    server = servers.get("--server-header=web", kind=kind, app="misbehave:app")
    assert get(server, "/one-piece").get("Server") == "web"


# -- error pages


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_first_response_of_a_worker_may_be_a_refusal(kind: str) -> None:
    """Nothing that the server's own fields are made of waits for a first success."""
    server = Server("misbehave:app", ("--workers", "1"), kind=kind).start(wait=False)
    try:
        with server.connect(timeout=BOOT_DEADLINE) as client:
            client.send(b"BAD\r\n\r\n")
            response = client.response()
        assert response.status == 400
        assert is_now(response.get("Date"))
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_refusal_has_the_date_of_today(misbehaving: Server) -> None:
    """Not the one of the last success: until then a second has begun."""
    assert get(misbehaving, "/one-piece").status == 200
    started = int(time.time())
    wait_for(lambda: int(time.time()) > started + 1, "the clock shows another second")
    with misbehaving.connect() as client:
        client.send(b"BAD\r\n\r\n")
        response = client.response()
    date = response.get("Date")
    assert date is not None
    assert email.utils.parsedate_to_datetime(date).timestamp() > started


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"GET /s3cr3t<script> x HTTP/1.1\r\nHost: s3cr3t\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: s3cr3t s3cr3t\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\ns3cr3t s3cr3t: s3cr3t\r\n\r\n", 400),
        (b"GET /" + b"s3cr3t" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\ns3cr3t: " + b"s3cr3t" * 2000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: s3cr3t\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: s3cr3t\r\n\r\n", 501),
        (b"s3cr3t / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ],
)
def test_a_refusal_quotes_nothing(misbehaving: Server, message: bytes, status: int) -> None:
    with misbehaving.connect() as client:
        client.send(message)
        received = client.read_to_end()
    assert received.startswith(b"HTTP/1.1 %d " % status), received[:200]
    assert HIDDEN not in received
    assert len(received) < 1000
    fields, _, body = received.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d" % len(body) in fields
