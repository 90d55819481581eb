"""The well-behaved application: it tells what it was given.

`/seen`       what was recorded (see `recorder.py`)
`/unread...`  leaves the body alone
`/partly`     reads the first byte of the body and leaves the rest
`/late`       starts the response with a chunk, then reads the body and appends its length
`/block?GATE&MARK`  makes the file MARK (if given), waits until the file GATE exists, 10 s at most
`/big?N`      N bytes in one piece
`/stream?N`   N bytes in pieces of 64 KiB, without a Content-Length
else          reads the body and answers with all of it as JSON
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from recorder import Environ, StartResponse, answer, record, report

PIECE = 65536


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/seen":
        return report(start_response)
    entry = record(environ)
    if path.startswith("/unread"):
        return answer(start_response, "unread")
    if path == "/partly":
        return answer(start_response, environ["wsgi.input"].read(1).decode("latin-1"))
    if path == "/late":
        return _late(environ, start_response)
    if path == "/block":
        gate, _, mark = environ["QUERY_STRING"].partition("&")
        if mark:
            open(mark, "w").close()
        _wait_for_file(gate)
        entry["body"] = environ["wsgi.input"].read().decode("latin-1")
        return answer(start_response, "released")
    if path == "/big":
        size = int(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
        return [b"b" * size]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _pieces(int(environ["QUERY_STRING"]))
    try:
        entry["body"] = environ["wsgi.input"].read().decode("latin-1")
    except Exception as error:
        entry["error"] = type(error).__name__
        raise
    return answer(start_response, entry)


def _late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"started;"
    yield str(len(environ["wsgi.input"].read())).encode("ascii")


def _pieces(size: int) -> Iterator[bytes]:
    piece = b"s" * PIECE
    for start in range(0, size, PIECE):
        yield piece[: size - start]


def _wait_for_file(name: str) -> None:
    end = time.monotonic() + 10
    while not os.path.exists(name) and time.monotonic() < end:
        time.sleep(0.002)
