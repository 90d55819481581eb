"""Clients that count every request they begin and say what became of it; a process of their own.

    python -m lossless.clients HOST PORT plain|tls KIND …

It writes "going" when each client has been answered once, goes on until a line comes on its standard input,
finishes what it has begun, and writes one line of JSON: {kind: Tally}.

Knows: HTTP/1.1 and WebSocket as a client must (harness/client.py: there is no lenient mode). Must not know:
what is done to the server, or which one it is.

How a request may end:

    answered    in full, with 200 and the right body
    resent      not at all, on a connection that had served before: the server closed it before a byte of the
                response. A server may do so between two requests (RFC 9112 §9.3.1), and a client then sends
                an idempotent request again. The next one here is that one. Whoever judges looks into the
                application's journal: of a request that it was called for this is no excuse.
                Likewise what stands in a pipeline behind the last response (§9.3.2), and a WebSocket's
                message behind which a close frame came that says that the server goes (1001, 1012).
    failed      otherwise: another status or body, no answer in time, a new connection that is closed
    refused     nobody accepts the connection
    truncated   a response that begins and does not end
"""

from __future__ import annotations

import dataclasses
import json
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from counting import EVENTS, PIECES, event, piece, receipt
from harness import tls
from harness.client import Address, BadResponseError, Client, ClosedError, Response
from harness.websocket import CLOSE, TEXT, Frame, Socket, close_payload

#: No healthy answer takes longer on a busy machine.
PATIENCE = 8.0
#: A WebSocket that is closed with one of these was told that its server goes.
GOING = {1001, 1012}


@dataclass
class Trouble:
    """A request that was lost.

    fresh: it was the first one on its connection. began, ended: monotonic seconds; a fresh one begins when
    the system says that its connection is established, or is not.
    """

    name: str
    sort: str
    what: str
    fresh: bool
    began: float
    ended: float = 0.0


@dataclass
class Tally:
    """begun == answered + len(resent) + len(troubles) at the end.

    told: connections that the server had announced to close, or had closed, before anything was sent on them.
    """

    begun: int = 0
    answered: int = 0
    told: int = 0
    resent: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)


class Lost(Exception):  # noqa: N818 - no fault of this program
    """One request was lost: the sort and the description of its Trouble."""


class Unanswered(Exception):  # noqa: N818 - no fault of this program
    """The connection ended before a byte of the response."""


class SlowClient(Client):
    """One that takes its time with each piece, so the server has to wait for it."""

    def more(self) -> bool:
        time.sleep(0.002)
        return super().more()


@dataclass
class Door:
    """Where the server is."""

    address: Address
    is_secure: bool

    def connect(self, make: type[Client] = Client, **options: Any) -> Client:
        options.setdefault("timeout", PATIENCE)
        return make(self.address, wrap=_wrap if self.is_secure else None, **options)


def _wrap(raw: socket.socket) -> tls.TLSSocket:
    """The certificate may change its name meanwhile; who has signed it does not."""
    context = tls.client_context()
    context.check_hostname = False
    return tls.TLSSocket(raw, context)


class Visitor:
    """One client: `turn` makes a request, or a few, again and again."""

    pause = 0.01

    def __init__(self, door: Door, label: str) -> None:
        self.door = door
        self.label = label
        self.tally = Tally()
        self.client: Client | None = None
        self.entered_at = 0.0

    def turn(self) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None

    # -- the account

    def begin(self) -> str:
        self.tally.begun += 1
        return f"{self.label}.{self.tally.begun}"

    def answer(self) -> None:
        self.tally.answered += 1

    def lose(self, name: str, error: BaseException, began: float, *, fresh: bool) -> None:
        sort, what = error.args if isinstance(error, Lost) else ("failed", f"{type(error).__name__}: {error}")
        began = max(began, self.entered_at) if fresh else began
        self.tally.troubles.append(Trouble(name, sort, what[:300], fresh, began, time.monotonic()))
        self.leave()

    # -- one connection

    def connect(self, **options: Any) -> Client:
        try:
            return self.door.connect(**options)
        finally:
            self.entered_at = time.monotonic()

    def enter(self, make: type[Client] = Client, **options: Any) -> bool:
        """A connection that the server has not ended yet; True if it is new. Lost: there is none."""
        if self.client is not None and _has_ended(self.client):
            self.tally.told += 1
            self.leave()
        if self.client is not None:
            return False
        try:
            self.client = self.connect(make=make, **options).secured()
        except ConnectionRefusedError as error:
            raise Lost("refused", str(error)) from None
        except (OSError, AssertionError) as error:
            raise Lost("failed", f"no connection: {type(error).__name__}: {error}") from None
        return True

    def receive(self, *, expected: Callable[[bytes], bool]) -> Response:
        """Unanswered, or Lost, or a whole response with the right body."""
        assert self.client is not None
        try:
            response = self.client.response()
        except ClosedError as error:
            if error.received:
                raise Lost("truncated", str(error)) from None
            raise Unanswered(str(error)) from None
        except tls.TruncatedError as error:
            if self.client.buffer:
                raise Lost("truncated", f"{error}, behind {self.client.buffer[:80]!r}") from None
            raise Unanswered(str(error)) from None
        if not response.complete:
            raise Lost("truncated", f"{len(response.body)} bytes of a {response.framing} body came")
        if response.status != 200:
            raise Lost("failed", f"status {response.status}: {response.body[:100]!r}")
        if not expected(response.body):
            raise Lost("failed", f"body {response.body[:100]!r}")
        return response

    def ask(
        self,
        line: str,
        expected: Callable[[str, bytes], bool],
        send: Callable[[Client, str], None] | None = None,
    ) -> None:
        """One request on the connection that there is, or on a new one."""
        name, began = self.begin(), time.monotonic()
        fresh = True
        try:
            fresh = self.enter(**self.connection())
            assert self.client is not None
            if send is None:
                self.client.send(_head(line.format(name=name)))
            else:
                send(self.client, line.format(name=name))
            response = self.receive(expected=partial(expected, name))
        except Unanswered as error:
            if fresh:
                self.lose(name, Lost("failed", f"a new connection, {error}"), began, fresh=True)
            else:
                self.tally.resent.append(name)
                self.leave()
        except (Lost, OSError, AssertionError) as error:
            self.lose(name, error, began, fresh=fresh)
        else:
            self.answer()
            self.heed(response)

    def connection(self) -> dict[str, Any]:
        """What is special about this client's connections."""
        return {}

    def heed(self, response: Response) -> None:
        if "close" in response.connection or response.version == b"HTTP/1.0":
            self.tally.told += 1
            self.leave()


def _has_ended(client: Client) -> bool:
    """Whether the server's end of it has come already. AssertionError: something else has."""
    if not select.select([client.raw], [], [], 0)[0]:
        return False
    try:
        quiet = client.is_quiet(0.001)
    except tls.TruncatedError:
        return True
    assert not client.buffer, f"bytes that nobody has asked for: {client.buffer[:100]!r}"
    return not quiet


def _head(line: str, *fields: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: lossless.example", *fields, "", ""]).encode()


def _is_named(name: str, body: bytes) -> bool:
    return body.split(b" ")[0] == name.encode()


class KeepAlive(Visitor):
    pause = 0.008

    def turn(self) -> None:
        self.ask("GET /get?{name}", _is_named)


class Fresh(Visitor):
    """A connection for each request, as a client without a pool has it."""

    pause = 0.012

    def turn(self) -> None:
        self.ask("GET /get?{name}", _is_named)
        self.leave()


class Pipelined(Visitor):
    """Four requests at once, of which some may stand behind the last response of a connection."""

    pause = 0.025
    depth = 4

    def turn(self) -> None:
        names, began = [self.begin() for _ in range(self.depth)], time.monotonic()
        fresh, waiting = True, list(names)
        try:
            fresh = self.enter()
            assert self.client is not None
            self.client.send(b"".join(_head(f"GET /get?{name}") for name in names))
            while waiting:
                response = self.receive(expected=partial(_is_named, waiting[0]))
                self.answer()
                del waiting[0]
                self.heed(response)
                if self.client is None:
                    break
            self.tally.resent += waiting
        except Unanswered as error:
            if fresh and len(waiting) == self.depth:
                for name in waiting:
                    self.lose(name, Lost("failed", f"a new connection, {error}"), began, fresh=True)
            self.tally.resent += [] if fresh and len(waiting) == self.depth else waiting
            self.leave()
        except (Lost, OSError, AssertionError) as error:
            self.lose(waiting[0], error, began, fresh=fresh)
            # What stands behind the one that was lost.
            for name in waiting[1:]:
                self.lose(name, error, began, fresh=fresh)


class Streaming(Visitor):
    """A large response, read slowly: the server holds it for longer than the application does."""

    pause = 0.03

    def connection(self) -> dict[str, Any]:
        return {"make": SlowClient, "receive_buffer": 16384}

    def turn(self) -> None:
        self.ask("GET /stream?{name}", self._is_whole)

    @staticmethod
    def _is_whole(name: str, body: bytes) -> bool:
        return body == b"".join(piece(name, number) for number in range(PIECES))


class Upload(Visitor):
    """A body in pieces: a POST on a new connection, then the same as PUT, which may be sent again."""

    pause = 0.02
    pieces = 4
    body = bytes(range(256)) * 800

    def turn(self) -> None:
        self.ask("POST /upload?{name}", self._is_receipt, self._send)
        for _ in range(2):
            if self.client is not None:
                self.ask("PUT /upload?{name}", self._is_receipt, self._send)
        self.leave()

    def _send(self, client: Client, line: str) -> None:
        client.send(_head(line, f"Content-Length: {len(self.body)}"))
        size = len(self.body) // self.pieces
        for number in range(self.pieces):
            time.sleep(0.004)
            client.send(self.body[number * size : (number + 1) * size])

    def _is_receipt(self, _: str, body: bytes) -> bool:
        return body == receipt(self.body)


class Events(Visitor):
    """Server-sent events: a response of half a second, each piece of which has to come."""

    pause = 0.01

    def turn(self) -> None:
        self.ask("GET /events?{name}", self._is_whole)

    @staticmethod
    def _is_whole(name: str, body: bytes) -> bool:
        return body == b"".join(event(name, number) for number in range(EVENTS + 1))


class Messages(Visitor):
    """A WebSocket that is kept for as long as the server keeps it."""

    pause = 0.01

    def __init__(self, door: Door, label: str) -> None:
        super().__init__(door, label)
        self.socket: Socket | None = None

    def turn(self) -> None:
        name, began = self.begin(), time.monotonic()
        is_new = self.socket is None
        try:
            if self.socket is None:
                self.socket = self._open(name)
            self.socket.text(name)
            if (frame := self._next(self.socket)).opcode == CLOSE:
                self._close(self.socket, frame)
                self.tally.resent.append(name)
                return
            if (frame.opcode, frame.payload) != (TEXT, name.encode()):
                raise Lost("failed", f"it sent back {frame}")
            self.answer()
        except (Lost, OSError, AssertionError) as error:
            self.lose(name, error, began, fresh=is_new)

    def leave(self) -> None:
        super().leave()
        if self.socket is not None:
            self.socket.client.close()
            self.socket = None

    def _open(self, name: str) -> Socket:
        try:
            # As a server this object does what is asked of one: it connects.
            socket = Socket(self, f"/ws?{name}", timeout=PATIENCE)  # type: ignore[arg-type]
        except ConnectionRefusedError as error:
            raise Lost("refused", str(error)) from None
        except (ClosedError, tls.TruncatedError) as error:
            raise Lost("failed", f"a handshake, {error}") from None
        if socket.response.status != 101:
            socket.client.close()
            raise Lost("failed", f"a handshake is answered {socket.response.status}")
        return socket

    @staticmethod
    def _next(socket: Socket) -> Frame:
        while True:
            try:
                frame = socket.receive()
            except (ValueError, BadResponseError, tls.TruncatedError) as error:
                raise Lost("truncated", f"the socket ended without a close frame: {error}") from None
            if frame.opcode in {TEXT, CLOSE}:
                return frame
            socket.send(10, frame.payload)  # a ping

    def _close(self, socket: Socket, frame: Frame) -> None:
        if frame.code not in GOING:
            raise Lost("failed", f"closed with {frame.code} {frame.reason!r}")
        self.tally.told += 1
        socket.send(CLOSE, close_payload(frame.code))
        self.leave()


KINDS: dict[str, tuple[type[Visitor], int]] = {
    "keep-alive": (KeepAlive, 2),
    "fresh": (Fresh, 2),
    "pipelined": (Pipelined, 1),
    "streaming": (Streaming, 1),
    "upload": (Upload, 1),
    "sse": (Events, 2),
    "websocket": (Messages, 2),
}


class Crowd:
    """All clients of some kinds, each in a thread."""

    def __init__(self, door: Door, kinds: Sequence[str]) -> None:
        self.visitors = list(self._visitors(door, kinds))
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._go, args=(visitor,), daemon=True) for _, visitor in self.visitors
        ]

    @staticmethod
    def _visitors(door: Door, kinds: Sequence[str]) -> Iterator[tuple[str, Visitor]]:
        for kind in kinds:
            make, count = KINDS[kind]
            for number in range(count):
                yield kind, make(door, f"{kind}.{number}")

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait_going(self, deadline: float) -> None:
        """Until each was answered."""
        end = time.monotonic() + deadline
        while any(not visitor.tally.answered for _, visitor in self.visitors) and time.monotonic() < end:
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()
        end = time.monotonic() + 2 * PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def tallies(self) -> dict[str, Tally]:
        result: dict[str, Tally] = {}
        for kind, visitor in self.visitors:
            tally, one = result.setdefault(kind, Tally()), visitor.tally
            tally.begun += one.begun
            tally.answered += one.answered
            tally.told += one.told
            tally.resent += one.resent
            tally.troubles += one.troubles
        return result

    def _go(self, visitor: Visitor) -> None:
        while not self._stop.is_set():
            before = len(visitor.tally.troubles)
            visitor.turn()
            # Who is refused does not ask a thousand times in a second.
            self._stop.wait(0.1 if len(visitor.tally.troubles) > before else visitor.pause)
        visitor.leave()


def main(arguments: Sequence[str]) -> None:
    host, port, wire, *kinds = arguments
    crowd = Crowd(Door((host, int(port)), wire == "tls"), kinds)
    crowd.start()
    crowd.wait_going(15)
    print("going", flush=True)
    sys.stdin.readline()
    crowd.stop()
    print(
        json.dumps({kind: dataclasses.asdict(tally) for kind, tally in crowd.tallies().items()}), flush=True
    )


if __name__ == "__main__":
    main(sys.argv[1:])
