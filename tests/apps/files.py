"""Files in wsgi.file_wrapper.

`/send?PATH`    sends it
`/shrink?PATH`  cuts it in half after its Content-Length was said
`/grow?PATH`    doubles it after its Content-Length was said
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from gates import Environ, StartResponse, dispatch

TYPE = [("Content-Type", "application/octet-stream")]


def send(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TYPE)
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))  # type: ignore[no-any-return]


def shrink(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["QUERY_STRING"]
    size = os.stat(path).st_size
    start_response("200 OK", [*TYPE, ("Content-Length", str(size))])
    os.truncate(path, size // 2)
    return environ["wsgi.file_wrapper"](open(path, "rb"))  # type: ignore[no-any-return]


def grow(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["QUERY_STRING"]
    size = os.stat(path).st_size
    start_response("200 OK", [*TYPE, ("Content-Length", str(size))])
    os.truncate(path, size * 2)
    return environ["wsgi.file_wrapper"](open(path, "rb"))  # type: ignore[no-any-return]


app = dispatch({"/send": send, "/shrink": shrink, "/grow": grow})
