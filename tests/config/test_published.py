"""Configuration files of the kinds that people publish (published/*.py): taken, with remarks, or refused."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gunicorn.app.base import Application
from gunicorn.config import Config

from tricorn.cli import main
from tricorn.config.errors import ConfigError
from tricorn.config.gunicorn import HOOKS, MISSING, NAMES
from tricorn.config.settings import SETTINGS
from tricorn.config.sources import load
from tricorn.console import EXIT_CONFIG, EXIT_OK
from tricorn.launch import Launch

PUBLISHED = Path(__file__).parent / "published"
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Taken:
    """values: settings that the file makes. warned, noted: what each warning, each note begins with."""

    values: Mapping[str, Any]
    warned: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    noted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    said: str
    environ: Mapping[str, str] = field(default_factory=dict)


def ignored(*names: str) -> tuple[str, ...]:
    """Warnings of what is missing, as long as it is: whoever brings it takes it out of MISSING, and from then
    on these files must be taken without a word."""
    return tuple(f"{name} is ignored (gunicorn.conf.py): " for name in names if name in MISSING)


def without_effect(*names: str) -> tuple[str, ...]:
    return tuple(f"{name} has no effect (gunicorn.conf.py): " for name in names)


NO_SETTING = "there is no such setting (gunicorn.conf.py); did you mean"


def meant(**names: str) -> tuple[str, ...]:
    """Warnings of near misses: what is written → what may be meant."""
    return tuple(
        f"{name} is not a setting (gunicorn.conf.py); did you mean {setting}?"
        for name, setting in names.items()
    )


LOOP = {"GUNICORN_WORKERS": "5", "GUNICORN_TIMEOUT": "61", "GUNICORN_ROLE": "web", "GUNICORN_THREAD": "2"}
ASGI = "worker_class: 'uvicorn"
#: Settings that follow others if nothing sets them.
COMPUTED = {"limit_request_head"}
#: Where both have the setting, what Gunicorn reads is what the author meant. The others are resolved at
#: once there, or say something else when they are read than when they are set.
SAME = NAMES & set(SETTINGS) - {
    *("chdir", "config", "sendfile", "ssl_context", "errorlog", "user", "group"),
    *HOOKS,  # the file runs twice, and its functions are others each time
}
#: Gunicorn cannot read these: a helper called `config`, fractions of a second, a file to watch that is not
#: there.
ONLY_HERE = {"class_of_logger", "objects", "config_is_a_helper", "limits", "development"}
TMP = without_effect("worker_tmp_dir")

EXPECTED: dict[str, Taken | Refused] = {
    "plain": Taken({"bind": ("0.0.0.0:8000",), "workers": 3, "timeout": 120, "accesslog": "-"}),
    "cores": Taken({"workers": 2 * CORES + 1, "max_requests_jitter": 50, "preload_app": True}),
    "helpers_used": Taken(
        {"bind": ("127.0.0.1:8099",), "workers": max(CORES, 2), "loglevel": "warning"},
    ),
    "helpers_printed": Taken({"bind": ("127.0.0.1:8010",), "workers": 2, "accesslog": "-"}),
    "helpers_by_text": Taken({"bind": ("127.0.0.1:8020",)}),
    "helpers_in_a_hook": Taken({"workers": 2}),
    "near_miss_used": Taken({"workers": 6, "loglevel": "error"}),
    "near_miss": Refused(f"worker: {NO_SETTING} workers? If it is a helper, call it _worker"),
    "near_miss_of_a_flag": Refused(f"log_level: {NO_SETTING} loglevel?"),
    "near_miss_of_an_old_name": Refused(f"logfile: {NO_SETTING} errorlog?"),
    "near_miss_spelt_otherwise": Refused(f"workerClass: {NO_SETTING} worker_class?"),
    "near_miss_letters": Refused(f"bindd: {NO_SETTING} bind?"),
    "near_miss_of_tls": Refused(f"cert_file: {NO_SETTING} certfile?"),
    "near_miss_of_what_is_ignored": Taken({}, meant(worker_tmpdir="worker_tmp_dir")),
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
        noted=without_effect("tmp_upload_dir"),
    ),
    "star_import": Taken(
        {"workers": 6, "threads": 4},
        ("timeouts is not a setting (gunicorn.conf.py); did you mean timeout?",),
    ),
    "named_import": Taken({"workers": 6, "threads": 3}),
    "objects": Taken({"workers": 5, "bind": ("127.0.0.1:8000",)}),
    "hooks": Taken({}),
    "prometheus": Taken({"bind": ("0.0.0.0:8080",)}),
    "dictionary_of_logging": Taken({"workers": 2}),
    "class_of_logger": Taken({}),
    "metrics": Taken(
        {
            "statsd_host": "localhost:8125",
            "statsd_prefix": "site",
            "dogstatsd_tags": "env:prod",
            "syslog": True,
            "syslog_addr": "udp://localhost:514",
        }
    ),
    "metrics_off": Taken({}),
    "uvicorn_text": Taken({"worker_class": "asgi", "workers": 4}, (f"{ASGI}.workers.UvicornWorker' is",)),
    "uvicorn_package": Taken({"worker_class": "asgi"}, (f"{ASGI}_worker.UvicornWorker' is read as 'asgi'",)),
    "uvicorn_h11": Taken({"worker_class": "asgi"}, (f"{ASGI}.workers.UvicornH11Worker' is read as",)),
    "uvicorn_class_object": Taken({"worker_class": "asgi"}, (f"{ASGI}.workers.UvicornWorker' is",)),
    # What it is shows when it is imported.
    "uvicorn_subclass": Taken({"worker_class": "site_workers.HeadlessUvicornWorker"}),
    "gevent": Taken({"worker_class": "gevent", "worker_connections": 1024}),
    "behind_a_proxy": Taken(
        {"forwarded_allow_ips": ("*",), "umask": 0o007, "proxy_protocol": "auto", "proxy_allow_ips": ("*",)}
    ),
    "process": Taken(
        {"user": 0, "group": 0, "umask": 0, "proc_name": "site", "pidfile": "/run/site.pid"},
        noted=without_effect("worker_tmp_dir", "initgroups"),
    ),
    "limits": Taken({"limit_request_line": 4094, "keepalive": 2, "timeout": 30.5, "sendfile": True}),
    "limits_without_none": Taken({"limit_request_line": 0, "reuse_port": True, "sendfile": False}),
    "output": Taken({"accesslog": "/dev/stdout", "errorlog": "/dev/stderr", "capture_output": True}),
    "development": Taken({"workers": 1, "reload": True, "reload_extra_files": ("templates/base.html",)}),
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
        ("ssl_version is ignored (gunicorn.conf.py): Gunicorn ignores it too, since 21.0",),
        noted=without_effect("do_handshake_on_connect"),
    ),
    "tls_context": Taken({}, ("ssl_context: has no effect without certfile (gunicorn.conf.py)",)),
    "tls_context_imported": Taken({"certfile": "/etc/ssl/site.pem"}),
    "tls_without_certificate": Refused(
        "keyfile: there is no certificate for this key (gunicorn.conf.py); set certfile"
    ),
    "daemon": Refused(
        "daemon: in the background there is no terminal, and errorlog is '-': name a file with"
    ),
    "in_the_background": Taken(
        {"daemon": True, "umask": 0o007, "workers": 3},
        ignored("capture_output"),
        noted=("daemon: nobody starts the server again when it ends (gunicorn.conf.py)",),
    ),
    "application_named": Taken(
        {"wsgi_app": "site.wsgi:application", "pythonpath": ("/srv/site", "/srv/lib")}
    ),
    "dotenv": Taken({"workers": 3}),
    "a_mistake_in_it": Refused("config: KeyError: 'SITE_WORKERS_THAT_NOBODY_SET' (gunicorn.conf.py, line 3)"),
    "a_value_that_is_none": Refused("bind: None is not HOST:PORT"),
    "config_is_a_helper": Taken({"workers": 7}),
    # The forms of well-known projects and products.
    "airflow": Taken(
        {
            "workers": 4,
            "worker_class": "sync",
            "timeout": 120,
            "accesslog": "-",
            "proc_name": "airflow-webserver",
        },
        ignored("post_worker_init"),
    ),
    "celery_warm_up": Taken(
        {"workers": 3, "preload_app": True, "max_requests": 1000, "max_requests_jitter": 100},
        ignored("on_starting", "post_fork", "post_worker_init"),
    ),
    "newrelic": Taken(
        {"bind": (":8000",), "workers": 4, "threads": 2, "accesslog": "-"}, ignored("post_fork")
    ),
    "datadog": Taken(
        {"bind": ("0.0.0.0:8080",), "worker_class": "gthread", "threads": 8},
        ignored("post_fork"),
    ),
    "sentry": Taken(
        {"workers": 2, "timeout": 60, "errorlog": "-", "loglevel": "warning"},
        ignored("post_fork", "worker_abort"),
    ),
    "prometheus_multiprocess": Taken(
        {"bind": ("0.0.0.0:8000",), "workers": min(2 * CORES + 1, 4)},
        ignored("on_starting", "when_ready", "child_exit"),
        noted=TMP,
    ),
    "opentelemetry": Taken({"workers": 4, "worker_class": "sync", "accesslog": "-"}, ignored("post_fork")),
    "gevent_psycogreen": Taken(
        {"workers": 4, "worker_class": "gevent", "worker_connections": 100}, ignored("post_fork")
    ),
    "superset": Taken(
        {
            "bind": ("0.0.0.0:8088",),
            "worker_class": "gevent",
            "threads": 20,
            "limit_request_line": 0,
            "limit_request_field_size": 0,
            "wsgi_app": "superset.app:create_app()",
        },
        ("threads: 20 has no effect with worker_class gevent",),
    ),
    "mlflow": Taken(
        {
            "bind": ("127.0.0.1:5000",),
            "workers": 4,
            "timeout": 180,
            "keepalive": 60,
            "raw_env": ("_MLFLOW_SERVER_FILE_STORE=/mlruns",),
        },
        environ={"_MLFLOW_SERVER_FILE_STORE": "/mlruns"},
        noted=TMP,
    ),
    "frappe": Taken(
        {
            "bind": ("127.0.0.1:8000",),
            "worker_class": "gthread",
            "workers": min(2 * CORES + 1, 9),
            "preload_app": True,
            "max_requests": 5000,
            "forwarded_allow_ips": ("*",),
        }
    ),
    "netbox": Taken(
        {"bind": ("127.0.0.1:8001",), "workers": 5, "threads": 3, "timeout": 120, "max_requests_jitter": 500}
    ),
    "paperless": Taken(
        {"bind": ("[::]:8000",), "workers": 1, "worker_class": "asgi", "preload_app": True},
        (
            f"{ASGI}.workers.UvicornWorker' is",
            *ignored("pre_fork", "pre_exec", "when_ready", "worker_int", "worker_abort"),
        ),
        noted=TMP,
    ),
    "heroku": Taken(
        {
            "bind": ("0.0.0.0:5006",),
            "workers": 2,
            "threads": 5,
            "keepalive": 90,
            "graceful_timeout": 25,
            "forwarded_allow_ips": ("*",),
        },
        environ={"PORT": "5006", "WEB_CONCURRENCY": "2"},
        noted=TMP,
    ),
    "fastapi_full_stack": Taken(
        {
            "bind": ("0.0.0.0:80",),
            "workers": min(max(CORES, 2), 3),
            "timeout": 120,
            "graceful_timeout": 120,
            "accesslog": "-",
        },
        environ={"MAX_WORKERS": "3"},
        noted=TMP,
    ),
    "every_setting_spelt_out": Taken(
        {"umask": 0, "user": None, "raw_env": ("DJANGO_SECRET_KEY=something", "SPAM=eggs"), "keepalive": 2},
        (
            *ignored("post_fork", "pre_fork", "pre_exec", "when_ready"),
            "ssl_context: has no effect without certfile (gunicorn.conf.py)",
        ),
    ),
    "behind_nginx_on_a_unix_socket": Taken(
        {"bind": ("unix:/run/site/gunicorn.sock",), "umask": 0o007},
        ("forwarded_allow_ips: clients on Unix sockets are not trusted (gunicorn.conf.py); add unix",),
    ),
    "numbers_from_the_environment": Taken(
        {
            "bind": ("127.0.0.1:8000", "unix:/tmp/site.sock"),
            "workers": 2,
            "threads": 4,
            "timeout": 90,
            "max_requests": 1000,
            "preload_app": False,
            "limit_request_line": 0,
            "accesslog": None,
            "errorlog": "-",
        }
    ),
    "a_class_of_gunicorns": Taken(
        {"worker_class": "gthread", "threads": 4},
        ("worker_class: 'gunicorn.workers.gthread.ThreadWorker' is read as 'gthread'",),
    ),
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
def test_published(expected: Taken | Refused, launch: Launch, request: pytest.FixtureRequest) -> None:
    if isinstance(expected, Refused):
        with pytest.raises(ConfigError) as caught:
            launch.settings()
        assert str(caught.value).startswith(expected.said)
        assert "\n" not in str(caught.value)
        return
    settings = launch.settings()
    assert {setting: getattr(settings, setting) for setting in expected.values} == dict(expected.values)
    if request.node.callspec.id not in ONLY_HERE:
        gunicorns = as_gunicorn_reads_it(Path("gunicorn.conf.py"))
        assert {name: getattr(settings, name) for name in gunicorns} == gunicorns
    assert begins(settings.warnings, expected.warned), settings.warnings
    assert begins(settings.notes, expected.noted), settings.notes


def as_gunicorn_reads_it(file: Path) -> dict[str, Any]:
    """What Gunicorn makes of the settings in the file that both have, in our forms."""
    loader = Application.__new__(Application)
    loader.cfg = Config()
    written = loader.load_config_from_file(str(file))
    return in_our_forms({name: loader.cfg.settings[name].get() for name in written if name in SAME})


def in_our_forms(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: SETTINGS[name].kind.parse(value) for name, value in values.items()}


def begins(texts: Sequence[str], beginnings: Sequence[str]) -> bool:
    """In any order."""
    return len(texts) == len(beginnings) and all(
        any(text.startswith(beginning) for text in texts) for beginning in beginnings
    )


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
    assert begins(
        said,
        [f"tricorn: warning: {text}" for text in expected.warned]
        + [f"tricorn: note: {text}" for text in expected.noted],
    )
    for setting, value in expected.values.items():
        if value != SETTINGS[setting].default and setting not in COMPUTED and not expected.environ:
            assert re.search(rf"^{setting} .* gunicorn.conf.py$", shown.out, re.MULTILINE)


@pytest.mark.parametrize(
    "expected", ["plain", "helpers_used", "hooks", "tls_without_certificate"], indirect=True
)
@pytest.mark.usefixtures("launch")
def test_check_config(expected: Taken | Refused, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app_of_the_site.py").write_text("def app(environ, start_response): ...")
    code = main(["--check-config", "app_of_the_site:app"])
    shown = capsys.readouterr()
    assert code == (EXIT_CONFIG if isinstance(expected, Refused) else EXIT_OK)
    assert len(shown.err.splitlines()) == (1 if isinstance(expected, Refused) else len(expected.warned))


# ---- command lines -----------------------------------------------------------------------------------------

#: As they stand in Dockerfiles, Procfiles and units, without the first word → what they make of it.
COMMANDS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "airflow": (
        "--workers 4 --worker-class sync --timeout 120 --bind 0.0.0.0:8080 --name airflow-webserver "
        "--pid /run/webserver.pid --access-logfile - --error-logfile - "
        "'site.www.app:cached_app()'",
        {"workers": 4, "pidfile": "/run/webserver.pid", "wsgi_app": "site.www.app:cached_app()"},
    ),
    "superset": (
        "--bind 0.0.0.0:8088 --access-logfile - --error-logfile - --workers 1 --worker-class gthread "
        "--threads 20 --log-level info --timeout 60 --keep-alive 2 --max-requests 0 --max-requests-jitter 0 "
        "--limit-request-line 0 --limit-request-field_size 0 'superset.app:create_app()'",
        {"threads": 20, "limit_request_line": 0, "limit_request_field_size": 0, "keepalive": 2},
    ),
    "mlflow": (
        "-b 127.0.0.1:5000 -w 4 mlflow.server:app",
        {"bind": ("127.0.0.1:5000",), "workers": 4, "wsgi_app": "mlflow.server:app"},
    ),
    "frappe": (
        "--chdir=. --bind=0.0.0.0:8000 --threads=4 --workers=2 --worker-class=gthread --timeout=120 "
        "--preload frappe.app:application",
        {"threads": 4, "workers": 2, "worker_class": "gthread", "preload_app": True},
    ),
    "django on a unix socket": (
        "--access-logfile - --workers 3 --bind unix:/run/gunicorn.sock myproject.wsgi:application",
        {"bind": ("unix:/run/gunicorn.sock",), "accesslog": "-"},
    ),
    "cookiecutter": ("config.wsgi --bind 0.0.0.0:5000 --chdir=.", {"wsgi_app": "config.wsgi"}),
    "pgadmin": (
        "--limit-request-line 8190 --timeout 86400 --bind [::]:80 -w 1 --reuse-port --threads 25 "
        "--access-logfile - -c /dev/null run_site:app",
        {"reuse_port": True, "bind": ("[::]:80",), "timeout": 86400},
    ),
    "init script": (
        "-D -p /run/site.pid --error-logfile /dev/null -u 0 -g 0 -m 007 -n site site.wsgi",
        {"daemon": True, "user": 0, "umask": 0o007, "proc_name": "site"},
    ),
    "abbreviated": (
        "--thread 4 --error-log - --max-requests-j 5 site.wsgi",
        {"threads": 4, "errorlog": "-", "max_requests_jitter": 5},
    ),
}


@pytest.mark.parametrize("form", COMMANDS)
@pytest.mark.parametrize("where", ["command line", "environment GUNICORN_CMD_ARGS"])
def test_command_line(form: str, where: str, tmp_path: Path) -> None:
    words, values = COMMANDS[form]
    if where == "command line":
        settings = load(shlex.split(words), {}, tmp_path)
    else:
        settings = load([], {"GUNICORN_CMD_ARGS": words}, tmp_path)
    assert {name: getattr(settings, name) for name in values} == dict(values)
    options = vars(Config().parser().parse_args(shlex.split(words)))
    gunicorns = in_our_forms(
        {name: options[name] for name in SAME & set(options) if options[name] is not None}
    )
    assert {name: getattr(settings, name) for name in gunicorns} == gunicorns
    short = [warning for warning in settings.warnings if "write it in full" in warning]
    assert len(short) == (3 if form == "abbreviated" else 0)
