"""The two forms of a request that the access log takes: a WSGI environ, and the ASGI scope made from it.

Knows: environs, scopes, AccessLog. Must not know: which test asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tricorn.log.access import AccessLog

WHEN = 1795251600.25  # 2026-11-21 09:00:00.25 UTC
ENVIRON: dict[str, Any] = {
    "REMOTE_ADDR": "192.0.2.1",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/a%20b?x=1",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "x=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_REFERER": "https://example.org/",
    "HTTP_USER_AGENT": "curl/8",
    "HTTP_X_TRACE": "t-1",
    "CONTENT_TYPE": "text/plain",
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "SERVER_PORT": 8000,
}
# Key of the environ → key of the scope, where the values are alike.
SAME = {"REQUEST_METHOD": "method", "SCRIPT_NAME": "root_path", "wsgi.url_scheme": "scheme"}

Written = Callable[..., str]


def as_bytes(value: Any) -> Any:
    """A header's name or value as ASGI has it. What is not text stays what it is."""
    if not isinstance(value, str):
        return value
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def decoded(path: Any) -> Any:
    """PATH_INFO as the scope's `path`, where it can be one."""
    try:
        return path.encode("latin-1").decode()
    except (AttributeError, UnicodeError):
        return path


def as_scope(environ: dict[str, Any]) -> dict[str, Any]:
    """The scope of the request that has this environ."""
    scope: dict[str, Any] = {"type": "http", "headers": []}
    for key, value in environ.items():
        if key in SAME:
            scope[SAME[key]] = value
        elif key == "PATH_INFO":
            scope["path"] = decoded(value)
        elif key == "QUERY_STRING":
            scope["query_string"] = as_bytes(value)
        elif key == "REMOTE_ADDR":
            scope["client"] = (value, environ.get("REMOTE_PORT"))
        elif key == "SERVER_PORT":
            scope["server"] = (environ.get("SERVER_NAME"), value)
        elif key.startswith(("HTTP_", "CONTENT_")):
            name = key.removeprefix("HTTP_").replace("_", "-").lower()
            scope["headers"].append((name.encode(), as_bytes(value)))
        else:
            scope[key] = value
    return scope


def as_pairs(headers: list[Any] | None) -> list[Any] | None:
    """Response headers as ASGI has them."""
    if headers is None:
        return None
    return [tuple(as_bytes(part) for part in pair) if isinstance(pair, tuple) else pair for pair in headers]


def record_environ(
    log: AccessLog, environ: dict[str, Any], status: str, headers: list[Any] | None, *numbers: Any
) -> None:
    log.record(environ, status, headers, *numbers)


def record_as_scope(
    log: AccessLog, environ: dict[str, Any], status: str, headers: list[Any] | None, *numbers: Any
) -> None:
    uri, protocol = (environ.get(key) for key in ("RAW_URI", "SERVER_PROTOCOL"))
    log.record_scope(
        as_scope(environ),
        uri if isinstance(uri, str) else None,
        protocol if isinstance(protocol, str) else None,
        status,
        as_pairs(headers),
        *numbers,
    )


FORMS: dict[str, Callable[..., None]] = {"environ": record_environ, "scope": record_as_scope}


def open_log(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def line_of(path: Path, format: str, record: Callable[[AccessLog], object]) -> str:
    """What the log has in its file after `record`."""
    path.unlink(missing_ok=True)
    fd = open_log(path)
    log = AccessLog(format, fd)
    record(log)
    log.flush()
    os.close(fd)
    return path.read_bytes().decode("utf-8")
