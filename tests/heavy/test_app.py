"""Heavy applications: how they are named and loaded, who has which, what an action is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tricorn.config.settings import Settings
from tricorn.heavy.app import DirtyApp, LoadError, Spec, class_of, is_loaded_at, spec_of
from tricorn.heavy.pools import pools_of, settings_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app:App", Spec("app:App")),
        ("a.b.c:App:2", Spec("a.b.c:App", 2)),
        ("a:Outer.Inner", Spec("a:Outer.Inner")),
    ],
)
def test_an_application_is_named_by_module_and_class(text: str, expected: Spec) -> None:
    assert spec_of(text) == expected


@pytest.mark.parametrize(
    "text", ["app", ":App", "app:", "a-b:App", "a:App:0", "a:App:x", "a:App:1:2", "a:A b"]
)
def test_what_names_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"module:Class|number of workers"):
        spec_of(text)


class Words(DirtyApp):
    def say(self, *words: str, end: str = "!") -> str:
        return " ".join(words) + end

    def _secret(self) -> None:
        raise AssertionError

    attribute = 1


def test_an_action_is_a_method() -> None:
    assert Words()("say", "a", "b", end="?") == "a b?"


@pytest.mark.parametrize("action", ["nothing", "_secret", "__init__", "attribute"])
def test_what_is_no_method_is_no_action(action: str) -> None:
    with pytest.raises(ValueError, match=f"unknown action: {action}"):
        Words()(action)


def test_the_first_workers_have_what_not_all_have() -> None:
    class Two(DirtyApp):
        workers = 2

    assert [is_loaded_at(slot, Spec("a:B"), DirtyApp) for slot in (1, 9)] == [True, True]
    assert [is_loaded_at(slot, Spec("a:B"), Two) for slot in (1, 2, 3)] == [True, True, False]
    assert [is_loaded_at(slot, Spec("a:B", 1), Two) for slot in (1, 2)] == [True, False]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)

    return write


def test_it_is_imported_by_its_name(module: Any) -> None:
    module(
        "heavy_one", "class App:\n def init(self): ...\n def __call__(self, a): ...\n def close(self): ...\n"
    )
    assert class_of(spec_of("heavy_one:App")).__name__ == "App"


@pytest.mark.parametrize(
    ("text", "spec", "said"),
    [
        ("", "no_such_module:App", "there is no module 'no_such_module'"),
        ("", "heavy_two:App", "is not a class"),
        ("App = 1", "heavy_two:App", "is not a class"),
        ("class App: ...", "heavy_two:App", "has no method init"),
    ],
)
def test_what_is_wrong_with_one_is_said(module: Any, text: str, spec: str, said: str) -> None:
    module("heavy_two", text)
    with pytest.raises(LoadError, match=said):
        class_of(spec_of(spec))


def test_an_import_that_fails_inside_of_it_is_its_own_error(module: Any) -> None:
    module("heavy_three", "import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        class_of(spec_of("heavy_three:App"))


def test_the_settings_make_a_pool() -> None:
    assert pools_of(Settings()) == ()
    assert pools_of(Settings(dirty_apps=("a:B",))) == ()
    assert pools_of(Settings(dirty_workers=2)) == ()
    (pool,) = pools_of(
        Settings(dirty_apps=("a:B", "a:C:1"), dirty_workers=2, dirty_threads=3, dirty_timeout=9.0)
    )
    assert (pool.name, pool.workers, pool.threads, pool.timeout) == ("heavy", 2, 3, 9.0)
    assert [spec.path for spec in pool.apps] == ["a:B", "a:C"]
    with pytest.raises(ValueError, match="a:B is named twice"):
        pools_of(Settings(dirty_apps=("a:B", "a:B:1"), dirty_workers=2))


def test_what_bounds_web_workers_does_not_bound_heavy_ones() -> None:
    settings = Settings(
        max_memory=1, max_lifetime=5.0, timeout=3.0, preload_app=True, dirty_apps=("a:B",), dirty_workers=1
    )
    (pool,) = pools_of(settings)
    own = settings_of(settings, pool)
    assert (own.max_memory, own.max_lifetime, own.preload_app, own.bind) == (0, 0.0, False, ())
    assert (own.timeout, own.graceful_timeout, own.threads) == (300.0, 30.0, 1)
