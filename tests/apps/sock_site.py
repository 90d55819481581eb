"""Flask-Sock: WebSockets in threads, over simple-websocket."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import flask
import recorder
from flask_sock import Sock

app = flask.Flask(__name__)
sock = Sock(app)


@app.get("/")
def hello() -> str:
    return "hello"


@sock.route("/echo")
def echo(ws: Any) -> None:
    while (text := ws.receive()) != "close":
        ws.send(text)
    ws.close(4000, "as you say")


@sock.route("/fails")
def fails(ws: Any) -> None:
    ws.send(ws.receive())
    raise ValueError("on purpose")


def served(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """For the harness."""
    if environ["PATH_INFO"] == "/seen":
        return recorder.report(start_response)
    return app(environ, start_response)
