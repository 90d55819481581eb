"""Reads DER, the one encoding of ASN.1 in which certificates are written (X.690 §10).

Knows: tags, lengths, and the few types that certificates are made of. Must not know: certificates.

Strict, because what is read decides what is shown to an application: definite lengths in their shortest form
only, nothing behind the end, nothing beyond the surrounding value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from tricorn.records import dataclass

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OID = 0x01, 0x02, 0x03, 0x04, 0x06
UTF8_STRING, PRINTABLE_STRING, TELETEX_STRING, IA5_STRING = 0x0C, 0x13, 0x14, 0x16
UNIVERSAL_STRING, BMP_STRING = 0x1C, 0x1E
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31

#: How the characters of each kind of string are encoded. T.61 is read as Latin-1, as everybody does.
CHARACTERS = {
    UTF8_STRING: "utf-8",
    PRINTABLE_STRING: "ascii",
    TELETEX_STRING: "latin-1",
    IA5_STRING: "ascii",
    UNIVERSAL_STRING: "utf-32-be",
    BMP_STRING: "utf-16-be",
}

_UTC_TIME = re.compile(rb"\d{12}Z")
_GENERALIZED_TIME = re.compile(rb"\d{14}Z")


class DERError(ValueError):
    """The bytes are not what they should be; the text says where."""


@dataclass(frozen=True)
class Value:
    """One value: its tag, and what is in it."""

    tag: int
    content: bytes

    @property
    def encoded(self) -> bytes:
        """As it was read: DER has one encoding for each value."""
        size = len(self.content)
        if size < 0x80:
            return bytes((self.tag, size)) + self.content
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes((self.tag, 0x80 | len(length))) + length + self.content

    def items(self) -> Iterator[Value]:
        """The values of which this one consists."""
        rest = self.content
        while rest:
            value, rest = read(rest)
            yield value


def read(data: bytes) -> tuple[Value, bytes]:
    """The first value, and what follows it."""
    if len(data) < 2:
        raise DERError("ends in the middle of a value")
    tag, size, start = data[0], data[1], 2
    if tag & 0x1F == 0x1F:
        raise DERError("has a tag of more than one byte, which certificates do not use")
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise DERError("has a length that DER does not allow")
        start += count
        length = data[2:start]
        size = int.from_bytes(length, "big")
        if len(length) < count or size < 0x80 or not length[0]:
            raise DERError("has a length that DER does not allow")
    if len(data) < start + size:
        raise DERError("ends in the middle of a value")
    return Value(tag, data[start : start + size]), data[start + size :]


def read_only(data: bytes, tag: int) -> Value:
    """The one value that `data` consists of."""
    value, rest = read(data)
    if rest:
        raise DERError("has bytes behind its end")
    return expect(value, tag)


def expect(value: Value, tag: int) -> Value:
    if value.tag != tag:
        raise DERError(f"has a value of type {value.tag:#04x} where {tag:#04x} is expected")
    return value


class Sequence:
    """The values of a sequence, taken in their order."""

    def __init__(self, value: Value, tag: int = SEQUENCE) -> None:
        self._left = list(expect(value, tag).items())

    def take(self, tag: int | None = None) -> Value:
        """The next value, which must be there and, if `tag` is given, of this type."""
        if not self._left:
            raise DERError("lacks a value")
        value = self._left.pop(0)
        return value if tag is None else expect(value, tag)

    def maybe_take(self, *tags: int) -> Value | None:
        """The next value if it is of one of these types."""
        return self._left.pop(0) if self._left and self._left[0].tag in tags else None


def dotted(value: Value) -> str:
    """An object identifier as it is usually written: "2.5.4.3" (X.690 §8.19)."""
    content = expect(value, OID).content
    if not content or content[-1] & 0x80:
        raise DERError("has an object identifier without an end")
    arcs, number, is_first = [], 0, True
    for byte in content:
        if is_first and byte == 0x80:
            raise DERError("has an object identifier that is not in its shortest form")
        number = number << 7 | byte & 0x7F
        is_first = not byte & 0x80
        if is_first:
            arcs.append(number)
            number = 0
    top = min(arcs[0] // 40, 2)
    return ".".join(map(str, (top, arcs[0] - 40 * top, *arcs[1:])))


def characters(value: Value) -> str:
    """The text of a string; whatever cannot be decoded is refused."""
    encoding = CHARACTERS.get(value.tag)
    if encoding is None:
        raise DERError(f"has a string of the unknown type {value.tag:#04x}")
    try:
        return value.content.decode(encoding)
    except UnicodeDecodeError:
        raise DERError(f"has a string that is not {encoding}") from None


def instant(value: Value) -> datetime:
    """A time, in UTC; only the forms that certificates may use (RFC 5280 §4.1.2.5)."""
    digits = value.content
    if value.tag == UTC_TIME and _UTC_TIME.fullmatch(digits):
        digits = (b"19" if digits[:2] >= b"50" else b"20") + digits
    elif value.tag != GENERALIZED_TIME or not _GENERALIZED_TIME.fullmatch(digits):
        raise DERError("has a time in a form that certificates must not use")
    try:
        return datetime.strptime(digits.decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise DERError("has a time that does not exist") from None
