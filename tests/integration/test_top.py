"""`tricorn top` on a terminal, with a real server: what it shows, what its keys do, and that the terminal is
as it was, whatever ends it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.answering import serving
from integration.live import Live, entered, is_alive, message
from integration.terminal import Terminal, top
from integration.test_control import SITE, Site, serving_of


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("top")
    path = home / "ctl"
    source = SITE.replace("VERSION", "one")
    with serving(home, source, f"--control-socket={path}", "--metrics", kind="sync", workers=2) as live:
        yield Site(live, home, path)


def watching(site: Site, *words: str, **more: object) -> Terminal:
    return Terminal(top("--socket", str(site.path), "--interval=0.2", *words), **more)  # type: ignore[arg-type]  # its own


def selected(lines: list[str]) -> int | None:
    found = [re.match(r"> +(\d+) ", line) for line in lines]
    return next((int(each[1]) for each in found if each), None)


def test_what_it_shows_and_what_keys_do(running: Site, tmp_path: Path) -> None:
    """From one request to the stack of its thread and to the end of its worker."""
    live, gate = running.live, tmp_path / "gate"
    with watching(running) as terminal, live.connect(timeout=10) as client:
        client.send(message(f"/hold{gate}"))
        pid = entered(gate)
        lines = terminal.wait_for("application  127.0.0.1")
        assert lines[0].startswith("site_app:app  serving, generation 1  process")
        assert lines[1].startswith("workers 2/2 ready  running 1  waiting 0  connections ")
        assert re.search(
            rf"^ +{pid} +\d.* s  application  127\.0\.0\.1 .*  GET /hold/", "\n".join(lines), re.M
        )
        assert lines[-1].startswith("q quit  d stacks")
        terminal.wait_for(
            lambda lines: re.match(r"requests [\d.]+/s  (.*  )?in \d.*/s  out \d.*/s", lines[2])
        )

        terminal.press("\x1b[B")
        terminal.wait_for(lambda lines: selected(lines) == max(live.workers()))
        if pid == min(live.workers()):
            terminal.press("\x1b[A")
            terminal.wait_for(lambda lines: selected(lines) == pid)
        terminal.press("d")
        # With a long path it goes on in the next line.
        lines = terminal.wait_for(lambda lines: "inanswer" in "".join(lines).replace(" ", ""))
        assert lines[0].startswith(f"Stacks of worker {pid}")
        terminal.press("q")
        terminal.wait_for("REQ/S")

        terminal.press("kn")
        terminal.press("k")
        terminal.wait_for(f"Kill worker {pid} at once")
        assert is_alive(pid)
        terminal.press("y")
        terminal.wait_for(f"Worker {pid} was killed; 2 workers serve")
        assert pid not in live.workers()

        wait_for(lambda: selected(terminal.lines()) in serving_of(running), "one that serves is selected")
        old = selected(terminal.lines())
        terminal.press("r")
        terminal.wait_for(f"Replace worker {old}?")
        terminal.press("y")
        terminal.wait_for("serves in its place")
        assert old not in serving_of(running)

        terminal.resize(40, 12)
        lines = terminal.wait_for(lambda lines: len(lines) == 12 and "REQUEST" in "\n".join(lines))
        assert max(map(len, lines)) <= 40
        terminal.press("\x1a")
        wait_for(lambda: state_of(terminal.process.pid) == "T" and terminal.is_as_before, "it is suspended")
        terminal.process.send_signal(signal.SIGCONT)
        wait_for(lambda: not terminal.is_as_before, "it has the terminal again")
        terminal.wait_for("REQUEST")
        terminal.press("q")
        assert terminal.wait_end() == 0
        assert terminal.is_as_before
        assert terminal.usual == ""


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def end_by_key(terminal: Terminal) -> None:
    terminal.press("\x03")


def end_by_signal(terminal: Terminal) -> None:
    terminal.process.terminate()


def test_a_hangup(running: Site) -> None:
    with watching(running) as terminal:
        terminal.wait_for("REQ/S")
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.wait_end() == 128 + signal.SIGHUP
        assert terminal.is_as_before


@pytest.mark.parametrize(
    ("end", "status"), [(end_by_key, 0), (end_by_signal, 128 + signal.SIGTERM)], ids=["Ctrl-C", "TERM"]
)
def test_without_colours_it_ends_as_it_should(running: Site, end: object, status: int) -> None:
    with watching(running, environ={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("REQ/S")
        end(terminal)  # type: ignore[operator]  # one of the functions above
        assert terminal.wait_end() == status
        assert terminal.is_as_before
        assert "\x1b[7m" in terminal.raw
        assert not re.search(r"\x1b\[(\d;)?[34]\d", terminal.raw)


#: A fault in what it draws, once it has drawn.
FAULTY = """
import sys
from tricorn.commands.top import command, watch
good = watch.screen
def screen(frame, *more):
    if frame is not None:
        raise ZeroDivisionError("a fault")
    return good(frame, *more)
watch.screen = screen
sys.exit(command.main(sys.argv[1:]))
"""


def test_a_fault_of_ours_is_seen_on_the_usual_screen(running: Site) -> None:
    with Terminal([sys.executable, "-c", FAULTY, "--socket", str(running.path)]) as terminal:
        assert terminal.wait_end() == 1
        assert terminal.is_as_before
        assert "ZeroDivisionError: a fault" in terminal.usual
        assert "\x1b[?1049h" in terminal.raw


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "environ"),
    [(["--once"], {}), ([], {"TERM": "dumb"})],
    ids=["--once", "a dumb terminal"],
)
def test_once(running: Site, words: list[str], environ: dict[str, str]) -> None:
    with watching(running, *words, environ=environ) as terminal:
        assert terminal.wait_end() == 0
        assert "1049" not in terminal.raw
        text = re.sub(r"\x1b\[[\d;]*m", "", terminal.usual)
        assert text.startswith("site_app:app  serving, generation 1")
        assert all(f" {pid}  ready" in text for pid in running.live.workers())


@pytest.mark.slow
def test_in_a_pipe(running: Site) -> None:
    run = subprocess.run(
        top("--socket", str(running.path)),
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    lines = run.stdout.splitlines()
    assert lines[0].startswith("site_app:app  serving")
    assert "\x1b" not in run.stdout
    assert lines[-1] == "  nothing is being served"
    assert run.stderr == ""


@pytest.mark.slow
def test_it_goes_over_to_the_new_master_of_an_upgrade_and_ends_with_the_server(tmp_path: Path) -> None:
    pidfile, path = tmp_path / "pid", tmp_path / "ctl"
    options = (f"--control-socket={path}", f"--pid={pidfile}")
    with (
        serving(tmp_path, SITE.replace("VERSION", "one"), *options, kind="sync") as live,
        ExitStack() as stack,
    ):
        terminal = stack.enter_context(watching(Site(live, tmp_path, path)))
        terminal.wait_for(f"process {live.pid} ")
        live.signal(signal.SIGUSR2)
        stack.callback(end_upgraded, pidfile, live)
        wait_for(lambda: pidfile.read_text().strip() not in ("", str(live.pid)), "the newer master serves")
        newer = int(pidfile.read_text())
        lines = terminal.wait_for(f"process {newer} ")
        assert lines[1].startswith("workers 1/1 ready")
        os.kill(newer, signal.SIGTERM)
        assert terminal.wait_end() == 0
        assert terminal.is_as_before
        assert "tricorn top: the server has stopped" in terminal.usual


def end_upgraded(pidfile: Path, live: Live) -> None:
    """Whoever is in the pid file, if it is another one than that which the test has started."""
    if pidfile.exists() and (pid := int(pidfile.read_text() or 0)) not in (0, live.pid) and is_alive(pid):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_in_tmux(running: Site, tmp_path: Path) -> None:
    """A real terminal: what was on it is there again."""
    socket = tmp_path / "tmux"
    environ = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"}

    def tmux(*words: str) -> str:
        command = ["tmux", "-S", str(socket), "-f", os.devnull, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout

    def screen() -> str:
        return tmux("capture-pane", "-p", "-t", "top")

    tmux("new-session", "-d", "-s", "top", "-x", "80", "-y", "24", "PS1='$ ' sh")
    try:
        command = shlex.join(top("--socket", str(running.path)))
        tmux("send-keys", "-t", "top", f"echo before; {command}; echo status=$?; stty -a", "Enter")
        wait_for(lambda: "q quit  d stacks" in screen() and "REQ/S" in screen(), "it is drawn")
        text = screen()
        assert text.startswith("site_app:app  serving, generation 1")
        assert all(f" {pid}  ready" in text for pid in running.live.workers())
        tmux("send-keys", "-t", "top", "h")
        wait_for(lambda: "What a request does (PHASE)" in screen(), "its help is there")
        tmux("send-keys", "-t", "top", "Escape")
        wait_for(lambda: "REQ/S" in screen(), "it is back")
        tmux("send-keys", "-t", "top", "q")
        wait_for(lambda: "status=0" in screen(), "it has ended")
        text = wait_for(lambda: " icanon" in screen() and screen(), "the terminal's modes are told")
        assert "before" in text
        assert " echo " in text
        assert "REQ/S" not in text
    finally:
        tmux("kill-server")
