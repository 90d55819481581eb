"""How a process of the server's own comes to be a client of its master, although it may not open the control
socket: it may be another user's (`user`), and there need not be one.

Knows: a pair of sockets, descriptors that go through it. Must not know: what is said, who is let in.

The master makes the door before it forks the process. That makes a pair of sockets whenever it has something
to say, and hands one of them in. So each conversation is a connection of its own, as from anybody else, and
what is forked otherwise has nothing of it.
"""

from __future__ import annotations

import errno
import os
import socket

#: The message that a descriptor travels with: the kernel wants one.
KNOCK = b"?"


class Door:
    """inside: the master's end. outside: the other process's."""

    def __init__(self) -> None:
        self.inside, self.outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.inside.setblocking(False)
        self.outside.setblocking(False)

    def maybe_visitor(self) -> socket.socket | None:
        """The next connection that was handed in; None: there is none. OSError: it cannot be taken just
        now."""
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(self.inside, len(KNOCK), 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return None
            if not message:
                return None
            if fds:
                try:
                    return socket.socket(fileno=fds[0])
                except OSError:  # it is no socket
                    os.close(fds[0])

    def knock(self) -> socket.socket:
        """A connection to the master. OSError: there is none, because it has too much to do, or is gone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                socket.send_fds(self.outside, [KNOCK], [theirs.fileno()])
        except BlockingIOError:
            ours.close()
            raise OSError(errno.EAGAIN, "the server has no time") from None
        except BaseException:
            ours.close()
            raise
        return ours

    def close(self) -> None:
        self.inside.close()
        self.outside.close()
