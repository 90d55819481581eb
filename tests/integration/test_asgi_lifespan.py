"""The lifespan protocol, from the operator's side: what the log says, how the process ends, who is served."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.live import Live, message

TERM, HUP = signal.SIGTERM, signal.SIGHUP
EXIT_BOOT = 3


def live_with(way: str, *options: str, environ: dict[str, str] | None = None, workers: int = 1) -> Live:
    return Live(
        "asgi_lifespan:app",
        *options,
        kind="asgi",
        workers=workers,
        environ={"LIFESPAN": way, **(environ or {})},
    )


def events(live: Live) -> list[str]:
    """What the lifespan has said, in order."""
    mark = "lifespan: "
    return [line.removeprefix(mark) for line in live.log().splitlines() if line.startswith(mark)]


def stopped(live: Live) -> str:
    """The log of a service that was told to stop, and did."""
    live.signal(TERM)
    assert live.wait_exit() == 0
    return live.log()


def boot_fails(live: Live) -> str:
    """The log of a service whose first worker does not boot."""
    live.start(wait=False)
    try:
        assert live.wait_exit() == EXIT_BOOT, live.log()
        return live.log()
    finally:
        live.kill()


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_whole_life(mode: str) -> None:
    with live_with("full", f"--asgi-lifespan={mode}") as live:
        assert live.request("/").body == b"called startup {'from': 'startup'}"
        assert "Traceback" not in stopped(live)
        assert events(live) == ["called", "startup", "shutdown", "returned"]


def test_off() -> None:
    with live_with("raises_at_once", "--asgi-lifespan=off") as live:
        assert live.request("/").body == b"None"
        stopped(live)
        assert events(live) == []


def test_each_worker_has_a_lifespan() -> None:
    with live_with("full", workers=2) as live:
        assert events(live).count("startup") == 2
        stopped(live)
        assert events(live).count("shutdown") == 2


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_start_up_that_fails_ends_the_boot(mode: str) -> None:
    """The application's own words are in the log."""
    log = boot_fails(live_with("fails", f"--asgi-lifespan={mode}"))
    assert "no database today" in log
    assert "is ready" not in log


@pytest.mark.parametrize("way", ["raises_at_once", "raises_in_startup"])
def test_on_means_that_it_must_take_part(way: str) -> None:
    log = boot_fails(live_with(way, "--asgi-lifespan=on"))
    assert "RuntimeError: " in log
    assert f"in _{way}" in log


def test_on_means_that_it_must_answer() -> None:
    log = boot_fails(live_with("returns_at_once", "--asgi-lifespan=on"))
    assert "lifespan" in log.replace("lifespan: ", "")


@pytest.mark.parametrize("way", ["raises_at_once", "returns_at_once"])
def test_auto_means_that_it_may_refuse(way: str) -> None:
    """An application that knows HTTP only raises, or returns: it is served without, and nobody is alarmed."""
    with live_with(way) as live:
        assert live.request("/").status == 200
        assert "Traceback" not in stopped(live)


def test_a_start_up_that_hangs_is_bounded() -> None:
    log = boot_fails(live_with("hangs_in_startup", "--asgi-lifespan-startup-timeout=0.5"))
    assert "startup" in log.replace("lifespan: startup", "")


def test_nobody_is_served_before_the_start_up_is_complete(tmp_path: Path) -> None:
    """A client waits in the backlog."""
    gate = tmp_path / "gate"
    live = live_with("slow", environ={"GATE": str(gate)})
    live.start(wait=False)
    try:
        with live.connect(timeout=10) as client:
            client.send_ahead(message("/"))
            wait_for(lambda: "startup" in events(live), "the start-up has begun", deadline=15)
            assert client.is_quiet(0.1)
            assert "is ready" not in live.log()
            gate.touch()
            assert client.response().status == 200
    finally:
        live.kill()


def test_the_shutdown_comes_behind_the_last_request(tmp_path: Path) -> None:
    """TERM: what runs is finished with everything that the start-up has made."""
    gate = tmp_path / "gate"
    with live_with("full") as live, live.connect(timeout=10) as client:
        client.send(message(f"/block?{gate}"))
        wait_for(gate.with_suffix(".in").exists, "the request is in the application")
        live.signal(TERM)
        live.wait_log("SIGTERM: stopping")
        assert client.is_quiet(0.1)
        assert "shutdown" not in events(live)
        gate.touch()
        assert client.response().status == 200
        client.close()
        assert live.wait_exit() == 0
        assert events(live) == ["called", "startup", "request done", "shutdown", "returned"]


def test_a_reload_ends_the_lifespan_of_the_old_worker() -> None:
    with live_with("full") as live:
        live.signal(HUP)
        live.wait_log("Reload done")
        wait_for(lambda: events(live).count("shutdown") == 1, "the old worker has shut down")
        assert events(live).count("startup") == 2
        stopped(live)
        assert events(live).count("shutdown") == 2


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("fails_in_shutdown", "could not say goodbye"),
        ("raises_in_shutdown", "RuntimeError: shutdown went wrong"),
    ],
)
def test_a_shutdown_that_fails_is_logged(way: str, words: str) -> None:
    with live_with(way) as live:
        live.signal(TERM)
        live.wait_exit()
        assert words in live.log()


def test_a_shutdown_that_hangs_is_bounded() -> None:
    with live_with("hangs_in_shutdown", "--asgi-lifespan-shutdown-timeout=0.5") as live:
        live.signal(TERM)
        live.wait_exit(5)
        assert "shutdown" in live.log().replace("lifespan: shutdown", "")


def test_a_lifespan_that_ends_early_hurts_nobody() -> None:
    with live_with("ends_early") as live:
        assert live.request("/").status == 200
        assert "Traceback" not in stopped(live)


def test_int_does_not_wait_for_requests(tmp_path: Path) -> None:
    """Quick: the request is dropped, the process ends."""
    gate = tmp_path / "gate"
    with live_with("full") as live, live.connect(timeout=10) as client:
        client.send(message(f"/block?{gate}"))
        wait_for(gate.with_suffix(".in").exists, "the request is in the application")
        live.signal(signal.SIGINT)
        assert live.wait_exit(5) == 0
