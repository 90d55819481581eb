"""python-socketio: polling, the upgrade to WebSocket, a room, binary data, by its own client."""

PACKAGES = ("python-socketio", "aiohttp")
INTERFACE = "asgi"
PAGES = ()
RECONNECTS = True


def site():
    import socketio

    # The client leaves only when its last poll has timed out, which is after the sum; the default is 45 s.
    server = socketio.AsyncServer(async_mode="asgi", ping_interval=1, ping_timeout=3)

    @server.event
    async def join(sid, room):
        await server.enter_room(sid, room)
        return f"in {room}"

    @server.event
    async def say(_sid, told):
        await server.emit("said", told["text"], room=told["room"])

    @server.event
    async def size(_sid, data):
        return len(data)

    return socketio.ASGIApp(server)


async def client(url):
    import asyncio

    import socketio

    told = []
    for transports in (["polling"], ["websocket"], ["polling", "websocket"]):
        async with socketio.AsyncSimpleClient() as ear, socketio.AsyncSimpleClient() as mouth:
            await ear.connect(url, transports=transports)
            await mouth.connect(url, transports=transports)
            joined = await ear.call("join", "deck", timeout=10)
            await mouth.emit("say", {"room": "deck", "text": "ahoy"})
            heard = await asyncio.wait_for(ear.receive(), 10)
            size = await mouth.call("size", bytes(300_000), timeout=10)
            told.append(f"{ear.transport} {joined} {heard} {size}")
    return "; ".join(told)


async def reconnecting_client(url, reload):
    """The server is reloaded under an open connection: it comes back by itself, and answers."""
    import asyncio

    import socketio

    client = socketio.AsyncClient(reconnection_delay=0.2)
    connections = asyncio.Queue()
    client.on("connect", lambda: connections.put_nowait("connected"))
    await client.connect(url, transports=["websocket"])
    await asyncio.wait_for(connections.get(), 10)
    reload()
    await asyncio.wait_for(connections.get(), 45)
    answer = await client.call("join", "deck", timeout=10)
    await client.disconnect()
    return answer
