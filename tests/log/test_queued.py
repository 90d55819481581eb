"""How long a request was under way before the application got it, by the word of a trusted proxy."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.server import wait_for
from integration.live import Live


def lines(live: Live, path: Path, fields: list[tuple[str, ...]]) -> list[str]:
    """What the log has of one request for each tuple of header fields."""
    for each in fields:
        assert live.request("/", fields=each).status == 200
    return wait_for(
        lambda: (found := path.read_text().splitlines()[1:]) and len(found) >= len(fields) and found, "lines"
    )


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_of_a_trusted_proxy(kind: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    now = time.time()
    with Live("life:app", f"--access-logfile={log}", "--access-logformat=%(Q)s", kind=kind) as live:
        long, short, *unknown = lines(
            live,
            log,
            [
                (f"X-Request-Start: t={now - 100:.3f}",),
                (f"x-request-start: {int((now + 0.5) * 1e6)}",),
                (),
                ("X-Request-Start: soon",),
                (f"X-Request-Start: t={now + 3000:.3f}",),
                (f"X-Request-Start: t={now:.3f}", f"X-Request-Start: t={now:.3f}"),
            ],
        )
        live.stop()
    assert 100_000 <= int(long) < 115_000
    assert int(short) < 15_000
    assert unknown == ["-"] * 4


def test_of_anybody_else(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    options = (f"--access-logfile={log}", "--access-logformat=json", "--forwarded-allow-ips=192.0.2.1")
    with Live("life:app", *options) as live:
        (line,) = lines(live, log, [(f"X-Request-Start: t={time.time() - 100:.3f}",)])
        live.stop()
    assert "queue_us" not in json.loads(line)
