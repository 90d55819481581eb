"""Sends 1 MiB in sixteen pieces of 64 KiB that lie ready in memory."""

PIECE = b"x" * 65536
PIECES = 16
HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", b"1048576")]


async def app(scope, receive, send):  # noqa: ARG001 - Daphne passes them by name
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    for left in range(PIECES - 1, -1, -1):
        await send({"type": "http.response.body", "body": PIECE, "more_body": left > 0})
