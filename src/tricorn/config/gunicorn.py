"""Gunicorn's settings: all their names, and how those are met that Tricorn does not have.

Those that change what is served are settings of ours. Of the rest, one whose wish is not granted is
mentioned in a warning, and one that has nothing to do here in a note. None is passed over in silence, except
for a value that says "off" or is Gunicorn's default: nothing would have happened.

Knows: names and defaults of Gunicorn 27. Must not know: how they got here.
"""

from __future__ import annotations

from collections.abc import Mapping

from tricorn.records import dataclass

WARN, NOTE = "warn", "note"
#: What a text says that turns something off. (Of numbers and switches Gunicorn's files have the values.)
OFF = frozenset({"", "0", "false", "none"})
#: Among the harmless values of a switch that is on by default: off is not harmless then.
ON = "true"


@dataclass(frozen=True)
class Missing:
    """says: why, or what to do instead; stands behind "is ignored:" or "has no effect:".
    flags: its options. switch: they take no value. harmless: values that ask for what we do anyway."""

    verdict: str
    says: str
    flags: tuple[str, ...] = ()
    switch: bool = False
    harmless: tuple[object, ...] = ()

    def is_harmless(self, value: object) -> bool:
        """The same as a text and as a value: options have only texts."""
        word = str(value).strip().lower()
        is_off = not value or word in OFF
        return (is_off and ON not in self.harmless) or word in {str(each).lower() for each in self.harmless}

    def remark(self, written: str, origin: str) -> str:
        """written: how it was called, a name or an option."""
        effect = "has no effect" if self.verdict == NOTE else "is ignored"
        return f"{written} {effect} ({origin}): {self.says}"


SSL_VERSION = "Gunicorn ignores it too, since 21.0; tls_minimum_version sets the lowest version"
#: ssl.PROTOCOL_TLS, _TLS_CLIENT and _TLS_SERVER, as numbers, texts and names: all mean any version.
ANY_VERSION = (2, 16, 17, "2", "16", "17", "TLS", "TLS_SERVER", "PROTOCOL_TLS", "PROTOCOL_TLS_SERVER")
NO_FOLDING = (
    "Tricorn answers such requests with 400, as RFC 9112 §5.2 allows: parsers disagree on what they say"
)
NO_SPACES = "Tricorn answers such requests with 400, as RFC 9112 §5.1 demands"
NO_VERSION = "Tricorn answers other versions than HTTP/1.0 and HTTP/1.1 with 505"
NO_CASEFOLD = (
    "Tricorn passes methods on as the client wrote them; upper and lower case differ (RFC 9110 §9.1)"
)
NEEDLESS = "Tricorn does not need it"
HEARTBEATS = "the heartbeats of workers are in shared memory, and no disk can hold them up"
UPLOADS = "request bodies that do not fit into memory go to TMPDIR; Gunicorn does not use the setting either"
GROUPS = "workers always get the supplementary groups of `user`, and lose those of root"
ONE_PARSER = "there is one parser, and it is compiled"
RAGGED = "a client that ends a TLS connection without a goodbye ends only its own connection"
HANDSHAKE = "a handshake never keeps others waiting, and has header_timeout to end"
ANY_METHOD = "Tricorn passes every method to the application"

#: Server hooks, in the order in which a service meets them.
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
#: Those that Gunicorn does not have.
OWN_HOOKS = ("when_worker_ready", "on_drain", "on_memory_limit", "on_request_timeout", "after_response")
DIRTY_HOOKS = ("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit")

#: Settings for which None is as good as nothing, beside the switches.
UNSET_BY_NONE = frozenset(
    {
        *("asgi_loop", "asgi_lifespan", "header_map", "protocol", "root_path"),
        *("dogstatsd_tags", "statsd_prefix", "syslog_addr", "syslog_facility"),
    }
)

#: Settings whose values are functions or classes, ours among them.
CALLED = frozenset({*HOOKS, *OWN_HOOKS, *DIRTY_HOOKS, "ssl_context", "logger_class"})

MISSING: Mapping[str, Missing] = {
    "ssl_version": Missing(WARN, SSL_VERSION, ("--ssl-version",), harmless=ANY_VERSION),
    "suppress_ragged_eofs": Missing(NOTE, RAGGED, ("--suppress-ragged-eofs",), switch=True, harmless=(ON,)),
    "do_handshake_on_connect": Missing(NOTE, HANDSHAKE, ("--do-handshake-on-connect",), switch=True),
    "http_parser": Missing(NOTE, ONE_PARSER, ("--http-parser",), harmless=("auto",)),
    "worker_tmp_dir": Missing(NOTE, HEARTBEATS, ("--worker-tmp-dir",)),
    "tmp_upload_dir": Missing(NOTE, UPLOADS),
    "initgroups": Missing(NOTE, GROUPS, ("--initgroups",), switch=True),
    "default_proc_name": Missing(NOTE, "proc_name is the setting for users", harmless=("gunicorn",)),
    "permit_obsolete_folding": Missing(WARN, NO_FOLDING, ("--permit-obsolete-folding",), switch=True),
    "strip_header_spaces": Missing(WARN, NO_SPACES, ("--strip-header-spaces",), switch=True),
    "permit_unconventional_http_method": Missing(
        NOTE, ANY_METHOD, ("--permit-unconventional-http-method",), switch=True
    ),
    "permit_unconventional_http_version": Missing(
        WARN, NO_VERSION, ("--permit-unconventional-http-version",), switch=True
    ),
    "casefold_http_method": Missing(WARN, NO_CASEFOLD, ("--casefold-http-method",), switch=True),
}

#: The same by option.
MISSING_FLAGS: Mapping[str, str] = {flag: name for name, missing in MISSING.items() for flag in missing.flags}

#: All of Gunicorn's settings, by the section of its documentation that they stand in.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Config File": (
        "config",
        "wsgi_app",
    ),
    "Server Socket": (
        "bind",
        "backlog",
    ),
    "Worker Processes": (
        "workers",
        "worker_class",
        "threads",
        "worker_connections",
        "max_requests",
        "max_requests_jitter",
        "timeout",
        "graceful_timeout",
        "keepalive",
        "asgi_loop",
        "asgi_lifespan",
        "asgi_disconnect_grace_period",
        "websocket_max_message_size",
        "http_parser",
    ),
    "Security": (
        "limit_request_line",
        "limit_request_fields",
        "limit_request_field_size",
    ),
    "Debugging": (
        "reload",
        "reload_engine",
        "reload_extra_files",
        "spew",
        "check_config",
        "print_config",
    ),
    "Server Mechanics": (
        "preload_app",
        "sendfile",
        "reuse_port",
        "chdir",
        "daemon",
        "raw_env",
        "pidfile",
        "worker_tmp_dir",
        "user",
        "group",
        "umask",
        "initgroups",
        "tmp_upload_dir",
        "secure_scheme_headers",
        "forwarded_allow_ips",
        "pythonpath",
        "paste",
        "proxy_protocol",
        "proxy_allow_ips",
        "protocol",
        "uwsgi_allow_ips",
        "raw_paste_global_conf",
        "permit_obsolete_folding",
        "strip_header_spaces",
        "permit_unconventional_http_method",
        "permit_unconventional_http_version",
        "casefold_http_method",
        "forwarder_headers",
        "header_map",
        "root_path",
    ),
    "Logging": (
        "accesslog",
        "disable_redirect_access_to_syslog",
        "access_log_format",
        "errorlog",
        "loglevel",
        "capture_output",
        "logger_class",
        "logconfig",
        "logconfig_dict",
        "logconfig_json",
        "syslog_addr",
        "syslog",
        "syslog_prefix",
        "syslog_facility",
        "enable_stdio_inheritance",
        "statsd_host",
        "dogstatsd_tags",
        "statsd_prefix",
        "enable_backlog_metric",
    ),
    "Process Naming": (
        "proc_name",
        "default_proc_name",
    ),
    "Server Hooks": (*HOOKS, "ssl_context"),
    "SSL": (
        "keyfile",
        "certfile",
        "ssl_version",
        "cert_reqs",
        "ca_certs",
        "suppress_ragged_eofs",
        "do_handshake_on_connect",
        "ciphers",
    ),
    "HTTP/2": (
        "http_protocols",
        "http2_cleartext",
        "http2_max_concurrent_streams",
        "http2_initial_window_size",
        "http2_max_frame_size",
        "http2_max_header_list_size",
    ),
    "Dirty Arbiters": (
        "dirty_apps",
        "dirty_workers",
        "dirty_timeout",
        "dirty_threads",
        "dirty_graceful_timeout",
    ),
    "Dirty Arbiter Hooks": (
        "on_dirty_starting",
        "dirty_post_fork",
        "dirty_worker_init",
        "dirty_worker_exit",
    ),
    "Control": (
        "control_socket",
        "control_socket_mode",
        "control_socket_disable",
    ),
}
NAMES = frozenset(name for names in SECTIONS.values() for name in names)
