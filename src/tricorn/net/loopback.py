"""A TCP connection with ourselves, to try out what the kernel does with one.

Knows: sockets. Must not know: what is tried.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

#: It is there at once, unless something is very wrong. Seconds.
_TIMEOUT = 5.0


@contextlib.contextmanager
def connection_with_ourselves() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends, over the loopback interface. Raises OSError."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_TIMEOUT)
        with socket.create_connection(listener.getsockname(), _TIMEOUT) as client:
            server, address = listener.accept()
            with server:
                if address != client.getsockname():
                    raise ConnectionAbortedError("somebody else has connected")
                yield server, client
