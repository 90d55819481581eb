"""Where the control socket comes to be, and what is left when it goes."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from harness.starts import at_once

from tricorn.config.errors import ConfigError
from tricorn.control.place import ControlSocket, directories, open_socket
from tricorn.net.listener import ListenError


def opened(path: Path | None, *, mode: int = 0o600, on_trial: bool = False, **environ: str) -> ControlSocket:
    return open_socket(None if path is None else str(path), mode, on_trial=on_trial, environ=environ)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def leave_dead(path: Path) -> None:
    """As a server does that was killed."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("any_umask")
@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_only_who_may_can_connect(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "new" / "tricorn.ctl"
    place = opened(path, mode=mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert answers(path)
    place.close()
    assert not path.exists()


def test_without_a_path_it_has_one_of_its_own(tmp_path: Path) -> None:
    with closing(opened(None, XDG_RUNTIME_DIR=str(tmp_path))) as place:
        assert place.path == str(tmp_path / "tricorn" / f"tricorn-{os.getpid()}.ctl")
        assert stat.S_IMODE((tmp_path / "tricorn").stat().st_mode) == 0o700
        assert stat.S_IMODE(Path(place.path).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({}, 0, ["/run/tricorn", "/tmp/tricorn-0"]),
        ({"TMPDIR": "/scratch"}, 7, ["/run/user/7/tricorn", "/scratch/tricorn-7"]),
        (
            {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/7"},
            7,
            ["/run/a", "/run/user/7/tricorn", "/run/user/7/tricorn", "/tmp/tricorn-7"],
        ),
        ({"RUNTIME_DIRECTORY": "a", "XDG_RUNTIME_DIR": "."}, 0, ["/run/tricorn", "/tmp/tricorn-0"]),
    ],
)
def test_which_places_there_are(environ: dict[str, str], uid: int, expected: list[str]) -> None:
    assert list(directories(environ, uid)) == expected


def open_to_all(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)


def link(directory: Path) -> None:
    elsewhere = directory.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    directory.symlink_to(elsewhere)


@pytest.mark.parametrize("spoil", [open_to_all, link, Path.touch], ids=["open to all", "a link", "a file"])
def test_a_place_that_is_not_safe_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: object
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    spoil(first)  # type: ignore[operator]
    monkeypatch.setattr("tricorn.control.place.directories", lambda *_: iter([str(first), str(second)]))
    with closing(opened(None)) as place:
        assert Path(place.path).parent == second
    monkeypatch.setattr("tricorn.control.place.directories", lambda *_: iter([str(first)]))
    with pytest.raises(ListenError, match="first"):
        opened(None)


def test_what_killed_servers_have_left_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "tricorn"
    directory.mkdir(mode=0o700)
    dead, other = directory / "tricorn-1.ctl", directory / "other.ctl"
    leave_dead(dead)
    leave_dead(other)
    with closing(opened(directory / "tricorn-2.ctl")), closing(opened(None, XDG_RUNTIME_DIR=str(tmp_path))):
        assert not dead.exists()
        assert other.exists()
        assert answers(directory / "tricorn-2.ctl")


def test_a_dead_one_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "tricorn.ctl"
    leave_dead(path)
    with closing(opened(path)):
        with pytest.raises(ListenError, match="another server has it"):
            opened(path)
        assert answers(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [("file", "is not a socket"), ("x" * 110, "bytes long"), ("open/ctl", "others can write to")],
)
def test_a_path_that_can_never_be_good(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").touch()
    open_to_all(tmp_path / "open")
    with pytest.raises(ConfigError, match=said) as caught:
        opened(tmp_path / name)
    assert caught.value.setting == "control_socket"
    assert caught.value.hint
    assert (tmp_path / "file").exists()


def test_in_a_sticky_directory_nobody_can_replace_it(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    with closing(opened(tmp_path / "open" / "ctl")) as place:
        assert answers(Path(place.path))


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match=r"Cannot open the control socket .*Not a directory"):
        opened(tmp_path / "file" / "run" / "ctl")


def test_a_newer_master_takes_the_path_over(tmp_path: Path) -> None:
    path = tmp_path / "tricorn.ctl"
    older = opened(path)
    leave_dead(tmp_path / "tricorn.ctl.2")  # of an earlier try
    newer = opened(path, on_trial=True)
    assert newer.path == f"{path}.2"
    assert answers(path)
    older.close(was_handed_over=True)  # before the other one has heard
    assert path.exists()
    newer.take_over()
    assert answers(path)
    assert os.listdir(tmp_path) == ["tricorn.ctl"]
    newer.close()
    assert os.listdir(tmp_path) == []


def test_an_older_master_that_ends_later_leaves_the_path_alone(tmp_path: Path) -> None:
    path = tmp_path / "tricorn.ctl"
    older = opened(path)
    newer = opened(path, on_trial=True)
    newer.take_over()
    older.close(was_handed_over=True)
    assert answers(path)
    newer.close()


def test_a_newer_master_that_has_another_path(tmp_path: Path) -> None:
    older = opened(tmp_path / "one")
    with closing(opened(tmp_path / "two", on_trial=True)) as newer:
        older.close(was_handed_over=True)
        assert os.listdir(tmp_path) == ["two"]
        newer.take_over()
        assert answers(tmp_path / "two")


def test_a_child_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ctl"
    place = opened(path)
    place.forget()
    assert path.exists()


SLOW_START = """
import os, socket, sys, time
from tricorn.control import place
from tricorn.net.listener import ListenError

bind, listen, unlink = [float(seconds) for seconds in sys.argv[2:]]

class Slow(socket.socket):
    def bind(self, address):
        time.sleep(bind)
        super().bind(address)
    def listen(self, backlog):
        time.sleep(listen)
        super().listen(backlog)

def late(path, unlink_now=os.unlink):
    time.sleep(unlink)
    unlink_now(path)

place.socket.socket = Slow
os.unlink = late
print("here", flush=True)
sys.stdin.readline()
try:
    kept = place.open_socket(sys.argv[1], 0o600, on_trial=False, environ={})
except ListenError as error:
    print("refused", error, flush=True)
else:
    print("owner", flush=True)
    sys.stdin.readline()
    kept.close()
"""


@pytest.mark.parametrize(
    ("stale", "delays"),
    [(False, (0.05, 0, 0)), (False, (0, 0.05, 0)), (True, (0, 0.05, 0)), (True, (0, 0, 0.05))],
    ids=["bind", "listen", "listen-stale", "unlink-stale"],
)
def test_of_many_that_start_at_once_exactly_one_has_it(
    tmp_path: Path, stale: bool, delays: tuple[float, float, float]
) -> None:
    path = tmp_path / "ctl"
    if stale:
        leave_dead(path)
    with at_once(SLOW_START, str(path), *map(str, delays), count=3) as (starts, said):
        refused = f"refused Cannot open the control socket {path}: another server has it\n"
        assert sorted(said) == ["owner\n", *[refused] * 2]
        owner = starts[said.index("owner\n")]
        for start in starts:
            if start is not owner:
                assert start.wait(10) == 0
        assert answers(path), "no other has removed it as it ended"
        assert os.listdir(tmp_path) == ["ctl"], "no litter"
        owner.communicate("end\n", 10)
        assert os.listdir(tmp_path) == []


def test_a_start_while_a_newer_master_takes_the_path_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older one was killed, so its file is dead; whoever starts now does not get the path, nor does it
    remove what stands there by the time that it has looked."""
    path = tmp_path / "ctl"
    older = opened(path)
    newer = opened(path, on_trial=True)
    older.forget()
    taking = threading.Thread(target=newer.take_over)

    def unlink(file: str, unlink: Callable[[str], None] = os.unlink) -> None:
        if not taking.is_alive():
            taking.start()
            taking.join(0.1)  # long enough, if nothing stops it
        unlink(file)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(ListenError, match="another server has it"):
        opened(path)
    monkeypatch.undo()
    if taking.ident is None:
        taking.start()
    taking.join()
    assert answers(path)
    assert os.listdir(tmp_path) == ["ctl"]
    newer.close()
    assert os.listdir(tmp_path) == []
