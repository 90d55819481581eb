"""The smallest ASGI application: 13 bytes with a type and a length."""

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]


async def app(scope, receive, send):  # noqa: ARG001 - Daphne passes them by name
    assert scope["type"] == "http"  # so a server knows that there is no lifespan
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"Hello, World!"})
