"""A request case is data; this file runs it in each delivery.

Knows: what every accepted and every refused message has in common. Must not know: any single rule.

    refused("two spaces", b"GET  / HTTP/1.1\\r\\n...", 400)
    accepted("lower-case method", b"get / HTTP/1.1\\r\\n...", method="get")

Deliveries (harness/axes.py):
    whole     in one send
    bytes     each byte in a send of its own (of long messages: the edges)
    cuts      at random places, which depend on nothing but the name of the case
    trailing  with a second request behind it in the same send. Behind an accepted message it is the next
              request and is answered next; behind a refused one it must never reach the application.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest

from harness.client import Client, Response
from harness.http2.messages import Head, NotTranslatableError, Reader
from harness.server import Server

NEXT = b"GET /next HTTP/1.1\r\nHost: next.example\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: smuggled.example\r\n\r\n"

_EDGE = 160  # bytes at each end of a long message that go one by one


@dataclass(frozen=True)
class Case:
    """One message and what must come of it.

    status: of the final response to it.
    closes: the connection ends after the response; None leaves it open to the server.
    reaches: the application saw it.
    method, path, body: what the application saw, where they are not None.
    environ: entries of the environ that must be there; the value None: must not be there.
    interim: statuses of the interim responses before the final one.
    in_body: it is refused for its body, of which an application may hear that it was cut short.
    http1: what it is about is counted in another way over HTTP/2, or is not there.
    """

    name: str
    raw: bytes
    status: int = 200
    closes: bool | None = False
    reaches: bool = True
    method: str | None = None
    path: str | None = None
    body: str | None = None
    environ: dict[str, Any] = field(default_factory=dict)
    interim: tuple[int, ...] = ()
    in_body: bool = False
    http1: bool = False

    @cached_property
    def is_of_http1(self) -> bool:
        """Its bytes say what streams have no words for: broken lines, other framing, other versions."""
        reader = Reader()
        try:
            heads = [item for item in reader.feed(self.raw) if isinstance(item, Head)]
        except NotTranslatableError:
            return True
        if self.http1 or not heads or reader.is_in_chunks:
            return True
        head = heads[0]
        hosts = sum(name == b"host" for name, _ in head.fields)
        return head.old or head.method == b"CONNECT" or head.upgrades or hosts != 1

    @property
    def request_method(self) -> str:
        """The method on the wire; a case with something in front of the request says it in `method`."""
        return self.method or self.raw.lstrip(b"\r\n").split(b" ", 1)[0].decode("latin-1")


def accepted(name: str, raw: bytes, **expected: Any) -> Case:
    return Case(name, raw, **expected)


def refused(name: str, raw: bytes, status: int = 400, **more: bool) -> Case:
    """Answered with `status`, then closed; the application never hears of it, or never of its end."""
    return Case(name, raw, status=status, closes=True, reaches=False, **more)


def head(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a.example") -> bytes:
    """A request head: the start line, `Host` unless it is None, the field lines, the empty line."""
    fields = ([] if host is None else [b"Host: " + host]) + list(lines)
    return b"\r\n".join([start, *fields, b"", b""])


def post(body: bytes, *lines: bytes, path: bytes = b"/", version: bytes = b"1.1") -> bytes:
    """A POST with these field lines and whatever stands behind its head."""
    return head(*lines, start=b"POST " + path + b" HTTP/" + version) + body


def chunked(body: bytes, *lines: bytes, path: bytes = b"/") -> bytes:
    """A POST in chunked coding; `body` is what stands on the wire."""
    return post(body, b"Transfer-Encoding: chunked", *lines, path=path)


def wire_cases(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrise a test by `case`; it takes `kind` and `delivery`, and calls `run`."""
    names = [case.name for case in cases]
    assert len(names) == len(set(names)), "two cases of one name"
    return pytest.mark.parametrize("case", cases, ids=names)


def pieces(data: bytes, delivery: str, seed: str) -> Iterable[bytes]:
    """The sends that `data` is delivered in."""
    return _PIECES[delivery](data, seed)


def _whole(data: bytes, _: str) -> Iterable[bytes]:
    return [data]


def _bytes(data: bytes, _: str) -> Iterator[bytes]:
    edge = len(data) if len(data) <= 4 * _EDGE else _EDGE
    yield from (data[at : at + 1] for at in range(edge))
    if edge < len(data):
        yield data[edge:-_EDGE]
        yield from (data[at : at + 1] for at in range(len(data) - _EDGE, len(data)))


def _cuts(data: bytes, seed: str) -> Iterable[bytes]:
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(6))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


#: What is behind it is the affair of `run`.
_PIECES: dict[str, Callable[[bytes, str], Iterable[bytes]]] = {
    "whole": _whole,
    "bytes": _bytes,
    "cuts": _cuts,
    "trailing": _whole,
}


def deliver(client: Client, data: bytes, delivery: str, seed: str = "") -> None:
    """Send it; stop when the server has hung up, which it may once it has refused the message.

    Where it travels as frames, they are what is cut.
    """
    if client.multiplexed:
        client.socket.cut(lambda frames: pieces(frames, delivery, seed))
        client.send(data)
        return
    for number, piece in enumerate(pieces(data, delivery, seed)):
        if not client.send(piece):
            return
        if number % 5 == 0:
            os.sched_yield()  # let the server see the message in pieces, at no cost in time


def run(case: Case, server: Server, delivery: str, *, source: str | None = None) -> Response | None:
    """Deliver the message and hold everything that must be true of what comes back."""
    if server.wire.multiplexed and not case.reaches:
        return _run_refused_stream(case, server, delivery, source)
    server.seen()
    behind = b""
    if delivery == "trailing":
        behind = NEXT if case.reaches and not case.closes else SMUGGLED
    with server.connect(source=source) as client:
        deliver(client, case.raw + behind, delivery, case.name)
        response = _response(client, case)
        saw = [case.request_method] if case.reaches else []
        if case.closes:
            client.wait_closed()
        elif case.closes is None:
            _see_next(client, bool(behind), may_close=True)
        else:
            _see_next(client, bool(behind), may_close=False)
            saw.append("GET")
    requests = server.seen_whole() if case.in_body else server.seen()
    if case.closes is None:
        requests = requests[: len(saw)]
    if server.wire.multiplexed:  # side by side, so in any order
        requests.sort(key=lambda request: request["path"] == "/next")
    assert [request["method"] for request in requests] == saw, [request["path"] for request in requests]
    if case.reaches:
        check_seen(case, requests[0])
    return response


def _run_refused_stream(case: Case, server: Server, delivery: str, source: str | None) -> Response | None:
    """A stream that is refused takes none with it: what is asked beside it, and behind it, is answered.

    None: it was reset, as it may be where it breaks a rule of HTTP/2 as well (RFC 9113 §8.1.1).
    """
    server.seen()
    with server.connect(source=source) as client:
        deliver(client, case.raw, delivery, case.name)
        response = client.maybe_response(case.request_method)
        if response is None:
            assert case.status == 400, "the stream was reset, and its refusal has a status of its own"
        else:
            assert (response.status, response.complete) == (case.status, True), response
            if client.socket.is_between:
                _see_next(client, False, may_close=False)
    requests = server.seen_whole() if case.in_body else server.seen()
    assert [request["path"] for request in requests if request["path"] != "/next"] == []
    return response


def _response(client: Client, case: Case) -> Response:
    response = client.response(case.request_method)
    assert response.status == case.status, response
    assert response.complete, response
    assert tuple(interim.status for interim in response.interim) == case.interim, response
    assert response.get("Date"), "RFC 9110 §6.6.1: an origin server with a clock sends Date"
    if case.closes and case.status != 101:
        assert "close" in response.connection, "RFC 9112 §9.6: a server that closes says so"
    return response


def _see_next(client: Client, sent: bool, *, may_close: bool) -> None:
    """The connection takes another request, and answers this one and not some bytes of the first."""
    if not sent:
        client.send(NEXT)
    response = client.maybe_response()
    if response is None:
        assert may_close, "the connection closed and had not said so"
        return
    assert response.status == 200, response
    assert b'"/next"' in response.body, response


def check_seen(case: Case, request: dict[str, Any]) -> None:
    environ = request["environ"]
    if case.method is not None:
        assert request["method"] == case.method
    if case.path is not None:
        assert request["path"] == case.path
    if case.body is not None:
        assert request["body"] == case.body
    for key, value in case.environ.items():
        if value is None:
            assert key not in environ, f"{key}: {environ[key]!r}"
        else:
            assert environ.get(key) == value, f"{key}: {environ.get(key)!r}, expected {value!r}"
