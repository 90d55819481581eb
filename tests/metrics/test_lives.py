"""Workers come and go: what only grows never becomes smaller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.live import Live, message
from integration.test_admin import UnixConnection
from integration.test_upgrade import Service
from metrics.scraping import Figures, Scrapes, asked, counting, fallen, parsed
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families

ENDS = "tricorn_worker_ends_total"


def ask_often(live: Live, times: int) -> None:
    with live.connect(timeout=10) as client:
        for _ in range(times):
            client.send(message("/"))
            assert client.response().status == 200


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_a_worker_that_is_killed(kind: str, tmp_path: Path) -> None:
    with counting(tmp_path, kind=kind) as live:
        scrapes = Scrapes(tmp_path)
        ask_often(live, 50)
        scrapes.mark()
        scrapes.wait(0, "tricorn_requests_total")
        before = scrapes.everything()
        (pid,) = live.workers()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: scrapes.look().value(ENDS, reason="signal") == 1, "the end is counted")
        assert fallen(before, scrapes.everything()) == []
        live.wait_log("is ready", times=2)
        ask_often(live, 7)
        scrapes.wait(7, "tricorn_requests_total", method="GET", status="2xx")
        assert scrapes.value("tricorn_request_duration_seconds_count") == 7
        assert scrapes.value("tricorn_worker_starts_total") == 1
        assert scrapes.everything()["tricorn_requests_in_flight", frozenset({("route", "")})] == 0
        assert fallen(before, scrapes.everything()) == []


def test_reloads_that_change_the_routes(tmp_path: Path) -> None:
    """And one that switches it off."""
    config = tmp_path / "tricorn.toml"
    config.write_text('metrics = true\n[routes."/a"]\nrequest_timeout = 30\n')
    command = (f"--config={config}", f"--control-socket={tmp_path}/ctl.sock")
    with Live("metered:app", *command) as live:
        scrapes = Scrapes(tmp_path)
        live.request("/a/1")
        live.request("/b/1")
        scrapes.mark()
        before = scrapes.everything()
        config.write_text(
            'metrics = true\n[routes]\n"/b" = {request_timeout = 30}\n"/c/longer" = {request_timeout = 30}\n'
        )
        live.signal(signal.SIGHUP)
        live.wait_log("Reload done")
        after = scrapes.everything()
        assert fallen(before, after) == []
        scrapes.wait(1, ENDS, reason="reload")
        for path in ("/a/2", "/b/2", "/c/longer/2"):
            live.request(path)
        scrapes.wait(3, "tricorn_requests_total")
        assert scrapes.value("tricorn_requests_total", route="/a") == 0  # it is a route no more
        assert scrapes.value("tricorn_requests_total", route="/b") == 1
        assert scrapes.value("tricorn_requests_total", route="/c/longer") == 1
        assert fallen(after, scrapes.everything()) == []
        config.write_text("")
        live.signal(signal.SIGHUP)
        live.wait_log("Reload done", times=2)
        answer = asked(tmp_path / "ctl.sock")
        assert not answer["ok"]
        assert "--metrics" in answer["say"]


def test_a_worker_that_becomes_a_mold(tmp_path: Path) -> None:
    with counting(tmp_path, "--preload", "--max-requests=0") as live:
        scrapes = Scrapes(tmp_path)
        ask_often(live, 20)
        before = scrapes.everything()
        ctl = [sys.executable, "-m", "tricorn", "ctl", "--socket", str(tmp_path / "ctl.sock")]
        subprocess.run([*ctl, "refork"], check=True, capture_output=True)
        assert fallen(before, scrapes.everything()) == []
        ask_often(live, 5)
        scrapes.mark()
        figures = scrapes.everything()
        wait_for(
            lambda: (
                scrapes.everything()[
                    "tricorn_requests_total", frozenset({("route", ""), ("method", "GET"), ("status", "2xx")})
                ]
                == 26
            ),
            "all are counted",
        )
        assert fallen(before, figures) == []


def test_an_upgrade_begins_anew(tmp_path: Path) -> None:
    """As a restart does: all of it at one instant, with the same series, which is what rate() expects of a
    counter that was reset."""
    started = "tricorn_start_time_seconds", frozenset[tuple[str, str]]()
    with Service("metered:app", "--metrics", f"--control-socket={tmp_path}/ctl.sock") as live:
        scrapes = Scrapes(tmp_path)
        ask_often(live, 20)
        scrapes.wait(21, "tricorn_requests_total")
        before = scrapes.everything()
        newer = live.upgrade()
        after = scrapes.everything()
        assert after.keys() == before.keys()
        assert after[started] > before[started]
        assert _sum_of(after, "tricorn_requests_total") == _sum_of(after, "tricorn_worker_ends_total") == 0
        assert _sum_of(after, "tricorn_worker_starts_total") == 1
        ask_often(live, 3)
        scrapes.wait(3, "tricorn_requests_total")
        assert fallen(after, scrapes.everything()) == []
        live.stop_newer(newer)


def _sum_of(figures: Figures, name: str) -> float:
    return sum(value for (found, _), value in figures.items() if found == name)


def test_over_http_and_on_the_command_line(tmp_path: Path) -> None:
    with counting(tmp_path, f"--admin-bind=unix:{tmp_path}/admin.sock", workers=2) as live:
        ask_often(live, 3)
        wait_for(lambda: (tmp_path / "admin.sock").exists(), "the admin process is there")
        connection = UnixConnection(tmp_path / "admin.sock")
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert parsed(response.read().decode())["tricorn_workers_wanted", frozenset()] == 2
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        families = list(open_families(connection.getresponse().read().decode()))
        assert {"tricorn_requests", "tricorn_request_duration_seconds", "tricorn"} <= {
            each.name for each in families
        }
        connection.close()
        command = [sys.executable, "-m", "tricorn", "metrics", "--socket", str(tmp_path / "ctl.sock")]
        plain = subprocess.run(command, check=True, capture_output=True, text=True)
        assert parsed(plain.stdout)["tricorn_generation", frozenset()] == 1
        is_open = subprocess.run([*command, "--openmetrics"], check=True, capture_output=True, text=True)
        assert list(open_families(is_open.stdout))
