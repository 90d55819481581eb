"""What the master's records of its workers say to decide()."""

from __future__ import annotations

import pytest

from tricorn.arbiter.children import BOOT_ALLOWANCE, IMPORT_ALLOWANCE, boot_timeout_of, lifetime_of
from tricorn.config.settings import Settings


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        (Settings(), BOOT_ALLOWANCE),
        (Settings(timeout=300.0), 300.0),
        (Settings(timeout=0.0), 0.0),
        (Settings(asgi_lifespan_startup_timeout=200.0), 200.0 + IMPORT_ALLOWANCE),
        (Settings(boot_timeout=5.0, timeout=300.0), 5.0),
        (Settings(boot_timeout=5.0, timeout=0.0), 5.0),
        (Settings(boot_timeout=0.0), 0.0),
    ],
)
def test_how_long_a_start_may_take(settings: Settings, seconds: float) -> None:
    assert boot_timeout_of(settings) == seconds


def test_workers_of_one_age_are_not_all_replaced_at_once() -> None:
    found = [lifetime_of(Settings(max_lifetime=10.0, max_lifetime_jitter=5.0)) for _ in range(100)]
    assert 10.0 <= min(found) < 11.0
    assert 14.0 < max(found) <= 15.0
    assert lifetime_of(Settings(max_lifetime_jitter=5.0)) == 0.0
