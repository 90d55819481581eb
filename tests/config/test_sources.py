"""The order of the sources, the origin of each value, and what no value can say on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricorn.config import sources
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.config.sources import load

#: From low to high.
LAYERS = [
    "default",
    "environment WEB_CONCURRENCY",
    "tricorn.toml",
    "environment TRICORN_WORKERS",
    "environment GUNICORN_CMD_ARGS",
    "environment TRICORN_CMD_ARGS",
    "command line",
]


@pytest.mark.parametrize("height", range(len(LAYERS)))
def test_the_highest_source_wins(height: int, tmp_path: Path) -> None:
    """Layer n says `workers = n + 1`, and all layers up to `height` speak."""
    present = LAYERS[: height + 1]
    environ, argv = {}, []
    for number, layer in enumerate(present, start=1):
        if layer.endswith("CMD_ARGS"):
            environ[layer.split()[1]] = f"--workers {number}"
        elif layer.startswith("environment"):
            environ[layer.split()[1]] = str(number)
        elif layer.endswith(".toml"):
            (tmp_path / layer).write_text(f"workers = {number}\n")
        elif layer == "command line":
            argv = ["-w", str(number)]
    settings = load(argv, environ, tmp_path)
    assert (settings.workers, settings.origins["workers"]) == (height + 1, LAYERS[height])


def test_nothing_set_is_all_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "has_http2", lambda: True)
    settings = load([], {}, tmp_path)
    assert settings == Settings(chdir=str(tmp_path))
    assert set(settings.origins.values()) == {"default"}


def test_a_build_without_http_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It offers none by itself. Who asks for it is told (tests/test_cli.py)."""
    monkeypatch.setattr(sources, "has_http2", lambda: False)
    settings = load([], {}, tmp_path)
    assert settings.http_protocols == ("h1",)
    assert settings.origins["http_protocols"] == "this build has no HTTP/2"
    asked = load(["--http-protocols", "h2,h1"], {}, tmp_path)
    assert (asked.http_protocols, asked.origins["http_protocols"]) == (("h2", "h1"), "command line")


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({"PORT": "80"}, "bind", ("0.0.0.0:80",)),
        ({"PORT": ""}, "bind", ("127.0.0.1:8000",)),
        ({"WEB_CONCURRENCY": "3"}, "workers", 3),
        ({"WEB_CONCURRENCY": " "}, "workers", 1),
        ({"FORWARDED_ALLOW_IPS": "*"}, "forwarded_allow_ips", ("*",)),
        ({"FORWARDED_ALLOW_IPS": ""}, "forwarded_allow_ips", ()),
        ({"SENDFILE": "0"}, "sendfile", False),
        ({"SENDFILE": "y"}, "sendfile", True),
        ({"TRICORN_BIND": "a:1,b:2"}, "bind", ("a:1", "b:2")),
        ({"TRICORN_RAW_ENV": "A=1 'B=2 3'"}, "raw_env", ("A=1", "B=2 3")),
        ({"TRICORN_CMD_ARGS": "-b a:1 -b b:2"}, "bind", ("a:1", "b:2")),
        ({"TRICORN_CMD_ARGS": "app:app"}, "wsgi_app", "app:app"),
    ],
)
def test_environment(environ: dict[str, str], name: str, value: object, tmp_path: Path) -> None:
    assert getattr(load([], environ, tmp_path), name) == value


@pytest.mark.parametrize(
    ("argv", "environ", "workers"),
    [
        ([], {"TRICORN_CONFIG": "a.toml"}, 2),
        ([], {"TRICORN_CONFIG": "a.toml", "GUNICORN_CMD_ARGS": "-c b.toml"}, 3),
        ([], {"GUNICORN_CMD_ARGS": "-c b.toml", "TRICORN_CMD_ARGS": "-c a.toml"}, 2),
        (["-c", "a.toml"], {"TRICORN_CMD_ARGS": "-c b.toml"}, 2),
        ([], {"TRICORN_CONFIG": ""}, 1),
    ],
)
def test_the_file_can_be_named_anywhere_above_it(
    argv: list[str], environ: dict[str, str], workers: int, tmp_path: Path
) -> None:
    (tmp_path / "a.toml").write_text("workers = 2\n")
    (tmp_path / "b.toml").write_text("workers = 3\n")
    assert load(argv, environ, tmp_path).workers == workers


def test_a_list_replaces_the_lower_one_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "tricorn.toml").write_text("bind = ['a:1', 'b:2']\n")
    assert load(["-b", "c:3"], {}, tmp_path).bind == ("c:3",)


def test_a_wrong_value_that_is_overridden_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "tricorn.toml").write_text("user = 'only-on-the-server'\n")
    assert load(["--user", "0"], {}, tmp_path).user == 0


def test_chdir_starts_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    assert load(["--chdir", "site"], {}, tmp_path).chdir == str(tmp_path / "site")


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (
            ["-w", "x"],
            {},
            "workers: 'x' is not a whole number (command line); write a whole number from 1 to 4096",
        ),
        ([], {"TRICORN_WORKERS": "x"}, "(environment TRICORN_WORKERS)"),
        ([], {"WEB_CONCURRENCY": "x"}, "(environment WEB_CONCURRENCY)"),
        ([], {"GUNICORN_CMD_ARGS": "-w x"}, "(environment GUNICORN_CMD_ARGS)"),
        ([], {"TRICORN_CMD_ARGS": "'"}, "TRICORN_CMD_ARGS: cannot be split into words like a shell command"),
        ([], {"TRICORN_RAW_ENV": "'"}, 'raw_env: "\'" cannot be split into words like a shell command'),
        (["--chdir", "nowhere"], {}, "chdir: there is no directory"),
        (
            ["--limit-request-line", "1m", "--limit-request-head", "64k"],
            {},
            "limit_request_line: 1048576 is more than limit_request_head, which is 65536",
        ),
        (
            ["--limit-request-field-size", "1m", "--limit-request-head", "64k"],
            {},
            "raise limit_request_head too",
        ),
        (["--reload-max-surge", "0"], {}, "set one of them to 1"),
        (["--max-memory", "2g", "--max-memory-hard", "1g"], {}, "raise it"),
    ],
)
def test_refuses(argv: list[str], environ: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(argv, environ, tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_variable_is_mentioned_and_a_foreign_one_is_not(tmp_path: Path) -> None:
    environ = {"TRICORN_WORKER": "4", "TRICORN_SERVICE_HOST": "10.0.0.1", "TRICORN_PORT": "tcp://10.0.0.1:80"}
    (warning,) = load([], environ, tmp_path).warnings
    assert warning.startswith("environment TRICORN_WORKER is not a setting; did you mean TRICORN_WORKERS")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["-k", "uvicorn.workers.UvicornWorker"],
            "worker_class: 'uvicorn.workers.UvicornWorker' is read as 'asgi', Tricorn's own worker; write",
        ),
        (["-k", "asgi", "--threads", "4"], "threads: 4 has no effect with worker_class asgi"),
        (
            ["--enable-backlog-metric"],
            "enable_backlog_metric: has no effect without statsd_host (command line)",
        ),
    ],
)
def test_what_may_surprise_is_said_in_one_line(argv: list[str], said: str, tmp_path: Path) -> None:
    (warning,) = load(argv, {}, tmp_path).warnings
    assert warning.startswith(said)
    assert "(command line)" in warning
    assert "\n" not in warning


@pytest.mark.parametrize(
    "argv", [["-k", "asgi"], ["-k", "ASGI", "--threads", "1"], ["-k", "auto", "--threads", "4"]]
)
def test_what_is_as_it_should_be_is_not_worth_a_line(argv: list[str], tmp_path: Path) -> None:
    assert load(argv, {}, tmp_path).warnings == ()


def test_a_form_that_is_overridden_is_not_worth_a_line(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("worker_class = 'uvicorn.workers.UvicornWorker'\n")
    settings = load(["-k", "asgi"], {}, tmp_path)
    assert (settings.worker_class, settings.warnings) == ("asgi", ())
