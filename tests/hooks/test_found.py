"""Hooks as the settings name them: what is taken, how it is called, what is refused."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from tricorn.config.errors import ConfigError
from tricorn.config.gunicorn import DIRTY_HOOKS, HOOKS, OWN_HOOKS
from tricorn.config.settings import SETTINGS, Settings
from tricorn.config.sources import load
from tricorn.hooks.found import NAMES, PARAMETERS, HookError, hooks_of, said_of


class Called:
    def __call__(self, *given: object) -> None:
        self.given = given

    def method(self, worker: object) -> None:
        self.given = (worker,)


def settings_with(text: str, directory: Path, name: str = "gunicorn.conf.py") -> Settings:
    (directory / name).write_text(text)
    return load(["-c", name], {}, directory)


def test_every_hook_is_a_setting_with_its_arguments() -> None:
    assert set(NAMES) == {*HOOKS, *OWN_HOOKS, *DIRTY_HOOKS} == set(PARAMETERS)
    for name in NAMES:
        forms = " or ".join(f"({each})" for each in PARAMETERS[name])
        assert SETTINGS[name].kind.words == f"a function of {forms}, or module:function"


#: Parameters of a function → how many arguments it is called with.
TAKEN = {
    "worker, req, environ, resp": 4,
    "worker, req, environ": 3,
    "worker, req": 2,
    "*given": 4,
    "worker, req, environ=None, resp=None, more=None": 4,
}


@pytest.mark.parametrize("parameters", TAKEN)
def test_as_many_arguments_as_it_takes(parameters: str) -> None:
    calls: list[int] = []

    @functools.wraps(eval(f"lambda {parameters}: None"))
    def counting(*given: object) -> None:
        calls.append(len(given))

    SETTINGS["post_request"].kind.parse(counting)
    hooks_of(Settings(post_request=counting)).call("post_request", 1, 2, 3, 4)
    assert calls == [TAKEN[parameters]]


def test_whatever_can_be_called() -> None:
    called = Called()
    for function in (called, called.method, functools.partial(called, "more"), print):
        assert SETTINGS["worker_int"].kind.parse(function) is function
        hooks_of(Settings(worker_int=function)).call("worker_int", 5)
    assert called.given == ("more", 5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "def post_fork(worker): ...",
            "post_fork: post_fork(worker) takes other arguments (gunicorn.conf.py)",
        ),
        ("def when_ready(server, more): ...", "write a function of (server)"),
        ("def on_exit(a: int, b: int = 2, /, *, c): ...", "on_exit(a, b=2, /, *, c) takes other arguments"),
        (
            "def post_request(worker): ...",
            "(worker, req, environ, resp) or (worker, req, environ) or (worker, req)",
        ),
        ("async def pre_request(worker, req): ...", "pre_request: is an async function (gunicorn.conf.py)"),
        ("on_exit = 5", "on_exit: 5 is not a function of (server), or module:function"),
        ("on_exit = 'nothing'", "on_exit: 'nothing' is not a function of (server), or module:function"),
    ],
)
def test_refuses_what_cannot_be_called(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_with(text, tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("written", ["hooks_of_site:forked", "hooks_of_shop.forked"])
def test_by_name(written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{written[:13]}.py").write_text(
        "calls = []\ndef forked(server, worker): calls.append(worker)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings = settings_with(f'post_fork = "{written}"', tmp_path, "tricorn.toml")
    hooks = hooks_of(settings)
    assert hooks.has("post_fork")
    assert not hooks.has("pre_fork", "on_exit")
    hooks.call("pre_fork", 1, 2)
    hooks.call("post_fork", 1, 2)
    assert sys.modules[written[:13]].calls == [2]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "not_there_at_all:forked",
            "post_fork: 'not_there_at_all:forked' cannot be imported: ModuleNotFound",
        ),
        ("os:sep", "post_fork: 'os:sep' is not a function"),
        ("os:getpid", "post_fork: getpid() takes other arguments; write a function of (server, worker)"),
        ("asyncio:sleep", "post_fork: 'asyncio:sleep' is an async function"),
    ],
)
def test_names_that_lead_nowhere(written: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        hooks_of(Settings(post_fork=written))
    assert str(caught.value).startswith(said)


def test_whatever_it_raises_is_told_with_its_name() -> None:
    def on_starting(_server: object) -> None:
        raise SystemExit(7)

    hooks = hooks_of(Settings(on_starting=on_starting))
    with pytest.raises(HookError) as caught:
        hooks.call("on_starting", None)
    assert caught.value.code == 7
    line, *trace = said_of(caught.value).splitlines()
    assert line == "the hook on_starting raised SystemExit"
    assert trace[-1] == "SystemExit: 7"
