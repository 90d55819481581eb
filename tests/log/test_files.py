"""Rotation, whoever owns the directory and whoever the workers are, with real masters and workers.

The workers become the user "nobody" (so: root only), who may read nothing of this interpreter's. What they
import late is imported by the application's configuration file, in the master.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arbiter.scarcity import without_descriptors
from harness.axes import KINDS_OF
from harness.server import wait_for
from integration.live import Started

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

APPS = {
    "wsgi": "def app(environ, start_response):\n    raise ValueError('needle' + environ['QUERY_STRING'])\n",
    "asgi": "async def app(scope, receive, send):\n"
    "    raise ValueError('needle' + scope['query_string'].decode())\n",
}
LOGS = ("error.log", "access.log")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others than its owner may enter, unlike pytest's."""
    directory = Path(tempfile.mkdtemp(prefix="tricorn-test-logs-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def owned_by_root(directory: Path) -> None:
    directory.chmod(0o755)


def closed_to_others(directory: Path) -> None:
    directory.chmod(0o700)


def owned_by_the_user(directory: Path) -> None:
    shutil.chown(directory, "nobody", "nogroup")


def owned_by_the_group(directory: Path) -> None:
    shutil.chown(directory, "root", "nogroup")
    directory.chmod(0o2775)


def sticky(directory: Path) -> None:
    directory.chmod(0o1777)


def with_files_of_root(directory: Path) -> None:
    for name in LOGS:
        (directory / name).touch(0o640)


def sticky_with_files_of_the_user(directory: Path) -> None:
    sticky(directory)
    for name in LOGS:
        (directory / name).touch()
        shutil.chown(directory / name, "nobody", "nogroup")


DIRECTORIES: dict[str, Callable[[Path], None]] = {
    made.__name__: made
    for made in (
        owned_by_root,
        closed_to_others,
        owned_by_the_user,
        owned_by_the_group,
        sticky,
        with_files_of_root,
        sticky_with_files_of_the_user,
    )
}


def served(place: Path, logs: Path, kind: str, *options: str) -> Started:
    interface = "asgi" if kind in KINDS_OF["asgi"] else "wsgi"
    (place / "failing.py").write_text(APPS[interface])
    # What workers import when they need it, and nobody cannot: see above.
    (place / "gunicorn.conf.py").write_text(
        "import asyncio.runners, concurrent.futures.thread, encodings.idna, traceback, uvloop\n"
    )
    with open(place / "gunicorn.conf.py", "a") as config:
        config.write(f"accesslog = '{logs}/access.log'\n")
    return Started(
        "failing:app",
        *("-c", str(place / "gunicorn.conf.py"), "--access-logformat", "%(q)s"),
        *options,
        kind=kind,
        workers=2,
        chdir=place,
        errorlog=logs / "error.log",
    )


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def writes_to(pid: int, logs: Path) -> bool:
    """Whether the process has the files open that stand at the paths now."""
    opened = {
        (found.st_dev, found.st_ino) for fd in os.listdir(f"/proc/{pid}/fd") if (found := maybe_stat(pid, fd))
    }
    wanted = [os.stat(logs / name) for name in LOGS if (logs / name).exists()]
    return len(wanted) == 2 and all((found.st_dev, found.st_ino) in opened for found in wanted)


def maybe_stat(pid: int, fd: str) -> os.stat_result | None:
    try:
        return os.stat(f"/proc/{pid}/fd/{fd}")
    except FileNotFoundError:  # closed since it was listed
        return None


def check_rotation(live: Started, logs: Path, rotate: Callable[[Path], object]) -> None:
    """Both logs go on in the files that stand at their paths, for the master and for each worker."""
    live.request("/?before")
    for turn in range(2):
        for name in LOGS:
            rotate(logs / name)
        live.signal(signal.SIGUSR1)
        for pid in (live.pid, *live.workers()):
            wait_for(lambda pid=pid: writes_to(pid, logs), f"{pid} has the new files, of {live.workers()}")
        for number in range(20):  # so that each worker gets some
            live.request(f"/?{turn}.{number}.")
        for number in range(20):
            word = f"{turn}.{number}."
            wait_for(
                lambda word=word: f"needle{word}" in text_of(logs / "error.log"), f"the traceback {word}"
            )
            wait_for(lambda word=word: f"{word}\n" in text_of(logs / "access.log"), f"the line {word}")
        assert "Cannot reopen" not in live.log()


def move_away(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.{os.urandom(4).hex()}"))


def open_files(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]


def move_and_create(path: Path) -> None:
    """As `create 0640 root root` of logrotate does."""
    move_away(path)
    path.touch(0o640)


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("preload", ["--preload", "--no-preload"])
@pytest.mark.parametrize("kind", ["sync", "asgi"])
@pytest.mark.parametrize("directory", DIRECTORIES)
def test_rotation_for_workers_without_privileges(
    directory: str, kind: str, preload: str, place: Path
) -> None:
    logs = place / "logs"
    logs.mkdir()
    DIRECTORIES[directory](logs)
    with served(place, logs, kind, preload, "--user", "nobody", "--group", "nogroup") as live:
        users = {os.stat(f"/proc/{pid}").st_uid for pid in live.workers()}
        assert users == {pwd.getpwnam("nobody").pw_uid}
        check_rotation(live, logs, move_away)
        live.stop()


@needs_root
@pytest.mark.parametrize("rotate", [move_and_create, lambda path: path, os.unlink])
def test_each_way_to_rotate(rotate: Callable[[Path], object], place: Path) -> None:
    with served(place, place, "sync", "--user", "nobody") as live:
        check_rotation(live, place, rotate)
        live.stop()


def test_rotation_without_a_user(kind: str, place: Path) -> None:
    with served(place, place, kind) as live:
        check_rotation(live, place, move_away)
        live.stop()


@pytest.mark.parametrize("preload", ["--preload", "--no-preload"])
def test_a_worker_that_starts_later_has_the_new_files(place: Path, preload: str) -> None:
    with served(place, place, "sync", preload) as live:
        check_rotation(live, place, move_away)
        for pid in live.workers():
            live.signal(signal.SIGTERM, pid)
        live.wait_log("is ready", times=2)
        live.request("/?later")
        wait_for(lambda: "needlelater" in text_of(place / "error.log"), "the traceback")
        wait_for(lambda: "later\n" in text_of(place / "access.log"), "the line")
        for mold in live.molds():
            wait_for(lambda mold=mold: str(place / "error.log") in open_files(mold), "the mold has it, too")
        live.stop()


def test_a_reload_that_changes_the_files(place: Path) -> None:
    config = place / "tricorn.toml"
    config.write_text(f"accesslog = '{place}/access.log'\n")
    live = served(place, place, "sync", "-c", str(config))
    with live:
        live.request("/?one")
        config.write_text(f"accesslog = '{place}/other.log'\n")
        live.signal(signal.SIGHUP)
        live.wait_log("Reload done")
        live.request("/?two")
        (place / "other.log").rename(place / "other.log.1")
        live.signal(signal.SIGUSR1)
        live.wait_log("reopened the log files")
        wait_for(lambda: (place / "other.log").exists(), "the new file")
        wait_for(lambda: (live.request("/?three"), "three\n" in text_of(place / "other.log"))[1], "three")
        wait_for(lambda: text_of(place / "access.log").endswith("one\n"), "one")
        assert "two\n" in text_of(place / "other.log.1")
        live.stop()


@pytest.mark.parametrize("option", ["--error-logfile", "--access-logfile"])
def test_what_cannot_be_opened_is_said_at_start(option: str, place: Path) -> None:
    live = Started("failing:app", option, str(place / "missing" / "x.log"), chdir=place)
    (place / "failing.py").write_text(APPS["wsgi"])
    live.start(wait=False)
    try:
        assert live.wait_exit() == 2
        assert f"cannot open {place}/missing/x.log: No such file or directory (command line)" in live.log()
    finally:
        live.kill()


def test_a_directory_that_has_gone_is_said_once(place: Path) -> None:
    logs = place / "logs"
    logs.mkdir()
    with served(place, logs, "sync") as live:
        gone = logs.rename(place / "gone")
        live.signal(signal.SIGUSR1)
        wait_for(lambda: "reopened the log files" in text_of(gone / "error.log"), "the master has tried")
        live.request("/?after")
        wait_for(lambda: "needleafter" in text_of(gone / "error.log"), "the old file is in use")
        assert text_of(gone / "error.log").count("Cannot reopen") == 2  # the error log and the access log
        live.stop()


def test_a_worker_without_descriptors_goes_on_in_the_old_files(place: Path) -> None:
    """And has the new ones after the next rotation."""
    with served(place, place, "sync") as live:
        workers = live.workers()
        with without_descriptors(*workers):
            for name in LOGS:
                move_away(place / name)
            old = next(place.glob("error.log.*"))
            live.signal(signal.SIGUSR1)
            for name in LOGS:
                said = f"Cannot reopen {place / name}: Too many open files; the old file stays in use"
                wait_for(lambda said=said: text_of(old).count(said) == 2, "both workers say so")
        check_rotation(live, place, move_away)
        assert live.workers() == workers
        live.stop()
