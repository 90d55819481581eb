"""`life.py` for routes of all sorts: what stands before its paths makes no difference. And pages of its own:

`…/who`        JSON: on which thread it runs, what its environ says of threads and time limits
`…/stream?N`   N pieces of 64 KiB, then the names of the threads that have made them
`…/read`       how many bytes of body there are
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from life import app as life


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    page = "/" + environ["PATH_INFO"].rpartition("/")[2]
    if page == "/who":
        start_response("200 OK", [])
        return [json.dumps(_who(environ)).encode()]
    if page == "/stream":
        start_response("200 OK", [])
        return _stream(int(environ["QUERY_STRING"]))
    if page == "/read":
        start_response("200 OK", [])
        return [str(len(environ["wsgi.input"].read())).encode()]
    return life({**environ, "PATH_INFO": page}, start_response)


def _who(environ: dict[str, Any]) -> dict[str, Any]:
    thread = threading.current_thread()
    environ["wsgi.early_hints"]([("Link", "</style.css>")])
    return {
        "thread": thread.name,
        "is_main": thread is threading.main_thread(),
        "multithread": environ["wsgi.multithread"],
        "remaining": environ["tricorn.deadline"].remaining(),
    }


def _stream(count: int) -> Iterator[bytes]:
    names = set()
    for _ in range(count):
        names.add(threading.current_thread().name)
        yield b"s" * 65536
    yield " ".join(sorted(names)).encode()
