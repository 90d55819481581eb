"""Uvicorn's names for settings: what each means here, and what is said of those that mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tricorn.config.errors import ConfigError
from tricorn.config.program import ProgramSettings
from tricorn.config.settings import Settings
from tricorn.embedding import settings_of


def app(environ: Any, start_response: Any) -> list[bytes]: ...


def settings(given: dict[str, Any], environ: dict[str, str] | None = None) -> Settings:
    values = ProgramSettings(environ or {}, Path.cwd())
    values.add_environment()
    return settings_of(app, given, values, "tricorn.run()")


MEANT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"host": "0.0.0.0", "port": 5000}, {"bind": ("0.0.0.0:5000",)}),
    ({"port": 0}, {"bind": ("127.0.0.1:0",)}),
    ({"host": "::1"}, {"bind": ("[::1]:8000",)}),
    ({"uds": "/run/site.sock", "host": "127.0.0.1", "port": 8000}, {"bind": ("unix:/run/site.sock",)}),
    ({"fd": 3, "uds": "/x"}, {"bind": ("fd://3",)}),
    ({"bind": ["127.0.0.1:1", "unix:/x"], "host": None}, {"bind": ("127.0.0.1:1", "unix:/x")}),
    ({"log_level": "trace"}, {"loglevel": "debug"}),
    ({"log_level": 40}, {"loglevel": "error"}),
    ({"loglevel": "WARNING"}, {"loglevel": "warning"}),
    ({"access_log": True}, {"accesslog": "-"}),
    ({"access_log": False}, {"accesslog": None}),
    ({"workers": None, "root_path": None}, {"workers": 1, "root_path": ""}),
    ({"workers": 4}, {"workers": 4}),
    ({"ssl_certfile": "c.pem", "ssl_keyfile": "k.pem"}, {"certfile": "c.pem", "keyfile": "k.pem"}),
    (
        {"ssl_certfile": "c", "ssl_cert_reqs": 2, "ssl_ca_certs": "ca", "ssl_ciphers": "X"},
        {"cert_reqs": 2, "ca_certs": "ca", "ciphers": "X"},
    ),
    ({"proxy_headers": True, "forwarded_allow_ips": "*"}, {"forwarded_allow_ips": ("*",)}),
    ({"proxy_headers": False}, {"forwarded_allow_ips": ()}),
    (
        {"root_path": "/api", "lifespan": "off", "loop": "asyncio"},
        {"root_path": "/api", "asgi_lifespan": "off"},
    ),
    ({"limit_concurrency": 10, "limit_max_requests": 5}, {"max_concurrency": 10, "max_requests": 5}),
    ({"timeout_keep_alive": 7, "timeout_graceful_shutdown": 9}, {"keepalive": 7, "graceful_timeout": 9}),
    ({"timeout_graceful_shutdown": None}, {"graceful_timeout": 30}),
    (
        {"ws_ping_interval": None, "ws_max_size": 9},
        {"websocket_ping_interval": 0, "websocket_max_message_size": 9},
    ),
    ({"server_header": False}, {"server_header": ""}),
    ({"server_header": True}, {"server_header": "tricorn"}),
    ({"server_header": "web"}, {"server_header": "web"}),
    ({"interface": "wsgi"}, {"worker_class": "gthread"}),
    ({"http": "h11", "use_colors": True, "ws": "wsproto", "date_header": True, "reload": False}, {}),
]


@pytest.mark.parametrize(("given", "meant"), MEANT, ids=lambda value: ",".join(value))
def test_what_a_name_means(given: dict[str, Any], meant: dict[str, Any]) -> None:
    made = settings(given)
    assert {name: getattr(made, name) for name in meant} == meant
    assert made.warnings == ()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"hots": "x"}, "hots: there is no such setting (tricorn.run()); did you mean host?"),
    ({"log_levl": "x"}, "log_levl: there is no such setting (tricorn.run()); did you mean log_level?"),
    ({"wrokers": 2}, "wrokers: there is no such setting (tricorn.run()); did you mean workers?"),
    (
        {"bind": "x:1", "port": 2},
        "port: bind says where to listen already (tricorn.run()); leave port or bind out",
    ),
    (
        {"loglevel": "info", "log_level": "info"},
        "log_level: loglevel says the same (tricorn.run()); give one of",
    ),
    ({"workers": "many"}, "workers: 'many' is not a whole number (tricorn.run()); write a whole number"),
    ({"log_level": "loud"}, "loglevel: 'loud' is not one of debug, info"),
    (
        {"interface": "asgi2"},
        "interface: 'asgi2' is not supported (tricorn.run()); write one of asgi3, wsgi, auto",
    ),
    (
        {"env_file": ".env"},
        "env_file: this parameter of uvicorn.run() is not supported (tricorn.run()); load the",
    ),
    ({"headers": [("a", "b")]}, "headers: this parameter of uvicorn.run() is not supported"),
    ({"loop": "none"}, "loop: Tricorn makes the event loop itself"),
    ({"date_header": False, "reload_dirs": None, "ws": "none"}, "ws: this parameter"),
    ({"wsgi_app": "x:y"}, "wsgi_app: the application is the first argument"),
    (
        {"worker_class": "sanic.worker.GunicornWorker"},
        "worker_class: 'sanic.worker.GunicornWorker' is Sanic's own server",
    ),
    ({"config": "no.toml"}, "config: there is no file 'no.toml' (tricorn.run())"),
]


@pytest.mark.parametrize(
    ("given", "said"), WRONG, ids=lambda value: ",".join(value) if isinstance(value, dict) else ""
)
def test_what_is_wrong_is_said(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(given)
    assert str(caught.value).startswith(said)


def test_reload_is_ours() -> None:
    made = settings(
        {"reload": True, "reload_dirs": "src", "reload_includes": ["*.html"], "reload_excludes": None}
    )
    assert (made.reload, made.reload_dirs, made.reload_includes) == (True, ("src",), ("*.html",))
    assert made.warnings == ()


def test_the_program_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text("threads = 3\nworkers = 3\ntimeout = 3\n")
    (tmp_path / "tricorn.toml").write_text("no_such = 1\n")  # not read unless it is named
    environ = {"WEB_CONCURRENCY": "5", "TRICORN_WORKERS": "7", "TRICORN_THREADS": "7"}
    made = settings({"workers": 2, "config": "own.toml"}, environ)
    assert (made.workers, made.threads, made.timeout) == (2, 7, 3)
    assert settings({}, {"WEB_CONCURRENCY": "5"}).workers == 5
    assert made.origins["workers"] == "tricorn.run()"


def test_an_application_is_named_by_what_it_is() -> None:
    class Shop:
        def __call__(self, environ: Any, start_response: Any) -> list[bytes]: ...

        def __repr__(self) -> str:
            raise AssertionError("its own words are not asked for")

    values = ProgramSettings({}, Path.cwd())
    made = settings_of(Shop(), {}, values, "x")
    assert made.wsgi_app == f"{__name__}.{Shop.__qualname__}"
    assert isinstance(made.loader() if made.loader else None, Shop)
    factory = settings_of(Shop, {"factory": True}, values, "x")
    assert isinstance(factory.loader() if factory.loader else None, Shop)
    assert settings_of("shop:make", {"factory": True}, values, "x").wsgi_app == "shop:make()"
