"""Configurations that patch the standard library for gevent, as people are told to for Gunicorn: the workers
have it so, and the master does not. (Programs that do: embedding/test_programs.py.) And those that have no
patched one any more for whom they import."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.axes import GREEN as GREEN_KINDS
from integration.answering import serving, told, write_site
from integration.live import Started

#: psycogreen's form; a package of its name lies beside it.
CONF = """
from gevent import monkey
monkey.patch_all()

import shop_settings

worker_class = "gevent"
timeout = 5

def when_ready(server):
    import threading
    assert threading.current_thread() is threading.main_thread()
    threading.Thread(target=lambda: server.log.info("a thread of the master's has run")).start()

def post_fork(server, worker):
    from psycogreen.gevent import patch_psycopg
    patch_psycopg()
    worker.log.info("Made psycopg green")
"""

PSYCOGREEN = """
made_green = 0

def patch_psycopg():
    global made_green
    made_green += 1
"""

APP = """
import json, threading, select, socket
import psycogreen.gevent, shop_settings
from gevent import monkey

def answer(path):
    time.sleep(0.01)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(threading.current_thread().name), name="green")
    thread.start()
    thread.join()
    return json.dumps({
        "sleep": time.sleep.__module__,
        "early": shop_settings.sleep.__module__,
        "poll": select.poll.__module__,
        "socket": socket.socket.__module__,
        "psycopg": psycogreen.gevent.made_green,
        "thread": seen,
        "main": threading.main_thread().name,
    })
"""
GREEN = {
    "sleep": "gevent.hub",
    "early": "gevent.hub",
    "poll": "gevent.select",
    "socket": "gevent._socket3",
    "psycopg": 1,
    "thread": ["green"],
    "main": "MainThread",
}


class Refused(Started):
    """A start that fails."""

    def _wait_ready(self) -> None:
        """It never is."""


def beside(directory: Path) -> None:
    (directory / "psycogreen").mkdir()
    (directory / "psycogreen" / "__init__.py").write_text("")
    (directory / "psycogreen" / "gevent.py").write_text(PSYCOGREEN)
    (directory / "shop_settings.py").write_text("from time import sleep\n")


@pytest.mark.parametrize("preload", ["--no-preload", pytest.param("--preload", marks=pytest.mark.slow)])
def test_a_configuration_that_patches(preload: str, tmp_path: Path) -> None:
    """Everything that the master does, it does at once."""
    beside(tmp_path)
    (tmp_path / "conf.py").write_text(CONF)
    options = ("-c", str(tmp_path / "conf.py"), preload)
    environ = {"PYTHONPATH": str(tmp_path)}
    with serving(tmp_path, APP, *options, kind="gevent", workers=1, environ=environ) as live:
        live.wait_log("a thread of the master's has run")
        assert json.loads(told(live, "/")) == GREEN
        live.signal(signal.SIGKILL, live.workers()[0])
        live.wait_log("is ready", times=2)
        began = time.monotonic()
        live.signal(signal.SIGHUP)
        live.wait_log("Reload done")
        assert json.loads(told(live, "/")) == GREEN
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        assert time.monotonic() - began < 20, "signals are not heard only when something else happens"
        assert "suspended" not in live.log()
        assert "Traceback" not in live.log()


@pytest.mark.slow
def test_another_kind_does_without(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("from gevent import monkey\nmonkey.patch_all()\n")
    source = "def answer(path):\n    return time.sleep.__module__\n"
    with serving(tmp_path, source, "-c", str(tmp_path / "conf.py"), kind="gthread") as live:
        live.wait_log("was called while the settings were read, and is undone: worker_class is gthread")
        assert told(live, "/") == "time"


def test_eventlet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("import eventlet\neventlet.monkey_patch()\n")
    done = subprocess.run(
        [sys.executable, "-m", "tricorn", "--print-config", "x:y"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "tricorn: error: config: eventlet.monkey_patch() was called" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("tricorn")]) == 1


TOO_LATE = (
    "the module 'site_app' of the application has been imported before the standard library was patched for "
    "worker_class {kind!r}"
)


@pytest.mark.parametrize("kind", GREEN_KINDS)
def test_an_application_that_was_imported_unpatched_is_not_preloaded(kind: str, tmp_path: Path) -> None:
    """What it has taken from the standard library would hold up all requests, in each worker of the mold."""
    write_site(tmp_path, "def answer(path):\n    return path\n", kind)
    (tmp_path / "conf.py").write_text("import site_app\n")
    options = ("--preload", "-c", str(tmp_path / "conf.py"))
    environ = {"PYTHONPATH": str(tmp_path)}
    live = Refused("site_app:app", *options, kind=kind, chdir=tmp_path, environ=environ)
    with live:
        assert live.wait_exit() == 3
        assert f"could not start: {TOO_LATE.format(kind=kind)}" in live.log()
        assert "do not import it in the configuration file" in live.log()
        assert "Traceback" not in live.log()


@pytest.mark.parametrize("kind", GREEN_KINDS)
def test_in_a_worker_it_is_a_warning(kind: str, tmp_path: Path) -> None:
    """Which each reload gives anew; whoever waits by a module's name waits as he should."""
    (tmp_path / "conf.py").write_text("import site_app\n")
    options = ("-c", str(tmp_path / "conf.py"))
    environ = {"PYTHONPATH": str(tmp_path)}
    source = "def answer(path):\n    return time.sleep.__module__\n"
    with serving(tmp_path, source, *options, kind=kind, environ=environ) as live:
        assert live.log().count(TOO_LATE.format(kind=kind)) == 1
        assert told(live, "/") == {"gevent": "gevent.hub", "eventlet": "eventlet.greenthread"}[kind]
        live.stop()
