"""Flask-SocketIO, in the mode that the variable ASYNC_MODE names.

Events: `echo` gives back what it gets; `shout` gives it to all; `later` has a task of the library's answer;
`note` leaves a text. `/notes` tells what has happened; `/` says hello. WITHOUT names a package that is as if
it were not installed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

if without := os.environ.get("WITHOUT"):
    sys.modules[without] = None  # type: ignore[assignment]

import flask
from flask_socketio import SocketIO, emit

app = flask.Flask(__name__)
socketio = SocketIO(app, async_mode=os.environ["ASYNC_MODE"])
notes: list[str] = []


@app.get("/")
def hello() -> str:
    return "hello"


@app.get("/notes")
def tell() -> list[str]:
    return notes


@socketio.on("connect")
def connected() -> None:
    notes.append("connected")


@socketio.on("disconnect")
def left(*_: Any) -> None:
    notes.append("left")


@socketio.on("echo")
def echo(data: Any) -> str:
    emit("echo", data)
    return "acknowledged"


@socketio.on("shout")
def shout(data: Any) -> None:
    emit("shout", data, broadcast=True)


@socketio.on("later")
def later(data: Any) -> None:
    sid = flask.request.sid  # type: ignore[attr-defined]

    def task() -> None:
        for _ in range(3):
            socketio.sleep(0.01)
        socketio.emit("later", data, to=sid)

    socketio.start_background_task(task)
