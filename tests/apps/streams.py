"""Responses that go on, for tests of a worker that drains. A file GATE.end says how one ended.

`/events?GATE`   an event each 20 ms, as text/event-stream, for as long as the server wants
`/lines?GATE`    the same as text/plain
`/stuck?GATE`    one piece, and then nothing: its thread does not come back
`/heed?GATE`     pieces until the worker drains, then "bye", and a good end
`/download?GATE` 8 MB, as fast as the client takes them
`/`              "hello"
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import tricorn

LONGEST = 30.0  # a test that fails must not leave a worker waiting for ever
PIECE = b"0123456789abcdef" * 4096
PIECES = 128


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path, gate = environ["PATH_INFO"], environ["QUERY_STRING"]
    kind = "text/event-stream; charset=utf-8" if path == "/events" else "text/plain"
    start_response("200 OK", [("Content-Type", kind)])
    return VIEWS[path](gate)


def end(gate: str, how: object) -> None:
    Path(gate + ".end").write_text(str(how))


def ticking(gate: str) -> Iterator[bytes]:
    last = time.monotonic() + LONGEST
    try:
        while time.monotonic() < last:
            yield b"data: tick\n\n"
            time.sleep(0.02)
    except GeneratorExit:
        end(gate, "closed")
        raise


def stuck(gate: str) -> Iterator[bytes]:
    del gate
    yield b"first;"
    time.sleep(LONGEST)
    yield b"last"


def heed(gate: str) -> Iterator[bytes]:
    last = time.monotonic() + LONGEST
    while not tricorn.draining() and time.monotonic() < last:
        yield b"tick;"
        time.sleep(0.02)
    end(gate, "heeded")
    yield b"bye"


def download(gate: str) -> Iterator[bytes]:
    for _ in range(PIECES):
        yield PIECE
    end(gate, "complete")


VIEWS: dict[str, Callable[[str], Iterable[bytes]]] = {
    "/": lambda _: [b"hello"],
    "/events": ticking,
    "/lines": ticking,
    "/stuck": stuck,
    "/heed": heed,
    "/download": download,
}
