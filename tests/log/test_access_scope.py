"""The access log of ASGI: what a scope says, what an application may have made of it, WebSockets."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from log.forms import WHEN, line_of, record_as_scope, record_environ

from tricorn.log.access import AccessLog
from tricorn.log.access_format import COMBINED, JSON

SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "https",
    "path": "/mount/é",
    "raw_path": b"/mount/%C3%A9",
    "root_path": "/mount",
    "query_string": b"x=%20",
    "headers": [
        (b"user-agent", b"curl/8"),
        (b"referer", b"https://example.org/"),
        (b"content-type", b"text/plain"),
    ],
    "client": ("192.0.2.1", 50123),
    "server": ("example.org", 8443),
    "state": {"x": 1},
}
WEBSOCKET: dict[str, Any] = {key: value for key, value in SCOPE.items() if key != "method"} | {
    "type": "websocket",
    "scheme": "wss",
    "subprotocols": ["chat"],
}
URI = "/mount/%C3%A9?x=%20"


@pytest.fixture
def scope_line(path: Path) -> Any:
    """Records one request as a scope, and returns what was written, without its line break."""

    def write(
        format: str,
        scope: dict[str, Any],
        headers: Any = (),
        uri: str | None = URI,
        protocol: str | None = "HTTP/1.1",
        status: str | None = "200",
        body_bytes: int = 5,
        duration_ns: int = 1_234_567,
    ) -> str:
        line = line_of(
            path,
            format,
            lambda log: log.record_scope(
                scope, uri, protocol, status, headers, body_bytes, duration_ns, WHEN
            ),
        )
        assert line.endswith("\n")
        assert "\n" not in line[:-1]
        return line[:-1]

    return write


class TestValues:
    @pytest.mark.parametrize(
        ("format", "expected"),
        [
            ("%(h)s", "192.0.2.1"),
            ("%(r)s", "POST /mount/%C3%A9?x=%20 HTTP/1.1"),
            ("%(m)s", "POST"),
            ("%(U)s", "/mount/\\xC3\\xA9"),
            ("%(q)s", "x=%20"),
            ("%(H)s", "HTTP/1.1"),
            ("%({REQUEST_METHOD}e)s", "POST"),
            ("%({RAW_URI}e)s", URI),
            ("%({PATH_INFO}e)s", "/mount/\\xC3\\xA9"),
            ("%({SCRIPT_NAME}e)s", "/mount"),
            ("%({QUERY_STRING}e)s", "x=%20"),
            ("%({SERVER_PROTOCOL}e)s", "HTTP/1.1"),
            ("%({REMOTE_ADDR}e)s", "192.0.2.1"),
            ("%({REMOTE_PORT}e)s", "50123"),
            ("%({SERVER_NAME}e)s", "example.org"),
            ("%({SERVER_PORT}e)s", "8443"),
            ("%({wsgi.url_scheme}e)s", "https"),
            ("%({HTTP_USER_AGENT}e)s", "curl/8"),
            ("%({CONTENT_TYPE}e)s", "text/plain"),
            ("%({remote_port}e)s", "50123"),
            ("%({http_user_agent}e)s", "curl/8"),
            ("%({wsgi.multithread}e)s", "-"),
            ("%({HTTP_}e)s", "-"),
            # The scope's own keys, if they hold text or a number.
            ("%({type}e)s", "http"),
            ("%({http_version}e)s", "1.1"),
            ("%({raw_path}e)s", "/mount/%C3%A9"),
            ("%({state}e)s", "-"),
            ("%({client}e)s", "-"),
            ("%({headers}e)s", "-"),
        ],
    )
    def test_a_scope(self, scope_line: Any, format: str, expected: str) -> None:
        assert scope_line(format, SCOPE) == expected

    def test_text_is_text_in_json(self, scope_line: Any) -> None:
        assert json.loads(scope_line(JSON, SCOPE))["path"] == "/mount/é"

    def test_a_target_is_bytes(self, scope_line: Any) -> None:
        assert scope_line("%(r)s", SCOPE, uri="/é", protocol="é") == "POST /\\xE9 \\xE9"

    def test_a_missing_target_is_the_path(self, scope_line: Any) -> None:
        assert scope_line("%(r)s", SCOPE, uri=None, protocol=None) == "POST /mount/\\xC3\\xA9 -"

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ([(b"x-a", b"1")], "1"),
            (([b"x-a", b"1"],), "1"),
            ([(b"X-A", b"1"), [b"x-a", b"2"], (b"x-b", b"3")], "2"),
            ([(b"x-a", b'"\n')], "\\x22\\x0A"),
            ([(b"x-a", "é")], "\\xC3\\xA9"),
            ([(b"x-a", None)], "-"),
            ([(b"x_a", b"1"), (b"x-aa", b"1"), (b"x-", b"1"), (b"x-a",), (b"x-a", b"1", b"2")], "-"),
            ([b"x-a", b"1", None, 7, (), {b"x-a": b"1"}], "-"),
            (None, "-"),
            ({b"x-a": b"1"}, "-"),
            (iter([(b"x-a", b"1")]), "-"),
            (deque([(b"x-a", b"1")]), "-"),
        ],
    )
    def test_response_headers(self, scope_line: Any, headers: Any, expected: str) -> None:
        assert scope_line("%({X-A}o)s", SCOPE, headers) == expected


class TestRequestHeaders:
    @pytest.mark.parametrize(
        ("values", "cookies", "others"),
        [
            ([b"a"], "a", "a"),
            ([b"a", b"b", b"c"], "a; b; c", "a,b,c"),
            ([b"", b"b"], "; b", ",b"),
            ([b"a", 5, b"b"], "a; b", "a,b"),
            ([None, "text"], "-", "-"),
        ],
    )
    def test_several_are_joined(
        self, scope_line: Any, values: Sequence[Any], cookies: str, others: str
    ) -> None:
        headers = [(name, value) for value in values for name in (b"cookie", b"x-a")]
        line = scope_line("%({Cookie}i)s|%({x-a}i)s|%({x-a}i)s", SCOPE | {"headers": headers})
        assert line == f"{cookies}|{others}|{others}"

    def test_what_is_joined_is_cut_like_one(self, scope_line: Any) -> None:
        for sizes in ([16000, 16000], [20000, 5], [16384, 5], [16383, 5], [5] * 10000):
            values = [bytes([97 + at % 26]) * size for at, size in enumerate(sizes)]
            scope = SCOPE | {"headers": [(b"cookie", value) for value in values]}
            assert scope_line("%({cookie}i)s", scope) == b"; ".join(values)[:16384].decode()

    def test_a_user_among_several(self, scope_line: Any) -> None:
        headers = [(b"authorization", b"Basic ZnJhbms6eA=="), (b"authorization", b"Bearer x")]
        assert scope_line("%(u)s", SCOPE | {"headers": headers}) == "frank"

    def test_an_underscore_of_the_environ_is_either(self, scope_line: Any) -> None:
        for name in (b"x-a-b", b"x_a-b", b"x_a_b", b"X-A-B"):
            scope = SCOPE | {"headers": [(name, b"1")]}
            assert scope_line("%({X-A-B}i)s %({HTTP_X_A_B}e)s %({x_a_b}i)s", scope) == "1 1 1"

    @pytest.mark.parametrize("pairs", [tuple, list])
    @pytest.mark.parametrize("pair", [tuple, list])
    def test_lists_and_tuples(self, scope_line: Any, pairs: Any, pair: Any) -> None:
        headers = pairs([pair([b"user-agent", b"x"])])
        assert scope_line("%(a)s", SCOPE | {"headers": headers}) == "x"


class Hostile:
    """Does foreign things wherever Python code of it could run."""

    def __str__(self) -> str:
        raise AssertionError("no foreign code runs in mid-line")

    __repr__ = __iter__ = __len__ = __bytes__ = __getitem__ = __str__  # type: ignore[assignment]


class Text(str):
    """A str that says something else."""

    def __str__(self) -> str:
        return "\n"


def disguised(name: str) -> str:
    """Wide text of the name's length that starts with its bytes in memory."""
    return (name * 2).encode().decode("utf-16-le")


def generator() -> Iterator[tuple[bytes, bytes]]:
    yield b"referer", b"x"


class TestOddScopes:
    """The application may have written into the scope. That is no reason to lose the line or the worker."""

    @pytest.mark.parametrize(
        ("change", "format", "expected"),
        [
            *[
                ({"headers": headers}, "%(f)s %(a)s %(u)s", "- - -")
                for headers in (
                    None,
                    (),
                    b"referer",
                    {"referer": "x"},
                    generator(),
                    Hostile(),
                    [Hostile(), None, 1, b"ab", "ab", (), (b"referer",), (b"referer", b"x", b"y")],
                    [(Hostile(), b"x"), (None, b"x"), (b"referer", Hostile()), (b"referer", None)],
                    [(b"", b""), ("", ""), (disguised("referer"), b"x")],
                )
            ],
            ({"headers": [("referer", b"x")]}, "%(f)s", "x"),
            *[
                ({"client": client}, "%(h)s %({REMOTE_PORT}e)s", expected)
                for client, expected in (
                    (None, "- -"),
                    ((), "- -"),
                    ("192.0.2.1", "- -"),
                    (b"192.0.2.1", "- -"),
                    ({0: "x"}, "- -"),
                    (Hostile(), "- -"),
                    (("a",), "a -"),
                    (["a", 1], "a 1"),
                    ((b"a", "b", "c"), "a b"),
                    ((None, None), "- -"),
                    (("", 0), "- 0"),
                    ((Hostile(), Hostile()), "- -"),
                    (("a\n", 10**5000), "a\\x0A -"),
                )
            ],
            ({"path": b"/\xe9\n"}, "%(U)s", "/\\xE9\\x0A"),
            ({"path": Text("/x")}, "%(U)s", "/x"),
            ({"path": "/\ud800\U0001f600"}, "%(U)s", "/\\xED\\xA0\\x80\\xF0\\x9F\\x98\\x80"),
            ({"path": Hostile()}, "%(U)s", "-"),
            ({"query_string": "é"}, "%(q)s", "\\xC3\\xA9"),
            ({"query_string": None}, "%(q)s", "-"),
            ({"query_string": bytearray(b"x")}, "%(q)s", "-"),
            ({"method": None}, "%(m)s", "-"),
            ({"method": b"PUT"}, "%(m)s", "PUT"),
            ({"scheme": Hostile()}, "%({wsgi.url_scheme}e)s", "-"),
            ({"server": 7}, "%({SERVER_NAME}e)s %({SERVER_PORT}e)s", "- -"),
        ],
    )
    def test_other_types(self, scope_line: Any, change: dict[str, Any], format: str, expected: str) -> None:
        assert scope_line(format, SCOPE | change) == expected

    @pytest.mark.usefixtures("utc")
    def test_an_empty_scope_is_dashes(self, scope_line: Any) -> None:
        line = scope_line(COMBINED + " %(U)s %(q)s", {}, None, None, None, None, 0)
        assert line == '- - - [21/Nov/2026:09:00:00 +0000] "- - -" - - "-" "-" - -'
        fields = json.loads(scope_line(JSON, {}, None, None, None, None, 0))
        assert [fields[name] for name in ("remote_addr", "method", "path", "query", "protocol")] == [None] * 5
        assert (fields["status"], "request_id" in fields) == (0, False)

    def test_a_key_that_takes_the_headers_away(self, scope_line: Any) -> None:
        scope: dict[Any, Any] = {}
        calls = []
        # So many that their tuple goes back to the system: Python keeps short ones, with the pairs in them.
        headers = [(b"user-agent", b"x")] + [(b"y", b"z")] * 99

        class Key:
            def __hash__(self) -> int:
                return hash("client")

            def __eq__(self, other: object) -> bool:
                if "headers" not in scope:
                    return False
                calls.append(other)
                del scope["headers"]
                raise RuntimeError

        scope |= {Key(): 1, "client": ("192.0.2.1", 1), "headers": tuple(headers)}
        assert scope_line("%(a)s %(h)s %(a)s %(h)s", scope) == "x - x 192.0.2.1"
        assert calls == ["client"]


class TestWebSocket:
    """One line when the connection ends: 101, the bytes that were sent, how long it was open."""

    HEADERS = ((b"upgrade", b"websocket"), (b"sec-websocket-protocol", b"chat"))

    @pytest.mark.usefixtures("utc")
    def test_a_connection(self, scope_line: Any) -> None:
        line = scope_line(
            COMBINED + " %(T)s %(L)s %({sec-websocket-protocol}o)s %({wsgi.url_scheme}e)s %({type}e)s",
            WEBSOCKET,
            self.HEADERS,
            status="101",
            body_bytes=5_000_000_000,
            duration_ns=90_061_000_001_000,
        )
        assert line == (
            '192.0.2.1 - - [21/Nov/2026:09:00:00 +0000] "GET /mount/%C3%A9?x=%20 HTTP/1.1" 101 5000000000 '
            '"https://example.org/" "curl/8" 90061 90061.000001 chat wss websocket'
        )

    def test_json(self, scope_line: Any) -> None:
        fields = json.loads(scope_line(JSON, WEBSOCKET, self.HEADERS, status="101", duration_ns=10**14))
        assert [fields[name] for name in ("method", "status", "bytes", "duration_us")] == [
            "GET",
            101,
            5,
            10**11,
        ]

    def test_one_that_was_refused(self, scope_line: Any) -> None:
        assert scope_line("%(m)s %(s)s %(b)s", WEBSOCKET, [], status="403", body_bytes=0) == "GET 403 -"

    @pytest.mark.parametrize("kind", ["http", "lifespan", disguised("websocket"), b"x", None, 9])
    def test_only_a_websocket_needs_no_method(self, scope_line: Any, kind: Any) -> None:
        assert scope_line("%(m)s", WEBSOCKET | {"type": kind}) == "-"

    def test_the_method_that_is_there_counts(self, scope_line: Any) -> None:
        assert scope_line("%(m)s", WEBSOCKET | {"method": "CONNECT"}) == "CONNECT"


TOKEN = st.text("abcXYZ-", min_size=1, max_size=6)
LATIN = st.text(st.characters(max_codepoint=255), max_size=20)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {
            "REMOTE_ADDR": LATIN.filter(str.isascii),
            "REMOTE_PORT": st.just("50000"),
            "REQUEST_METHOD": TOKEN,
            "RAW_URI": LATIN,
            "PATH_INFO": st.text(max_size=20).map(lambda path: path.encode().decode("latin-1")),
            "QUERY_STRING": LATIN,
            "SERVER_PROTOCOL": st.sampled_from(["HTTP/1.0", "HTTP/1.1"]),
        },
        optional={
            "HTTP_REFERER": LATIN,
            "HTTP_USER_AGENT": LATIN,
            "HTTP_AUTHORIZATION": LATIN | st.just("Basic ZnJhbms6eA=="),
            "HTTP_X_REQUEST_ID": LATIN,
            "CONTENT_LENGTH": LATIN,
        },
    ),
    st.lists(st.tuples(TOKEN, LATIN), max_size=3),
)
def test_a_request_has_the_same_line_in_both_forms(
    environ: dict[str, str], headers: list[tuple[str, str]]
) -> None:
    reader, writer = os.pipe()
    try:
        log = AccessLog(
            COMBINED + " %(m)s %(U)s %(q)s %(H)s %({content-length}i)s %({a}o)s %({REMOTE_PORT}e)s", writer
        )
        lines = []
        for record in (record_environ, record_as_scope):
            record(log, environ, "200 OK", headers, 5, 7, WHEN)
            log.flush()
            lines.append(os.read(reader, 1 << 16))
        assert lines[0] == lines[1]
    finally:
        os.close(reader)
        os.close(writer)


ANY = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.binary(max_size=9)
    | st.text(max_size=9)
    | st.builds(Hostile),
    lambda values: st.lists(values, max_size=3) | st.lists(values, max_size=3).map(tuple),
    max_leaves=6,
)
PAIRS = st.lists(
    st.tuples(st.sampled_from([b"cookie", b"referer", b"user-agent", b"authorization", "x"]), ANY) | ANY,
    max_size=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from([*SCOPE, "subprotocols", "x"]), ANY | st.sampled_from(["http", "websocket"])
    ),
    PAIRS | PAIRS.map(tuple) | ANY,
    PAIRS | ANY,
    st.none() | LATIN | st.text(max_size=5),
    st.none() | LATIN,
)
@example(
    {"client": ("\n", "\n"), "path": "\n", "query_string": b"\n"}, [(b"cookie", b"\n")] * 2, [], "\n", "\n"
)
def test_any_scope_is_one_line(
    scope: dict[str, Any], fields: Any, headers: Any, uri: str | None, status: str | None
) -> None:
    reader, writer = os.pipe()
    try:
        atoms = (
            '"%(U)s" "%(q)s" "%({cookie}i)s" "%({x}o)s" "%({x}e)s" "%({REMOTE_PORT}e)s" "%({SERVER_NAME}e)s" '
        )
        for format in (atoms + COMBINED, JSON):
            log = AccessLog(format, writer)
            log.record_scope(scope | {"headers": fields}, uri, uri, status, headers, 1, 1, WHEN)
            log.flush()
            line = os.read(reader, 1 << 16)
            assert re.fullmatch(rb"[ -~]+\n", line)
            if format is JSON:
                json.loads(line)
            else:
                # A client that is no address stands unquoted; everything in quotes stays in them.
                assert line.count(b'"') == 2 * 7 + 2 * 3
    finally:
        os.close(reader)
        os.close(writer)
