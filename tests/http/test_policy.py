"""Who is trusted, and what trusted peers may say: resolve_forwarded over every header that it reads."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tricorn.http.errors import ProtocolError
from tricorn.http.forwarded import (
    CACHED_PEERS,
    LONGEST_CHAIN,
    MOST_SEPARATORS,
    Forwarded,
    HeaderPolicy,
    TrustedPeers,
    resolve_forwarded,
)

SCHEMES = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
PEER = "10.0.0.1"


def policy(*trusted: str, header_map: str = "drop", forwarder: tuple[str, ...] = ()) -> HeaderPolicy:
    return HeaderPolicy(
        TrustedPeers(trusted or ["10.0.0.0/8", "unix"]),
        frozenset(forwarder or ("SCRIPT_NAME", "PATH_INFO")),
        header_map,  # type: ignore[arg-type]  # tests pass plain text
        SCHEMES,
    )


def resolve(*lines: str, rules: HeaderPolicy | None = None, scheme: str = "http") -> Forwarded:
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.lower().encode(), []).append(value.strip().encode("latin-1"))
    return resolve_forwarded(fields, PEER, 4000, scheme, rules or policy())


def client(*lines: str, rules: HeaderPolicy | None = None) -> tuple[str | None, int | str]:
    resolved = resolve(*lines, rules=rules)
    return resolved.client_host, resolved.client_port


class TestTrustedPeers:
    @pytest.mark.parametrize(
        ("entries", "host", "trusted"),
        [
            (["127.0.0.1"], "127.0.0.1", True),
            (["127.0.0.1"], "127.0.0.2", False),
            (["10.0.0.0/8"], "10.255.0.1", True),
            (["10.0.0.0/8"], "11.0.0.1", False),
            ([" 2001:db8::/32 "], "2001:db8:5::1", True),
            (["::1"], "0:0:0:0:0:0:0:1", True),
            (["127.0.0.1"], "::ffff:127.0.0.1", True),
            (["::ffff:10.0.0.0/104"], "10.1.1.1", True),
            (["::ffff:10.0.0.1"], "10.0.0.1", True),
            (["fe80::/10"], "fe80::1%eth0", True),
            (["127.0.0.1", "::1"], None, False),
            (["unix"], None, True),
            (["unix"], "127.0.0.1", False),
            (["*"], "203.0.113.9", True),
            (["*"], None, True),
            (["*"], "what", True),
            (["0.0.0.0/0"], "what", False),
            (["0.0.0.0/0"], "", False),
            ([], "127.0.0.1", False),
        ],
    )
    def test_membership(self, entries: list[str], host: str | None, trusted: bool) -> None:
        peers = TrustedPeers(entries)
        assert peers.trusts(host) is trusted
        assert (host in peers) is trusted, "and again, from the cache"

    @pytest.mark.parametrize(
        ("entry", "hint"),
        [
            ("", "empty"),
            ("localhost", "not looked up"),
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("1.2.3", "is not an address"),
            ("10.0.0.0/33", "is not an address"),
            ("UNIX", "unix"),
        ],
    )
    def test_a_bad_entry_says_what_to_write(self, entry: str, hint: str) -> None:
        with pytest.raises(ValueError, match=hint):
            TrustedPeers(["127.0.0.1", entry])

    def test_the_cache_is_bounded(self) -> None:
        peers = TrustedPeers(["10.0.0.0/8"])
        for number in range(CACHED_PEERS + 10):
            assert peers.trusts(f"10.0.{number >> 8}.{number & 255}")
        assert len(peers._verdicts) <= CACHED_PEERS

    def test_truth(self) -> None:
        assert not TrustedPeers([])
        assert TrustedPeers(["unix"])


class TestClient:
    def test_without_fields_it_is_the_peer(self) -> None:
        assert resolve() == Forwarded(PEER, 4000, "http")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("203.0.113.9", ("203.0.113.9", 0)),
            ("203.0.113.9:5000", ("203.0.113.9", 5000)),
            ("203.0.113.9:99999", ("203.0.113.9", 0)),
            ("2001:DB8::1", ("2001:db8::1", 0)),
            ("[2001:db8::1]", ("2001:db8::1", 0)),
            ("[2001:db8::1]:77", ("2001:db8::1", 77)),
            ("::ffff:203.0.113.9", ("203.0.113.9", 0)),
            ("6.6.6.6, 203.0.113.9", ("203.0.113.9", 0)),
            ("6.6.6.6, 203.0.113.9, 10.0.0.7,10.0.0.8", ("203.0.113.9", 0)),
            (" , 203.0.113.9 ,, ", ("203.0.113.9", 0)),
            ("10.0.0.5, 10.0.0.6", ("10.0.0.5", 0)),
            # What is no address ends the walk; nothing left of it counts.
            ("6.6.6.6, unknown", (PEER, 4000)),
            ("6.6.6.6, evil, 10.0.0.7", ("10.0.0.7", 0)),
            ("6.6.6.6, _hidden, 203.0.113.9", ("203.0.113.9", 0)),
            ("fe80::1%eth0", (PEER, 4000)),
            ("[2001:db8::1", (PEER, 4000)),
            ("[2001:db8::1]x", (PEER, 4000)),
            ("203.0.113.9:http", (PEER, 4000)),
            ("203.0.113.09", (PEER, 4000)),
            ("203.0.113.9/32", (PEER, 4000)),
            ("x" * 8000, (PEER, 4000)),
            ("", (PEER, 4000)),
        ],
    )
    def test_x_forwarded_for(self, value: str, expected: tuple[str, int]) -> None:
        assert client(f"X-Forwarded-For: {value}") == expected

    def test_lines_are_one_list(self) -> None:
        assert client("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9, 10.0.0.9") == (
            "203.0.113.9",
            0,
        )

    def test_everyone_trusted_means_left_most(self) -> None:
        assert client("X-Forwarded-For: 6.6.6.6, 203.0.113.9", rules=policy("*")) == ("6.6.6.6", 0)

    def test_the_chain_is_bounded(self) -> None:
        with pytest.raises(ProtocolError):
            client("X-Forwarded-For: " + ",".join(["10.0.0.1"] * 2000))
        client("X-Forwarded-For: " + ",".join(["10.0.0.1"] * 2000 + ["203.0.113.9"]))

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("for=203.0.113.9", ("203.0.113.9", 0)),
            ('For="203.0.113.9:47"', ("203.0.113.9", 47)),
            ("for=203.0.113.9:47", ("203.0.113.9", 47)),  # quotes forgotten
            ('for="[2001:db8:cafe::17]:4711"', ("2001:db8:cafe::17", 4711)),
            ('for="[2001:db8:cafe::17]"', ("2001:db8:cafe::17", 0)),
            ('for="203.0.113.9:_port"', ("203.0.113.9", 0)),
            (r'for="203.0\.113.9"', ("203.0.113.9", 0)),
            ("for=6.6.6.6, for=203.0.113.9;proto=https, for=10.0.0.9", ("203.0.113.9", 0)),
            ("for=6.6.6.6, for=unknown", (PEER, 4000)),
            ("for=6.6.6.6, for=_gazonk, for=10.0.0.9", ("10.0.0.9", 0)),
            ("for=6.6.6.6, proto=https", (PEER, 4000)),
            ("by=10.0.0.1 ; for=203.0.113.9;", ("203.0.113.9", 0)),
            ("", (PEER, 4000)),
            (",,", (PEER, 4000)),
        ],
    )
    def test_rfc7239(self, value: str, expected: tuple[str, int]) -> None:
        assert client(f"Forwarded: {value}") == expected

    @pytest.mark.parametrize(
        "value",
        [
            "203.0.113.9",
            "for=",
            "for =203.0.113.9",
            'for="203.0.113.9',
            'for="x" y',
            "for=203.0.113.9 proto=https",
            "for=1.1.1.1;for=2.2.2.2",
            'for="evil, for="203.0.113.9"',
            "for=a@b",
        ],
    )
    def test_a_malformed_forwarded_is_refused(self, value: str) -> None:
        with pytest.raises(ProtocolError) as caught:
            resolve(f"Forwarded: {value}")
        assert caught.value.status == 400

    def test_an_open_quote_of_the_client_cannot_swallow_the_line_of_the_proxy(self) -> None:
        with pytest.raises(ProtocolError):
            resolve('Forwarded: for="6.6.6.6', 'Forwarded: for="203.0.113.9"')


class TestScheme:
    @pytest.mark.parametrize(
        ("lines", "scheme"),
        [
            (["X-Forwarded-Proto: https"], "https"),
            (["X-Forwarded-Proto: HTTPS"], "https"),
            (["X-Forwarded-Proto: http"], "http"),
            (["X-Forwarded-Proto: wss"], "https"),
            (["X-Forwarded-Proto: WSS"], "https"),
            (["X-Forwarded-Proto: ws"], "http"),
            (["X-Forwarded-Proto: wss", "X-Forwarded-Ssl: on"], "https"),
            (["X-Forwarded-Ssl: wss"], "http"),
            (["X-Forwarded-Proto:"], "http"),
            (["X-Forwarded-Ssl: on"], "https"),
            (["X-Forwarded-Ssl: off"], "http"),
            (["X-Forwarded-Protocol: ssl", "X-Forwarded-Proto: https"], "https"),
            (["X-Forwarded-Proto: https, https"], "https"),
            (["Forwarded: for=203.0.113.9;proto=https"], "https"),
            (["Forwarded: for=203.0.113.9;proto=HTTPS"], "https"),
            (["Forwarded: for=203.0.113.9;proto=gopher"], "http"),
            (["Forwarded: for=203.0.113.9;proto=wss"], "https"),
            (["Forwarded: for=203.0.113.9;proto=ws"], "http"),
            (["Forwarded: proto=wss", "X-Forwarded-Proto: https"], "https"),
            # The element of the first trusted proxy speaks, not the client's and not the inner hop's.
            (
                ["Forwarded: for=6.6.6.6;proto=https, for=203.0.113.9;proto=http, for=10.0.0.9;proto=https"],
                "http",
            ),
        ],
    )
    def test_headers(self, lines: list[str], scheme: str) -> None:
        assert resolve(*lines, scheme="http").scheme == scheme

    def test_another_value_means_http_even_under_tls(self) -> None:
        assert resolve("X-Forwarded-Proto: http", scheme="https").scheme == "http"
        assert resolve("X-Forwarded-For: 203.0.113.9", scheme="https").scheme == "https"

    @pytest.mark.parametrize(
        "lines",
        [
            ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"],
            ["X-Forwarded-Proto: http", "X-Forwarded-Protocol: ssl"],
            ["X-Forwarded-Proto: wss", "X-Forwarded-Ssl: off"],
            ["X-Forwarded-Proto: https, http", "X-Forwarded-Ssl: on"],
        ],
    )
    def test_contradictions_are_refused(self, lines: list[str]) -> None:
        with pytest.raises(ProtocolError) as caught:
            resolve(*lines)
        assert (caught.value.status, caught.value.rule) == (400, "secure_scheme_headers")


# Who forwarded → how many trusted hops that makes, the peer among them.
CHAINS = {
    "": 1,
    "203.0.113.9": 1,
    "unknown": 1,
    "203.0.113.9, unknown": 1,
    "6.6.6.6, 203.0.113.9": 1,
    "203.0.113.9, 10.0.0.7": 2,
    "evil, 10.0.0.7": 2,
    "6.6.6.6, 203.0.113.9, 10.0.0.7": 2,
    "203.0.113.9, 10.0.0.7, 10.0.0.8": 3,
    "10.0.0.6, 10.0.0.7": 3,  # all of them are trusted
}


class TestLists:
    """A list is read as far as trust reaches, however it is spread over fields."""

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            # What is read with one trusted hop, with two, with three.
            ("https,http", ["http", "https", "https"]),
            ("http, https", ["https", "http", "http"]),
            ("https, http, http", ["http", "http", "https"]),
            ("http, wss, http", ["http", "https", "http"]),
            ("https, , http ,", ["http", "https", "https"]),
            ("https, https", ["https", "https", "https"]),
            (",", ["http", "http", "http"]),
        ],
    )
    @pytest.mark.parametrize("chain", CHAINS)
    def test_scheme(self, chain: str, members: str, words: list[str]) -> None:
        expected = words[CHAINS[chain] - 1]
        forwarded = f"X-Forwarded-For: {chain}"
        assert resolve(forwarded, f"X-Forwarded-Proto: {members}").scheme == expected
        lines = [f"X-Forwarded-Proto: {member}" for member in members.split(",")]
        assert resolve(forwarded, *lines).scheme == expected
        others = members.replace("https", "on").replace("wss", "on")
        assert resolve(forwarded, f"X-Forwarded-Ssl: {others}").scheme == expected

    @pytest.mark.parametrize("chain", CHAINS)
    def test_host_and_port(self, chain: str) -> None:
        hosts, ports = ["a.example", "b.example", "c.example"], [1, 2, 3]
        resolved = resolve(
            f"X-Forwarded-For: {chain}",
            f"X-Forwarded-Host: evil.example, {', '.join(hosts)}",
            f"X-Forwarded-Port: {', '.join(map(str, ports))}",
        )
        assert (resolved.host, resolved.port) == (hosts[-CHAINS[chain]], ports[-CHAINS[chain]])
        assert resolve(f"X-Forwarded-For: {chain}", "X-Forwarded-Host: a.example").host == "a.example"

    def test_of_prefixes_the_nearest_counts(self) -> None:
        lines = ("X-Forwarded-For: 203.0.113.9, 10.0.0.7", "X-Forwarded-Prefix: /outer, /inner")
        assert resolve(*lines).prefix == "/inner"

    def test_everyone_trusted_means_left_most(self) -> None:
        lines = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https, http")
        assert resolve(*lines, rules=policy("*")).scheme == "https"

    @pytest.mark.parametrize("name", ["For", "Host", "Port", "Prefix", "Proto", "Ssl"])
    @pytest.mark.parametrize("spread", [1, 7])
    def test_empty_members_count(self, name: str, spread: int) -> None:
        few = f"X-Forwarded-{name}: " + "," * (LONGEST_CHAIN // spread - 1)
        many = f"X-Forwarded-{name}: " + "," * (LONGEST_CHAIN // spread)
        resolve(*[few] * spread)
        with pytest.raises(ProtocolError, match="too many"):
            resolve(*[many] * spread)

    @pytest.mark.parametrize("separator", [",", ";", ", ", ";,"])
    def test_separators_of_forwarded_count(self, separator: str) -> None:
        resolve("Forwarded: for=203.0.113.9" + separator * (MOST_SEPARATORS // 2))
        with pytest.raises(ProtocolError, match="too many"):
            resolve("Forwarded: for=203.0.113.9" + separator * (MOST_SEPARATORS + 1))

    def test_elements_of_forwarded_count(self) -> None:
        assert client("Forwarded: " + ",".join(["for=203.0.113.9"] * LONGEST_CHAIN)) == ("203.0.113.9", 0)
        with pytest.raises(ProtocolError, match="too many"):
            resolve("Forwarded: " + ",".join(["for=203.0.113.9"] * (LONGEST_CHAIN + 1)))


class TestHostPortPrefix:
    @pytest.mark.parametrize(
        ("lines", "host", "port"),
        [
            (["X-Forwarded-Host: example.org"], "example.org", None),
            (["X-Forwarded-Host: example.org:8443"], "example.org:8443", 8443),
            (["X-Forwarded-Host: [2001:db8::1]:8443"], "[2001:db8::1]:8443", 8443),
            (["X-Forwarded-Host: [::ffff:1.2.3.4]"], "[::ffff:1.2.3.4]", None),
            (["X-Forwarded-Host: evil.example, example.org"], "example.org", None),
            (["X-Forwarded-Host:"], None, None),
            (["X-Forwarded-Port: 443"], None, 443),
            (["X-Forwarded-Host: example.org:1", "X-Forwarded-Port: 443"], "example.org:1", 443),
            (['Forwarded: for=203.0.113.9;host="example.org:8443"'], "example.org:8443", 8443),
            (
                ["Forwarded: for=6.6.6.6;host=evil.example, for=203.0.113.9;host=example.org"],
                "example.org",
                None,
            ),
        ],
    )
    def test_host_and_port(self, lines: list[str], host: str | None, port: int | None) -> None:
        resolved = resolve(*lines)
        assert (resolved.host, resolved.port) == (host, port)

    @pytest.mark.parametrize(
        "host",
        [
            "a b",
            "a/b",
            "user@host",
            "a:b",
            "a:",
            "a:0",
            "a:65536",
            "a:1:2",
            "[::1",
            "[1.2.3.4]",
            "[zz::]",
            "é",
            "a%zz",
            "a\x00b",
            "a?b",
            "a#b",
            "a\\b",
            ":80",
            "[]",
            "<x>",
            "x" * 300,
        ],
    )
    def test_a_malformed_host_is_refused(self, host: str) -> None:
        with pytest.raises(ProtocolError):
            resolve(f"X-Forwarded-Host: {host}")

    @pytest.mark.parametrize("port", ["0", "65536", "-1", "+1", "http", "4 4", "999999"])
    def test_a_malformed_port_is_refused(self, port: str) -> None:
        with pytest.raises(ProtocolError):
            resolve(f"X-Forwarded-Port: {port}")

    @pytest.mark.parametrize(
        ("value", "prefix"),
        [
            ("/app", "/app"),
            ("/app/v1/", "/app/v1"),
            ("/", ""),
            ("/evil, /app", "/app"),
            ("/a.b/c~d", "/a.b/c~d"),
            ("", None),
        ],
    )
    def test_prefix(self, value: str, prefix: str | None) -> None:
        assert resolve(f"X-Forwarded-Prefix: {value}").prefix == prefix

    @pytest.mark.parametrize(
        "value",
        [
            "app",
            "//evil.example",
            "/a//b",
            "/..",
            "/a/../b",
            "/a/..;/b",
            "/./a",
            "/a/.",
            "/a\x01",
            "/a b",
            "/a%2fb",
            "/a?b",
            "/a#b",
            "/a\\b",
            "http://evil.example/",
            "/é",
        ],
    )
    def test_a_malformed_prefix_is_refused(self, value: str) -> None:
        with pytest.raises(ProtocolError):
            resolve(f"X-Forwarded-Prefix: {value}")


class TestBothFamilies:
    def test_they_may_say_the_same(self) -> None:
        resolved = resolve(
            "Forwarded: for=203.0.113.9;proto=https;host=Example.org",
            "X-Forwarded-For: 203.0.113.9",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: example.org",
            "X-Forwarded-Prefix: /app",
        )
        assert resolved == Forwarded("203.0.113.9", 0, "https", "example.org", None, "/app")

    @pytest.mark.parametrize(
        "lines",
        [
            ["Forwarded: for=6.6.6.6", "X-Forwarded-For: 203.0.113.9"],
            ["Forwarded: for=203.0.113.9", "X-Forwarded-For: 6.6.6.6"],
            ["Forwarded: for=203.0.113.9", "X-Forwarded-Proto: https"],
            ["Forwarded: proto=ws", "X-Forwarded-Proto: wss"],
            ["Forwarded: for=203.0.113.9;proto=https", "X-Forwarded-For: 203.0.113.9"],
            [
                "Forwarded: for=203.0.113.9;proto=http",
                "X-Forwarded-For: 203.0.113.9",
                "X-Forwarded-Proto: https",
            ],
            ["Forwarded: for=203.0.113.9", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: evil.example"],
        ],
    )
    def test_else_nobody_is_believed(self, lines: list[str]) -> None:
        with pytest.raises(ProtocolError, match="contradict"):
            resolve(*lines)


class TestUnderscores:
    @pytest.mark.parametrize(
        ("name", "trusted", "rules", "kept"),
        [
            ("script_name", True, policy(), True),
            ("script_name", False, policy(), False),
            ("x_other", True, policy(), False),
            ("x_other", True, policy(forwarder=("*",)), True),
            ("x_other", False, policy(forwarder=("*",)), False),
            ("x_other", False, policy(header_map="dangerous"), True),
        ],
    )
    def test_policy(self, name: str, trusted: bool, rules: HeaderPolicy, kept: bool) -> None:
        assert rules.keeps_underscore(name, trusted) is kept

    def test_refuse(self) -> None:
        with pytest.raises(ProtocolError) as caught:
            policy(header_map="refuse").keeps_underscore("x_other", True)
        assert (caught.value.status, caught.value.rule) == (400, "header_map")
        assert policy(header_map="refuse").keeps_underscore("path_info", True)


NAMES = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
]
VALUES = st.text(st.characters(max_codepoint=255), max_size=40) | st.lists(
    st.sampled_from(
        ["for=", "proto=https", '"', ",", ";", "[::1]", "10.0.0.1", ":80", "/a", "..", "\\", " ", "host=a"]
    )
).map("".join)


@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6))
@example([("forwarded", "for=10.0.0.1;" * 400)])
def test_any_value_is_resolved_or_refused(lines: list[tuple[str, str]]) -> None:
    try:
        resolved = resolve(*(f"{name}:{value}" for name, value in lines))
    except ProtocolError:
        return
    assert resolved.scheme in ("http", "https")
    assert resolved.prefix is None or (".." not in resolved.prefix and resolved.prefix[:1] in ("", "/"))


@given(st.lists(st.ip_addresses(v=4), max_size=5), st.ip_addresses(v=4))
def test_a_client_cannot_choose_its_address(forged: list[object], real: object) -> None:
    """Whatever the client wrote before it, the address that the trusted proxy added is the client."""
    value = ", ".join(map(str, [*forged, real]))
    if str(real).startswith("10."):
        return
    assert client(f"X-Forwarded-For: {value}") == (str(real), 0)
