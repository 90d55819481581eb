"""Which files `reload` looks at, and what counts as a change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tricorn.arbiter.reloading import trees_of
from tricorn.arbiter.watcher import changed, snapshot
from tricorn.config.settings import Settings


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
    before = snapshot([str(tmp_path)], [f"{tmp_path}/**/*.html"])
    (tmp_path / "venv/pyvenv.cfg").touch()
    file.touch()
    after = snapshot([str(tmp_path)], [f"{tmp_path}/**/*.html"])
    assert changed(before, after) == ([str(file)] if is_seen else [])


def test_each_kind_of_change_is_one(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("1")
    first = snapshot([str(tmp_path)], [])
    os.utime(file, ns=(0, 0))
    second = snapshot([str(tmp_path)], [])
    file.write_text("12")
    os.utime(file, ns=(0, 0))
    third = snapshot([str(tmp_path)], [])
    file.rename(tmp_path / "renamed.py")
    fourth = snapshot([str(tmp_path)], [])
    assert changed(first, second) == changed(second, third) == [str(file)]
    assert changed(third, fourth) == [str(file), str(tmp_path / "renamed.py")]
    assert changed(fourth, fourth) == []


def test_a_tree_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert snapshot([str(tmp_path / "nowhere")], [str(tmp_path / "*.x")]) == {}


def test_trees_are_looked_at_once(tmp_path: Path) -> None:
    settings = Settings(
        chdir=str(tmp_path / "a"),
        pythonpath=(str(tmp_path / "a/lib"), str(tmp_path / "b"), str(tmp_path / "a")),
    )
    assert list(trees_of(settings)) == [str(tmp_path / "a"), str(tmp_path / "b")]
