"""The opening handshake of a WebSocket (RFC 6455 §4.2), and the terms of its compression (RFC 7692 §7.1).

A request for a WebSocket is read into a `Handshake`, or refused with a `ProtocolError`. What the application
accepts it with is checked against it (`ResponseError`) and becomes the head of the 101.

Memory of one compressed connection, in bytes; each half is taken when first needed and then kept, unless its
side has no context takeover:

    compressor      2 ** (server_max_window_bits + 2) + 2 ** (mem_level + 9) + 6 KiB
    decompressor    2 ** client_max_window_bits + 7 KiB

With 12 bits and level 5, the defaults, 38 + 11 KiB; with 15 and 8, as zlib has them, 262 + 39 KiB. JSON in
messages of 1 KB shrinks to 27 % with the former and level 4, to 24 % with the latter and level 6.

Knows: header fields, what both sides may ask of each other. Must not know: frames, settings objects,
applications.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tricorn.http.errors import ProtocolError, ResponseError
from tricorn.http.websocket import Deflate
from tricorn.records import dataclass

DEFLATE = "permessage-deflate"
VERSION = b"13"

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3

# RFC 9110 §5.6.2, §5.6.4. RFC 6455 wants a token in a quoted-string too, once its escapes are gone.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_IS_TOKEN = re.compile(_TOKEN).fullmatch
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(" + _TOKEN + rb")(?:[ \t]*=[ \t]*(?:(" + _TOKEN + rb")|(" + _QUOTED + rb")))?"
)
_NAME = re.compile(_TOKEN)
_GAP = re.compile(rb"[ \t]*(?:,[ \t]*)*")  # empty elements of a list are to be ignored, RFC 9110 §5.6.1.2
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
# Commas and semicolons of all offers. Browsers send one offer with one parameter, or none.
MOST_SEPARATORS = 400
# Patterns, because to take a list of separators apart costs 150 ns for each of them.
_NAMES_UPGRADE = re.compile(rb"(?:^|,)[ \t]*upgrade[ \t]*(?:,|\Z)", re.IGNORECASE).search
_NAMES_WEBSOCKET = re.compile(rb"(?:^|,)[ \t]*websocket[ \t]*(?:,|\Z)", re.IGNORECASE).search
_BITS = re.compile(r"[89]|1[0-5]").fullmatch  # RFC 7692 §7.1.2.1: without leading zeros
_IS_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch

# What the server writes itself, and why the application may not.
_HOP_BY_HOP = frozenset(
    [
        *(b"connection", b"upgrade", b"keep-alive", b"proxy-connection", b"te", b"trailer"),
        *(b"transfer-encoding", b"content-length"),
    ]
)
_OURS = b"sec-websocket-"


class HandshakeError(ProtocolError):
    """A request for a WebSocket that cannot become one.

    fields: header lines that the answer needs, each with its CR LF (bytes).
    """

    def __init__(self, status: int, rule: str, reason: str, fields: bytes = b"") -> None:
        super().__init__(status, rule, reason)
        self.fields = fields


class Offer(NamedTuple):
    """An extension that the client offers. A parameter without a value has None."""

    name: str
    parameters: tuple[tuple[str, str | None], ...]


class Handshake(NamedTuple):
    """A request for a WebSocket. `subprotocols` and `offers` in the client's order of preference."""

    key: bytes
    subprotocols: tuple[str, ...]
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class DeflatePolicy:
    """What the server grants of permessage-deflate. ValueError for what zlib or the RFC does not have.

    server_max_window_bits, client_max_window_bits: 9 to 15, the most memory for either direction (zlib has no
    8). A client's can be limited only if it offers that; else it has 15.
    server_no_context_takeover, client_no_context_takeover: each message by itself, no memory between them.
    mem_level: 1 to 9. level: 0 to 9, the effort. threshold: bytes, shorter messages are sent as they are.

    Level 4 takes two thirds of the time of zlib's 6, and JSON gets 7 % longer. A message below the threshold
    fits one packet in any case, and a connection that sends no longer ones never has a compressor.
    """

    enabled: bool = True
    server_max_window_bits: int = 12
    client_max_window_bits: int = 12
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    mem_level: int = 5
    level: int = 4
    threshold: int = 128

    def __post_init__(self) -> None:
        if not (9 <= self.server_max_window_bits <= 15 and 9 <= self.client_max_window_bits <= 15):
            raise ValueError("window bits must be from 9 to 15")
        Deflate(mem_level=self.mem_level, level=self.level)


class Negotiated(NamedTuple):
    """`value`: for Sec-WebSocket-Extensions of the answer. `deflate`: for the frames of this connection."""

    value: bytes
    deflate: Deflate


def is_upgrade(value: bytes) -> bool:
    """Does the value of an Upgrade field ask for a WebSocket? RFC 6455 §4.2.1, item 3."""
    return _NAMES_WEBSOCKET(value) is not None


def accept_key(key: bytes) -> bytes:
    """The value of Sec-WebSocket-Accept, RFC 6455 §4.2.2, item 5.4."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


def read_handshake(method: str | bytes, version: int, headers: Sequence[tuple[bytes, bytes]]) -> Handshake:
    """A request whose Upgrade names websocket. Raises HandshakeError: 400, or 426 for another version.

    version: of HTTP, 10, 11 or 20. headers: names in lower case, values without the blanks around them.
    Over HTTP/2 the request line says all that it has to (RFC 8441 §5), and there is no key.
    """
    key = b""
    if version < 20:
        _check_upgrade(method, version, headers)
    _check_version(_values(headers, b"sec-websocket-version"))
    offered = _values(headers, b"sec-websocket-extensions")
    if sum(value.count(b",") + value.count(b";") for value in offered) > MOST_SEPARATORS:
        raise _bad("RFC 6455 §9.1", "too many extensions are offered")
    if version < 20:
        key = _read_key(_values(headers, b"sec-websocket-key"))
    return Handshake(
        key,
        _read_subprotocols(_values(headers, b"sec-websocket-protocol")),
        tuple(offer for value in offered for offer in read_extensions(value)),
    )


def _check_upgrade(method: str | bytes, version: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
    if method not in ("GET", b"GET"):
        raise _bad("RFC 6455 §4.1", "a WebSocket handshake must use GET")
    if version < 11:
        raise _bad("RFC 6455 §4.1", "a WebSocket handshake requires HTTP/1.1")
    if not any(_NAMES_UPGRADE(value) for value in _values(headers, b"connection")):
        raise _bad("RFC 6455 §4.2.1", "the Connection field does not contain Upgrade")


def read_extensions(value: bytes) -> list[Offer]:
    """The elements of a Sec-WebSocket-Extensions field, RFC 6455 §9.1. Raises HandshakeError."""
    offers = []
    at = _skip(_GAP, value, 0)
    while at < len(value):
        name = _NAME.match(value, at)
        if name is None:
            raise _bad("RFC 6455 §9.1", "the Sec-WebSocket-Extensions field is malformed")
        at = name.end()
        parameters = []
        while match := _PARAMETER.match(value, at):
            parameters.append((match[1].decode("ascii"), _parameter_value(match[2], match[3])))
            at = match.end()
        offers.append(Offer(name[0].decode("ascii"), tuple(parameters)))
        end = _skip(_GAP, value, at)
        if end < len(value) and b"," not in value[at:end]:
            raise _bad("RFC 6455 §9.1", "the Sec-WebSocket-Extensions field is malformed")
        at = end
    if not offers:
        raise _bad("RFC 6455 §9.1", "the Sec-WebSocket-Extensions field is empty")
    return offers


def negotiate(offers: Iterable[Offer], policy: DeflatePolicy) -> Negotiated | None:
    """The first offer of permessage-deflate that can be accepted. None: nothing will be compressed.

    An offer with a parameter that is unknown, twice there or has a wrong value is declined (RFC 7692 §7.1).
    """
    if not policy.enabled:
        return None
    for offer in offers:
        if offer.name == DEFLATE and (granted := _grant(offer, policy)) is not None:
            return granted
    return None


def accept_head(
    handshake: Handshake,
    subprotocol: str | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    negotiated: Negotiated | None = None,
) -> bytes:
    """The head of the 101 (RFC 6455 §4.2.2). Raises ResponseError for what the application must not say.

    subprotocol: one of those that the client offered. headers: what the application adds.
    """
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_key(handshake.key),
    ]
    lines += [
        name + b": " + value for name, value in accept_fields(handshake, subprotocol, headers, negotiated)
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def accept_fields(
    handshake: Handshake,
    subprotocol: str | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    negotiated: Negotiated | None = None,
) -> list[tuple[bytes, bytes]]:
    """Those that the answer has whatever version of HTTP carries it; over HTTP/2 these are all (RFC 8441 §5).
    As accept_head()."""
    if subprotocol is not None and subprotocol not in handshake.subprotocols:
        offered = ", ".join(handshake.subprotocols) or "none"
        raise ResponseError(f"the client did not offer the subprotocol {subprotocol!r}; it offered {offered}")
    fields = []
    if subprotocol is not None:
        fields.append((b"Sec-WebSocket-Protocol", subprotocol.encode("ascii")))
    if negotiated is not None:
        fields.append((b"Sec-WebSocket-Extensions", negotiated.value))
    return fields + [_checked_field(name, value) for name, value in headers]


def _bad(rule: str, reason: str) -> HandshakeError:
    return HandshakeError(400, rule, reason)


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _skip(pattern: re.Pattern[bytes], value: bytes, at: int) -> int:
    match = pattern.match(value, at)
    return match.end() if match else at


def _check_version(values: list[bytes]) -> None:
    if len(values) > 1:
        raise _bad("RFC 6455 §11.3.5", "there is more than one Sec-WebSocket-Version field")
    if values != [VERSION]:
        # RFC 6455 §4.4 for the version; RFC 9110 §15.5.22: a 426 says what to upgrade to.
        fields = b"Upgrade: websocket\r\nSec-WebSocket-Version: " + VERSION + b"\r\n"
        raise HandshakeError(426, "RFC 6455 §4.4", "the version of the WebSocket protocol must be 13", fields)


def _read_key(values: list[bytes]) -> bytes:
    if len(values) != 1:
        raise _bad("RFC 6455 §11.3.1", "there must be exactly one Sec-WebSocket-Key field")
    try:
        nonce = binascii.a2b_base64(values[0], strict_mode=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise _bad("RFC 6455 §4.1", "the Sec-WebSocket-Key is not 16 bytes in base64")
    return values[0]


def _read_subprotocols(values: list[bytes]) -> tuple[str, ...]:
    """RFC 6455 §11.3.4: several fields are one list."""
    names = [name for value in values for part in value.split(b",") if (name := part.strip(b" \t"))]
    if not all(map(_IS_TOKEN, names)):
        raise _bad("RFC 6455 §4.1", "a subprotocol is not a token")
    if len(set(names)) != len(names):
        raise _bad("RFC 6455 §4.1", "a subprotocol is repeated")
    if values and not names:
        raise _bad("RFC 6455 §4.1", "the Sec-WebSocket-Protocol field is empty")
    return tuple(name.decode("ascii") for name in names)


def _parameter_value(token: bytes | None, quoted: bytes | None) -> str | None:
    if quoted is not None:
        token = b"".join(_ESCAPED.split(quoted[1:-1]))
        if not _IS_TOKEN(token):
            raise _bad("RFC 6455 §9.1", "a quoted parameter of an extension is not a token")
    return None if token is None else token.decode("ascii")


def _grant(offer: Offer, policy: DeflatePolicy) -> Negotiated | None:
    """What this offer comes to; None: it is declined. RFC 7692 §7.1."""
    asked = dict(offer.parameters)
    if len(asked) != len(offer.parameters) or not all(_is_valid(*parameter) for parameter in asked.items()):
        return None
    server_bits = min(int(asked.get("server_max_window_bits") or 15), policy.server_max_window_bits)
    client_bits = 15  # §7.1.2.2: must not be limited unless the client says that it can be
    if "client_max_window_bits" in asked:
        client_bits = min(int(asked["client_max_window_bits"] or 15), policy.client_max_window_bits)
    deflate = Deflate(
        policy.server_no_context_takeover or "server_no_context_takeover" in asked,
        # §7.1.1.2: a hint of the client, which saves memory here.
        policy.client_no_context_takeover or "client_no_context_takeover" in asked,
        server_bits,
        client_bits,
        mem_level=policy.mem_level,
        level=policy.level,
        threshold=policy.threshold,
    )
    words = [
        DEFLATE,
        *(["server_no_context_takeover"] if deflate.server_no_context_takeover else []),
        *(["client_no_context_takeover"] if deflate.client_no_context_takeover else []),
        # §7.1.2.1: a limit that was asked for has to be confirmed.
        *(
            [f"server_max_window_bits={server_bits}"]
            if server_bits < 15 or "server_max_window_bits" in asked
            else []
        ),
        *([f"client_max_window_bits={client_bits}"] if client_bits < 15 else []),
    ]
    return Negotiated("; ".join(words).encode("ascii"), deflate)


def _is_valid(name: str, value: str | None) -> bool:
    if name in ("server_no_context_takeover", "client_no_context_takeover"):
        return value is None
    if name == "client_max_window_bits":
        return value is None or _BITS(value) is not None
    return name == "server_max_window_bits" and value is not None and _BITS(value) is not None


def _checked_field(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise ResponseError("header names and values must be bytes")
    if not _IS_TOKEN(name):
        raise ResponseError(f"{name!r} is not a valid header name")
    if not _IS_VALUE(value):
        raise ResponseError(f"the value of the header {name.decode('ascii')} contains a control character")
    lower = name.lower()
    if lower in _HOP_BY_HOP or lower.startswith(_OURS):
        hint = ", and name the subprotocol in websocket.accept" if lower == b"sec-websocket-protocol" else ""
        raise ResponseError(f"the header {name.decode('ascii')} is set by the server; leave it out{hint}")
    return name, value.strip(b" \t")
