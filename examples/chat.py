"""A chat over WebSocket, in nothing but ASGI: `tricorn --chdir examples chat:app`, then open the page twice.

The room is in the memory of the process, so it is one room only with `--workers 1` (which is the default).
"""

import json
from urllib.parse import unquote

PAGE = b"""<!doctype html>
<meta charset="utf-8">
<title>Chat</title>
<ul id="log"></ul>
<form id="form"><input id="text" autocomplete="off" autofocus placeholder="say something"></form>
<script>
  const log = document.getElementById("log"), text = document.getElementById("text");
  const name = prompt("Your name?") || "somebody";
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/room?${encodeURIComponent(name)}`, "chat");
  function show(line) {
    const item = document.createElement("li");
    item.textContent = line;
    log.append(item);
  }
  socket.onmessage = event => { const {who, says} = JSON.parse(event.data); show(`${who}: ${says}`); };
  socket.onclose = event => show(`closed (${event.code})`);
  document.getElementById("form").onsubmit = event => {
    event.preventDefault();
    socket.send(text.value);
    text.value = "";
  };
</script>
"""

LONGEST = 2000  # characters of one message

room = set()  # the `send` of each member


async def app(scope, receive, send):
    await KINDS[scope["type"]](scope, receive, send)


async def lifespan(_scope, receive, send):
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def page(scope, _receive, send):
    found = scope["path"] == "/"
    body = PAGE if found else b"There is only /.\n"
    fields = [
        (b"content-type", b"text/html; charset=utf-8" if found else b"text/plain"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def chat(scope, receive, send):
    await receive()  # websocket.connect
    if scope["path"] != "/room" or "chat" not in scope["subprotocols"]:
        await send({"type": "websocket.close"})  # before it was accepted: 403
        return
    await send({"type": "websocket.accept", "subprotocol": "chat"})
    who = unquote(scope["query_string"].decode("ascii"))[:40] or "somebody"
    room.add(send)
    try:
        await tell(who, "(is here)")
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") is None or len(message["text"]) > LONGEST:
                await send(
                    {"type": "websocket.close", "code": 1008, "reason": "text, and not too much of it"}
                )
                break
            await tell(who, message["text"])
    finally:
        room.discard(send)
        await tell(who, "(has left)")


async def tell(who, says):
    """Tell everybody; who has just gone will be taken out of the room by his own task."""
    text = json.dumps({"who": who, "says": says})
    for send in room.copy():
        try:
            await send({"type": "websocket.send", "text": text})
        except OSError:
            continue


KINDS = {"lifespan": lifespan, "http": page, "websocket": chat}
