"""Other parsers, asked what they make of the same bytes: llhttp (in Node.js; here as httptools) and h11.

Knows: how to drive each, with a 400 as the answer to every request. Must not know: what we make of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import h11
import httptools

from fuzz.reading import read
from tricorn.http.reader import Data, Head, Refused


@dataclass
class Message:
    """A complete request. `fields`: names in lower case, in order."""

    method: bytes = b""
    target: bytes = b""
    version: int = 11
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    keep_alive: bool = True


@dataclass
class Verdict:
    """The complete messages, and in `refused` the parser's words if it found a fault behind them."""

    messages: list[Message] = field(default_factory=list)
    refused: str | None = None


def ours(data: bytes) -> Verdict:
    verdict = Verdict()
    message = Message()
    for event in read((data,)):
        if isinstance(event, Head):
            fields = [(name.lower(), value) for name, value in event.fields]
            message = Message(event.method, event.target, event.version, fields, b"", event.keep_alive)
        elif isinstance(event, Data):
            message.body += event.content
        elif isinstance(event, Refused):
            verdict.refused = f"{event.rule}: {event.reason}"
        else:
            verdict.messages.append(message)
    return verdict


def by_h11(data: bytes) -> Verdict:
    verdict = Verdict()
    message = Message()
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            verdict.refused = str(error)
            return verdict
        if isinstance(event, h11.Request):
            fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            version = 10 + int(event.http_version[-1:])
            message = Message(bytes(event.method), bytes(event.target), version, fields)
        elif isinstance(event, h11.Data):
            message.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            connection.send(h11.Response(status_code=400, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            message.keep_alive = connection.our_state is h11.DONE
            verdict.messages.append(message)
            if not message.keep_alive:
                return verdict
            connection.start_next_cycle()
        else:
            return verdict


class _Llhttp:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.message = Message()

    def on_url(self, url: bytes) -> None:
        self.message.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.message.fields.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.message.body += body

    def on_headers_complete(self) -> None:
        self.message.method = self.parser.get_method()
        self.message.version = 10 + int(self.parser.get_http_version()[-1:])
        self.message.keep_alive = self.parser.should_keep_alive()
        # httptools reports trailers like fields of the head.
        self.head_fields = len(self.message.fields)

    def on_message_complete(self) -> None:
        del self.message.fields[self.head_fields :]
        self.verdict.messages.append(self.message)


def by_llhttp(data: bytes) -> Verdict:
    judge = _Llhttp()
    try:
        judge.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        judge.verdict.refused = "upgrade"
    except httptools.HttpParserError as error:
        judge.verdict.refused = str(error)
    return judge.verdict


JUDGES: dict[str, Callable[[bytes], Verdict]] = {"h11": by_h11, "llhttp": by_llhttp}
