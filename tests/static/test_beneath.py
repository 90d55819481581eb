"""Whether anything leads out of a directory: by the kernel's call, and by hand where that is not there."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tricorn.static.beneath import descriptor_of, opened

WAYS = ("hand", "kernel", "cache")
way = pytest.mark.parametrize("way", WAYS)

SECRET = b"secret"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with much in it that leads elsewhere."""
    tmp_path = tmp_path_factory.mktemp("site")
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "top.txt").write_bytes(b"top")
    (root / "a" / "b" / "deep.txt").write_bytes(b"deep")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_bytes(SECRET)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    links = {
        "inside": "top.txt",
        "a/up": "../top.txt",
        "a/b/up": "../../top.txt",
        "a/there-and-back": "b/../b/deep.txt",
        "dir": "a/b",
        "dot": ".",
        "chain": "inside",
        "slashes": "a//b///deep.txt",
        "out": "../secret.txt",
        "a/out": "../../secret.txt",
        "a/b/out": "a/../../../../secret.txt",
        "out-dir": "../outside",
        "out-and-back": "../root/top.txt",
        "absolute": str(root / "top.txt"),
        "absolute-out": str(outside / "secret.txt"),
        "proc": "/proc/self/cwd",
        "loop": "loop",
        "loop-a": "loop-b",
        "loop-b": "loop-a",
        "dangling": "nothing",
        "through-file": "top.txt/x",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    previous = "top.txt"
    for number in range(45):
        (root / f"link{number}").symlink_to(previous)
        previous = f"link{number}"
    os.mkfifo(root / "pipe")
    return root


FOUND = {
    "top.txt": b"top",
    "a/b/deep.txt": b"deep",
    "inside": b"top",
    "a/up": b"top",
    "a/b/up": b"top",
    "a/there-and-back": b"deep",
    "dir/deep.txt": b"deep",
    "dir/up": b"top",
    "dot/top.txt": b"top",
    "dot/dot/dot/inside": b"top",
    "chain": b"top",
    "slashes": b"deep",
    "link10": b"top",
}
NOT_FOUND = (
    *("out", "a/out", "a/b/out", "out-dir", "out-dir/secret.txt", "out-and-back", "absolute", "absolute-out"),
    *(
        "proc",
        "proc/secret.txt",
        "loop",
        "loop-a",
        "dangling",
        "through-file",
        "nothing",
        "top.txt/x",
        "link44",
    ),
    *("a/nothing/x", "a/b/deep.txt/", "n" * 300, "/".join("n" * 250 for _ in range(20))),
)


@way
def test_what_is_below_is_found(root: Path, way: str) -> None:
    assert {path: opened(str(root), path, way) for path in FOUND} == FOUND


@way
def test_what_is_not_is_not(root: Path, way: str) -> None:
    assert [path for path in NOT_FOUND if opened(str(root), path, way) is not None] == []


@way
def test_upwards_never(root: Path, way: str) -> None:
    """Names are checked before; this does not count on it."""
    for path in ("..", "../secret.txt", "a/../../secret.txt", "dir/../../secret.txt", "/etc/passwd"):
        assert opened(str(root), path, way) is None, path


@way
def test_directories_and_pipes_are_opened_without_waiting(root: Path, way: str) -> None:
    for path in ("a", "dot", "pipe"):
        descriptor = descriptor_of(str(root), path, way)
        assert descriptor >= 0, path
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)


@way
def test_no_descriptor_is_left_behind(root: Path, way: str) -> None:
    before = os.listdir("/proc/self/fd")
    for path in (*FOUND, *NOT_FOUND, "a", "/".join(["a"] * 70), "/".join(["dot"] * 100)):
        opened(str(root), path, way)
    assert os.listdir("/proc/self/fd") == before


def test_deep_is_possible(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 60)
    deep.mkdir(parents=True)
    (deep / "x").write_bytes(b"x")
    for way in WAYS:
        assert opened(str(tmp_path), "/".join(["d"] * 60) + "/x", way) == b"x"
    too_deep = deep.joinpath(*["d"] * 10)
    too_deep.mkdir(parents=True)
    (too_deep / "x").write_bytes(b"x")
    assert opened(str(tmp_path), "/".join(["d"] * 70) + "/x", "hand") is None


@contextlib.contextmanager
def swapping(*changes: tuple[Path, Path, Path]) -> Iterator[None]:
    """Somebody exchanges names, again and again: (name, one thing, another)."""
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name, one, other in changes:
                os.replace(one, name)
                os.rename(name, one)
                os.replace(other, name)
                os.rename(name, other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@way
def test_links_that_are_put_in_place_of_names(tmp_path: Path, way: str) -> None:
    """A file, or a directory on the way to it, is a link to the outside at each other moment."""
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "real" / "secret.txt").write_bytes(b"public")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_bytes(SECRET)
    (root / "link").symlink_to("../outside")
    (root / "file").write_bytes(b"public")
    (root / "file-link").symlink_to("../outside/secret.txt")
    found = set()
    with swapping(
        (root / "d", root / "real", root / "link"), (root / "f", root / "file", root / "file-link")
    ):
        for _ in range(600):
            for path in ("d/secret.txt", "f"):
                with contextlib.suppress(OSError):
                    found.add(opened(str(root), path, way))
    assert SECRET not in found
    assert b"public" in found


@way
def test_a_directory_that_is_moved_away_while_we_are_in_it(tmp_path: Path, way: str) -> None:
    """The `..` of a link means where we came from, not where the directory is by now."""
    root = tmp_path / "root"
    inner = root / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "up").symlink_to("../../top.txt")
    (root / "top.txt").write_bytes(b"public")
    (tmp_path / "top.txt").write_bytes(SECRET)
    elsewhere = tmp_path / "x"
    elsewhere.mkdir()
    found = set()
    stop = threading.Event()

    def move() -> None:
        while not stop.is_set():
            inner.rename(elsewhere / "b")
            (elsewhere / "b").rename(inner)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                found.add(opened(str(root), "a/b/up", way))
    finally:
        stop.set()
        thread.join()
    assert SECRET not in found
    assert b"public" in found
