"""Pages that a new worker answers itself: before any client, through the transport, and only if they are well
answered it serves."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.server import wait_for
from integration.answering import serving, write_site
from integration.live import Live, entered, message

#: The kinds, and threads.
WAYS = [*((kind, ()) for kind in ONE_OF_EACH), ("gthread", ("--threads=4",))]

APP = """
import pathlib
SEEN = []

def wait_at_gate():
    pathlib.Path(GATE + ".in").write_text(str(os.getpid()))
    while not os.path.exists(GATE):
        time.sleep(0.002)

def answer(path):
    SEEN.append(path)
    if path == "/slow":
        wait_at_gate()
    if path == "/broken":
        raise ValueError("not today")
    return " ".join(SEEN)
"""


#: With an event loop it must not block that: what nobody hears is ended by KILL.
WAITS = """
import asyncio

async def wait_at_gate():
    pathlib.Path(GATE + ".in").write_text(str(os.getpid()))
    while not os.path.exists(GATE):
        await asyncio.sleep(0.002)

blocking = app
async def app(scope, receive, send):
    if scope.get("path") == "/slow":
        await wait_at_gate()
        scope["path"] = "/waited"
    await blocking(scope, receive, send)
"""


def source(gate: Path) -> str:
    return f"GATE = {str(gate)!r}\n{APP}"


@pytest.mark.parametrize(("kind", "options"), WAYS)
def test_no_client_waits_for_what_is_slow_at_first(
    kind: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "access"
    more = ("--warmup=/first", "--warmup=/slow", f"--access-logfile={log}", "--max-requests=2")
    live = serving(tmp_path, source(gate), *more, *options, kind=kind)
    try:
        live.start(wait=False)
        (worker,) = wait_for(lambda: entered(gate) and live.workers(), "the worker warms up")
        with live.connect(timeout=10) as client:
            client.send_ahead(message("/client", fields=("Connection: close",)))
            assert "is ready" not in live.log()
            gate.touch()
            assert client.response().body == b"/first /slow /client"
        live.wait_log(f"Worker {worker} is ready")
        assert live.workers() == [worker]  # its own requests are none of max_requests
        wait_for(lambda: "/client" in log.read_text(), "the client is in the access log")
        assert len(log.read_text().splitlines()) == 1
    finally:
        live.kill()


@pytest.mark.parametrize(("kind", "options"), WAYS)
def test_a_worker_that_answers_badly_does_not_serve(
    kind: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    live = serving(
        tmp_path, source(tmp_path / "gate"), "--warmup=/ok", "--warmup=/broken", *options, kind=kind
    )
    try:
        live.start(wait=False)
        assert live.wait_exit() == 3
        text = "could not start: warmup: GET /broken was answered with 500, so this worker does not serve"
        assert text in live.log()
        assert "ValueError: not today" in live.log()
    finally:
        live.kill()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_reload_to_code_that_answers_badly_changes_nothing(kind: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with serving(tmp_path, source(gate), "--warmup=/new", kind=kind) as live:
        (worker,) = live.workers()
        write_site(tmp_path, source(gate) + "\n\ndef answer(path): raise ValueError('new')", kind)
        live.signal(signal.SIGHUP)
        live.wait_log("Reload failed: generation 2 does not start; generation 1 keeps serving")
        assert live.workers() == [worker]
        assert live.request("/").body.startswith(b"/new / ")
        assert "max_requests" not in live.log()


@pytest.mark.parametrize(("kind", "options"), WAYS)
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow), "SIGHUP"])
def test_it_can_be_told_to_end_meanwhile(
    kind: str, options: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    live = serving(tmp_path, source(gate), "--warmup=/slow", *options, kind=kind)
    if kind == "asgi":
        with (tmp_path / "site_app.py").open("a") as site:
            site.write(WAITS)
    try:
        live.start(wait=False)
        entered(gate)
        live.signal(getattr(signal, name))
        if name != "SIGHUP":
            assert live.wait_exit() == 0
            assert "killed" not in live.log()
            return
        live.wait_log("reloading, generation 2")
        gate.touch()
        live.wait_log("Reload done: generation 2 serves")
    finally:
        live.kill()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_boot_timeout_counts_it_and_the_log_names_the_page(kind: str, tmp_path: Path) -> None:
    options = ("--warmup=/slow", "--boot-timeout=0.5")
    live = serving(tmp_path, source(tmp_path / "gate"), *options, kind=kind)
    try:
        live.start(wait=False)
        assert live.wait_exit() == 3
        assert "(boot_timeout): aborting it; it was busy with 'GET /slow' (" in live.log()
    finally:
        live.kill()


TOLD = {
    "wsgi": """
SEEN = []
def app(environ, start_response):
    SEEN.append(environ["wsgi.url_scheme"] + "://{HTTP_HOST}{PATH_INFO}?{QUERY_STRING}".format(**environ))
    start_response("200 OK", [])
    return ["\\n".join(SEEN).encode()]
""",
    "asgi": """
SEEN = []
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    host = dict(scope["headers"])[b"host"].decode()
    SEEN.append(f"{scope['scheme']}://{host}{scope['path']}?{scope['query_string'].decode()}")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": "\\n".join(SEEN).encode()})
""",
}


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("wire", ["plain", "tls"])
def test_as_a_client_would_see_it(kind: str, wire: str, tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(TOLD["asgi" if kind == "asgi" else "wsgi"])
    items = ("/path?a=b", "http://www.example.org:8000/", "https://www.example.org/x")
    options = [f"--warmup={item}" for item in items]
    with Live("told:app", *options, kind=kind, wire=wire, chdir=tmp_path) as live:
        seen = live.request("/last").body.decode().splitlines()[:3]
    scheme = "https" if wire == "tls" else "http"
    assert seen == [
        f"{scheme}://localhost/path?a=b",
        f"{scheme}://www.example.org:8000/?",
        "https://www.example.org/x?",
    ]
