"""What applications do with wsgi.input.

`/keep`         keeps it for later, reads nothing
`/stale`        reads what was kept, then its own
`/thread?GATE`  leaves it to a thread, which writes GATE.in before it reads, and afterwards GATE.out with what
                came; answers when GATE exists
`/ignore`       does not touch it
`/echo`         sends it back
`/write?SIZE`   writes SIZE bytes, then reads it, then writes it
`/detach`       detaches it
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from typing import Any

from gates import Environ, StartResponse, dispatch, note, wait

KEPT: list[Any] = []


def _attempt(stream: Any) -> str:
    try:
        return repr(stream.read(1000))
    except Exception as error:  # noqa: BLE001 - an error is one of the right answers
        return type(error).__name__


def keep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    KEPT.append(environ["wsgi.input"])
    start_response("200 OK", [])
    return [b"kept"]


def stale(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    found = [_attempt(KEPT.pop()), _attempt(environ["wsgi.input"])]
    start_response("200 OK", [])
    return [json.dumps(found).encode()]


def thread(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    gate = environ["QUERY_STRING"]
    stream = environ["wsgi.input"]

    def read() -> None:
        note(gate, "in")
        note(gate, "out", _attempt(stream))

    threading.Thread(target=read, daemon=True).start()
    wait(gate)
    start_response("200 OK", [])
    return [b"left"]


def ignore(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"ignored"]


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


def write(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [])
    write(b"w" * int(environ["QUERY_STRING"]))
    write(environ["wsgi.input"].read())
    return []


def detach(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.input"].detach()
    start_response("200 OK", [])
    return [b"detached"]


app = dispatch(
    {
        "/keep": keep,
        "/stale": stale,
        "/thread": thread,
        "/ignore": ignore,
        "/echo": echo,
        "/write": write,
        "/detach": detach,
    }
)
