"""Standard streams that are closed, full, or gone: the server serves, and says so where it still can."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.axes import EVERY_KIND
from harness.server import wait_for
from integration.answering import write_site
from integration.live import Live

SITE = """
def answer(path):
    print("printed by the application", flush=True)
    print("printed by the application", file=sys.stderr, flush=True)
    if path == "/fds":
        return " ".join(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in range(3))
    return "served"
"""

QUIET = SITE.replace(", flush=True", "").replace("print(", "0 and print(")

REDIRECTIONS = {
    "stdin closed": "<&-",
    "stdout closed": ">&-",
    "stderr closed": "2>&-",
    "stdin and stdout closed": "<&- >&-",
    "all closed": "<&- >&- 2>&-",
    "stdout full": ">/dev/full",
    "stderr full": "2>/dev/full",
    "both full": ">/dev/full 2>/dev/full",
}

EVERYWHERE = pytest.mark.parametrize("kind", EVERY_KIND)


class Redirected(Live):
    """Started by a shell that redirects its streams. What it says is seen in a file at most."""

    redirection = ""

    @property
    def command(self) -> list[str]:
        return ["sh", "-c", f'exec "$@" {self.redirection}', "sh", *super().command]

    def _wait_ready(self) -> None:
        self.request("/")  # waits in the backlog


def redirected(tmp_path: Path, source: str, redirection: str, kind: str, *options: str) -> Redirected:
    write_site(tmp_path, source, kind)
    live = Redirected("site_app:app", *options, kind=kind, chdir=tmp_path, errorlog=tmp_path / "error.log")
    live.redirection = redirection
    return live


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])
@pytest.mark.parametrize("redirection", REDIRECTIONS.values(), ids=REDIRECTIONS)
@EVERYWHERE
def test_it_serves(tmp_path: Path, kind: str, redirection: str, preload: tuple[str, ...]) -> None:
    """With the logs where they are by default, or asked for: at the streams."""
    options = ("--access-logfile=-", "--error-logfile=-", *preload)
    with redirected(tmp_path, QUIET, redirection, kind, *options) as live:
        assert live.request("/").body == b"served"
        links = live.request("/fds").body.decode().split()
        assert not [link for link in links if link in ("socket", "anon_inode", "pipe")], links
        live.terminate()
        assert live.wait_exit() == 0


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
@EVERYWHERE
def test_an_application_can_print(tmp_path: Path, kind: str, redirection: str) -> None:
    with redirected(tmp_path, SITE, redirection, kind) as live:
        assert live.request("/").body == b"served"
        live.terminate()
        assert live.wait_exit() == 0


@pytest.mark.parametrize(
    ("redirection", "said"),
    [(">&-", "standard output"), ("2>&-", "standard error")],
    ids=["stdout", "stderr"],
)
def test_it_says_what_was_closed(tmp_path: Path, redirection: str, said: str) -> None:
    with redirected(tmp_path, QUIET, redirection, "sync") as live:
        assert f"The {said} was closed at the start" in live.log()


def test_a_lost_error_log_is_announced_on_the_other_stream(tmp_path: Path) -> None:
    write_site(tmp_path, QUIET, "sync")
    command = [sys.executable, "-m", "tricorn", "--bind", "127.0.0.1:0", "--chdir", tmp_path, "site_app:app"]
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", *map(str, command)]
    with subprocess.Popen(shell, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "the error log is lost" in process.stdout.readline()
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("stream", [1, 2])
@EVERYWHERE
def test_a_reader_that_goes_away(tmp_path: Path, kind: str, stream: int) -> None:
    reader, writer = os.pipe()
    live = redirected(
        tmp_path, QUIET, f"{stream}>/proc/self/fd/{writer}", kind, "--access-logfile=-", "--error-logfile=-"
    )
    _serves_on(live, writer, lambda: os.close(reader))


@EVERYWHERE
def test_a_terminal_that_hangs_up(tmp_path: Path, kind: str) -> None:
    controller, terminal = pty.openpty()
    redirection = "<{0} >{0} 2>{0}".format(f"/proc/self/fd/{terminal}")
    live = redirected(tmp_path, QUIET, redirection, kind, "--access-logfile=-", "--error-logfile=-")
    _serves_on(live, terminal, lambda: os.close(controller))


def _serves_on(live: Redirected, given: int, leave: Callable[[], None]) -> None:
    live.pass_fds = (given,)
    with live:
        os.close(given)
        (worker,) = live.workers()
        leave()
        for _ in range(3):
            assert live.request("/").body == b"served"
        os.kill(worker, 15)
        wait_for(lambda: live.workers() and worker not in live.workers(), "another worker", deadline=10)
        assert live.request("/").body == b"served"
        live.terminate()
        assert live.wait_exit() == 0


@pytest.mark.parametrize("option", ["--help", "--version", "--print-config"])
def test_words_that_cannot_be_shown_are_an_error(tmp_path: Path, option: str) -> None:
    command = [sys.executable, "-m", "tricorn", option, "site_app:app"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=20, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == "tricorn: error: cannot write to the standard output: No space left on device\n"
