"""The pidfile: whose it is, and that it is never seen half written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tricorn.arbiter.pidfile import Pidfile, PidfileError


def test_written_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pidfile = Pidfile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["pid"]
    assert path.stat().st_mode & 0o777 == 0o644
    pidfile.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    first = Pidfile(str(tmp_path / "pid"))
    with pytest.raises(PidfileError, match=f"Already running: process {os.getpid()} holds"):
        Pidfile(str(tmp_path / "pid"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["pid"]
    first.remove()


def test_a_number_that_now_belongs_to_somebody_else_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    # This process lives, but holds no lock: so it is not the one that wrote the file.
    path.write_text(f"{os.getppid()}\n")
    pidfile = Pidfile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.remove()


def test_a_successors_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    first = Pidfile(str(path))
    path.unlink()
    second = Pidfile(str(path))
    first.remove()
    assert path.exists()
    second.remove()


def test_a_child_neither_removes_nor_unlocks_it(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pidfile = Pidfile(str(path))
    child = os.fork()
    if child == 0:
        pidfile.remove()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(PidfileError):
        Pidfile(str(path))
    pidfile.remove()


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(PidfileError, match="No such file"):
        Pidfile(str(tmp_path / "no" / "pid"))


def test_a_successor_takes_the_name(tmp_path: Path) -> None:
    """There is no moment without a file, and the older one does not take it away."""
    first, second = Pidfile(str(tmp_path / "pid")), Pidfile(str(tmp_path / "pid.2"))
    first.leave()
    first.remove()
    assert (tmp_path / "pid").exists(), "until the successor has renamed its own"
    second.rename(str(tmp_path / "pid"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["pid"]
    with pytest.raises(PidfileError):
        Pidfile(str(tmp_path / "pid"))
    second.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_was_taken_before_the_older_one_ends(tmp_path: Path) -> None:
    first, second = Pidfile(str(tmp_path / "pid")), Pidfile(str(tmp_path / "pid.2"))
    second.rename(str(tmp_path / "pid"))
    first.remove()
    assert (tmp_path / "pid").exists()
    second.remove()
