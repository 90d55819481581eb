"""Applications, by path, that try each clause of PEP 3333.

`/events` tells what has happened since the last time; a path that is not here answers with its environ.
"""

from __future__ import annotations

import contextvars
import gzip
import io
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

Environ = dict[str, Any]
Start = Callable[..., Any]
Page = Callable[[Environ, Start], Any]

PLAIN = [("Content-Type", "text/plain")]
PIECE = 65536

PAGES: dict[str, Page] = {}
_events: list[Any] = []
_lock = threading.Lock()


def note(event: Any) -> None:
    with _lock:
        _events.append(event)


def page(path: str) -> Callable[[Page], Page]:
    def add(function: Page) -> Page:
        PAGES[path] = function
        return function

    return add


def app(environ: Environ, start_response: Start) -> Any:
    path = environ["PATH_INFO"]
    if path.startswith("/valid/"):
        return valid(environ, start_response)
    return PAGES.get(path, _environ)(environ, start_response)


def answer(start_response: Start, content: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(content).encode()]


@page("/events")
def _report(_: Environ, start_response: Start) -> list[bytes]:
    with _lock:
        events = _events[:]
        _events.clear()
    return answer(start_response, events)


def _environ(environ: Environ, start_response: Start) -> list[bytes]:
    """Of every other path: what the environ holds, and of which types."""
    assert type(environ) is dict
    values = {key: value if isinstance(value, str | bool | int) else None for key, value in environ.items()}
    types = {key: type(value).__name__ for key, value in environ.items()}
    return answer(start_response, {"values": values, "types": types, "version": environ["wsgi.version"]})


# -- validated by wsgiref


def _valid(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """The body back, read in the way that the path names."""
    way = environ["PATH_INFO"].removeprefix("/valid/")
    stream = environ["wsgi.input"]
    if way == "unread":
        pieces = [b"unread"]
    elif way == "pieces":
        pieces = list(iter(lambda: stream.read(1000), b""))
    elif way == "lines":
        pieces = list(iter(lambda: stream.readline(), b""))
    elif way == "iterated":
        pieces = list(stream)
    else:
        pieces = [stream.read(int(environ.get("CONTENT_LENGTH") or "10000000"))]
    environ["wsgi.errors"].write(f"valid {way}\n")
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(pieces) if way == "iterated" else pieces


valid = validator(_valid)


# -- start_response and write


@page("/late-start")
def _late_start(_: Environ, start_response: Start) -> Iterator[bytes]:
    """A generator: start_response is called when the first piece is asked for."""
    start_response("200 OK", PLAIN)
    yield b"late"


@page("/write")
def _write(environ: Environ, start_response: Start) -> list[bytes]:
    write = start_response("200 OK", PLAIN)
    for number in range(int(environ["QUERY_STRING"])):
        write(b"%015d\n" % number * (PIECE // 16))
        note(number)
    return [b"last"]


@page("/write-after-the-end")
def _write_after_the_end(_: Environ, start_response: Start) -> list[bytes]:
    _kept.append(start_response("200 OK", PLAIN))
    return [b"done"]


_kept: list[Any] = []


@page("/write-again")
def _write_again(_: Environ, start_response: Start) -> list[bytes]:
    try:
        _kept.pop()(b"smuggled")
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        return answer(start_response, type(error).__name__)
    return answer(start_response, "written")


@page("/exc-info-before")
def _exc_info_before(_: Environ, start_response: Start) -> list[bytes]:
    """Nothing has been sent, so the error page takes the place of the answer."""
    start_response("200 OK", [*PLAIN, ("X-First", "1")])
    try:
        raise ValueError("before")
    except ValueError:
        start_response("500 Oops", [*PLAIN, ("X-Second", "2")], sys.exc_info())
    return [b"error page"]


@page("/exc-info-after")
def _exc_info_after(_: Environ, start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    yield b"first"
    try:
        raise ValueError("after the head was sent")
    except ValueError as error:
        try:
            start_response("500 Oops", PLAIN, sys.exc_info())
        except ValueError as again:
            note(["raised again", again is error])
            raise
    note("start_response let it pass")


# -- close()


class Body:
    """An iterable that is not its own iterator, with a close() that counts."""

    def __init__(self, pieces: Iterable[bytes], name: str, *, closing_fails: bool = False) -> None:
        self.pieces = pieces
        self.name = name
        self.closing_fails = closing_fails

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)

    def close(self) -> None:
        note(f"closed {self.name}")
        if self.closing_fails:
            raise RuntimeError("close() fails")


def _pieces(count: int, *, fails_after: int | None = None) -> Iterator[bytes]:
    for number in range(count):
        if number == fails_after:
            raise RuntimeError("the iterable fails")
        yield b"%d;" % number


@page("/close/normal")
def _close_normal(_: Environ, start_response: Start) -> Body:
    start_response("200 OK", PLAIN)
    return Body(_pieces(3), "normal")


@page("/close/empty")
def _close_empty(_: Environ, start_response: Start) -> Body:
    start_response("200 OK", PLAIN)
    return Body([], "empty")


@page("/close/no-content")
def _close_no_content(_: Environ, start_response: Start) -> Body:
    start_response("204 No Content", [])
    return Body([], "no-content")


@page("/close/fails-at-once")
def _close_fails_at_once(_: Environ, start_response: Start) -> Body:
    start_response("200 OK", PLAIN)
    return Body(_pieces(3, fails_after=0), "fails-at-once")


@page("/close/fails-midway")
def _close_fails_midway(_: Environ, start_response: Start) -> Body:
    start_response("200 OK", PLAIN)
    return Body(_pieces(3, fails_after=2), "fails-midway")


@page("/close/never-started")
def _close_never_started(_: Environ, __: Start) -> Body:
    return Body(_pieces(3), "never-started")


@page("/close/bad-piece")
def _close_bad_piece(_: Environ, start_response: Start) -> Body:
    start_response("200 OK", PLAIN)
    return Body(["text"], "bad-piece")  # type: ignore[list-item]


@page("/close/itself-fails")
def _close_itself_fails(_: Environ, start_response: Start) -> Body:
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return Body(_pieces(2), "itself-fails", closing_fails=True)


@page("/close/generator")
def _close_generator(_: Environ, start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    try:
        while True:
            yield b"g" * PIECE
    finally:
        note("closed generator")


@page("/close/endless")
def _close_endless(_: Environ, start_response: Start) -> Body:
    start_response("200 OK", PLAIN)
    return Body(iter(lambda: b"e" * PIECE, b""), "endless")


@page("/close/list")
def _close_list(_: Environ, start_response: Start) -> list[bytes]:
    class ClosingList(list[bytes]):
        def close(self) -> None:
            note("closed list")

    start_response("200 OK", PLAIN)
    return ClosingList([b"a", b"b"])


@page("/close/list-iterator")
def _close_list_iterator(_: Environ, start_response: Start) -> Body:
    start_response("200 OK", PLAIN)
    return Body([b"one;", b"", b"two"], "list-iterator")


# -- pace


@page("/paced")
def _paced(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Endless, or as many pieces as the query says; each that is asked for is noted."""
    wanted = int(environ["QUERY_STRING"] or "-1")
    start_response("200 OK", PLAIN)
    number = 0
    while number != wanted:
        note(number)
        yield b"%015d\n" % number * (PIECE // 16)
        number += 1


# -- contextvars

_variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@page("/context")
def _context(environ: Environ, start_response: Start) -> list[bytes]:
    before = _variable.get()
    _variable.set(environ["QUERY_STRING"])
    return answer(start_response, [before, _variable.get()])


@page("/context/stream")
def _context_stream(environ: Environ, start_response: Start) -> Body:
    name = environ["QUERY_STRING"]
    before = _variable.get()
    _variable.set(name)
    start_response("200 OK", PLAIN)

    class ContextBody(Body):
        def close(self) -> None:
            note(["close", name, _variable.get()])

    def pieces() -> Iterator[bytes]:
        yield before.encode() + b";"
        for number in range(200):
            if number == 150:
                _variable.set(name + "-late")
            yield _variable.get().encode() + b";" + b" " * PIECE

    return ContextBody(pieces(), "context")


# -- wsgi.input

READERS: dict[str, Callable[[Any], list[bytes]]] = {
    "read": lambda stream: [stream.read()],
    "read-minus-one": lambda stream: [stream.read(-1)],
    "read-none": lambda stream: [stream.read(None)],
    "read-7": lambda stream: list(iter(lambda: stream.read(7), b"")),
    "read-more-than-there-is": lambda stream: [stream.read(10_000_000), stream.read(1), stream.read()],
    "read-0": lambda stream: [stream.read(0), stream.read()],
    "readline": lambda stream: list(iter(stream.readline, b"")),
    "readline-5": lambda stream: list(iter(lambda: stream.readline(5), b"")),
    "readlines": lambda stream: stream.readlines(),
    "readlines-hint": lambda stream: [*stream.readlines(8), b"|", *stream.readlines()],
    "iterated": list,
    "next": lambda stream: [next(stream), stream.read(3), stream.readline(), *stream],
    "mixed": lambda stream: [
        stream.readline(),
        stream.read(4),
        stream.readline(2),
        *stream.readlines(),
        stream.read(),
    ],
}


@page("/input")
def _input(environ: Environ, start_response: Start) -> list[bytes]:
    pieces = READERS[environ["QUERY_STRING"]](environ["wsgi.input"])
    assert all(type(piece) is bytes for piece in pieces)
    return answer(start_response, [piece.decode("latin-1") for piece in pieces])


@page("/input/kind")
def _input_kind(environ: Environ, start_response: Start) -> list[bytes]:
    stream = environ["wsgi.input"]
    place = "memory"
    if not isinstance(stream, io.BytesIO):
        place = os.readlink(f"/proc/self/fd/{stream.fileno()}")
    return answer(start_response, [place, len(stream.read())])


@page("/input/late")
def _input_late(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """The body is read after the answer has begun."""
    start_response("200 OK", PLAIN)
    yield b"begun;"
    yield str(len(environ["wsgi.input"].read())).encode()


# -- wsgi.file_wrapper

CONTENT = b"".join(b"%015d\n" % number for number in range(100_000))  # 1.6 MB, each line once


class Filelike:
    """Only read() and close(): no descriptor behind it."""

    def __init__(self, content: bytes) -> None:
        self.file = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self.file.read(size)

    def close(self) -> None:
        note("closed")


class NoClose:
    def __init__(self, content: bytes) -> None:
        self.read = io.BytesIO(content).read


def _disk(content: bytes = CONTENT) -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - the server closes it
    file.write(content)
    file.seek(0)
    return file


def _opened(offset: int = 0, read: int = 0, buffering: int = -1) -> Any:
    with tempfile.NamedTemporaryFile() as made:
        made.write(CONTENT)
        made.flush()
        file = open(made.name, "rb", buffering=buffering)  # noqa: SIM115 - the server closes it
    file.seek(offset)
    file.read(read)
    return file


def _gzipped() -> Any:
    """It has a fileno(), but what read() gives is not what the descriptor holds."""
    file = _disk(gzip.compress(CONTENT))
    return gzip.GzipFile(fileobj=file)


def _pipe() -> Any:
    reader, writer = os.pipe()

    def fill() -> None:
        with open(writer, "wb") as pipe:
            pipe.write(CONTENT)

    threading.Thread(target=fill).start()
    return open(reader, "rb")


def _spooled() -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115 - the server closes it
    file.write(CONTENT)
    file.seek(0)
    return file


FILES: dict[str, Callable[[], Any]] = {
    "disk": _disk,
    "opened": _opened,
    "unbuffered": lambda: _opened(buffering=0),
    "offset": lambda: _opened(offset=1000),
    "read-ahead": lambda: _opened(read=500),
    "at-the-end": lambda: _opened(offset=len(CONTENT)),
    "behind-the-end": lambda: _opened(offset=len(CONTENT) + 10),
    "memory": lambda: io.BytesIO(CONTENT),
    "filelike": lambda: Filelike(CONTENT),
    "no-close": lambda: NoClose(CONTENT),
    "gzip": _gzipped,
    "pipe": _pipe,
    "spooled": _spooled,
    "text-length": _opened,
}


@page("/file")
def _file(environ: Environ, start_response: Start) -> Any:
    name = environ["QUERY_STRING"]
    fields = list(PLAIN)
    if name == "text-length":
        fields.append(("Content-Length", str(len(CONTENT))))
    start_response("200 OK", fields)
    return environ["wsgi.file_wrapper"](FILES[name](), 8192)


@page("/file/closed")
def _file_closed(environ: Environ, start_response: Start) -> Any:
    """A real file whose close() is seen."""
    start_response("200 OK", PLAIN)
    file = _opened()

    class Closing(io.BufferedReader):
        def close(self) -> None:
            if not self.closed:
                note("closed")
            super().close()

    return environ["wsgi.file_wrapper"](Closing(file.detach()))


@page("/file/iterated")
def _file_iterated(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """What middleware does to it: then it is an iterable like any other."""
    start_response("200 OK", PLAIN)
    return (piece.upper() for piece in environ["wsgi.file_wrapper"](io.BytesIO(b"abc" * 10_000), 1000))


@page("/file/after-write")
def _file_after_write(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN)(b"written first;")
    return environ["wsgi.file_wrapper"](_opened())


# -- the rest


@page("/hints")
def _hints(environ: Environ, start_response: Start) -> list[bytes]:
    if hints := environ.get("wsgi.early_hints"):
        hints([("Link", "</style.css>; rel=preload"), ("Link", "</code.js>; rel=preload")])
        hints([("Link", "</late.css>; rel=preload")])
    start_response("200 OK", PLAIN)
    return [b"hinted" if hints else b"no hints"]


@page("/errors")
def _errors(environ: Environ, start_response: Start) -> list[bytes]:
    errors = environ["wsgi.errors"]
    errors.write("one line for the log\n")
    errors.writelines(["two ", "parts\n", "caf\xe9 \N{SNOWMAN}\n"])
    print("printed", file=errors)
    errors.flush()
    start_response("200 OK", PLAIN)
    return [b""]
