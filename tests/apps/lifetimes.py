"""What a WSGI application is handed, used where and when it should not be.

A query is `GATE&USE`, with USE the name of one of USES.

`/during`   another thread uses it while the request runs; answers with what came of it
`/after`    another thread uses it once GATE exists, which is after the response, and writes GATE.out
`/close`    close() of the iterable uses it, and writes GATE.out
`/finally`  a generator's finally uses it, and writes GATE.out
`/del`      the destructor of the iterable uses it, and writes GATE.out
`/storm?WAY` four threads use everything, over and over, beyond the end of a response; WAY: how it is given
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gates import Environ, StartResponse, dispatch, note, wait

TYPE = [("Content-Type", "text/plain")]
#: What must never reach a client.
LATE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nLATE"
#: More than a send keeps the GIL for.
BIG = LATE * 8000
STORM_SECONDS = 0.3


class Handed:
    """The objects of one request."""

    def __init__(self, environ: Environ, start_response: StartResponse) -> None:
        self.environ = environ
        self.start_response = start_response
        self.write = start_response("200 OK", TYPE)


def _wrapper(handed: Handed) -> bytes:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the wrapper closes it
    file.write(b"wrapped")
    file.seek(0)
    wrapper = handed.environ["wsgi.file_wrapper"](file)
    try:
        return b"".join(wrapper)
    finally:
        wrapper.close()


USES: dict[str, Callable[[Handed], Any]] = {
    "write": lambda handed: handed.write(LATE),
    "write-much": lambda handed: handed.write(BIG),
    "write-nothing": lambda handed: handed.write(b""),
    "hints": lambda handed: handed.environ["wsgi.early_hints"]([("Link", "</a>; rel=preload")]),
    "start": lambda handed: handed.start_response("200 OK", TYPE),
    "input": lambda handed: handed.environ["wsgi.input"].read(4),
    "line": lambda handed: handed.environ["wsgi.input"].readline(),
    "errors": lambda handed: handed.environ["wsgi.errors"].write("said late\n"),
    "wrapper": _wrapper,
}


def attempt(use: str, handed: Handed) -> str:
    try:
        return repr(USES[use](handed))
    except Exception as error:  # noqa: BLE001 - which error is what is asked
        return type(error).__name__


def in_thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def _query(environ: Environ) -> tuple[str, str]:
    gate, _, use = environ["QUERY_STRING"].partition("&")
    return gate, use


def during(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _, use = _query(environ)
    handed = Handed(environ, start_response)
    found: list[str] = []
    in_thread(lambda: found.append(attempt(use, handed))).join()
    return [found[0].encode()]


def after(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    gate, use = _query(environ)
    handed = Handed(environ, start_response)

    def late() -> None:
        wait(gate)
        note(gate, "out", attempt(use, handed))

    in_thread(late)
    return [b"body"]


class Closing:
    """An iterable that uses what it was handed when it is closed."""

    def __init__(self, gate: str, use: str, handed: Handed) -> None:
        self.report = lambda: note(gate, "out", attempt(use, handed))

    def __iter__(self) -> Iterator[bytes]:
        yield b"body"

    def close(self) -> None:
        self.report()


class Dying(Closing):
    def close(self) -> None:
        self.__class__ = Dead  # type: ignore[assignment]


class Dead(Dying):
    def __del__(self) -> None:
        self.report()


def close(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return Closing(*_query(environ), Handed(environ, start_response))


def dying(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return Dying(*_query(environ), Handed(environ, start_response))


def at_last(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    gate, use = _query(environ)
    handed = Handed(environ, start_response)
    try:
        yield b"body"
    finally:
        note(gate, "out", attempt(use, handed))


def _listed(_: Handed) -> Iterable[bytes]:
    return [b"body" * 20000]


def _generated(_: Handed) -> Iterator[bytes]:
    for _number in range(60):
        yield b"body" * 20000


def _written(handed: Handed) -> Iterable[bytes]:
    for _ in range(60):
        handed.write(b"body" * 20000)
    return []


def _filed(handed: Handed) -> Iterable[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
    file.write(b"body" * 500000)
    file.seek(0)
    return handed.environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]


def _failed(_: Handed) -> Iterable[bytes]:
    raise LookupError("the application failed")


WAYS = {
    "list": _listed,
    "generator": _generated,
    "write": _written,
    "file": _filed,
    "failure": _failed,
}


def storm(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    handed = Handed(environ, start_response)
    end = time.monotonic() + STORM_SECONDS

    def rage(first: int) -> None:
        uses = [*USES][first:] + [*USES][:first]
        while time.monotonic() < end:
            for use in uses:
                if use != "errors":
                    attempt(use, handed)

    for number in range(4):
        in_thread(lambda number=number: rage(2 * number))
    return WAYS[environ["QUERY_STRING"]](handed)


app = dispatch(
    {
        "/during": during,
        "/after": after,
        "/close": close,
        "/finally": at_last,
        "/del": dying,
        "/storm": storm,
    }
)
