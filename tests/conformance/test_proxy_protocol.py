"""The PROXY protocol (HAProxy's proxy-protocol.txt), versions 1 and 2: who the client is, said in front.

Sections cited: §2.1 version 1, §2.2 version 2, §2.2.7 TLVs.
"""

from __future__ import annotations

import ipaddress
import struct

import pytest
from harness.axes import ONE_OF_EACH
from harness.cases import SMUGGLED, Case, accepted, deliver, head, post, run, wire_cases
from harness.server import Server, Servers

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPEC, TCP4, UDP4, TCP6, UDP6, UNIX = 0x00, 0x11, 0x12, 0x21, 0x22, 0x31

V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n"
IP4 = ipaddress.IPv4Address("203.0.113.7").packed + ipaddress.IPv4Address("198.51.100.1").packed
IP6 = ipaddress.IPv6Address("2001:db8::7").packed + ipaddress.IPv6Address("2001:db8::1").packed
PORTS = struct.pack("!HH", 4711, 443)


def v2(
    command: int = PROXY, family: int = TCP4, address: bytes = IP4 + PORTS, *, length: int | None = None
) -> bytes:
    size = len(address) if length is None else length
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", size) + address


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_checksum(tlvs: bytes = b"", *, wrong: int = 0) -> bytes:
    """A version 2 header with PP2_TYPE_CRC32C (0x03), computed over the header with the field zeroed."""
    blank = v2(address=IP4 + PORTS + tlvs + tlv(0x03, b"\0\0\0\0"))
    return blank[:-4] + struct.pack("!I", crc32c(blank) ^ wrong)


FROM_4 = {"REMOTE_ADDR": "203.0.113.7", "REMOTE_PORT": "4711"}
FROM_6 = {"REMOTE_ADDR": "2001:db8::7", "REMOTE_PORT": "4711"}
FROM_PEER = {"REMOTE_ADDR": "127.0.0.1"}

GOOD_1 = [
    ("TCP4", V1, FROM_4),
    ("TCP6", V1_6, FROM_6),
    ("UNKNOWN", b"PROXY UNKNOWN\r\n", FROM_PEER),
    # §2.1: the receiver must ignore anything behind UNKNOWN.
    ("UNKNOWN with addresses", b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", FROM_PEER),
    ("UNKNOWN with words", b"PROXY UNKNOWN what ever\r\n", FROM_PEER),
    ("the longest line, 107 bytes", b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", FROM_PEER),
    ("ports at their ends", b"PROXY TCP4 203.0.113.7 198.51.100.1 65535 0\r\n", {"REMOTE_PORT": "65535"}),
]
BAD_1 = [
    ("108 bytes", b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n"),
    ("no end", b"PROXY UNKNOWN " + b"x" * 200),
    ("LF", V1.replace(b"\r", b"")),
    ("CR", V1.replace(b"\n", b"X")),
    ("lower case", V1.replace(b"PROXY", b"proxy")),
    ("a space before", b" " + V1),
    ("an empty line before", b"\r\n" + V1),
    ("two spaces", V1.replace(b" TCP4", b"  TCP4")),
    ("a tab", V1.replace(b" TCP4", b"\tTCP4")),
    ("a space behind", V1.replace(b"\r\n", b" \r\n")),
    ("another family", V1.replace(b"TCP4", b"UDP4")),
    ("lower-case family", V1.replace(b"TCP4", b"tcp4")),
    ("no family", b"PROXY\r\n"),
    ("no ports", b"PROXY TCP4 203.0.113.7 198.51.100.1\r\n"),
    ("one port", b"PROXY TCP4 203.0.113.7 198.51.100.1 4711\r\n"),
    ("three ports", V1.replace(b"443", b"443 1")),
    ("port too large", V1.replace(b"4711", b"65536")),
    ("port with a sign", V1.replace(b"4711", b"+471")),
    ("port with a leading zero", V1.replace(b"4711", b"0471")),
    ("port that is a word", V1.replace(b"4711", b"http")),
    ("port in other digits", V1.replace(b"4711", "\N{ARABIC-INDIC DIGIT FOUR}".encode())),
    ("address out of range", V1.replace(b"203.", b"256.")),
    ("address of three parts", V1.replace(b"203.0.113.7", b"203.0.113")),
    ("address with leading zeros", V1.replace(b"203.0.113.7", b"203.000.113.7")),
    ("a name for an address", V1.replace(b"203.0.113.7", b"localhost")),
    ("IPv6 in TCP4", V1_6.replace(b"TCP6", b"TCP4")),
    ("IPv4 in TCP6", V1.replace(b"TCP4", b"TCP6")),
    ("an address with a zone", V1_6.replace(b"2001:db8::7", b"fe80::1%lo")),
    ("a bracketed address", V1_6.replace(b"2001:db8::7", b"[2001:db8::7]")),
    ("NUL", V1.replace(b"4711", b"47\x0011")),
    ("twice", V1 + V1),
]

GOOD_2 = [
    ("TCP4", v2(), FROM_4),
    ("TCP6", v2(family=TCP6, address=IP6 + PORTS), FROM_6),
    ("LOCAL", v2(LOCAL, UNSPEC, b""), FROM_PEER),
    # §2.2: with LOCAL the receiver must use the real addresses and discard the rest.
    ("LOCAL with addresses", v2(LOCAL), FROM_PEER),
    ("LOCAL with garbage", v2(LOCAL, UNSPEC, b"\xff" * 50), FROM_PEER),
    ("UNSPEC", v2(PROXY, UNSPEC, b""), FROM_PEER),
    ("unix", v2(PROXY, UNIX, b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0")), {}),
    ("TLV", v2(address=IP4 + PORTS + tlv(0x02, b"b.example")), FROM_4),
    ("TLVs", v2(address=IP4 + PORTS + tlv(0x01, b"h2") + tlv(0x04, b"\0" * 99) + tlv(0xEE, b"x")), FROM_4),
    ("TLV without a value", v2(address=IP4 + PORTS + tlv(0x04, b"")), FROM_4),
    ("a long TLV", v2(address=IP4 + PORTS + tlv(0x04, b"\0" * 2000)), FROM_4),
    ("CRC32C", with_checksum(), FROM_4),
    ("CRC32C behind a TLV", with_checksum(tlv(0x02, b"b.example")), FROM_4),
]
BAD_2 = [
    ("a wrong CRC32C", with_checksum(wrong=1)),
    ("version 1", v2(0x11)),
    ("version 3", v2(0x31)),
    ("another command", v2(0x22)),
    ("another family", v2(family=0x41)),
    ("another transport", v2(family=0x13)),
    ("addresses too short", v2(address=IP4)),
    ("addresses too short for TCP6", v2(family=TCP6, address=IP4 + PORTS)),
    ("no addresses", v2(address=b"")),
    ("TLV over the end", v2(address=IP4 + PORTS + b"\x02\0\x09abc")),
    ("TLV cut in its head", v2(address=IP4 + PORTS + b"\x02\0")),
    ("CRC32C of the wrong size", v2(address=IP4 + PORTS + tlv(0x03, b"\0\0\0"))),
    ("a wrong signature", SIGNATURE[:-1] + b"\r" + v2()[12:]),
    ("twice", v2() + v2()),
]


def cases_of(good: list[tuple[str, bytes, dict[str, str]]]) -> list[Case]:
    return [accepted(name, prefix + head(), environ=environ, method="GET") for name, prefix, environ in good]


def server_for(servers: Servers, version: str, kind: str = "sync") -> Server:
    preamble = v2(LOCAL, UNSPEC, b"") if version == "v2" else b"PROXY UNKNOWN\r\n"
    return servers.get(f"--proxy-protocol={version}", kind=kind, preamble=preamble)


@pytest.mark.parametrize("version", ["v1", "auto"])
@wire_cases(cases_of(GOOD_1))
def test_version_1(case: Case, servers: Servers, kind: str, delivery: str, version: str) -> None:
    run(case, server_for(servers, version, kind), delivery)


@pytest.mark.parametrize("version", ["v2", "auto"])
@wire_cases(cases_of(GOOD_2))
def test_version_2(case: Case, servers: Servers, kind: str, delivery: str, version: str) -> None:
    run(case, server_for(servers, version, kind), delivery)


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        pytest.param(V1, ("TCP4", "198.51.100.1", "443"), id="v1"),
        pytest.param(V1_6, ("TCP6", "2001:db8::1", "443"), id="v1 TCP6"),
        pytest.param(v2(), ("TCP4", "198.51.100.1", "443"), id="v2"),
        pytest.param(v2(family=TCP6, address=IP6 + PORTS), ("TCP6", "2001:db8::1", "443"), id="v2 TCP6"),
        pytest.param(b"PROXY UNKNOWN\r\n", (None, None, None), id="UNKNOWN"),
        pytest.param(v2(LOCAL), (None, None, None), id="LOCAL"),
    ],
)
def test_where_the_client_had_connected(
    servers: Servers, prefix: bytes, told: tuple[str | None, str | None, str | None]
) -> None:
    """In the environ, under Gunicorn's names, for each request of the connection."""
    names = ("PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT")
    server = server_for(servers, "auto")
    server.seen()
    with server.connect() as client:
        client.send(prefix + head() + head())
        assert [client.response().status for _ in range(2)] == [200, 200]
    assert [tuple(map(seen["environ"].get, names)) for seen in server.seen()] == [told] * 2


def check_refused(server: Server, data: bytes, delivery: str = "whole", *, source: str | None = None) -> None:
    """Closed, with a 400 or without a word, and the application saw nothing."""
    server.seen()
    with server.connect(source=source) as client:
        deliver(client, data, delivery)
        response = client.maybe_response()
        if response is not None:
            assert response.status in {400, 403}, response
            client.wait_closed()
    assert server.seen() == []


@pytest.mark.parametrize("delivery", ["whole", "bytes"])
@pytest.mark.parametrize("version", ["v1", "auto"])
@pytest.mark.parametrize("prefix", [pytest.param(prefix, id=name) for name, prefix in BAD_1])
def test_bad_version_1(servers: Servers, version: str, prefix: bytes, delivery: str) -> None:
    check_refused(server_for(servers, version), prefix + SMUGGLED, delivery)


@pytest.mark.parametrize("delivery", ["whole", "bytes"])
@pytest.mark.parametrize("version", ["v2", "auto"])
@pytest.mark.parametrize("prefix", [pytest.param(prefix, id=name) for name, prefix in BAD_2])
def test_bad_version_2(servers: Servers, version: str, prefix: bytes, delivery: str) -> None:
    check_refused(server_for(servers, version), prefix + SMUGGLED, delivery)


# -- whether it is there, and whose it is


@pytest.mark.parametrize("version", ["v1", "v2", "auto"])
def test_a_connection_without_it_is_refused(servers: Servers, kind: str, version: str) -> None:
    """The receiver must not guess: a client could leave it out, or in, as it likes."""
    check_refused(server_for(servers, version, kind), head(start=b"GET /smuggled HTTP/1.1"))


@pytest.mark.parametrize(("version", "prefix"), [("v1", v2()), ("v2", V1)])
def test_the_other_version_is_refused(servers: Servers, version: str, prefix: bytes) -> None:
    check_refused(server_for(servers, version), prefix + SMUGGLED)


@pytest.mark.parametrize("prefix", [V1, v2()])
def test_a_stranger_may_not_use_it(servers: Servers, kind: str, prefix: bytes) -> None:
    server = servers.get(
        "--proxy-protocol=auto", "--proxy-allow-from=127.0.0.1", kind=kind, preamble=b"PROXY UNKNOWN\r\n"
    )
    check_refused(server, prefix + SMUGGLED, source="127.0.0.2")


@pytest.mark.parametrize("prefix", [V1, v2()])
def test_it_is_no_request_when_it_is_off(server: Server, prefix: bytes) -> None:
    check_refused(server, prefix + SMUGGLED)


@pytest.mark.parametrize("prefix", [V1, v2()])
def test_it_holds_for_the_whole_connection(servers: Servers, kind: str, prefix: bytes) -> None:
    server = server_for(servers, "auto", kind)
    server.seen()
    with server.connect() as client:
        client.send(prefix + head() + post(b"hello", b"Content-Length: 5"))
        assert client.response().status == 200
        assert client.response().status == 200
        client.send(head())
        assert client.response().status == 200
    assert [request["environ"]["REMOTE_ADDR"] for request in server.seen()] == ["203.0.113.7"] * 3


@pytest.mark.parametrize("prefix", [V1, v2()])
def test_it_is_not_taken_again(servers: Servers, kind: str, prefix: bytes) -> None:
    """In front of a second request it is no request line."""
    server = server_for(servers, "auto", kind)
    server.seen()
    with server.connect() as client:
        client.send(V1 + head() + prefix + SMUGGLED)
        assert client.response().status == 200
        assert client.response().status == 400
        client.wait_closed()
    assert len(server.seen()) == 1


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_client_of_the_proxy_may_be_a_trusted_forwarder(servers: Servers, kind: str) -> None:
    """The address that the PROXY protocol tells is the peer; if that one is trusted, its headers count."""
    server = servers.get(
        "--proxy-protocol=auto",
        "--forwarded-allow-ips=203.0.113.7",
        kind=kind,
        preamble=b"PROXY UNKNOWN\r\n",
    )
    server.seen()
    forwarded = head(b"X-Forwarded-For: 192.0.2.9")
    for prefix, address in (
        (V1, "192.0.2.9"),
        (V1.replace(b".7", b".8"), "203.0.113.8"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ):
        with server.connect() as client:
            client.send(prefix + forwarded)
            assert client.response().status == 200
        assert server.seen()[0]["environ"]["REMOTE_ADDR"] == address


@pytest.mark.slow
def test_the_idle_time_begins_with_the_header(servers: Servers, kind: str) -> None:
    """Not at some earlier event of the thread that reads it: its clock may be as old as that."""
    server = servers.get(
        "--proxy-protocol=v1",
        "--header-timeout=0",
        "--keep-alive=1",
        kind=kind,
        preamble=b"PROXY UNKNOWN\r\n",
    )
    with server.connect() as client:
        assert client.is_quiet(1.3)
        client.send(V1)
        assert client.is_quiet(0.7)
        client.send(head())
        assert client.response().status == 200
