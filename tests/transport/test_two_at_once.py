"""Two requests of one channel at once: neither channel, gateway nor runner counts on one at a time.

HTTP/1 carries one, so a protocol of the tests does it, which is compiled for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
import socket
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from transport.in_process import compiled, context_for

from tricorn.config.settings import Settings
from tricorn.gateway.environ import EnvironBuilder
from tricorn.gateway.scope import ScopeBuilder
from tricorn.gateway.waiting import TaskRunner
from tricorn.transport.loop_context import LoopContext
from tricorn.transport.loop_server import LoopServer
from tricorn.transport.thread_server import ThreadServer
from tricorn.workers.context import header_policy

HEADS = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n"
PATIENCE = 10.0


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The compiled protocol."""
    return compiled("two_at_once", tmp_path_factory.mktemp("two"))


def ask(listener: socket.socket) -> dict[str, list[str]]:
    """What came for each of the two, in order."""
    with socket.create_connection(listener.getsockname(), PATIENCE) as client:
        client.sendall(HEADS)
        received = b""
        while data := client.recv(65536):
            received += data
    lines = received.decode().splitlines()
    assert all(re.match(r"[01] ", line) for line in lines), lines
    return {number: [line[2:] for line in lines if line[0] == number] for number in "01"}


def test_on_threads(two: ModuleType, listener: socket.socket) -> None:
    together = threading.Barrier(2, timeout=PATIENCE)

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        together.wait()  # both are inside
        start_response("200 OK", [])
        yield environ["PATH_INFO"].encode()
        together.wait()  # and still are, with something sent
        yield b"done"

    worker = context_for(application)
    policy = header_policy(Settings())
    names = ("REMOTE_ADDR", "REMOTE_PORT", "wsgi.early_hints")
    builder = EnvironBuilder(dict.fromkeys(names) | {"wsgi.url_scheme": "http"}, policy, "")
    server = ThreadServer(worker, [two.TwoEntrance(listener.fileno(), builder, None)])
    server.start()
    found: list[dict[str, list[str]]] = []
    client = threading.Thread(target=lambda: found.append(ask(listener)))
    client.start()
    while client.is_alive():
        server.watch(-1, -1, 0.05)
    server.stop()
    assert found == [
        {"0": ["200 OK", "6:/first", "4:done", "."], "1": ["200 OK", "7:/second", "4:done", "."]}
    ]
    assert worker.requests == 2


def test_in_a_loop(two: ModuleType, listener: socket.socket) -> None:
    inside: list[str] = []

    async def application(scope: Any, _: Any, send: Any) -> None:
        inside.append(scope["path"])
        while len(inside) < 2:
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode(), "more_body": True})
        inside.append("sent")
        while len(inside) < 4:
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"done"})

    async def serve() -> dict[str, list[str]]:
        worker = context_for(None)
        task_runner = TaskRunner(asyncio.get_running_loop(), contextvars.copy_context())
        loop_context = LoopContext(worker, task_runner, application)
        builder = ScopeBuilder(header_policy(Settings()), ("127.0.0.1", 80))
        server = LoopServer(loop_context, [two.TwoEntrance(listener.fileno(), builder, None)], lambda: None)
        server.open()
        try:
            answer = await asyncio.wait_for(asyncio.to_thread(ask, listener), PATIENCE)
        finally:
            server.close()
        assert worker.requests == 2
        return answer

    found = asyncio.run(serve())
    assert found == {"0": ["200 OK", "6:/first", "4:done", "."], "1": ["200 OK", "7:/second", "4:done", "."]}
