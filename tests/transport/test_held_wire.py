"""What several threads do with one channel, at moments that a test chooses: its wire is compiled for it."""

from __future__ import annotations

import gc
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from transport.in_process import compiled, context_for

from tricorn.config.settings import Settings
from tricorn.gateway.environ import EnvironBuilder
from tricorn.log.access import AccessLog
from tricorn.transport.opening import Entrance
from tricorn.transport.thread_server import ThreadServer
from tricorn.workers.context import header_policy

PATIENCE = 5.0
#: For a thread to get on with what it is at, in which nothing can be seen of it.
A_WHILE = 0.2
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def held_wire(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return compiled("held_wire", tmp_path_factory.mktemp("held"))


class Served:
    """A server with two threads, whose monitor is a thread of the test."""

    def __init__(self, entrance: Any, application: Any, **settings: Any) -> None:
        self.worker = context_for(application, **settings)
        self.server = ThreadServer(self.worker, [entrance])
        self.over = False
        self.monitor = threading.Thread(target=self._keep)

    def _keep(self) -> None:
        while not self.over:
            self.server.watch(-1, -1, 0.05)

    def __enter__(self) -> Served:
        self.server.start()
        self.monitor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.monitor.join()
        self.server.stop()


def builder() -> EnvironBuilder:
    names = ("REMOTE_ADDR", "REMOTE_PORT", "wsgi.early_hints")
    return EnvironBuilder(dict.fromkeys(names) | {"wsgi.url_scheme": "http"}, header_policy(Settings()), "")


class HeldBack:
    """The first send comes to nothing; the second one, by another thread, waits until it may."""

    def __init__(self) -> None:
        self.sends = 0
        self.begun = threading.Event()
        self.may = threading.Event()

    def __call__(self) -> bool:
        self.sends += 1
        if self.sends == 1:
            return False
        if self.sends == 2:
            self.begun.set()
            assert self.may.wait(PATIENCE)
            time.sleep(A_WHILE)
        return True


def whole(client: socket.socket, size: int) -> bytes:
    """A response with a body of `size` bytes."""
    received = b""
    while len(received.partition(b"\r\n\r\n")[2]) < size:
        data = client.recv(65536)
        assert data, received
        received += data
    return received


def test_the_last_of_a_response_is_sent_by_another_thread_as_it_ends(
    held_wire: ModuleType, listener: socket.socket
) -> None:
    """The thread of the request has left it by the time that all is sent, and the next request is read."""
    before = HeldBack()

    def application(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])(b"1234")
        if before.sends < 3:
            assert before.begun.wait(PATIENCE)
            before.may.set()
        return []

    entrance = held_wire.HeldEntrance(listener.fileno(), builder(), None)
    entrance.before = before
    with Served(entrance, application), socket.create_connection(listener.getsockname(), PATIENCE) as client:
        for _ in range(2):
            client.sendall(REQUEST)
            assert whole(client, 4).endswith(b"\r\n\r\n1234")


def test_the_last_of_what_is_queued_is_sent_by_another_thread_as_the_application_is_left(
    held_wire: ModuleType, listener: socket.socket
) -> None:
    """It is left because its client is behind, which it is not any more; nor has it a deadline."""
    before = HeldBack()
    size = 3000

    def application(_: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(3 * size))])
        yield b"1" * size
        assert before.begun.wait(PATIENCE)
        before.may.set()
        yield b"2" * size
        time.sleep(2.5)
        yield b"3" * size

    entrance = held_wire.HeldEntrance(listener.fileno(), builder(), None)
    entrance.before = before
    settings = {"response_buffer_size": size + 1000, "write_timeout": 1}
    with (
        Served(entrance, application, **settings),
        socket.create_connection(listener.getsockname(), PATIENCE) as client,
    ):
        client.sendall(REQUEST)
        assert whole(client, 3 * size).endswith(b"1" * size + b"2" * size + b"3" * size)


def test_a_request_whose_channel_closed_before_its_turn(
    held_wire: ModuleType, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[object] = []

    def application(environ: object, start_response: Callable[..., Any]) -> list[bytes]:
        called.append(environ)
        start_response("204 No Content", [])
        return []

    entrance = held_wire.EarlyEntrance(listener.fileno(), builder(), None)
    with Served(entrance, application), socket.create_connection(listener.getsockname(), PATIENCE) as client:
        client.sendall(REQUEST)
        assert client.recv(1) == b""
        time.sleep(A_WHILE)
    assert called == []
    assert caplog.records == []


def test_a_request_is_as_old_as_its_event_although_its_thread_has_slept(
    held_wire: ModuleType, listener: socket.socket
) -> None:
    """Rule 4 of thread_server.pyx has a thread that got the GIL by force give it back to a request that is
    young. Taken by the clock that its thread read when it went to sleep, the first one afterwards would be
    old."""
    started: list[int] = []

    def application(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        started.append(held_wire.started_ns(server))
        start_response("200 OK", [("Content-Length", "4")])
        return [b"1234"]

    lines, log = os.pipe()
    worker = context_for(application, AccessLog("%(s)s", log))
    server = ThreadServer(worker, [Entrance(listener.fileno(), builder(), None)])
    asked = []
    try:
        server.start()  # and no monitor, which would write to the log too
        with socket.create_connection(listener.getsockname(), PATIENCE) as client:
            for _ in range(2):
                asked.append(time.monotonic_ns())
                client.sendall(REQUEST)
                assert whole(client, 4).endswith(b"1234")
                # It is written when no thread has anything to serve any more, before they sleep.
                assert select.select([lines], [], [], PATIENCE)[0]
                assert os.read(lines, 100) == b"200\n"
    finally:
        server.stop()
        os.close(lines)
        os.close(log)
    assert asked[1] <= started[1], f"{asked[1] - started[1]} ns older than it is"


class NoContext:
    @property
    def context(self) -> Any:
        raise RuntimeError("nothing is as it should be")

    def facts(self, _: object) -> None:
        raise AssertionError


def test_a_client_that_cannot_be_let_in_is_not_left_waiting(listener: socket.socket) -> None:
    """What it was to become holds the descriptor: it must not wait for the garbage collector."""
    entrance = Entrance(listener.fileno(), builder(), NoContext())  # type: ignore[arg-type]
    gc.disable()
    try:
        with Served(entrance, None), socket.create_connection(listener.getsockname(), PATIENCE) as client:
            assert client.recv(1) == b""
    finally:
        gc.enable()
