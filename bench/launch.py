"""Starts a server that has no usable command line of its own: launch.py SERVER[:FUNCTION] MODULE PORT.

Runs in the peers' environment, so it knows nothing of the rest of this package.
"""

import importlib
import sys


def main() -> None:
    server, module, port = sys.argv[1:]
    sys.path.insert(0, "")
    app = importlib.import_module(module).app
    package, _, function = server.partition(":")
    getattr(importlib.import_module(package), function or "run")(app, "127.0.0.1", int(port))


if __name__ == "__main__":
    main()
