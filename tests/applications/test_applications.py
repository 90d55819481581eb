"""How what was seen is judged, and that each file of `sites` says what the run wants: without packages."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from applications import run
from applications.application import Application, applications
from applications.evidence import Evidence, differences, lasting
from applications.plain import Web
from applications.wires import PLAIN, Wire, tls

HOST = "http://127.0.0.1:1"
SITES = applications()

PAGES = {
    "/": b'<link rel="icon stylesheet" href="a.css"><link rel=canonical href=no><script src="http://else.where/b.js">'
    b'</script><img src="/c.png"><img src="/c.png"><a href="/not-fetched">',
    "/a.css": b"",
}


def seen(*resources: tuple[str, int | str, str], console: tuple[str, ...] = (), **rest: str) -> Evidence:
    evidence = Evidence(**rest)
    for path, outcome, media_type in resources:
        evidence.resource(HOST + path, outcome, media_type)
    for line in console:
        evidence.say(line)
    return evidence


@pytest.mark.parametrize(
    ("here", "there", "told"),
    [
        (seen(), seen(), []),
        (seen(("/a", 404, "")), seen(("/a", 404, "")), []),
        (seen(("/a", 500, "")), seen(("/a", 200, "")), ["only here: 500 /a", "/a: 500, there 200"]),
        (seen(("/a", "net::ERR_X", "")), seen(), ["only here: net::ERR_X /a", "not asked for there: /a"]),
        (seen(("/a", 200, "")), seen(("/a", 500, "")), ["/a: 200, there 500"]),
        (seen(("/a", 304, "")), seen(("/a", 200, "")), []),
        (seen(("/a", 200, "x/y")), seen(("/a", 200, "x/z")), ["/a: 200 x/y, there 200 x/z"]),
        (seen(), seen(("/a", 200, "")), ["not asked for here: /a"]),
        (seen(console=("oh",)), seen(), ["only here on the console: oh"]),
        (seen(), seen(console=("oh",)), []),
        (seen(log="Traceback"), seen(), ["only here in the log: Traceback"]),
        (seen(result="1"), seen(result="2"), ["it shows '1', there '2'"]),
        (seen(fault="no"), seen(), ["it did not work: no"]),
        (seen(fault="no"), seen(fault="neither"), ["it did not work: no (nor there: neither)"]),
    ],
)
def test_the_comparison_decides(here: Evidence, there: Evidence, told: list[str]) -> None:
    assert list(differences(here, there)) == told


@pytest.mark.parametrize(
    "address",
    [
        "/queue/data?session_hash={}",
        "/file/{}/name.txt",
        "/socket.io/?client_id={}&transport=websocket",
    ],
)
def test_sessions_are_not_compared(address: str) -> None:
    here = seen((address.format("0d3b2c3e-5d7c-4a05-8d3e-0c5b7a3f2a11"), 200, ""))
    there = seen((address.format("11a2f3a7-b5c0-4e3d-8a50-c7d5e3c2b3d0"), 200, ""))
    assert list(differences(here, there)) == []


def test_a_port_is_not_compared() -> None:
    assert lasting("http://127.0.0.1:4711/a") == lasting("http://127.0.0.1:815/a") == "http://HOST/a"


@pytest.fixture(params=["plain", "tls"])
def pages(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Wire]]:
    wire = tls(tmp_path) if request.param == "tls" else PLAIN

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = PAGES.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        if wire.files:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(wire.files["certificate"], wire.files["key"])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{wire.scheme}://127.0.0.1:{server.server_port}", wire
        finally:
            server.shutdown()
            thread.join()


def test_a_page_is_fetched_with_what_it_names_on_its_own_host(pages: tuple[str, Wire]) -> None:
    evidence = Evidence()
    url, wire = pages
    Web(url, evidence, wire.context).open("/")
    assert {path: {outcome for outcome, _ in outcomes} for path, outcomes in evidence.resources.items()} == {
        "/": {"200"},
        "/a.css": {"200"},
        "/c.png": {"404"},
    }
    assert evidence.failures() == ["404 /c.png"]


@pytest.mark.parametrize("found", SITES, ids=lambda found: found.name)
def test_a_site_says_what_the_run_wants_of_it(found: Application) -> None:
    assert found.about
    assert found.module.PACKAGES
    assert found.module.INTERFACE in {"wsgi", "asgi"}
    assert found.get("client") or (found.module.PAGES and found.get("use"))
    if found.get("RECONNECTS"):
        assert found.get("use_again") or found.get("reconnecting_client")


def test_what_ci_runs_shows_something_without_a_browser() -> None:
    chosen = [found for found in SITES if found.name in run.CI]
    assert len(chosen) == len(run.CI)
    assert all(found.get("use_plain") or found.get("client") for found in chosen)


def test_an_unknown_application_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--only", "nonesuch"]) == 2
    assert "no such application: nonesuch" in capsys.readouterr().out
