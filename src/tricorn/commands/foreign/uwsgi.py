"""uWSGI's settings: its command line and its INI files have the same names.

Knows: the settings of uWSGI 2.0 that serve Python, and where its defaults are others. Must not know: who
asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tricorn.commands.foreign.rows import (
    NO,
    Row,
    Translation,
    lost,
    many,
    needless,
    same,
    switch,
)

GATEWAYS = "who may connect is said by uwsgi_allow_ips: 127.0.0.1, ::1 and Unix sockets, if it is not set"
#: In front of an address of `socket`, whose protocol another line may say.
BY_PROTOCOL = "protocol://"
STATIC = "there are prefixes with their directories, static-map; see docs/static.md"
STATIC_MAP = "files are never looked for by links that lead out of the directory, nor with a dot in front"
EXPIRES = "write static_cache_control, by the path; names with a hash are kept for a year by themselves"
VIRTUALENV = "start the tricorn that is installed there: {}/bin/tricorn"
TOUCH = "a file that is touched reloads nothing; `tricorn ctl reload`, or the signal HUP, does"
STATS = "there is no such socket; `tricorn ctl status --json` shows what workers do"
PROCESSES = "other programs are not started; let the supervisor (systemd, Compose) do that"
JOBS = "there is no such thing; a queue such as Celery or RQ, or a timer of systemd, is for that"
MULES = "heavy workers are for what mules do, but are called, not started: docs/heavy.md"
CACHE = "there is no cache in the server; Redis or memcached is one"
ROUTING = "requests are not rewritten; let the proxy, or the application, do that"
EMPEROR = "there is no emperor; a unit of systemd for each application does the same"
NO_GREEN = "there are none of this kind; gevent has green threads, and ASGI an event loop"
MERCY = "the time counts for all ways to stop: a reload, a stop, a worker that is replaced"
HARAKIRI = "only the request is ended, with 504, and its stack is logged; the worker goes on"
LAZY = "each worker loads the application itself; that is the default"
LOGGED = "requests are logged to the standard output, in the combined format"
UDP = "only a file, or the standard streams; syslog has settings of its own"
CHEAPER = "how many workers there are follows the time that requests wait; uWSGI's algorithms are others"


def listens(value: str, scheme: str = "") -> Mapping[str, object]:
    """An address: :8000, 127.0.0.1:8000, /run/shop.sock."""
    return {"bind": [scheme + (value if re.search(r":(\d+|\$.+)$", value) else f"unix:{value}")]}


def listens_with_tls(value: str, scheme: str = "https://") -> Mapping[str, object]:
    where, *files = value.split(",")
    names = ("certfile", "keyfile", "ciphers", "ca_certs")
    return {"bind": [scheme + where], **dict(zip(names, filter(None, files), strict=False))}


def cheaper(value: str) -> Mapping[str, object]:
    return {"workers_min": value, "cheaper": True}


def socket_mode(value: str) -> Mapping[str, object]:
    """Whoever may write to a socket may connect (unix(7)). Without a value uWSGI's is 0666."""
    mode = 0o666 if value == "true" else int(value, 8)
    if mode & 0o002:
        raise ValueError(
            "would let every user of this machine connect; the socket is for its owner and group (0660): put "
            "the proxy into that group (group)"
        )
    return {} if mode & 0o020 else {"umask": "0077"}


def log_file(value: str) -> Mapping[str, object]:
    if ":" in value:
        raise ValueError(UDP)
    return {"errorlog": value, "accesslog": value}


def daemon(value: str) -> Mapping[str, object]:
    return {"daemon": True, **log_file(value)}


def processes(value: str) -> str:
    """%k: as many as there are processors."""
    return "auto" if value == CORES else value


def megabytes(value: str) -> str:
    return f"{int(value)}m"


def environment(value: str) -> Mapping[str, object]:
    if "=" not in value:
        raise ValueError("takes a variable away; let what starts the server do that (env -u)")
    return {"raw_env": [value]}


#: Long name → row. `true` is what stands for a switch.
ROWS: Mapping[str, Row] = {
    # where to listen
    "http": Row(listens),
    "http-socket": Row(listens),
    "https": Row(listens_with_tls),
    "socket": Row(lambda value: listens(value, BY_PROTOCOL)),
    "uwsgi-socket": Row(lambda value: listens(value, "uwsgi://")),
    "suwsgi-socket": Row(lambda value: listens_with_tls(value, "suwsgi://")),
    "fastcgi-socket": lost("FastCGI is not spoken; let the proxy speak HTTP"),
    "scgi-socket": lost("SCGI is not spoken; let the proxy speak HTTP"),
    "protocol": Row(lambda value: {"protocol": value}),
    "listen": same("backlog"),
    "reuse-port": switch(reuse_port=True),
    "chmod-socket": Row(socket_mode, is_switch=False),
    "chown-socket": needless("the socket belongs to user and group, if they are set"),
    "http-keepalive": needless("connections are kept; keepalive says how long"),
    "http-auto-chunked": needless("responses without a length are chunked", takes_value=False),
    "http-timeout": same("request_timeout", "how long the application may send nothing"),
    "socket-timeout": same(
        "write_timeout", "clients that read nothing; others have header_timeout, body_timeout"
    ),
    "so-keepalive": needless(takes_value=False),
    # the application
    "module": Row(lambda value: {"module": value}),
    "wsgi": Row(lambda value: {"module": value}),
    "wsgi-file": Row(lambda value: {"module": value}),
    "file": Row(lambda value: {"module": value}),
    "callable": Row(lambda value: {"callable": value}),
    "mount": lost(
        "one application is served; mount others in it (werkzeug's DispatcherMiddleware, Starlette's Mount)"
    ),
    "manage-script-name": needless("SCRIPT_NAME is always cut off the path", takes_value=False),
    "paste": same("paste", convert=lambda value: value.removeprefix("config:")),
    "ini-paste": same("paste"),
    "chdir": same("chdir"),
    "chdir2": same("chdir"),
    "pythonpath": many("pythonpath"),
    "virtualenv": Row(lambda value: {"virtualenv": value}),
    "env": Row(environment),
    "need-app": needless("always: without an application nothing starts", takes_value=False),
    "lazy-apps": switch(LAZY, lazy=True),
    "lazy": switch(LAZY, lazy=True),
    "single-interpreter": needless(takes_value=False),
    "enable-threads": needless("threads always run", takes_value=False),
    "py-call-osafterfork": needless(takes_value=False),
    # processes
    "master": needless("there is always one", takes_value=False),
    "processes": same("workers", convert=processes),
    "threads": same("threads"),
    "cheaper": Row(cheaper, CHEAPER),
    "cheaper-initial": Row(lambda value: {"initial": value}),
    "cheaper-step": needless(),
    "cheaper-algo": needless(),
    "cheaper-overload": needless(),
    "thunder-lock": needless("the kernel wakes one worker for each connection", takes_value=False),
    "cpu-affinity": lost(
        "workers run where the kernel puts them; taskset, or CPUAffinity= of systemd, limits all"
    ),
    "gevent": same("green_requests", worker_class="gevent"),
    "gevent-monkey-patch": needless(takes_value=False),
    "asyncio": lost(NO_GREEN),
    "async": lost(NO_GREEN),
    "ugreen": lost(NO_GREEN, takes_value=False),
    "greenlet": needless(takes_value=False),
    # limits
    "harakiri": same("request_timeout", HARAKIRI),
    "harakiri-verbose": needless("the stack is always logged", takes_value=False),
    "http-harakiri": same("request_timeout", HARAKIRI),
    "max-requests": same("max_requests"),
    "max-requests-delta": same("max_requests_jitter"),
    "min-worker-lifetime": needless(),
    "max-worker-lifetime": same("max_lifetime"),
    "max-worker-lifetime-delta": same("max_lifetime_jitter"),
    "reload-on-rss": same("max_memory", convert=megabytes, memory_measure="rss"),
    "evil-reload-on-rss": same("max_memory_hard", convert=megabytes, memory_measure="rss"),
    "reload-on-as": lost("the address space is not measured; max_memory is what a worker really has"),
    "evil-reload-on-as": lost(
        "the address space is not measured; max_memory_hard is what a worker really has"
    ),
    "limit-as": lost("the address space is not limited; max_memory_hard, or MemoryMax= of systemd"),
    "reload-on-exception": lost("name the exceptions: reload_on_exception", takes_value=False),
    "worker-reload-mercy": same("graceful_timeout", MERCY),
    "reload-mercy": same("graceful_timeout", MERCY),
    "mule-reload-mercy": needless(),
    "buffer-size": same("limit_request_head"),
    "limit-post": same("limit_request_body"),
    "post-buffering": needless("request bodies are always read before the application is called"),
    "post-buffering-bufsize": needless(),
    "ignore-sigpipe": needless(takes_value=False),
    "ignore-write-errors": needless(takes_value=False),
    "disable-write-exception": needless(takes_value=False),
    "wsgi-disable-file-wrapper": needless(takes_value=False),
    "close-on-exec": needless(takes_value=False),
    # the process
    "uid": same("user"),
    "gid": same("group"),
    "umask": same("umask", convert=lambda value: f"0{value.lstrip('0')}"),
    "pidfile": same("pidfile"),
    "pidfile2": same("pidfile"),
    "safe-pidfile": same("pidfile"),
    "daemonize": Row(daemon),
    "daemonize2": Row(daemon),
    "procname": same("proc_name"),
    "procname-prefix": needless("proc_name is the whole name"),
    "auto-procname": needless("processes always have names", takes_value=False),
    "vacuum": needless("socket and pid files are always removed", takes_value=False),
    "die-on-term": needless("TERM always stops the server; HUP reloads it", takes_value=False),
    "no-orphans": needless("workers always end with their master", takes_value=False),
    "strict": needless("unknown names are always refused", takes_value=False),
    "plugins": needless("Python is all that there is"),
    "plugins-dir": needless(),
    "binary-path": needless(),
    "py-autoreload": Row(lambda _: {"reload": True}, off=NO),
    "python-autoreload": Row(lambda _: {"reload": True}, off=NO),
    "touch-reload": lost(TOUCH),
    "touch-chain-reload": lost(TOUCH),
    "touch-workers-reload": lost(TOUCH),
    "chain-reloading": needless("workers are always replaced one by one", takes_value=False),
    # logs
    "logto": Row(log_file),
    "logto2": Row(log_file),
    "logger": lost(UDP),
    "req-logger": lost("name a file: accesslog"),
    "disable-logging": switch(disable_logging=True),
    "log-4xx": needless(takes_value=False),
    "log-5xx": needless(takes_value=False),
    "log-format": lost("its words are others; see access_log_format in docs/logging.md"),
    "log-date": needless(takes_value=False),
    "log-master": needless(takes_value=False),
    "log-reopen": needless("USR1 opens the logs again", takes_value=False),
    "log-maxsize": lost("files do not rotate by themselves; logrotate, with USR1, does it"),
    "log-x-forwarded-for": needless("the client's address is taken from trusted proxies", takes_value=False),
    "memory-report": needless("tricorn ctl workers shows the memory of each", takes_value=False),
    # what is no server of HTTP
    "static-map": Row(lambda value: {"static": [value], "static_fallthrough": True}, STATIC_MAP),
    "static-map2": lost(STATIC),
    "static-index": same("static_index"),
    "static-expires": lost(EXPIRES),
    "check-static": lost(STATIC),
    "offload-threads": needless("files and slow clients hold no thread anyway"),
    "stats": lost(STATS),
    "stats-server": lost(STATS),
    "stats-http": needless(takes_value=False),
    "attach-daemon": lost(PROCESSES),
    "attach-daemon2": lost(PROCESSES),
    "smart-attach-daemon": lost(PROCESSES),
    "cron": lost(JOBS),
    "cron2": lost(JOBS),
    "spooler": lost(JOBS),
    "spooler-processes": needless(),
    "mule": lost(MULES),
    "mules": lost(MULES),
    "cache2": lost(CACHE),
    "cache": lost(CACHE),
    "emperor": lost(EMPEROR),
    "vassals": lost(EMPEROR),
    "hook-master-start": lost("hooks are functions in a configuration file: docs/hooks.md"),
    "add-header": lost("add it in the application, or in a proxy"),
    "websockets": lost("WebSockets are for ASGI applications, on the asgi worker", takes_value=False),
    "http-websockets": lost("WebSockets are for ASGI applications, on the asgi worker", takes_value=False),
}

#: Other names for the same.
ALIASES: Mapping[str, str] = {
    "s": "socket",
    "w": "module",
    "p": "processes",
    "M": "master",
    "z": "socket-timeout",
    "H": "virtualenv",
    "L": "disable-logging",
    "l": "listen",
    "b": "buffer-size",
    "d": "daemonize",
    "t": "harakiri",
    "R": "max-requests",
    "C": "chmod-socket",
    "T": "enable-threads",
    "i": "single-interpreter",
    "workers": "processes",
    "home": "virtualenv",
    "venv": "virtualenv",
    "pyhome": "virtualenv",
    "pp": "pythonpath",
    "python-path": "pythonpath",
    "plugin": "plugins",
    "listen-queue": "listen",
    "threads-per-process": "threads",
    "http-processes": "plugins-dir",
    "exit-on-reload": "plugins-dir",
    "reload-on-as-limit": "reload-on-as",
}
#: Switches that need no row of their own in INI files either.
FILES = ("ini", "inherit", "include", "yaml", "yml", "xml", "json", "config")
#: How many processors there are.
CORES = "%k"
#: What only a running uWSGI knows: names of machine and user, times, the emperor's directory.
FOR_UWSGI = re.compile(r"%[hkoOtTiIuUgGvVjJ](?!\w)")
#: From here to one of END_OF_BLOCK lines count, or not, or many times.
BLOCK = re.compile(r"(if-[\w-]+|for(each|-glob|-times|-readline)?)(?= =|$)")
END_OF_BLOCK = ("endif", "end-if", "endfor", "end-for")
ROUTES = ("route", "final-route", "error-route", "response-route")

DEFAULTS = (
    (
        "request_timeout",
        "a request may send nothing for 30 s; without harakiri it may do so for ever in uWSGI",
    ),
    ("graceful_timeout", "requests have 30 s to end, in uWSGI 60 s"),
    ("limit_request_head", "request heads may have 64 KiB, in uWSGI 4 KiB"),
)


def translate(words: Sequence[str], _variables: Mapping[str, str], cwd: Path) -> Translation:
    return of_pairs(pairs_of(words, cwd))


def of_file(path: Path) -> Translation:
    return of_pairs(in_file(path, "uwsgi"))


def pairs_of(words: Sequence[str], cwd: Path) -> Iterator[tuple[str, str]]:
    """(name, value) of a command line; a file stands for what is in it."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            if word.endswith(".ini"):
                yield from in_file(cwd / word, "uwsgi")
            elif re.search(r":\d+$", word):
                yield "socket", word
            else:
                yield "module" if ":" in word else "wsgi-file", word
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--") and len(name) > 1 and not equals:
            name, value = name[0], name[1:]
        elif not equals:
            value = rest.pop(0) if takes_value(name) and rest and not rest[0].startswith("--") else "true"
        if name in FILES:
            path, _, section = value.partition(":")
            yield from in_file(cwd / path, section or "uwsgi") if name == "ini" else [(name, value)]
        else:
            yield name, value


def takes_value(name: str) -> bool:
    row = ROWS.get(ALIASES.get(name, name))
    return name in FILES or row is None or not row.is_switch


def in_file(
    path: Path, section: str, outer: frozenset[tuple[Path, str]] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Not configparser's kind of INI: a name may stand there again and again.

    outer: files and sections that name this one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        yield "ini", f"{path.name}: cannot be read: {error}"
        return
    if (path, section) in outer:
        return
    known = magic(path, section)
    used = set(re.findall(r"%\(([\w-]+)\)", text))
    for name, value in without_blocks(of_section(text, section)):
        value = re.sub(r"%(?:\(([\w-]+)\)|([\w%]))", lambda found: filled(found, known), value)
        value = re.sub(r"\$\((\w+)\)", r"$\1", value)
        known[name] = value
        other, colon, part = value.partition(":")
        if name in FILES and (other.endswith(".ini") or (colon and not other)):
            inside = path.parent / other if other else path
            yield from in_file(inside, part or "uwsgi", outer | {(path, section)})
        elif name not in used or ALIASES.get(name, name) in ROWS:
            yield name, value or "true"


def without_blocks(lines: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What stands between `if-env` or `for` and its end comes as one, by the name of the beginning."""
    opening, inner, depth = "", [], 0
    for name, value in lines:
        depth += bool(BLOCK.fullmatch(name)) - (depth > 0 and name in END_OF_BLOCK)
        line = f"{name} = {value}" if value else name
        if depth and not opening:
            opening = line
        elif depth:
            inner.append(line)
        elif opening:
            yield opening, ", ".join(inner)
            opening, inner = "", []
        else:
            yield name, value
    if opening:
        yield opening, ", ".join(inner)


def of_section(text: str, section: str) -> Iterator[tuple[str, str]]:
    here = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            here = line.strip("[]")
        elif here == section and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def magic(path: Path, section: str) -> dict[str, str]:
    """What uWSGI fills in for `%n` and others (uWSGI documentation, "Configuring uWSGI", Magic variables)."""
    whole = path.absolute()
    return {
        "p": str(whole),
        "d": f"{whole.parent}/",
        "c": whole.parent.name,
        "s": whole.name,
        "n": whole.stem,
        "e": whole.suffix.lstrip("."),
        "x": section,
        "%": "%",
    }


def filled(found: re.Match[str], known: Mapping[str, str]) -> str:
    return known.get(found[1] or found[2], found[0])


def of_pairs(pairs: Iterator[tuple[str, str]]) -> Translation:
    to = Translation()
    for written, value in pairs:
        name = ALIASES.get(written, written)
        if name in ROWS:
            ROWS[name].apply(written, value, to)
            if not ROWS[name].is_lost and (name, value) != ("processes", CORES):
                for left in FOR_UWSGI.findall(value):
                    to.lose(f"{written} {value}: uWSGI fills in {left}; write what it stands for")
        elif BLOCK.match(written):
            to.lose(f"{written}: a configuration of ours decides nothing; left out: {value}")
        elif written in FILES:
            to.lose(
                f"{written} {value}" if ": cannot" in value else f"{written} {value}: only INI files are read"
            )
        elif name.startswith(ROUTES):
            to.lose(f"{written}: {ROUTING}")
        elif name.startswith(("hook-", "exec-")):
            to.lose(f"{written}: hooks are functions in a configuration file: docs/hooks.md")
        elif written.startswith("set-") or written == "set":
            continue  # a variable of the file
        elif value.lower() not in NO:
            to.lose(f"{written}: this setting is not known")
    finish(to)
    return to


def finish(to: Translation) -> None:
    """What several names say together."""
    settings = to.settings
    module, target = (str(settings.pop(name, "")) for name in ("module", "callable"))
    if module:
        settings["wsgi_app"] = f"{module}:{target}" if target and ":" not in module else module
    usual = "" if settings.pop("protocol", "") in ("http", "https") else "uwsgi://"
    if isinstance(binds := settings.get("bind"), list):
        settings["bind"] = [str(each).replace(BY_PROTOCOL, usual) for each in binds]
        if "uwsgi://" in str(settings["bind"]):
            to.remark(f"socket: {GATEWAYS}")
    if (environment := settings.pop("virtualenv", None)) is not None:
        to.remark(f"virtualenv: {VIRTUALENV.format(environment)}")
    if isinstance(paths := settings.get("pythonpath"), list):
        settings["pythonpath"] = ",".join(paths)
    processes, initial = settings.get("workers", "1"), settings.pop("initial", None)
    if settings.pop("cheaper", False):
        settings["workers_max"] = processes
        settings["workers"] = initial or settings["workers_min"]
    is_lazy = settings.pop("lazy", False)
    if not is_lazy and str(processes) != "1":
        settings["preload_app"] = True
        to.remark("preload_app: uWSGI loads the application once, before it forks, unless lazy-apps is set")
    if settings.pop("disable_logging", False):
        settings.pop("accesslog", None)
    elif "accesslog" not in settings:
        settings["accesslog"] = "-"
        to.remark(f"accesslog: {LOGGED}")
    to.remark_defaults(DEFAULTS)
