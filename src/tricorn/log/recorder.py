"""Tells a `logger_class`, or the handlers of a logging configuration, of each request that is over.

Knows: what Gunicorn hands to `Logger.access`: a response, a request, an environ, a time. Must not know: who
calls, what becomes of it.

This is foreign code in the path of requests. Whoever calls does so where foreign code may run; what it
raises is logged and stays here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tricorn.log.access_format import SCOPE_PLACES
from tricorn.records import dataclass

log = logging.getLogger("tricorn.error")

#: By SERVER_PROTOCOL.
VERSIONS = {"HTTP/1.0": (1, 0), "HTTP/2.0": (2, 0)}


@dataclass(frozen=True)
class Sent:
    """The response. status: "200 OK", an empty text if there was none. sent: bytes of its body."""

    status: str
    headers: Sequence[tuple[Any, Any]]
    sent: int

    @property
    def status_code(self) -> int:
        number = self.status[:3]
        return int(number) if number.isdecimal() and number.isascii() else 0


@dataclass(frozen=True)
class Asked:
    """The request."""

    method: str
    uri: str
    path: str
    query: str
    version: tuple[int, int]
    headers: list[tuple[str, str]]
    peer_addr: tuple[str, Any]


class Recorder:
    """access: as Logger.access."""

    def __init__(self, access: Any) -> None:
        self._access = access

    def wsgi(
        self,
        environ: dict[str, Any],
        method: str,
        uri: str,
        status: str | None,
        headers: Sequence[tuple[Any, Any]] | None,
        sent: int,
        duration_ns: int,
    ) -> None:
        """Of a WSGI request. Raises nothing."""
        try:
            response = Sent(status or "", tuple(headers or ()), sent)
            request = _asked(environ, method, uri)
            self._access(response, request, environ, timedelta(microseconds=duration_ns // 1000))
        except BaseException as error:  # noqa: BLE001 - foreign code
            _complain(error)

    def asgi(
        self,
        scope: dict[str, Any],
        method: str,
        uri: str,
        protocol: str,
        status: str | None,
        headers: Sequence[tuple[Any, Any]] | None,
        sent: int,
        duration_ns: int,
    ) -> None:
        """Of an ASGI request, or of a WebSocket that has ended. Raises nothing."""
        try:
            environ = environ_of(scope, method, uri, protocol)
        except BaseException as error:  # noqa: BLE001 - the application may have put anything into the scope
            _complain(error)
        else:
            self.wsgi(environ, method, uri, status, headers, sent, duration_ns)


def _complain(error: BaseException) -> None:
    try:
        log.error("The access log's logger_class or handler raised", exc_info=error)
    except BaseException:  # noqa: BLE001 - it is foreign code again
        return


def _asked(environ: dict[str, Any], method: str, uri: str) -> Asked:
    headers = [
        (key.removeprefix("HTTP_").replace("_", "-"), value)
        for key, value in environ.items()
        if type(key) is str and type(value) is str and _is_header(key) and (value or key.startswith("HTTP_"))
    ]
    return Asked(
        method,
        uri,
        str(environ.get("PATH_INFO", "")),
        str(environ.get("QUERY_STRING", "")),
        VERSIONS.get(str(environ.get("SERVER_PROTOCOL")), (1, 1)),
        headers,
        (str(environ.get("REMOTE_ADDR", "")), environ.get("REMOTE_PORT", "")),
    )


def _is_header(key: str) -> bool:
    return key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH")


def environ_of(scope: dict[str, Any], method: str, uri: str, protocol: str) -> dict[str, Any]:
    """What a WSGI application's environ would have of the request."""
    known = {
        "REQUEST_METHOD": method,
        "RAW_URI": uri,
        "SERVER_PROTOCOL": protocol,
        "HTTP_VERSION": protocol.partition("/")[2],
    }
    environ = {key: known.get(key) or _of_scope(scope, key) for key in SCOPE_PLACES} | known
    for name, value in scope.get("headers", ()):
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        joint = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{joint}{text}" if key in environ else text
    if named := scope.get("extensions", {}).get("tricorn.request_id"):
        environ["tricorn.request_id"] = named["value"]
    return environ


def _of_scope(scope: dict[str, Any], key: str) -> str:
    place = SCOPE_PLACES[key]
    value = scope.get(place.name)
    if place.kind in ("host", "port"):
        value = value[place.kind == "port"] if value else ""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    # Characters stand for bytes in an environ (PEP 3333, "Unicode Issues").
    return "" if value is None else str(value).encode("utf-8", "surrogatepass").decode("latin-1")
