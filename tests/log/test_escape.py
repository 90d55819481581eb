"""Escaping for the error log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tricorn.log.escape import escape_block, escape_line

ANY = st.text(st.characters(categories=None))


def test_a_line_stays_a_line() -> None:
    assert escape_line("a\nb\rc\td\x1b[31m\x7f\x9b\u2028\u202e\ud800 é€") == (
        "a\\x0Ab\\x0Dc\\x09d\\x1B[31m\\x7F\\x9B\\u2028\\u202E\\uD800 é€"
    )


def test_a_block_keeps_its_lines_but_none_is_a_record() -> None:
    assert escape_block("Traceback:\n\tx\n[2026-11-21 forged\r\n  [fine]") == (
        "Traceback:\n\tx\n [2026-11-21 forged\\x0D\n  [fine]"
    )


@given(ANY)
def test_any_text(text: str) -> None:
    assert len(escape_line(text).splitlines()) <= 1
    escape_line(text).encode()
    lines = escape_block(text).splitlines()
    assert not any(line.startswith("[") for line in lines)
    assert "\x1b" not in escape_block(text)
