"""X-Request-Start: the forms that are in use, and what is none of them."""

from __future__ import annotations

import pytest

from tricorn.http.request_start import LONGEST, SKEW, UNKNOWN, maybe_start, waited

SECOND = 1_700_000_000_000_000_000

FORMS = [
    (b"t=1700000000.123", SECOND + 123_000_000),
    (b"1700000000.123", SECOND + 123_000_000),
    (b"t=1700000000", SECOND),
    (b"1700000000123", SECOND + 123_000_000),
    (b"t=1700000000123.25", SECOND + 123_250_000),
    (b"t=1700000000123456", SECOND + 123_456_000),
    (b"1700000000123456", SECOND + 123_456_000),
    (b"1700000000.123456789", SECOND + 123_456_789),
]
NONSENSE = [
    *(b"", b"t=", b"now", b"t=170000000", b"17000000001", b"t=-1700000000", b"t=1700000000.", b"t=.5"),
    *(b"T=1700000000", b"t= 1700000000", b" 1700000000", b"1700000000\n", b"1700000000,1700000001"),
    *(b"1_700_000_000", b"t=1700000000.1234567890", "\u0661\u0667".encode() * 5, b"0x1700000000", b"1e9"),
]


@pytest.mark.parametrize(("written", "start"), FORMS)
def test_forms(written: bytes, start: int) -> None:
    assert maybe_start(written) == start


@pytest.mark.parametrize("written", NONSENSE)
def test_nonsense(written: bytes) -> None:
    assert maybe_start(written) is None


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (0, 0),
        (5_000_000, 5_000_000),
        (-SKEW, 0),
        (-SKEW - 1, UNKNOWN),
        (LONGEST, LONGEST),
        (LONGEST + 1, UNKNOWN),
    ],
)
def test_how_long_it_is_ago(later: int, expected: int) -> None:
    assert waited(SECOND, SECOND + later) == expected
