"""Applications that treat their environ as their own.

`/clear`    empties it, then raises
`/keep`     has a context variable hold it, with 100 KB
`/memory`   the resident memory of this process, in bytes
`/field`    what stands in X-Field
"""

from __future__ import annotations

import contextvars
import gc
import os
from collections.abc import Iterable
from pathlib import Path

from gates import Environ, StartResponse, dispatch

KEPT: contextvars.ContextVar[Environ] = contextvars.ContextVar("kept")


def clear(environ: Environ, _: StartResponse) -> Iterable[bytes]:
    environ.clear()
    raise ValueError("cleared")


def keep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    KEPT.set(environ)
    environ["ballast"] = bytearray(b"b" * 100_000)
    start_response("200 OK", [])
    return [b"kept"]


def memory(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    start_response("200 OK", [])
    return [b"%d" % (pages * os.sysconf("SC_PAGE_SIZE"))]


def field(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [repr(environ.get("HTTP_X_FIELD")).encode()]


app = dispatch({"/clear": clear, "/keep": keep, "/memory": memory, "/field": field})
