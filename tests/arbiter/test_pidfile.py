"""The pidfile: whose it is, and that it is never seen half written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from harness.starts import at_once

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
    second.rename(str(tmp_path / "pid"), os.getpid())
    assert [entry.name for entry in tmp_path.iterdir()] == ["pid"]
    with pytest.raises(PidfileError):
        Pidfile(str(tmp_path / "pid"))
    second.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_was_taken_before_the_older_one_ends(tmp_path: Path) -> None:
    first, second = Pidfile(str(tmp_path / "pid")), Pidfile(str(tmp_path / "pid.2"))
    second.rename(str(tmp_path / "pid"), os.getpid())
    first.remove()
    assert (tmp_path / "pid").exists()
    second.remove()


def test_the_name_that_another_instance_has_found_first(tmp_path: Path) -> None:
    """The predecessor was killed on the way, and somebody has started beside its successor."""
    path = tmp_path / "pid"
    second, third = Pidfile(str(tmp_path / "pid.2")), Pidfile(str(path))
    with pytest.raises(PidfileError, match=f"process {os.getpid()} holds {path}"):
        second.rename(str(path), os.getppid())
    assert second.path == f"{path}.2"
    third.remove()
    second.rename(str(path), os.getppid())
    second.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_taken_while_another_instance_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getppid()}\n")  # of a predecessor that was killed
    second = Pidfile(f"{path}.2")
    refused: list[PidfileError] = []

    def take_over() -> None:
        try:
            second.rename(str(path), os.getppid())
        except PidfileError as error:
            refused.append(error)

    taking = threading.Thread(target=take_over)
    rename_now = os.rename

    def rename(old: str, new: str) -> None:
        if threading.current_thread() is not taking:
            taking.start()
            taking.join(0.1)  # long enough, if nothing stops it
        rename_now(old, new)

    monkeypatch.setattr(os, "rename", rename)
    third = Pidfile(str(path))
    taking.join()
    monkeypatch.undo()
    assert len(refused) == 1, "both believe that they have it"
    third.remove()
    second.remove()
    assert list(tmp_path.iterdir()) == []


SLOW_START = """
import fcntl, os, sys, time
from tricorn.arbiter import pidfile

def slow(module, name, seconds):
    call = getattr(module, name)
    def late(*arguments):
        time.sleep(seconds)
        return call(*arguments)
    setattr(module, name, late)

for word in sys.argv[2:]:
    name, seconds = word.split("=")
    slow(fcntl if name == "flock" else os, name, float(seconds))
print("here", flush=True)
sys.stdin.readline()
try:
    kept = pidfile.Pidfile(sys.argv[1])
except pidfile.PidfileError as error:
    print("refused", error, flush=True)
else:
    print("owner", os.getpid(), flush=True)
    sys.stdin.readline()
    kept.remove()
"""


@pytest.mark.parametrize(
    ("stale", "late"),
    [(False, ("link",)), (False, ("unlink",)), (True, ("flock",)), (True, ("rename", "unlink"))],
)
def test_of_many_that_start_at_once_exactly_one_owns_it(
    tmp_path: Path, stale: bool, late: tuple[str, ...]
) -> None:
    """The others say whose it is: not the number in a file that is being replaced."""
    path = tmp_path / "pid"
    if stale:
        path.write_text(f"{os.getpid()}\n")
    delays = [f"{name}=0.03" for name in late]
    with at_once(SLOW_START, str(path), *delays, count=3) as (starts, said):
        (owner,) = [start for start, line in zip(starts, said, strict=True) if line.startswith("owner")]
        refused = (
            f"refused Already running: process {owner.pid} holds the pidfile {path}; "
            "stop it, or give this instance another pidfile\n"
        )
        assert sorted(said) == [f"owner {owner.pid}\n", *[refused] * 2]
        for start in starts:
            if start is not owner:
                assert start.wait(10) == 0
        assert path.read_text() == f"{owner.pid}\n", "no other has removed it as it ended"
        assert os.listdir(tmp_path) == ["pid"], "no litter"
        owner.communicate("end\n", 10)
        assert os.listdir(tmp_path) == []
