"""A server with heavy workers, whose requests are calls: /Models/pid. One application for each interface.

Knows: how applications call, and are called; the control socket. Must not know: what is tested with it.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from harness.axes import KINDS
from harness.server import wait_for
from integration.live import Live

from tricorn.commands.ctl import main as ctl

HEAVY = """
import ctypes, os, pathlib, time
from PACKAGE import DirtyApp, stash

HERE = pathlib.Path(__file__).parent

class Models(DirtyApp):
    def __init__(self):
        self.models = {}

    def init(self):
        self.models["base"] = len
        while (HERE / "hold").exists():
            time.sleep(0.005)

    def load_model(self, name):
        self.models[name] = str.upper
        return {"loaded": True, "name": name}

    def inference(self, name, text):
        if name not in self.models:
            raise ValueError(f"Model not loaded: {name}")
        return self.models[name](text)

    def pid(self):
        return os.getpid()

    def version(self):
        return VERSION

    def user(self):
        return os.geteuid()

    def crash(self):
        ctypes.string_at(0)

    def hold(self):
        ctypes.PyDLL(None).usleep(20_000_000)

    def wait(self, gate):
        (HERE / f"{gate}.in").write_text(str(os.getpid()))
        while not (HERE / gate).exists():
            time.sleep(0.002)
        return gate

    def nap(self):
        time.sleep(0.02)
        return os.getpid()

    def tokens(self, count):
        for number in range(count):
            yield f"token {number}\\n"

    def endless(self):
        (HERE / "endless.in").write_text("")
        try:
            while True:
                yield "more\\n"
                time.sleep(0.002)
        finally:
            (HERE / "endless.out").write_text("")

    def visit(self):
        visits = stash.get("visits", "count", 0) + 1
        stash.put("visits", "count", visits)
        return visits

    def close(self):
        with (HERE / "closed").open("a") as file:
            file.write(f"{os.getpid()}\\n")

class Rare(Models):
    workers = 1
"""

WSGI = """
import json
from PACKAGE import get_dirty_client, DirtyError

def app(environ, start_response):
    app_path, _, action = environ["PATH_INFO"].strip("/").partition("/")
    args = json.loads(environ["HTTP_X_ARGS"]) if "HTTP_X_ARGS" in environ else []
    client = get_dirty_client(timeout=60)
    if not action:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    if action.startswith("stream-"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (piece.encode() for piece in client.stream(f"heavy_app:{app_path}", action[7:], *args))
    try:
        status, found = "200 OK", client.execute(f"heavy_app:{app_path}", action, *args)
    except DirtyError as error:
        status, found = "500 Failed", [type(error).__name__, error.message]
    body = json.dumps(found).encode()
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]
"""

ASGI = """
import asyncio, json
from PACKAGE import get_dirty_client, get_dirty_client_async, DirtyError

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    app_path, _, action = scope["path"].strip("/").partition("/")
    args = json.loads(dict(scope["headers"]).get(b"x-args", b"[]"))
    client = await get_dirty_client_async(timeout=60)
    status, body = 200, b"ok"
    if action.startswith("stream-"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for piece in client.stream_async(f"heavy_app:{app_path}", action[7:], *args):
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
        await send({"type": "http.response.body"})
        return
    if action == "loop":
        body = json.dumps(type(asyncio.get_running_loop()).__module__).encode()
    elif action:
        try:
            if action.startswith("thread-"):
                call = get_dirty_client(timeout=60).execute, f"heavy_app:{app_path}", action[7:], *args
                found = await asyncio.get_running_loop().run_in_executor(None, *call)
            else:
                found = await client.execute_async(f"heavy_app:{app_path}", action, *args)
        except DirtyError as error:
            status, found = 500, [type(error).__name__, error.message]
        body = json.dumps(found).encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
"""

TORNADO = """
import asyncio, json
import tornado.ioloop, tornado.iostream, tornado.web
from PACKAGE import get_dirty_client, get_dirty_client_async, DirtyError

class Call(tornado.web.RequestHandler):
    call = None

    async def get(self, app_path, action):
        args = json.loads(self.request.headers.get("X-Args", "[]"))
        client = await get_dirty_client_async(timeout=60)
        try:
            if action.startswith("stream-"):
                async for piece in client.stream_async(f"heavy_app:{app_path}", action[7:], *args):
                    self.write(piece)
                    await self.flush()
                return
            if action.startswith("thread-"):
                call = get_dirty_client(timeout=60).execute, f"heavy_app:{app_path}", action[7:], *args
                found = await tornado.ioloop.IOLoop.current().run_in_executor(None, *call)
            else:
                self.call = asyncio.ensure_future(
                    client.execute_async(f"heavy_app:{app_path}", action, *args)
                )
                found = await self.call
        except DirtyError as error:
            self.set_status(500)
            found = [type(error).__name__, error.message]
        except (asyncio.CancelledError, tornado.iostream.StreamClosedError):
            return  # the client has left
        self.write(json.dumps(found))

    def on_connection_close(self):
        if self.call is not None:
            self.call.cancel()  # Tornado leaves it to the handler

class Home(tornado.web.RequestHandler):
    def get(self):
        self.write("ok")

app = tornado.web.Application([("/", Home), (r"/(\\w+)/(.*)", Call)])
"""

INTERFACES = {"wsgi": WSGI, "asgi": ASGI, "tornado": TORNADO}


class Site(Live):
    """package: from where the application has the names. heavy: how many workers. apps: what they load."""

    def __init__(
        self,
        home: Path,
        *options: str,
        kind: str = "gthread",
        heavy: int = 1,
        apps: tuple[str, ...] = ("Models",),
        package: str = "tricorn.heavy",
        **more: Any,
    ) -> None:
        self.home = home
        self.package = package
        self.heavy = heavy
        self.control = home / "ctl"
        self.write()
        interface = INTERFACES[KINDS[kind].interface]
        (home / "heavy_site.py").write_text(interface.replace("PACKAGE", package))
        named = [f"--dirty-app=heavy_app:{app}" for app in apps]
        own = (f"--dirty-workers={heavy}", f"--control-socket={self.control}", *named)
        super().__init__("heavy_site:app", *own, *options, kind=kind, chdir=home, **more)
        self.wanted += heavy  # a heavy worker that is ready says so, too

    def write(self, version: int = 1) -> None:
        text = HEAVY.replace("PACKAGE", self.package).replace("VERSION", str(version))
        (self.home / "heavy_app.py").write_text(text)

    def break_app(self) -> None:
        (self.home / "heavy_app.py").write_text("import no_such_package\n")

    def _wait_ready(self) -> None:
        super()._wait_ready()
        wait_for(lambda: len(self.pool()["workers"]) >= self.heavy, "there are heavy workers")
        wait_for(lambda: self.pool()["ready"] == self.heavy, "heavy workers are ready")

    def call(self, path: str, *args: Any) -> Any:
        status, found = self.answer(path, *args)
        assert status == 200, f"{found}\n{self.log()}"
        return found

    def answer(self, path: str, *args: Any) -> tuple[int, Any]:
        response = self.request(f"/{path}", fields=[f"X-Args: {json.dumps(args)}"])
        return response.status, json.loads(response.body)

    def ask(self, what: str) -> Any:
        """The master, by its control socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.control))
            lines = client.makefile("rb")
            lines.readline()
            client.sendall(json.dumps({"do": what}).encode() + b"\n")
            return json.loads(lines.readline())["data"]

    def pool(self, name: str = "heavy") -> dict[str, Any]:
        found: dict[str, Any] = next(each for each in self.ask("status")["pools"] if each["name"] == name)
        return found

    def pids(self) -> list[int]:
        return [each["pid"] for each in self.pool()["workers"] if each["state"] == "ready"]

    def figures(self) -> dict[tuple[str, str], float]:
        families = {each["name"]: each["samples"] for each in self.ask("metrics")}
        calls = {("calls", at["outcome"]): value for at, value in families["tricorn_heavy_calls_total"]}
        workers = {("workers", at["state"]): value for at, value in families["tricorn_heavy_workers"]}
        return calls | workers

    def ctl(self, *words: str) -> int:
        return ctl(["--socket", str(self.control), *words])

    def is_inside(self, gate: str) -> None:
        wait_for((self.home / f"{gate}.in").exists, "the call runs")

    def open(self, gate: str) -> None:
        (self.home / gate).touch()
