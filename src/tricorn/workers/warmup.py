"""What a new worker asks itself before it is READY (`warmup`), so that no client waits for what the first
request of its kind does: imports, connections, templates, caches.

Knows: the client's side of HTTP/1.1, as far as it is needed here; how an item of the setting is read. Must
not know: the transport, threads or loops that answer, the master.

The requests are served as a client's are: they come through a socket, by the transport, on the threads or the
loop that serve later. A call of the application past all that would warm less, and would not show what a
client gets.
"""

from __future__ import annotations

import logging
import time
from _thread import start_new_thread  # bound before anybody can put greenlets in the place of threads
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from socket import socket, socketpair
from urllib.parse import urlsplit

from tricorn import __version__
from tricorn.config.settings import Settings
from tricorn.records import dataclass

log = logging.getLogger("tricorn.error")

#: The `Host` where an item is a path only.
HOST = "localhost"

PIECE = 65536

#: No response has a head that is longer.
LONGEST_HEAD = 1 << 20


class WarmupError(Exception):
    """An answer shows that the worker had better not serve. The text says which."""


@dataclass(frozen=True)
class Page:
    """One request. fields: the rest of its head."""

    target: str
    host: str
    fields: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"GET {self.target}"

    @property
    def message(self) -> bytes:
        lines = [
            f"GET {self.target} HTTP/1.1",
            f"Host: {self.host}",
            f"User-Agent: tricorn/{__version__} (warmup)",
            "Accept: */*",
            *(f"{name}: {value}" for name, value in self.fields),
            "Connection: close",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def pages(settings: Settings) -> Sequence[Page]:
    return [_page(item, settings.secure_scheme_headers) for item in settings.warmup]


def _page(item: str, secure_scheme_headers: Mapping[str, str]) -> Page:
    """https in an item: it comes as from a proxy that has decrypted it and says so."""
    if item.startswith("/"):
        return Page(item, HOST)
    url = urlsplit(item)
    fields = tuple(secure_scheme_headers.items())[:1] if url.scheme == "https" else ()
    return Page((url.path or "/") + (f"?{url.query}" if url.query else ""), url.netloc, fields)


class Warmup:
    """All pages, one after the other, in a thread of its own.

    admit: takes a descriptor that a client has connected to, in whatever thread it is called; it is the
    server's from then on. done: called in the thread when all is over.
    """

    def __init__(
        self, wanted: Sequence[Page], admit: Callable[[int], object], done: Callable[[], object]
    ) -> None:
        self._pages = wanted
        self._admit = admit
        self._done = done
        self.is_over = False
        #: Why the worker is not fit to serve; None: it is.
        self.failure: str | None = None

    def start(self) -> None:
        start_new_thread(self._run, ())

    def _run(self) -> None:
        started = time.monotonic()
        try:
            for page in self._pages:
                self._visit(page)
            log.debug("Warmed up in %.1f s", time.monotonic() - started)
        except WarmupError as error:
            self.failure = str(error)
        except OSError as error:
            self.failure = f"warmup: no connection to the worker itself: {error.strerror}"
        finally:
            self.is_over = True
            self._done()

    def _visit(self, page: Page) -> None:
        ours, theirs = socketpair()
        with ours:
            theirs.setblocking(False)
            self._admit(theirs.detach())
            ours.sendall(page.message)
            if problem := maybe_problem(ours):
                raise WarmupError(f"warmup: {page} {problem}, so this worker does not serve")


def maybe_problem(connection: socket) -> str | None:
    """Read the response to its end. What is wrong with it; None: nothing."""
    try:
        head, rest = _head(connection)
        if head is None:
            return "got no answer"
        status = int(head[:12].split()[1])
        is_whole = _rest_is_whole(connection, head.lower(), rest)
    except ConnectionError:
        return "got an answer that breaks off"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"was answered with {status}"
    return None if is_whole else "got an answer that breaks off"


def _head(connection: socket) -> tuple[bytes | None, bytes]:
    """The head of the final response, and what has come behind it."""
    data = b""
    while True:
        head, end, rest = data.partition(b"\r\n\r\n")
        if end and not head.startswith(b"HTTP/1.1 1"):
            return head, rest
        if end:
            data = rest  # 103 Early Hints, say
            continue
        piece = connection.recv(PIECE)
        if not piece or len(data) > LONGEST_HEAD:
            return None, b""
        data += piece


def _rest_is_whole(connection: socket, head: bytes, rest: bytes) -> bool:
    """Where the head tells what is to come, whether that came. head: in lower case."""
    size, tail = len(rest), rest[-5:]
    while piece := connection.recv(PIECE):
        size += len(piece)
        tail = (tail + piece[-5:])[-5:]
    fields = dict(line.partition(b":")[::2] for line in head.split(b"\r\n")[1:])
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return tail == b"0\r\n\r\n"
    length = fields.get(b"content-length")
    status = head[9:12]
    return length is None or status in (b"204", b"304") or size == int(length)
