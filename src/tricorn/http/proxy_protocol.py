"""The PROXY protocol: who connected, said by the load balancer before the first byte of the client.

Knows: versions 1 and 2 of haproxy.org/download/3.0/doc/proxy-protocol.txt (cited as "PROXY §2.1").
Must not know: sockets, settings, who may send it (`TrustedPeers` decides before anything is parsed here).

`parse` is a pure function of the bytes that have come so far. It is called again when more have come: a
header is small, so starting over costs less than a state machine. It raises as soon as one byte cannot
belong to a header, since a peer that does not speak the protocol must not keep a connection (PROXY §2).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal

from tricorn.http.errors import ProtocolError
from tricorn.http.forwarded import parse_address
from tricorn.records import dataclass

Mode = Literal["v1", "v2", "auto"]

V1_PREFIX: Final = b"PROXY "
V1_LONGEST: Final = 107  # PROXY §2.1, with CRLF: the longest line that its grammar allows
V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
V2_FIXED: Final = 16
# The length field allows 65535. Real headers carry addresses, a checksum, a name and perhaps a certificate's
# subject; nginx stops at 4096 too.
V2_LONGEST: Final = 4096

_LOCAL, _PROXY = 0x20, 0x21  # version 2, command
# Family and transport → size of the address block. What is not here is refused (PROXY §2.2).
_ADDRESS_SIZES: Final = {0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
_TLV_CRC32C: Final = 0x03

# Transport of version 1 → the characters of its addresses and the longest one. inet_ntop writes IPv4-mapped
# addresses with dots, so dots stand in IPv6 too.
_V1_ADDRESSES: Final = {
    b"TCP4": (re.compile(rb"[0-9.]{0,15}"), 4),
    b"TCP6": (re.compile(rb"[0-9A-Fa-f:.]{0,45}"), 6),
}
_V1_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")
_V1_PART_OF_PORT: Final = re.compile(rb"(?:0|[1-9][0-9]{0,4})?")

Address = tuple[str, int]


@dataclass(frozen=True)
class ProxyHeader:
    """`consumed` bytes were the header. No addresses (LOCAL, UNKNOWN, unix) means: keep the real peer."""

    consumed: int
    source: Address | None = None
    destination: Address | None = None


def parse(buffer: bytes | bytearray | memoryview, mode: Mode) -> ProxyHeader | None:
    """The header that `buffer` starts with, or None while bytes are missing.

    ProtocolError at the first wrong byte.
    """
    data = bytes(buffer[: V2_LONGEST + V2_FIXED])
    if mode == "v1" or (mode == "auto" and data[:1] == V1_PREFIX[:1]):
        return _parse_v1(data)
    return _parse_v2(data)


# --- version 1: one line ------------------------------------------------------------------------


def _parse_v1(data: bytes) -> ProxyHeader | None:
    """PROXY TCP4 192.0.2.1 192.0.2.2 56324 443<CR><LF>"""
    if data[: len(V1_PREFIX)] != V1_PREFIX[: len(data)]:
        raise _wrong_v1("the connection does not start with a PROXY line")
    line, cr, after = data[:V1_LONGEST].partition(b"\r")
    fields = line[len(V1_PREFIX) :].split(b" ")
    if fields[0] == b"UNKNOWN":
        # "The receiver must ignore anything presented before the CRLF."
        if b"\n" in line:
            raise _wrong_v1("the PROXY line contains a bare line feed")
        source = destination = None
    else:
        source, destination = _v1_addresses(fields, complete=bool(cr))
    if after and after[:1] != b"\n":
        raise _wrong_v1("the PROXY line contains a bare carriage return")
    if after:
        return ProxyHeader(len(line) + 2, source, destination)
    if len(data) >= V1_LONGEST:
        raise _wrong_v1("the PROXY line is too long")
    return None


def _v1_addresses(fields: list[bytes], complete: bool) -> tuple[Address | None, Address | None]:
    """Check the fields that are there. The last one may be cut short unless the line is complete."""
    transport = fields[0]
    if len(fields) == 1 and not complete:
        if not any(known.startswith(transport) for known in (*_V1_ADDRESSES, b"UNKNOWN")):
            raise _wrong_v1("the PROXY line names an unknown transport")
        return None, None
    if transport not in _V1_ADDRESSES:
        raise _wrong_v1("the PROXY line names an unknown transport")
    if len(fields) > 5 or (complete and len(fields) != 5):
        raise _wrong_v1("the PROXY line does not have two addresses and two ports")
    whole = fields if complete else fields[:-1]
    hosts = [_v1_host(transport, field) for field in whole[1:3]]
    ports = [_v1_port(field) for field in whole[3:5]]
    if not complete:
        pattern = _V1_ADDRESSES[transport][0] if len(fields) <= 3 else _V1_PART_OF_PORT
        if not pattern.fullmatch(fields[-1]):
            raise _wrong_v1("the PROXY line has a malformed address or port")
        return None, None
    return (hosts[0], ports[0]), (hosts[1], ports[1])


def _v1_host(transport: bytes, field: bytes) -> str:
    characters, version = _V1_ADDRESSES[transport]
    address = parse_address(field.decode("ascii")) if characters.fullmatch(field) else None
    # An IPv4-mapped address comes back as IPv4 under TCP6, so the colon tells the family.
    if address is None or (version == 6) != (b":" in field):
        raise _wrong_v1("the PROXY line has a malformed address")
    return str(address)


def _v1_port(field: bytes) -> int:
    if not _V1_PORT.fullmatch(field) or int(field) > 65535:
        raise _wrong_v1("the PROXY line has a malformed port")
    return int(field)


def _wrong_v1(reason: str) -> ProtocolError:
    return ProtocolError(400, "PROXY §2.1", reason)


# --- version 2: binary --------------------------------------------------------------------------


def _parse_v2(data: bytes) -> ProxyHeader | None:
    """Signature, version and command, family, length; then addresses, then type-length-value entries."""
    if data[: len(V2_SIGNATURE)] != V2_SIGNATURE[: len(data)]:
        raise _wrong_v2("the connection does not start with a PROXY header")
    if len(data) > 12 and data[12] not in (_LOCAL, _PROXY):
        raise _wrong_v2("the PROXY header has an unknown version or command")
    local = len(data) > 12 and data[12] == _LOCAL
    # LOCAL: "the receiver must discard the protocol block including the family", so any will do.
    if len(data) > 13 and not local and data[13] not in _ADDRESS_SIZES:
        raise _wrong_v2("the PROXY header has an unknown address family")
    if len(data) < V2_FIXED:
        return None
    end = V2_FIXED + int.from_bytes(data[14:16], "big")
    if end > V2_LONGEST:
        raise _wrong_v2("the PROXY header is too long")
    addresses_end = V2_FIXED + (0 if local else _ADDRESS_SIZES[data[13]])
    if addresses_end > end:
        raise _wrong_v2("the PROXY header is shorter than its addresses")
    if len(data) < end:
        return None
    if local:
        return ProxyHeader(end)
    _check_tlvs(data[:end], addresses_end)
    return ProxyHeader(end, *_v2_addresses(data[13], data[V2_FIXED:addresses_end]))


def _v2_addresses(family: int, block: bytes) -> tuple[Address | None, Address | None]:
    """Both addresses, then both ports. A unix socket has no address that an application could use."""
    size = {0x10: 4, 0x20: 16}.get(family & 0xF0)
    if size is None:
        return None, None
    hosts = [_packed(block[:size]), _packed(block[size : 2 * size])]
    ports = [
        int.from_bytes(block[2 * size : 2 * size + 2], "big"),
        int.from_bytes(block[2 * size + 2 :], "big"),
    ]
    return (hosts[0], ports[0]), (hosts[1], ports[1])


def _packed(address: bytes) -> str:
    if len(address) == 4:
        return str(ipaddress.IPv4Address(address))
    v6 = ipaddress.IPv6Address(address)
    return str(v6.ipv4_mapped or v6)


def _check_tlvs(header: bytes, position: int) -> None:
    """Walk over the entries; each must end inside the header. The checksum must be right if there is one."""
    has_checksum = False
    while position < len(header):
        value = position + 3
        end = value + int.from_bytes(header[position + 1 : value], "big")
        if value > len(header) or end > len(header):
            raise _wrong_v2("an entry of the PROXY header extends beyond its end")
        if header[position] == _TLV_CRC32C:
            # Each costs a pass over the whole header.
            if has_checksum:
                raise _wrong_v2("the PROXY header has more than one checksum")
            has_checksum = True
            zeroed = header[:value] + bytes(end - value) + header[end:]
            if end - value != 4 or crc32c(zeroed) != int.from_bytes(header[value:end], "big"):
                raise _wrong_v2("the checksum of the PROXY header is wrong")
        position = end


def _wrong_v2(reason: str) -> ProtocolError:
    return ProtocolError(400, "PROXY §2.2", reason)


# --- CRC-32C, RFC 3720 appendix B.4 -------------------------------------------------------------


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli's polynomial, bits reversed
    return byte


_CRC_TABLE: Final = tuple(_crc_of_byte(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """The checksum of `data`. zlib's crc32 has another polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
