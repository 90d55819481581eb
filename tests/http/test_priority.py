"""Priority fields: which are dictionaries (RFC 8941 §4.2.2), and what those say (RFC 9218 §4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

h2_reader = pytest.importorskip("tricorn.http.h2_reader", reason="HTTP/2 is not built")

#: What a field says that has `u=2, i` in front, if it is a dictionary; else it says nothing.
NOTHING = (None, None)

SAID = {
    # the two members
    "": NOTHING,
    "u=0": (0, None),
    "u=7": (7, None),
    "i": (None, True),
    "i=?1": (None, True),
    "i=?0": (None, False),
    "u=5, i": (5, True),
    "i,u=5": (5, True),
    "u=5 \t,\t i=?0": (5, False),
    "  u=5": (5, None),
    # the last one counts
    "u=1, u=2": (2, None),
    "i, i=?0": (None, False),
    # §4: out of range, or of another type, is as if it were not there
    "u=8": NOTHING,
    "u=-1": NOTHING,
    "u=999999999999999": NOTHING,
    "u=1.0": NOTHING,
    "u": NOTHING,
    'u="1"': NOTHING,
    "u=(1)": NOTHING,
    "u=?1": NOTHING,
    "i=1": NOTHING,
    "i=yes": NOTHING,
    "u=9, i": (None, True),
    "u=3, i=2": (3, None),
    "u=1, u=9": NOTHING,
    # others are left alone, and parameters
    "u=1;x;y=2;  z=abc, i;q=?0": (1, True),
    "a=b, u=4, key-of_1.*=*tok/en:, *=-12.345, i": (4, True),
    'a="with \\"quotes\\" and \\\\", u=4': (4, None),
    "a=:aGVsbG8=:, u=4": (4, None),
    'a=(1 "two"  three;x=1 ?0);p, u=4': (4, None),
    "a=(), u=4": (4, None),
    "uu=1, ii": NOTHING,
}

#: None of these is a dictionary, so nothing of them counts.
MALFORMED = [
    "u=1,",
    "u=1,, i",
    ",u=1",
    "u=",
    "u=1 i",
    "u =1",
    "u= 1",
    "U=1",
    "1=u",
    "u=1;",
    "u=1;X",
    "u=1;x=",
    "u=1.",
    "u=1.2345",
    "u=1234567890123.1",
    "u=1234567890123456",
    "u=-",
    "u=--1",
    "i=?",
    "i=?2",
    "i=?11",
    'u=1, a="',
    'u=1, a="\\n"',
    'u=1, a="\x7f"',
    "u=1, a=:aGVs",
    "u=1, a=:a?:",
    "u=1, a=(1",
    "u=1, a=(1 2",
    'u=1, a=(1"x")',
    "u=1, a=((1))",
    "u=1, a=@1",
    "u=1, \xe4",
    "u=1, a=\xe4",
    "u=1\n",
    "u=1, a=[]",
]


@pytest.mark.parametrize(("field", "said"), SAID.items())
def test_what_a_field_says(field: str, said: tuple[int | None, bool | None]) -> None:
    assert h2_reader.priority_of(field.encode()) == said


@pytest.mark.parametrize("field", MALFORMED)
def test_what_is_no_dictionary_says_nothing(field: str) -> None:
    text = field.encode("latin-1")
    assert h2_reader.priority_of(text) == NOTHING
    # Several fields are one dictionary (RFC 8941 §4.2), so neither do others beside it.
    assert h2_reader.priority_of(b"u=2, i", text) == h2_reader.priority_of(text, b"u=2, i") == NOTHING


def test_several_fields() -> None:
    assert h2_reader.priority_of(b"u=2", b"i") == (2, True)
    assert h2_reader.priority_of(b"u=2, i", b"u=5") == (5, True)
    assert h2_reader.priority_of(b"u=2", b"") == (2, None)
    assert h2_reader.priority_of() == NOTHING


@given(st.text(alphabet='ui=?01-.,; \t():"\\a*', max_size=12))
def test_what_is_added_never_says_less(text: str) -> None:
    """A dictionary stays one with a member behind it; what is none stays none."""
    field = text.encode()
    urgency, incremental = h2_reader.priority_of(field)
    longer = h2_reader.priority_of(field + b", zz=1")
    if (urgency, incremental) != NOTHING:
        assert longer == (urgency, incremental)
        assert h2_reader.priority_of(field + b", u=6, i") == (6, True)
        assert h2_reader.priority_of(field + b", u=6, i", b",") == NOTHING
