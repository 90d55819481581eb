"""Routes: how they are written, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricorn.config.bulkheads import reserved_threads
from tricorn.config.errors import ConfigError
from tricorn.config.reference import print_config
from tricorn.config.settings import SETTINGS, Settings
from tricorn.config.sources import load

WANTED = {"/reports/": {"request_timeout": 300.0, "slow_request_time": 5.0}, "/api": {"request_timeout": 2.0}}

FILES = {
    "tricorn.toml": """
[routes."/reports/"]
request_timeout = 300
slow_request_time = "5"
[routes."/api"]
request_timeout = 2.0
""",
    "pyproject.toml": """
[tool.tricorn.routes."/reports/"]
request_timeout = 300
slow_request_time = 5
[tool.tricorn.routes."/api"]
request_timeout = 2
""",
    "my.py": """
routes = {
    "/reports/": {"request_timeout": 300, "slow_request_time": 5},
    "/api": {"request_timeout": "2"},
}
""",
}
TEXTS = ("/reports/ request_timeout=300 slow_request_time=5", "/api request_timeout=2")


def loaded(source: str, tmp_path: Path, name: str = "tricorn.toml") -> Settings:
    (tmp_path / name).write_text(source)
    return load(["-c", name], {}, tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_in_a_file(name: str, tmp_path: Path) -> None:
    assert loaded(FILES[name], tmp_path, name).routes == WANTED


def test_as_options_and_in_the_environment(tmp_path: Path) -> None:
    by_options = load([word for text in TEXTS for word in ("--route", text)], {}, tmp_path)
    by_variable = load([], {"TRICORN_ROUTES": ",".join(TEXTS)}, tmp_path)
    assert by_options.routes == by_variable.routes == WANTED


def test_a_value_that_is_not_set_is_left_out(tmp_path: Path) -> None:
    """As an empty `request_timeout` is: what holds everywhere holds here."""
    settings = load(["--route", "/a request_timeout= slow_request_time=1"], {}, tmp_path)
    assert settings.routes == {"/a": {"slow_request_time": 1.0}}


def test_is_shown_as_one_would_write_it(tmp_path: Path) -> None:
    shown = print_config(load([], {"TRICORN_ROUTES": ",".join(TEXTS)}, tmp_path))
    assert ",".join(TEXTS) in shown


def test_the_core_gets_them_longest_first() -> None:
    kind = SETTINGS["routes"].kind
    assert kind.to_core(
        kind.parse("/a request_timeout=1, /a/b/ request_timeout=0.5, / slow_request_time=2")
    ) == (
        (b"/a/b", {"request_timeout": 500_000_000}),
        (b"/a", {"request_timeout": 1_000_000_000}),
        (b"", {"slow_request_time": 2_000_000_000}),
    )


#: A table of routes in TOML → what is said.
WRONG = {
    '{ "reports" = { request_timeout = 1 } }': "'reports' is not a path prefix (tricorn.toml); begin it",
    '{ "/a/*" = { request_timeout = 1 } }': "leave the '*' out",
    '{ "/a?b" = { request_timeout = 1 } }': "contains '?', so it is no path prefix",
    '{ "/%61" = { request_timeout = 1 } }': "write the path decoded",
    '{ "/a b" = { request_timeout = 1 } }': "contains ' '",
    '{ "//a" = { request_timeout = 1 } }': "contains '//'",
    '{ "/a" = { request_timeout = 1 }, "/a/" = { request_timeout = 1 } }': "'/a/' is the same prefix as '/a'",
    '{ "/a" = { request_timout = 1 } }': "'/a': 'request_timout' is not a setting (tricorn.toml); did",
    '{ "/a" = { workers = 1 } }': (
        "'/a': 'workers' cannot be set for a route (tricorn.toml); "
        "a route may set threads, max_queue, max_queue_time, max_concurrency, request_timeout, "
        "slow_request_time"
    ),
    '{ "/a" = { request_timeout = "soon" } }': (
        "'/a', request_timeout: 'soon' is not a number of seconds, 0 or more (tricorn.toml); "
        "write a number of seconds"
    ),
    '{ "/a" = {} }': "'/a' has no table of settings (tricorn.toml); for example",
    '{ "/a" = 5 }': "'/a' has no table of settings",
    '{ "/a" = { threads = 0 } }': "'/a', threads: 0 is",
    '{ "/a" = { max_queue = 5 } }': (
        "'/a', max_queue: its requests wait with all others, so they have no limit of their own "
        "(tricorn.toml); give the route `threads` (WSGI on threads) or `max_concurrency` "
        "(ASGI, green threads) too"
    ),
    '{ "/a" = { max_queue_time = 5 } }': "'/a', max_queue_time: its requests wait with all others",
    "[5]": "[5] is not a table of routes (tricorn.toml); write path prefixes with their settings",
    '"/a request_timeout"': "'request_timeout' is not NAME=VALUE",
    '"/a"': "'/a' has no table of settings",
}


@pytest.mark.parametrize("table", WRONG)
def test_what_is_wrong(table: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(f"routes = {table}\n", tmp_path)
    assert str(caught.value).startswith("routes: ")
    assert WRONG[table] in str(caught.value)


#: worker_class → what a route has of its own there, what it cannot have, what is said of that.
APART = {
    "gthread": ("threads", "max_concurrency", "a worker that has threads has no such thing"),
    "asgi": ("max_concurrency", "threads", "a worker that has one event loop has no such thing"),
    "gevent": ("max_concurrency", "threads", "a worker that has green threads has no such thing"),
}


@pytest.mark.parametrize("kind", APART)
def test_a_route_has_threads_or_tasks_of_its_own(kind: str, tmp_path: Path) -> None:
    mine, others, said = APART[kind]

    def settings(name: str, worker_class: str) -> Settings:
        words = ["-k", worker_class, "--route", f"/a {name}=3 max_queue=5", "--route", f"/b {name}=1"]
        return load(words, {}, tmp_path)

    assert settings(mine, kind).routes == {"/a": {mine: 3, "max_queue": 5}, "/b": {mine: 1}}
    assert settings(others, "auto").routes["/b"] == {others: 1}  # the application decides
    with pytest.raises(ConfigError) as caught:
        settings(others, kind)
    message = str(caught.value)
    assert message.startswith(f"routes: '/a', {others}: {said} (")
    assert message.endswith(f"write {mine}, the number of its requests that may run at once")


def test_threads_of_routes_come_on_top(tmp_path: Path) -> None:
    words = ["--threads=4", "--route", "/a threads=3", "--route", "/b threads=2 max_queue=1"]
    assert reserved_threads(load(words, {}, tmp_path)) == 5
    assert reserved_threads(load(["--route", "/a request_timeout=1"], {}, tmp_path)) == 0
