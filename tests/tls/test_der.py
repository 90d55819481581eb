"""The DER reader: what it takes, and that it takes nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricorn.tls import der
from tricorn.tls.der import DERError, Value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "ends in the middle"),
        ("30", "ends in the middle"),
        ("3003020101ff", "bytes behind its end"),
        ("30030201", "ends in the middle"),
        ("30800201010000", "a length that DER does not allow"),  # indefinite
        ("308103020101", "a length that DER does not allow"),  # not the shortest form
        ("30820003020101", "a length that DER does not allow"),
        ("3085000000000302", "a length that DER does not allow"),
        ("3081", "a length that DER does not allow"),
        ("1f8101020101", "a tag of more than one byte"),
        ("020101", "a value of type 0x02 where 0x30 is expected"),
    ],
)
def test_framing(data: str, said: str) -> None:
    with pytest.raises(DERError, match=said):
        der.read_only(bytes.fromhex(data), der.SEQUENCE)


@given(st.integers(0, 30), st.binary(max_size=70_000))
def test_what_is_encoded_is_read(tag: int, content: bytes) -> None:
    value = Value(tag, content)
    assert der.read(value.encoded + b"rest") == (value, b"rest")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    try:
        value, rest = der.read(data)
    except DERError:
        return
    assert value.encoded + rest == data


@pytest.mark.parametrize(
    ("content", "number"),
    [
        ("550403", "2.5.4.3"),
        ("2a864886f70d010901", "1.2.840.113549.1.9.1"),
        ("00", "0.0"),
        ("4f", "1.39"),
        ("8837", "2.999"),
        ("2b060104018237", "1.3.6.1.4.1.311"),
    ],
)
def test_object_identifiers(content: str, number: str) -> None:
    assert der.dotted(Value(der.OID, bytes.fromhex(content))) == number


@pytest.mark.parametrize("content", ["", "558001", "550483"])
def test_object_identifiers_that_are_none(content: str) -> None:
    with pytest.raises(DERError, match="object identifier"):
        der.dotted(Value(der.OID, bytes.fromhex(content)))


@pytest.mark.parametrize(
    ("tag", "text", "year"),
    [
        (der.UTC_TIME, b"491231235959Z", 2049),
        (der.UTC_TIME, b"500101000000Z", 1950),  # RFC 5280 §4.1.2.5.1
        (der.GENERALIZED_TIME, b"20500101000000Z", 2050),
        (der.GENERALIZED_TIME, b"99991231235959Z", 9999),  # "no end", §4.1.2.5
    ],
)
def test_times(tag: int, text: bytes, year: int) -> None:
    assert der.instant(Value(tag, text)).year == year


def test_a_time_is_utc() -> None:
    assert der.instant(Value(der.UTC_TIME, b"260805164924Z")) == datetime(2026, 8, 5, 16, 49, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (der.UTC_TIME, b"2608051649Z"),  # without seconds
        (der.UTC_TIME, b"260805164924+0100"),
        (der.UTC_TIME, b"20260805164924Z"),
        (der.UTC_TIME, b"261305164924Z"),
        (der.GENERALIZED_TIME, b"20260805164924.5Z"),
        (der.GENERALIZED_TIME, b"20260805164924"),
        (der.OCTET_STRING, b"260805164924Z"),
    ],
)
def test_times_in_other_forms(tag: int, text: bytes) -> None:
    with pytest.raises(DERError, match="time"):
        der.instant(Value(tag, text))


@pytest.mark.parametrize(
    ("tag", "content", "text"),
    [
        (der.UTF8_STRING, "Zoë".encode(), "Zoë"),
        (der.PRINTABLE_STRING, b"Ada", "Ada"),
        (der.TELETEX_STRING, "Zoë".encode("latin-1"), "Zoë"),
        (der.BMP_STRING, "Zoë".encode("utf-16-be"), "Zoë"),
        (der.UNIVERSAL_STRING, "Zoë".encode("utf-32-be"), "Zoë"),
    ],
)
def test_strings(tag: int, content: bytes, text: str) -> None:
    assert der.characters(Value(tag, content)) == text


@pytest.mark.parametrize(
    ("tag", "content"),
    [(der.UTF8_STRING, b"\xff"), (der.IA5_STRING, b"\xe4"), (der.BMP_STRING, b"a"), (4, b"a")],
)
def test_strings_that_are_none(tag: int, content: bytes) -> None:
    with pytest.raises(DERError, match="string"):
        der.characters(Value(tag, content))
