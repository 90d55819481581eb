"""What is said of a request, by OpenTelemetry's semantic conventions for HTTP (stable since 1.23).

https://opentelemetry.io/docs/specs/semconv/http/http-spans/

Knows: environ and scope, the conventions. Must not know: OpenTelemetry's packages, when this is asked.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

from tricorn.http.target import split

#: RFC 9110 §9.3 and RFC 5789 §2. Others are called _OTHER, so that clients cannot make up new series.
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "QUERY"))
OTHER = "_OTHER"

#: In its place, where a service knows other methods; the conventions ask for that.
KNOWN_METHODS = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"

#: Of queries: keys whose values are signatures. The conventions name them.
SECRETS = frozenset(("AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"))

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

#: As network.protocol.version has them.
VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


def known_methods() -> frozenset[str]:
    given = os.environ.get(KNOWN_METHODS, "")
    return frozenset(name.strip() for name in given.split(",") if name.strip()) or METHODS


class Facts:
    """Of one request, taken before its application can change what it is given.

    source: its environ, or its scope. host, port: of whoever has connected; None: through a unix socket.
    fields: the names of header fields, small, that are wanted beside.
    """

    __slots__ = ("attributes", "fields", "method", "scheme", "version")

    def __init__(
        self,
        method: str,
        uri: str,
        version: int,
        host: str | None,
        port: int,
        source: Mapping[str, Any],
        methods: frozenset[str],
        fields: Collection[str],
    ) -> None:
        path, query = split(uri)
        self.method = method if method in methods else OTHER
        self.version = VERSIONS[version]
        said: dict[str, str] = {}
        if "wsgi.version" in source:
            self.scheme = str(source["wsgi.url_scheme"])
            client = source.get("REMOTE_ADDR")
            own: tuple[Any, Any] = source["SERVER_NAME"], source["SERVER_PORT"]
            for name in ("host", "user-agent", *fields):
                if (value := source.get(_key(name))) is not None:
                    said[name] = value
        else:
            self.scheme = str(source["scheme"])
            client = (source.get("client") or (None,))[0]
            own = source.get("server") or ("", None)
            wanted = ("host", "user-agent", *fields)
            for raw, octets in source["headers"]:
                if (name := raw.decode("latin-1")) in wanted:
                    # Of several nobody knows which is meant; joined they are none (W3C Trace Context §3.2).
                    said[name] = (
                        f"{said[name]},{octets.decode('latin-1')}"
                        if name in said
                        else octets.decode("latin-1")
                    )
        self.fields = {name: said[name] for name in fields if name in said}
        attributes: dict[str, str | int] = {
            "http.request.method": self.method,
            "url.path": path,
            "url.scheme": self.scheme,
            "network.protocol.version": self.version,
        }
        if self.method == OTHER:
            attributes["http.request.method_original"] = method
        if query:
            attributes["url.query"] = without_secrets(query)
        name, number = server(said["host"], self.scheme) if said.get("host") else own
        if name:
            attributes["server.address"] = name
            if number:
                attributes["server.port"] = int(number)
        if client:
            attributes["client.address"] = client
        if host is not None:
            attributes["network.peer.address"] = host
            attributes["network.peer.port"] = port
        if "user-agent" in said:
            attributes["user_agent.original"] = said["user-agent"]
        self.attributes = attributes


def replace_fields(source: dict[str, Any], fields: Mapping[str, str]) -> None:
    """In what the application is given: header fields that came, by their names in small letters."""
    if "wsgi.version" in source:
        for name, value in fields.items():
            source[_key(name)] = value
        return
    new = {name.encode("latin-1"): value.encode("latin-1") for name, value in fields.items()}
    source["headers"] = [(name, new.get(name, value)) for name, value in source["headers"]]


def _key(name: str) -> str:
    """Of a header field in an environ."""
    return f"HTTP_{name.upper().replace('-', '_')}"


def without_secrets(query: str) -> str:
    if not any(name in query for name in SECRETS):
        return query
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    return "&".join(
        f"{quote(name, encoding='latin-1')}="
        f"{'REDACTED' if name in SECRETS else quote(value, encoding='latin-1')}"
        for name, value in pairs
    )


def server(host: str, scheme: str) -> tuple[str, int | None]:
    """Whom the client has meant, by its Host field: name and port. An IPv6 address stands without its
    brackets."""
    name, colon, port = host.rpartition(":")
    if not colon or name.endswith(":") or (host.startswith("[") and host.endswith("]")):
        name, port = host, ""
    if not port:
        number = PORTS.get(scheme)
    else:
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else None
    return name.removeprefix("[").removesuffix("]"), number


def error_name(error: BaseException) -> str:
    """The class of an exception, with its module unless that is `builtins`. What the class itself would say
    is not asked."""
    kind = type(error)
    name = str(type.__dict__["__qualname__"].__get__(kind))
    module = kind.__dict__.get("__module__")
    return f"{module}.{name}" if type(module) is str and module != "builtins" else name
