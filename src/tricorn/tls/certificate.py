"""What a certificate and a revocation list say of themselves (RFC 5280 §4, §5).

Knows: their fields. Must not know: files, contexts, the current time, who is to be trusted (OpenSSL does).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime

from tricorn.records import dataclass
from tricorn.tls import der
from tricorn.tls.der import DERError, Value

SUBJECT_ALT_NAME = "2.5.29.17"

#: Tags of the alternatives of GeneralName (RFC 5280 §4.2.1.6).
_EMAIL, _DNS, _ADDRESS = 0x81, 0x82, 0x87
#: Tags that the syntax gives to fields by their number.
_VERSION, _EXTENSIONS = 0xA0, 0xA3


@dataclass(frozen=True)
class Attribute:
    """One attribute of a distinguished name. kind: its object identifier."""

    kind: str
    value: Value


#: From the most general part to the most special one. Nearly always each has one attribute.
DistinguishedName = tuple[tuple[Attribute, ...], ...]


@dataclass(frozen=True)
class Certificate:
    """What was read. serial: the bytes of the number. Times are UTC.

    dns, emails, addresses: the names of those kinds in the extension subjectAltName.
    """

    der: bytes
    version: int
    serial: bytes
    subject: DistinguishedName
    issuer: DistinguishedName
    not_before: datetime
    not_after: datetime
    signature_algorithm: str
    key_algorithm: str
    dns: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative if it has expired."""
        return (self.not_after - now).days


@dataclass(frozen=True)
class RevocationList:
    """next_update: after it OpenSSL accepts no certificate of this issuer; None: the list does not say."""

    issuer: DistinguishedName
    next_update: datetime | None


def read_certificate(data: bytes) -> Certificate:
    """Raises DERError."""
    outer = der.Sequence(der.read_only(data, der.SEQUENCE))
    fields = der.Sequence(outer.take(der.SEQUENCE))
    version = _version(fields.maybe_take(_VERSION))
    serial = fields.take(der.INTEGER).content
    signature_algorithm = _algorithm(fields.take(der.SEQUENCE))
    issuer = _distinguished_name(fields.take(der.SEQUENCE))
    validity = der.Sequence(fields.take(der.SEQUENCE))
    not_before, not_after = der.instant(validity.take()), der.instant(validity.take())
    subject = _distinguished_name(fields.take(der.SEQUENCE))
    key = der.Sequence(fields.take(der.SEQUENCE))
    key_algorithm = _algorithm(key.take(der.SEQUENCE))
    fields.maybe_take(0x81, 0xA1)  # issuerUniqueID and subjectUniqueID: nobody uses them
    fields.maybe_take(0x82, 0xA2)
    names = list(_alternative_names(fields.maybe_take(_EXTENSIONS)))
    return Certificate(
        der=data,
        version=version,
        serial=serial,
        subject=subject,
        issuer=issuer,
        not_before=not_before,
        not_after=not_after,
        signature_algorithm=signature_algorithm,
        key_algorithm=key_algorithm,
        dns=tuple(_ascii(name) for name in names if name.tag == _DNS),
        emails=tuple(_ascii(name) for name in names if name.tag == _EMAIL),
        addresses=tuple(_address(name) for name in names if name.tag == _ADDRESS),
    )


def read_revocation_list(data: bytes) -> RevocationList:
    """Raises DERError."""
    outer = der.Sequence(der.read_only(data, der.SEQUENCE))
    fields = der.Sequence(outer.take(der.SEQUENCE))
    fields.maybe_take(der.INTEGER)  # the version
    _algorithm(fields.take(der.SEQUENCE))
    issuer = _distinguished_name(fields.take(der.SEQUENCE))
    der.instant(fields.take())
    until = fields.maybe_take(der.UTC_TIME, der.GENERALIZED_TIME)
    return RevocationList(issuer, None if until is None else der.instant(until))


def _version(value: Value | None) -> int:
    """1, 2 or 3, which are written as 0, 1 and 2; the first is not written at all."""
    if value is None:
        return 1
    return int.from_bytes(der.read_only(value.content, der.INTEGER).content, "big") + 1


def _algorithm(value: Value) -> str:
    return der.dotted(der.Sequence(value).take())


def _distinguished_name(value: Value) -> DistinguishedName:
    return tuple(
        tuple(_attribute(pair) for pair in der.expect(part, der.SET).items()) for part in value.items()
    )


def _attribute(value: Value) -> Attribute:
    pair = der.Sequence(value)
    return Attribute(der.dotted(pair.take()), pair.take())


def _alternative_names(extensions: Value | None) -> Iterator[Value]:
    if extensions is None:
        return
    for item in der.read_only(extensions.content, der.SEQUENCE).items():
        extension = der.Sequence(item)
        if der.dotted(extension.take()) == SUBJECT_ALT_NAME:
            extension.maybe_take(der.BOOLEAN)  # whether it is critical
            yield from der.read_only(extension.take(der.OCTET_STRING).content, der.SEQUENCE).items()


def _ascii(name: Value) -> str:
    if not name.content.isascii():
        raise DERError("has an alternative name that is not ASCII")
    return name.content.decode()


def _address(name: Value) -> str:
    try:
        return str(ipaddress.ip_address(name.content))
    except ValueError:
        raise DERError("has an address of a wrong length") from None
