"""A worker whose application raises a named exception is replaced: its successor first, and once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.server import wait_for
from integration.answering import serving
from integration.live import Live, Load

APP = """
class Lost(ConnectionError):
    pass

def answer(path):
    if path == "/lost":
        raise Lost("for good")
    if path == "/other":
        raise ValueError("may happen")
    return str(os.getpid())
"""


def replaced_once(live: Live, worker: int) -> None:
    live.wait_log(f"Worker {worker} has raised what reload_on_exception names: a successor takes its place")
    wait_for(lambda: live.workers() not in ([], [worker]) and len(live.workers()) == 1, "it is replaced")
    assert live.log().count("is ready") == 2
    assert live.log().count("this worker is being replaced") == 1


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_successor_first(kind: str, tmp_path: Path) -> None:
    names = "--reload-on-exception=MemoryError,site_app.Lost"
    with serving(tmp_path, APP, names, kind=kind) as live, Load(live) as load:
        (worker,) = live.workers()
        assert live.request("/other").status == 500
        for _ in range(3):
            assert live.request("/lost").status == 500
        assert "The application raised site_app.Lost (reload_on_exception)" in live.log()
        replaced_once(live, worker)
        load.wait_served(50)
    load.check()


def test_what_is_raised_again_and_again_is_no_reason_to_do_nothing_else(tmp_path: Path) -> None:
    """Each successor has it too: they are backed off as if they crashed."""
    with serving(tmp_path, APP, "--reload-on-exception=OSError", kind="sync") as live:
        for times in range(1, 4):
            live.wait_log("is ready", times=times)
            wait_for(lambda: len(live.workers()) == 1, "its predecessor is gone")
            live.request("/lost")
            live.wait_log("has raised what reload_on_exception names", times=times)
        live.wait_log("Workers have to be replaced soon after their start: starting the next one in 0.2 s")


SITES = {
    "django": """
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db.utils import InterfaceError
from django.http import HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")

def lost(request):
    raise InterfaceError("connection already closed")

urlpatterns = [path("", lambda request: HttpResponse("ok")), path("lost", lost)]
app = get_wsgi_application()
""",
    "flask": """
from flask import Flask
app = Flask(__name__)

class InterfaceError(Exception):
    pass

@app.route("/")
def index():
    return "ok"

@app.route("/lost")
def lost():
    raise InterfaceError("connection already closed")
""",
}
NAMES = {"django": "django.db.utils.InterfaceError", "flask": "lost_site.InterfaceError"}


@pytest.mark.parametrize("framework", SITES)
def test_what_a_framework_answers_itself_counts(framework: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    (tmp_path / "lost_site.py").write_text(SITES[framework])
    options = f"--reload-on-exception={NAMES[framework]}"
    with Live("lost_site:app", options, chdir=tmp_path) as live:
        (worker,) = live.workers()
        assert live.request("/lost").status == 500
        replaced_once(live, worker)
