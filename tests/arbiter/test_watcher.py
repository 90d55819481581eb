"""Which files `reload` looks at, and what counts as a change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tricorn.arbiter import reloading, watcher
from tricorn.arbiter.reloading import engine_for, trees_of
from tricorn.arbiter.watcher import Bell, Lifeline, Wanted, changed, look
from tricorn.config.settings import Settings


def snapshot(*trees: Path | str, named: str = "") -> dict[str, tuple[int, int, int]]:
    return look(Wanted([str(tree) for tree in trees], [named] if named else []))[0]


@pytest.mark.parametrize(
    ("path", "is_seen"),
    [
        ("app.py", True),
        ("shop/cart/views.py", True),
        ("fast.so", True),
        ("readme.txt", False),
        ("page.html", True),  # by the pattern
        ("deep/er/page.html", True),
        (".git/hook.py", False),
        ("shop/__pycache__/views.py", False),
        ("frontend/node_modules/x/y.py", False),
        ("venv/lib/python3.11/os.py", False),
        ("venv/x.py", False),
    ],
)
def test_what_is_looked_at(path: str, is_seen: bool, tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    before = snapshot(tmp_path, named=f"{tmp_path}/**/*.html")
    (tmp_path / "venv/pyvenv.cfg").touch()
    file.touch()
    after = snapshot(tmp_path, named=f"{tmp_path}/**/*.html")
    assert changed(before, after) == ([str(file)] if is_seen else [])


def test_each_kind_of_change_is_one(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("1")
    first = snapshot(tmp_path)
    os.utime(file, ns=(0, 0))
    second = snapshot(tmp_path)
    file.write_text("12")
    os.utime(file, ns=(0, 0))
    third = snapshot(tmp_path)
    file.rename(tmp_path / "renamed.py")
    fourth = snapshot(tmp_path)
    assert changed(first, second) == changed(second, third) == [str(file)]
    assert changed(third, fourth) == [str(file), str(tmp_path / "renamed.py")]
    assert changed(fourth, fourth) == []


def test_a_tree_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert snapshot(tmp_path / "nowhere", named=str(tmp_path / "*.x")) == {}


def test_trees_are_looked_at_once(tmp_path: Path) -> None:
    settings = Settings(
        chdir=str(tmp_path / "a"),
        pythonpath=(str(tmp_path / "a/lib"), str(tmp_path / "b"), str(tmp_path / "a")),
    )
    assert list(trees_of(settings)) == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_trees_may_be_named(tmp_path: Path) -> None:
    settings = Settings(
        chdir=str(tmp_path), pythonpath=("lib",), reload_dirs=("src", str(tmp_path / "src/shop"))
    )
    assert list(trees_of(settings)) == [str(tmp_path / "src")]


@pytest.mark.parametrize(
    ("path", "includes", "excludes", "counts"),
    [
        ("page.html", [], [], False),
        ("page.html", ["*.html"], [], True),
        ("a/b/page.html", ["*.html"], [], True),
        ("page.htm", ["*.html"], [], False),
        ("templates/a/page.txt", ["templates/*"], [], True),
        ("mytemplates/page.txt", ["templates/*"], [], False),
        ("test_shop.py", [], ["test_*.py"], False),
        ("shop/test_shop.py", [], ["test_*.py"], False),
        ("shop/latest_shop.py", [], ["test_*.py"], True),
        ("shop/migrations/one.py", [], ["migrations"], False),
        ("shop/migrations/one.py", [], ["migrations/"], False),
        ("shop/migrations/one.py", [], ["shop/migrations"], False),
        ("shop/migrations/one.py", [], ["{tmp}/shop"], False),
        ("shop/migrations/one.py", [], ["/shop"], True),
        ("shop/migrations.py", [], ["migrations"], True),
        ("page.html", ["*.html", "*.css"], ["page.*"], False),
        ("shop.py", [], ["{name}/*", "{name}"], True),
        ("tests/shop.py", [], ["tests/*"], False),
        ("test_x/shop.py", [], ["test_*.py"], True),
    ],
)
def test_patterns(path: str, includes: list[str], excludes: list[str], counts: bool, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    excludes = [pattern.format(tmp=tmp_path, name=tmp_path.name) for pattern in excludes]
    seen, directories = look(Wanted([str(tmp_path)], [], includes, excludes))
    assert list(seen) == ([str(file)] if counts else [])
    assert (str(file.parent) in directories) == ("shop/migrations/" not in path or counts)


def test_directories_in_which_something_may_change(tmp_path: Path) -> None:
    for name in ("app/.git", "app/pages", "pages/deep", "other"):
        (tmp_path / name).mkdir(parents=True)
    named = [f"{tmp_path}/pages/**/*.html", f"{tmp_path}/other/x.*", f"{tmp_path}/no/where/*.x"]
    _, directories = look(Wanted([str(tmp_path / "app")], named))
    wanted = {"app", "app/pages", "pages", "pages/deep", "other"}
    assert {str(Path(each).relative_to(tmp_path)) for each in directories} - {"."} == wanted


class Master(Lifeline):
    """One that lives for so many turns. In the second one, when the kernel has been asked to tell, something
    happens."""

    def __init__(self, turns: int, happens: Callable[[], object]) -> None:
        self.turns = iter(range(turns))
        self.happens = happens

    def is_over(self, seconds: float = 0.0) -> bool:  # noqa: ARG002 - it is a question of turns
        turn = next(self.turns, None)
        if turn == 1:
            self.happens()
        return turn is None


@pytest.mark.parametrize(
    ("path", "rings"),
    [("shop.py", True), ("page.html", True), ("sub", True), ("settings.ini", True), ("log.txt", False)],
)
def test_the_kernel_tells_of_what_counts(
    path: str, rings: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "EVERY", 600.0)
    monkeypatch.setattr(watcher, "SELDOM", 600.0)
    monkeypatch.setattr(watcher, "TURN", 100)
    happens = (tmp_path / path).mkdir if path == "sub" else (tmp_path / path).touch
    wanted = Wanted([str(tmp_path)], [str(tmp_path / "*.ini")], ["*.html"])
    bell = Bell(Master(100 if rings else 4, happens), wanted)
    assert bell.wait(look(wanted)[1], 0.0) == rings


def test_where_the_kernel_cannot_tell(tmp_path: Path) -> None:
    bell = Bell(Master(5, lambda: None), Wanted([]))
    with pytest.raises(OSError, match="No such file"):
        bell.wait(frozenset({str(tmp_path / "nowhere")}), 0.0)


@pytest.mark.parametrize(
    ("wanted", "is_there", "system", "engine"),
    [
        ("auto", True, "ext4", "watchfiles"),
        ("auto", False, "ext4", "poll"),
        ("auto", True, "9p", "poll"),
        ("auto", True, "fuse.grpcfuse", "poll"),
        ("watchfiles", True, "9p", "watchfiles"),
        ("inotify", True, "", "watchfiles"),
        ("inotify", False, "ext4", "poll"),
        ("poll", True, "ext4", "poll"),
    ],
)
def test_the_engine(
    wanted: str, is_there: bool, system: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "has_watchfiles", lambda: is_there)
    monkeypatch.setattr(reloading, "file_system", lambda _: system)
    assert engine_for(wanted, ["/srv/shop"]) == engine
