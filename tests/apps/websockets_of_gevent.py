"""An application for gevent-websocket: what it wants is environ["wsgi.websocket"].

`/echo`     gives back each message, and its own subprotocol first; "raise" has it raise
`/rooms`    the same by a class of the package's, WebSocketApplication
`/plain`    answers without the WebSocket that it is offered
`/socket`   takes the connection's socket instead
Anything else: whether it is offered one
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from geventwebsocket import Resource, WebSocketApplication

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
closed: list[str] = []


class Room(WebSocketApplication):  # type: ignore[misc]
    def on_message(self, message: str | bytes | None) -> None:
        if message is not None:
            self.ws.send(message)

    def on_close(self, reason: object) -> None:
        closed.append(type(reason).__name__)


rooms = Resource([("/rooms", Room)])


def answer(start_response: Callable[..., Any], text: str) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]


def echo(websocket: Any) -> None:
    websocket.send(f"{websocket.path} {websocket.version}")
    while (message := websocket.receive()) is not None:
        if message == "raise":
            raise ValueError("on purpose")
        websocket.send(message)


class App:
    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/echo":
                echo(environ["wsgi.websocket"])
                return answer(start_response, "not sent")
            case "/rooms":
                return rooms(environ, start_response)  # type: ignore[no-any-return]
            case "/socket":
                with environ["tricorn.socket"] as socket:
                    socket.sendall(HEAD + b"of my own")
                return []
        return answer(start_response, f"{'wsgi.websocket' in environ} {' '.join(closed)}".strip())

    def app_protocol(self, path: str) -> str | None:
        return "chat" if path == "/echo" else None


app = App()
