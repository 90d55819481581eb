"""Packets of the uwsgi protocol, as nginx makes them of its clients' requests.

Knows: the form of a packet, nginx's `uwsgi_params`, as much of a socket as the harness uses. Must not know:
what the test wants.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from harness.http2.messages import Content, Head, Reader

Variables = Iterable[tuple[bytes, bytes]]

#: Who asks, unless a test says otherwise: no address of this machine.
CLIENT = (b"192.0.2.7", b"4711")


def packet(
    variables: Variables,
    body: bytes = b"",
    *,
    modifier1: int = 0,
    modifier2: int = 0,
    size: int | None = None,
) -> bytes:
    """size: what the packet says of itself, where that is not the truth."""
    block = b"".join(text(name) + text(value) for name, value in variables)
    length = len(block) if size is None else size
    return bytes([modifier1]) + length.to_bytes(2, "little") + bytes([modifier2]) + block + body


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "little") + value


def said(
    target: bytes = b"/",
    *fields: tuple[bytes, bytes],
    method: bytes = b"GET",
    body: bytes = b"",
    protocol: bytes = b"HTTP/1.1",
    **changed: bytes | None,
) -> list[tuple[bytes, bytes]]:
    """What nginx says with `include uwsgi_params`, and of header fields. changed: None: it is left out."""
    path, _, query = target.partition(b"?")
    usual = {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": b"",
        "CONTENT_LENGTH": b"%d" % len(body) if body else b"",
        "REQUEST_URI": target,
        "PATH_INFO": re.sub(rb"/+", b"/", unquote_to_bytes(path)),  # $document_uri
        "DOCUMENT_ROOT": b"/usr/share/nginx/html",
        "SERVER_PROTOCOL": protocol,
        "REQUEST_SCHEME": b"http",
        "REMOTE_ADDR": CLIENT[0],
        "REMOTE_PORT": CLIENT[1],
        "SERVER_PORT": b"80",
        "SERVER_NAME": b"a.example",
    }
    together = {**usual, **changed}
    variables = [(name.encode(), value) for name, value in together.items() if value is not None]
    has_host = any(name.lower() == b"host" for name, _ in fields)
    hosts = [] if has_host else [(b"HTTP_HOST", b"a.example")]
    return [*variables, *hosts, *(_field(name, value) for name, value in fields)]


def _field(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return b"HTTP_" + name.upper().replace(b"-", b"_"), value


class Translator:
    """HTTP/1 requests become what nginx passes on of them: a packet, and the body behind it.

    Of a body in chunks all has to be there, as in nginx. What is not well-formed is a NotTranslatableError.
    """

    def __init__(self) -> None:
        self._reader = Reader()
        self._head: Head | None = None  # whose body is collected
        self._body = b""

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._item(item) for item in self._reader.feed(data))

    def _item(self, item: Head | Content) -> bytes:
        if isinstance(item, Head):
            length = dict(item.fields).get(b"content-length")
            self._reader.tunnels = item.key is not None  # frames of a WebSocket follow, if it is accepted
            if item.ends or length is not None:
                return packet(told_of(item, length or b""))
            self._head, self._body = item, b""
            return b""
        if self._head is None:
            return item.data
        self._body += item.data
        if not item.ends:
            return b""
        head, self._head = self._head, None
        return packet(told_of(head, b"%d" % len(self._body)), self._body)


def told_of(head: Head, length: bytes) -> list[tuple[bytes, bytes]]:
    fields: dict[bytes, bytes] = {}
    for name, value in head.fields:  # several of one name are joined, as nginx 1.23 does
        joiner = b"; " if name == b"cookie" else b", "
        fields[name] = fields[name] + joiner + value if name in fields else value
    return said(
        head.target,
        *fields.items(),
        method=head.method,
        protocol=b"HTTP/1.0" if head.old else b"HTTP/1.1",
        CONTENT_TYPE=fields.get(b"content-type", b""),
        CONTENT_LENGTH=length,
    )


def of_http1(message: bytes) -> bytes:
    return Translator().feed(message)


class Gateway:
    """The words of a socket: HTTP/1 requests are sent, packets leave."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._translator = Translator()

    def sendall(self, data: bytes) -> None:
        self._raw.sendall(self._translator.feed(data))

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
