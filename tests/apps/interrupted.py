"""Requests that are interrupted by the clock, and such that must not be.

`/receive?PORT`  waits in one call into C for a connection to PORT, which fails when the test resets it
`/pieces?GATE`   three pieces: the first waits for GATE.0, the next for GATE.1 ...
`/write?SIZE`    SIZE bytes in one write()
`/upload`        reads its body to the end, says how long it was
`/hold`, `/block` see gates.py
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from gates import Environ, StartResponse, dispatch, wait


def receive(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    client = socket.create_connection(("127.0.0.1", int(environ["QUERY_STRING"])))
    client.recv(1)
    start_response("200 OK", [])
    return [b"received"]


def pieces(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    gate = environ["QUERY_STRING"]
    start_response("200 OK", [])
    for number in range(3):
        wait(f"{gate}.{number}")
        yield b"%d" % number


def write(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    size = int(environ["QUERY_STRING"])
    write = start_response("200 OK", [("Content-Length", str(size))])
    write(bytes(size))
    return []


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [])
    return [b"%d" % size]


app = dispatch({"/receive": receive, "/pieces": pieces, "/write": write, "/upload": upload})
