"""The application under the fuzzing client: every message comes back as it came, text or bytes.

Knows: ASGI 3. Must not know: the server, the suite. HTTP requests are those of the harness, which asks
whether the worker is still the one that it was (`harness.server.Server.seen`).
"""

import json
import os


async def app(scope, receive, send):
    await KINDS[scope["type"]](receive, send)


async def echo(receive, send):
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        kind = "bytes" if message.get("text") is None else "text"
        try:
            await send({"type": "websocket.send", kind: message[kind]})
        except OSError:  # the client is gone; what `receive` would have said next
            return


async def report(receive, send):
    await receive()
    body = json.dumps({"pid": os.getpid(), "requests": []}).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def live(receive, send):
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


KINDS = {"websocket": echo, "http": report, "lifespan": live}
