"""Responses that are longer than what a client that does not read leaves room for.

`?GATE`; each writes GATE.in at its start.
`/method`   sets REQUEST_METHOD to something long
`/write`    calls write() when it is closed, then writes GATE.closed
`/exit`     raises SystemExit when it is closed, after GATE.closed
`/slow`     waits for GATE when it is closed, after GATE.closing
`/subclass` pieces of a subclass of bytes
`/tail`     a big piece, then waits for GATE, then "last"
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from gates import Environ, StartResponse, dispatch, note, wait

PIECE = bytes(range(250)) * 4000  # 1 MB
PIECES = 12  # more than both sockets' buffers and the server's own hold


class Piece(bytes):
    pass


def method(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    note(environ["QUERY_STRING"], "in")
    environ["REQUEST_METHOD"] = "X" * 70
    start_response("200 OK", [])
    yield from [PIECE] * PIECES


def write(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    gate = environ["QUERY_STRING"]
    note(gate, "in")
    write = start_response("200 OK", [])
    try:
        yield from [PIECE] * PIECES
    finally:
        try:
            write(b"bye")
        finally:
            note(gate, "closed")


def leave(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    gate = environ["QUERY_STRING"]
    note(gate, "in")
    start_response("200 OK", [])
    try:
        yield from [PIECE] * PIECES
    finally:
        note(gate, "closed")
        sys.exit(1)


def slow(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    gate = environ["QUERY_STRING"]
    note(gate, "in")
    start_response("200 OK", [])
    try:
        yield from [PIECE] * PIECES
    finally:
        note(gate, "closing")
        wait(gate)


def subclass(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    note(environ["QUERY_STRING"], "in")
    start_response("200 OK", [])
    for _ in range(PIECES):
        yield Piece(PIECE)


def tail(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    gate = environ["QUERY_STRING"]
    note(gate, "in")
    start_response("200 OK", [])
    yield PIECE * PIECES
    note(gate, "resumed")
    wait(gate)
    yield b"last"


app = dispatch(
    {
        "/method": method,
        "/write": write,
        "/exit": leave,
        "/slow": slow,
        "/subclass": subclass,
        "/tail": tail,
    }
)
