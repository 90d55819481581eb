"""Programs that serve in their own process, written as those of Gunicorn's and Uvicorn's users are."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from runpy import run_path

import pytest
from embedding.program import GOES_ON, RECIPES, ended, program
from harness.client import Client
from harness.server import wait_for
from integration.live import is_alive, message


@pytest.mark.parametrize("preload", [pytest.param("", marks=pytest.mark.slow), "PRELOAD"])
def test_the_custom_application_of_gunicorns_documentation(preload: str) -> None:
    """`load` is called where Gunicorn would: in each worker, or once with preload; never in the master."""
    with program(RECIPES / "standalone.py", **({preload: "1"} if preload else {})) as standalone:
        standalone.wait_said("is ready", times=2)
        status, body = standalone.get()
        said = standalone.output
        loaded = set(re.findall(r"loaded in (\d+)", said))
        workers = set(re.findall(r"Worker (\d+) is ready", said))
        assert status == 200
        assert body.split()[1] == b"True"
        assert body.split()[0].decode() in workers
        if preload:
            assert len(loaded) == 1
            assert not loaded & {*workers, str(standalone.process.pid)}
        else:
            assert loaded == workers
        assert standalone.stop() == 0
        assert '"GET / HTTP/1.1" 200' in standalone.output
        assert "not reached" not in standalone.output
        assert "Traceback" not in standalone.output


def test_a_reload_calls_load_config_again() -> None:
    """And a value that is wrong by then changes nothing."""
    with program("reloaded.py") as reloaded:
        reloaded.wait_said("is ready")
        assert reloaded.get() == (200, b"1")
        reloaded.tell(signal.SIGHUP)
        reloaded.wait_said("Reload done")
        assert reloaded.get() == (200, b"2")
        reloaded.tell(signal.SIGHUP)
        reloaded.wait_said(
            "Reload failed; nothing has changed: threads: 'three' is not a whole number (reloaded.py, line"
        )
        assert reloaded.get() == (200, b"2")
        assert reloaded.stop(signal.SIGINT) == 0


def test_a_subclass_of_uvicorns_worker_is_ours_with_its_settings() -> None:
    with program(RECIPES / "asgi_uvicorn_class.py") as served:
        served.wait_said("is ready")
        assert served.get("/items") == (200, b"/api /api/items")
        said = served.output
        assert "worker_class: '__main__.ServiceWorker' is read as 'asgi', Tricorn's own worker" in said
        assert "log_config is ignored (__main__.ServiceWorker): " in said
        assert served.stop() == 0


@pytest.mark.slow
def test_a_program_that_patches_the_standard_library() -> None:
    """Workers have it, the master does without, and afterwards the program has it again."""
    with program(RECIPES / "patched.py") as patched:
        patched.wait_said("is ready")
        assert patched.get() == (200, b"gevent.hub")
        assert patched.stop() == 0
        patched.wait_said(f"{GOES_ON} gevent.hub True")
        assert "Traceback" not in patched.output


OBJECT = """
import tricorn

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"told"]

if __name__ == "__main__":
    tricorn.run(app, port=0, worker_class={kind!r}, preload_app={preload})
"""


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("kind", ["gevent", pytest.param("eventlet", marks=pytest.mark.slow)])
def test_an_object_that_was_made_before_the_library_was_patched(
    kind: str, preload: bool, tmp_path: Path
) -> None:
    """The log says how to give it instead; with preload all workers would have it so, for ever."""
    script = tmp_path / "script.py"
    script.write_text(OBJECT.format(kind=kind, preload=preload))
    said = (
        "the application '__main__.app' has been imported before the standard library was patched for "
        f"worker_class {kind!r}, so what it has taken from that may hold up all other requests; name it to "
        "tricorn.run() as 'module:app'"
    )
    with program(script) as running:
        if preload:
            assert running.wait() == 3
        else:
            running.wait_said("is ready")
            assert running.get() == (200, b"told")
            assert running.stop() == 0
        assert running.output.count(said) == 1
        assert "Traceback" not in running.output


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("options",), b"one"),
        (("name", "-b", "127.0.0.1:0", "--threads=2"), b"several"),
        pytest.param(("project", "--bind", "127.0.0.1:0"), b"one", marks=pytest.mark.slow),
    ],
    ids=["options", "name", "project"],
)
def test_commands_of_a_program(words: tuple[str, ...], body: bytes) -> None:
    with program(RECIPES / "manage.py", *words) as managed:
        managed.wait_said("is ready")
        assert managed.get() == (200, body)
        assert managed.stop() == 0


def test_run_returns_and_leaves_nothing(tmp_path: Path) -> None:
    """Of the server in the process; a second one runs there, and children are the program's."""
    with program(RECIPES / "object_run.py", ERRORLOG=str(tmp_path / "error.log")) as running:
        log = tmp_path / "error.log"
        for times in (1, 2):
            running.wait_log(log, "is ready", times=2 * times)
            port = re.findall(r"Listening at http://127.0.0.1:(\d+)", log.read_text())[-1]
            assert running.get(port=int(port)) == (200, b"a closure")
            running.tell(signal.SIGINT if times == 1 else signal.SIGTERM)
            running.wait_said(GOES_ON, times=times)
        assert running.wait() == 0
        assert running.output.splitlines() == [GOES_ON, GOES_ON, "a child: 7"]


def test_run_in_the_background(tmp_path: Path) -> None:
    """Who has called it ends when the server is ready; the server's process goes on behind it at the end."""
    code, said = ended("daemon_run.py", str(tmp_path))
    assert code == 0, said
    assert said.count("\n") == 1, said
    assert said.startswith("tricorn: note: daemon: nobody starts the server again when it ends")
    master = int((tmp_path / "pid").read_text())
    try:
        with Client(f"{tmp_path}/socket", timeout=10) as client:
            client.send(message("/", fields=("Connection: close",)))
            assert client.response().body == str(master).encode()
        assert not (tmp_path / "over").exists()
        os.kill(master, signal.SIGTERM)
        wait_for((tmp_path / "over").exists, "the program goes on")
        wait_for(lambda: not is_alive(master), "it ends")
        assert (tmp_path / "over").read_text() == f"True {master}"
        assert not (tmp_path / "pid").exists()
    finally:
        if is_alive(master):
            os.killpg(master, signal.SIGKILL)


#: A line of load_config → the one line that is said.
WRONG = {
    "a name": (
        "self.cfg.set('worker', 2)",
        "worker: there is no such setting (script.py, line 5); did you mean workers?",
    ),
    "a value": (
        "self.cfg.set('workers', 'two')",
        "workers: 'two' is not a whole number (script.py, line 5); write a whole number from 1 to 4096, or "
        "auto, for example '4'",
    ),
    "several together": (
        "self.cfg.set('keyfile', 'x')",
        "keyfile: there is no certificate for this key (script.py, line 5); set certfile too",
    ),
}


def failing(directory: Path, line: str) -> Path:
    script = directory / "script.py"
    script.write_text(
        "from tricorn.app.base import BaseApplication\n"
        "class Failing(BaseApplication):\n"
        "    def load_config(self):\n"
        "        self.cfg.set('bind', '127.0.0.1:0')\n"
        f"        {line}\n"
        "    def load(self): return None\n"
        "Failing().run()\n"
    )
    return script


@pytest.mark.parametrize(("line", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_said_as_on_the_command_line(
    tmp_path: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended_with:
        run_path(str(failing(tmp_path, line)))
    assert ended_with.value.code == 2
    assert capsys.readouterr().err == f"tricorn: error: {said}\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("pass", "'Failing.load()' is not callable: it is None", id="nothing"),
        pytest.param(
            "self.load = lambda: 1 / 0",
            "the application 'Failing.load()' raised while it was loaded",
            id="raises",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_load_does_wrong_is_said(tmp_path: Path, line: str, said: str) -> None:
    code, output = ended(failing(tmp_path, line))
    assert code == 3
    assert said in output


def test_a_module_that_runs_itself_when_it_is_imported() -> None:
    code, output = ended(RECIPES / "unguarded.py")
    assert code == 3
    assert "RuntimeError: tricorn.run() was called in a process that serves already" in output
    assert 'put the call below if __name__ == "__main__":' in output


#: Lines of a program that call `attempt` → what is said.
REFUSED = {
    "thread": (
        "import threading\nt = threading.Thread(target=attempt)\nt.start()\nt.join()",
        "tricorn.run() has to be called in the main thread",
    ),
    "loop": (
        "import asyncio\nasync def main(): attempt()\nasyncio.run(main())",
        "tricorn.run() returns when the server has stopped, so it cannot be called while an event loop runs",
    ),
}


def test_where_run_cannot_be_called(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    attempt = (
        "import tricorn\n"
        "def attempt():\n"
        "    try: tricorn.run('x:y', port=0)\n"
        "    except RuntimeError as error: print(error)\n"
    )
    script.write_text(attempt + "".join(f"{lines}\n" for lines, _ in REFUSED.values()))
    code, output = ended(script)
    assert code == 0
    for line, (_, said) in zip(output.splitlines(), REFUSED.values(), strict=True):
        assert line.startswith(said)
