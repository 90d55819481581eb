"""10 KiB in one piece, with a type and a length."""

BODY = b"x" * 10240
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"10240")]


async def app(scope, receive, send):  # noqa: ARG001 - Daphne passes them by name
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
