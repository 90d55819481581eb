"""Gunicorn's settings and hooks that Tricorn does not have (yet), and how they are met where they are set.

A setting whose absence would change what the service does, or how safe it is, is refused. One that can be
left out is mentioned in a warning. One that has nothing to do here is ignored. A value that says "off" is
never worth a word: nothing would have happened.

Knows: names of Gunicorn 27. Must not know: how they got here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REFUSE, WARN, IGNORE = "refuse", "warn", "ignore"


@dataclass(frozen=True)
class Missing:
    """flags: its options. switch: they take no value. harmless: values that ask for what we do anyway."""

    verdict: str
    says: str
    flags: tuple[str, ...] = ()
    switch: bool = False
    harmless: tuple[object, ...] = ()

    def is_harmless(self, value: object) -> bool:
        return self.verdict == IGNORE or not value or value in self.harmless


SSL_VERSION = "Gunicorn ignores it too, since 21.0; tls_minimum_version sets the lowest version"
#: ssl.PROTOCOL_TLS, _TLS_CLIENT and _TLS_SERVER, as numbers, texts and names: all mean any version.
ANY_VERSION = (2, 16, 17, "2", "16", "17", "TLS", "TLS_SERVER", "PROTOCOL_TLS", "PROTOCOL_TLS_SERVER")
NO_DIRTY = "Tricorn has no dirty arbiters, which the application needs"
NO_H2 = "Tricorn does not support HTTP/2 yet; clients get HTTP/1.1"
NO_LOGGING = "Tricorn does not support this yet; docs/logging.md says what it supports"
NO_STATSD = "Tricorn sends no statsd metrics yet"
NO_RELOAD = "Tricorn does not watch files yet; send HUP to load new code"
NO_PERMIT = "Tricorn refuses such requests"
NO_HOOK = "Tricorn does not call server hooks yet"
NO_UWSGI = "Tricorn does not speak the uwsgi protocol"
NEEDLESS = "Tricorn does not need it"

HOOKS = (
    "on_starting",
    "on_reload",
    "when_ready",
    "pre_fork",
    "post_fork",
    "post_worker_init",
    "worker_int",
    "worker_abort",
    "pre_exec",
    "pre_request",
    "post_request",
    "child_exit",
    "worker_exit",
    "nworkers_changed",
    "on_exit",
)
DIRTY_HOOKS = ("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit")

#: Settings whose values are functions or classes, ours among them.
CALLED = frozenset({*HOOKS, *DIRTY_HOOKS, "ssl_context", "logger_class"})

MISSING: Mapping[str, Missing] = {
    "ssl_version": Missing(WARN, SSL_VERSION, ("--ssl-version",), harmless=ANY_VERSION),
    "suppress_ragged_eofs": Missing(IGNORE, NEEDLESS, ("--suppress-ragged-eofs",), switch=True),
    "do_handshake_on_connect": Missing(
        WARN,
        "a handshake never keeps others waiting, and has header_timeout to end",
        ("--do-handshake-on-connect",),
        switch=True,
    ),
    "daemon": Missing(
        REFUSE,
        "Tricorn stays in the foreground; run it under systemd or another supervisor",
        ("-D", "--daemon"),
        True,
    ),
    "protocol": Missing(REFUSE, NO_UWSGI, ("--protocol",), harmless=("http",)),
    "uwsgi_allow_ips": Missing(WARN, NO_UWSGI, ("--uwsgi-allow-from",)),
    "dirty_apps": Missing(REFUSE, NO_DIRTY, ("--dirty-app",)),
    "dirty_workers": Missing(REFUSE, NO_DIRTY, ("--dirty-workers",), harmless=("0",)),
    "dirty_timeout": Missing(WARN, NO_DIRTY, ("--dirty-timeout",)),
    "dirty_threads": Missing(WARN, NO_DIRTY, ("--dirty-threads",)),
    "dirty_graceful_timeout": Missing(WARN, NO_DIRTY, ("--dirty-graceful-timeout",)),
    "reload": Missing(WARN, NO_RELOAD, ("--reload",), switch=True),
    "reload_engine": Missing(WARN, NO_RELOAD, ("--reload-engine",), harmless=("auto",)),
    "reload_extra_files": Missing(WARN, NO_RELOAD, ("--reload-extra-file",)),
    "spew": Missing(WARN, "Tricorn cannot trace the code", ("--spew",), switch=True),
    "http_protocols": Missing(WARN, NO_H2, ("--http-protocols",), harmless=("h1", ["h1"])),
    "http2_cleartext": Missing(
        REFUSE,
        "Tricorn does not support HTTP/2 yet; clients that insist on it would fail",
        ("--http2-cleartext",),
        harmless=("off",),
    ),
    "http2_max_concurrent_streams": Missing(WARN, NO_H2, ("--http2-max-concurrent-streams",)),
    "http2_initial_window_size": Missing(WARN, NO_H2, ("--http2-initial-window-size",)),
    "http2_max_frame_size": Missing(WARN, NO_H2, ("--http2-max-frame-size",)),
    "http2_max_header_list_size": Missing(WARN, NO_H2, ("--http2-max-header-list-size",)),
    "http_parser": Missing(IGNORE, NEEDLESS, ("--http-parser",)),
    "worker_tmp_dir": Missing(IGNORE, NEEDLESS, ("--worker-tmp-dir",)),
    "tmp_upload_dir": Missing(IGNORE, NEEDLESS),
    "initgroups": Missing(IGNORE, NEEDLESS, ("--initgroups",), switch=True),
    "default_proc_name": Missing(IGNORE, NEEDLESS),
    "permit_obsolete_folding": Missing(WARN, NO_PERMIT, ("--permit-obsolete-folding",), switch=True),
    "strip_header_spaces": Missing(WARN, NO_PERMIT, ("--strip-header-spaces",), switch=True),
    "permit_unconventional_http_method": Missing(
        IGNORE,
        "Tricorn passes every method to the application",
        ("--permit-unconventional-http-method",),
        True,
    ),
    "permit_unconventional_http_version": Missing(
        WARN, NO_PERMIT, ("--permit-unconventional-http-version",), switch=True
    ),
    "casefold_http_method": Missing(
        WARN, "Tricorn does not change the case of methods", ("--casefold-http-method",), switch=True
    ),
    "capture_output": Missing(WARN, NO_LOGGING, ("--capture-output",), switch=True),
    "enable_stdio_inheritance": Missing(IGNORE, NEEDLESS, ("-R", "--enable-stdio-inheritance"), switch=True),
    "logger_class": Missing(WARN, NO_LOGGING, ("--logger-class",), harmless=("gunicorn.glogging.Logger",)),
    "logconfig": Missing(WARN, NO_LOGGING, ("--log-config",)),
    "logconfig_dict": Missing(WARN, NO_LOGGING),
    "logconfig_json": Missing(WARN, NO_LOGGING, ("--log-config-json",)),
    "syslog": Missing(WARN, NO_LOGGING, ("--log-syslog",), switch=True),
    "syslog_addr": Missing(WARN, NO_LOGGING, ("--log-syslog-to",)),
    "syslog_prefix": Missing(WARN, NO_LOGGING, ("--log-syslog-prefix",)),
    "syslog_facility": Missing(WARN, NO_LOGGING, ("--log-syslog-facility",), harmless=("user",)),
    "disable_redirect_access_to_syslog": Missing(
        IGNORE, NEEDLESS, ("--disable-redirect-access-to-syslog",), switch=True
    ),
    "statsd_host": Missing(WARN, NO_STATSD, ("--statsd-host",)),
    "statsd_prefix": Missing(WARN, NO_STATSD, ("--statsd-prefix",)),
    "dogstatsd_tags": Missing(WARN, NO_STATSD, ("--dogstatsd-tags",)),
    "enable_backlog_metric": Missing(WARN, NO_STATSD, ("--enable-backlog-metric",), switch=True),
    **{hook: Missing(WARN, NO_HOOK) for hook in HOOKS},
    **{hook: Missing(WARN, NO_DIRTY) for hook in DIRTY_HOOKS},
}

#: The same by option.
MISSING_FLAGS: Mapping[str, str] = {flag: name for name, missing in MISSING.items() for flag in missing.flags}
