"""The ASGI application: who may ask, which route it is, what the answer looks like over HTTP.

Knows: ASGI, routes, the desk, the dashboard as a page and a stream. Must not know: what a word does, what the
dashboard shows, processes, sockets.

A browser attaches a client certificate to what any page asks, so a request that a page of another site has
sent is refused (`Origin`). A token no browser attaches by itself. Where neither is wanted, at a socket file,
a browser may still come, through `ssh -L`; then a name of another site that leads to this machine (DNS
rebinding) would make its page one of ours, so only names are taken that nobody else can own.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tricorn.admin import dashboard
from tricorn.admin.desk import Desk, LateError, UnavailableError
from tricorn.admin.openapi import document
from tricorn.admin.routes import ROUTES, FieldError, Route
from tricorn.admin.watch import FullError, Watch
from tricorn.control.protocol import Message
from tricorn.records import dataclass, field

log = logging.getLogger("tricorn.error")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

DOCUMENT = "/openapi.json"
#: The dashboard, and the stream of what it shows, which is for that page alone.
PAGE = "/"
WATCHED = "/dashboard/stream"
JSON = "application/json"
EVENTS = "text/event-stream"

#: Clients without the token that are named in the log, once each.
REFUSED_KEPT = 20

#: Streams of events at once: each is a conversation with the master, of which there are a few.
STREAMS_MAX = 4

#: How often a stream says that it is there, seconds: proxies close what is silent for a minute.
STREAM_SIGN = 15.0

#: Of all answers: they are for this client and this moment, and no page.
ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


STREAM_BEGINS = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", EVENTS.encode("ascii")), *ALWAYS],
}


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    media: str = JSON
    fields: Sequence[tuple[bytes, bytes]] = field(default=())


class Refusal(Exception):  # noqa: N818 - it is an answer
    """The request is answered without asking the master."""

    def __init__(self, status: int, say: str, *fields: tuple[bytes, bytes]) -> None:
        super().__init__(say)
        self.response = answered({"ok": False, "done": True, "say": say}, status, *fields)


def answered(answer: Message, status: int, *fields: tuple[bytes, bytes]) -> Response:
    return Response(status, json.dumps(answer).encode("ascii") + b"\n", fields=fields)


def status_of(answer: Message) -> int:
    if not answer.get("ok"):
        return 409
    return 200 if answer.get("done") else 202


class App:
    """token: what a client has to show; None: whoever is let in by the socket may ask."""

    def __init__(self, desk: Desk, token: str | None, routes: Sequence[Route] = ROUTES) -> None:
        self._desk = desk
        self._token = token
        self._routes = {(route.path, route.method): route for route in routes}
        made = document(routes, has_token=token is not None)
        self._document = Response(200, json.dumps(made).encode("ascii") + b"\n")
        self._refused: set[str] = set()
        self._streams = 0
        page = dashboard.made(has_token=token is not None)
        fields = [
            (b"content-security-policy", page.policy.encode("ascii")),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]
        self._page = Response(200, page.body, dashboard.MEDIA, fields)
        self._watch = Watch(desk)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            response = await self._answer(scope, headers, receive, send)
        except Refusal as refusal:
            response = refusal.response
        if response is not None:
            await _send(send, response)

    async def _answer(
        self, scope: Scope, headers: Mapping[bytes, str], receive: Receive, send: Send
    ) -> Response | None:
        """None: it has been answered, or nobody is there any more. Raises Refusal."""
        is_get = scope["method"] in ("GET", "HEAD")
        if scope["path"] == PAGE and is_get:
            return self._page  # there is nothing to know in it
        self._let_in(scope, headers)
        if scope["path"] == WATCHED and scope["method"] == "GET":
            await _while_there(self._show(send), scope, receive, send)
            return None
        route = self._maybe_route(scope)
        if route is not None and route.streams and headers.get(b"accept", "").startswith(EVENTS):
            await self._stream(route, _after(scope, headers), scope, receive, send)
            return None
        return await self._respond(route, scope, headers, receive)

    # -- who may ask -----------------------------------------------------------------------------------------

    def _let_in(self, scope: Scope, headers: Mapping[bytes, str]) -> None:
        if self._token is not None:
            kind, _, shown = headers.get(b"authorization", "").partition(" ")
            # The comparison takes as long for every token of this length.
            is_right = hmac.compare_digest(shown.strip().encode("latin-1"), self._token.encode("ascii"))
            if kind.lower() != "bearer" or not is_right:
                self._note_refused(scope)
                challenge = (b"www-authenticate", b'Bearer realm="tricorn"')
                raise Refusal(401, "the token is missing or wrong: Authorization: Bearer TOKEN", challenge)
        elif scope.get("scheme") == "http" and not _is_local(headers.get(b"host", "")):
            raise Refusal(403, "a name on the Internet may be anybody's; call this server localhost")
        origin = headers.get(b"origin")
        if origin is not None and _maybe_netloc(origin) != headers.get(b"host", ""):
            raise Refusal(403, "a page of another site may not ask")

    def _note_refused(self, scope: Scope) -> None:
        host = (scope.get("client") or ("a local process",))[0]
        if host not in self._refused and len(self._refused) < REFUSED_KEPT:
            self._refused.add(host)
            log.warning("Admin process: refused %s, which has not shown the token", host)

    # -- answers ---------------------------------------------------------------------------------------------

    def _maybe_route(self, scope: Scope) -> Route | None:
        """None: it is the document. Raises Refusal."""
        path, method = scope["path"], "GET" if scope["method"] == "HEAD" else scope["method"]
        if path == DOCUMENT and method == "GET":
            return None
        if (route := self._routes.get((path, method))) is not None:
            return route
        allowed = {known for at, known in [*self._routes, (DOCUMENT, "GET")] if at == path}
        if allowed:
            names = sorted(allowed | ({"HEAD"} if "GET" in allowed else set()))
            raise Refusal(405, f"use {' or '.join(names)}", (b"allow", ", ".join(names).encode("ascii")))
        raise Refusal(404, f"there is nothing here; {DOCUMENT} says what there is")

    async def _respond(
        self, route: Route | None, scope: Scope, headers: Mapping[bytes, str], receive: Receive
    ) -> Response | None:
        """None: the client has gone. Raises Refusal."""
        if route is None:
            return self._document
        try:
            values = await _values(route, scope, headers, receive)
            question = {**route.question(values), "caller": _client(scope)}
        except FieldError as error:
            raise Refusal(400, str(error)) from None
        asking = asyncio.ensure_future(self._desk.ask(question, values.get("timeout")))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return _response(route, asking.result(), headers) if asking.done() else None
        except UnavailableError as error:
            raise Refusal(503, str(error), (b"retry-after", b"1")) from None
        except LateError as error:
            return answered({"ok": True, "done": False, "say": str(error)}, 202)
        finally:
            for task in (asking, leaving):
                task.cancel()

    # -- events as they come ---------------------------------------------------------------------------------

    async def _stream(self, route: Route, after: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Refusal."""
        if self._streams >= STREAMS_MAX:
            raise Refusal(503, f"there are {STREAMS_MAX} streams already", (b"retry-after", b"10"))
        self._streams += 1
        try:
            await _while_there(self._write_events(route, after, _client(scope), send), scope, receive, send)
        finally:
            self._streams -= 1

    async def _write_events(self, route: Route, after: int, caller: str, send: Send) -> None:
        await send(STREAM_BEGINS)
        question = {"do": route.word, "wait": True, "caller": caller}
        try:
            while True:
                events = await self._events({**question, "after": after})
                if events:
                    after = events[-1]["number"]
                text = "".join(f"id: {each['number']}\ndata: {json.dumps(each)}\n\n" for each in events)
                body = (text or ": nothing new\n\n").encode("ascii")
                await send({"type": "http.response.body", "body": body, "more_body": True})
        except UnavailableError:
            return

    async def _events(self, question: Message) -> Sequence[Mapping[str, Any]]:
        """The next ones; none if nothing happens for a while. Raises UnavailableError."""
        try:
            events: Sequence[Mapping[str, Any]] = (await self._desk.ask(question, STREAM_SIGN))["data"]
        except LateError:
            return ()
        return events

    async def _show(self, send: Send) -> None:
        """Raises Refusal."""
        begun = False

        async def write(body: bytes) -> None:
            nonlocal begun
            if not begun:
                begun = True
                await send(STREAM_BEGINS)
            await send({"type": "http.response.body", "body": body, "more_body": True})

        try:
            await self._watch.show(write)
        except FullError as error:
            raise Refusal(503, str(error), (b"retry-after", b"10")) from None


async def _while_there(
    writing: Coroutine[Any, Any, None], scope: Scope, receive: Receive, send: Send
) -> None:
    """Server-sent events (WHATWG HTML) until there are no more, the client has had enough, or this process is
    to end: then the client is told so by the response's end, and asks whoever comes next. Raises what
    `writing` does."""
    write, leave = asyncio.ensure_future(writing), asyncio.ensure_future(_left(receive))
    end = asyncio.ensure_future(_drain(scope))
    tasks = {write, leave, end}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        has_left = leave.done()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if not write.cancelled():
        write.result()
    if not has_left:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(scope: Scope) -> None:
    """Returns when this process is to end."""
    drain = scope.get("extensions", {}).get("tricorn.drain")
    await (asyncio.Event() if drain is None else drain).wait()


def _response(route: Route, answer: Message, headers: Mapping[bytes, str]) -> Response:
    status = status_of(answer)
    if status == 200 and route.render is not None:
        return Response(status, *route.render(answer.get("data"), headers.get(b"accept", "")))
    return answered(answer, status)


async def _send(send: Send, response: Response) -> None:
    fields = [
        (b"content-type", response.media.encode("ascii")),
        (b"content-length", str(len(response.body)).encode("ascii")),
        *ALWAYS,
        *response.fields,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": fields})
    await send({"type": "http.response.body", "body": response.body})


def _is_local(host: str) -> bool:
    """Whether nobody can make it lead here who has not been here: an address, or a name without a dot."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if "." in name and not name.endswith(".localhost"):
            ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _maybe_netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def _left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _values(
    route: Route, scope: Scope, headers: Mapping[bytes, str], receive: Receive
) -> Mapping[str, Any]:
    """What the request says, by the names of fields. Raises FieldError, Refusal."""
    if route.method == "GET":
        given: Mapping[str, Any] = dict(_query(scope))
        read = {name: _field(route, name).parse(value) for name, value in given.items()}
    else:
        read = {
            name: _field(route, name).read(value) for name, value in (await _body(headers, receive)).items()
        }
    if read.get("timeout", 1) <= 0:
        raise FieldError("timeout: seconds are more than 0")
    return read


def _field(route: Route, name: str) -> Any:
    if (known := route.known.get(name)) is None:
        names = ", ".join(route.known) or "nothing"
        raise FieldError(f"{name[:50]!r} means nothing here; what can be said is: {names}")
    return known


def _query(scope: Scope) -> Sequence[tuple[str, str]]:
    try:
        return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise FieldError("the query has too many fields") from None


async def _body(headers: Mapping[bytes, str], receive: Receive) -> Mapping[str, Any]:
    """A JSON object; an empty body is an empty one. How long it may be is the transport's to say."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the body did not come")
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if not body:
        return {}
    if headers.get(b"content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Refusal(415, f"a body is {JSON}")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise FieldError('the body is no JSON object, such as {"wait": false}')
    return values


def _after(scope: Scope, headers: Mapping[bytes, str]) -> int:
    """The event after which a stream begins: a client that has lost it says which one was its last. Raises
    Refusal."""
    text = headers.get(b"last-event-id") or dict(_query(scope)).get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refusal(400, "after: what is wanted is the number of an event")
    return int(text)


def _client(scope: Scope) -> str:
    """For the log."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "a local process"
