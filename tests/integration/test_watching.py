"""`reload`: what is saved is served, and what is broken is not."""

from __future__ import annotations

import signal
from pathlib import Path

from harness.server import wait_for
from integration.live import Live, children, is_alive

SITE = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"VERSION"]
"""


def watchers(pid: int) -> list[int]:
    return [child for child in children(pid) if b"watcher.py" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_what_is_saved_is_served(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    code, other = tmp_path / "watched_site.py", tmp_path / "lib/other.py"
    code.write_text(SITE.replace("VERSION", "first"))
    options = ("--reload", "--reload-extra-file", "*.txt", "--pythonpath", str(tmp_path / "lib"))
    with Live("watched_site:app", *options, chdir=tmp_path) as server:

        def serves(version: bytes) -> None:
            wait_for(lambda: server.request("/").body == version, f"{version!r} is served", deadline=15)

        serves(b"first")
        (watcher,) = watchers(server.pid)
        code.write_text(SITE.replace("VERSION", "second"))
        serves(b"second")
        assert "'watched_site.py' changed: reloading" in server.log()

        code.write_text("raise RuntimeError('half a thought')\n")
        server.wait_log("RuntimeError: half a thought")
        serves(b"second")
        code.write_text(SITE.replace("VERSION", "third"))
        serves(b"third")

        reloads = server.log().count("changed: reloading")
        (tmp_path / "page.txt").write_text("new")
        server.wait_log("'page.txt' changed: reloading", deadline=15)
        other.write_text("x = 1\n")
        server.wait_log("'lib/other.py' changed: reloading", deadline=15)
        assert server.log().count("changed: reloading") == reloads + 2
        assert watchers(server.pid) == [watcher], "a reload does not start another one"

        server.signal(signal.SIGKILL)
        wait_for(lambda: not is_alive(watcher), "it ends with the master", deadline=15)
