"""The uwsgi protocol: what a gateway (nginx's uwsgi_pass) asks and is answered, on real sockets.

The cases of HTTP/1 that a gateway can pass on are sent as it would do that (harness/packets.py), and must
have the same fate. What a packet may be, case by case: tests/http/test_packet.py.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from conformance.test_bodies import CHUNK_DATA
from conformance.test_fields import HOSTS, NAMES, VALUES
from conformance.test_framing import ANY_METHOD, CONTENT_LENGTH
from conformance.test_limits import SMALL_CASES
from conformance.test_request_line import METHODS, TARGETS
from harness.axes import ONE_OF_EACH
from harness.cases import Case, check_seen, deliver, head, post
from harness.client import Client, Response
from harness.packets import CLIENT, of_http1, packet, said, text
from harness.server import Server, Servers

WIRE = "uwsgi"
SMALL = (
    "--limit-request-line=60",
    "--limit-request-field-size=50",
    "--limit-request-fields=5",
    "--limit-request-body=20",
)


@pytest.fixture
def gateways(running_servers: Servers) -> Servers:
    """Servers by their options, which speak the uwsgi protocol."""
    return running_servers.on(WIRE)


@pytest.fixture
def server(gateways: Servers, kind: str) -> Server:
    return gateways.get(kind=kind)


def passed_on(client: Client, data: bytes, method: str = "GET", delivery: str = "whole") -> Response:
    """What comes back, of which nothing depends on more than the end of the connection."""
    deliver(client, data, delivery)
    response = client.response(method)
    assert response.framing != "chunked", "a gateway knows no chunks"
    assert response.interim == []
    assert response.version == b"HTTP/1.1"
    assert response.get("Date")
    client.wait_closed()
    return response


def connected(server: Server, source: str | None = None) -> Client:
    """To send packets as they are."""
    return Client(server.address, source=source)


def asked(server: Server, data: bytes, method: str = "GET", source: str | None = None) -> Response:
    with connected(server, source) as client:
        return passed_on(client, data, method)


def seen(server: Server) -> list[dict[str, object]]:
    """The requests, without the one that asks for them."""
    return [dict(entry["environ"]) for entry in server.seen()]


#: What nginx makes something else of, or refuses itself.
OTHERWISE = {
    *("twice the same", "twice, different", "twice, in different case"),  # lengths
    *("two fields of one name", "four fields of one name"),  # joined with another comma
    *("target //a.example/b", "target /http://b.example/"),  # slashes in a row are one
    "an empty Host",
    "query only",  # it stands for http://a.example?b, of which nginx passes on no more
}


def possible(cases: Iterable[Case]) -> list[Case]:
    """What a gateway can pass on: it has read the lines."""
    return [case for case in cases if not case.is_of_http1 and case.name not in OTHERWISE]


TABLES = {
    "names": NAMES,
    "values": VALUES,
    "hosts": HOSTS,
    "length": CONTENT_LENGTH,
    "methods": ANY_METHOD,
    "more methods": METHODS,
    "targets": TARGETS,
    "chunks": CHUNK_DATA,
}
CASES = [
    pytest.param(case, (), id=f"{table}: {case.name}")
    for table, cases in TABLES.items()
    for case in possible(cases)
] + [pytest.param(case, SMALL, id=f"limits: {case.name}") for case in possible(SMALL_CASES)]


def test_there_are_cases() -> None:
    assert len(CASES) > 80


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(("message", "options"), CASES)
def test_a_request_has_the_same_fate(
    message: Case, options: tuple[str, ...], gateways: Servers, kind: str
) -> None:
    """Of packets in pieces the parser has tests."""
    server = gateways.get(*options, kind=kind)
    server.seen()
    with connected(server) as client:
        response = passed_on(client, of_http1(message.raw), message.request_method)
    assert response.status == message.status, response
    assert "close" in response.connection
    requests = server.seen_whole()
    assert [request["method"] for request in requests] == [message.request_method] * message.reaches
    if message.reaches:
        check_seen(message, requests[0])


def test_what_an_application_is_told(server: Server) -> None:
    server.seen()
    told = said(
        b"/a%20b?c=d",
        (b"x-one", b"1"),
        (b"cookie", b"a=b"),
        HTTPS=b"on",
        SERVER_PORT=b"443",
        REMOTE_USER=b"amy",
    )
    assert asked(server, packet(told)).status == 200
    (environ,) = seen(server)
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b",
        "QUERY_STRING": "c=d",
        "RAW_URI": "/a%20b?c=d",
        "REMOTE_ADDR": CLIENT[0].decode(),
        "REMOTE_PORT": CLIENT[1].decode(),
        "SERVER_NAME": "a.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "a.example",
        "HTTP_X_ONE": "1",
        "HTTP_COOKIE": "a=b",
        "wsgi.url_scheme": "https",
    }
    assert {name: environ[name] for name in expected} == expected


@pytest.mark.parametrize("kind", ["sync", "gevent"])
def test_every_variable_reaches_the_environ_but_ours(server: Server) -> None:
    server.seen()
    mine = {
        "REMOTE_USER": b"amy",
        "DOCUMENT_ROOT": b"/srv",
        "REQUEST_URI": b"/x",
        "SSL_CLIENT_CERT": b"-----BEGIN\n\tCERTIFICATE-----\n",
        "EMPTY": b"",
        "acme.tenant": b"7",
        "GATEWAY_INTERFACE": b"CGI/1.1",
        "HTTPS": b"on",
    }
    theirs = {
        "wsgi.input": b"x",
        "wsgi.errors": b"x",
        "wsgi.multithread": b"x",
        "wsgi.new": b"x",
        "tricorn.deadline": b"x",
        "tricorn.new": b"x",
        "SERVER_SOFTWARE": b"x",
        "RAW_URI": b"x",
    }
    variables = [(name.encode(), value) for name, value in (mine | theirs).items()]
    told = [*said(b"/x", SERVER_NAME=b"", SERVER_PORT=b""), *variables]
    assert asked(server, packet(told)).status == 200
    (environ,) = seen(server)
    assert {name: environ[name] for name in mine} == {name: value.decode() for name, value in mine.items()}
    assert not any(environ.get(name) == "x" for name in theirs), environ
    # PEP 3333: neither may be empty
    assert environ["SERVER_NAME"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(server.address[1])
    # No chunks, no interim responses: what needs them is not offered.
    assert {"wsgi.early_hints", "tricorn.trailers", "gunicorn.http2.send_trailers"} & environ.keys() == set()


@pytest.mark.parametrize(
    ("mount", "uri", "path"),
    [
        (b"/app", b"/app/x%20y", b"/x y"),  # as CGI has it
        (b"/app", b"/app/x%20y", b"/app/x y"),  # as nginx has it, if nothing is done about it
        (b"/app", b"/x%20y", b"/x y"),  # the client does not know of it
    ],
)
def test_where_it_is_mounted(server: Server, mount: bytes, uri: bytes, path: bytes) -> None:
    server.seen()
    assert asked(server, packet(said(uri, SCRIPT_NAME=mount, PATH_INFO=path))).status == 200
    (environ,) = seen(server)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/x y")


@pytest.mark.parametrize(
    ("protocol", "told"), [(b"HTTP/1.0", ("1.0",)), (b"HTTP/2.0", ("2.0", "2")), (b"HTTP/3.0", ("3.0", "3"))]
)
def test_the_version_is_the_clients(server: Server, protocol: bytes, told: tuple[str, ...]) -> None:
    server.seen()
    assert asked(server, packet(said(protocol=protocol))).status == 200
    (environ,) = seen(server)
    assert str(environ["SERVER_PROTOCOL"]).removeprefix("HTTP/") in told


# -- bodies


@pytest.mark.parametrize("size", [1, 5000, 3_000_000])
def test_a_body(server: Server, delivery: str, size: int) -> None:
    body = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    server.seen()
    with connected(server) as client:
        passed_on(client, packet(said(method=b"POST", body=body), body), "POST", delivery)
    (entry,) = server.seen()
    assert entry["body"] == body.decode()


def test_what_comes_behind_a_body_is_nobodys(server: Server) -> None:
    server.seen()
    data = packet(said(method=b"POST", body=b"hello"), b"hello")
    assert (
        asked(
            server, data + packet(said(b"/smuggled")) + head(start=b"GET /smuggled HTTP/1.1"), "POST"
        ).status
        == 200
    )
    assert [entry["path"] for entry in server.seen()] == ["/"]


def test_a_body_that_nobody_reads(server: Server) -> None:
    """The answer is not lost to a reset, whatever is still to come."""
    body = b"x" * 2_000_000
    with connected(server) as client:
        response = passed_on(client, packet(said(b"/unread", method=b"POST", body=body), body), "POST")
    assert response.body == b'"unread"'


def test_a_response_without_a_length_ends_with_the_connection(server: Server) -> None:
    response = asked(server, packet(said(b"/stream?300000")))
    assert (response.framing, len(response.body)) == ("close", 300000)


def test_a_large_response(server: Server) -> None:
    response = asked(server, packet(said(b"/big?3000000")))
    assert (response.framing, len(response.body)) == ("length", 3000000)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_other_methods(server: Server, method: str) -> None:
    response = asked(server, packet(said(b"/big?1000", method=method.encode())), method)
    assert response.get("Content-Length") == "1000"
    assert len(response.body) == (0 if method == "HEAD" else 1000)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("path", ["/raises-at-once", "/bad-field/value-crlf"])
def test_an_application_that_misbehaves(gateways: Servers, kind: str, path: str) -> None:
    server = gateways.get(kind=kind, app="misbehave:app")
    response = asked(server, packet(said(path.encode())))
    assert (response.status, response.complete) == (500, True)
    assert b"s3cr3t" not in response.body


@pytest.mark.parametrize("kind", ["asgi"])
def test_an_early_hint_stays_here(gateways: Servers, kind: str) -> None:
    """WSGI applications find no such function in their environ."""
    response = asked(gateways.get(kind=kind, app="misbehave:app"), packet(said(b"/hint")))
    assert (response.status, response.body) == (200, b"first")


# -- who may ask, and whose word counts


@pytest.mark.parametrize(
    ("allowed", "source", "is_welcome"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.0/8", "127.0.0.2", True),
        ("10.0.0.0/8,127.0.0.0/30", "127.0.0.2", True),
        ("127.0.0.1,10.0.0.0/8", "127.0.0.2", False),
        ("*", "127.0.0.2", True),
    ],
)
def test_who_may_connect(gateways: Servers, kind: str, allowed: str, source: str, is_welcome: bool) -> None:
    everybody = f"127.0.0.1,{allowed}" if allowed != "*" else allowed  # we ask, too
    server = gateways.get(f"--uwsgi-allow-from={everybody}", kind=kind)
    server.seen()
    mark = server.log_mark()
    if is_welcome:
        assert asked(server, packet(said()), source=source).status == 200
        assert len(server.seen()) == 1
        return
    with connected(server, source) as client:
        client.send(head())
        assert client.read_to_end() == b""
    assert server.seen() == []
    told = f"Refused {source}: the uwsgi protocol is spoken there, and the peer is not in uwsgi_allow_ips"
    assert told in server.log(mark)


FORWARDED = ((b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https"))


@pytest.mark.parametrize(
    ("client", "believed"),
    [(b"192.0.2.7", False), (b"10.0.0.5", True), (b"unix:", True), (None, True), (b"x-y", False)],
)
def test_whose_word_counts(gateways: Servers, kind: str, client: bytes | None, believed: bool) -> None:
    """nginx passes on what its client says of others. It counts if that client is trusted, by its address.
    Where the gateway does not tell one, what it sends is its own word."""
    server = gateways.get("--forwarded-allow-ips=10.0.0.0/8,unix,127.0.0.1", kind=kind)
    server.seen()
    assert asked(server, packet(said(b"/", *FORWARDED, REMOTE_ADDR=client))).status == 200
    (environ,) = seen(server)
    if believed:
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.9", "https")
    else:
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ((client or b"").decode(), "http")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_proxy_protocol_is_not_for_gateways(gateways: Servers, kind: str) -> None:
    """They say in each packet who the client is, and send no such header."""
    server = gateways.get("--proxy-protocol=v1", "--proxy-allow-from=10.0.0.1", kind=kind)
    assert asked(server, packet(said())).status == 200


# -- what is no packet

BROKEN = {
    "HTTP": (head(), "the client speaks HTTP, and this socket is for the uwsgi protocol"),
    "TLS": (b"\x16\x03\x01\x00\x05hello", "the client speaks TLS"),
    "another modifier": (packet(said(b"/smuggled"), modifier1=9), "modifier1 of the packet is not 0"),
    "a name beyond the end": (b"\0\5\0\0\7\0abc", "a variable is longer than the packet"),
    "a value beyond the end": (b"\0\7\0\0\1\0A\5\0bc", "a variable is longer than the packet"),
    "no name": (packet([*said(b"/smuggled"), (b"", b"x")]), "the name of a variable is empty"),
    "a name that forges a line": (
        packet([*said(b"/smuggled"), (b"A\n[1] [CRITICAL] forged", b"x")]),
        "the name of a variable is empty, or not of visible ASCII characters",
    ),
    "too many": (packet([(b"A", b"")] * 1001), "the packet has more than 1000 variables"),
}


@pytest.mark.parametrize("delivery", ["whole", "bytes"])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_packet(server: Server, name: str, delivery: str) -> None:
    """A line in the log, and the end. Nobody is answered who could not read it."""
    data, why = BROKEN[name]
    server.seen()
    mark = server.log_mark()
    with connected(server) as client:
        deliver(client, data, delivery)
        assert client.read_to_end() == b""
        assert not client.reset
    assert server.seen() == []
    (line,) = [line for line in server.log(mark).splitlines() if "Refused" in line]
    assert f"Refused a request from 127.0.0.1: 400 Bad Request: {why}" in line
    assert "forged" not in server.log(mark)


def test_a_packet_that_is_cut(server: Server) -> None:
    server.seen()
    mark = server.log_mark()
    with connected(server) as client:
        client.send(packet(said(b"/smuggled"))[:-1])
        client.finish()
        assert client.read_to_end() == b""
    assert server.seen() == []
    assert (
        "Refused a request from 127.0.0.1: 400 Bad Request: the connection ended before the packet did"
        in server.log(mark)
    )


@pytest.mark.parametrize(
    ("told", "status", "why"),
    [
        (said(REMOTE_ADDR=b"1\n[1] [CRITICAL] forged"), 400, "REMOTE_ADDR is no address"),
        (said(b"/\nforged"), 400, "the request target is malformed"),
        (said(method=b"GET\nforged"), 400, "the method is not a token"),
        (said(b"/", (b"a", b"b\nforged")), 400, "a field value contains a control byte"),
        (said(REQUEST_METHOD=None), 400, "the packet has no REQUEST_METHOD"),
        (said(b"/" + b"a" * 9000), 414, "the request line is too long"),
    ],
    ids=["address", "target", "method", "value", "no method", "long"],
)
def test_what_is_no_request_is_answered(
    server: Server, told: list[tuple[bytes, bytes]], status: int, why: str
) -> None:
    """The gateway passes the answer on."""
    server.seen()
    mark = server.log_mark()
    assert asked(server, packet(told)).status == status
    assert server.seen() == []
    (line,) = [line for line in server.log(mark).splitlines() if "Refused" in line]
    assert why in line
    assert "forged" not in server.log(mark)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_packet_where_http_is_spoken(running_servers: Servers, kind: str) -> None:
    server = running_servers.on("plain").get(kind=kind)
    mark = server.log_mark()
    with server.connect() as client:
        client.send(packet(said(b"/smuggled")))
        assert client.response().status == 400
        client.wait_closed()
    assert "the client speaks the uwsgi protocol, and this socket is for HTTP" in server.log(mark)
    assert server.seen() == []


def test_the_size_of_a_packet_is_bounded(gateways: Servers, kind: str) -> None:
    server = gateways.get(
        "--limit-request-head=1024", "--limit-request-line=900", "--limit-request-field-size=900", kind=kind
    )
    fits = [*said(), (b"X", b"")]
    room = 1024 - (len(packet(fits)) - 4)
    assert asked(server, packet([*said(), (b"X", b"x" * room)])).status == 200
    assert asked(server, packet([*said(), (b"X", b"x" * (room + 1))])[:4]).status == 431


def test_a_message_of_http1_is_translated_well() -> None:
    """The tests above would pass on a translator that leaves things out."""
    data = of_http1(post(b"hello", b"Content-Length: 5", b"A: 1", b"A: 2", path=b"/p%20q?r"))
    for name, value in (
        (b"HTTP_A", b"1, 2"),
        (b"REQUEST_URI", b"/p%20q?r"),
        (b"PATH_INFO", b"/p q"),
        (b"CONTENT_LENGTH", b"5"),
        (b"REQUEST_METHOD", b"POST"),
    ):
        assert text(name) + text(value) in data
    assert data.endswith(b"hello")
