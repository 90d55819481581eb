"""An event loop of the user's own, named by `--asgi-loop`."""

from __future__ import annotations

import asyncio


class OwnLoop(asyncio.SelectorEventLoop):
    """One that can be told from asyncio's."""


def own_loop() -> OwnLoop:
    return OwnLoop()
