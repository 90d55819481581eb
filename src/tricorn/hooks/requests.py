"""The moments around a request, and what hooks are given of it. Names and meanings are Gunicorn's.

    visit ──→ application (behind pre_request) ──→ finish (post_request) ──→ afterwards (after_response)

A worker that has none of these hooks has no Visitors, and pays one look at that for each request.

Knows: environ and scope, the worker's object. Must not know: how requests are served, threads, the loop.

What is told of a request is what came over the wire: an application may change its environ or its scope, and
hooks may look behind it. What a hook changes of a request before it begins reaches the application.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

from tricorn.hooks.found import HookError, Hooks
from tricorn.hooks.objects import Worker
from tricorn.http.target import split
from tricorn.log.error import ERROR_LOGGER

log = logging.getLogger(ERROR_LOGGER)

#: Of an environ, what stands for header fields without saying so in its name.
BARE = {"CONTENT_TYPE": "CONTENT-TYPE", "CONTENT_LENGTH": "CONTENT-LENGTH"}
KEYS = {header: key for key, header in BARE.items()}

#: Where else in an environ stands what hooks may change.
WRITTEN = {
    "method": "REQUEST_METHOD",
    "uri": "RAW_URI",
    "query": "QUERY_STRING",
    "scheme": "wsgi.url_scheme",
}

#: What of a request came over the wire: method, target, version (10, 11); host and port of its client.
Came = tuple[str, str, int, str | None, int]

AROUND = ("pre_request", "post_request", "after_response", "on_request_timeout")


class Visitors:
    """For the hooks around the requests of one worker. application: for which it is."""

    def __init__(self, hooks: Hooks, worker: Worker, application: Callable[..., Any], is_loop: bool) -> None:
        self.hooks = hooks
        self.worker = worker
        self.application = application
        self.pre = hooks.maybe("pre_request")
        self.post = hooks.maybe("post_request")
        self.after = hooks.maybe("after_response")
        kind = LoopRequest if is_loop else ThreadRequest
        #: Called with a request that comes, as `Request` is.
        self.visit: Callable[[Came, dict[str, Any]], Request] = partial(kind, self)


class Lazy:
    """An attribute that is made when it is first asked for, and can be set to something else."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        made = instance.__dict__[self.name] = self.make(instance)
        return made


class Watched(Lazy):
    """The same, of a request. That it was asked for or set is noted, so that only then somebody looks for
    what has become of it; to look into `__dict__` would make one for each request."""

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        known = instance.__dict__
        if self.name not in known:
            instance._watched = True
            known[self.name] = self.make(instance)
        return known[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        instance._watched = True
        instance.__dict__[self.name] = value

    def __delete__(self, instance: Any) -> None:
        instance.__dict__.pop(self.name, None)


class Request:
    """`req`. Hooks may hang attributes of their own on it."""

    __slots__ = ("__dict__", "__weakref__", "_came", "_ended", "_source", "_visitors", "_watched")

    #: Gunicorn's names for what there is no more to say of.
    fragment = ""
    proxy_protocol_info = None
    trailers: Sequence[tuple[str, str]] = ()

    _is_of_a_scope = False
    #: For `after_response`: the environ and what the client got.
    _ended: tuple[Any, Response]

    def __init__(self, visitors: Visitors, came: Came, source: dict[str, Any]) -> None:
        """source: its environ, or its scope."""
        self._visitors = visitors
        self._came = came
        self._watched = False
        # The application may change its own before somebody looks here.
        self._source = source.copy()

    @Watched
    def method(self) -> str:
        return self._came[0]

    @Watched
    def uri(self) -> str:
        """The target as it came."""
        return self._came[1]

    @Watched
    def path(self) -> str:
        """Of the target, not decoded."""
        return split(self._came[1])[0]

    @Watched
    def query(self) -> str:
        return split(self._came[1])[1]

    @Watched
    def version(self) -> tuple[int, int]:
        return divmod(self._came[2], 10)

    @Watched
    def peer_addr(self) -> tuple[str, int] | str:
        """(host, port), or an empty text for a client on a unix socket."""
        _, _, _, host, port = self._came
        return "" if host is None else (host, max(port, 0))

    @Watched
    def remote_addr(self) -> tuple[str, int] | str:
        peer: tuple[str, int] | str = self.peer_addr
        return peer

    @Watched
    def scheme(self) -> str:
        return self._scheme()

    @Watched
    def headers(self) -> list[tuple[str, str]]:
        """(NAME, value), the names in capitals."""
        return self._fields()

    def _scheme(self) -> str:
        raise NotImplementedError

    def _fields(self) -> list[tuple[str, str]]:
        raise NotImplementedError

    def _changes(self) -> Iterator[tuple[str, Any]]:
        """What a hook has made of it."""
        for name in tuple(self.__dict__):
            lazy = getattr(type(self), name, None)
            if isinstance(lazy, Lazy) and (value := self.__dict__[name]) != lazy.make(self):
                yield name, value

    def _before(self, source: dict[str, Any]) -> None:
        """The hook pre_request, in the context of the request. Raises HookError, and what is no Exception."""
        assert self._visitors.pre is not None
        try:
            self._visitors.pre(self._visitors.worker, self)
        except Exception as error:
            raise HookError("pre_request", error) from error
        if self._watched:
            for name, value in self._changes():
                self._apply(source, name, value)

    def _apply(self, source: dict[str, Any], name: str, value: Any) -> None:
        raise NotImplementedError

    def _finish(self, source: dict[str, Any], status: str | None, headers: Any, sent: int) -> None:
        """The response is out of the application's hands: the hook post_request, in the same context."""
        response = Response(self, status, headers, sent)
        told = ScopeEnviron(self, source) if self._is_of_a_scope else source
        visitors = self._visitors
        if visitors.after is not None:
            self._ended = told, response
        if visitors.post is not None:
            self._tell("post_request", visitors.post, told, response)

    def _afterwards(self) -> None:
        """The client is served: the hook after_response."""
        assert self._visitors.after is not None
        environ, response = self._ended
        del self._ended  # which would hold each other
        self._tell("after_response", self._visitors.after, environ, response)

    def _timed_out(self) -> None:
        """It has taken longer than request_timeout. The hook runs beside all that goes on, in a thread."""
        hook = self._visitors.hooks.maybe("on_request_timeout")
        if hook is not None:
            threading.Thread(
                target=self._tell, args=("on_request_timeout", hook), name="tricorn-hook", daemon=True
            ).start()

    def _tell(self, name: str, hook: Callable[..., Any], *more: Any) -> None:
        try:
            hook(self._visitors.worker, self, *more)
        except BaseException:
            log.exception("The hook %s raised (%s %s)", name, *self._came[:2])


class ThreadRequest(Request):
    """Of a WSGI application."""

    __slots__ = ()

    def _application(self, environ: dict[str, Any], start_response: Any) -> Any:
        """In place of the application, where there is something to do before it."""
        self._before(environ)
        return self._visitors.application(environ, start_response)

    def _scheme(self) -> str:
        return str(self._source["wsgi.url_scheme"])

    def _fields(self) -> list[tuple[str, str]]:
        return [
            (key[5:].replace("_", "-") if key.startswith("HTTP_") else BARE[key], value)
            for key, value in self._source.items()
            if key.startswith("HTTP_") or (key in BARE and value)
        ]

    def _apply(self, source: dict[str, Any], name: str, value: Any) -> None:
        if name == "headers":
            for key in [key for key in source if key.startswith("HTTP_") or key in BARE]:
                del source[key]
            for header, text in value:
                key = _key(header)
                joiner = "; " if key == "HTTP_COOKIE" else ","
                source[key] = f"{source[key]}{joiner}{text}" if key in source else text
        elif name == "path":
            source["PATH_INFO"] = decoded(value)
        elif name in WRITTEN:
            source[WRITTEN[name]] = value


def _key(header: str) -> str:
    name = header.upper()
    return KEYS.get(name) or f"HTTP_{name.replace('-', '_')}"


def decoded(path: str) -> str:
    """Percent-decoded, its bytes as latin-1 (PEP 3333)."""
    from urllib.parse import unquote_to_bytes  # hardly any hook does this

    return unquote_to_bytes(path).decode("latin-1")


class LoopRequest(Request):
    """Of an ASGI application."""

    __slots__ = ()
    _is_of_a_scope = True

    async def _application(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """In place of the application, where there is something to do before it."""
        self._before(scope)
        await self._visitors.application(scope, receive, send)

    def _scheme(self) -> str:
        return str(self._source["scheme"])

    def _fields(self) -> list[tuple[str, str]]:
        return [
            (name.decode("latin-1").upper(), value.decode("latin-1"))
            for name, value in self._source["headers"]
        ]

    def _apply(self, source: dict[str, Any], name: str, value: Any) -> None:
        if name == "headers":
            source["headers"] = [
                (key.lower().encode("latin-1"), text.encode("latin-1")) for key, text in value
            ]
        elif name == "path":
            source["raw_path"] = value.encode("latin-1")
            source["path"] = decoded(value).encode("latin-1").decode("utf-8", "replace")
        elif name == "query":
            source["query_string"] = value.encode("latin-1")
        elif name in ("method", "scheme"):
            source[name] = value


class ScopeEnviron(MutableMapping[str, Any]):
    """What would be the environ of a request that has a scope, made when it is looked at. The scope itself is
    in it under `asgi.scope`."""

    __slots__ = ("_made", "_request", "_scope")

    def __init__(self, request: Request, scope: dict[str, Any]) -> None:
        self._request = request
        self._scope = scope
        self._made: dict[str, Any] | None = None

    @property
    def _items(self) -> dict[str, Any]:
        if self._made is None:
            self._made = environ_of(self._request, self._scope)
        return self._made

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._items[key] = value

    def __delitem__(self, key: str) -> None:
        del self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def copy(self) -> dict[str, Any]:
        return self._items.copy()

    def __repr__(self) -> str:
        return repr(self._items)


def environ_of(request: Request, scope: Mapping[str, Any]) -> dict[str, Any]:
    """By PEP 3333's names, of what came over the wire."""
    major, minor = request.version
    client, server = scope.get("client"), scope.get("server") or ("", None)
    root = str(scope.get("root_path") or "")
    path = str(scope.get("path") or "").encode().decode("latin-1")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": path.removeprefix(root),
        "QUERY_STRING": request.query,
        "RAW_URI": request.uri,
        "SERVER_PROTOCOL": f"HTTP/{major}.{minor}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": "" if server[1] is None else str(server[1]),
        "REMOTE_ADDR": client[0] if client else "",
        "REMOTE_PORT": str(client[1]) if client else "",
        "wsgi.url_scheme": request.scheme,
        "asgi.scope": scope,
    }
    for name, value in request.headers:
        key = _key(name)
        joiner = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{joiner}{value}" if key in environ else value
    return environ


class Response:
    """`resp`: what the client got."""

    __slots__ = ("__dict__", "__weakref__", "_headers", "req", "sent", "status")

    def __init__(self, request: Request, status: str | None, headers: Any, sent: int) -> None:
        self.req = request
        #: "200 OK"; None: nothing was sent, and the application had not said any.
        self.status = status
        self._headers = headers
        #: Bytes of the body.
        self.sent = sent

    @Lazy
    def status_code(self) -> int:
        return int(self.status.split(" ")[0]) if self.status else 0

    @Lazy
    def headers(self) -> list[tuple[str, str]]:
        """(name, value), as the application gave them."""
        return [(_text(name), _text(value)) for name, value in self._headers or ()]

    @property
    def headers_sent(self) -> bool:
        return self.status is not None

    @Lazy
    def response_length(self) -> int | None:
        """What Content-Length says."""
        return next((int(value) for name, value in self.headers if name.lower() == "content-length"), None)


def _text(part: str | bytes) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else part
