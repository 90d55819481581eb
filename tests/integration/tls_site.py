"""What the tests of TLS share: clients with a context of their own, and what a worker holds."""

from __future__ import annotations

import _ssl
import ctypes
import json
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.server import Server, wait_for
from harness.tls import NAME, TLSSocket, client_context
from integration.live import message


def connect(
    server: Server,
    context: ssl.SSLContext | None = None,
    name: str | None = NAME,
    session: ssl.SSLSession | None = None,
    **options: Any,
) -> Client:
    """A client that speaks TLS in its own way."""
    return Client(server.address, wrap=lambda raw: TLSSocket(raw, context, name, session), **options)


def plain(server: Server, **options: Any) -> Client:
    """A client that sends and gets the bytes of the socket, whatever wire the server is on."""
    return Client(server.address, **options)


def only(version: ssl.TLSVersion, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    if context is None:
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=certificates_of(client_context()))
    context.minimum_version = context.maximum_version = version
    return context


def certificates_of(context: ssl.SSLContext) -> bytes:
    return b"".join(context.get_ca_certs(True))


def told(client: Client, path: str = "/", **options: Any) -> dict[str, Any]:
    """What the application says of the connection (tests/apps/secured.py)."""
    client.send(message(path, **options))
    response = client.response()
    assert response.status == 200
    return json.loads(response.body)  # type: ignore[no-any-return]


def hello(name: str = NAME) -> bytes:
    """A client's first flight."""
    outgoing = ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid: int) -> int:
    """Bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def lets_all_go(pid: int, action: Callable[[], None], deadline: float = 8.0) -> None:
    """Behind `action` the worker has as many descriptors as before."""
    before = descriptors(pid)
    action()
    wait_for(lambda: descriptors(pid) <= before, "the connections' descriptors are closed", deadline=deadline)


def new_keys(client: Client, count: int) -> bytes:
    """So many KeyUpdates, each asking for one of ours (RFC 8446 §4.6.3). Python has no word for them."""
    library = ctypes.CDLL(_ssl.__file__)
    if not hasattr(library, "SSL_key_update"):
        pytest.skip("libssl cannot be called in this interpreter")
    tls = client.socket.tls
    # Behind the head of the Python object and its `Socket` stands its SSL*.
    place = id(tls._sslobj) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    own = ctypes.c_void_p.from_address(place)
    made = []
    for _ in range(count):
        assert library.SSL_key_update(own, 1) == 1
        tls.do_handshake()
        made.append(client.socket.ciphertext(b""))
    return b"".join(made)


def busy_seconds(pid: int) -> float:
    """Processor time that a process has had."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
