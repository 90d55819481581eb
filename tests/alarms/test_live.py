"""Alarms of a running server: who is told, and that nobody is waited for."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from alarms.receiver import Handler, receiving
from harness.server import wait_for
from integration.live import Live, message
from metrics.scraping import counting

#: The least that there can be, so that a test sees an alarm begin and end.
QUICK = ("--alarm-window=1", "--alarm-pending-time=0.1")


def ask(live: Live, path: str, times: int) -> None:
    with live.connect(timeout=10) as client:
        for _ in range(times):
            client.send(message(path))
            client.response()


def events(home: Path) -> Sequence[dict[str, Any]]:
    """As `tricorn ctl events` and the dashboard are told."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(f"{home}/ctl.sock")
        lines = client.makefile("rb")
        lines.readline()
        client.sendall(b'{"do": "events"}\n')
        found: Sequence[dict[str, Any]] = json.loads(lines.readline())["data"]
        return found


def with_webhook(url: str) -> dict[str, Any]:
    """The environment of a server that is to tell this one."""
    return {"TRICORN_ALARM_WEBHOOK": url}


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_errors_are_told_to_everybody_when_they_begin_and_when_they_end(kind: str, tmp_path: Path) -> None:
    with receiving() as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(10)
        options = (
            *(*QUICK, "--alarm-error-share=20%", "--name=shop"),
            *(f"--statsd-host=127.0.0.1:{statsd.getsockname()[1]}", "--dogstatsd-tags=env:test"),
        )
        with counting(tmp_path, *options, kind=kind, environ=with_webhook(receiver.url)) as live:
            ask(live, "/status/500", 20)
            live.wait_log("Alarm error_share begins: ")
            live.wait_log("Alarm error_share ends after ")
            wait_for(lambda: len(receiver.told) == 2, "both are told")
            begun, ended = (body for _, _, body in receiver.told)
            texts = [each["text"] for each in events(tmp_path) if each["text"].startswith("Alarm ")]
            packets: set[bytes] = set()
            while not any(b"ends" in packet for packet in packets):
                packets.add(statsd.recv(1 << 16))
            pid = live.pid
            live.stop()
    assert [text.partition(":")[0] for text in texts] == [
        "Alarm error_share begins",
        texts[1].partition(":")[0],
    ]
    assert (begun["alarm"], begun["state"], begun["threshold"], begun["unit"]) == (
        *("error_share", "firing", 0.2, "ratio"),
    )
    assert 0.2 <= begun["value"] <= 1
    assert begun["server"] == {"name": "shop", "host": socket.gethostname(), "pid": pid}
    assert begun["text"].startswith(f"shop on {socket.gethostname()}: Alarm error_share begins: ")
    assert (ended["state"], ended["value"]) == ("resolved", 0.0)
    assert ended["lasted"] == pytest.approx(ended["time"] - begun["time"], abs=0.5)
    assert b"tricorn.alarm.error_share:1|g|#env:test" in packets
    assert b"tricorn.alarm.error_share:0|g|#env:test" in packets
    (event,) = (packet for packet in packets if b"begins" in packet)
    text = texts[0].partition(": ")[2].encode()
    assert event == b"_e{24,%d}:Alarm error_share begins|%b|t:error|#env:test" % (len(text), text)


def test_nobody_waits_for_a_webhook_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def silent(_: Handler) -> None:
        asked.append(time.monotonic())
        while not (tmp_path / "over").exists():
            time.sleep(0.01)

    monkeypatch.setattr(Handler, "do_POST", silent)
    options = (*QUICK, "--alarm-restarts=1", "--alarm-memory=1m", f"--control-socket={tmp_path}/ctl.sock")
    with receiving() as receiver:
        try:
            with Live("metered:app", *options, environ=with_webhook(receiver.url)) as live:
                live.wait_log("Alarm memory begins: the workers have ")
                wait_for(lambda: asked, "the webhook is told")
                worker = live.wait_log(" is ready").partition(" is ready")[0].split()[-1]
                os.kill(int(worker), signal.SIGKILL)
                live.wait_log("begins: workers that have ended unexpectedly: 1 (alarm_restarts: 1)")
                live.wait_log(" is ready", times=2)
                assert live.request("/").status == 200
                live.wait_log("Alarm restarts ends after ")
                assert len(asked) == 1  # one program at a time
                assert "alarm_webhook" not in live.log()
                live.stop()
        finally:
            (tmp_path / "over").touch()


def test_what_a_webhook_refuses_is_in_the_log(tmp_path: Path) -> None:
    options = (*QUICK, "--alarm-memory=1m", f"--control-socket={tmp_path}/ctl.sock")
    with (
        receiving(404) as receiver,
        Live("metered:app", *options, environ=with_webhook(receiver.url)) as live,
    ):
        log = live.wait_log("alarm_webhook: the receiver was not told: status 404")
        assert "sesame" not in log
        live.stop()


def test_requests_that_never_begin_raise_an_alarm(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with counting(tmp_path, *QUICK, "--alarm-queue-time=0.3", kind="sync") as live:
        with live.connect(timeout=10) as first, live.connect(timeout=10) as second:
            first.send(message(f"/hold{gate}"))
            second.send(message("/"))
            live.wait_log("Alarm queue_time begins: requests wait 0.")
            gate.touch()
            assert [client.response().status for client in (first, second)] == [200, 200]
        live.wait_log("Alarm queue_time ends after ")
        live.stop()


def test_a_certificate_that_ends_soon(tmp_path: Path) -> None:
    options = ("--alarm-certificate-days=100000", f"--control-socket={tmp_path}/ctl.sock")
    with Live("metered:app", *options, wire="tls") as live:
        live.wait_log("Alarm certificate begins: a certificate is valid for ")
        live.stop()


def test_a_reload_takes_the_threshold_away(tmp_path: Path) -> None:
    config = tmp_path / "conf.toml"
    config.write_text('alarm_memory = "1m"\nalarm_window = 1\nalarm_pending_time = 0\n')
    with Live("metered:app", f"--config={config}") as live:
        live.wait_log("Alarm memory begins")
        config.write_text('alarm_memory = "1g"\nalarm_window = 1\nalarm_pending_time = 0\n')
        os.kill(live.pid, signal.SIGHUP)
        live.wait_log("Alarm memory ends after ")
        live.stop()
