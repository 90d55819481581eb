"""Granian's command line, option by option.

Knows: the options of Granian 1 and 2, and where its defaults are others. Must not know: who asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tricorn.commands.foreign.rows import (
    Row,
    Translation,
    apply_options,
    duration,
    from_variables,
    level,
    lost,
    many,
    megabytes,
    milliseconds,
    needless,
    off,
    same,
    switch,
)
from tricorn.commands.foreign.uvicorn import ENV_FILE, PASSWORD, finish, log_config
from tricorn.config.settings import SETTINGS

RSGI = (
    "RSGI, Granian's own interface and its default, is not served; if the framework has another one, name "
    "its application for ASGI or WSGI"
)
STATIC = "route and directory are one value here: --static /ROUTE=DIRECTORY; see docs/static.md"
METRICS = "there is no metrics endpoint; statsd_host sends metrics, and `tricorn ctl status` shows figures"
REGEX = "patterns here are those of a shell (--reload-exclude '*.tmp'), not regular expressions"
HAS_HTTP2 = "http_protocols" in SETTINGS
OF_HTTP2 = "is about HTTP/2, whose settings are other ones here" if HAS_HTTP2 else "HTTP/2 is not served yet"

#: Granian's words for an access log → Gunicorn's atoms, which are ours.
ATOMS = {
    "addr": "h",
    "time": "t",
    "dt_ms": "M",
    "status": "s",
    "path": "U",
    "query_string": "q",
    "method": "m",
    "protocol": "H",
    "scheme": "{wsgi.url_scheme}e",
}


def interface(value: str) -> Mapping[str, object]:
    known: Mapping[str, Mapping[str, object]] = {
        "asgi": {"worker_class": "asgi"},
        "asginl": {"worker_class": "asgi", "asgi_lifespan": "off"},
        "wsgi": {"worker_class": "gthread"},
    }
    if value not in known:
        raise ValueError(RSGI)
    return known[value]


def event_loop(value: str) -> Mapping[str, object]:
    if value in ("rloop", "winloop"):
        raise ValueError("is not known; uvloop and asyncio are, or a function that makes a loop")
    return {} if value == "auto" else {"asgi_loop": value}


def versions(value: str) -> Mapping[str, object]:
    if value == "2" and not HAS_HTTP2:
        raise ValueError("HTTP/2 is not served yet; clients that speak HTTP/1.1 too get that")
    return {"http_protocols": "h2"} if value == "2" else {}


def atoms(value: str) -> str:
    return re.sub(r"%\((\w+)\)[\d.]*[a-z]", lambda found: f"%({ATOMS.get(found[1], found[1])})s", value)


ROWS: Mapping[str, Row] = {
    "--host": same("--host"),
    "--port": same("--port"),
    "--uds": same("--uds"),
    "--uds-permissions": needless("a socket is for its owner and group (0660); umask changes that"),
    "--interface": Row(interface),
    "--http": Row(versions),
    "--ws": needless(takes_value=False),
    "--no-ws": lost(
        "WebSockets are served all the same; the application has to refuse them", takes_value=False
    ),
    "--workers": same("workers"),
    "--blocking-threads": same("threads"),
    "--blocking-threads-idle-timeout": needless(),
    "--threads": needless("I/O takes no threads of its own here"),
    "--runtime-threads": needless("I/O takes no threads of its own here"),
    "--runtime-blocking-threads": needless(),
    "--runtime-mode": needless(),
    "--threading-mode": needless(),
    "--loop": Row(event_loop),
    "--task-impl": needless(),
    "--backlog": same("backlog"),
    "--backpressure": same("max_concurrency", "counts requests of ASGI; for WSGI, threads is that number"),
    "--http1-buffer-size": same("limit_request_head"),
    "--http1-header-read-timeout": same("header_timeout", convert=milliseconds),
    "--http1-keep-alive": off(keepalive="0"),
    "--no-http1-keep-alive": switch(keepalive="0"),
    "--http1-pipeline-flush": needless(takes_value=False),
    "--no-http1-pipeline-flush": needless(takes_value=False),
    **{
        f"--http2-{name}": needless(OF_HTTP2)
        for name in (
            *("initial-connection-window-size", "initial-stream-window-size", "keep-alive-interval"),
            *("keep-alive-timeout", "max-concurrent-streams", "max-frame-size", "max-headers-size"),
            "max-send-buffer-size",
        )
    },
    "--http2-adaptive-window": needless(OF_HTTP2, takes_value=False),
    "--no-http2-adaptive-window": needless(takes_value=False),
    "--log": needless(takes_value=False),
    "--no-log": switch("there is always an error log; it has only what is critical", loglevel="critical"),
    "--log-level": same("loglevel", convert=level),
    "--log-config": Row(log_config, "the loggers are called tricorn.error and tricorn.access here"),
    "--access-log": switch(accesslog="-"),
    "--no-access-log": needless(takes_value=False),
    "--access-log-fmt": same("access_log_format", "the same values, in Gunicorn's atoms", convert=atoms),
    "--ssl-certificate": same("certfile"),
    "--ssl-keyfile": same("keyfile"),
    "--ssl-keyfile-password": same("keyfile_password", PASSWORD),
    "--ssl-protocol-min": same(
        "tls_minimum_version", convert=lambda value: value.lower().removeprefix("tls")
    ),
    "--ssl-ca": same("ca_certs"),
    "--ssl-crl": same("crlfile"),
    "--ssl-client-verify": switch(cert_reqs="required"),
    "--no-ssl-client-verify": needless(takes_value=False),
    "--url-path-prefix": same("root_path"),
    "--respawn-failed-workers": needless("always", takes_value=False),
    "--no-respawn-failed-workers": needless("a worker that fails is always replaced", takes_value=False),
    "--respawn-interval": needless(),
    "--rss-sample-interval": needless(),
    "--rss-samples": needless(),
    "--workers-lifetime": same("max_lifetime", convert=duration),
    "--workers-max-rss": same("max_memory", convert=megabytes, memory_measure="rss"),
    "--workers-kill-timeout": same("graceful_timeout", convert=duration),
    "--workers-graceful-timeout": same("graceful_timeout", convert=duration),
    "--factory": switch(factory=True),
    "--no-factory": needless(takes_value=False),
    "--working-dir": same("chdir"),
    "--env-files": lost(ENV_FILE),
    **{f"--static-path-{name}": lost(STATIC) for name in ("route", "mount", "expires", "dir-to-file")},
    "--metrics": lost(METRICS, takes_value=False),
    "--no-metrics": needless(takes_value=False),
    **{f"--metrics-{name}": needless() for name in ("scrape-interval", "address", "port")},
    "--reload": switch(reload=True),
    "--no-reload": needless(takes_value=False),
    "--reload-paths": many("reload_dirs"),
    "--reload-ignore-dirs": many("reload_excludes"),
    "--reload-ignore-patterns": lost(REGEX),
    "--reload-ignore-paths": many("reload_excludes"),
    "--reload-tick": needless(),
    "--reload-ignore-worker-failure": needless(takes_value=False),
    "--no-reload-ignore-worker-failure": needless(takes_value=False),
    "--process-name": same("proc_name"),
    "--pid-file": same("pidfile"),
}

#: Variables that are not called like their options.
VARIABLES: Mapping[str, str] = {
    "--ws": "GRANIAN_WEBSOCKETS",
    "--log": "GRANIAN_LOG_ENABLED",
    "--access-log": "GRANIAN_LOG_ACCESS_ENABLED",
    "--access-log-fmt": "GRANIAN_LOG_ACCESS_FMT",
}

DEFAULTS = (
    ("graceful_timeout", "requests have 30 s to end when the server stops; in Granian they have any time"),
    ("keepalive", "an idle connection is closed after 5 s"),
    ("backlog", "2048 connections may wait, in Granian 1024"),
)


def translate(words: Sequence[str], variables: Mapping[str, str]) -> Translation:
    to = Translation()
    for flag, value in from_variables(variables, "GRANIAN_", ROWS, VARIABLES):
        ROWS[flag].apply(flag, value, to)
    bare = apply_options(words, ROWS, {}, to)
    finish(bare, to)
    if "worker_class" not in to.settings and not any(RSGI in each for each in to.lost):
        to.lose(f"--interface: {RSGI}")
    to.remark_defaults(DEFAULTS)
    return to
