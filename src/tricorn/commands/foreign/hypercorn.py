"""Hypercorn's settings, by the names that its files have, and its command line.

Knows: the settings of Hypercorn 0.18, and where its defaults are others. Must not know: who asks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tricorn.commands.foreign.rows import (
    NO,
    Row,
    Translation,
    apply_options,
    level,
    lost,
    many,
    needless,
    off,
    same,
    switch,
    verify,
)
from tricorn.commands.foreign.uvicorn import PASSWORD
from tricorn.config.settings import SETTINGS

HAS_HTTP2 = "http_protocols" in SETTINGS
OF_HTTP2 = "is about HTTP/2, whose settings are other ones here" if HAS_HTTP2 else "HTTP/2 is not served yet"
QUIC = "HTTP/3 is not served; clients get what there is below it"
TRIO = "there is no trio; an application that is written for it needs Hypercorn"
SERVER_NAMES = (
    "the Host of a request is not checked; let the proxy, or the framework (ALLOWED_HOSTS), do that"
)
READ_TIMEOUT = "clients have header_timeout, body_timeout and keepalive, which are on by default"


def worker(value: str) -> Mapping[str, object]:
    word = value.lower()
    if word == "trio":
        raise ValueError(TRIO)
    return {"worker_class": "asgi", "asgi_loop": word}


def log_config(value: str) -> Mapping[str, object]:
    kind, colon, path = value.partition(":")
    if colon and kind in ("json", "toml"):
        if kind == "toml":
            raise ValueError("TOML is not read; write the same as JSON (--log-config-json)")
        return {"logconfig_json": path}
    return {"logconfig": value}


def application(value: str) -> Mapping[str, object]:
    kind, _, rest = value.partition(":")
    if kind in ("asgi", "wsgi") and rest:
        return {"wsgi_app": rest, "worker_class": "asgi" if kind == "asgi" else "gthread"}
    return {"wsgi_app": value}


#: By the names in files.
ROWS: Mapping[str, Row] = {
    "access_log_format": same("access_log_format"),
    "accesslog": same("accesslog"),
    "alpn_protocols": needless(OF_HTTP2),
    "alt_svc_headers": lost("add the header in the application, or in a proxy"),
    "application_path": Row(application),
    "backlog": same("backlog"),
    "bind": many("bind"),
    "ca_certs": same("ca_certs"),
    "cert_reqs": same("cert_reqs", convert=verify),
    "certfile": same("certfile"),
    "ciphers": same("ciphers"),
    "daemon": needless(),
    "debug": switch(loglevel="debug"),
    "dogstatsd_tags": same("dogstatsd_tags"),
    "errorlog": same("errorlog"),
    "graceful_timeout": same("graceful_timeout"),
    "group": same("group"),
    "h11_max_incomplete_size": same("limit_request_head"),
    "h11_pass_raw_headers": needless(takes_value=False),
    "h2_max_concurrent_streams": needless(OF_HTTP2),
    "h2_max_header_list_size": needless(OF_HTTP2),
    "h2_max_inbound_frame_size": needless(OF_HTTP2),
    "include_date_header": Row(
        lambda value: (
            _refused("responses always have a Date (RFC 9110 §6.6.1)") if value.lower() in NO else {}
        )
    ),
    "include_server_header": off(server_header=""),
    "insecure_bind": Row(lambda value: {"bind": [f"http://{value}"]}),
    "keep_alive_max_requests": needless("a connection may have any number of requests"),
    "keep_alive_timeout": same("keepalive"),
    "keyfile": same("keyfile"),
    "keyfile_password": same("keyfile_password", PASSWORD),
    "logconfig": Row(log_config, "the loggers are called tricorn.error and tricorn.access here"),
    "logconfig_dict": lost("write the same as JSON in a file, and name that (--log-config-json)"),
    "logger_class": lost("the class has other methods here; see logger_class in docs/logging.md"),
    "loglevel": same("loglevel", convert=level),
    "max_app_queue_size": needless("request_buffer_size is how far the server reads ahead"),
    "max_requests": same("max_requests"),
    "max_requests_jitter": same("max_requests_jitter"),
    "pid_path": same("pidfile"),
    "quic_bind": lost(QUIC),
    "read_timeout": needless(READ_TIMEOUT),
    "root_path": same("root_path", convert=lambda value: value.rstrip("/")),
    "server_names": lost(SERVER_NAMES),
    "shutdown_timeout": same("asgi_lifespan_shutdown_timeout"),
    "ssl_handshake_timeout": needless("a handshake has header_timeout"),
    "startup_timeout": same("asgi_lifespan_startup_timeout"),
    "statsd_host": same("statsd_host"),
    "statsd_prefix": same("statsd_prefix"),
    "umask": same("umask", convert=lambda value: value if value.startswith("0") else f"0{int(value):o}"),
    "use_reloader": switch(reload=True),
    "user": same("user"),
    "verify_flags": lost("crlfile is for revoked certificates; ssl_context for all else"),
    "verify_mode": same("cert_reqs", convert=verify),
    "websocket_max_message_size": same("websocket_max_message_size"),
    "websocket_ping_interval": same("websocket_ping_interval"),
    "worker_class": Row(worker),
    "workers": same("workers"),
    "wsgi_max_body_size": same("limit_request_body"),
}


def _refused(reason: str) -> Mapping[str, object]:
    raise ValueError(reason)


#: Options → names in files, where it is not the same word.
OPTIONS: Mapping[str, str] = {
    "--access-log": "accesslog",
    "--access-logfile": "accesslog",
    "--access-logformat": "access_log_format",
    "--error-log": "errorlog",
    "--error-logfile": "errorlog",
    "--log-file": "errorlog",
    "--keep-alive": "keep_alive_timeout",
    "--log-config": "logconfig",
    "--log-level": "loglevel",
    "--pid": "pid_path",
    "--reload": "use_reloader",
    "--server-name": "server_names",
}
FLAGS: Mapping[str, Row] = {
    **{f"--{name.replace('_', '-')}": row for name, row in ROWS.items()},
    **{flag: ROWS[name] for flag, name in OPTIONS.items()},
    "--config": same("--config"),
    "--daemon": switch(daemon=True),
}
SHORT: Mapping[str, str] = {
    "-b": "--bind",
    "-c": "--config",
    "-D": "--daemon",
    "-g": "--group",
    "-k": "--worker-class",
    "-m": "--umask",
    "-p": "--pid",
    "-u": "--user",
    "-w": "--workers",
}

DEFAULTS = (
    ("graceful_timeout", "requests have 30 s to end when the server stops, in Hypercorn 3 s"),
    ("websocket_ping_interval", "silent WebSocket clients are sent pings; 0 turns that off"),
    ("backlog", "2048 connections may wait, in Hypercorn 100"),
    ("limit_request_body", "there is no limit of request bodies; for WSGI Hypercorn has one, of 16 MiB"),
)


def translate(words: Sequence[str], _variables: Mapping[str, str], cwd: Path) -> Translation:
    named = Translation()
    bare = apply_options(words, FLAGS, SHORT, named)
    to = Translation()
    location = named.settings.pop("--config", None)
    if location is not None:
        read_file(str(location), cwd, to)
    to.put(named.settings)
    to.remarks += named.remarks
    to.lost += named.lost
    if bare:
        to.put(application(bare[0]))
    return finished(to)


def of_file(path: Path) -> Translation:
    to = Translation()
    read_file(path.name, path.parent, to)
    return finished(to)


def finished(to: Translation) -> Translation:
    to.remark_defaults(DEFAULTS)
    return to


def read_file(location: str, cwd: Path, to: Translation) -> None:
    if location.startswith("python:") or location.removeprefix("file:").endswith(".py"):
        to.lose(
            f"--config {location}: Python files of Hypercorn's are not read; write its settings as options"
        )
        return
    path = cwd / location.removeprefix("toml:").removeprefix("file:")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        to.lose(f"--config {location}: cannot be read: {error}")
        return
    for name, value in table.items():
        row = ROWS.get(name)
        if row is None:
            to.lose(f"{name}: this setting is not known")
            continue
        for each in value if isinstance(value, list) else [value]:
            row.apply(name, str(each).lower() if isinstance(each, bool) else str(each), to)
