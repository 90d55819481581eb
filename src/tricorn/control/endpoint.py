"""The master's end of the control socket: who connects, what they ask, how the answers leave.

Knows: the socket, who its clients are (SO_PEERCRED), lines, limits. Must not know: what a question means, or
what else the master does.

It lives in the master's loop: `watched()` is what to wait for, `attend()` does what can be done now and gives
the questions, `answer()` is the only way back. Nothing in it waits. What a client can cost is bounded:

    clients at once          CLIENTS_MAX, and VISITORS_MAX through the door; others are told so and closed
    accepted in one turn     ACCEPTED_AT_ONCE
    memory of a client       one question (QUESTION_MAX), and then one answer: nothing is read meanwhile
    time                     one question in each PACE; QUESTION_TIME from its first byte to its last;
                             ANSWER_TIME for taking the answer; IDLE_TIME between two of them
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, poll

from tricorn.control.door import Door
from tricorn.control.place import ControlSocket
from tricorn.control.protocol import QUESTION_MAX, Message, ProtocolError, decoded, encoded
from tricorn.records import dataclass, field

CLIENTS_MAX = 16
VISITORS_MAX = 8
ACCEPTED_AT_ONCE = 8

#: Seconds.
PACE = 0.01
QUESTION_TIME = 5.0
ANSWER_TIME = 10.0
IDLE_TIME = 300.0

#: How long no client is accepted where the machine, or the process, has no descriptor left.
DEAF_TIME = 1.0

#: SO_PEERGROUPS (Linux 4.13), which Python does not name: all groups of a peer, not only its first.
PEERGROUPS = 59
GROUPS_MAX = 65536

_GONE = POLLHUP | POLLERR | POLLNVAL
_IDS = struct.Struct("3i")


@dataclass(frozen=True)
class Peer:
    """Who has connected, as the kernel saw it then."""

    pid: int
    uid: int
    groups: frozenset[int]

    def __str__(self) -> str:
        return f"process {self.pid} of user {self.uid}"


def peer_of(sock: socket.socket) -> Peer:
    pid, uid, gid = _IDS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _IDS.size))
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, PEERGROUPS, GROUPS_MAX)
    except OSError:
        data = b""  # an older kernel
    return Peer(pid, uid, frozenset({gid, *struct.unpack(f"{len(data) // 4}I", data)}))


@dataclass(eq=False)
class Client:
    """One connection.

    deadline: when it is closed unless it does what is expected of it by then, None while nothing is.
    quiet_until: before that it is not listened to. is_visitor: it came through the door.
    """

    sock: socket.socket
    peer: Peer
    deadline: float | None
    is_asking: bool = True
    is_leaving: bool = False
    is_open: bool = True
    is_visitor: bool = False
    quiet_until: float = 0.0
    question: bytearray = field(default_factory=bytearray)
    answer: memoryview = field(default_factory=lambda: memoryview(b""))

    def wants(self, now: float) -> int:
        """What to wait for. That it has gone is always told."""
        if self.answer:
            return POLLOUT
        return POLLIN if self.is_asking and now >= self.quiet_until else 0

    def instants(self, now: float) -> Iterator[float]:
        if self.deadline is not None:
            yield self.deadline
        if self.is_asking and self.quiet_until > now:
            yield self.quiet_until


class Endpoint:
    """All clients of one control socket. All instants are monotonic seconds.

    place: the socket; None: there is none. door: for a process of the server's own; None: there is none.
    greeting: what a client is told first. refused: called with somebody who may not be here.
    """

    def __init__(
        self,
        place: ControlSocket | None,
        greeting: Callable[[], Message],
        refused: Callable[[Peer], object],
        door: Door | None = None,
    ) -> None:
        self.place = place
        self._door = door
        self._greeting = greeting
        self._refused = refused
        self._clients: list[Client] = []
        self._deaf_until = 0.0

    def watched(self, now: float) -> Iterator[tuple[int, int]]:
        """Descriptors, and what to wait for at each (poll(2))."""
        if now >= self._deaf_until:
            for sock in self._entrances():
                yield sock.fileno(), POLLIN
        for client in self._clients:
            yield client.sock.fileno(), client.wants(now)

    def next_deadline(self, now: float) -> float | None:
        """When there is something to do although nothing happens."""
        instants = [instant for client in self._clients for instant in client.instants(now)]
        instants += [self._deaf_until] if self._deaf_until > now else []
        return min(instants, default=None)

    def attend(self, now: float) -> list[tuple[Client, Message]]:
        """One turn; gives what was asked in it."""
        waiting = poll()
        for fd, events in self.watched(now):
            waiting.register(fd, events)
        try:
            ready = dict(waiting.poll(0))
        except OSError:
            return []  # no memory for a moment; the next turn comes
        questions = []
        for client in tuple(self._clients):
            question = self._attend(client, ready.get(client.sock.fileno(), 0), now)
            if question is not None:
                questions.append((client, question))
        if any(sock.fileno() in ready for sock in self._entrances()):
            self._accept(now)
        return questions

    def _entrances(self) -> list[socket.socket]:
        entrances = [self.place.socket] if self.place is not None else []
        return entrances + ([self._door.inside] if self._door is not None else [])

    def answer(self, client: Client, message: Message, now: float) -> None:
        """To a client that has asked. One that has gone meanwhile is not told."""
        if client.is_open:
            client.answer = memoryview(encoded(message))
            client.deadline = now + ANSWER_TIME
            self._send(client, now)

    def close(self, *, was_handed_over: bool = False) -> None:
        for client in tuple(self._clients):
            self._drop(client)
        if self.place is not None:
            self.place.close(was_handed_over=was_handed_over)

    def forget(self) -> None:
        """In a child, which has copies of all descriptors."""
        for client in self._clients:
            client.sock.close()
        if self.place is not None:
            self.place.forget()

    # -- who may come --------------------------------------------------------------------------------------

    def _accept(self, now: float) -> None:
        for is_visitor, next_one in ((False, self._maybe_client), (True, self._maybe_visitor)):
            for _ in range(ACCEPTED_AT_ONCE):
                try:
                    sock = next_one()
                except OSError as error:
                    if error.errno != errno.ECONNABORTED:  # no descriptors, no memory
                        self._deaf_until = now + DEAF_TIME
                    return
                if sock is None:
                    break
                sock.setblocking(False)
                self._admit(sock, now, is_visitor=is_visitor)

    def _maybe_client(self) -> socket.socket | None:
        try:
            return None if self.place is None else self.place.socket.accept()[0]
        except BlockingIOError:
            return None

    def _maybe_visitor(self) -> socket.socket | None:
        return None if self._door is None else self._door.maybe_visitor()

    def _admit(self, sock: socket.socket, now: float, *, is_visitor: bool) -> None:
        client = Client(sock, peer_of(sock), now + QUESTION_TIME, is_visitor=is_visitor)
        greeting = self._greeting()
        most = VISITORS_MAX if is_visitor else CLIENTS_MAX
        if not is_visitor and not self._is_allowed(client.peer):
            client.is_leaving = True
            greeting = {"ok": False, "say": "not allowed: the server is another user's"}
            self._refused(client.peer)
        elif sum(each.is_visitor is is_visitor for each in self._clients) >= most:
            client.is_leaving = True
            greeting = {"ok": False, "say": f"there are {most} clients already"}
        else:
            self._clients.append(client)
        # A new socket takes it at once.
        client.answer = memoryview(encoded(greeting))
        self._send(client, now)
        if client.is_leaving:
            self._drop(client)
        elif client.is_open:
            client.deadline = now + QUESTION_TIME
            client.quiet_until = now

    def _is_allowed(self, peer: Peer) -> bool:
        """The file's mode has let it in, if it came by the file. Nobody inherits that from somebody else."""
        if peer.uid in (0, os.geteuid()):
            return True
        assert self.place is not None
        return bool(self.place.mode & 0o020) and self.place.group in peer.groups

    # -- one client ----------------------------------------------------------------------------------------

    def _attend(self, client: Client, events: int, now: float) -> Message | None:
        if client.answer and events & POLLOUT:
            self._send(client, now)
        elif client.is_asking and events & POLLIN:
            self._receive(client, now)
        elif events & _GONE:
            self._drop(client)
        if client.deadline is not None and now >= client.deadline:
            self._drop(client)
        return self._maybe_question(client, now)

    def _receive(self, client: Client, now: float) -> None:
        try:
            data = client.sock.recv(QUESTION_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        if not client.question:
            client.deadline = now + QUESTION_TIME
        client.question += data

    def _maybe_question(self, client: Client, now: float) -> Message | None:
        """The next one, if all of it is here and it is time for one."""
        if not (client.is_open and client.is_asking and client.question and now >= client.quiet_until):
            return None
        line, separator, rest = client.question.partition(b"\n")
        if not separator and len(line) < QUESTION_MAX:
            return None
        client.is_asking = False
        client.deadline = None
        client.question = rest
        try:
            if len(line) >= QUESTION_MAX:
                raise ProtocolError(f"a question has at most {QUESTION_MAX} bytes")
            return decoded(bytes(line))
        except ProtocolError as error:
            # Where its next line begins is anybody's guess.
            client.is_leaving = True
            self.answer(client, {"ok": False, "say": str(error)}, now)
            return None

    def _send(self, client: Client, now: float) -> None:
        try:
            sent = client.sock.send(client.answer)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        client.answer = client.answer[sent:]
        if client.answer:
            return
        if client.is_leaving:
            self._drop(client)
            return
        client.is_asking = True
        client.deadline = now + (QUESTION_TIME if client.question else IDLE_TIME)
        client.quiet_until = now + PACE

    def _drop(self, client: Client) -> None:
        client.is_open = False
        client.sock.close()
        if client in self._clients:
            self._clients.remove(client)
