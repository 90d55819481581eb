"""Ports for listeners of tests.

Knows: which ports the kernel gives away by itself. Must not know: who listens.

A port that the kernel has chosen may go to any client as soon as nobody listens there: then whoever looks
whether it is free, or listens there again, meets somebody else.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable

#: The kernel gives them to nobody who asks for any port (ip(7), ip_local_port_range), so to no client.
PORTS = range(20_000, 30_000)

# Not the one that Hypothesis seeds in each process alike.
_random = random.SystemRandom()


def at_free_port(listen: Callable[[int], socket.socket]) -> socket.socket:
    """The listener that `listen` makes for a port where nobody listens."""
    while True:
        try:
            return listen(_random.choice(PORTS))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
