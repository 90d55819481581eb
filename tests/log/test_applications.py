"""Applications that configure logging, and logs that cannot be written: log and serving go on."""

from __future__ import annotations

import fcntl
import json
import os
import select
from pathlib import Path

import pytest
from harness.axes import KINDS_OF
from harness.server import wait_for
from integration.live import Live
from log.test_setup import RECORD

#: What an application does to logging while it is imported.
CONFIGURES = {
    "dictConfig": "logging.config.dictConfig({'version': 1, 'root': {'level': 'INFO', 'handlers': []}})",
    "fileConfig": "logging.config.fileConfig(io.StringIO('[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n'"
    " '[formatters]\\nkeys=\\n[logger_root]\\nlevel=ERROR\\nhandlers=\\n'))",
    "basicConfig": "logging.basicConfig(force=True, level=logging.CRITICAL)",
    "disable": "logging.disable(logging.CRITICAL)",
    "shutdown": "logging.shutdown()",
    "handlers taken": "logging.getLogger('tricorn.error').handlers = []",
}
HEAD = "import io, json, logging, logging.config\n"
FAILING = {
    "wsgi": "def app(environ, start_response):\n    raise ValueError('needle')\n",
    "asgi": "async def app(scope, receive, send):\n    raise ValueError('needle')\n",
}


def served(place: Path, code: str, kind: str, *options: str) -> Live:
    interface = "asgi" if kind in KINDS_OF["asgi"] else "wsgi"
    (place / "site_app.py").write_text(f"{HEAD}{code}\n{FAILING[interface]}")
    return Live("site_app:app", *options, kind=kind, chdir=place)


@pytest.mark.parametrize("preload", ["--preload", "--no-preload"])
@pytest.mark.parametrize("name", CONFIGURES)
def test_our_log_goes_on(name: str, preload: str, tmp_path: Path) -> None:
    with served(tmp_path, CONFIGURES[name], "sync", preload) as live:  # waits for what the master says
        assert live.request("/").status == 500
        live.wait_log("ValueError: needle")
        live.terminate()
        assert live.wait_exit() == 0
        assert "Tricorn has stopped" in live.log()


def test_for_each_kind(kind: str, tmp_path: Path) -> None:
    with served(tmp_path, CONFIGURES["dictConfig"], kind) as live:
        assert live.request("/").status == 500
        live.wait_log("ValueError: needle")


def test_a_configuration_while_serving(tmp_path: Path) -> None:
    code = f"""
def app(environ, start_response):
    {CONFIGURES["dictConfig"]}
    raise ValueError("needle")
"""
    (tmp_path / "site_app.py").write_text(HEAD + code)
    with Live("site_app:app", chdir=tmp_path) as live:
        live.wait_log("ValueError: needle")


JSON = """
class Json(logging.Formatter):
    def format(self, record):
        error = record.exc_info and repr(record.exc_info[1])
        return json.dumps({"text": record.getMessage(), "error": error})

logging.config.dictConfig({
    "version": 1,
    "formatters": {"json": {"()": Json}},
    "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {"%s": {"handlers": ["json"], "level": "INFO", "propagate": False}},
})
"""


@pytest.mark.parametrize("name", ["tricorn.error", "gunicorn.error"])
def test_a_configuration_by_name_is_done(name: str, tmp_path: Path) -> None:
    with served(tmp_path, JSON % name, "sync") as live:
        live.request("/")
        text = live.wait_log("needle", times=2)
        objects = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert "ValueError('needle')" in [found["error"] for found in objects]
        assert "Traceback" not in text


GIVEN = """
given = logging.getLogger("gunicorn.error")
mine = logging.getLogger("mine")
mine.handlers = given.handlers
mine.setLevel(given.level)
mine.info("of the application\\n[it is one line]")
"""


def test_the_recipe_for_another_servers_log(tmp_path: Path) -> None:
    with served(tmp_path, GIVEN, "sync") as live:
        line = next(line for line in live.log().splitlines() if "of the application" in line)
        matched = RECORD.fullmatch(line)
        assert matched is not None
        assert matched[3] == "of the application\\x0A[it is one line]"


RAISES = "raise ValueError('needle')\n"


@pytest.mark.parametrize("preload", ["--preload", "--no-preload"])
def test_a_traceback_of_the_boot_is_a_block(preload: str, tmp_path: Path) -> None:
    live = served(tmp_path, f"def broken():\n    {RAISES}\nbroken()", "sync", preload)
    live.start(wait=False)
    try:
        assert live.wait_exit() == 3
        lines = live.log().splitlines()
        assert "Traceback (most recent call last):" in lines
        assert "ValueError: needle" in lines
        assert "\\x0A" not in live.log()
    finally:
        live.kill()


def test_what_a_worker_raises_at_its_end_is_a_block(tmp_path: Path) -> None:
    code = "import threading\ndef broken():\n    raise SystemExit(7)\nthreading._register_atexit(broken)"
    with served(tmp_path, code.replace("SystemExit(7)", "ValueError('at the end')"), "sync") as live:
        live.terminate()
        live.wait_exit()
        lines = live.log().splitlines()
        assert "Traceback (most recent call last):" in lines
        assert "ValueError: at the end" in lines


def test_a_full_disk_costs_lines_and_no_request(kind: str, tmp_path: Path) -> None:
    options = ("--access-logfile", "/dev/full", "--keep-alive", "30")
    with served(tmp_path, "", kind, *options) as live:
        for _ in range(50):
            assert live.request("/").status == 500
        # Lines are written once a second, and what is lost is said once a minute.
        live.wait_log("lines lost: No space left on device")
        assert live.request("/").status == 500
        live.stop()


def test_an_error_log_on_a_full_disk_costs_no_request(kind: str, tmp_path: Path) -> None:
    live = served(tmp_path, "", kind, "--error-logfile", "/dev/full")
    live.start(wait=False)
    try:
        for _ in range(20):
            assert live.request("/").status == 500
        live.stop()
    finally:
        live.kill()


def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    """As on a full disk, and when there is room again, what was lost is said."""
    logs = tmp_path / "error.log"
    code = (
        "import resource, signal\nlimits = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        + """
def app(environ, start_response):
    soft = int(environ["QUERY_STRING"] or 0) or limits[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, limits[1]))
    start_response("200 OK", [])
    logging.getLogger("tricorn.error").warning("wanted %s", environ["QUERY_STRING"])
    return [b"ok"]
"""
    )
    (tmp_path / "site_app.py").write_text(HEAD + code)
    with Live("site_app:app", chdir=tmp_path, errorlog=logs) as live:
        live.request("/")
        size = logs.stat().st_size
        for _ in range(3):
            assert live.request(f"/?{size}").status == 200
        assert logs.stat().st_size == size
        assert live.request("/").status == 200
        assert "(error log: 3 records lost before this one)" in live.wait_log("records lost")
        live.stop()


@pytest.mark.parametrize("option", ["--error-logfile", "--access-logfile"])
def test_a_pipe_without_a_reader(option: str, tmp_path: Path) -> None:
    """A FIFO whose reader has gone: EPIPE, not SIGPIPE."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    live = served(tmp_path, "", "sync", option, str(fifo))
    live.start(wait=False)
    try:
        assert live.request("/").status == 500
        wait_for(lambda: select.select([reader], [], [], 0)[0], "something is logged")
        os.close(reader)
        for _ in range(20):
            assert live.request("/").status == 500
        live.stop()
    finally:
        live.kill()


@pytest.mark.parametrize("option", ["--error-logfile", "--access-logfile"])
def test_a_pipe_whose_reader_stalls(option: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    live = served(tmp_path, "", "sync", option, str(fifo))
    live.start(wait=False)
    try:
        for _ in range(60):
            assert live.request("/" + "x" * 200).status == 500
        live.stop()
    finally:
        os.close(reader)
        live.kill()
