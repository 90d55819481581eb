"""Uvicorn's command line, option by option.

Knows: the options of Uvicorn 0.38, and where its defaults are others. Must not know: who asks.

config/uvicorn.py has the same settings as parameters of `uvicorn.run()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tricorn.commands.foreign.rows import (
    Row,
    Translation,
    address,
    apply_options,
    from_variables,
    level,
    lost,
    many,
    needless,
    off,
    same,
    switch,
    verify,
)
from tricorn.config.settings import SETTINGS

HAS_HTTP2 = "http_protocols" in SETTINGS
NO_HTTP2 = "HTTP/2 is not served yet; clients get HTTP/1.1"
HEADERS = "there is no such option; add the header in the application, or in a proxy"
ENV_FILE = (
    "files of variables are not read; load it in the application, or by what starts the server "
    "(EnvironmentFile= of systemd, env_file of Compose)"
)
CONCURRENCY = (
    "Uvicorn answers 503 beyond it, and counts connections; Tricorn counts requests, and lets further ones "
    "wait (max_queue limits how many)"
)
MAX_REQUESTS = "the worker is replaced, and no connection is lost; under Uvicorn alone the server ends"
PASSWORD = (
    "there is no option for it, because everybody sees command lines; it stands in a file, or in "
    "TRICORN_KEYFILE_PASSWORD"
)
APP_DIR = "only where modules are looked for; with chdir it would be the working directory too"


def log_config(value: str) -> Mapping[str, object]:
    if value.endswith((".yaml", ".yml")):
        raise ValueError("YAML is not read; write the same as JSON (--log-config-json) or INI (--log-config)")
    return {"logconfig_json" if value.endswith(".json") else "logconfig": value}


LOGGERS = "the loggers are called tricorn.error and tricorn.access here, not uvicorn.error and uvicorn.access"


def websockets(value: str) -> Mapping[str, object]:
    if value == "none":
        raise ValueError("WebSockets are served all the same; the application has to refuse them")
    return {}


def interface(value: str) -> Mapping[str, object]:
    kinds = {"auto": {}, "asgi3": {"worker_class": "asgi"}, "wsgi": {"worker_class": "gthread"}}
    if value not in kinds:
        raise ValueError(
            "ASGI 2 is not served; wrap the application in asgiref.compatibility.guarantee_single_callable"
        )
    return kinds[value]


def event_loop(value: str) -> Mapping[str, object]:
    if value == "none":
        raise ValueError("Tricorn makes the event loop itself")
    if value == "zuvloop":
        raise ValueError(
            "is no word here; asgi_loop takes the function that makes one: zuvloop:new_event_loop"
        )
    return {} if value == "auto" else {"asgi_loop": value}


#: Where to listen; put together at the end.
ADDRESS = ("--host", "--port", "--uds", "--fd")

ROWS: Mapping[str, Row] = {
    **{flag: same(flag) for flag in ADDRESS},
    "--reload": switch(reload=True),
    "--reload-dir": many("reload_dirs"),
    "--reload-include": many("reload_includes"),
    "--reload-exclude": many("reload_excludes"),
    "--reload-delay": needless(),
    "--workers": same("workers"),
    "--loop": Row(event_loop),
    "--http": needless("there is one HTTP engine, and it is compiled"),
    "--http2": switch(http_protocols="h2,h1") if HAS_HTTP2 else lost(NO_HTTP2, takes_value=False),
    "--ws": Row(websockets),
    "--ws-max-size": same("websocket_max_message_size"),
    "--ws-max-queue": same("websocket_max_queue"),
    "--ws-ping-interval": same("websocket_ping_interval"),
    "--ws-ping-timeout": same("websocket_ping_timeout"),
    "--ws-per-message-deflate": same("websocket_compression"),
    "--lifespan": same("asgi_lifespan"),
    "--interface": Row(interface),
    "--env-file": lost(ENV_FILE),
    "--log-config": Row(log_config, LOGGERS),
    "--log-level": same("loglevel", convert=level),
    "--access-log": switch(accesslog="-"),
    "--no-access-log": switch(accesslog=""),
    "--use-colors": needless(takes_value=False),
    "--no-use-colors": needless(takes_value=False),
    "--proxy-headers": off(forwarded_allow_ips=""),
    "--no-proxy-headers": switch(forwarded_allow_ips=""),
    "--server-header": off(server_header=""),
    "--no-server-header": switch(server_header=""),
    "--date-header": needless(takes_value=False),
    "--no-date-header": lost("responses always have a Date (RFC 9110 §6.6.1)", takes_value=False),
    "--forwarded-allow-ips": same("forwarded_allow_ips"),
    "--root-path": same("root_path"),
    "--limit-concurrency": same("max_concurrency", CONCURRENCY),
    "--backlog": same("backlog"),
    "--limit-max-requests": same("max_requests", MAX_REQUESTS),
    "--limit-max-requests-jitter": same("max_requests_jitter"),
    "--timeout-keep-alive": same("keepalive"),
    "--timeout-graceful-shutdown": same("graceful_timeout"),
    "--timeout-worker-healthcheck": same("timeout"),
    "--timeout-notify": needless(),
    "--ssl-keyfile": same("keyfile"),
    "--ssl-certfile": same("certfile"),
    "--ssl-keyfile-password": same("keyfile_password", PASSWORD),
    "--ssl-version": needless("tls_minimum_version sets the lowest version; 1.2 by default"),
    "--ssl-cert-reqs": same("cert_reqs", convert=verify),
    "--ssl-ca-certs": same("ca_certs"),
    "--ssl-ciphers": Row(lambda value: {} if value == "TLSv1" else {"ciphers": value}),
    "--header": lost(HEADERS),
    "--app-dir": Row(lambda value: {"pythonpath": value} if value else {}, APP_DIR),
    "--h11-max-incomplete-event-size": same("limit_request_head"),
    "--factory": switch(factory=True),
    "--reset-contextvars": needless("each request has a context of its own anyway", takes_value=False),
}

DEFAULTS = (
    ("graceful_timeout", "requests have 30 s to end when the server stops; in Uvicorn they have any time"),
    ("limit_request_head", "request heads may have 64 KiB; in Uvicorn it depends on the parser"),
)


def translate(words: Sequence[str], variables: Mapping[str, str]) -> Translation:
    to = Translation()
    for flag, value in from_variables(variables, "UVICORN_", ROWS):
        ROWS[flag].apply(flag, value, to)
    bare = apply_options(words, ROWS, {}, to)
    finish(bare or [variables[name] for name in ("UVICORN_APP",) if name in variables], to)
    to.default("accesslog", "-")
    if not to.settings["accesslog"]:
        del to.settings["accesslog"]
    to.remark_defaults(DEFAULTS)
    return to


def finish(bare: Sequence[str], to: Translation) -> None:
    """The application, and where to listen: a descriptor goes before a path, and a path before a host."""
    put_application(bare, to)
    host, port, path, fd = (to.settings.pop(flag, None) for flag in ADDRESS)
    if fd is not None:
        to.put({"bind": [f"fd://{fd}"]})
    elif path is not None:
        to.put({"bind": [f"unix:{path}"]})
        to.remark("--uds: the socket is for its owner and group (0660); Uvicorn's is for everybody")
    elif host is not None or port is not None:
        to.put({"bind": [address(str(host or "127.0.0.1"), str(port or 8000))]})


def put_application(bare: Sequence[str], to: Translation) -> None:
    is_factory = to.settings.pop("factory", False)
    if bare:
        to.put({"wsgi_app": f"{bare[0]}()" if is_factory else bare[0]})
