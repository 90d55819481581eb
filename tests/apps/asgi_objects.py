"""A page of many objects, and a WebSocket, for a browser that fetches them side by side.

`/`          the page: 200 images of its own, a script that says in its title what came of them
`/object?N`  an image, after a while that depends on N; of 100 bytes to 20 KB
`/upload`    the length of the body
`/socket`    a WebSocket: tells the version of HTTP that it came by, then each message, back
`/ports`     how many ports of clients objects and WebSockets were asked for from, that is connections
"""

from __future__ import annotations

import asyncio

from asgi_recorder import Receive, Scope, Send, answer, body, read_body, recorded, start

COUNT = 200
PORTS: set[int] = set()
#: A GIF of one pixel; a decoder stops at its end, so padding behind it does no harm.
PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)

PAGE = """<!doctype html><title>begun</title><body><script>
const count = COUNT, load = n => new Promise((good, bad) => {
    const image = new Image();
    image.onload = good; image.onerror = () => bad(new Error('object ' + n));
    image.src = '/object?' + n;
    document.body.append(image);
});
const talk = () => new Promise((good, bad) => {
    const socket = new WebSocket(location.origin.replace('http', 'ws') + '/socket'), told = [];
    socket.onerror = () => bad(new Error('socket'));
    socket.onmessage = message => { told.push(message.data); if (told.length == 3) socket.close(); };
    socket.onclose = close => good(told.join() + ' ' + close.code);
    socket.onopen = () => { socket.send('one'); socket.send('two'); };
});
(async () => {
    try {
        await Promise.all(Array.from({length: count}, (_, n) => load(n)));
        const sent = await (await fetch('/upload', {method: 'POST', body: 'u'.repeat(300000)})).text();
        const socket = await talk();
        const ports = await (await fetch('/ports')).text();
        const used = performance.getEntriesByType('resource').map(entry => entry.nextHopProtocol);
        document.title = ['done', used.filter(one => one == 'h2').length, sent, socket, ports].join(' ');
    } catch (error) { document.title = 'failed ' + error; }
})();
</script></body>""".replace("COUNT", str(COUNT))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" or scope.get("path") == "/object":
        PORTS.add(scope["client"][1])
    if scope["type"] == "websocket":
        await _socket(scope, receive, send)
    elif scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    elif scope["path"] == "/seen":
        await answer(send, recorded())
    elif scope["path"] == "/object":
        number = int(scope["query_string"])
        await asyncio.sleep(number % 10 / 1000)
        await start(send, 200, (b"content-type", b"image/gif"), (b"cache-control", b"no-store"))
        await body(send, PIXEL + bytes(number * 100))
    elif scope["path"] == "/ports":
        await start(send, 200, (b"content-type", b"text/plain"))
        await body(send, b"%d" % len(PORTS))
    elif scope["path"] == "/upload":
        size = len(await read_body(receive))
        await start(send, 200, (b"content-type", b"text/plain"))
        await body(send, b"%d" % size)
    else:
        await start(send, 200, (b"content-type", b"text/html"))
        await body(send, PAGE.encode())


async def _socket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": scope["http_version"]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
