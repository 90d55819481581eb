"""A listener that takes connections of HTTP/1 and carries each over a connection of HTTP/2 of its own.

So clients that know only HTTP/1, as the Autobahn test-suite and the `websockets` package do, reach a server
over HTTP/2.

Knows: `Face`. Must not know: what is said.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.client import Address
from harness.http2.face import Face, over_plain
from harness.listening import talking

PIECE = 65536
#: Seconds in which nothing has to happen on either side.
LONGEST = 600.0


@contextmanager
def bridged(address: Address) -> Iterator[int]:
    """The port that leads to this server, by prior knowledge."""

    def carry(client: socket.socket) -> None:
        with client, suppress(OSError, AssertionError):  # whoever is left sees the end of the connection
            _carry(client, over_plain(socket.create_connection(address)))

    with talking(carry) as port:
        yield port


def carried(face: Face) -> socket.socket:
    """The near end of a connection that is carried over this one, until either ends."""

    def carry() -> None:
        with far, suppress(OSError, AssertionError):  # whoever is left sees the end of the connection
            _carry(far, face)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    threading.Thread(target=carry, daemon=True).start()
    return near


def _carry(client: socket.socket, face: Face) -> None:
    """In one thread, since a face is one object for both directions. Of a client whose last piece still
    waits for credit nothing is taken, so this never waits for one direction alone."""
    try:
        face.settimeout(LONGEST)
        while True:
            waited_for = [face] if face.holds else [client, face]
            ready, _, _ = select.select(waited_for, [], [], LONGEST)
            if client in ready:
                data = client.recv(PIECE)
                if not data:
                    return
                face.sendall(data)
            if face in ready or face.has_more:
                while (data := _there(face)) is not None:
                    if not data:
                        return
                    client.sendall(data)
    finally:
        face.close()


def _there(face: Face) -> bytes | None:
    """What has come; b"" at the end, None if nothing is there yet."""
    try:
        return face.recv(PIECE, within=0.001)
    except TimeoutError:
        return None
