"""environ["wsgi.websocket"], as applications have it that are made for the package gevent-websocket.

They expect its server, whose handler has made the handshake before they are called: an open WebSocket, of the
package's own class. Here a stand-in is in that place, which makes the handshake and the WebSocket when it is
first used: so an application that takes the connection's socket itself, or answers without it, is not
disturbed by a package that lies about.

Knows: what the package wants of its server. Must not know: frames, the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from tricorn.http.errors import ProtocolError
from tricorn.http.websocket_handshake import Handshake, accept_head, read_handshake

log = logging.getLogger("tricorn.error")

WEBSOCKET, SOCKET = "wsgi.websocket", "tricorn.socket"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

#: What of a handshake stands in the environ.
FIELDS = (
    "CONNECTION",
    "SEC_WEBSOCKET_KEY",
    "SEC_WEBSOCKET_PROTOCOL",
    "SEC_WEBSOCKET_VERSION",
)


def maybe_websockets(application: Application) -> Callable[..., Iterable[bytes]] | None:
    """What is called for requests that ask for another protocol, with what answers them and its arguments:
    gives them a WebSocket. None: the package is not installed.

    application: as it was loaded. What answers is that, or what has hooks called before it."""
    if find_spec("geventwebsocket") is None:
        return None

    def served(
        answer: Application, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if (handshake := maybe_handshake(environ)) is None:
            return answer(environ, start_response)
        return call(answer, environ, start_response, Offered(application, environ, handshake))

    return served


def call(
    application: Application, environ: dict[str, Any], start_response: Callable[..., Any], offered: Offered
) -> Iterable[bytes]:
    environ[WEBSOCKET] = offered
    environ["wsgi.websocket_version"] = environ["HTTP_SEC_WEBSOCKET_VERSION"]
    try:
        response = application(environ, start_response)
    finally:
        environ[WEBSOCKET] = None
        is_open = offered._end()
    if not is_open:
        return response
    if (close := getattr(response, "close", None)) is not None:
        close()
    return []


def maybe_handshake(environ: dict[str, Any]) -> Handshake | None:
    """None: the client asks for something else, or not as it should; the application answers it."""
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
        return None
    fields = [
        (name.lower().replace("_", "-").encode("ascii"), environ[f"HTTP_{name}"].encode("latin-1"))
        for name in FIELDS
        if f"HTTP_{name}" in environ
    ]
    try:
        return read_handshake(environ["REQUEST_METHOD"], 11, fields)
    except ProtocolError:
        return None


class Offered:
    """In the place of a geventwebsocket.websocket.WebSocket. Whatever is asked of it opens it."""

    def __init__(self, application: Application, environ: dict[str, Any], handshake: Handshake) -> None:
        self._application = application
        self._environ = environ
        self._handshake = handshake
        self._websocket: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # only looked for, by a debugger's page, by copy()
            raise AttributeError(name)
        return getattr(self._opened(), name)

    def _opened(self) -> Any:
        if self._websocket is None:
            from geventwebsocket.websocket import WebSocket

            environ, socket = self._environ, self._environ[SOCKET]
            socket.sendall(accept_head(self._handshake, self._maybe_subprotocol()))
            stream = SimpleNamespace(read=socket.makefile("rb").read, write=socket.sendall)
            self._websocket = WebSocket(environ, stream, Handler(self._application, environ, self))
        return self._websocket

    def _maybe_subprotocol(self) -> str | None:
        choose = getattr(self._application, "app_protocol", None)
        chosen = choose(self._environ["PATH_INFO"]) if choose is not None else None
        return chosen if chosen in self._handshake.subprotocols else None

    def _end(self) -> bool:
        """The application is done with it. Whether it has been opened."""
        if self._websocket is None:
            return False
        if not self._websocket.closed:
            self._websocket.close()
        return True


class Handler:
    """What a WebSocket of the package's asks its handler for."""

    def __init__(self, application: Application, environ: dict[str, Any], websocket: Offered) -> None:
        address = (environ["REMOTE_ADDR"], environ["REMOTE_PORT"])
        self.logger = log
        self.active_client = SimpleNamespace(address=address, ws=websocket)
        self.server = SimpleNamespace(application=application, clients={address: self.active_client})
