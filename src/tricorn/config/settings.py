"""Every setting of Tricorn, each declared once: name, type, default, value form, flags, words.

The command line, `TRICORN_<NAME>`, the files, `--print-config`, docs/settings.md and the tests are made from
these declarations. Where Gunicorn has the setting, name, flag and value form are Gunicorn's.

Knows: the settings, the words that they take. Must not know: where values come from (sources.py,
provenance.py) or what they are used for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tricorn import kinds
from tricorn.config.declaration import KEY, Core, Declared, Shared, setting
from tricorn.config.mounts import cache_rules, directories, media_types
from tricorn.config.parsers import (
    addresses,
    assignments,
    class_names,
    class_places,
    cleartext,
    field_names,
    field_values,
    file_name,
    file_patterns,
    function,
    group_id,
    header_name,
    hook,
    log_file,
    log_level,
    logger_class,
    loop_name,
    mount_point,
    octal_mode,
    one_of,
    optional,
    path_of_probe,
    paths,
    peers,
    proxy_versions,
    receiver,
    seconds,
    secret,
    share,
    size,
    socket_mode,
    switch,
    table,
    targets,
    text,
    tls_version,
    user_id,
    verify_mode,
    web_address,
    whole_number,
    whole_numbers,
    words_of,
    worker_count,
)
from tricorn.config.provenance import Provenance
from tricorn.config.routes import routes_of
from tricorn.kinds import Runner
from tricorn.records import dataclass, fields, replace

APPLICATION = "Application"
SOCKET = "Server socket"
TLS = "TLS"
HTTP2 = "HTTP/2"
WORKERS = "Workers"
PROBES = "Health checks"
STATIC = "Static files"
CLIENT = "Client time limits"
LIMITS = "Limits"
ASGI = "ASGI"
WEBSOCKET = "WebSocket"
TRUST = "Trust"
LOGGING = "Logging"
PROCESS = "Process"
CONTROL = "Control"
ALARMS = "Alarms"
DEVELOPMENT = "Development"
HOOKS = "Server hooks"
HEAVY = "Heavy workers"

#: Of the ASGI specification's extensions, those that the server has; and one of its own.
EXTENSIONS = (
    "http.response.early_hint",
    "http.response.pathsend",
    "http.response.trailers",
    "http.response.zerocopysend",
    "tricorn.drain",
    "tricorn.uwsgi",
    "websocket.http.response",
)
#: Of syslog (RFC 5424 §6.2.1), by the names of syslog.h.
FACILITIES = (
    *("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp"),
    *(f"local{number}" for number in range(8)),
)
TRUSTED_BY_DEFAULT = ("127.0.0.1", "::1", "unix")
SCHEME_HEADERS = MappingProxyType(
    {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
)


@dataclass(frozen=True, kw_only=True)
class Settings(Provenance):
    """One configuration. Times are seconds, sizes are bytes, 0 switches a limit off."""

    # ------------------------------------------------------------------------------- application
    wsgi_app: str | None = setting(
        None,
        parse=optional(text(metavar="APP", example="myproject.wsgi:application")),
        section=APPLICATION,
        positional=True,
        doc="The application: module:attribute, module:factory(arguments) or path/to/file.py:attribute. "
        "Without an attribute, Tricorn tries `application` and then `app`. On the command line, the "
        "application is the argument.",
    )
    paste: str | None = setting(
        None,
        flags=("--paste", "--paster"),
        parse=optional(text(metavar="FILE", example="production.ini#main")),
        section=APPLICATION,
        doc="A PasteDeploy file that describes the application, in place of its name. After `#` stands which "
        "of its applications is meant; without it, it is `main`. Needs PasteDeploy.",
    )
    raw_paste_global_conf: tuple[str, ...] = setting(
        (),
        flags=("--paste-global",),
        parse=assignments(),
        section=APPLICATION,
        doc="Variables that the file of `paste` may use, as KEY=VALUE. Repeatable.",
    )
    chdir: str = setting(
        ".",
        flags=("--chdir",),
        parse=text(metavar="DIR", example="/srv/site", blank=True),
        section=APPLICATION,
        doc="The directory to change to before the application is loaded. It is put first on `sys.path`. "
        "The configuration file is looked up in the directory in which the command was started.",
    )
    pythonpath: tuple[str, ...] = setting(
        (),
        flags=("--pythonpath",),
        parse=paths(),
        section=APPLICATION,
        doc="Directories to put on `sys.path`, in this order, before the application is loaded.",
    )
    raw_env: tuple[str, ...] = setting(
        (),
        flags=("-e", "--env"),
        parse=assignments(),
        section=APPLICATION,
        doc="Environment variables for the application, as KEY=VALUE. Repeatable; in TRICORN_RAW_ENV they "
        "are separated like the words of a shell command.",
    )
    preload_app: bool = setting(
        False,
        flags=("--preload",),
        parse=switch(),
        section=APPLICATION,
        doc="Load the application once, in a process of its own (the mold), and fork the workers from that. "
        "They share its memory and start at once. A reload (HUP) makes a new one, so it brings new code as "
        "usual.",
    )

    # ------------------------------------------------------------------------------ server socket
    bind: tuple[str, ...] = setting(
        ("127.0.0.1:8000",),
        flags=("-b", "--bind"),
        parse=addresses(),
        env=Shared("PORT", lambda port: f"0.0.0.0:{port}"),
        section=SOCKET,
        doc="Where to listen: HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME (abstract) or fd://N; /PATH is "
        "unix:/PATH, and fd://NAME is a socket of systemd's. Repeatable, or with commas between them. If "
        "only $PORT is set, it means 0.0.0.0:$PORT. With https:// in front it is for TLS, with http:// it "
        "is not. With neither, TCP is for TLS if there is a certificate, and Unix sockets are not. With "
        "uwsgi:// (suwsgi:// with TLS) it is for nginx's `uwsgi_pass`: see [The uwsgi protocol](uwsgi.md).",
    )
    protocol: str = setting(
        "http",
        flags=("--protocol",),
        parse=one_of("http", "uwsgi"),
        section=SOCKET,
        doc="What is spoken at those addresses of `bind` that do not say it themselves (http://, https://, "
        "uwsgi://, suwsgi://). See [The uwsgi protocol](uwsgi.md).",
    )
    backlog: int = setting(
        2048,
        flags=("--backlog",),
        parse=whole_number(1, example=1024),
        section=SOCKET,
        doc="How many connections may wait to be accepted. The kernel limits this to net.core.somaxconn.",
    )
    reuse_port: bool = setting(
        False,
        flags=("--reuse-port",),
        parse=switch(),
        section=SOCKET,
        doc="Listen with SO_REUSEPORT: each worker has a queue of its own at each TCP address, the kernel "
        "spreads new connections over them, and another server can bind the same port. What waits for a "
        "worker that is busy, or has gone, another one takes, some 20 ms later. There are as many queues as "
        "workers at the start. Sockets that were passed to the server, and Unix sockets, have one for all.",
    )

    # ---------------------------------------------------------------------------------------- TLS
    certfile: str | None = setting(
        None,
        flags=("--certfile",),
        parse=optional(text(metavar="FILE", example="/etc/letsencrypt/live/example.org/fullchain.pem")),
        section=TLS,
        doc="The server's certificate, with those that sign it behind it, in PEM. It turns TLS on for all "
        "TCP sockets (see `bind`). When the file changes, the new certificate is used within seconds, "
        "without a reload.",
    )
    keyfile: str | None = setting(
        None,
        flags=("--keyfile",),
        parse=optional(text(metavar="FILE", example="/etc/letsencrypt/live/example.org/privkey.pem")),
        section=TLS,
        doc="The private key of the certificate, in PEM. If not set, it is in `certfile`. It is read before "
        "`user` takes effect, so only root needs to be able to read it.",
    )
    keyfile_password: str | None = setting(
        None,
        parse=optional(secret()),
        section=TLS,
        doc="The password of encrypted private keys. There is no option for it, because everybody can see "
        "the command line. The environment variable is not passed on to the application.",
    )
    keyfile_password_file: str | None = setting(
        None,
        flags=("--keyfile-password-file",),
        parse=optional(text(metavar="FILE", example="/run/secrets/key-password")),
        section=TLS,
        doc="A file whose first line is the password of encrypted private keys.",
    )
    certificates: tuple[str, ...] = setting(
        (),
        flags=("--certificates",),
        parse=paths("files and directories", example="/etc/letsencrypt/live", metavar="PATHS"),
        section=TLS,
        doc="More certificates, for clients that ask for their names (SNI): files with a certificate and its "
        "key, or directories of them. The key may also be beside it: site.pem and site.key, fullchain.pem "
        "and privkey.pem. `certfile` is for everybody else; if it is not set, the first of these is.",
    )
    tls_minimum_version: str = setting(
        "1.2",
        flags=("--tls-minimum-version",),
        parse=tls_version(),
        section=TLS,
        doc="The lowest version of TLS that clients may use.",
    )
    ciphers: str | None = setting(
        None,
        flags=("--ciphers",),
        parse=optional(text(metavar="LIST", example="ECDHE+AESGCM:ECDHE+CHACHA20")),
        section=TLS,
        doc="The ciphers for TLS 1.2, as an OpenSSL cipher list. If not set, those with ECDHE and "
        "authenticated encryption, `ECDHE+AESGCM:ECDHE+CHACHA20`, and none with CBC. Those of TLS 1.3 cannot "
        "be chosen; all of them are safe.",
    )
    kernel_tls: str = setting(
        "off",
        flags=("--kernel-tls",),
        parse=one_of("auto", "on", "off"),
        section=TLS,
        doc="Whether the kernel encrypts what is sent over TLS, so that files (`wsgi.file_wrapper`, "
        "`http.response.pathsend`) are not copied. `auto`: if its module `tls` is loaded, and OpenSSL can "
        "use it. `on`: it must; as root, the module is loaded. A connection whose cipher the kernel does not "
        "know is served without it.",
    )
    ca_certs: str | None = setting(
        None,
        flags=("--ca-certs",),
        parse=optional(text(metavar="FILE", example="/etc/tricorn/clients-ca.pem")),
        section=TLS,
        doc="The certificates of those who may sign client certificates, in PEM.",
    )
    cert_reqs: int = setting(
        0,
        flags=("--cert-reqs",),
        parse=verify_mode(),
        section=TLS,
        doc="Whether clients must show a certificate: `none` (0) does not ask for one, `optional` (1) does, "
        "and `required` (2) refuses clients without one. A certificate that `ca_certs` has not signed is "
        "always refused.",
    )
    crlfile: str | None = setting(
        None,
        flags=("--crlfile",),
        parse=optional(text(metavar="FILE", example="/etc/tricorn/revoked.pem")),
        section=TLS,
        doc="Lists of revoked client certificates, in PEM: a current one of each authority that has signed "
        "any. The file is read again when it changes.",
    )
    ssl_context: Callable[..., Any] | str | None = setting(
        None,
        flags=("--ssl-context",),
        parse=optional(function()),
        section=TLS,
        doc="A function that makes or changes the `ssl.SSLContext`, as in Gunicorn. It is called with the "
        "settings and a function that returns the context that Tricorn would use. With several "
        "certificates it is called for each, and again when one is renewed.",
    )

    # ------------------------------------------------------------------------------------- HTTP/2

    http_protocols: tuple[str, ...] = setting(
        ("h2", "h1"),
        flags=("--http-protocols",),
        parse=words_of("h2", "h1"),
        section=HTTP2,
        doc="The versions of HTTP that clients may speak, best first: `h2,h1`, `h1,h2` or `h1`. HTTP/1.1 is "
        "always there for clients that speak nothing else. With TLS this is what is offered (ALPN); without "
        "TLS see `http2_cleartext`. HTTP/2 needs a build with nghttp2, which `tricorn --version` tells; "
        "without it the default is `h1`.",
    )
    http2_cleartext: str = setting(
        "prior-knowledge",
        flags=("--http2-cleartext",),
        parse=cleartext(),
        section=HTTP2,
        doc="With `h2` in `http_protocols`, who may speak HTTP/2 without TLS, by beginning with it: with "
        "`prior-knowledge` this machine (loopback addresses, Unix sockets) and trusted peers "
        "(`forwarded_allow_ips`), with `anyone` all. On the same port HTTP/1.1 is spoken to those who begin "
        "with that.",
    )
    http2_max_concurrent_streams: int = setting(
        100,
        flags=("--http2-max-concurrent-streams",),
        parse=whole_number(1, 1 << 30, example=250),
        section=HTTP2,
        doc="How many requests a client may have under way on one connection. What it has given up counts "
        "until the application is done with it.",
    )
    http2_initial_window_size: int = setting(
        65535,
        flags=("--http2-initial-window-size",),
        parse=size(1, (1 << 31) - 1, example="256k"),
        section=HTTP2,
        doc="How much of a request's body a client may send before the application has taken any of it.",
    )
    http2_max_frame_size: int = setting(
        16384,
        flags=("--http2-max-frame-size",),
        parse=size(16384, (1 << 24) - 1, example="64k"),
        section=HTTP2,
        doc="The largest frame that a client may send.",
    )
    http2_max_header_list_size: int = setting(
        65536,
        flags=("--http2-max-header-list-size",),
        parse=size(example="32k"),
        section=HTTP2,
        doc="Largest size of a request's fields over HTTP/2, with 32 bytes for each (RFC 9113 §6.5.2). 0 "
        "leaves it to the limits of HTTP/1, which hold too.",
    )

    # ------------------------------------------------------------------------------------ workers
    workers: int = setting(
        1,
        flags=("-w", "--workers"),
        parse=worker_count(4096),
        env=Shared("WEB_CONCURRENCY"),
        section=WORKERS,
        doc="The number of worker processes. One or two per core is a good start. `auto` is one for each "
        "processor that the container, or the affinity of the process, lets it use; a reload counts anew.",
    )
    worker_class: str = setting(
        kinds.AUTO,
        flags=("-k", "--worker-class"),
        parse=one_of(
            *kinds.words(),
            absent=kinds.absent(),
            aliases=kinds.other_names(),
            is_foreign=kinds.is_class_name,
        ),
        section=WORKERS,
        doc=f"The kind of worker. {kinds.description()} Or a class of your own: `module.Class`.",
    )
    threads: int = setting(
        1,
        flags=("--threads",),
        parse=whole_number(1, 4096),
        section=WORKERS,
        fills=(Core.TERMS, "threads"),
        in_routes=True,
        doc="How many requests a worker runs at once. A thread is used only while the application runs: "
        "slow clients hold none. An ASGI worker has one event loop instead, and runs all requests at "
        "once. In a route: so many more threads, for its requests alone, which run on no others.",
    )
    workers_max: int = setting(
        0,
        flags=("--workers-max",),
        parse=whole_number(example=8),
        section=WORKERS,
        doc="The most workers that there may be. If this is more than `workers_min`, how many there are "
        "follows the load, beginning with `workers`. 0 means that there are always as many as `workers` "
        "says.",
    )
    workers_min: int = setting(
        0,
        flags=("--workers-min",),
        parse=whole_number(example=2),
        section=WORKERS,
        doc="The fewest workers that there may be, if `workers_max` is set. 0 means as many as `workers`.",
    )
    worker_connections: int = setting(
        1000,
        flags=("--worker-connections",),
        parse=whole_number(1, example=10000),
        section=WORKERS,
        fills=(Core.TERMS, "max_connections"),
        doc="How many connections a worker holds at once. At the limit, idle keep-alive connections are "
        "closed first; then no more are accepted.",
    )
    max_queue: int = setting(
        0,
        flags=("--max-queue",),
        parse=whole_number(example=100),
        section=WORKERS,
        fills=(Core.TERMS, "max_queue"),
        in_routes=True,
        doc="How many complete requests may wait in a worker, for a thread or for `max_concurrency`. Further "
        "ones are answered with 503 and `Retry-After`, at once. 0 means no limit. A route with `threads` or "
        "`max_concurrency` has a queue of its own, and may have its own limit of it.",
    )
    max_queue_time: float = setting(
        0.0,
        flags=("--max-queue-time",),
        parse=seconds(example="2.5"),
        section=WORKERS,
        fills=(Core.TERMS, "max_queue_time"),
        in_routes=True,
        doc="How long a complete request may wait, as with `max_queue`, in seconds. Then it is answered with "
        "503 and `Retry-After`, and the application does not see it. 0 means no limit.",
    )
    max_concurrency: int = setting(
        0,
        flags=("--max-concurrency", "--limit-concurrency"),
        parse=whole_number(example=50),
        section=WORKERS,
        fills=(Core.TERMS, "max_concurrency"),
        in_routes=True,
        doc="How many requests an ASGI worker runs at once: tasks that have not ended, WebSockets not "
        "counted. Further requests wait their turn. 0 means no limit. In a route: so many of its requests, "
        "counted and queued apart from all others. On green threads the lower one of this and "
        "`green_requests` counts.",
    )
    green_requests: int = setting(
        1000,
        flags=("--green-requests",),
        parse=whole_number(example=200),
        section=WORKERS,
        fills=(Core.TERMS, "green_requests"),
        doc="How many requests a worker with green threads "
        f"({kinds.running_on(Runner.GREEN)}) runs at once, each in a greenlet of its own. Further requests "
        "wait their turn. Connections without a request take no greenlet, and are bounded by "
        "`worker_connections`. 0 means no limit.",
    )
    timeout: float = setting(
        30.0,
        flags=("-t", "--timeout"),
        parse=seconds(example="60"),
        section=WORKERS,
        doc="A worker that shows no sign of life for this long is aborted and replaced. The log says what is "
        "known of the reason, and shows the stacks of its threads. 0 means no limit.",
    )
    abort_core: bool = setting(
        False,
        flags=("--abort-core",),
        parse=switch(),
        section=WORKERS,
        doc="Let a worker that is aborted (`timeout`, `boot_timeout`) leave a core file, for a debugger, and "
        "wait up to 60 s for it. Where it is written, the kernel's core_pattern says.",
    )
    boot_timeout: float | None = setting(
        None,
        flags=("--boot-timeout",),
        parse=optional(seconds(example="120")),
        section=WORKERS,
        doc="How long a worker may take to become ready: to import the application, and for its start-up. "
        "Then it is aborted, and the log shows where its threads were. If it is not set: 60 s, or more "
        "where `timeout` or `asgi_lifespan_startup_timeout` is longer; no limit with `timeout = 0`. "
        "0 means no limit.",
    )
    max_boot_failures: int = setting(
        1,
        flags=("--max-boot-failures",),
        parse=whole_number(example=10),
        section=WORKERS,
        doc="How often in a row a start may fail before Tricorn exits with code 3. All workers that are "
        "started together are one try; after that one worker tries alone, with growing pauses (0.1 s to "
        "5 s), until one is ready. 0 means that it is tried for ever. A reload is tried once: the old "
        "workers go on.",
    )
    request_timeout: float | None = setting(
        None,
        flags=("--request-timeout",),
        parse=optional(seconds(example="10")),
        section=WORKERS,
        fills=(Core.TERMS, "request_timeout"),
        in_routes=True,
        doc="How long the application may work on a request without sending anything to the client. If it "
        "is not set: the value of `timeout` where a request holds a thread "
        f"({kinds.running_on(Runner.THREADS)}); no limit where it only holds a task "
        f"({kinds.running_on(Runner.LOOP)}) or a green thread ({kinds.running_on(Runner.GREEN)}), because "
        "event streams and long polls may be silent for long. 0 means no limit.",
    )
    slow_request_time: float = setting(
        0.0,
        flags=("--slow-request-time",),
        parse=seconds(example="2"),
        section=WORKERS,
        fills=(Core.TERMS, "slow_request_time"),
        in_routes=True,
        doc="If the application works on a request for this long without sending anything to the client, log "
        "it once, with the stack of its thread or task; nothing is ended. The last 200 requests that took so "
        "long to be sent, to wait, in the application, or to be read, are kept for `tricorn ctl slow` and "
        "the dashboard. 0 means never.",
    )
    routes: Mapping[str, Mapping[str, Any]] = setting(
        MappingProxyType({}),
        flags=("--route",),
        parse=routes_of(lambda: SETTINGS),
        section=WORKERS,
        fills=(Core.TERMS, "routes"),
        doc="Settings that requests below a path prefix have of their own: a table of tables in a file, "
        "elsewhere `/prefix/ NAME=VALUE …`. Repeatable; in TRICORN_ROUTES several are separated by commas. "
        "The longest prefix that ends at a `/` of the path wins; what it does not set is as everywhere.",
    )
    graceful_timeout: float = setting(
        30.0,
        flags=("--graceful-timeout",),
        parse=seconds(example="60"),
        section=WORKERS,
        doc="How long a worker that has to stop may take to finish its requests. Then it is killed. When the "
        "whole server stops, this time begins after `drain_delay`. 0 means no limit.",
    )
    drain_delay: float = setting(
        0.0,
        flags=("--drain-delay",),
        parse=seconds(example="10"),
        section=WORKERS,
        doc="When the server is told to stop (TERM), accept connections and serve requests for this much "
        "longer, so that load balancers have the time to learn of it. From the first moment `ready_path` "
        "answers 503 and each response closes its connection. Another TERM ends the delay, INT the whole "
        "wait. A worker that is replaced has no delay.",
    )
    stream_timeout: float | None = setting(
        None,
        flags=("--stream-timeout",),
        parse=optional(seconds(example="10")),
        section=WORKERS,
        doc="How long a response that has begun, and that the application goes on producing, may hold up a "
        "worker that has to stop. Then the application is told that the client has gone, and the client "
        "sees that the response is incomplete. A response that waits for its client to read is not meant. "
        "If it is not set: 5 s for event streams (`text/event-stream`), whose clients connect again by "
        "themselves; no limit but `graceful_timeout` for all others. 0 means no other limit either.",
    )
    warmup: tuple[str, ...] = setting(
        (),
        flags=("--warmup",),
        parse=targets(),
        section=WORKERS,
        doc="Pages that a new worker answers itself before it is ready, so that no client waits for what the "
        "first request does: /path, or a whole URL where the host matters to the application (else it is "
        "localhost; https:// comes as from a proxy that says so). Repeatable. If one is answered with 500 or "
        "more, the worker could not start. `boot_timeout` counts this time too; the access log does not "
        "show it.",
    )
    max_requests: int = setting(
        0,
        flags=("--max-requests",),
        parse=whole_number(example=10000),
        section=WORKERS,
        fills=(Core.TERMS, "max_requests"),
        doc="Replace a worker after this many requests. It goes on serving until its successor is ready. 0 "
        "means never.",
    )
    max_requests_jitter: int = setting(
        0,
        flags=("--max-requests-jitter",),
        parse=whole_number(example=1000),
        section=WORKERS,
        doc="Add a random number of requests, up to this one, to `max_requests`, so that workers are not "
        "replaced all at once.",
    )
    max_lifetime: float = setting(
        0.0,
        flags=("--max-lifetime",),
        parse=seconds(example="86400"),
        section=WORKERS,
        doc="Replace a worker that has been ready for this long. 0 means never.",
    )
    max_lifetime_jitter: float = setting(
        0.0,
        flags=("--max-lifetime-jitter",),
        parse=seconds(example="3600"),
        section=WORKERS,
        doc="Add a random time, up to this one, to `max_lifetime`, so that workers are not replaced all at "
        "once.",
    )
    reload_on_exception: tuple[str, ...] = setting(
        (),
        flags=("--reload-on-exception",),
        parse=class_names(),
        section=WORKERS,
        doc="Replace a worker in which the application raises one of these exceptions, or of a class derived "
        "from one. It goes on serving until its successor is ready. What Django, Flask and Quart answer "
        "themselves counts too; other frameworks have to let the exception out.",
    )
    max_memory: int = setting(
        0,
        flags=("--max-memory",),
        parse=size(example="512m"),
        section=WORKERS,
        doc="Replace a worker that has more memory than this, as `memory_measure` counts it. It goes on "
        "serving until its successor is ready. 0 means no limit.",
    )
    max_memory_hard: int = setting(
        0,
        flags=("--max-memory-hard",),
        parse=size(example="1g"),
        section=WORKERS,
        doc="Kill a worker that has more memory than this, with the requests that it is serving, before the "
        "machine has none left. 0 means no limit.",
    )
    memory_measure: str = setting(
        "pss",
        flags=("--memory-measure",),
        parse=one_of("pss", "rss"),
        section=WORKERS,
        doc="What `max_memory` and `max_memory_hard` count. `pss`: what the worker has for itself, and its "
        "share of what it shares with others, such as a preloaded application. `rss`: all pages that it "
        "has, as `ps` and `top` show it; quicker to find out for a process of many gigabytes.",
    )
    reload_max_surge: int = setting(
        1,
        flags=("--reload-max-surge",),
        parse=whole_number(example=2),
        section=WORKERS,
        doc="While workers are replaced, for a reload or for any other reason, how many more than `workers` "
        "there may be. The first worker of a reload comes beside all others, whatever this says: new code "
        "has to prove itself before anything old goes.",
    )
    reload_max_unavailable: int = setting(
        0,
        flags=("--reload-max-unavailable",),
        parse=whole_number(example=1),
        section=WORKERS,
        doc="While workers are replaced, how many of `workers` may be missing. Where there is no memory for "
        "one more, set this to 1 and `reload_max_surge` to 0.",
    )

    refork_after: tuple[int, ...] = setting(
        (),
        flags=("--refork-after",),
        parse=whole_numbers(example="500,2000"),
        section=WORKERS,
        doc="With `preload_app`: when a worker has served so many requests, it becomes the mold, and all "
        "others are forked anew from it, so that they share what it has made while it served. A further "
        "number is for a further time. For WSGI applications without threads of their own.",
    )

    # ------------------------------------------------------------------------------ health checks
    health_path: str | None = setting(
        None,
        flags=("--health-path",),
        parse=optional(path_of_probe("/healthz")),
        section=PROBES,
        fills=(Core.TERMS, "health_path"),
        doc="Answer GET and HEAD for this path with 200 and a line of text, without the application and "
        "without a thread: the worker lives. Such requests are neither logged nor counted.",
    )
    ready_path: str | None = setting(
        None,
        flags=("--ready-path",),
        parse=optional(path_of_probe("/readyz")),
        section=PROBES,
        fills=(Core.TERMS, "ready_path"),
        doc="The same, with 200 while the server serves, and 503 from the moment in which it was told to "
        "stop: load balancers should send no more requests. See `drain_delay`.",
    )

    health_bind: str | None = setting(
        None,
        flags=("--health-bind",),
        parse=optional(text(metavar="ADDRESS", example="0.0.0.0:8001")),
        section=PROBES,
        doc="Answer health checks at this address too, in a small process of their own, although all threads "
        "and event loops of the workers may be stuck: `/livez` with 200 unless all workers are, `/readyz` "
        "with 200 while as many are ready as promised and the server was not told to stop; both say more as "
        "JSON. The forms are those of `bind`, without TLS; a socket file is never for the world. A new value "
        "takes effect at the next start.",
    )

    # ------------------------------------------------------------------------------ static files
    static: Mapping[str, str] = setting(
        MappingProxyType({}),
        flags=("--static",),
        parse=directories("/assets=./build/assets"),
        section=STATIC,
        doc="Answer requests below a prefix of paths from the files of a directory, without the application, "
        "a thread or a task: PREFIX=DIRECTORY, in a file also a table; directories are looked for from "
        "`chdir`. The longest prefix wins. Repeatable. See [Static files](static.md).",
    )
    static_fallthrough: bool = setting(
        False,
        flags=("--static-fallthrough",),
        parse=switch(),
        section=STATIC,
        doc="Have the application answer what is below a prefix of `static`, but no file, and methods other "
        "than GET and HEAD. If off, these are answered with 404 and 405.",
    )
    static_index: str = setting(
        "index.html",
        flags=("--static-index",),
        parse=file_name(example="index.html"),
        section=STATIC,
        doc="The file that is sent for a directory of `static`. A request for one that has it is sent on to "
        "the path with `/`. Empty: there is none.",
    )
    static_cache_control: tuple[str, ...] = setting(
        (),
        flags=("--static-cache-control",),
        parse=cache_rules("/assets/*.woff2=public, max-age=604800"),
        section=STATIC,
        doc="What `Cache-Control` says of a file of `static`: PATTERN=VALUE, where `*` in the pattern stands "
        "for any part of the path. The first one that fits counts; an empty value leaves the field out. "
        "Where none fits, names with a hash of their content (`app.55e7cbb9ba48.css`) may be kept for a "
        "year, and of all others clients have to ask each time whether they have changed (`no-cache`). "
        "Repeatable; in TRICORN_STATIC_CACHE_CONTROL several are separated by `;`.",
    )
    static_types: Mapping[str, str] = setting(
        MappingProxyType({}),
        flags=("--static-type",),
        parse=media_types(),
        section=STATIC,
        doc="Media types by the end of the name of a file, where Tricorn's own table does not know one or "
        "has another: END=TYPE, in a file also a table. Repeatable.",
    )
    static_dotfiles: bool = setting(
        False,
        flags=("--static-dotfiles",),
        parse=switch(),
        section=STATIC,
        doc="Answer for files of `static` whose name, or a directory of which, begins with a dot. What "
        "stands in a prefix may have one in any case: `/.well-known=./well-known`.",
    )

    x_sendfile: Mapping[str, str] = setting(
        MappingProxyType({}),
        flags=("--x-sendfile",),
        parse=directories("/protected=/srv/protected"),
        section=STATIC,
        doc="Directories of which the application may name a file, to be sent in the place of its own body: "
        "with `X-Accel-Redirect`, by a path below the prefix, or with `X-Sendfile`, by its path in the file "
        "system. PREFIX=DIRECTORY, in a file also a table. No client reaches them by itself. Without it the "
        "two fields mean nothing, and are passed on. Repeatable.",
    )

    # ------------------------------------------------------------------------- client time limits
    keepalive: float = setting(
        5.0,
        flags=("--keep-alive",),
        parse=seconds(example="75"),
        section=CLIENT,
        fills=(Core.TERMS, "keepalive"),
        doc="How long a connection may be idle between requests. With 0, it is closed after each response.",
    )
    header_timeout: float = setting(
        10.0,
        flags=("--header-timeout",),
        parse=seconds(example="5"),
        section=CLIENT,
        fills=(Core.TERMS, "header_timeout"),
        doc="How long a client may take to send a request head. A client that has sent a part of it gets a "
        "408; one that has sent nothing is disconnected.",
    )
    body_timeout: float = setting(
        30.0,
        flags=("--body-timeout",),
        parse=seconds(example="60"),
        section=CLIENT,
        fills=(Core.TERMS, "body_timeout"),
        doc="How long a client may pause while it sends a request body. Then it gets a 408.",
    )
    min_body_rate: int = setting(
        240,
        flags=("--min-body-rate",),
        parse=size(example="1k"),
        section=CLIENT,
        fills=(Core.TERMS, "min_body_rate"),
        doc="The lowest rate at which a client may send a request body, in bytes per second on average. A "
        "slower client gets a 408. 0 means no limit.",
    )
    write_timeout: float = setting(
        30.0,
        flags=("--write-timeout",),
        parse=seconds(example="60"),
        section=CLIENT,
        fills=(Core.TERMS, "write_timeout"),
        doc="How long a client may go without reading anything of its response. Then the connection is "
        "reset.",
    )

    # ------------------------------------------------------------------------------------- limits
    limit_request_line: int = setting(
        8190,
        flags=("--limit-request-line",),
        parse=size(example="4094"),
        section=LIMITS,
        fills=(Core.LIMITS, "request_line"),
        doc="The maximum length of a request line, in bytes. A longer one gets a 414. With 0, only "
        "`limit_request_head` applies.",
    )
    limit_request_fields: int = setting(
        100,
        flags=("--limit-request-fields",),
        parse=whole_number(0, 32768, example=200),
        section=LIMITS,
        fills=(Core.LIMITS, "fields"),
        doc="The maximum number of header fields in a request. With more, it gets a 431. With 0, only "
        "`limit_request_head` applies.",
    )
    limit_request_field_size: int = setting(
        8190,
        flags=("--limit-request-field_size", "--limit-request-field-size"),
        parse=size(example="16k"),
        section=LIMITS,
        fills=(Core.LIMITS, "field_size"),
        doc="The maximum length of one header field, in bytes. A longer one gets a 431. With 0, only "
        "`limit_request_head` applies.",
    )
    limit_request_head: int = setting(
        65536,
        flags=("--limit-request-head",),
        parse=size(1024, 1 << 30, example="128k"),
        section=LIMITS,
        fills=(Core.LIMITS, "head"),
        doc="The maximum length of a whole request head, in bytes. A longer one gets a 431. This limit "
        "cannot be turned off, because it bounds the memory that a client can use. If it is not set, there "
        "is room for twice what `limit_request_line` and `limit_request_field_size` allow.",
    )
    limit_request_body: int = setting(
        0,
        flags=("--limit-request-body",),
        parse=size(example="10m"),
        section=LIMITS,
        fills=(Core.LIMITS, "body"),
        doc="The maximum length of a request body, in bytes. A longer one gets a 413. 0 means no limit.",
    )
    limit_body_drain: int = setting(
        65536,
        flags=("--limit-body-drain",),
        parse=size(example="1m"),
        section=LIMITS,
        fills=(Core.TERMS, "body_discard"),
        doc="If the application has not read the whole request body, up to this many bytes are read and "
        "dropped to keep the connection. If more is left, the connection is closed.",
    )
    request_buffering: bool = setting(
        True,
        flags=("--request-buffering",),
        parse=switch(),
        section=LIMITS,
        fills=(Core.TERMS, "buffering"),
        doc="Read the whole request body before the application is called, so that a slow upload holds no "
        "thread. If off, the application reads from the connection. For WSGI only.",
    )
    request_buffer_size: int = setting(
        65536,
        flags=("--request-buffer-size",),
        parse=size(example="1m"),
        section=LIMITS,
        fills=(Core.TERMS, "request_buffer"),
        doc="A request body up to this size is always kept in memory. A longer one takes its memory from "
        "`request_buffer_memory`. For ASGI: how far the server reads ahead of the application.",
    )
    request_buffer_memory: int = setting(
        67108864,
        flags=("--request-buffer-memory",),
        parse=size(example="256m"),
        section=LIMITS,
        fills=(Core.TERMS, "request_memory"),
        doc="How much memory the request bodies of a worker that are longer than `request_buffer_size` may "
        "take together. A body that does not fit goes to a temporary file; with 0, all of them do.",
    )
    response_buffer_size: int = setting(
        262144,
        flags=("--response-buffer-size",),
        parse=size(1, example="1m"),
        section=LIMITS,
        fills=(Core.TERMS, "response_buffer"),
        doc="How many bytes of a response may wait for a slow client. Beyond that, the application's "
        "iterator is paused; in ASGI, `send()` waits.",
    )

    # --------------------------------------------------------------------------------------- ASGI
    asgi_loop: str = setting(
        "auto",
        flags=("--asgi-loop",),
        parse=loop_name(),
        section=ASGI,
        doc="The event loop: `uvloop`, `asyncio`, or `auto`, which is uvloop if it is installed. Or a "
        "function that returns a new loop, as module:function or module.function.",
    )
    asgi_lifespan: str = setting(
        "auto",
        flags=("--asgi-lifespan",),
        parse=one_of("auto", "on", "off"),
        section=ASGI,
        doc="The lifespan protocol, which tells the application of start-up and shutdown. `on`: the "
        "application must support it; `off`: it is not used; `auto`: the application need not support "
        "it, but if its start-up fails, the worker does not start.",
    )
    asgi_lifespan_startup_timeout: float = setting(
        45.0,
        flags=("--asgi-lifespan-startup-timeout",),
        parse=seconds(example="20"),
        section=ASGI,
        doc="How long the application's start-up may take. If it takes longer, the worker does not start. "
        "0 means no limit. The whole start of a worker, imports included, has `boot_timeout`.",
    )
    asgi_lifespan_shutdown_timeout: float = setting(
        30.0,
        flags=("--asgi-lifespan-shutdown-timeout",),
        parse=seconds(example="10"),
        section=ASGI,
        doc="How long the application's shutdown may take, once the requests are done or "
        "`graceful_timeout` is over. Then it is cancelled. 0 means no limit.",
    )
    asgi_disconnect_grace_period: float = setting(
        3.0,
        flags=("--asgi-disconnect-grace-period",),
        parse=seconds(example="10"),
        section=ASGI,
        fills=(Core.TERMS, "disconnect_grace"),
        doc="How long the application may go on after its client has gone, of which it is told at once by "
        "`http.disconnect`. Then its task is cancelled. With 0, it is cancelled at once.",
    )
    asgi_extensions: tuple[str, ...] = setting(
        (
            "http.response.early_hint",
            "http.response.trailers",
            "tricorn.drain",
            "tricorn.uwsgi",
            "websocket.http.response",
        ),
        flags=("--asgi-extensions",),
        parse=words_of(*EXTENSIONS),
        section=ASGI,
        doc="The extensions offered in `extensions` of the scope, if the client supports them. "
        "`http.response.pathsend` and `http.response.zerocopysend` let the kernel send files. But "
        "frameworks use them wherever they are offered, and middleware that only knows "
        "`http.response.body` then loses the response: add them if your middleware passes them on.",
    )
    root_path: str = setting(
        "",
        flags=("--root-path",),
        parse=mount_point(),
        section=ASGI,
        doc="The path prefix that a proxy strips before it passes a request to an ASGI application. It "
        "becomes `root_path` of the scope, and the beginning of `path`. For WSGI applications, set the "
        "environment variable SCRIPT_NAME instead.",
    )

    # ---------------------------------------------------------------------------------- WebSocket
    websocket_max_message_size: int = setting(
        16 * 1024 * 1024,
        flags=("--websocket-max-message-size",),
        parse=size(example="1m"),
        section=WEBSOCKET,
        fills=(Core.TERMS, "websocket_max_message"),
        doc="The maximum length of a message, in bytes after decompression. A longer one closes the "
        "connection with 1009. 0 means no limit.",
    )
    websocket_max_queue: int = setting(
        32,
        flags=("--websocket-max-queue",),
        parse=whole_number(1, example=8),
        section=WEBSOCKET,
        fills=(Core.TERMS, "websocket_max_queue"),
        doc="How many messages may wait for the application before the server stops reading from the "
        "client; fewer if they are large.",
    )
    websocket_ping_interval: float = setting(
        20.0,
        flags=("--websocket-ping-interval",),
        parse=seconds(example="45"),
        section=WEBSOCKET,
        fills=(Core.TERMS, "websocket_ping_interval"),
        doc="How long a client may be silent before it is sent a ping. With 0, no pings are sent.",
    )
    websocket_ping_timeout: float = setting(
        20.0,
        flags=("--websocket-ping-timeout",),
        parse=seconds(example="10"),
        section=WEBSOCKET,
        fills=(Core.TERMS, "websocket_ping_timeout"),
        doc="How long a client may take to answer a ping. Then the connection is closed, and the "
        "application gets the code 1006. 0 means no limit.",
    )
    websocket_compression: bool = setting(
        True,
        flags=("--websocket-compression",),
        parse=switch(),
        section=WEBSOCKET,
        fills=(Core.TERMS, "websocket_compression"),
        doc="Compress messages (permessage-deflate) for clients that offer it.",
    )
    websocket_close_timeout: float = setting(
        10.0,
        flags=("--websocket-close-timeout",),
        parse=seconds(example="5"),
        section=WEBSOCKET,
        fills=(Core.TERMS, "websocket_close_timeout"),
        doc="How long to wait for the client's close frame after sending ours. Then the connection is cut.",
    )

    # -------------------------------------------------------------------------------------- trust
    forwarded_allow_ips: tuple[str, ...] = setting(
        TRUSTED_BY_DEFAULT,
        flags=("--forwarded-allow-ips",),
        parse=peers(),
        env=Shared("FORWARDED_ALLOW_IPS"),
        section=TRUST,
        doc="Proxies whose X-Forwarded-*, Forwarded and SCRIPT_NAME headers are trusted: addresses, "
        "networks, `unix` (clients on Unix sockets) or `*` (everyone). Unlike in Gunicorn, clients on "
        "Unix sockets are trusted only if `unix` is listed.",
    )
    proxy_protocol: str = setting(
        "off",
        flags=("--proxy-protocol",),
        parse=proxy_versions(),
        section=TRUST,
        fills=(Core.TERMS, "proxy_mode"),
        doc="Expect the PROXY protocol at the start of each connection: off, v1, v2, or auto for both "
        "versions. The option without a value means auto. A connection without the header is refused.",
    )
    proxy_allow_ips: tuple[str, ...] = setting(
        TRUSTED_BY_DEFAULT,
        flags=("--proxy-allow-from",),
        parse=peers(),
        section=TRUST,
        doc="Proxies that may use the PROXY protocol, in the same form as `forwarded_allow_ips`.",
    )
    uwsgi_allow_ips: tuple[str, ...] = setting(
        TRUSTED_BY_DEFAULT,
        flags=("--uwsgi-allow-from",),
        parse=peers(),
        section=TRUST,
        doc="Who may connect where the uwsgi protocol is spoken, in the same form as `forwarded_allow_ips`: "
        "each request says there who its client is. Others are refused.",
    )
    header_map: str = setting(
        "drop",
        flags=("--header-map",),
        parse=one_of("drop", "refuse", "dangerous"),
        section=TRUST,
        doc="What to do with headers whose name has an underscore, because in the environ they look like "
        "others: drop them, refuse the request (400), or keep them (dangerous).",
    )
    forwarder_headers: tuple[str, ...] = setting(
        ("SCRIPT_NAME", "PATH_INFO"),
        flags=("--forwarder-headers",),
        parse=field_names(),
        section=TRUST,
        doc="Header names with an underscore that are kept if a proxy in `forwarded_allow_ips` sends them.",
    )
    secure_scheme_headers: Mapping[str, str] = setting(
        SCHEME_HEADERS,
        flags=("--secure-scheme-headers",),
        parse=field_values(),
        section=TRUST,
        doc="Headers, and the value of each, by which a proxy in `forwarded_allow_ips` says that the "
        "client used https. If two of them contradict each other, the request gets a 400.",
    )
    server_header: str = setting(
        "tricorn",
        flags=("--server-header",),
        parse=text(blank=True, example="web"),
        section=TRUST,
        fills=(Core.TERMS, "server_header"),
        doc="The Server header of responses. If empty, none is sent.",
    )
    server_timing: bool = setting(
        False,
        flags=("--server-timing",),
        parse=switch(),
        section=TRUST,
        fills=(Core.TERMS, "server_timing"),
        doc="Send a `Server-Timing` header with each response of the application, for the developer tools of "
        "browsers: how long the request waited for a thread or task (`wait`), was in the application "
        "(`app`), and, where a trusted proxy sends `X-Request-Start`, was under way before (`queue`). What "
        "the application sends under that name stays. Whoever can ask can see it.",
    )

    # ------------------------------------------------------------------------------------ logging
    accesslog: str | None = setting(
        None,
        flags=("--access-logfile",),
        parse=optional(text(metavar="FILE", example="-")),
        section=LOGGING,
        doc="The file for the access log. `-` means standard output. If not set, there is no access log.",
    )
    access_log_format: str = setting(
        '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        flags=("--access-logformat",),
        parse=text(metavar="FORMAT", example="json"),
        section=LOGGING,
        doc="The format of the access log, in Gunicorn's atoms, or a word: `json` for one JSON object per "
        "line, `dev` for short lines, in colour on a terminal.",
    )
    disable_redirect_access_to_syslog: bool = setting(
        False,
        flags=("--disable-redirect-access-to-syslog",),
        parse=switch(),
        section=LOGGING,
        doc="With `syslog`, do not send the access log there.",
    )
    errorlog: str = setting(
        "-",
        flags=("--error-logfile", "--log-file"),
        parse=log_file(example="/var/log/tricorn/error.log"),
        section=LOGGING,
        doc="The file for the error log. `-`, or nothing, means standard error.",
    )
    error_log_json: bool = setting(
        False,
        flags=("--error-log-json",),
        parse=switch(),
        section=LOGGING,
        doc="Write the error log as one JSON object per record.",
    )
    info_to_stdout: bool = setting(
        False,
        flags=("--info-to-stdout",),
        parse=switch(),
        section=LOGGING,
        doc="Where the error log goes to standard error, write what is below `warning` to standard output "
        "instead: for platforms that take every line on standard error for an error.",
    )
    loglevel: str = setting(
        "info",
        flags=("--log-level",),
        parse=log_level(),
        section=LOGGING,
        doc="The lowest level of messages that go to the error log.",
    )
    capture_output: bool = setting(
        False,
        flags=("--capture-output",),
        parse=switch(),
        section=LOGGING,
        doc="Let what the application writes to standard output and standard error go to the file of "
        "`errorlog`. It has no effect if that is `-`.",
    )
    logger_class: type | str | None = setting(
        None,
        flags=("--logger-class",),
        parse=logger_class(),
        section=LOGGING,
        doc="A class that logs in place of Tricorn's own, as in Gunicorn: `setup`, `access`, `atoms`, `now` "
        "and the methods named like levels may be overridden. Derive it from `tricorn.log.logger.Logger`.",
    )
    logconfig: str | None = setting(
        None,
        flags=("--log-config",),
        parse=optional(text(metavar="FILE", example="/etc/tricorn/logging.ini")),
        section=LOGGING,
        doc="A file for `logging.config.fileConfig`, in which the loggers `tricorn.error` and "
        "`tricorn.access` are the two logs. `gunicorn.error` and `gunicorn.access` mean the same.",
    )
    logconfig_json: str | None = setting(
        None,
        flags=("--log-config-json",),
        parse=optional(text(metavar="FILE", example="/etc/tricorn/logging.json")),
        section=LOGGING,
        doc="A JSON file for `logging.config.dictConfig`. It goes before `logconfig`.",
    )
    logconfig_dict: Mapping[str, Any] = setting(
        MappingProxyType({}),
        parse=table(),
        section=LOGGING,
        doc="A dict for `logging.config.dictConfig`. It goes before `logconfig_json`. What it does not name "
        "at its top level is as in Gunicorn's defaults. There is no option for it.",
    )
    syslog: bool = setting(
        False,
        flags=("--log-syslog",),
        parse=switch(),
        section=LOGGING,
        doc="Send both logs to syslog as well.",
    )
    syslog_addr: str = setting(
        "udp://localhost:514",
        flags=("--log-syslog-to",),
        parse=text(metavar="ADDRESS", example="unix:///dev/log#dgram"),
        section=LOGGING,
        doc="Where syslog is: udp://HOST:PORT, tcp://HOST:PORT, unix://PATH, unix://PATH#dgram or "
        "unix://PATH#stream.",
    )
    syslog_prefix: str | None = setting(
        None,
        flags=("--log-syslog-prefix",),
        parse=optional(text(metavar="NAME", example="shop")),
        section=LOGGING,
        doc="In syslog, the program is called gunicorn.NAME.error and gunicorn.NAME.access, as filters that "
        "were written for Gunicorn expect. If not set, NAME is `proc_name`.",
    )
    syslog_facility: str = setting(
        "user",
        flags=("--log-syslog-facility",),
        parse=one_of(*FACILITIES),
        section=LOGGING,
        doc="The facility that messages to syslog have.",
    )
    request_id_header: str | None = setting(
        None,
        flags=("--request-id-header",),
        parse=optional(header_name()),
        section=LOGGING,
        fills=(Core.TERMS, "request_id_header"),
        doc="Give each request an id: the one that a proxy in `forwarded_allow_ips` sends in this header, or "
        "else one that Tricorn makes. It is in both logs, and the application finds it in "
        '`environ["tricorn.request_id"]` or `scope["extensions"]["tricorn.request_id"]["value"]`.',
    )
    request_id_response: bool = setting(
        False,
        flags=("--request-id-response",),
        parse=switch(),
        section=LOGGING,
        fills=(Core.TERMS, "request_id_response"),
        doc="Send the id in the response too, in the same header, unless the application has set that.",
    )
    statsd_host: str | None = setting(
        None,
        flags=("--statsd-host",),
        parse=optional(receiver(example="localhost:8125")),
        section=LOGGING,
        doc="Where to send metrics, in statsd's form and under Gunicorn's names: HOST:PORT or unix://PATH.",
    )
    statsd_prefix: str = setting(
        "",
        flags=("--statsd-prefix",),
        parse=text(blank=True, example="shop"),
        section=LOGGING,
        doc="What the names of all metrics begin with. A dot is added.",
    )
    dogstatsd_tags: str = setting(
        "",
        flags=("--dogstatsd-tags",),
        parse=text(blank=True, example="env:prod,service:shop"),
        section=LOGGING,
        doc="Tags for all metrics, separated by commas, in the form that DogStatsD knows.",
    )
    enable_backlog_metric: bool = setting(
        False,
        flags=("--enable-backlog-metric",),
        parse=switch(),
        section=LOGGING,
        doc="Also send once a second how many clients wait (`gunicorn.backlog`): connections that nobody has "
        "accepted yet, of TCP addresses, and requests that wait in workers for a thread or a task.",
    )

    # ------------------------------------------------------------------------------------ process
    config: str | None = setting(
        None,
        flags=("-c", "--config"),
        parse=optional(text(metavar="FILE", example="/etc/tricorn.toml")),
        section=PROCESS,
        in_files=False,
        doc="The configuration file: a path (.toml, or else Python), file:PATH or python:MODULE. If not "
        "set, the first of these that exists: ./tricorn.conf.py, ./gunicorn.conf.py, ./tricorn.toml, "
        "[tool.tricorn] in ./pyproject.toml.",
    )
    user: int | None = setting(
        None,
        flags=("-u", "--user"),
        parse=optional(user_id()),
        section=PROCESS,
        doc="The user that workers run as, by name or number. They also get its supplementary groups. If "
        "not set, they run as the user that started the master.",
    )
    group: int | None = setting(
        None,
        flags=("-g", "--group"),
        parse=optional(group_id()),
        section=PROCESS,
        doc="The group that workers run as, by name or number.",
    )
    umask: int | None = setting(
        None,
        flags=("-m", "--umask"),
        parse=optional(octal_mode()),
        section=PROCESS,
        doc="The file mode mask, in octal with a leading zero. If not set, it is not changed.",
    )
    proc_name: str | None = setting(
        None,
        flags=("-n", "--name"),
        parse=optional(text(metavar="NAME", example="shop")),
        section=PROCESS,
        doc="The name of the processes in `ps` and `top`. If not set, the name of the application.",
    )
    pidfile: str | None = setting(
        None,
        flags=("-p", "--pid"),
        parse=optional(text(metavar="FILE", example="/run/tricorn.pid")),
        section=PROCESS,
        doc="The file to write the master's process id to.",
    )
    daemon: bool = setting(
        False,
        flags=("-D", "--daemon"),
        parse=switch(),
        section=PROCESS,
        doc="Serve in the background. The command returns when the server is ready, with exit code 0; or "
        "when it could not start, with its exit code and the reason. The logs have to go to files. A "
        "supervisor such as systemd is better, and needs the server in the foreground: it also starts one "
        "again that has ended.",
    )
    enable_stdio_inheritance: bool = setting(
        False,
        flags=("-R", "--enable-stdio-inheritance"),
        parse=switch(),
        section=PROCESS,
        doc="With `daemon`: keep standard output and standard error where they are, unless that is a "
        "terminal, so that logs may go there. If off, what is written there is lost.",
    )
    upgrade: str = setting(
        "automatic",
        flags=("--upgrade",),
        parse=one_of("automatic", "manual"),
        section=PROCESS,
        doc="What follows on USR2, when the new master is ready with all its workers. `automatic`: it takes "
        "over, and the old one stops. `manual`: both serve until one of them is told to stop, and WINCH and "
        "HUP send the workers of the old one away and back.",
    )
    sendfile: bool = setting(
        True,
        flags=("--sendfile",),
        parse=switch(),
        env=Shared("SENDFILE"),
        section=PROCESS,
        fills=(Core.TERMS, "sendfile"),
        doc="Let the kernel send files that the application returns through `wsgi.file_wrapper`.",
    )
    check_config: bool = setting(
        False,
        flags=("--check-config",),
        parse=switch(),
        section=PROCESS,
        doc="Load the settings and the application, say whether they are valid, and exit. The exit code is "
        "0 if they are, 1 if the application does not load, 2 if a setting is wrong.",
    )
    print_config: bool = setting(
        False,
        flags=("--print-config",),
        parse=switch(),
        section=PROCESS,
        doc="Show each setting with its value and where the value comes from, and exit.",
    )

    # ------------------------------------------------------------------------------------ control
    control_socket: str | None = setting(
        None,
        flags=("--control-socket",),
        parse=optional(text(metavar="FILE", example="/run/mysite/tricorn.ctl")),
        section=CONTROL,
        doc="The Unix socket over which `tricorn ctl` talks to the server. If not set, it is tricorn-PID.ctl "
        "in a directory that only this user can write to: $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/tricorn, "
        "/run/tricorn (for root) or /run/user/UID/tricorn, or /tmp/tricorn-UID, the first that can be used.",
    )
    control_socket_mode: int = setting(
        0o600,
        flags=("--control-socket-mode",),
        parse=socket_mode(),
        section=CONTROL,
        doc="The mode of that socket, in octal with a leading zero. With 0660 members of its group may "
        "control the server too.",
    )
    control_socket_disable: bool = setting(
        False,
        flags=("--no-control-socket",),
        parse=switch(),
        section=CONTROL,
        doc="Have no control socket, so that only signals control the server.",
    )

    metrics: bool = setting(
        False,
        flags=("--metrics",),
        parse=switch(),
        section=CONTROL,
        doc="Count requests, their times, bytes, connections and errors, of each of `routes`. Prometheus "
        "reads them at GET /metrics of `admin_bind`, and `tricorn metrics` prints them. See "
        "[Metrics](metrics.md).",
    )
    otel: bool = setting(
        False,
        flags=("--otel",),
        parse=switch(),
        section=CONTROL,
        doc="Trace requests with OpenTelemetry, and measure them: a span for each, of which those of the "
        "application are parts, sent by OTLP to a collector. It is configured by OpenTelemetry's own "
        "variables (`OTEL_EXPORTER_OTLP_ENDPOINT` and others). Needs the extra `otel`, and does not go "
        "together with `refork_after`. See [Tracing](tracing.md).",
    )
    admin_bind: str | None = setting(
        None,
        flags=("--admin-bind",),
        parse=optional(text(metavar="ADDRESS", example="unix:/run/mysite/admin.sock")),
        section=CONTROL,
        doc="Serve what `tricorn ctl` can do over HTTP too, as JSON, at this address, by a small process of "
        "its own; for browsers there is a [dashboard](dashboard.md). The forms are those of `bind`. A socket "
        "file is for the user alone that has started the server (mode 0600, whatever `umask` says). Any "
        "other address is refused unless clients have to show a token (`admin_token_file`), or a certificate "
        "at https:// (`ca_certs`, with `cert_reqs` required). "
        "See [Over HTTP](control.md#over-http). A new value takes effect at the next start.",
    )
    admin_token: str | None = setting(
        None,
        parse=optional(secret()),
        section=CONTROL,
        doc="The token that clients of `admin_bind` have to show: Authorization: Bearer TOKEN. At least 16 "
        "characters. There is no option for it, because everybody can see the command line. The environment "
        "variable is not passed on to the application.",
    )
    admin_token_file: str | None = setting(
        None,
        flags=("--admin-token-file",),
        parse=optional(text(metavar="FILE", example="/run/secrets/admin-token")),
        section=CONTROL,
        doc="A file whose first line is that token. It is read at the start, before `user` is taken on.",
    )

    # ------------------------------------------------------------------------------- alarms
    alarm_queue_time: float = setting(
        0.0,
        flags=("--alarm-queue-time",),
        parse=seconds(example="0.5"),
        section=ALARMS,
        doc="Raise an alarm when one request of twenty waits this long or longer before the application is "
        "called (the 95th percentile): for a thread or task, and where a trusted proxy writes "
        "`X-Request-Start` since then. Needs `metrics`; 0: there is no such alarm. What an alarm is, and who "
        "is told: [Alarms](alarms.md).",
    )
    alarm_error_share: float = setting(
        0.0,
        flags=("--alarm-error-share",),
        parse=share(),
        section=ALARMS,
        doc="Raise an alarm when this share or more of the requests of the last `alarm_window` were answered "
        "with 5xx, and at least five. Needs `metrics`; 0: there is no such alarm.",
    )
    alarm_memory: int = setting(
        0,
        flags=("--alarm-memory",),
        parse=size(example="2g"),
        section=ALARMS,
        doc="Raise an alarm when all workers together have so much memory. With `metrics`, and where the "
        "kernel tells it, what they share is divided between them (PSS); else it counts for each (RSS). "
        "0: there is no such alarm.",
    )
    alarm_restarts: int = setting(
        0,
        flags=("--alarm-restarts",),
        parse=whole_number(example=3),
        section=ALARMS,
        doc="Raise an alarm when so many workers have ended within `alarm_window` that should not have: they "
        "could not start, crashed, ended by themselves, or were ended because they gave no sign of life or "
        "had a request that does not end. 0: there is no such alarm.",
    )
    alarm_certificate_days: int = setting(
        0,
        flags=("--alarm-certificate-days",),
        parse=whole_number(example=14),
        section=ALARMS,
        doc="Raise an alarm when a certificate is valid for fewer days. 0: there is no such alarm.",
    )
    alarm_window: float = setting(
        60.0,
        flags=("--alarm-window",),
        parse=seconds(example="60"),
        section=ALARMS,
        doc="The stretch of time of which waiting, errors and restarts are looked at, at least 1.",
    )
    alarm_pending_time: float = setting(
        30.0,
        flags=("--alarm-pending-time",),
        parse=seconds(example="30"),
        section=ALARMS,
        doc="How long a figure has to be beyond its threshold before the alarm begins, and within four "
        "fifths of it before the alarm ends. Restarts and certificates begin one at once.",
    )
    alarm_webhook: str | None = setting(
        None,
        parse=optional(web_address()),
        section=ALARMS,
        doc="A URL (http or https) that is told of each alarm when it begins and when it ends, by a POST of "
        "JSON. There is no option for it, because such URLs have secrets in them and everybody can see the "
        "command line. The environment variable is not passed on to the application.",
    )

    # ------------------------------------------------------------------------------- development
    reload: bool = setting(
        False,
        flags=("--reload",),
        parse=switch(),
        section=DEVELOPMENT,
        doc="Reload, as `HUP` does, when a Python file below `chdir` or `pythonpath` has changed. The old "
        "code serves until the new one is ready. If that cannot be loaded, the log says why; so does a page, "
        "as long as only this machine can connect, and else the old code goes on. For development: see "
        "[While you write it](development.md).",
    )
    reload_extra_files: tuple[str, ...] = setting(
        (),
        flags=("--reload-extra-file",),
        parse=file_patterns(),
        section=DEVELOPMENT,
        doc="With `reload`: other files to watch, by name or by pattern (`templates/**/*.html`), from "
        "`chdir`. Repeatable.",
    )
    reload_dirs: tuple[str, ...] = setting(
        (),
        flags=("--reload-dir",),
        parse=file_patterns("directories", metavar="DIR", example="src"),
        section=DEVELOPMENT,
        doc="With `reload`: the directories to watch, from `chdir`, instead of `chdir` and `pythonpath`. "
        "Repeatable.",
    )
    reload_includes: tuple[str, ...] = setting(
        (),
        flags=("--reload-include",),
        parse=file_patterns("patterns of names", metavar="PATTERN", example="*.html"),
        section=DEVELOPMENT,
        doc="With `reload`: which files in the watched directories count beside `*.py`, `*.pyx` and `*.so`, "
        "by their name, or the end of their path: `*.html`, `templates/*` (with all below). Repeatable.",
    )
    reload_excludes: tuple[str, ...] = setting(
        (),
        flags=("--reload-exclude",),
        parse=file_patterns("patterns of names", metavar="PATTERN", example="test_*.py"),
        section=DEVELOPMENT,
        doc="With `reload`: which files and directories do not count, in the same form: `test_*.py`, "
        "`migrations`. Directories whose names begin with a dot, virtual environments and node_modules never "
        "do. Repeatable.",
    )
    reload_engine: str = setting(
        "auto",
        flags=("--reload-engine",),
        parse=one_of("auto", "watchfiles", "inotify", "poll"),
        section=DEVELOPMENT,
        doc="With `reload`: how a change is noticed. `watchfiles`: the kernel tells (inotify); needs the "
        "package of that name, which `pip install tricorn[reload]` brings. `poll`: the files are looked at "
        "three times a second. `auto`, and Gunicorn's word `inotify`: watchfiles, if it is installed and the "
        "files are on a disk of this machine.",
    )
    spew: bool = setting(
        False,
        flags=("--spew",),
        parse=switch(),
        section=DEVELOPMENT,
        doc="Print each line of Python that a worker executes, beside Tricorn's own, to the standard error. "
        "Very slow; for the search after a line on which everything stands still.",
    )

    # ---------------------------------------------------------------------------- heavy workers
    dirty_apps: tuple[str, ...] = setting(
        (),
        flags=("--dirty-app",),
        parse=class_places(),
        section=HEAVY,
        doc="Applications that heavy workers load, as `module:Class`, or `module:Class:N` where only N of "
        "the workers shall: classes derived from `tricorn.heavy.DirtyApp`. Requests call them for what "
        "takes long, or much memory. Repeatable. See [Heavy workers](heavy.md).",
    )
    dirty_workers: int = setting(
        0,
        flags=("--dirty-workers",),
        parse=whole_number(0, 1000, example=2),
        section=HEAVY,
        doc="How many heavy workers there are: processes beside the web workers that run `dirty_apps`. "
        "With 0 there are none.",
    )
    dirty_workers_max: int = setting(
        0,
        flags=("--dirty-workers-max",),
        parse=whole_number(0, 1000, example=4),
        section=HEAVY,
        doc="The most heavy workers that there may be. If this is more than `dirty_workers_min`, how many "
        "there are follows the calls, beginning with `dirty_workers`. 0 means that there are always as many "
        "as `dirty_workers` says. Gunicorn does not have it.",
    )
    dirty_workers_min: int = setting(
        0,
        flags=("--dirty-workers-min",),
        parse=whole_number(0, 1000, example=1),
        section=HEAVY,
        doc="The fewest heavy workers that there may be, if `dirty_workers_max` is set. 0 means as many as "
        "`dirty_workers`.",
    )
    dirty_threads: int = setting(
        1,
        flags=("--dirty-threads",),
        parse=whole_number(1, 1000, example=4),
        section=HEAVY,
        doc="How many calls a heavy worker runs at a time. With 1 they run in the thread that has loaded "
        "the applications, one after the other.",
    )
    dirty_timeout: float = setting(
        300.0,
        flags=("--dirty-timeout",),
        parse=seconds(example="60"),
        section=HEAVY,
        doc="How long a call of a heavy worker may take, and how long may pass between two pieces of a "
        "stream, in seconds. Then its caller gets an error and the call is ended. A heavy worker that "
        "shows no sign of life for so long is killed, and another one started. 0 means no limit.",
    )
    dirty_graceful_timeout: float = setting(
        30.0,
        flags=("--dirty-graceful-timeout",),
        parse=seconds(example="60"),
        section=HEAVY,
        doc="How long a heavy worker that is told to stop may take for the calls that it has, in seconds. "
        "When the server stops, it is told when the web workers are gone. 0 means no limit.",
    )
    dirty_max_queue: int = setting(
        100,
        flags=("--dirty-max-queue",),
        parse=whole_number(1, 4096, example=20),
        section=HEAVY,
        doc="How many calls may wait for a heavy worker, for each application. Whoever calls beyond that "
        "gets `DirtyQueueFullError` at once. Gunicorn does not have it.",
    )

    # ------------------------------------------------------------------------------------ hooks
    on_starting: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server")),
        section=HOOKS,
        doc="Called in the master before anything is opened or started, as in Gunicorn. What each "
        "hook gets and when it is called: [Hooks](hooks.md).",
    )
    when_ready: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server")),
        section=HOOKS,
        doc="Called in the master when it listens, before the first worker is started.",
    )
    on_reload: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server")),
        section=HOOKS,
        doc="Called in the master in a reload, when the new settings are read and before their first "
        "worker is started.",
    )
    on_drain: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server")),
        section=HOOKS,
        doc="Called in the master when the service is told to stop (TERM), before a worker is told. "
        "They all serve until it returns.",
    )
    on_exit: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server")),
        section=HOOKS,
        doc="Called in the master when all workers are gone, last of all.",
    )
    nworkers_changed: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server, new, old")),
        section=HOOKS,
        doc="Called in the master when another number of workers is wanted, and at the start (`old` "
        "is None) and at each reload.",
    )
    pre_exec: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server")),
        section=HOOKS,
        doc="Called on USR2, in the process that becomes the new master, before it does.",
    )
    pre_fork: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server, worker")),
        section=HOOKS,
        doc="Called for each worker in the process that forks it, before it does: the master, or with "
        "`preload_app` the process that has loaded the application.",
    )
    post_fork: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server, worker")),
        section=HOOKS,
        doc="Called in each new worker before all else: it is still the user that has started the "
        "service, and the application is not loaded (unless `preload_app` is on).",
    )
    post_worker_init: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("worker")),
        section=HOOKS,
        doc="Called in each worker when it has loaded the application, before it serves.",
    )
    when_worker_ready: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server, worker")),
        section=HOOKS,
        doc="Called in the master for each worker that is ready to serve. Gunicorn does not have it.",
    )
    worker_int: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("worker")),
        section=HOOKS,
        doc="Called in a worker that is told to stop at once (INT, QUIT).",
    )
    worker_abort: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("worker")),
        section=HOOKS,
        doc="Called in a worker that is aborted (ABRT) because it shows no sign of life, if it can "
        "still run anything.",
    )
    worker_exit: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server, worker")),
        section=HOOKS,
        doc="Called in each worker at its end.",
    )
    child_exit: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server, worker")),
        section=HOOKS,
        doc="Called in the master for each worker that has ended, in whatever way.",
    )
    on_memory_limit: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("server, worker, size")),
        section=HOOKS,
        doc="Called in the master when a worker has more memory than `max_memory` or "
        "`max_memory_hard`; `size` is in bytes. Gunicorn does not have it.",
    )
    on_request_timeout: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("worker, req")),
        section=HOOKS,
        doc="Called in a worker when a request has taken longer than `request_timeout`. Gunicorn does "
        "not have it.",
    )
    pre_request: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("worker, req")),
        section=HOOKS,
        doc="Called in the worker before each request, in its thread and context. If it raises, the "
        "request is answered with 500.",
    )
    post_request: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("worker, req, environ, resp", "worker, req, environ", "worker, req")),
        section=HOOKS,
        doc="Called in the worker after each request, in its thread and context.",
    )
    after_response: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("worker, req, environ, resp", "worker, req, environ", "worker, req")),
        section=HOOKS,
        doc="Called in the worker after each request, when its client is served and its connection is "
        "free: what takes long need not keep a client waiting. Gunicorn does not have it.",
    )
    on_dirty_starting: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("arbiter")),
        section=HOOKS,
        doc="Called in the master before the first heavy worker is started.",
    )
    dirty_post_fork: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("arbiter, worker")),
        section=HOOKS,
        doc="Called in each new heavy worker before its applications are loaded.",
    )
    dirty_worker_init: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("worker")),
        section=HOOKS,
        doc="Called in each heavy worker when all of its applications are loaded, before it takes calls.",
    )
    dirty_worker_exit: Callable[..., Any] | str | None = setting(
        None,
        parse=optional(hook("arbiter, worker")),
        section=HOOKS,
        doc="Called in the master for each heavy worker that has ended, in whatever way.",
    )


def declared() -> Mapping[str, Declared]:
    return MappingProxyType(
        {
            entry.name: replace(entry.metadata[KEY], name=entry.name)
            for entry in fields(Settings)
            if KEY in entry.metadata
        }
    )


#: Every setting by its name, in the order of the declarations.
SETTINGS: Mapping[str, Declared] = declared()
