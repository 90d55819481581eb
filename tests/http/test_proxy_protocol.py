"""PROXY protocol headers: whole, byte by byte, with trailing bytes, and every way of being wrong."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricorn.http.errors import ProtocolError
from tricorn.http.proxy_protocol import V2_SIGNATURE, ProxyHeader, crc32c, parse

V4 = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + (56324).to_bytes(2, "big") + (443).to_bytes(2, "big")
FROM_V4 = (("192.0.2.1", 56324), ("192.0.2.2", 443))


def v2(body: bytes, family: int = 0x11, command: int = 0x21) -> bytes:
    return V2_SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def with_checksum(body: bytes, family: int = 0x11) -> bytes:
    blank = v2(body + tlv(3, bytes(4)), family)
    return blank[:-4] + crc32c(blank).to_bytes(4, "big")


def v6_block(source: str, destination: str) -> bytes:
    packed = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(destination).packed
    return packed + (1).to_bytes(2, "big") + (2).to_bytes(2, "big")


GOOD = {
    "v1 tcp4": (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", FROM_V4),
    "v1 tcp6": (b"PROXY TCP6 2001:DB8::1 ::1 0 65535\r\n", (("2001:db8::1", 0), ("::1", 65535))),
    "v1 tcp6 longest": (
        b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n",
        ((":".join(["ffff"] * 8), 65535),) * 2,
    ),
    "v1 tcp6 mapped": (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 56324 443\r\n",
        FROM_V4,
    ),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", (None, None)),
    "v1 unknown, anything": (b"PROXY UNKNOWN \x00 what ever\r\n", (None, None)),
    "v1 unknown longest": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", (None, None)),
    "v2 tcp4": (v2(V4), FROM_V4),
    "v2 udp4": (v2(V4, 0x12), FROM_V4),
    "v2 tcp6": (v2(v6_block("2001:db8::1", "::1"), 0x21), (("2001:db8::1", 1), ("::1", 2))),
    "v2 tcp6 mapped": (v2(v6_block("::ffff:1.2.3.4", "::1"), 0x22), (("1.2.3.4", 1), ("::1", 2))),
    "v2 unix": (v2(bytes(216), 0x31), (None, None)),
    "v2 unspecified": (v2(b"", 0x00), (None, None)),
    "v2 local": (v2(b"", 0x00, 0x20), (None, None)),
    "v2 local, any family and block": (v2(b"\xff" * 9, 0x99, 0x20), (None, None)),
    "v2 entries": (v2(V4 + tlv(1, b"h2") + tlv(4, b"") + tlv(0xE0, b"x" * 300)), FROM_V4),
    "v2 checksum": (with_checksum(V4 + tlv(1, b"h2")), FROM_V4),
    "v2 longest": (v2(V4 + tlv(4, bytes(4096 - 16 - 12 - 3))), FROM_V4),
}

BAD_V1 = {
    "http": b"GET / HTTP/1.1\r\n",
    "case": b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "no transport": b"PROXY \r\n",
    "transport": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "transport, long": b"PROXY TCP45 192.0.2.1 192.0.2.2 1 2\r\n",
    "unknown, glued": b"PROXY UNKNOWNX\r\n",
    "two spaces": b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "two spaces later": b"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
    "tab": b"PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "field missing": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "field more": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
    "space at the end": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "family": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "family 6": b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "address": b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
    "leading zero": b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
    "name": b"PROXY TCP4 localhost 192.0.2.2 1 2\r\n",
    "zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "port": b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
    "port with zero": b"PROXY TCP4 192.0.2.1 192.0.2.2 080 2\r\n",
    "port with sign": b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
    "last port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
    "bare LF": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    "bare CR": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rGET",
    "bare LF, unknown": b"PROXY UNKNOWN\nGET / HTTP/1.1\r\n",
    "too long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "endless": b"PROXY UNKNOWN " + b"x" * 5000,
}

BAD_V2 = {
    "http": b"GET / HTTP/1.1\r\n",
    "signature": V2_SIGNATURE[:-1] + b"\r" + v2(V4)[12:],
    "version": v2(V4, command=0x11),
    "command": v2(V4, command=0x22),
    "family": v2(V4, 0x41),
    "transport": v2(V4, 0x13),
    "family without transport": v2(V4, 0x10),
    "short for IPv4": v2(V4[:-1]),
    "short for IPv6": v2(V4, 0x21),
    "short for unix": v2(bytes(215), 0x31),
    "too long": v2(V4 + tlv(4, bytes(4096))),
    "entry over the end": v2(V4 + b"\x04\x00\x05abcd"),
    "entry without length": v2(V4 + b"\x04\x00"),
    "checksum wrong": with_checksum(V4)[:-1] + b"\x00",
    "checksum short": v2(V4 + tlv(3, b"abc")),
    "unspecified, broken entries": v2(b"\x01", 0x00),
}


def outcome(data: bytes, mode: str) -> ProxyHeader | str | None:
    try:
        return parse(data, mode)  # type: ignore[arg-type]  # the modes come from parameters
    except ProtocolError as error:
        return "refused" if error.status == 400 else str(error)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("auto", [True, False], ids=["auto", "its version"])
def test_good_headers_in_each_delivery(name: str, auto: bool) -> None:
    data, (source, destination) = GOOD[name]
    mode = "auto" if auto else name[:2]
    expected = ProxyHeader(len(data), source, destination)
    assert outcome(data, mode) == expected
    assert outcome(data + b"GET / HTTP/1.1\r\n" * 500, mode) == expected
    assert parse(memoryview(data + b"x"), "auto") == expected
    for end in range(len(data)):
        assert outcome(data[:end], mode) is None, data[:end]


@pytest.mark.parametrize(
    ("mode", "data"),
    [("v1", data) for data in BAD_V1.values()] + [("v2", data) for data in BAD_V2.values()],
    ids=["v1 " + name for name in BAD_V1] + ["v2 " + name for name in BAD_V2],
)
def test_malformed_headers_are_refused(mode: str, data: bytes) -> None:
    assert outcome(data, mode) == "refused"
    assert outcome(data, "auto") == "refused"
    outcomes = [outcome(data[:end], mode) for end in range(len(data) + 1)]
    wrong = outcomes.index("refused")
    assert outcomes[:wrong] == [None] * wrong
    assert set(outcomes[wrong:]) == {"refused"}, "refused once, refused for ever"


@pytest.mark.parametrize(
    ("data", "mode", "wrong"),
    [
        (b"GET / HTTP/1.1", "auto", 1),
        (b"PUT / HTTP/1.1", "auto", 2),
        (b"\r\nGET /", "auto", 3),
        (b"\x16\x03\x01", "auto", 1),  # a TLS client hello
        (V2_SIGNATURE, "v1", 1),
        (b"PROXY TCP4", "v2", 1),
        (b"PROXY TCP4 a", "v1", 12),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 x", "v1", 28),
        (v2(V4, command=0x31), "v2", 13),
        (v2(V4, 0x77), "v2", 14),
        (v2(V4[:4]), "v2", 16),
    ],
)
def test_the_first_wrong_byte_is_enough(data: bytes, mode: str, wrong: int) -> None:
    assert outcome(data[: wrong - 1], mode) is None
    assert outcome(data[:wrong], mode) == "refused"


def test_one_checksum_is_enough() -> None:
    """Each would cost a pass over the header, though all of them were right."""
    checksum = crc32c(v2(V4 + tlv(3, bytes(4)) * 2)).to_bytes(4)
    with pytest.raises(ProtocolError, match="more than one checksum"):
        parse(v2(V4 + tlv(3, checksum) + tlv(3, bytes(4))), "v2")


def test_checksum_of_the_standard() -> None:
    # RFC 3720 appendix B.4
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"123456789") == 0xE3069283


ports = st.integers(0, 65535)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), ports, ports, st.binary(max_size=20))
def test_v4_roundtrip(source: object, destination: object, port: int, other: int, rest: bytes) -> None:
    line = f"PROXY TCP4 {source} {destination} {port} {other}\r\n".encode()
    expected = ((str(source), port), (str(destination), other))
    assert parse(line + rest, "auto") == ProxyHeader(len(line), *expected)
    packed = b"".join(ipaddress.IPv4Address(str(host)).packed for host in (source, destination))
    header = with_checksum(packed + port.to_bytes(2, "big") + other.to_bytes(2, "big"))
    assert parse(header + rest, "v2") == ProxyHeader(len(header), *expected)


@given(st.ip_addresses(v=6).filter(lambda host: not host.ipv4_mapped), ports)
def test_v6_roundtrip(host: ipaddress.IPv6Address, port: int) -> None:
    line = f"PROXY TCP6 {host.exploded} {host} {port} {port}\r\n".encode()
    assert parse(line, "v1") == ProxyHeader(len(line), (str(host), port), (str(host), port))
    header = v2(host.packed * 2 + port.to_bytes(2, "big") * 2, 0x21)
    assert parse(header, "v2") == ProxyHeader(len(header), (str(host), port), (str(host), port))


@given(st.binary(max_size=200), st.sampled_from(["v1", "v2", "auto"]), st.booleans())
def test_any_bytes_end_in_a_header_a_refusal_or_waiting(data: bytes, mode: str, signed: bool) -> None:
    result = outcome((V2_SIGNATURE + b"\x21" if signed else b"") + data, mode)
    assert result in (None, "refused") or isinstance(result, ProxyHeader)
