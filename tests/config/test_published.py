"""Configuration files of the kinds that people publish (published/*.py): taken, with remarks, or refused."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tricorn.cli import EXIT_CONFIG, EXIT_OK, Launch, main
from tricorn.config.errors import ConfigError
from tricorn.config.gunicorn import HOOKS
from tricorn.config.settings import SETTINGS

PUBLISHED = Path(__file__).parent / "published"
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Taken:
    """values: settings that the file makes. warned: what each warning begins with."""

    values: Mapping[str, Any]
    warned: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    said: str
    environ: Mapping[str, str] = field(default_factory=dict)


def ignored(*names: str) -> tuple[str, ...]:
    return tuple(f"{name} is ignored (gunicorn.conf.py): " for name in names)


LOOP = {"GUNICORN_WORKERS": "5", "GUNICORN_TIMEOUT": "61", "GUNICORN_ROLE": "web", "GUNICORN_THREAD": "2"}
ASGI = "worker_class: 'uvicorn"
NO_SETTING = "there is no such setting (gunicorn.conf.py); did you mean"

EXPECTED: dict[str, Taken | Refused] = {
    "plain": Taken({"bind": ("0.0.0.0:8000",), "workers": 3, "timeout": 120, "accesslog": "-"}),
    "cores": Taken({"workers": 2 * CORES + 1, "max_requests_jitter": 50, "preload_app": True}),
    "helpers_used": Taken(
        {"bind": ("127.0.0.1:8099",), "workers": max(CORES, 2), "loglevel": "warning"},
    ),
    "helpers_printed": Taken({"bind": ("127.0.0.1:8010",), "workers": 2, "accesslog": "-"}),
    "helpers_by_text": Taken({"bind": ("127.0.0.1:8020",)}),
    "helpers_in_a_hook": Taken({"workers": 2}, ignored("when_ready")),
    "near_miss_used": Taken({"workers": 6, "loglevel": "error"}),
    "near_miss": Refused(f"worker: {NO_SETTING} workers? If it is a helper, call it _worker"),
    "near_miss_of_a_flag": Refused(f"log_level: {NO_SETTING} loglevel?"),
    "near_miss_of_an_old_name": Refused(f"logfile: {NO_SETTING} errorlog?"),
    "near_miss_spelt_otherwise": Refused(f"workerClass: {NO_SETTING} worker_class?"),
    "near_miss_letters": Refused(f"bindd: {NO_SETTING} bind?"),
    "near_miss_of_tls": Refused(f"cert_file: {NO_SETTING} certfile?"),
    "near_miss_of_what_is_ignored": Taken(
        {}, ("worker_tmpdir is not a setting (gunicorn.conf.py); did you mean worker_tmp_dir?",)
    ),
    "near_miss_conditional": Refused(f"timeouts: {NO_SETTING} timeout?"),
    "unknown_and_unused": Taken(
        {"workers": 2},
        (
            "worker_memory_limit is not a setting, and the file does not use it (gunicorn.conf.py)",
            "module is not a setting, and",
        ),
    ),
    "constants": Taken({"workers": 4, "pidfile": "/srv/site/site.pid"}),
    # `thread` may be somebody else's variable, as any in the environment.
    "environment_loop": Taken(
        {"workers": 5, "timeout": 61, "threads": 1},
        ("thread is not a setting (gunicorn.conf.py); did you mean threads?",),
        LOOP,
    ),
    "environment_comprehension": Taken({"workers": 5, "timeout": 61}, ("thread is not a setting",), LOOP),
    "environment_typed": Taken(
        {"bind": ("0.0.0.0:8000",), "workers": 9, "threads": 4, "max_requests": 1000},
        environ={"GUNICORN_WORKERS": "9"},
    ),
    "star_import": Taken(
        {"workers": 6, "threads": 4},
        (*ignored("post_fork"), "timeouts is not a setting (gunicorn.conf.py); did you mean timeout?"),
    ),
    "named_import": Taken({"workers": 6, "threads": 3}, ignored("post_fork")),
    "objects": Taken({"workers": 5, "bind": ("127.0.0.1:8000",)}),
    "hooks": Taken({}, ignored(*HOOKS)),
    "prometheus": Taken({"bind": ("0.0.0.0:8080",)}, ignored("child_exit")),
    "dictionary_of_logging": Taken({"workers": 2}, ignored("logconfig_dict")),
    "class_of_logger": Taken({}, ignored("logger_class")),
    "metrics": Taken({}, ignored("statsd_host", "statsd_prefix", "dogstatsd_tags", "syslog", "syslog_addr")),
    "metrics_off": Taken({}),
    "uvicorn_text": Taken({"worker_class": "asgi", "workers": 4}, (f"{ASGI}.workers.UvicornWorker' is",)),
    "uvicorn_package": Taken({"worker_class": "asgi"}, (f"{ASGI}_worker.UvicornWorker' is read as 'asgi'",)),
    "uvicorn_h11": Taken({"worker_class": "asgi"}, (f"{ASGI}.workers.UvicornH11Worker' is read as",)),
    "uvicorn_class_object": Taken({"worker_class": "asgi"}, (f"{ASGI}.workers.UvicornWorker' is",)),
    # What it is shows when it is imported.
    "uvicorn_subclass": Taken({"worker_class": "site_workers.HeadlessUvicornWorker"}),
    "gevent": Refused("worker_class: 'gevent' is a worker of Gunicorn that Tricorn does not have yet"),
    "behind_a_proxy": Taken(
        {"forwarded_allow_ips": ("*",), "umask": 0o007, "proxy_protocol": "auto", "proxy_allow_ips": ("*",)}
    ),
    "process": Taken({"user": 0, "group": 0, "umask": 0, "proc_name": "site", "pidfile": "/run/site.pid"}),
    "limits": Taken({"limit_request_line": 4094, "keepalive": 2, "timeout": 30.5, "sendfile": True}),
    "limits_without_none": Taken({"limit_request_line": 0, "reuse_port": True, "sendfile": False}),
    "output": Taken({"accesslog": "/dev/stdout", "errorlog": "/dev/stderr"}, ignored("capture_output")),
    "development": Taken({"workers": 1}, ignored("reload", "reload_engine", "reload_extra_files")),
    "tls": Taken(
        {
            "certfile": "/etc/letsencrypt/live/site/fullchain.pem",
            "keyfile": "/etc/letsencrypt/live/site/privkey.pem",
            "bind": ("0.0.0.0:443",),
        }
    ),
    "tls_optional": Taken({}),
    "tls_options": Taken(
        {"certfile": "/etc/ssl/site.pem", "cert_reqs": 2, "ciphers": "ECDHE+AESGCM"},
        (
            "ssl_version is ignored (gunicorn.conf.py): Gunicorn ignores it too, since 21.0",
            *ignored("do_handshake_on_connect"),
        ),
    ),
    "tls_context": Taken({}, ("ssl_context: has no effect without certfile (gunicorn.conf.py)",)),
    "tls_context_imported": Taken({"certfile": "/etc/ssl/site.pem"}),
    "tls_without_certificate": Refused(
        "keyfile: there is no certificate for this key (gunicorn.conf.py); set certfile"
    ),
    "daemon": Refused(
        "daemon: this setting of Gunicorn is not supported (gunicorn.conf.py); Tricorn stays in"
    ),
    "application_named": Taken(
        {"wsgi_app": "site.wsgi:application", "pythonpath": ("/srv/site", "/srv/lib")}
    ),
    "dotenv": Taken({"workers": 3}),
    "a_mistake_in_it": Refused("config: KeyError: 'SITE_WORKERS_THAT_NOBODY_SET' (gunicorn.conf.py, line 3)"),
    "a_value_that_is_none": Refused("bind: None is not HOST:PORT"),
    "config_is_a_helper": Taken({"workers": 7}),
}


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """The command, started beside the file."""
    shutil.copytree(PUBLISHED / "beside", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    return Launch([])


def test_each_file_has_its_row() -> None:
    assert sorted(EXPECTED) == sorted(path.stem for path in PUBLISHED.glob("*.py"))
    assert len(EXPECTED) >= 40


@pytest.fixture
def expected(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Taken | Refused:
    """The row of a file, which lies where it is read."""
    row = EXPECTED[request.param]
    shutil.copy(PUBLISHED / f"{request.param}.py", tmp_path / "gunicorn.conf.py")
    for variable, value in row.environ.items():
        monkeypatch.setenv(variable, value)
    return row


each_file = pytest.mark.parametrize("expected", EXPECTED, indirect=True)


@each_file
def test_published(expected: Taken | Refused, launch: Launch) -> None:
    if isinstance(expected, Refused):
        with pytest.raises(ConfigError) as caught:
            launch.settings()
        assert str(caught.value).startswith(expected.said)
        assert "\n" not in str(caught.value)
        return
    settings = launch.settings()
    assert {setting: getattr(settings, setting) for setting in expected.values} == dict(expected.values)
    assert len(settings.warnings) == len(expected.warned), settings.warnings
    for said in expected.warned:
        assert any(warning.startswith(said) for warning in settings.warnings), (said, settings.warnings)


@each_file
@pytest.mark.usefixtures("launch")
def test_print_config(expected: Taken | Refused, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each thing that there is to say, and what is in force."""
    code = main(["--print-config"])
    shown = capsys.readouterr()
    said = shown.err.splitlines()
    if isinstance(expected, Refused):
        assert code == EXIT_CONFIG
        assert len(said) == 1
        assert said[0].startswith(f"tricorn: error: {expected.said}")
        return
    assert code == EXIT_OK
    assert len(said) == len(expected.warned)
    assert all(line.startswith("tricorn: warning: ") for line in said)
    for setting, value in expected.values.items():
        if value != SETTINGS[setting].default:
            assert re.search(rf"^{setting} .* gunicorn.conf.py$", shown.out, re.MULTILINE)


@pytest.mark.parametrize("expected", ["plain", "helpers_used", "hooks", "near_miss"], indirect=True)
@pytest.mark.usefixtures("launch")
def test_check_config(expected: Taken | Refused, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app_of_the_site.py").write_text("def app(environ, start_response): ...")
    code = main(["--check-config", "app_of_the_site:app"])
    shown = capsys.readouterr()
    assert code == (EXIT_CONFIG if isinstance(expected, Refused) else EXIT_OK)
    assert len(shown.err.splitlines()) == (1 if isinstance(expected, Refused) else len(expected.warned))
