"""RFC 9110 §5.6.7: dates, as they are written and in each form that has to be read."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tricorn.http.dates import date, text_of

#: A machine with other work is no fault of ours.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = 1_800_000_000  # 2027-01-15 08:00:00 GMT

DATES = {
    b"Sun, 06 Nov 1994 08:49:37 GMT": 784111777,
    b"Sunday, 06-Nov-94 08:49:37 GMT": 784111777,
    b"Sun Nov  6 08:49:37 1994": 784111777,
    b"Wed Nov 16 08:49:37 1994": 784975777,
    b"Thu, 01 Jan 1970 00:00:00 GMT": 0,
    b"Tue, 29 Feb 2028 23:59:59 GMT": 1835481599,
    b"Wednesday, 01-Jan-70 00:00:00 GMT": 3155760000,  # in 43 years, and not 57 years ago
    b"Saturday, 01-Jan-99 00:00:00 GMT": 915148800,
}
NO_DATES = (
    *(b"", b"now", b"0", b"784111777", b"Sun, 06 Nov 1994 08:49:37", b"Sun, 06 Nov 1994 08:49:37 CET"),
    *(b"Sun, 06 Nov 1994 24:49:37 GMT", b"Sun, 06 Nov 1994 08:60:37 GMT", b"Sun, 00 Nov 1994 08:49:37 GMT"),
    *(b"Sun, 06 Foo 1994 08:49:37 GMT", b"Sun, 6 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08.49.37 GMT"),
    *(
        b"Sun, 06 Nov 1969 08:49:37 GMT",
        b"Sun Nov 6 08:49:37 1994",
        b",",
        b"Sun,",
        b", 06 Nov 1994 08:49:3x GMT",
    ),
)


@pytest.mark.parametrize("text", DATES, ids=repr)
def test_a_date(text: bytes) -> None:
    assert date(text, NOW) == DATES[text]


@pytest.mark.parametrize("text", NO_DATES, ids=repr)
def test_no_date(text: bytes) -> None:
    assert date(text, NOW) is None


@unhurried
@given(st.integers(0, 250_000_000_000))
def test_dates_are_written_as_python_writes_them(second: int) -> None:
    written = text_of(second)
    assert written == email.utils.formatdate(second, usegmt=True).encode()
    assert date(written, NOW) == second


@unhurried
@given(st.binary(max_size=40))
def test_any_bytes_are_a_date_or_none(text: bytes) -> None:
    found = date(text, NOW)
    assert found is None or found >= 0
