"""Which server an application gets, and what is said when `worker_class` asks for the other kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness.server import Server

SITE = """
def web(environ, start_response): return []
async def live(scope, receive, send): ...
def secret(*args): return web(*args)
"""

#: Boots a worker whose server only tells what it was called for. Arguments: the application, "preloaded" or
#: not, options.
BOOT = """
import logging, sys
from pathlib import Path
from tricorn.config.sources import load as load_settings
from tricorn.gateway.loader import load_application
from tricorn.handover import Assignment
from tricorn.scoreboard import Board
from tricorn.workers.boot import run_worker

def server_for(kind):
    def serve(assignment, application, signals):
        print("served:", kind.name, application.__name__, signals.fd > 0)
        return 0
    return serve

logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
name, preloaded, *options = sys.argv[1:]
sys.path.insert(0, ".")
settings = load_settings([*options, name], {}, Path.cwd())
application = load_application(name) if preloaded == "preloaded" else None
assignment = Assignment(
    settings, [], Board(1, 1)[0], -1, lambda: None, lambda text: print("failed:", text), sys.exit,
    application
)
sys.exit(run_worker(server_for, assignment))
"""

UNTOLD = (
    "The parameters of 'site_app:secret' do not tell whether it is WSGI or ASGI, so it is served as WSGI; "
    "--worker-class asgi or gthread settles it"
)
NO_THREADS = "threads = 4 makes no difference to an ASGI application; more workers do"
WANTS_WSGI = (
    "failed: 'site_app:live' is an application for ASGI, and worker_class 'gthread' serves WSGI; "
    "write --worker-class auto, or asgi"
)
WANTS_ASGI = (
    "failed: 'site_app:web' is an application for WSGI, and worker_class 'asgi' serves ASGI; "
    "write --worker-class auto, or gthread; or wrap it: asgiref.wsgi.WsgiToAsgi(…)"
)
NO_SUCH_ROUTE = (
    "failed: routes: '/a', threads: a worker that has one event loop has no such thing; "
    "write max_concurrency, the number of its requests that may run at once"
)

CASES: dict[str, tuple[str, list[str], int, list[str]]] = {
    "auto, WSGI": ("web", [], 0, ["served: gthread web True"]),
    "auto, ASGI": ("live", [], 0, ["served: asgi live True"]),
    "auto, untold": ("secret", [], 0, [UNTOLD, "served: gthread secret True"]),
    "auto, WSGI, threads": ("web", ["--threads", "4"], 0, ["served: gthread web True"]),
    "auto, ASGI, threads": ("live", ["--threads", "4"], 0, [NO_THREADS, "served: asgi live True"]),
    "sync, WSGI": ("web", ["-k", "sync"], 0, ["served: sync web True"]),
    "sync, untold": ("secret", ["-k", "sync"], 0, ["served: sync secret True"]),
    "gthread, ASGI": ("live", ["-k", "gthread"], 3, [WANTS_WSGI]),
    "asgi, ASGI": ("live", ["-k", "asgi"], 0, ["served: asgi live True"]),
    "asgi, untold": ("secret", ["-k", "asgi"], 0, ["served: asgi secret True"]),
    "auto, ASGI, threads of a route": ("live", ["--route", "/a threads=1"], 3, [NO_SUCH_ROUTE]),
    "asgi, WSGI": ("web", ["-k", "asgi"], 3, [WANTS_ASGI]),
}


@pytest.mark.parametrize("loaded", ["preloaded", "fresh"])
@pytest.mark.parametrize(("app", "options", "code", "said"), CASES.values(), ids=CASES)
def test_the_server_follows_the_application(
    app: str, options: list[str], code: int, said: list[str], loaded: str, tmp_path: Path
) -> None:
    (tmp_path / "site_app.py").write_text(SITE)
    command = [sys.executable, "-c", BOOT, f"site_app:{app}", loaded, *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == said
    assert ended.returncode == code


@pytest.mark.parametrize("settings", ["", "worker_class='gthread'"])
def test_a_worker_for_wsgi_loads_no_event_loop(settings: str) -> None:
    code = (
        "import sys; from tricorn.config.settings import Settings; "
        f"from tricorn.workers.registry import worker_for; worker_for(Settings({settings})); "
        "print('tricorn.workers.threaded' in sys.modules, {'asyncio', 'uvloop'} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout == "True set()\n"


HELLO = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["root_path"].encode()})
"""


def test_a_command_for_gunicorn_with_uvicorns_worker(tmp_path: Path) -> None:
    """What users of ASGI have written under Gunicorn: changing one word is enough."""
    (tmp_path / "uvicorn_site.py").write_text(HELLO)
    (tmp_path / "gunicorn.conf.py").write_text("workers = 2\nroot_path = '/shop'\n")
    options = ["--chdir", str(tmp_path), "-c", str(tmp_path / "gunicorn.conf.py")]
    server = Server("uvicorn_site:app", [*options, "-k", "uvicorn.workers.UvicornWorker"])
    server.start(wait=False)
    try:
        assert server.get("/") == (200, b"/shop")
        said = "worker_class: 'uvicorn.workers.UvicornWorker' is read as 'asgi', Tricorn's own worker"
        assert server.log().count(said) == 1
        server.stop()
    finally:
        server.kill()
