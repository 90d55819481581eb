"""RFC 9112 §5 and RFC 9110 §5, §7.2: field names, field values, Host, names with underscores."""

from __future__ import annotations

from harness.cases import Case, accepted, head, refused, run, wire_cases
from harness.server import Servers

TOKEN = b"!#$%&'*+-.^`|~09azAZ"


def field(name: str, line: bytes, **environ: str | None) -> Case:
    return accepted(name, head(line), environ=environ)


def bad(name: str, *lines: bytes) -> Case:
    return refused(name, head(*lines))


# RFC 9112 §5.1: no white space between the name and the colon; it has let requests be smuggled.
NAMES = [
    field("a plain field", b"X-Plain: v", HTTP_X_PLAIN="v"),
    field("names compare without case", b"x-PLAIN: v", HTTP_X_PLAIN="v"),
    field("all token characters", TOKEN + b": v"),
    field("a name of one letter", b"X: v", HTTP_X="v"),
    bad("space before the colon", b"X : v"),
    bad("tab before the colon", b"X\t: v"),
    bad("space before the colon of Content-Length", b"Content-Length : 0"),
    bad("space before the colon of Transfer-Encoding", b"Transfer-Encoding : chunked"),
    bad("space in the name", b"X y: v"),
    bad("no colon", b"X"),
    bad("an empty name", b": v"),
    bad("a space for a name", b" : v"),
    refused("leading space on the first field", b"GET / HTTP/1.1\r\n Host: a.example\r\n\r\n"),
    refused("leading tab on the first field", b"GET / HTTP/1.1\r\n\tHost: a.example\r\n\r\n"),
    *[
        bad(f"name with {byte:#04x}", b"X" + bytes([byte]) + b"Y: v")
        for byte in b'\0\x01\x0b\x1f\x7f\x80\xff"(),/;<=>?@[\\]{}'
    ],
]

# RFC 9112 §5.2: a server that gets obs-fold MUST refuse it with 400 or replace it; we refuse.
FOLDS = [
    bad("obs-fold with a space", b"X: a", b" b"),
    bad("obs-fold with a tab", b"X: a", b"\tb"),
    bad("obs-fold behind an empty value", b"X:", b" b"),
    bad("obs-fold of white space only", b"X: a", b"  "),
    bad("obs-fold of Transfer-Encoding", b"Transfer-Encoding:", b" chunked"),
    bad("obs-fold of Host", b"X: y", b" Host: b"),
]

# RFC 9110 §5.5: CR, LF and NUL are dangerous; other CTLs are invalid; obs-text passes.
VALUES = [
    field("an empty value", b"X:", HTTP_X=""),
    field("a value of white space", b"X: \t ", HTTP_X=""),
    field("no space behind the colon", b"X:v", HTTP_X="v"),
    field("trimmed at both ends", b"X: \t v w \t ", HTTP_X="v w"),
    field("a tab inside", b"X: v\tw", HTTP_X="v\tw"),
    field("a colon inside", b"X: v:w", HTTP_X="v:w"),
    field("a colon first", b"X::v", HTTP_X=":v"),
    field(
        "all visible characters", b"X: " + bytes(range(0x21, 0x7F)), HTTP_X=bytes(range(0x21, 0x7F)).decode()
    ),
    field("UTF-8", "X: é".encode(), HTTP_X="\xc3\xa9"),
    field(
        "all bytes from 0x80",
        b"X: " + bytes(range(0x80, 0x100)),
        HTTP_X=bytes(range(0x80, 0x100)).decode("latin-1"),
    ),
    field("trimming leaves no-break space", b"X: \xa0v\xa0", HTTP_X="\xa0v\xa0"),
    field("two fields of one name", b"X: a\r\nX: b", HTTP_X="a,b"),
    field("four fields of one name", b"X: a\r\nX: b\r\nY: z\r\nX:\r\nx: c", HTTP_X="a,b,,c", HTTP_Y="z"),
    field("Cookie keeps its own separator", b"Cookie: a=b\r\nCookie: c=d", HTTP_COOKIE="a=b; c=d"),
    field("Content-Type has no prefix", b"Content-Type: a/b", CONTENT_TYPE="a/b", HTTP_CONTENT_TYPE=None),
    field("Content-Length has no prefix", b"Content-Length: 0", CONTENT_LENGTH="0", HTTP_CONTENT_LENGTH=None),
    *[
        bad(f"value with {byte:#04x}", b"X: a" + bytes([byte]) + b"b")
        for byte in [*range(0x09), *range(0x0A, 0x20), 0x7F]
    ],
    bad("a CTL as the last byte of a value", b"X: a\x01"),
    bad("NUL as the only byte of a value", b"X: \0"),
]

# RFC 9112 §3.2: exactly one valid Host in HTTP/1.1, else 400. RFC 3986 §3.2.2 says what is valid.
GOOD_HOSTS = [
    b"a.example",
    b"A.Example",
    b"a.example:8080",
    b"a.example:",
    b"a.example:0",
    b"localhost",
    b"127.0.0.1",
    b"127.0.0.1:80",
    b"[::1]",
    b"[::1]:80",
    b"[2001:db8::ff00:42:8329]",
    b"[::ffff:192.0.2.1]",
    b"a_b.example",
    b"a-b.example",
    b"a.example.",
    b"xn--bcher-kva.example",
    b"a%2Db.example",
    b"a!$&'()*+,;=b",
]
BAD_HOSTS = [
    b"a b",
    b"a.example/",
    b"a.example/b",
    b"a.example?b",
    b"a.example#b",
    b"u@a.example",
    b"u:p@a.example",
    b"http://a.example",
    b"a.example:b",
    b"a.example:80:80",
    b"a.example:-1",
    b"a.example:+80",
    b"a.example: 80",
    b"a.example :80",
    b"[::1",
    b"::1",
    b"[::1]a",
    b"[::1]:b",
    b"[a.example]",
    b"[]",
    b"a[b",
    b"a]b",
    b"a\\b",
    b"a|b",
    b'a"b',
    b"a<b>",
    b"a{b}",
    b"a^b",
    b"a`b",
    b"a%b",
    b"a%zz",
    b"a, b",
    b"a\xe9",
    "bücher.example".encode(),
]
HOSTS = [
    *[
        accepted(f"Host {host.decode()}", head(host=host), environ={"HTTP_HOST": host.decode()})
        for host in GOOD_HOSTS
    ],
    *[refused(f"bad Host {host.decode('latin-1')}", head(host=host)) for host in BAD_HOSTS],
    accepted("Host is trimmed", head(host=b" \ta.example\t "), environ={"HTTP_HOST": "a.example"}),
    refused("no Host", head(host=None)),
    refused("two Hosts", head(b"Host: b.example")),
    refused("two equal Hosts", head(b"Host: a.example")),
    refused("two Hosts in different case", head(b"hOST: a.example")),
    refused("two Hosts in HTTP/1.0", head(b"Host: b.example", start=b"GET / HTTP/1.0")),
    refused("bad Host in HTTP/1.0", head(start=b"GET / HTTP/1.0", host=b"a b")),
    refused("bad Host without a path", head(start=b"OPTIONS * HTTP/1.1", host=b"a/b")),
    accepted("no Host in HTTP/1.0", head(start=b"GET / HTTP/1.0", host=None), closes=True),
    # Health checks of load balancers. In HTTP/1.1 it is refused (RFC 9110 §4.2.1).
    accepted(
        "an empty Host in HTTP/1.0 is absent",
        head(start=b"GET / HTTP/1.0", host=b""),
        closes=True,
        environ={"HTTP_HOST": None},
    ),
    accepted(
        "an empty Host in HTTP/1.0, kept alive",
        head(b"Connection: keep-alive", b"X: y", start=b"GET / HTTP/1.0", host=b" \t"),
        environ={"HTTP_HOST": None, "HTTP_X": "y"},
    ),
    accepted(
        "an empty Host in HTTP/1.0 with an authority",
        head(start=b"GET http://b.example/ HTTP/1.0", host=b""),
        closes=True,
        environ={"HTTP_HOST": "b.example"},
    ),
    refused("an empty Host", head(host=b"")),
    refused("an empty Host beside another in HTTP/1.0", head(b"Host:", start=b"GET / HTTP/1.0")),
    refused("an empty Host before another in HTTP/1.0", head(b"Host: b", start=b"GET / HTTP/1.0", host=b"")),
    refused("two empty Hosts in HTTP/1.0", head(b"Host:", start=b"GET / HTTP/1.0", host=b"")),
]

# `_` and `-` are the same in the environ, so a client could forge a field that a proxy sets (CWE-444).
UNDERSCORES = [
    field("a name with an underscore is dropped", b"X_Under: v", HTTP_X_UNDER=None),
    field("it does not add to the real one", b"X-Under: a\r\nX_Under: b", HTTP_X_UNDER="a"),
    field("nor when it comes first", b"X_Under: b\r\nX-Under: a", HTTP_X_UNDER="a"),
    field("one of several separators", b"X-A_B: v", HTTP_X_A_B=None),
    field("only underscores", b"___: v", HTTP____=None),
    field("no Content-Length in disguise", b"Content_Length: 5", CONTENT_LENGTH=None),
    field("no Content-Type in disguise", b"Content_Type: a/b", CONTENT_TYPE=None),
    field("no Transfer-Encoding in disguise", b"Transfer_Encoding: chunked", HTTP_TRANSFER_ENCODING=None),
    field("no Expect in disguise", b"Expec_t: nonsense"),
    bad("a bad value is refused all the same", b"X_Under: a\0b"),
]
UNDERSCORES_REFUSED = [
    bad("a name with an underscore", b"X_Under: v"),
    bad("one that a forwarder may set, in other words", b"X_SCRIPT_NAME: v"),
    field("a name with a hyphen", b"X-Under: v", HTTP_X_UNDER="v"),
]
UNDERSCORES_KEPT = [
    field("a name with an underscore", b"X_Under: v", HTTP_X_UNDER="v"),
    field("with its namesake", b"X-Under: a\r\nX_Under: b", HTTP_X_UNDER="a,b"),
    # Whatever the setting, CGI's own variables are not the client's to set (RFC 3875 §4.1.18).
    field("no Content-Length in disguise", b"Content_Length: 5", CONTENT_LENGTH=None),
]


@wire_cases(NAMES)
def test_field_name(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(FOLDS)
def test_obs_fold(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(VALUES)
def test_field_value(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(HOSTS)
def test_host(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(UNDERSCORES)
def test_underscores_are_dropped(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(UNDERSCORES_REFUSED)
def test_underscores_are_refused(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get("--header-map", "refuse", kind=kind), delivery)


@wire_cases(UNDERSCORES_KEPT)
def test_underscores_are_kept(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get("--header-map", "dangerous", kind=kind), delivery)
