"""Starts a server that has no usable command line of its own: launch.py SERVER[:FUNCTION] MODULE PORT.

Runs in the peers' environment, so it knows nothing of the rest of this package.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any


def main() -> None:
    server, module, port = sys.argv[1:]
    sys.path.insert(0, "")
    app = importlib.import_module(module).app
    package, _, function = server.partition(":")
    run = RUNS.get(server) or getattr(importlib.import_module(package), function or "run")
    run(app, "127.0.0.1", int(port))


def run_tornado(app: Any, host: str, port: int) -> None:
    """Its own HTTPServer, as its documentation starts it."""
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop

    HTTPServer(app).listen(port, host)
    IOLoop.current().start()


RUNS: dict[str, Callable[[Any, str, int], None]] = {"tornado": run_tornado}


if __name__ == "__main__":
    main()
