"""Classes of workers that are not ours: which mean one of ours, which are used, what is said of the rest."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest
from harness.server import Server

from tricorn import kinds
from tricorn.app import gunicorn
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.records import replace
from tricorn.worker_classes import resolved
from tricorn.workers.base import Worker


class UvicornWorker(gunicorn.Worker):
    """As Uvicorn's: a server of its own, on Gunicorn's base class, which may be ours."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {}


UvicornWorker.__module__ = "uvicorn_worker._workers"


class GeventWorker:
    def patch(self) -> None: ...


GeventWorker.__module__ = "gunicorn.workers.ggevent"


class TornadoWorker: ...


TornadoWorker.__module__ = "gunicorn.workers.gtornado"


class GunicornWebWorker: ...


GunicornWebWorker.__module__ = "aiohttp.worker"


class Configured(UvicornWorker):
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": "h11",
        "lifespan": "on",
        "headers": [("a", "b")],
        "limit_max_requests": 9,
    }

    def handle_exit(self) -> None: ...


class Green(GeventWorker): ...


class Tornadic(TornadoWorker): ...


class OfAiohttp(GunicornWebWorker): ...


class OfGreenThreads(Worker):
    kind = "gevent"


class Traced(Worker):
    kind = "sync"

    def init_process(self) -> None: ...


class OfLoops(Worker):
    kind = "asgi"

    def handle_quit(self) -> None: ...

    def notify(self) -> None: ...


class OfRequests(Worker):
    def handle_request(self) -> None: ...


class OfNoKind(Worker):
    kind = "green"


class OfTornado(Worker):
    kind = "tornado"


class OfGunicornsBase(gunicorn.Worker):
    def run(self) -> int: ...


class Nothing: ...


Number = 3


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("site_of_workers")
    vars(module).update({name: value for name, value in globals().items() if not name.startswith("_")})
    monkeypatch.setitem(sys.modules, "site_of_workers", module)
    monkeypatch.setattr(kinds, "_adopted", {})


def settings_for(name: str) -> Settings:
    origins = dict.fromkeys(["worker_class"], "gunicorn.conf.py")
    return replace(Settings(worker_class=name), origins=origins)


def test_uvicorns_with_what_it_configures() -> None:
    made = resolved(settings_for("site_of_workers.Configured"))
    assert (made.worker_class, made.asgi_loop, made.asgi_lifespan, made.max_requests) == (
        "asgi",
        "uvloop",
        "on",
        9,
    )
    assert made.origins["asgi_loop"] == "site_of_workers.Configured"
    assert made.warnings == (
        "worker_class: 'site_of_workers.Configured' is read as 'asgi', Tricorn's own worker "
        "(gunicorn.conf.py)",
        "headers is ignored (site_of_workers.Configured): add them in the application",
        "worker_class: handle_exit of 'site_of_workers.Configured' is not called (gunicorn.conf.py)",
    )


def test_a_class_of_its_own() -> None:
    made = resolved(settings_for("site_of_workers:Traced"))
    kind = kinds.maybe_kind(made.worker_class)
    assert kind is not None
    assert (kind.interface, kind.runner) == (kinds.WSGI, kinds.Runner.THREADS)
    assert made.warnings == ()
    green = kinds.maybe_kind(resolved(settings_for("site_of_workers.OfGreenThreads")).worker_class)
    assert green is not None
    assert (green.runner, green.needs) == (kinds.Runner.GREEN, "gevent")
    assert green.patch == kinds.KINDS["gevent"].patch
    assert resolved(settings_for("site_of_workers.Green")).worker_class == "gevent"
    assert resolved(settings_for("site_of_workers.Tornadic")).worker_class == "tornado"
    tornado = kinds.maybe_kind(resolved(settings_for("site_of_workers.OfTornado")).worker_class)
    assert tornado is not None
    assert (tornado.interface, tornado.serves_too) == (kinds.TORNADO, (kinds.WSGI,))
    (said,) = resolved(settings_for("site_of_workers.OfLoops")).warnings
    assert said.startswith(
        "worker_class: handle_quit, notify of 'site_of_workers.OfLoops' is not called; do it in"
    )


REFUSED = {
    "OfAiohttp": "is based on aiohttp.worker.gunicornwebworker, which serves aiohttp's own applications",
    "OfRequests": "defines handle_request, which Tricorn does not call: it serves by itself (",
    "OfNoKind": "has the kind 'green' (gunicorn.conf.py); set kind to one of sync, gthread, asgi",
    "OfGunicornsBase": "is a server of its own: its base is gunicorn.workers.base.Worker",
    "Nothing": "is not a subclass of tricorn.workers.base.Worker (gunicorn.conf.py); docs/embedding.md says",
    "Number": "is not a class (gunicorn.conf.py); name a subclass",
    "Missing": "cannot be imported: module 'site_of_workers' has no attribute 'Missing' (",
}


@pytest.mark.parametrize(("name", "said"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_used(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(settings_for(f"site_of_workers.{name}"))
    assert str(caught.value).startswith(f"worker_class: 'site_of_workers.{name}' {said}")


def test_a_worker_knows_the_programs_application() -> None:
    class Program:
        def load(self) -> None: ...

    program = Program()
    assert Worker(replace(Settings(), loader=program.load)).app is program
    assert Worker(replace(Settings(), loader=lambda: None)).app is None


def test_words_are_left_alone() -> None:
    for word in kinds.words():
        assert resolved(settings_for(word)).worker_class == word


SITE = """
import os
from tricorn.workers.base import Worker

class CustomWorker(Worker):
    kind = "sync"

    def init_process(self):
        os.environ["PREPARED"] = str(self.pid)
        super().init_process()

    def run(self):
        self.log.info("The worker of %s begins, with %d threads", self.wsgi.__name__, self.cfg.threads)
        super().run()
        self.log.info("The worker ends")

class BrokenWorker(Worker):
    kind = "sync"

    def init_process(self):
        raise LookupError("nothing to trace")
"""

APP = """
import os

PREPARED = os.environ.get("PREPARED") == str(os.getpid())

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(PREPARED).encode()]
"""


def test_a_class_serves(tmp_path: Path) -> None:
    (tmp_path / "own_workers.py").write_text(SITE)
    (tmp_path / "own_site.py").write_text(APP)
    options = ["--chdir", str(tmp_path), "-k", "own_workers.CustomWorker"]
    server = Server("own_site:app", options)
    server.start(wait=False)
    try:
        assert server.get("/") == (200, b"True")
        server.terminate()
        assert server.process is not None
        assert server.process.wait(10) == 0
        log = server.log()
        assert "The worker of app begins, with 1 threads" in log
        assert "The worker ends" in log
    finally:
        server.kill()


def test_a_class_that_cannot_begin(tmp_path: Path) -> None:
    (tmp_path / "own_workers.py").write_text(SITE)
    (tmp_path / "own_site.py").write_text(APP)
    server = Server("own_site:app", ["--chdir", str(tmp_path), "-k", "own_workers.BrokenWorker"])
    server.start(wait=False)
    try:
        assert server.process is not None
        assert server.process.wait(10) == 3
        said = "worker_class 'own_workers.BrokenWorker' cannot be used: LookupError: nothing to trace"
        assert server.log().count(said) == 1
    finally:
        server.kill()
