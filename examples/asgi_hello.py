"""The smallest ASGI application: `tricorn --chdir examples asgi_hello:app`."""


async def app(scope, _receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])  # no lifespan, no WebSocket
    body = b"Hello from Tricorn!\n"
    fields = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
