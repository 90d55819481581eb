"""Hypercorn behind our command line, to try out the tests of HTTP/2 on another server.

    TRICORN_TEST_COMMAND="python tests/harness/http2/peer.py" python -m pytest tests/http2 -k asgi

Knows: Hypercorn, the few of our options that it has too; the others are dropped. Must not know: what is
tested.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind", required=True, help="fd://NUMBER, or https://fd://NUMBER")
    parser.add_argument("--chdir", default=".")
    parser.add_argument("--certfile")
    parser.add_argument("--keep-alive", type=float, default=5)
    # Options of ours that have a value must be known, or the value would pass for the application's name.
    for option in ("--workers", "--worker-class", "--threads", "--error-logfile", "--request-buffer-memory"):
        parser.add_argument(option)
    parser.add_argument("app")
    options, _ = parser.parse_known_args()
    sys.path.insert(0, options.chdir)
    module, _, name = options.app.partition(":")
    config = Config()
    config.bind = [options.bind.removeprefix("https://")]
    config.certfile = config.keyfile = options.certfile
    config.keep_alive_timeout = options.keep_alive
    asyncio.run(_serve(getattr(importlib.import_module(module), name), config))


async def _serve(app: object, config: Config) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print("the peer is ready", flush=True)
    await serve(app, config, shutdown_trigger=ended.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
