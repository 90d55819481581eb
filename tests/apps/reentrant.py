"""Every place where the server runs code of a WSGI application, calling back into the server.

`/HOOK?USE`: a HOOK of HOOKS does a USE of USES, in the middle of what the server is doing.
"""

from __future__ import annotations

import gc
import io
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gates import Environ, StartResponse, dispatch

PIECE = b"p" * 40_000
TYPE = ("Content-Type", "text/plain")


class Back:
    """Calls back, once, with whatever comes of it kept to itself."""

    def __init__(self, environ: Environ, start_response: StartResponse) -> None:
        self.environ = environ
        self.start_response = start_response
        self.use = USES[environ["QUERY_STRING"]]
        self.write: Callable[[bytes], Any] | None = None
        self.over = False

    def __call__(self) -> None:
        if not self.over:
            self.over = True
            try:
                self.use(self)
            except Exception as error:  # noqa: BLE001 - refused, as it may be
                self.over = error is not None

    def start(self, *headers: tuple[str, str]) -> None:
        self.write = self.start_response("200 OK", [TYPE, *headers])


def _write(back: Back) -> None:
    if back.write is not None:
        back.write(b"w" * 10)


def _write_much(back: Back) -> None:
    if back.write is not None:
        back.write(b"w" * 100_000)


def _again(back: Back) -> None:
    try:
        raise LookupError("an error page, late")
    except LookupError:
        back.start_response("500 Oh", [TYPE], sys.exc_info())


USES: dict[str, Callable[[Back], Any]] = {
    "write": _write,
    "write-much": _write_much,
    "hints": lambda back: back.environ["wsgi.early_hints"]([("Link", "</a>")]),
    "start": lambda back: back.start_response("200 OK", [TYPE]),
    "again": _again,
    "read": lambda back: back.environ["wsgi.input"].read(),
    "clear": lambda back: back.environ.clear(),
    "collect": lambda _: gc.collect(),
}


class Body:
    """An iterable of which each part that the server calls can be replaced."""

    def __init__(self, back: Back, hook: str) -> None:
        self.back = back
        self.hook = hook
        self.left = 3

    def _at(self, hook: str) -> None:
        if self.hook == hook:
            self.back()

    def __iter__(self) -> Iterator[bytes]:
        self._at("iter")
        return self

    def __len__(self) -> int:
        self._at("len")
        return 1

    def __bool__(self) -> bool:
        self._at("bool")
        return True

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        self.left -= 1
        self._at("next")
        return PIECE

    def close(self) -> None:
        self._at("close")

    def __del__(self) -> None:
        self._at("del")


def body(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    back = Back(environ, start_response)
    back.start()
    return Body(back, environ["PATH_INFO"][1:])


class File(io.RawIOBase):
    def __init__(self, back: Back, hook: str) -> None:
        self.back = back
        self.hook = hook
        self.left = 3

    def read(self, size: int = -1) -> bytes:
        if not self.left:
            return b""
        self.left -= 1
        if self.hook == "file-read":
            self.back()
        return PIECE[:size]

    def fileno(self) -> int:
        if self.hook == "file-fileno":
            self.back()
        return 0

    def tell(self) -> int:
        if self.hook == "file-tell":
            self.back()
        return 0

    def close(self) -> None:
        if self.hook == "file-close":
            self.back()


def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    back = Back(environ, start_response)
    back.start()
    return environ["wsgi.file_wrapper"](File(back, environ["PATH_INFO"][1:]))  # type: ignore[no-any-return]


class Piece(bytes):
    """Says of itself what is not so, and calls back."""

    back: Back

    def _lie(self, *_: object) -> Any:
        self.back()
        return b"lies"

    def __len__(self) -> int:
        self.back()
        return 4

    __bytes__ = __getitem__ = __add__ = _lie


def piece(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    back = Back(environ, start_response)
    back.start()
    found = Piece(PIECE)
    found.back = back
    return [found] if environ["PATH_INFO"] == "/piece-list" else iter([found] * 3)


class Text(str):
    back: Back

    def _lie(self, *_: object) -> Any:
        self.back()
        return b"lies"

    def __len__(self) -> int:
        self.back()
        return 1 << 40

    def __str__(self) -> str:
        self.back()
        return "lies"

    encode = lower = strip = _lie


def header(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    back = Back(environ, start_response)
    name, value = Text("X-Name"), Text("value")
    name.back = value.back = back
    back.write = start_response("200 OK", [TYPE, (name, value), ("Content-Length", Text(str(len(PIECE))))])
    return [PIECE]


class Late:
    """Garbage that calls back when it is found."""

    def __init__(self, back: Back) -> None:
        self.back = back
        self.itself = self

    def __del__(self) -> None:
        self.back()


def garbage(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The collector runs at the next allocation, wherever the server is then."""
    back = Back(environ, start_response)
    back.start(("Connection", "keep-alive, x"))
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(4):
            back.over = False
            Late(back)
            yield PIECE
    finally:
        gc.set_threshold(*threshold)


class Listener(logging.Handler):
    def __init__(self, back: Back) -> None:
        super().__init__()
        self.back = back

    def handle(self, record: logging.LogRecord) -> bool:
        if "than its Content-Length says" in record.getMessage():
            self.back()
        return True


def logged(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Its Content-Length is wrong, and that is logged in the middle of a piece, or at the end."""
    back = Back(environ, start_response)
    logger = logging.getLogger("tricorn.error")
    for old in [handler for handler in logger.handlers if isinstance(handler, Listener)]:
        logger.removeHandler(old)
    logger.addHandler(Listener(back))
    wrong = -1 if environ["PATH_INFO"] == "/log-more" else 1
    back.start(("Content-Length", str(len(PIECE) + wrong)))
    return [PIECE]


HOOKS = {
    **dict.fromkeys(("iter", "next", "len", "bool", "close", "del"), body),
    **dict.fromkeys(("file-read", "file-fileno", "file-tell", "file-close"), file),
    **dict.fromkeys(("piece-list", "piece-iterator"), piece),
    "header": header,
    "garbage": garbage,
    **dict.fromkeys(("log-more", "log-fewer"), logged),
}

app = dispatch({f"/{name}": view for name, view in HOOKS.items()})
