"""A door into the endpoint: for a process of the server's own, whoever it is by then."""

from __future__ import annotations

import errno
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tricorn.control.door import KNOCK, Door
from tricorn.control.endpoint import VISITORS_MAX, Endpoint, Peer

NOW = time.monotonic()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


@pytest.fixture
def endpoint(door: Door) -> Iterator[Endpoint]:
    """There need not be a socket."""
    made = Endpoint(None, lambda: {"protocol": 1}, refuse, door)
    yield made
    made.close()


def refuse(peer: Peer) -> None:
    raise AssertionError(peer)


def line(client: socket.socket) -> Any:
    client.settimeout(5)
    return json.loads(client.makefile("rb").readline())


def test_a_visitor_is_a_client(door: Door, endpoint: Endpoint) -> None:
    with door.knock() as client:
        assert endpoint.attend(NOW) == []
        assert line(client) == {"protocol": 1}
        client.sendall(b'{"do": "status"}\n')
        ((asking, question),) = endpoint.attend(NOW)
        assert question == {"do": "status"}
        assert (asking.is_visitor, asking.peer.pid) == (True, os.getpid())
        endpoint.answer(asking, {"ok": True}, NOW)
        assert line(client) == {"ok": True}


def test_there_are_so_many_visitors_and_no_more(door: Door, endpoint: Endpoint) -> None:
    clients = [door.knock() for _ in range(VISITORS_MAX + 1)]
    endpoint.attend(NOW)
    endpoint.attend(NOW)
    *first, last = map(line, clients)
    assert first == [{"protocol": 1}] * VISITORS_MAX
    assert last == {"ok": False, "say": f"there are {VISITORS_MAX} clients already"}
    for client in clients:
        client.close()


def test_what_is_no_socket_is_let_go(door: Door, endpoint: Endpoint) -> None:
    with tempfile.TemporaryFile() as file, door.knock() as client:
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(door.outside, [KNOCK], [file.fileno()])
        door.outside.send(KNOCK)  # with nothing
        endpoint.attend(NOW)
        assert line(client) == {"protocol": 1}
        assert len(os.listdir("/proc/self/fd")) == before + 1  # the end that was handed in
        assert door.maybe_visitor() is None


def test_a_door_that_nobody_opens(door: Door) -> None:
    """Whoever knocks is told, and does not wait."""
    clients: list[socket.socket] = []
    with pytest.raises(OSError, match="the server has no time") as caught:
        clients += (door.knock() for _ in range(10_000))
    assert caught.value.errno == errno.EAGAIN
    for client in clients:
        client.close()
    door.inside.close()
    with pytest.raises(ConnectionError):
        door.knock()
