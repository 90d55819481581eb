"""Uvicorn behind our command line, to try out the ASGI tests on another server.

    TRICORN_TEST_COMMAND="python tests/harness/peer.py" python -m pytest tests/integration/test_starlette.py

Knows: Uvicorn, the few of our options that it has too; the others are dropped. Must not know: what is tested.
"""

from __future__ import annotations

import argparse
import signal
import sys

import uvicorn


class Peer(uvicorn.Server):
    """Says that it is ready in the words of our log, for which `integration.live.Live` waits."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("the peer is ready", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind", required=True, help="fd://NUMBER")
    parser.add_argument("--chdir", default=".")
    parser.add_argument("--ws", default="websockets-sansio")
    # Options of ours that have a value must be known, or the value would pass for the application's name.
    for option in (
        "--workers",
        "--worker-class",
        "--threads",
        "--keep-alive",
        "--error-logfile",
        "--asgi-disconnect-grace-period",
    ):
        parser.add_argument(option)
    parser.add_argument("app")
    options, _ = parser.parse_known_args()
    sys.path.insert(0, options.chdir)
    config = uvicorn.Config(
        options.app, fd=int(options.bind.removeprefix("fd://")), ws=options.ws, log_level="info"
    )
    # Uvicorn obeys TERM and then raises it again for whoever was there before; an orderly end has the code 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Peer(config).run()


if __name__ == "__main__":
    main()
