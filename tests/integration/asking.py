"""Several clients that ask at once, each on a connection of its own.

Knows: the harness. Must not know: what is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.client import Client
from integration.live import Live, message


@contextlib.contextmanager
def asking(live: Live, *paths: str) -> Iterator[list[Client]]:
    """Clients, each of which has asked for one of these."""
    with contextlib.ExitStack() as stack:
        clients = []
        for path in paths:
            client = stack.enter_context(live.connect(timeout=20))
            client.send(message(path))
            clients.append(client)
        yield clients


def answers(clients: list[Client]) -> list[str]:
    return [client.response().body.decode() for client in clients]
