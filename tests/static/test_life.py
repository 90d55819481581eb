"""Files while a server is reloaded and stops, and what it counts of them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness.client import Client
from integration.live import Live, message
from metrics.scraping import Scrapes, counting
from static.site import EITHER_HTTP, ask_once, lay_out, request

END = b"the end"
#: More than sockets hold, for HTTP/1; over HTTP/2 the window of a stream is small.
SIZES = {"plain": 24_000_000, "h2c": 3_000_000}


def begun(live: Live) -> Client:
    client = live.connect(receive_buffer=65536, timeout=10)
    client.send(request("GET", "/f/big"))
    some = client.read_exactly(50_000)
    client.buffer = some + client.buffer
    return client


@pytest.mark.parametrize(("kind", "wire"), EITHER_HTTP)
def test_a_large_file_goes_on_through_a_reload_and_a_stop(kind: str, wire: str, tmp_path: Path) -> None:
    """Whole, although the worker that sends it has been told to go."""
    with (tmp_path / "big").open("wb") as file:
        file.seek(SIZES[wire] - len(END))
        file.write(END)
    (tmp_path / "small").write_bytes(b"small")
    with Live("life:app", "--static", f"/f={tmp_path}", kind=kind, wire=wire, ready="/f/small") as live:
        with begun(live) as before:
            live.signal(signal.SIGHUP)
            live.wait_log("is ready", times=2)
            assert ask_once(live, "/f/small").body == b"small"
            with begun(live) as after:
                live.signal(signal.SIGTERM)
                live.wait_log("SIGTERM: stopping")
                for client in (before, after):
                    got = client.response()
                    assert (got.status, len(got.body), got.body[-len(END) :]) == (200, SIZES[wire], END)
        assert live.wait_exit() == 0


@pytest.mark.parametrize(("kind", "wire"), EITHER_HTTP)
def test_they_are_counted(kind: str, wire: str, tmp_path: Path) -> None:
    """By method and status, with what was sent; and not for `max_requests`, which is the application's."""
    assets = lay_out(tmp_path)
    with counting(
        tmp_path,
        "--static",
        f"/f={assets}",
        "--max-requests",
        "3",
        kind=kind,
        wire=wire,
        ready="/f/photo.png",
    ) as live:
        scrapes = Scrapes(tmp_path)
        scrapes.wait(1, "tricorn_requests_total")
        scrapes.mark()
        before = live.workers()
        with live.connect(timeout=10) as client:
            for method, path in [("GET", "/f/large.bin"), ("HEAD", "/f/large.bin")] * 3 + [("PUT", "/f/x")]:
                client.send(message(path, method=method))
                client.response(method)
        scrapes.wait(7, "tricorn_requests_total")
        assert scrapes.value("tricorn_requests_total", method="GET", status="2xx") == 3
        assert scrapes.value("tricorn_requests_total", method="HEAD", status="2xx") == 3
        assert scrapes.value("tricorn_requests_total", method="PUT", status="4xx") == 1
        assert scrapes.everything()["tricorn_requests_in_flight", frozenset({("route", "")})] == 0
        assert scrapes.value("tricorn_sent_bytes_total") > 3 * 256 * 1024
        assert live.workers() == before
