"""A Quart application: pages, forms, streams both ways, WebSocket, work before and after serving."""

import asyncio
import hashlib

from quart import Quart, abort, jsonify, redirect, request, session, url_for, websocket

app = Quart(__name__)
app.secret_key = "only for the tests"
app.config["MAX_CONTENT_LENGTH"] = 8_000_000
LOG = []


@app.before_serving
async def open_site():
    LOG.append("open")


@app.after_serving
async def close_site():
    print("the site closes", flush=True)


@app.get("/")
async def index():
    return "hello"


@app.get("/log")
async def log():
    return jsonify(LOG)


@app.post("/login")
async def login():
    session["user"] = (await request.form)["user"]
    return redirect(url_for("whoami"))


@app.get("/whoami")
async def whoami():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(user=session.get("user"), visits=session["visits"])


@app.post("/upload")
async def upload():
    file = (await request.files)["file"]
    return jsonify(name=file.filename, sha256=hashlib.sha256(file.read()).hexdigest())


@app.post("/digest")
async def digest():
    """Of a body that is read as it comes."""
    seen = hashlib.sha256()
    async for piece in request.body:
        seen.update(piece)
    return seen.hexdigest()


@app.get("/stream")
async def stream():
    count = int(request.args["lines"])

    async def lines():
        for number in range(count):
            yield f"line {number}\n"

    return lines(), {"Content-Type": "text/plain"}


@app.get("/thread")
def in_a_thread():
    return "from a thread"


@app.get("/gone")
async def gone():
    abort(410)


@app.get("/fails")
async def fails():
    raise RuntimeError("this handler always fails")


@app.websocket("/ws/echo")
async def echo():
    while True:
        await websocket.send(await websocket.receive())


@app.websocket("/ws/about")
async def about():
    await websocket.accept(subprotocol="v2", headers={"X-Extra": "from accept"})
    await websocket.send_json({"asked": websocket.requested_subprotocols, "query": websocket.args["q"]})
    await websocket.close(4002, "done")


@app.websocket("/ws/refuses")
async def refuses():
    abort(418)


@app.websocket("/ws/waits")
async def waits():
    """Quart cancels a handler whose client has gone."""
    await websocket.accept()
    try:
        await websocket.receive()
    except asyncio.CancelledError:
        LOG.append("cancelled")
        raise
