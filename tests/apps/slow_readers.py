"""`/endless`: one big piece, then small ones without end, each after some computing."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gates import Environ, StartResponse, dispatch


def endless(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"e" * 2_900_000  # what the sockets' buffers and the server hold together, about
    while True:
        end = time.monotonic() + 0.0005
        while time.monotonic() < end:
            pass
        yield b"ee"


app = dispatch({"/endless": endless})
