"""An application that takes its connections over.

Where the request asks for another protocol (`head()` says yes to it):

`/echo`           gives back what comes until the end, says "bye", and leaves as Gunicorn's applications do
`/answers`        gives back one piece, and then answers as if nothing had been taken
`/fails?NAME`     gives back one piece, and raises the built-in exception of this name
`/keeps`          returns at once; a thread of its own does what `/echo` does
`/elsewhere`      has a thread of its own take it, while the request runs
`/closes?GATE`    takes it, closes it, and goes on until the file GATE exists
`/hinted`         does what `/echo` does, behind 12 MB of early hints
`/late`           a piece of the response, then what comes of taking it over
`/looks`          what can be asked without taking it over, and then an answer

Anything else: what an ordinary request has, and `/large` 4 MB.
"""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import recorder

from tricorn.gateway.errors import GatewayError

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
KEYS = ("tricorn.socket", "gunicorn.socket")
LONGEST = 30.0

Environ = dict[str, Any]


def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/seen":
        return recorder.report(start_response)
    if path == "/large":
        start_response("200 OK", [])
        return [b"l" * (4 << 20)]
    if "tricorn.socket" not in environ or path not in PATHS:
        return recorder.answer(start_response, [key for key in KEYS if key in environ])
    return PATHS[path](environ, start_response)


def echo(environ: Environ, _: Any) -> Iterable[bytes]:
    _echo(environ["gunicorn.socket"])
    raise StopIteration


def hinted(environ: Environ, start_response: Any) -> Iterable[bytes]:
    for _ in range(400):
        environ["wsgi.early_hints"]([("Link", f"</{'x' * 30_000}>; rel=preload")])
    return echo(environ, start_response)


def answers(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    with environ["tricorn.socket"] as socket:
        _echo_once(socket)
        start_response("200 OK", [("Content-Length", "5")])(b"never")
        return [b"never"]


def fails(environ: Environ, _: Any) -> Iterable[bytes]:
    _echo_once(environ["tricorn.socket"])
    raise getattr(builtins, environ["QUERY_STRING"])("on purpose")


def keeps(environ: Environ, _: Any) -> Iterable[bytes]:
    socket = environ["tricorn.socket"].dup()
    threading.Thread(target=_echo, args=(socket,), daemon=True).start()
    return iter(())


def elsewhere(environ: Environ, _: Any) -> Iterable[bytes]:
    thread = threading.Thread(target=_echo, args=(environ["tricorn.socket"],), daemon=True)
    thread.start()
    thread.join(LONGEST)
    return []


def closes(environ: Environ, _: Any) -> Iterable[bytes]:
    with environ["tricorn.socket"] as socket:
        socket.sendall(HEAD)
    end = time.monotonic() + LONGEST
    while not Path(environ["QUERY_STRING"]).exists() and time.monotonic() < end:
        time.sleep(0.002)
    return []


def late(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])(b"first;")
    try:
        environ["tricorn.socket"].sendall(HEAD)
    except GatewayError as error:
        return [type(error).__name__.encode()]
    return [b"taken"]


def looks(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    socket = environ["tricorn.socket"]
    found = {
        "repr": repr(socket),
        "odd": [hasattr(socket, name) for name in ("__deepcopy__", "_sock", "getpeercert", "html")],
        "peer": socket.getpeername()[1] == int(environ["REMOTE_PORT"]),
        "own": socket.getsockname()[1] == int(environ["SERVER_PORT"]),
        "same": environ["gunicorn.socket"] is socket,
    }
    return recorder.answer(start_response, found)


PATHS: dict[str, Callable[[Environ, Any], Iterable[bytes]]] = {
    f"/{function.__name__}": function
    for function in (echo, hinted, answers, fails, keeps, elsewhere, closes, late, looks)
}


def _echo(socket: Any) -> None:
    socket.sendall(HEAD)
    while data := socket.recv(65536):
        socket.sendall(data)
    socket.sendall(b"bye")
    socket.close()


def _echo_once(socket: Any) -> None:
    socket.sendall(HEAD)
    socket.sendall(socket.recv(65536))
