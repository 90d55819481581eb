"""Who may say who the client is: trusted peers and the headers that proxies add.

Knows: addresses, networks, X-Forwarded-*, RFC 7239, the secure scheme headers, names with an underscore.
Must not know: sockets, settings objects, how an environ looks. No I/O; the caller has parsed the head.

The rules for values that do not fit (docs/behind-a-proxy.md says them to operators):

- An address that is none stops the walk: the client is then the nearest hop that is known. Never further
  left, where the client itself can write.
- Lists are read as far as trust reaches: every proxy may have added a word, and the client may have written
  words before them. With n trusted hops (the peer, and those that the walk passes) the n-th from the right is
  the word of the first trusted proxy, who saw the client's own request. So `https,http` is no contradiction.
  The same holds for host and port, to which chains of proxies append in the same way.
- A host, port or prefix that is malformed, and a `Forwarded` that does not follow its grammar, is refused
  (400). To ignore it would route or log the request in a way that the proxy did not mean.
- `Forwarded` beside X-Forwarded-* must say the same about client, scheme and host, else 400. A proxy keeps
  one of the two families and passes the other through, so where they differ one is the client's own writing,
  and nothing tells which.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from tricorn.http.errors import ProtocolError
from tricorn.records import dataclass

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
HeaderMap = Literal["drop", "refuse", "dangerous"]
Fields = Mapping[bytes, Sequence[bytes]]

# The names that `resolve_forwarded` reads, beside the scheme headers of the policy.
FORWARDED_NAMES: frozenset[bytes] = frozenset(
    [b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix"]
)

# Peers whose verdict is remembered. Behind a proxy there are a handful; without one the cache must not grow.
CACHED_PEERS = 4096
# Addresses and hosts in headers that are remembered; all that is dear in `resolve_forwarded` is to check them
# (18 µs a request without, 4 with). Clients choose these values, so what is remembered is short.
CACHED_VALUES = 4096
LONGEST_HOST = 262  # 253 octets of a DNS name, brackets, a colon and a port
LONGEST_HOP = 64  # 45 characters of an address, brackets, a colon and a port, which may be an obfuscated one

# Some proxies call the scheme of a WebSocket by its own name (Traefik does).
_SECURE_SCHEMES = frozenset([b"https", b"wss"])

# RFC 3986 §3.2.2 uri-host and an optional port, as in RFC 9110 §7.2. ipaddress checks what is in brackets.
_HOST = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]{1,5}))?"
)
_PORT = re.compile(rb"[0-9]{1,5}")
# One or more segments of RFC 3986 pchar, without the percent sign: an escape could hide a slash or a dot.
_PREFIX = re.compile(rb"(?:/[A-Za-z0-9\-._~!$&'()*+;=:@]+)+/?")

# RFC 7239 §4: token "=" ( token / quoted-string ). Colons and brackets should stand in quotes, but some
# proxies forget them; they end nothing, so they are taken.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LOOSE_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z:\[\]]+"
_QUOTED = rb'"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"'  # RFC 9110 §5.6.4
_PAIR = re.compile(rb"(" + _TOKEN + rb")=(?:(" + _LOOSE_TOKEN + rb")|" + _QUOTED + rb")")
_SPACE = re.compile(rb"[ \t]*")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

# Members of a list that are looked at, empty ones too, and so the trusted proxies that one request may have
# passed: work for each request has to have an end.
LONGEST_CHAIN = 100
# Commas and semicolons of all `Forwarded` fields: four pairs (by, for, host, proto) for each hop.
MOST_SEPARATORS = 4 * LONGEST_CHAIN


class TrustedPeers:
    """A set of peers: addresses, networks, `unix` for peers on a unix socket, `*` for everyone.

    `host in trusted` is one dictionary lookup for a host that was asked about before.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._everyone = False
        self._unix = False
        self._networks: list[IPNetwork] = []
        for entry in entries:
            word = entry.strip()
            if word == "*":
                self._everyone = True
            elif word == "unix":
                self._unix = True
            else:
                self._networks.append(_parse_network(word))
        self._verdicts: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return self._everyone or self._unix or bool(self._networks)

    def __contains__(self, host: str | None) -> bool:
        return self.trusts(host)

    def trusts(self, host: str | None) -> bool:
        """Is the peer trusted? None is a peer on a unix socket; `*` alone trusts text that is no address."""
        if self._everyone:
            return True
        if host is None:
            return self._unix
        verdict = self._verdicts.get(host)
        if verdict is None:
            address = parse_address(host.partition("%")[0])  # fe80::1%eth0: the zone is ours, not the peer's
            verdict = address is not None and any(address in network for network in self._networks)
            if len(self._verdicts) >= CACHED_PEERS:
                self._verdicts.clear()
            self._verdicts[host] = verdict
        return verdict


@dataclass(frozen=True)
class HeaderPolicy:
    """What is believed, and from whom."""

    trusted: TrustedPeers
    forwarder_headers: frozenset[str]  # names with an underscore that a trusted peer may set; "*" for all
    header_map: HeaderMap  # what happens to other names with an underscore
    secure_scheme_headers: Mapping[str, str]  # name → the value that means https

    @cached_property
    def scheme_headers(self) -> dict[bytes, frozenset[bytes]]:
        """Lower-case name → lower-case values that mean https."""
        return {
            name.lower().encode("latin-1"): _secure_words(value.lower().encode("latin-1"))
            for name, value in self.secure_scheme_headers.items()
        }

    def keeps_underscore(self, name: str, trusted: bool) -> bool:
        """Does a header whose name has an underscore reach the application? ProtocolError if it is refused.

        `X_Forwarded_For` and `X-Forwarded-For` are one name in an environ, so one could stand for the other.
        """
        if trusted and ("*" in self.forwarder_headers or name.upper() in self.forwarder_headers):
            return True
        if self.header_map == "refuse":
            raise ProtocolError(400, "header_map", "a field name contains an underscore")
        return self.header_map == "dangerous"


def _secure_words(word: bytes) -> frozenset[bytes]:
    return _SECURE_SCHEMES if word == b"https" else frozenset([word])


class Forwarded(NamedTuple):
    """What the request looked like to the first trusted proxy."""

    client_host: str | None  # None: a client on a unix socket
    client_port: int | str  # 0 where a proxy named the address only
    scheme: str
    host: str | None = None  # uri-host [":" port], to stand for the Host field; None: not forwarded
    port: int | None = None  # the port of the server that the client used
    prefix: str | None = None  # "/app": where the proxy has mounted the application


class _Hop(NamedTuple):
    address: str | None  # None: hidden, unknown, or no address at all
    port: int


class _Claims(NamedTuple):
    """What one family of headers says; None where it says nothing."""

    client: _Hop | None
    scheme: str | None
    host: str | None
    port: int | None


def resolve_forwarded(
    fields: Fields, peer_host: str | None, peer_port: int | str, scheme: str, policy: HeaderPolicy
) -> Forwarded:
    """The request as the client sent it, from the fields that a trusted peer forwarded.

    The caller has made sure that the peer is trusted. `fields` has lower-case names, and values in order.
    """
    claims = _x_forwarded(fields, policy)
    if b"forwarded" in fields:
        standard = _rfc7239(fields[b"forwarded"], policy.trusted)
        if any(name in fields for name in FORWARDED_NAMES - {b"forwarded"} | policy.scheme_headers.keys()):
            _must_agree(claims, standard)
        else:
            claims = standard
    port = claims.port
    if port is None and claims.host is not None:
        _, colon, digits = claims.host.rpartition(":")
        port = int(digits) if colon and digits.isdigit() and not claims.host.endswith("]") else None
    client = claims.client
    return Forwarded(
        client_host=client.address if client else peer_host,
        client_port=client.port if client else peer_port,
        scheme=claims.scheme or scheme,
        host=claims.host,
        port=port,
        prefix=_prefix(fields),
    )


def _must_agree(claims: _Claims, standard: _Claims) -> None:
    same_client = (claims.client and claims.client.address) == (standard.client and standard.client.address)
    same_host = (claims.host or "").lower() == (standard.host or "").lower()
    if not (same_client and same_host and claims.scheme == standard.scheme):
        raise ProtocolError(
            400, "forwarded_allow_ips", "Forwarded and X-Forwarded-* fields contradict each other"
        )


# --- X-Forwarded-* ------------------------------------------------------------------------------


def _x_forwarded(fields: Fields, policy: HeaderPolicy) -> _Claims:
    hops = (_parse_hop(member) for member in _members_from_right(fields.get(b"x-forwarded-for", ())))
    client, passed = _walk(hops, policy.trusted)
    reach = passed + 1  # the peer is a trusted hop too
    host = _word(fields, b"x-forwarded-host", reach)
    return _Claims(
        client,
        _secure_scheme(fields, policy, reach),
        _checked_host(host) if host else None,
        _checked_port(_word(fields, b"x-forwarded-port", reach)),
    )


def _members_from_right(lines: Sequence[bytes]) -> Iterator[bytes]:
    """The members of a list field, last first, without empty ones (RFC 9110 §5.6.1)."""
    looked_at = 0
    for line in reversed(lines):
        end = len(line)
        while end >= 0:
            if looked_at == LONGEST_CHAIN:
                raise _too_many_proxies()
            looked_at += 1
            comma = line.rfind(b",", 0, end)
            member = line[comma + 1 : end].strip(b" \t")
            if member:
                yield member
            end = comma


def _word(fields: Fields, name: bytes, reach: int) -> bytes | None:
    """The member that the first trusted proxy wrote, `reach` hops away; the left-most if there are fewer."""
    words = list(islice(_members_from_right(fields.get(name, ())), reach))
    return words[-1] if words else None


def _walk(hops: Iterable[_Hop], trusted: TrustedPeers) -> tuple[_Hop | None, int]:
    """The right-most hop that is not trusted, and how many trusted hops stand right of it.

    `hops` come from the right. If all are trusted it is the left-most; if one is hidden, the hop right of it.
    """
    client: _Hop | None = None
    passed = 0
    for hop in hops:
        if hop.address is None:
            break
        client = hop
        if not trusted.trusts(hop.address):
            break
        passed += 1
    return client, passed


def _too_many_proxies() -> ProtocolError:
    return ProtocolError(400, "RFC 7239 §5.2", "the request passed through too many proxies")


def _secure_scheme(fields: Fields, policy: HeaderPolicy, reach: int) -> str | None:
    """https if a scheme header has a secure value, http if it has another, None without such a header."""
    verdicts = {
        (_word(fields, name, reach) or b"").lower() in secure
        for name, secure in policy.scheme_headers.items()
        if name in fields
    }
    if len(verdicts) == 2:
        raise ProtocolError(400, "secure_scheme_headers", "the scheme fields contradict each other")
    if not verdicts:
        return None
    return "https" if verdicts.pop() else "http"


@lru_cache(CACHED_VALUES)
def _checked_host(value: bytes) -> str:
    matched = _HOST.fullmatch(value) if len(value) <= LONGEST_HOST else None
    good = matched is not None
    if matched and matched[1] is not None:
        good = b":" in matched[1] and parse_address(matched[1].decode()) is not None
    if matched and matched[2] is not None:
        good = good and 0 < int(matched[2]) < 65536
    if not good:
        raise ProtocolError(400, "RFC 9110 §7.2", "the forwarded host is malformed")
    return value.decode("ascii")


def _checked_port(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not _PORT.fullmatch(value) or not 0 < int(value) < 65536:
        raise ProtocolError(400, "X-Forwarded-Port", "the forwarded port is malformed")
    return int(value)


def _prefix(fields: Fields) -> str | None:
    """Of a list the last member: how the application is mounted is the business of the nearest proxy."""
    value = _word(fields, b"x-forwarded-prefix", 1)
    return None if value is None else checked_prefix(value)


def checked_prefix(value: bytes) -> str:
    """A path to mount an application at, without a slash at its end. ProtocolError where it is none."""
    if value in (b"", b"/"):
        return ""
    if not _PREFIX.fullmatch(value) or b".." in value or b"/./" in value + b"/":
        raise ProtocolError(400, "X-Forwarded-Prefix", "the forwarded prefix is malformed")
    return value.rstrip(b"/").decode("ascii")


# --- RFC 7239 -----------------------------------------------------------------------------------


def _rfc7239(lines: Sequence[bytes], trusted: TrustedPeers) -> _Claims:
    """The claims of the element that the first trusted proxy wrote: the one that the walk ends at."""
    if sum(line.count(b",") + line.count(b";") for line in lines) > MOST_SEPARATORS:
        raise _too_many_proxies()
    # Each line is parsed by itself: a quote that a client left open in its line must not swallow the proxy's.
    elements = [element for line in lines for element in _parse_elements(line)]
    if len(elements) > LONGEST_CHAIN:
        raise _too_many_proxies()
    if not elements:
        return _Claims(None, None, None, None)
    elements.reverse()
    client, passed = _walk((_parse_hop(element.get(b"for", b"unknown")) for element in elements), trusted)
    element = elements[min(passed, len(elements) - 1)]
    scheme = host = None
    if b"proto" in element:
        scheme = "https" if element[b"proto"].lower() in _SECURE_SCHEMES else "http"
    if element.get(b"host"):
        host = _checked_host(element[b"host"])
    return _Claims(client, scheme, host, None)


def _parse_elements(line: bytes) -> Iterator[dict[bytes, bytes]]:
    """The elements of one field line: `for=a;proto=https, for=b` (RFC 7239 §4)."""
    element: dict[bytes, bytes] = {}
    position = _skip_space(line, 0)
    while position < len(line):
        if line[position] not in b",;":
            pair = _PAIR.match(line, position)
            if pair is None or pair[1].lower() in element:
                raise _malformed_forwarded()
            value = pair[2] if pair[2] is not None else b"".join(_ESCAPED.split(pair[3]))
            element[pair[1].lower()] = value
            position = _skip_space(line, pair.end())
            if position < len(line) and line[position] not in b",;":
                raise _malformed_forwarded()
        if line[position : position + 1] == b"," and element:
            yield element
            element = {}
        position = _skip_space(line, position + 1)
    if element:
        yield element


def _skip_space(line: bytes, position: int) -> int:
    matched = _SPACE.match(line, position)
    return matched.end() if matched else position


def _malformed_forwarded() -> ProtocolError:
    return ProtocolError(400, "RFC 7239 §4", "the Forwarded field is malformed")


# --- addresses ----------------------------------------------------------------------------------


def parse_address(text: str) -> IPAddress | None:
    """An address without zone; ::ffff:192.0.2.1 is 192.0.2.1, as a dual-stack socket shows IPv4 peers so."""
    if "%" in text or "/" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _parse_network(word: str) -> IPNetwork:
    """One entry of a list of trusted peers. ValueError says what to write."""
    if not word:
        raise ValueError("an entry is empty; write addresses, networks, unix or *, separated by commas")
    try:
        network = ipaddress.ip_network(word)
    except ValueError:
        raise ValueError(_what_is_wrong_with(word)) from None
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _what_is_wrong_with(word: str) -> str:
    try:
        wider = ipaddress.ip_network(word, strict=False)
    except ValueError:
        return (
            f"{word!r} is not an address (192.0.2.1, 2001:db8::1), a network (10.0.0.0/8), unix or *; "
            "host names are not looked up"
        )
    alone = word.partition("/")[0]
    return f"{word!r} is an address inside a network: write {wider} for the network, {alone} for the address"


def _parse_hop(text: bytes) -> _Hop:
    """One hop of X-Forwarded-For or `for=`: address, address:port, [address]:port, unknown, _hidden."""
    return _parse_short_hop(text) if len(text) <= LONGEST_HOP else _Hop(None, 0)


@lru_cache(CACHED_VALUES)
def _parse_short_hop(text: bytes) -> _Hop:
    name, port = text, b""
    if text.startswith(b"["):
        name, bracket, tail = text[1:].partition(b"]")
        if not bracket or (tail and not tail.startswith(b":")):
            return _Hop(None, 0)
        port = tail[1:]
    elif text.count(b":") == 1:
        name, _, port = text.partition(b":")
    address = parse_address(name.decode("latin-1"))
    if address is None or (port and not _PORT.fullmatch(port) and not port.startswith(b"_")):
        return _Hop(None, 0)
    number = int(port) if port.isdigit() else 0
    return _Hop(str(address), number if number < 65536 else 0)
