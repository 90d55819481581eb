"""One application for each way that a response takes through the server; `/last` ends every test.

`/block?GATE` writes GATE.in and waits until GATE is there. With the field X-Fail: N, the N-th allocation from
the call of the application on fails, whoever makes it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

with contextlib.suppress(ImportError):  # some builds of CPython come without; the tests know
    import _testcapi

PLAIN = [("Content-Type", "text/plain")]
#: Content that tells where a piece is missing or twice there.
CONTENT = b"".join(b"%07d\n" % k for k in range(1 << 17))
#: Made before anything fails.
FILES = {size: os.path.join(tempfile.gettempdir(), str(size)) for size in (5, 5000, 300_000)}
for _size, _name in FILES.items():
    with open(_name, "wb") as _file:
        _file.write(CONTENT[:_size])


def _start(start_response: Any, size: int | None = None) -> Any:
    return start_response("200 OK", PLAIN + ([("Content-Length", str(size))] if size is not None else []))


def whole(environ: Any, start_response: Any) -> Iterable[bytes]:
    size = int(environ["QUERY_STRING"])
    _start(start_response, size)
    return [CONTENT[:size]]


def generator(environ: Any, start_response: Any) -> Iterator[bytes]:
    _start(start_response)
    size = int(environ["QUERY_STRING"])
    for at in range(0, 5 * size, size):
        yield CONTENT[at : at + size]


def writing(environ: Any, start_response: Any) -> Iterable[bytes]:
    write = _start(start_response)
    size = int(environ["QUERY_STRING"])
    for at in range(0, 3 * size, size):
        write(CONTENT[at : at + size])
    return [b"end"]


def file(environ: Any, start_response: Any) -> Iterable[bytes]:
    size = int(environ["QUERY_STRING"])
    file = open(FILES[size], "rb")  # noqa: SIM115 - the server closes it
    _start(start_response, size)
    return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]


def echo(environ: Any, start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    _start(start_response, len(body))
    return [body]


def hints(environ: Any, start_response: Any) -> Iterable[bytes]:
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    _start(start_response, 5)
    return [b"hello"]


def blocks(gate: str) -> Iterator[None]:
    """A turn for each look whether the gate is open."""
    with open(f"{gate}.in", "w"):
        pass
    while not os.path.exists(gate):
        yield


def block(environ: Any, start_response: Any) -> Iterable[bytes]:
    for _ in blocks(environ["QUERY_STRING"]):
        time.sleep(0.005)
    return last(environ, start_response)


def fails(_: Any, __: Any) -> Iterable[bytes]:
    raise RuntimeError("as planned")


def fail_allocation(number: str | bytes | None) -> None:
    """None: no more."""
    if number is not None:
        _testcapi.set_nomemory(int(number), int(number) + 1)
    elif "_testcapi" in globals():
        _testcapi.remove_mem_hooks()


def last(_: Any, start_response: Any) -> Iterable[bytes]:
    _start(start_response, 4)
    return [b"last"]


PATHS: dict[str, Callable[[Any, Any], Iterable[bytes]]] = {
    f"/{function.__name__}": function
    for function in (whole, generator, writing, file, echo, hints, fails, block, last)
}


def app(environ: Any, start_response: Any) -> Iterable[bytes]:
    path = PATHS.get(environ["PATH_INFO"], last)
    fail_allocation(environ.get("HTTP_X_FAIL"))
    return path(environ, start_response)
