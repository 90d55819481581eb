"""A listener of a test's own, for clients that are under test.

Knows: sockets, threads. Must not know: what is said on them.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.ports import at_free_port


@contextmanager
def talking(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """Calls `talk` with each connection, on a thread of its own; gives the port. Behind it all have ended."""
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the listener is shut down
            threads.append(threading.Thread(target=talk, args=(connection,)))
            threads[-1].start()

    with at_free_port(lambda port: socket.create_server(("127.0.0.1", port), backlog=128)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()
