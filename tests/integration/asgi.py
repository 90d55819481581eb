"""What the ASGI-only tests share: notes and gates of `tests/apps/asgi_pages.py`, and the memory of a worker.

Knows: `GET /seen` and `GET /open`. Must not know: any page.
"""

from __future__ import annotations

import ast
import resource
from pathlib import Path
from typing import Any

from harness.cases import head
from harness.client import Client
from harness.server import Server, wait_for

PAGES = "asgi_pages:app"


class Notes:
    """What the pages of a server have noted since this was made, in order."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.all: list[tuple[str, Any]] = []
        server.seen()

    def __contains__(self, key: str) -> bool:
        self._fetch()
        return key in self._keys()

    def wait(self, key: str, *, times: int = 1, deadline: float = 5.0) -> Any:
        """The value of the `times`-th note of that key, once it is there."""

        def there() -> bool:
            self._fetch()
            return self._keys().count(key) >= times

        wait_for(there, f"{times} notes {key!r}; so far {self.all}", deadline=deadline)
        return [value for found, value in self.all if found == key][times - 1]

    def _keys(self) -> list[str]:
        return [key for key, _ in self.all]

    def _fetch(self) -> None:
        for note in self.server.seen():
            self.all.extend(note.items())


def open_gate(server: Server, name: str) -> None:
    assert server.get(f"/open?{name}")[0] == 200


def get(path: str, *lines: bytes, version: str = "1.1", method: str = "GET") -> bytes:
    return head(*lines, start=f"{method} {path} HTTP/{version}".encode("latin-1"))


def literal(body: bytes) -> Any:
    """A Python literal that a page has answered with."""
    return ast.literal_eval(body.decode("utf-8"))


def ask(client: Client, path: str, *lines: bytes, version: str = "1.1", method: str = "GET") -> Any:
    """One response."""
    client.send(get(path, *lines, version=version, method=method))
    return client.response(method)


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def worker_of(server: Server) -> int:
    server.seen()
    assert server.worker_pid is not None
    return server.worker_pid
