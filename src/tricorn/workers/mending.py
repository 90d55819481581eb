"""What a worker serves in reload mode where the application cannot be loaded: a page that shows why.

The next change reloads as always, so the page is there until the code is mended.

Knows: who may see an exception's text, how it is shown. Must not know: why the application could not be
loaded, who serves the page.

**Who may see it.** Such a text tells of the code and its secrets. So there is a page only if `reload` is on
and each address is a loopback one, on this machine; and each request has to look as a browser or curl of
this machine makes it: to a name of loopback (else a page of somebody else's, whose name leads to 127.0.0.1,
could read it), and not by a proxy, which would make the whole world look so: no field that proxies add, and
HTTP/1.1, because nginx says 1.0 unless it is told otherwise. All others get the status, and the text is in
the log.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tricorn import kinds
from tricorn.config.settings import Settings
from tricorn.handover import Assignment
from tricorn.log.error import block_of
from tricorn.net.address import parse_bind
from tricorn.net.listener import Listener
from tricorn.records import replace

log = logging.getLogger("tricorn.error")

#: Fields that only a proxy adds: a name with one of these words in it, or one that ends so.
OF_PROXIES = re.compile(
    r"forwarded|via$|real-?ip|client-?ip|proxy|original-|envoy|cf-|fastly|amzn|cloud|"
    r"x-(request-id|scheme|host|script-name|url-scheme)$|traceparent$",
)
#: RFC 6761 §6.3: names below localhost are it, too.
LOOPBACK_NAME = re.compile(r"(?:[a-z0-9-]+\.)*localhost\.?")

STATUS = 500
PLAIN = b"The application cannot be loaded; the reason is in the log of the server.\n"
FIELDS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
#: The page asks for itself again after so many seconds, so that it goes when the code is mended.
AGAIN = 2

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
{again}<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 3em auto; max-width: 60em; padding: 0 1em; }}
pre {{ background: #8881; border-left: 4px solid #c33; overflow: auto; padding: 1em; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #181818; color: #ddd; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<pre>{text}</pre>
<p>The application cannot be loaded. When a file is saved, Tricorn tries again{waits}.</p>
</body>
</html>
"""


def maybe_page(
    settings: Settings, listeners: Sequence[Listener], text: str, interface: str
) -> Callable[..., Any] | None:
    """An application for this interface that shows `text`; None: nobody may see it."""
    is_behind = settings.proxy_protocol != "off" or any(
        parse_bind(bind).speaks_uwsgi(settings.protocol) for bind in settings.bind
    )
    if not settings.reload or is_behind:
        return None
    if not all(map(is_loopback, listeners)):
        return None
    line, extra = block_of(text[:1].upper() + text[1:])
    log.error("%s", line, extra=extra)
    log.info("Clients on this machine see that as a page, until the code is mended")
    broken = Broken(text)
    return broken.answer_asgi if interface == kinds.ASGI else broken.answer_wsgi


def bare(assignment: Assignment) -> Assignment:
    """The same job without what is meant for the application."""
    settings = replace(assignment.settings, routes=MappingProxyType({}), warmup=())
    return replace(assignment, settings=settings, hooks=None)


def is_loopback(listener: Listener) -> bool:
    """Not a Unix socket, which is there for a proxy; nor one that the application has closed."""
    if listener.socket.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        return is_loopback_name(listener.socket.getsockname()[0])
    except OSError:
        return False


def is_loopback_name(host: str) -> bool:
    """host: without a port, and without brackets."""
    if LOOPBACK_NAME.fullmatch(host.lower()):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Broken:
    """In the place of an application that is broken. text: why."""

    def __init__(self, text: str) -> None:
        self.text = text

    def answer_wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        fields = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        peer, method = environ.get("REMOTE_ADDR", ""), environ["REQUEST_METHOD"]
        kind, body = self.answer(method, environ["SERVER_PROTOCOL"], peer, fields)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), *FIELDS]
        start_response(f"{STATUS} Internal Server Error", headers)
        return [b"" if method == "HEAD" else body]

    async def answer_asgi(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = (await receive())["type"]
                await send({"type": f"{event}.complete"})
                if event == "lifespan.shutdown":
                    return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1011})
            return
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        peer, version = (scope.get("client") or ("", 0))[0], f"HTTP/{scope['http_version']}"
        kind, body = self.answer(scope["method"], version, peer, fields)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), *FIELDS]
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": STATUS, "headers": pairs})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def answer(self, method: str, version: str, peer: str, fields: Mapping[str, str]) -> tuple[str, bytes]:
        """Content type and body. fields: by their names in lower case."""
        if not may_see(version, peer, fields):
            return "text/plain; charset=utf-8", PLAIN
        if "html" not in fields.get("accept", ""):
            return "text/plain; charset=utf-8", f"{self.text}\n".encode("utf-8", "replace")
        return "text/html; charset=utf-8", self.page(asks_again=method == "GET").encode("utf-8", "replace")

    def page(self, *, asks_again: bool) -> str:
        from html import escape  # with it come the names of 2,231 characters, which no server needs

        lines = self.text.strip().splitlines()
        # Of a traceback the last line says what it is.
        title = escape(lines[-1].strip()[:200])
        again = f'<meta http-equiv="refresh" content="{AGAIN}">\n' if asks_again else ""
        waits = ", and this page shows what comes of it" if asks_again else ""
        return PAGE.format(title=title, text=escape(self.text), again=again, waits=waits)


def may_see(version: str, peer: str, fields: Mapping[str, str]) -> bool:
    """Whether a request comes from this machine, and from no proxy on it."""
    if version == "HTTP/1.0" or not is_loopback_name(peer):
        return False
    if any(OF_PROXIES.search(name) for name in fields):
        return False
    pages = [
        fields[name].partition("://")[2].partition("/")[0] for name in ("origin", "referer") if name in fields
    ]
    return all(is_loopback_name(host_of(each)) for each in (fields.get("host", ""), *pages))


def host_of(authority: str) -> str:
    """Without port and brackets (RFC 3986 §3.2.2)."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]
