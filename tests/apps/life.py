"""An application for tests of a server's life: it can take its time, hang, freeze and say which code it is.

`/`              this process and VERSION (from the file named by $VERSION_FILE, read when it was imported)
`/block?GATE`    writes the process id to GATE.in, waits for the file GATE, answers "released"
`/spin?GATE`     the same in a loop of Python code, so an exception can be raised in it
`/trickle?GATE`  a first piece at once, another when GATE exists
`/drip?GATE`     a piece each 50 ms until GATE exists
`/nap`           60 s in one call into C without the GIL, where no exception of Python's arrives
`/freeze`        holds the GIL for 60 s
`/exit`          ends the process as a crash does
`/log?TEXT`      writes TEXT to wsgi.errors
`/stream?N`      N bytes in pieces of 64 KiB
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

VERSION = Path(os.environ["VERSION_FILE"]).read_text() if "VERSION_FILE" in os.environ else "1"
if VERSION == "broken":
    raise RuntimeError("this version does not boot")

LONGEST = 30.0  # a test that fails must not leave a worker waiting for ever


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    argument = environ["QUERY_STRING"]
    path = environ["PATH_INFO"]
    if path == "/exit":
        os._exit(1)
    if path == "/freeze":
        ctypes.PyDLL(None).sleep(60)
    if path == "/nap":
        time.sleep(60)
    if path == "/log":
        environ["wsgi.errors"].write(argument + "\n")
    if path == "/block":
        Path(argument + ".in").write_text(str(os.getpid()))
        _wait(lambda: Path(argument).exists(), pause=0.002)
    if path == "/spin":
        Path(argument + ".in").write_text(str(os.getpid()))
        _wait(lambda: Path(argument).exists(), pause=0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/trickle":
        return _trickle(argument)
    if path == "/drip":
        return _drip(argument)
    if path == "/stream":
        return (b"s" * 65536 for _ in range(int(argument) // 65536))
    if path in ("/block", "/spin"):
        return [b"released"]
    return [f"{os.getpid()} {VERSION}".encode()]


def _trickle(gate: str) -> Iterator[bytes]:
    yield b"first;"
    _wait(lambda: Path(gate).exists(), pause=0.002)
    yield b"second"


def _drip(gate: str) -> Iterator[bytes]:
    end = time.monotonic() + LONGEST
    while not Path(gate).exists() and time.monotonic() < end:
        yield b"drip"
        time.sleep(0.05)
    yield b"last"


def _wait(condition: Callable[[], bool], *, pause: float) -> None:
    end = time.monotonic() + LONGEST
    while not condition() and time.monotonic() < end:
        time.sleep(pause)
