"""The table of docs/gunicorn.md: what each setting of Gunicorn means here.

    python -m tricorn.config.moving docs/gunicorn.md

writes it between the two marks of the page. tests/config/test_gunicorn.py notices a stale one, and compares
what is said of Gunicorn here with Gunicorn itself.

Knows: Markdown, Gunicorn's settings. Must not know: where values come from.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tricorn.config.commandline import NEGATIVES
from tricorn.config.gunicorn import MISSING, SECTIONS
from tricorn.config.settings import SETTINGS

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"

#: Defaults of Gunicorn that ours differ from, as they are shown; not those that depend on the machine.
DEFAULTS: Mapping[str, str] = {
    "forwarded_allow_ips": "127.0.0.1,::1",
    "http2_cleartext": "off",
    "http_protocols": "h1",
    "keepalive": "2",
    "limit_request_line": "4094",
    "proxy_allow_ips": "127.0.0.1,::1",
    "umask": "0",
    "uwsgi_allow_ips": "127.0.0.1,::1",
    "worker_class": "sync",
}

#: What is not the same, beside defaults.
DIFFERS: Mapping[str, str] = {
    "asgi_loop": "may also name a function that makes a loop",
    "bind": "may also be for TLS or not for itself (`https://…`, `http://…`), for the uwsgi protocol "
    "(`uwsgi://…`), name a socket of systemd's "
    "(`fd://NAME`), be a path without `unix:`, and hold several addresses with commas between them; "
    "a socket file is for its owner and group (0660) unless `umask` is set",
    "cert_reqs": "may also be a word: `none`, `optional`, `required`",
    "certfile": "renewed certificates are used without a reload; see [TLS](tls.md#coming-from-gunicorn)",
    "check_config": "exit code 2 if a setting is wrong, 1 if the application does not load",
    "config": "may also be TOML; `tricorn.conf.py` is looked for before `gunicorn.conf.py`",
    "control_socket": "each server has its own by default, in a directory that only its user can write to",
    "daemon": "the command returns when the server is ready, or with the reason why it is not; logs have "
    "to go to files; see [below](#in-the-background)",
    "enable_backlog_metric": "also counts requests that wait in workers: connections are accepted at once",
    "enable_stdio_inheritance": "needed where `daemon` is to log to a redirected stream",
    "errorlog": "`None` and an empty text mean `-`",
    "forwarded_allow_ips": "trusts clients on Unix sockets only if it has `unix` in it; X-Forwarded-For, "
    "Forwarded and others are used, see [Behind a proxy](behind-a-proxy.md)",
    "graceful_timeout": "0 means no limit; in Gunicorn it means at once",
    "group": "see `user`",
    "keepalive": "for every kind of worker; an idle connection holds no thread",
    "limit_request_field_size": "0: `limit_request_head` is the only limit; more than 32 KiB raises that",
    "limit_request_fields": "0 means that `limit_request_head` is the only limit",
    "limit_request_line": "not capped at 8190; else as `limit_request_field_size`",
    "loglevel": "may also be `warn`, `fatal` or a number of Python's `logging`; an unknown word is an error",
    "max_requests": "the worker serves until its successor is ready; counts for every kind of worker",
    "pidfile": "is locked, so a recycled process id is not taken for a running server",
    "preload_app": "the application is loaded in a process of its own, and `HUP` brings new code; see "
    "[Deployment](deployment.md#load-the-application-once)",
    "print_config": "shows where each value comes from, and does not load the application",
    "protocol": "a word that is neither `http` nor `uwsgi` is an error; `bind` can say it for each address: "
    "see [The uwsgi protocol](uwsgi.md#from-gunicorn)",
    "proxy_protocol": "a connection without the header is refused",
    "raw_env": "may also be a dict",
    "reload": "one process watches the files below `chdir` and `pythonpath`, not what workers have "
    "imported; the old code serves until the new one is ready",
    "reload_engine": "may also be `watchfiles`; `inotify` means that too",
    "reload_extra_files": "need not be there yet",
    "reuse_port": "each worker has a queue of its own, whose connections are not lost when the worker ends",
    "root_path": "begins with `/`",
    "secure_scheme_headers": "may also be set by an option",
    "spew": "leaves Tricorn's own lines out",
    "sendfile": "`--sendfile` turns it on again",
    "ssl_context": "may also be named (`module:function`); called for each certificate, not each connection",
    "threads": "a thread is used only while the application runs, and slow clients hold none",
    "timeout": "a request that takes longer is ended alone (`request_timeout`); the worker is killed when it "
    "shows no sign of life",
    "umask": "is not changed unless it is set; a text is octal with a leading zero (`022`)",
    "user": "workers get its supplementary groups and lose those of root, as with `initgroups`",
    "uwsgi_allow_ips": "networks match; clients on Unix sockets count only if it has `unix` in it",
    "worker_class": "`auto` chooses by the application; names of Gunicorn's and Uvicorn's workers mean "
    "our own of the same kind",
    "worker_connections": "for every kind of worker; at the limit idle connections are closed first",
    "workers": "1 or more; or `auto`, one for each processor that the container may use",
}


def table() -> str:
    lines = []
    for section, names in SECTIONS.items():
        lines += [f"### {section}", "", "| setting | options | here |", "|---|---|---|"]
        lines += [f"| `{name}` | {options(name)} | {meaning(name)} |" for name in names]
        lines.append("")
    return "\n".join(lines)


def options(name: str) -> str:
    flags = MISSING[name].flags if name in MISSING else SETTINGS[name].flags
    negative = [flag for flag, declared in NEGATIVES.items() if declared.name == name == "sendfile"]
    return " ".join(f"`{flag}`" for flag in (*flags, *negative))


def meaning(name: str) -> str:
    if name in MISSING:
        return f"accepted: {MISSING[name].says}"
    said = [DIFFERS[name]] if name in DIFFERS else []
    if name in DEFAULTS:
        shown = SETTINGS[name].kind.show(SETTINGS[name].default)
        said.append(f"default `{shown}` instead of `{DEFAULTS[name]}`")
    return "; ".join([f"[the same](settings.md#{name})", *said])


def page(text: str) -> str:
    """The page with the table as it is now. ValueError: it has lost its marks."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
