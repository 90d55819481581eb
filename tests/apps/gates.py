"""What the applications of these tests share: they wait for files, and a test makes them.

`GATE.in` says that the application has come so far; it goes on when GATE exists.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

LONGEST = 20.0  # a test that fails must not leave a worker waiting for ever

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], Any]]
View = Callable[[Environ, StartResponse], Iterable[bytes]]


def note(gate: str, mark: str, text: str = "here") -> None:
    """Write GATE.mark, whole or not at all."""
    path = Path(f"{gate}.{mark}")
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text)
    draft.replace(path)


def maybe_held(path: str) -> Path | None:
    """The gate that a path of the form /hold/GATE names; the application has come so far."""
    if not path.startswith("/hold/"):
        return None
    gate = Path(path.removeprefix("/hold"))
    note(str(gate), "in")
    return gate


def wait(gate: str) -> None:
    end = time.monotonic() + LONGEST
    while not Path(gate).exists() and time.monotonic() < end:
        time.sleep(0.002)


def block(gate: str) -> None:
    note(gate, "in")
    wait(gate)


def dispatch(views: dict[str, View]) -> View:
    """An application of `views`, of `/`: the process id, and of `/hold?GATE&TEXT` and `/block?GATE`."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in views:
            return views[path](environ, start_response)
        if path == "/hold":
            gate, _, text = environ["QUERY_STRING"].partition("&")
            logging.getLogger("tricorn.error").addHandler(Hold(gate, text.replace("+", " ")))
        if path == "/block":
            block(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]

    return app


class Hold(logging.Handler):
    """Holds whoever logs TEXT next, once, as a slow log would: GATE.in, GATE, GATE.out."""

    def __init__(self, gate: str, text: str) -> None:
        super().__init__()
        self.gate = gate
        self.text = text
        self.over = False

    def handle(self, record: logging.LogRecord) -> bool:
        if not self.over and self.text in record.getMessage():
            self.over = True
            block(self.gate)
            note(self.gate, "out")
        return True
