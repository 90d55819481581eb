"""`reload` and `tricorn dev`: what is saved is served, and what is broken is shown to who may see it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.client import Client, Response
from harness.server import wait_for
from integration.live import Live, children, is_alive, message

SITE = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"VERSION"]
"""
ASGI_SITE = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            if "shut" not in event:
                START
            await send({"type": event + ".complete"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"VERSION"})
"""


def watchers(pid: int) -> list[int]:
    return [child for child in children(pid) if b"watcher.py" in Path(f"/proc/{child}/cmdline").read_bytes()]


def ask(server: Live, *fields: str) -> Response:
    """As a browser of this machine does, unless the fields say otherwise."""
    with server.connect(timeout=10) as client:
        lines = message("/", fields=(*fields, "Accept: text/html", "Connection: close"))
        client.send(lines.replace(b"Host: live.example", b"Host: localhost"))
        return client.response()


def test_what_is_saved_is_served(tmp_path: Path) -> None:
    """By looking at the files. There is a socket for proxies, so nobody is shown what is broken."""
    (tmp_path / "lib").mkdir()
    code, other = tmp_path / "watched_site.py", tmp_path / "lib/other.py"
    code.write_text(SITE.replace("VERSION", "first"))
    options = ("--reload", "--reload-extra-file", "*.txt", "--pythonpath", str(tmp_path / "lib"))
    engine = ("--reload-engine", "poll", "--reload-include", "*.html", "--reload-exclude", "*.txt")
    proxies = ("--bind", f"unix:{tmp_path}/for.proxies")
    with Live("watched_site:app", *options, *engine, *proxies, chdir=tmp_path) as server:

        def serves(version: bytes) -> None:
            wait_for(lambda: server.request("/").body == version, f"{version!r} is served", deadline=15)

        serves(b"first")
        (watcher,) = watchers(server.pid)
        code.write_text(SITE.replace("VERSION", "second"))
        serves(b"second")
        assert "'watched_site.py' changed: reloading" in server.log()

        code.write_text("raise RuntimeError('half a thought')\n")
        server.wait_log("RuntimeError: half a thought")
        server.wait_log("keeps serving")
        assert b"half a thought" not in ask(server).body
        serves(b"second")
        code.write_text(SITE.replace("VERSION", "third"))
        serves(b"third")

        reloads = server.log().count("changed: reloading")
        (tmp_path / "page.txt").write_text("new")
        server.wait_log("'page.txt' changed: reloading", deadline=15)
        other.write_text("x = 1\n")
        server.wait_log("'lib/other.py' changed: reloading", deadline=15)
        (tmp_path / "lib/page.html").write_text("new")
        server.wait_log("'lib/page.html' changed: reloading", deadline=15)
        assert server.log().count("changed: reloading") == reloads + 3
        assert watchers(server.pid) == [watcher], "a reload does not start another one"

        server.signal(signal.SIGKILL)
        wait_for(lambda: not is_alive(watcher), "it ends with the master", deadline=15)


def test_what_is_broken_is_shown_until_it_is_mended(tmp_path: Path) -> None:
    """By the kernel's notifications; on this machine alone; from the first start on."""
    code = tmp_path / "broken_site.py"
    code.write_text("import tricorn\nraise RuntimeError('half <a> thought')\n")
    options = ("--reload", "--reload-engine", "watchfiles", "--warmup", "/")
    with Live("broken_site:app", *options, chdir=tmp_path) as server:
        shown = ask(server)
        assert shown.status == 500
        assert b"RuntimeError: half &lt;a&gt; thought" in shown.body
        assert b"half" not in ask(server, "X-Forwarded-For: 192.0.2.1").body
        assert b"half" not in server.request("/").body, "not for another name"
        assert "RuntimeError: half <a> thought" in server.log()

        code.write_text(SITE.replace("VERSION", "mended"))
        wait_for(lambda: ask(server).body == b"mended", "it is mended", deadline=15)
        assert "(watchfiles)" in server.log()
        deep = tmp_path / "new"
        deep.mkdir()
        (deep / "module.py").write_text("")
        server.wait_log("'new/module.py' changed: reloading", deadline=15)
        (deep / "module.py").write_text("changed = 1")
        server.wait_log("'new/module.py' changed: reloading", times=2, deadline=15)


def test_a_start_up_that_fails_is_shown(tmp_path: Path) -> None:
    code = tmp_path / "starting_site.py"
    code.write_text(ASGI_SITE.replace("START", "raise RuntimeError('no database')"))
    with Live("starting_site:app", "--reload", kind="asgi", chdir=tmp_path) as server:
        assert b"RuntimeError: no database" in ask(server).body
        code.write_text(ASGI_SITE.replace("START", "pass").replace("VERSION", "started"))
        wait_for(lambda: ask(server).body == b"started", "it is mended", deadline=15)
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0


class Terminal:
    """A command with a terminal for its output."""

    def __init__(self, words: Sequence[str], directory: Path, environ: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        os.set_blocking(self.master, False)
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tricorn", *words],
            cwd=directory,
            env={**os.environ, "TERM": "xterm", **environ},
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def wait(self, text: str) -> None:
        def is_shown() -> bool:
            try:
                self.shown += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                assert self.process.poll() is None, self.shown
            return text in self.shown

        wait_for(is_shown, f"{text!r} is shown", deadline=15)

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(15)
        os.close(self.master)


def test_dev_serves_what_is_found_here(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def create_app():\n" + SITE.replace("\n", "\n    ") + "\n    return app\n"
    )
    (tmp_path / "tricorn.toml").write_text('bind = "0.0.0.0:1"\nworkers = 7\n')
    terminal = Terminal(["dev"], tmp_path, {"PORT": "0", "NO_COLOR": ""})
    try:
        terminal.wait("is ready")
        listening = re.search(r"Listening at http://127\.0\.0\.1:(\d+)", terminal.shown)
        assert listening is not None
        with Client(("127.0.0.1", int(listening[1]))) as client:
            client.send(b"GET /shop?x=%1b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.response().body == b"VERSION"
        terminal.wait("GET /shop?x=%1b")
        assert "\x1b[32m200\x1b[0m  GET" in terminal.shown
        assert "The application is app:create_app()" in terminal.shown
        assert "tricorn dev does not take workers, bind from tricorn.toml" in terminal.shown
    finally:
        terminal.end()
