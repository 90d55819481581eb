"""Every way that a response takes through the server, as what a client sends.

Knows: HTTP, WebSocket, the applications `wsgi_paths` and `asgi_paths`. Must not know: what fails meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from faults.served import Steps
from harness.cases import head
from harness.websocket import CLOSE, frame, handshake

LAST = head(b"Connection: close", start=b"GET /last HTTP/1.1")
NOTHING = b""


def get(target: bytes, *lines: bytes, method: bytes = b"GET") -> Steps:
    """One request, and one behind it, so that what is wrong with the first shows in the second."""
    return [(head(*lines, start=method + b" " + target + b" HTTP/1.1") + LAST, NOTHING)]


def old(target: bytes) -> Steps:
    return [(head(start=b"GET " + target + b" HTTP/1.0"), NOTHING)]


def expecting(size: int) -> Steps:
    lines = (b"Expect: 100-continue", b"Content-Length: %d" % size)
    return [
        (head(*lines, start=b"POST /echo HTTP/1.1"), b"100 Continue\r\n\r\n"),
        (b"".join(b"%07d\n" % k for k in range(size // 8)) + LAST, NOTHING),
    ]


def talking(size: int) -> Steps:
    content = bytes(size)
    return [
        (handshake("/socket"), b"\r\n\r\n"),
        (frame(2, content, mask=bytes(4)), b"\r\n\r\n" + frame(2, content, mask=None)),
        (frame(CLOSE, b"\x03\xe8"), NOTHING),
    ]


@dataclass(frozen=True)
class Path:
    """method: of the first request. by_close: the end of the connection ends its body.

    busy: all threads, or as many tasks as may run, are in the application. is_ours: it is not called.
    """

    steps: Steps
    interfaces: tuple[str, ...] = ("wsgi", "asgi")
    method: str = "GET"
    by_close: bool = False
    busy: bool = False
    is_ours: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """Of a server that is not the one for all."""
        return ("--max-queue-time=0.05", "--max-concurrency=1") if self.busy else ()


PATHS: dict[str, Path] = {
    "a small body": Path(get(b"/whole?5")),
    "a body of more than one piece of memory": Path(get(b"/whole?20000")),
    "a large body": Path(get(b"/whole?1000000")),
    "small pieces": Path(get(b"/generator?100")),
    "pieces": Path(get(b"/generator?20000")),
    "large pieces": Path(get(b"/generator?150000")),
    "write()": Path(get(b"/writing?100"), ("wsgi",)),
    "write() of large pieces": Path(get(b"/writing?300000"), ("wsgi",)),
    "a file": Path(get(b"/file?300000")),
    "a small file": Path(get(b"/file?5")),
    "a file by its path": Path(get(b"/path?300000"), ("asgi",)),
    "a HEAD": Path(get(b"/whole?20000", method=b"HEAD"), method="HEAD"),
    "a HEAD of a file": Path(get(b"/file?5000", method=b"HEAD"), method="HEAD"),
    "an error": Path(get(b"/fails")),
    "a refusal": Path([(head(b"A : b"), NOTHING)], is_ours=True),
    "a probe": Path(get(b"/health"), is_ours=True),
    "a body in memory": Path(expecting(8000), method="POST"),
    "a body in a file": Path(expecting(400_000), method="POST"),
    "early hints": Path(get(b"/hints")),
    "trailers": Path(get(b"/trailers?20000", b"TE: trailers"), ("asgi",)),
    "HTTP/1.0, with a length": Path(old(b"/whole?20000")),
    "HTTP/1.0, without a length": Path(old(b"/generator?50000"), by_close=True),
    "HTTP/1.0, a file": Path(old(b"/file?300000")),
    "a small message": Path(talking(5), ("asgi",)),
    "a large message": Path(talking(300_000), ("asgi",)),
}

#: What else is answered while nothing can be served. Nor can the request behind it.
BUSY_PATHS: dict[str, Path] = {
    "a request that waits for too long": Path(get(b"/whole?5"), busy=True, is_ours=True),
    "a body that waits for too long": Path(expecting(8000), method="POST", busy=True, is_ours=True),
    "a probe of a busy worker": Path(get(b"/health"), busy=True, is_ours=True),
}
