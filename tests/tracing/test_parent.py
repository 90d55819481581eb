"""The field `traceparent` (W3C Trace Context §3.2): whose traces are kept, by which ids."""

from __future__ import annotations

import pytest

from tricorn.tracing.trace import Trace, parent_of

HIGH, LOW, SPAN = "4bf92f3577b34da6", "a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACE = HIGH + LOW
IDS = (int(HIGH, 16), int(LOW, 16), int(SPAN, 16))


@pytest.mark.parametrize(
    "field",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-ff",
        f"01-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-03-what-will-be",
    ],
)
def test_one_that_is_kept(field: str) -> None:
    assert parent_of(field.encode()) == IDS


NONE = {
    "not sampled": f"00-{TRACE}-{SPAN}-00",
    "not sampled, other flags": f"00-{TRACE}-{SPAN}-fe",
    "empty": "",
    "short": f"00-{TRACE}-{SPAN}-0",
    "more, of this version": f"00-{TRACE}-{SPAN}-01-x",
    "more, without a dash": f"01-{TRACE}-{SPAN}-01x",
    "no version": f"ff-{TRACE}-{SPAN}-01",
    "capitals": f"00-{TRACE.upper()}-{SPAN}-01",
    "no digits": f"00-{TRACE[:-1]}g-{SPAN}-01",
    "no trace": f"00-{'0' * 32}-{SPAN}-01",
    "no span": f"00-{TRACE}-{'0' * 16}-01",
    "other separators": f"00_{TRACE}_{SPAN}_01",
    "a wrong version": f"0x-{TRACE}-{SPAN}-01",
    "wrong flags": f"00-{TRACE}-{SPAN}-0x",
    "a dash in the wrong place": f"00-{TRACE[:-1]}-a{SPAN}-01",
}


@pytest.mark.parametrize("field", NONE.values(), ids=NONE.keys())
def test_one_that_is_none(field: str) -> None:
    assert parent_of(field.encode()) is None


def test_half_of_a_trace_id_may_be_zero() -> None:
    """Ids of 64 bits are widened so by some."""
    assert parent_of(f"00-{'0' * 16}{LOW}-{SPAN}-01".encode()) == (0, *IDS[1:])


def test_a_trace_has_ids_of_any_size() -> None:
    for trace in (1, (1 << 128) - 1):
        Trace(print).keep(trace, (1 << 64) - 1)
    with pytest.raises(OverflowError):
        Trace(print).keep(1 << 128, 1)
