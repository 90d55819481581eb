"""An application whose journal says which requests it was called for, and in which process.

The query string is the request's name, different for each attempt. $COUNTED_JOURNAL names a file, to which a
line is written when the application is imported, and in each process that is forked with it ("S PID"), when
a request begins ("B NAME PID") and when its work is done ("E NAME PID").

`/get`      NAME and the process id
`/stream`   PIECES pieces of PIECE bytes, as fast as they are taken
`/upload`   the length and the SHA-256 of the body
`/events`   EVENTS server-sent events, some time apart, and a last one that says so
`/hold`     60 s
`/grow`     keeps 160 MB
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from counting import BETWEEN, EVENTS, PIECES, event, piece, receipt

JOURNAL = os.open(os.environ["COUNTED_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
KEPT: list[bytes] = []


def note(mark: str, name: str = "") -> None:
    """One write, so lines of several processes do not mix."""
    os.write(JOURNAL, f"{mark} {name} {os.getpid()}\n".encode())


note("S")
os.register_at_fork(after_in_child=lambda: note("S"))


def grow() -> None:
    KEPT.append(b"x" * (160 << 20))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    name, path = environ["QUERY_STRING"], environ["PATH_INFO"]
    note("B", name)
    kind = "text/event-stream" if path == "/events" else "text/plain"
    if path in STREAMS:
        start_response("200 OK", [("Content-Type", kind)])
        return STREAMS[path](name)
    if path == "/upload":
        body = receipt(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    else:
        body = f"{name} {os.getpid()}".encode()
    if path == "/hold":
        time.sleep(60)
    if path == "/grow":
        grow()
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    note("E", name)
    return [body]


def _stream(name: str) -> Iterator[bytes]:
    for number in range(PIECES):
        yield piece(name, number)
    note("E", name)


def _events(name: str) -> Iterator[bytes]:
    for number in range(EVENTS):
        yield event(name, number)
        time.sleep(BETWEEN)
    note("E", name)
    yield event(name, EVENTS)


STREAMS = {"/stream": _stream, "/events": _events}
