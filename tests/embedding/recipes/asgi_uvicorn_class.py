"""An ASGI application served with a subclass of Uvicorn's worker, by a program that names it by its class."""

import sys
import types

# Uvicorn is not installed here; its worker is what counts.
workers = types.ModuleType("uvicorn.workers")


class UvicornWorker:
    CONFIG_KWARGS = {"loop": "auto", "http": "auto"}


UvicornWorker.__module__ = "uvicorn.workers"
workers.UvicornWorker = UvicornWorker
sys.modules["uvicorn"] = types.ModuleType("uvicorn")
sys.modules["uvicorn.workers"] = workers

from uvicorn.workers import UvicornWorker  # noqa: E402

from tricorn.app.base import BaseApplication  # noqa: E402


class ServiceWorker(UvicornWorker):
    CONFIG_KWARGS = {
        "loop": "asyncio",
        "http": "httptools",
        "root_path": "/api",
        "log_config": {"version": 1},
    }


async def service(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{scope['root_path']} {scope['path']}".encode()})


class ServeApplication(BaseApplication):
    def __init__(self, **options):
        self._options = options
        super().__init__()

    def load_config(self):
        for key, value in self._options.items():
            if key.lower() in self.cfg.settings and value is not None:
                self.cfg.set(key.lower(), value)
        self.cfg.set("worker_class", f"{__name__}.ServiceWorker")

    def load(self):
        return service


if __name__ == "__main__":
    ServeApplication(bind="127.0.0.1:0", workers=1).run()
