"""An application that names files to be sent in the place of its body.

`/STATUS?FIELD=VALUE` answers with that status and field, and a body in two pieces; `/seen` as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

from recorder import Environ, StartResponse, record, report

STATUSES = {"200": "200 OK", "206": "206 Partial Content", "404": "404 Not Found", "304": "304 Not Modified"}
FIELDS = [
    ("Content-Type", "text/x-mine"),
    ("Content-Disposition", "attachment"),
    ("Content-Length", "999"),
    ("ETag", '"of the application"'),
    ("X-Accel-Buffering", "no"),
    ("Set-Cookie", "a=b"),
]


def asked_for(path: str, query: str) -> tuple[str, list[tuple[str, str]]]:
    name, _, value = query.partition("=")
    fields = [pair for pair in FIELDS if pair[0] != "Content-Length" or path == "/200"]
    return STATUSES[path[1:4]], [*fields, (name, unquote_to_bytes(value).decode("latin-1"))]


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/seen":
        return report(start_response)
    record(environ)
    start_response(*asked_for(environ["PATH_INFO"], environ["QUERY_STRING"]))
    return pieces()


def pieces() -> Iterator[bytes]:
    yield b"of the "
    yield b"application"
