"""What the applications of the tests have seen, told over the wire at `GET /seen`."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

_requests: list[dict[str, Any]] = []
_lock = threading.Lock()


def record(environ: Environ) -> dict[str, Any]:
    """Note a request; the caller may add to what it gets (`body`, `error`)."""
    entry: dict[str, Any] = {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "environ": {
            key: value if isinstance(value, str | bool | int) else repr(type(value))
            for key, value in environ.items()
        },
        "body": None,
        "error": None,
    }
    with _lock:
        _requests.append(entry)
    return entry


def recorded() -> dict[str, Any]:
    """This process, and the requests since the last time."""
    with _lock:
        requests = _requests[:]
        _requests.clear()
    return {"pid": os.getpid(), "requests": requests}


def report(start_response: StartResponse) -> Iterable[bytes]:
    """Answer `/seen`."""
    return answer(start_response, recorded())


def answer(start_response: StartResponse, content: Any, status: str = "200 OK") -> Iterable[bytes]:
    body = json.dumps(content).encode("ascii")
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
