"""Applications that answer with text, written in the test that needs them, for each interface.

    source = '''
    def answer(path):
        return str(os.getpid())
    '''
    with serving(tmp_path, source, kind=kind) as live:
        assert told(live, "/") == ...

Knows: the interfaces, the harness. Must not know: what is tested.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from harness.axes import KINDS
from integration.live import Live

HEAD = """
import os, signal, sys, threading, time
"""

TAIL = {
    "wsgi": """
def app(environ, start_response):
    text = answer(environ["PATH_INFO"]).encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
""",
    "asgi": """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if "start_up" in globals():
            start_up()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    text = answer(scope["path"]).encode()
    head = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": text})
""",
    "tornado": """
import tornado.web

class Answer(tornado.web.RequestHandler):
    def get(self):
        self.finish(answer(self.request.path))

app = tornado.web.Application([("/.*", Answer)])
""",
}


def write_site(directory: Path, source: str, kind: str) -> None:
    """An application `site_app:app` whose `answer(path)` is in `source`."""
    text = HEAD + textwrap.dedent(source) + TAIL[KINDS[kind].interface]
    (directory / "site_app.py").write_text(text)


def serving(directory: Path, source: str, *options: str, kind: str, **more: Any) -> Live:
    write_site(directory, source, kind)
    return Live("site_app:app", *options, kind=kind, chdir=directory, **more)


def told(live: Live, path: str) -> str:
    response = live.request(path)
    assert response.status == 200, f"{response.status}\n{live.log()}"
    return response.body.decode()
