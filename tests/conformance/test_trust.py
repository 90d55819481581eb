"""RFC 7239, X-Forwarded-* and SCRIPT_NAME: whose word counts about who the client is.

The trusted peer is 127.0.0.1; a client that binds 127.0.0.2 is another, untrusted one.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import pytest
from harness.axes import ONE_OF_EACH
from harness.cases import SMUGGLED, Case, accepted, head, refused, run, wire_cases
from harness.server import Server, Servers

TRUST = ("--forwarded-allow-ips", "127.0.0.1,10.0.0.0/8,2001:db8:aa::/48")
STRANGER = "127.0.0.2"
SCHEME = "wsgi.url_scheme"


def says(name: str, *lines: bytes, target: bytes = b"/", **environ: Any) -> Case:
    """A trusted peer says `lines`; the environ then has these entries."""
    if "scheme" in environ:
        environ[SCHEME] = environ.pop("scheme")
    return accepted(name, head(*lines, start=b"GET " + target + b" HTTP/1.1"), environ=environ)


def contradicts(name: str, *lines: bytes) -> Case:
    return refused(name, head(*lines))


def hop(name: str, chain: bytes, address: str) -> Case:
    return says(f"chain {name}", b"X-Forwarded-For: " + chain, REMOTE_ADDR=address)


# The client is the right-most address that is not trusted: it may have written what stands left of it.
CHAINS = [
    hop("one", b"203.0.113.7", "203.0.113.7"),
    hop("two, the left one forged", b"198.51.100.1, 203.0.113.7", "203.0.113.7"),
    hop("a trusted one on the right", b"203.0.113.7, 10.1.2.3", "203.0.113.7"),
    hop("forged, client, trusted", b"198.51.100.1, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
    hop("a trusted address left of the client", b"10.9.9.9, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
    hop("no space", b"198.51.100.1,203.0.113.7", "203.0.113.7"),
    hop("white space", b"  203.0.113.7 \t,  10.1.2.3 ", "203.0.113.7"),
    hop("with a port", b"203.0.113.7:4711", "203.0.113.7"),
    hop("IPv6", b"2001:db8::7", "2001:db8::7"),
    hop("IPv6 in brackets", b"[2001:db8::7]", "2001:db8::7"),
    hop("IPv6 with a port", b"[2001:db8::7]:4711", "2001:db8::7"),
    hop("IPv6, a trusted network on the right", b"2001:db8::7, 2001:db8:aa::1", "2001:db8::7"),
    hop("IPv4 in IPv6 is the same address", b"203.0.113.7, ::ffff:10.1.2.3", "203.0.113.7"),
    says(
        "chain in two fields",
        b"X-Forwarded-For: 198.51.100.1",
        b"X-Forwarded-For: 203.0.113.7, 10.1.2.3",
        REMOTE_ADDR="203.0.113.7",
    ),
    # What is not an address stops the walk at the nearest hop that is known.
    hop("garbage", b"garbage", "127.0.0.1"),
    hop("garbage left of the client", b"garbage, 203.0.113.7", "203.0.113.7"),
    hop("garbage right of the client", b"203.0.113.7, garbage", "127.0.0.1"),
    hop("garbage behind a trusted one", b"203.0.113.7, garbage, 10.1.2.3", "10.1.2.3"),
    hop("unknown", b"unknown", "127.0.0.1"),
    hop("empty", b"", "127.0.0.1"),
    hop("a network", b"203.0.113.0/24", "127.0.0.1"),
]

OTHERS = [
    says("Proto https", b"X-Forwarded-Proto: https", scheme="https"),
    says("Proto HTTPS", b"X-Forwarded-Proto: HTTPS", scheme="https"),
    says("Proto http", b"X-Forwarded-Proto: http", scheme="http"),
    # Some proxies tell the scheme of a WebSocket by its own name; here it is an ordinary request.
    says("Proto wss", b"X-Forwarded-Proto: wss", scheme="https"),
    says("Proto ws", b"X-Forwarded-Proto: ws", scheme="http"),
    says("Forwarded proto wss", b"Forwarded: proto=wss", scheme="https"),
    # A list is read as far as trust reaches. One trusted hop: the right-most word.
    says("Proto in a list", b"X-Forwarded-Proto: https,http", scheme="http"),
    says("Proto twice", b"X-Forwarded-Proto: http", b"X-Forwarded-Proto: https", scheme="https"),
    says(
        "Proto in a list, forged",
        b"X-Forwarded-For: 203.0.113.7",
        b"X-Forwarded-Proto: https, http",
        scheme="http",
    ),
    says(
        "Proto in a list, two hops",
        b"X-Forwarded-For: 203.0.113.7, 10.1.2.3",
        b"X-Forwarded-Proto: https,http",
        scheme="https",
    ),
    says(
        "Proto twice, two hops",
        b"X-Forwarded-For: 203.0.113.7, 10.1.2.3",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Proto: http",
        scheme="https",
    ),
    says(
        "Proto in a list, more hops than words",
        b"X-Forwarded-For: 203.0.113.7, 10.1.2.3, 10.1.2.4, 10.1.2.5",
        b"X-Forwarded-Proto: https, http",
        scheme="https",
    ),
    says(
        "Proto of one hop, two hops",
        b"X-Forwarded-For: 203.0.113.7, 10.1.2.3",
        b"X-Forwarded-Proto: https",
        scheme="https",
    ),
    says(
        "Host and Port in lists, two hops",
        b"X-Forwarded-For: 203.0.113.7, 10.1.2.3",
        b"X-Forwarded-Host: evil.example, b.example, inner.example",
        b"X-Forwarded-Port: 1, 443, 8080",
        HTTP_HOST="b.example",
        SERVER_PORT="443",
    ),
    says("Ssl on", b"X-Forwarded-Ssl: on", scheme="https"),
    says("Protocol ssl", b"X-Forwarded-Protocol: ssl", scheme="https"),
    says(
        "three that agree",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Ssl: on",
        b"X-Forwarded-Protocol: ssl",
        scheme="https",
    ),
    says("Host", b"X-Forwarded-Host: b.example", HTTP_HOST="b.example"),
    says(
        "Host with a port",
        b"X-Forwarded-Host: b.example:8443",
        HTTP_HOST="b.example:8443",
        SERVER_PORT="8443",
    ),
    says("Port", b"X-Forwarded-Port: 8443", SERVER_PORT="8443"),
    says("Prefix", b"X-Forwarded-Prefix: /app", SCRIPT_NAME="/app", PATH_INFO="/"),
    says("Forwarded for", b"Forwarded: for=203.0.113.7", REMOTE_ADDR="203.0.113.7"),
    says("Forwarded for, quoted IPv6", b'Forwarded: for="[2001:db8::7]:4711"', REMOTE_ADDR="2001:db8::7"),
    says(
        "Forwarded chain",
        b"Forwarded: for=198.51.100.1;proto=http, for=203.0.113.7;proto=https, for=10.1.2.3;proto=http",
        REMOTE_ADDR="203.0.113.7",
        scheme="https",
    ),
    says("Forwarded proto", b"Forwarded: for=203.0.113.7;proto=https", scheme="https"),
    says(
        "Forwarded in capitals",
        b"FORWARDED: For=203.0.113.7;PROTO=HTTPS",
        scheme="https",
        REMOTE_ADDR="203.0.113.7",
    ),
    says("Forwarded host", b'Forwarded: for=203.0.113.7;host="b.example:8443"', HTTP_HOST="b.example:8443"),
    says("Forwarded hidden", b"Forwarded: for=_hidden", REMOTE_ADDR="127.0.0.1"),
    says("nothing", REMOTE_ADDR="127.0.0.1", SCRIPT_NAME=""),
]

# Two proxies, or a proxy and a client that wrote one of the two itself: nothing tells which is true.
CONTRADICTIONS = [
    contradicts("Proto https, Ssl off", b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: off"),
    contradicts("Proto http, Ssl on", b"X-Forwarded-Proto: http", b"X-Forwarded-Ssl: on"),
    contradicts("Proto https, Protocol http", b"X-Forwarded-Proto: https", b"X-Forwarded-Protocol: http"),
    contradicts("Proto wss, Ssl off", b"X-Forwarded-Proto: wss", b"X-Forwarded-Ssl: off"),
    contradicts("Proto in a list, Ssl on", b"X-Forwarded-Proto: https, http", b"X-Forwarded-Ssl: on"),
    contradicts("Proto https, Forwarded ws", b"X-Forwarded-Proto: https", b"Forwarded: proto=ws"),
    contradicts("Proto https, Forwarded http", b"X-Forwarded-Proto: https", b"Forwarded: proto=http"),
    contradicts("For and Forwarded for", b"X-Forwarded-For: 203.0.113.7", b"Forwarded: for=203.0.113.8"),
    contradicts("a forwarded host that is none", b"X-Forwarded-Host: a b"),
    contradicts("a forwarded host with a path", b"X-Forwarded-Host: a/b"),
    contradicts("a forwarded port that is none", b"X-Forwarded-Port: 80x"),
    contradicts("a forwarded port over 65535", b"X-Forwarded-Port: 65536"),
    contradicts("a prefix without a slash", b"X-Forwarded-Prefix: app"),
    contradicts("a prefix with two dots", b"X-Forwarded-Prefix: /../app"),
    contradicts("SCRIPT_NAME without a slash", b"SCRIPT_NAME: app"),
    contradicts("SCRIPT_NAME with two dots", b"SCRIPT_NAME: /../app"),
    contradicts("SCRIPT_NAME with two slashes", b"SCRIPT_NAME: //b.example"),
    contradicts("SCRIPT_NAME that is escaped", b"SCRIPT_NAME: /%2e%2e"),
    contradicts("SCRIPT_NAME that is a URL", b"SCRIPT_NAME: http://b.example/app"),
    contradicts("SCRIPT_NAME beyond ASCII", b"SCRIPT_NAME: /\xe9"),
    contradicts("separators without end", b"X-Forwarded-For: " + b"," * 4000),
    contradicts("separators of Forwarded without end", b"Forwarded: for=203.0.113.7" + b";" * 4000),
    contradicts("Forwarded against its grammar", b"Forwarded: for"),
    contradicts("Forwarded with an open quote", b'Forwarded: for="203.0.113.7'),
]

# The same lines, from somebody else: plain headers that change nothing.
UNTRUSTED = [
    (b"X-Forwarded-For: 203.0.113.7", "HTTP_X_FORWARDED_FOR", "203.0.113.7"),
    (b"X-Forwarded-For: garbage", "HTTP_X_FORWARDED_FOR", "garbage"),
    (b"X-Forwarded-Proto: https", "HTTP_X_FORWARDED_PROTO", "https"),
    (b"X-Forwarded-Ssl: on", "HTTP_X_FORWARDED_SSL", "on"),
    (b"X-Forwarded-Host: b.example", "HTTP_X_FORWARDED_HOST", "b.example"),
    (b"X-Forwarded-Host: a b", "HTTP_X_FORWARDED_HOST", "a b"),
    (b"X-Forwarded-Port: 8443", "HTTP_X_FORWARDED_PORT", "8443"),
    (b"X-Forwarded-Prefix: /app", "HTTP_X_FORWARDED_PREFIX", "/app"),
    (
        b"Forwarded: for=203.0.113.7;proto=https;host=b.example",
        "HTTP_FORWARDED",
        "for=203.0.113.7;proto=https;host=b.example",
    ),
    (b"Forwarded: for", "HTTP_FORWARDED", "for"),
    (b"SCRIPT_NAME: /app", "HTTP_SCRIPT_NAME", None),
    (b"SCRIPT_NAME: //b.example", "HTTP_SCRIPT_NAME", None),
    (b"X-Forwarded-For: " + b"," * 4000, "HTTP_X_FORWARDED_FOR", "," * 4000),
    (b"PATH_INFO: /app", "HTTP_PATH_INFO", None),
    (b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off", "HTTP_X_FORWARDED_SSL", "off"),
]

# CVE-2024-1135 and its kin: names with an underscore, from the proxy.
FORWARDER = [
    says("SCRIPT_NAME", b"SCRIPT_NAME: /app", target=b"/app/a", SCRIPT_NAME="/app", PATH_INFO="/a"),
    says("SCRIPT_NAME is the path", b"SCRIPT_NAME: /app", target=b"/app", SCRIPT_NAME="/app", PATH_INFO=""),
    says("SCRIPT_NAME, a slash at its end", b"SCRIPT_NAME: /app/", target=b"/app/a", SCRIPT_NAME="/app"),
    says("SCRIPT_NAME, a slash", b"SCRIPT_NAME: /", SCRIPT_NAME="", PATH_INFO="/"),
    says("SCRIPT_NAME, empty", b"SCRIPT_NAME:", SCRIPT_NAME="", PATH_INFO="/"),
    says("another underscore", b"X_Under: v", HTTP_X_UNDER=None),
]


@pytest.fixture
def trusting(servers: Servers, kind: str) -> Server:
    return servers.get(*TRUST, kind=kind)


@wire_cases(CHAINS)
def test_the_right_most_untrusted_address(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(*TRUST, kind=kind), delivery)


@wire_cases(OTHERS)
def test_what_a_trusted_peer_says(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(*TRUST, kind=kind), delivery)


def test_what_nobody_says_is_as_the_wire_is(trusting: Server) -> None:
    trusting.seen()
    with trusting.connect() as client:
        client.send(head())
        assert client.response().status == 200
    assert trusting.seen()[0]["environ"][SCHEME] == trusting.wire.url_scheme


@wire_cases(CONTRADICTIONS)
def test_contradictions_are_refused(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(*TRUST, kind=kind), delivery)


@pytest.mark.parametrize("target", [b"/", b"/app/a"])
@pytest.mark.parametrize(("line", "key", "value"), UNTRUSTED)
def test_what_a_stranger_says(
    trusting: Server, line: bytes, key: str, value: str | None, target: bytes
) -> None:
    trusting.seen()
    with trusting.connect(source=STRANGER) as client:
        _, port = client.name
        client.send(head(line, start=b"GET " + target + b" HTTP/1.1"))
        assert client.response().status == 200
    (request,) = trusting.seen()
    environ = request["environ"]
    assert environ.get(key) == value
    assert environ["REMOTE_ADDR"] == STRANGER
    assert environ["REMOTE_PORT"] == str(port)
    assert environ[SCHEME] == trusting.wire.url_scheme
    assert environ["HTTP_HOST"] == "a.example"
    assert environ["SERVER_PORT"] == str(trusting.address[1])
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == target.decode()


def test_the_client_in_front_of_a_stranger_does_not_count(trusting: Server) -> None:
    """The peer is not trusted, so it is the client, whatever chain it sends."""
    trusting.seen()
    with trusting.connect(source=STRANGER) as client:
        client.send(head(b"X-Forwarded-For: 203.0.113.7, 127.0.0.1, 10.0.0.1"))
        assert client.response().status == 200
    assert trusting.seen()[0]["environ"]["REMOTE_ADDR"] == STRANGER


def test_trust_does_not_last(trusting: Server) -> None:
    """Each request of a connection is looked at by itself."""
    trusting.seen()
    with trusting.connect() as client:
        client.send(
            head(
                b"X-Forwarded-For: 203.0.113.7",
                b"X-Forwarded-Proto: https",
                b"X-Forwarded-Prefix: /app",
                start=b"GET /1 HTTP/1.1",
            )
            + head(b"X-Forwarded-For: 203.0.113.8", start=b"GET /2 HTTP/1.1")
            + head(start=b"GET /3 HTTP/1.1")
        )
        for _ in range(3):
            assert client.response().status == 200
    # Streams of one connection are served side by side, by whichever thread is first.
    seen = sorted((request["environ"] for request in trusting.seen()), key=itemgetter("PATH_INFO"))
    assert [environ["REMOTE_ADDR"] for environ in seen] == ["203.0.113.7", "203.0.113.8", "127.0.0.1"]
    usual = trusting.wire.url_scheme
    assert [environ[SCHEME] for environ in seen] == ["https", usual, usual]
    assert [environ["SCRIPT_NAME"] for environ in seen] == ["/app", "", ""]


@wire_cases(FORWARDER)
def test_forwarder_headers(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(*TRUST, kind=kind), delivery)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("header_map", ["drop", "refuse"])
def test_forwarder_headers_are_the_proxys_even_if_others_are_refused(
    servers: Servers, kind: str, header_map: str
) -> None:
    """`forwarder_headers` stands over `header_map`, for trusted peers only."""
    options = ("--header-map", header_map, "--forwarder-headers", "SCRIPT_NAME,REMOTE_USER")
    server = servers.get(*TRUST, *options, kind=kind)
    server.seen()
    with server.connect() as client:
        client.send(head(b"REMOTE_USER: ann", b"SCRIPT_NAME: /app", start=b"GET /app/a HTTP/1.1"))
        assert client.response().status == 200
    (request,) = server.seen()
    assert request["environ"]["HTTP_REMOTE_USER"] == "ann"
    assert request["environ"]["SCRIPT_NAME"] == "/app"
    with server.connect(source=STRANGER) as client:
        client.send(head(b"REMOTE_USER: ann", start=b"GET /app/a HTTP/1.1") + SMUGGLED)
        status = client.response().status
    requests = server.seen()
    if header_map == "refuse":
        assert status == 400
        assert requests == []
    else:
        assert status == 200
        assert "HTTP_REMOTE_USER" not in requests[0]["environ"]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_nobody_is_trusted_on_request(servers: Servers, kind: str) -> None:
    server = servers.get("--forwarded-allow-ips=", kind=kind)
    server.seen()
    with server.connect() as client:
        client.send(head(b"X-Forwarded-For: 203.0.113.7"))
        assert client.response().status == 200
    assert server.seen()[0]["environ"]["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_everybody_is_trusted_on_request(servers: Servers, kind: str) -> None:
    """With `*` every address of the chain is trusted, so the left-most is the client."""
    server = servers.get("--forwarded-allow-ips=*", kind=kind)
    server.seen()
    with server.connect(source=STRANGER) as client:
        client.send(head(b"X-Forwarded-For: 203.0.113.7, 198.51.100.1"))
        assert client.response().status == 200
    assert server.seen()[0]["environ"]["REMOTE_ADDR"] == "203.0.113.7"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(("peers", "trusted"), [("unix", True), ("127.0.0.1", False)])
def test_a_unix_socket_is_a_peer_of_its_own(
    servers: Servers, kind: str, tmp_path_factory: pytest.TempPathFactory, peers: str, trusted: bool
) -> None:
    path = str(tmp_path_factory.mktemp("unix") / "socket")
    server = servers.get("--forwarded-allow-ips", peers, kind=kind, address=path)
    server.seen()
    with server.connect() as client:
        client.send(head(b"X-Forwarded-For: 203.0.113.7", b"X-Forwarded-Proto: https"))
        assert client.response().status == 200
    environ = server.seen()[0]["environ"]
    assert environ[SCHEME] == ("https" if trusted else server.wire.url_scheme)
    assert (environ["REMOTE_ADDR"] == "203.0.113.7") is trusted


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_an_ipv6_peer(servers: Servers, kind: str) -> None:
    server = servers.get("--forwarded-allow-ips=127.0.0.1", kind=kind, address=("::1", 0))
    server.seen()
    with server.connect() as client:
        client.send(head(b"X-Forwarded-For: 203.0.113.7"))
        assert client.response().status == 200
    assert server.seen()[0]["environ"]["REMOTE_ADDR"] == "::1"
