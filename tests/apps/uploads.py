"""What becomes of a request body.

`/where`      answers with its place, length and SHA-256, and the worker's memory and write() calls so far
`/keep`       keeps wsgi.input, and a view of its memory, for ever
`/kept`       what can be read of what was kept
`/fail`       raises
`/block?GATE` does not end before GATE exists
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gates import Environ, StartResponse, dispatch

KEPT: list[Any] = []


def _figure(file: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)", Path(f"/proc/self/{file}").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def where(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    stream = environ["wsgi.input"]
    digest = hashlib.sha256()
    size = 0
    while piece := stream.read(65536):
        digest.update(piece)
        size += len(piece)
    found = {
        "place": "memory" if isinstance(stream, io.BytesIO) else "file",
        "size": size,
        "length": environ["CONTENT_LENGTH"],
        "sha256": digest.hexdigest(),
        "resident": _figure("status", "VmRSS") * 1024,
        "writes": _figure("io", "syscw"),
    }
    start_response("200 OK", [])
    return [json.dumps(found).encode()]


def keep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    stream = environ["wsgi.input"]
    KEPT.append(stream)
    if environ["QUERY_STRING"] == "view":
        KEPT.append(stream.getbuffer())
    start_response("200 OK", [])
    return [b"kept"]


def kept(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [repr([stream.closed for stream in KEPT if not isinstance(stream, memoryview)]).encode()]


def fail(*_: Any) -> Iterable[bytes]:
    raise RuntimeError("as wanted")


app = dispatch({"/where": where, "/keep": keep, "/kept": kept, "/fail": fail})
