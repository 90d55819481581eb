"""When the silence of workers counts. The clock is an argument."""

from __future__ import annotations

import pytest

from tricorn.arbiter.presence import STALL, Presence

EXPECTED = 100.0
LATE = EXPECTED + STALL + 0.5
NEVER = 0.0


@pytest.mark.parametrize(
    ("now", "excused_until", "alive_at"),
    [
        pytest.param(EXPECTED + STALL, NEVER, 90.0, id="a turn in time"),
        pytest.param(LATE, NEVER, LATE, id="the machine stood still"),
        pytest.param(LATE, LATE - 0.1, LATE - 0.1, id="a hook took long"),
        pytest.param(LATE + STALL, EXPECTED + 0.1, LATE + STALL, id="a hook, and then the machine"),
        pytest.param(EXPECTED, 80.0, 90.0, id="a hook long ago"),
    ],
)
def test_silence_counts_from(
    now: float, excused_until: float, alive_at: float, caplog: pytest.LogCaptureFixture
) -> None:
    presence = Presence(90.0)
    presence.note_turn(now, EXPECTED, excused_until)
    assert (presence.turned_at, presence.alive_at) == (now, alive_at)
    assert ("suspended" in caplog.text) == (alive_at == now)


def test_a_long_start_is_no_stall() -> None:
    presence = Presence(10.0)
    presence.begin(60.0)
    assert (presence.turned_at, presence.alive_at) == (60.0, 10.0)
