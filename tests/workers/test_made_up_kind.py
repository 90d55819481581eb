"""A kind of worker that is only a row of the table and a module works from the settings to the child."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness.server import Server

from tricorn.kinds import KINDS

#: The command, with one row more in the table.
COMMAND = """
from tricorn import kinds

kinds.KINDS = kinds.table(
    *kinds.KINDS.values(),
    kinds.WorkerKind(
        "green",
        interface=kinds.WSGI,
        runner=kinds.Runner.LOOP,
        doc="is made up for a test",
        serve="green_kind:serve",
        also=("elsewhere.GreenWorker", "egg:meinheld#gunicorn_worker"),
        prepare="green_kind:prepare",
    ),
)

import sys

if sys.argv[1] == "reference":
    from tricorn.config.reference import page

    print(page())
else:
    from tricorn.cli import main

    main()
"""

KIND = """
import os

from tricorn.workers.threaded import serve_threaded


def prepare():
    if "UNFIT" in os.environ:
        import not_installed
    os.environ["PREPARED_BY"] = str(os.getpid())


def serve(assignment, application, signals):
    os.environ["SERVED_BY"] = "green"
    return serve_threaded(assignment, application, signals)
"""

#: Says what the kind has done, and that it was done in this process before this module was imported.
APP = """
import os

PREPARED = os.environ.get("PREPARED_BY") == str(os.getpid())


def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.environ['SERVED_BY']} {PREPARED}".encode()]


async def live(scope, receive, send): ...
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in (("command.py", COMMAND), ("green_kind.py", KIND), ("green_site.py", APP)):
        (tmp_path / name).write_text(text)
    return tmp_path


def run(site: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "command.py", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=site,
        env=environ,
    )


@pytest.mark.parametrize("word", ["green", "Green", "elsewhere.GreenWorker", "egg:meinheld#gunicorn_worker"])
def test_it_serves(site: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICORN_TEST_COMMAND", f"{sys.executable} {site / 'command.py'}")
    server = Server("green_site:app", ["--chdir", str(site), "--threads", "4", "-k", word])
    server.start(wait=False)
    try:
        assert server.get("/") == (200, b"green True")
        log = server.log()
        assert ("is read as 'green', Tricorn's own worker; write green" in log) == (word.lower() != "green")
        assert "threads: 4 has no effect with worker_class green, whose workers have one event loop" in log
        server.stop()
    finally:
        server.kill()


def test_what_cannot_be_prepared_is_said(site: Path) -> None:
    ended = run(site, "-b", "127.0.0.1:0", "-k", "green", "green_site:app", UNFIT="yes")
    assert ended.returncode == 3, ended.stderr
    said = "worker_class 'green' cannot be used: ModuleNotFoundError: No module named 'not_installed'"
    assert ended.stderr.count(said) == 1, ended.stderr


def test_words_know_it(site: Path) -> None:
    names = ", ".join(("auto", *KINDS, "green"))
    assert f"One of {names}." in " ".join(run(site, "--help").stdout.split())
    assert "green" in run(site, "--print-config", "-k", "elsewhere.GreenWorker", "x:y").stdout
    refused = run(site, "-k", "grin", "x:y")
    assert refused.returncode == 2
    assert f"'grin' is not one of {names}" in refused.stderr
    wrong = run(site, "--check-config", "-k", "green", "green_site:live")
    assert "is an application for ASGI, and worker_class 'green' serves WSGI" in wrong.stderr
    reference = run(site, "reference").stdout
    for said in (
        "`green` is made up for a test.",
        "`elsewhere.GreenWorker` as `green`",
        "task (asgi, tornado, green)",
    ):
        assert said in reference
