"""Sends a file of 1 MiB with `http.response.pathsend`.

Where a server does not offer it, the file is read and sent in pieces of 64 KiB. It lies in the page cache, so
reading it on the loop costs less than any hand-over to a thread would."""

import os

PATH = os.environ["BENCH_FILE"]
PIECE = 65536
SIZE = 1048576
HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % SIZE)]


async def app(scope, receive, send):  # noqa: ARG001 - Daphne passes them by name
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    if "http.response.pathsend" in scope.get("extensions", ()):
        await send({"type": "http.response.pathsend", "path": PATH})
        return
    left = SIZE
    with open(PATH, "rb", buffering=0) as file:
        while left > 0:
            piece = file.read(PIECE)
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
