"""What h2load prints, read; and what its scenarios ask."""

import shutil

import pytest

from bench import frames, h2load, paths, scenarios, servers
from bench.wrk import WrkError

OUTPUT = """\
finished in 2.00s, 68000.50 req/s, 3.54MB/s
requests: 136001 total, 136129 started, 136001 done, 136001 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 136001 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 7.07MB (7413017) total, 1.04MB (1088024) headers (space savings 94.51%), 1.69MB (1768013) data
                     min         max         mean         sd        +/- sd
time for request:      212us      7.35ms      1.87ms       431us    77.22%
"""


def test_the_figures_are_read():
    result = h2load.parse(OUTPUT)
    assert (result.requests, result.per_second, result.failures) == (136001, 68000.5, 0)
    assert result.p50_ms is None


def test_answers_that_are_errors_are_failures():
    result = h2load.parse(OUTPUT.replace("136001 succeeded, 0 failed", "135571 succeeded, 430 failed"))
    assert (result.requests, result.failures) == (135571, 430)


def test_what_it_says_of_a_server_that_is_not_there():
    with pytest.raises(WrkError, match="refused"):
        h2load.parse("could not connect: connection refused")


FOUND = [s for s in scenarios.SCENARIOS if s.streams]


@pytest.mark.parametrize("scenario", FOUND, ids=lambda s: s.name)
def test_over_http2_are_those_that_speak_it(scenario):
    names = {entry.server for entry in scenario.entries}
    assert {"tricorn", "granian", "weft", "peregrine"} <= names
    assert all(scenario.server(entry).http2 is not None for entry in scenario.entries)
    assert scenario.launch.http2
    granian = servers.command(servers.find(scenario.interface, "granian"), scenario.launch, 1)
    assert granian[len(granian) - granian[::-1].index("--http")] == "auto", "the last one counts"


def test_both_interfaces_are_asked_the_same():
    names = {
        interface: {s.name.removeprefix("asgi-") for s in FOUND if s.interface == interface}
        for interface in servers.INTERFACES
    }
    assert names["wsgi"] == names["asgi"]
    assert len(names["wsgi"]) == 7


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "WORK", tmp_path)
    words = h2load.words(scenarios.by_name("h2c-upload-1mb"), 4711)
    assert words[0] == "h2load"
    assert {"-c4", "-m4", "http://127.0.0.1:4711/"} <= set(words)
    assert len((tmp_path / "body-1048576.bin").read_bytes()) == 1 << 20
    assert h2load.words(scenarios.by_name("h2-tls-hello"), 1)[-1].startswith("https://")


def test_an_idle_connection_asks_once():
    whole = frames.http2_get()
    assert whole.startswith(frames.PREFACE + frames.SETTINGS)
    assert not frames.is_answered(b"")
    assert not frames.is_answered(frames.SETTINGS + b"\0\0\1\1\4\0\0\0\1\x88" + b"\0\0")
    assert frames.is_answered(frames.SETTINGS + b"\0\0\1\1\4\0\0\0\1\x88" + b"\0\0\0\0\1\0\0\0\1")


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
def test_it_is_understood_by_h2load():
    """A port at which nobody listens: it has read its options before it says so."""
    import subprocess

    words = h2load.words(scenarios.by_name("h2c-hello"), 9)
    done = subprocess.run(
        [*words, "-n1", "-c1", "-m1"], capture_output=True, text=True, timeout=20, check=False
    )
    assert "refused" in done.stdout + done.stderr or "0 succeeded" in done.stdout
