"""The kernel encrypts what a wire sends: when it does and when not, and what is different then.

Most of it needs a kernel that has TLS: `modprobe tls`, or `make ktls`, which brings one along.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from transport.test_tls_wire import (
    AUTHORITY,
    BIG,
    BLOCKED,
    BROKEN,
    CUT,
    DONE,
    ONE,
    Link,
    client_context,
    hear,
    s_client,
    say,
    server_context,
    wait_to_show,
)

from tricorn.tls import kernel
from tricorn.transport.tls import TLSWire

needs_kernel = pytest.mark.skipif(
    not kernel.is_loaded(), reason="the kernel has no TLS at hand: `modprobe tls`, or `make ktls`"
)
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

SOME = BIG[:300_001]

MakeLink = Callable[..., Link]


@pytest.fixture
def link() -> Iterator[MakeLink]:
    with ExitStack() as end:

        def make(
            server: ssl.SSLContext, *arguments: object, engine: str = "kernel", **options: object
        ) -> Link:
            return end.enter_context(closing(Link(engine, server, *arguments, **options)))

        yield make


def with_ciphers(ciphers: str) -> ssl.SSLContext:
    context = server_context()
    context.set_ciphers(ciphers)
    return context


# ---- when it does ------------------------------------------------------------------------------------------


@needs_kernel
@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (V13, "ECDHE+AESGCM"),
        (V12, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (V12, "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (V12, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ],
)
def test_it_is_used(link: MakeLink, version: ssl.TLSVersion, ciphers: str) -> None:
    it = link(with_ciphers(ciphers), client_context(version))
    assert it.shake() == DONE
    assert it.wire.in_kernel
    it.deliver(it.ciphertext(b"request"))
    assert it.wire.receive(100) == b"request"
    assert it.wire.send(b"head, ", b"", b"body") == 10
    assert it.read() == b"head, body"
    assert it.wire.close_notify() == DONE
    assert it.read() == b""
    assert it.client.read(1) == b""  # close_notify, or it would raise


@pytest.mark.parametrize("ciphers", ["ECDHE+AES256:!AESGCM:!AESCCM", "ECDHE+AESCCM8"])
def test_a_cipher_that_it_does_not_know(link: MakeLink, ciphers: str) -> None:
    client = client_context(V12)
    client.set_ciphers(ciphers)
    it = link(with_ciphers(ciphers), client)
    assert it.shake() == DONE
    assert not it.wire.in_kernel
    assert it.wire.send(b"response") == 8
    assert it.read() == b"response"


@pytest.mark.parametrize("engine", ["libssl", "objects"])
def test_what_is_no_tcp(link: MakeLink, engine: str) -> None:
    context = server_context()
    context.options |= kernel.ENABLE
    it = link(context, engine=engine)
    assert it.shake() == DONE
    assert not it.wire.in_kernel
    assert it.wire.send(SOME[:50_000]) == 50_000
    assert it.read() == SOME[:50_000]


def test_a_kernel_that_has_none(link: MakeLink) -> None:
    """It is asked, and says no."""
    it = link(server_context())
    assert it.shake() == DONE
    assert it.wire.in_kernel == kernel.is_loaded()
    assert it.wire.send(b"response") == 8
    assert it.read() == b"response"


@pytest.mark.parametrize("version", [V12, V13])
def test_a_socket_that_is_full_in_the_handshake(
    link: MakeLink, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """What is on its way before the keys change must not be encrypted once more."""
    chain = tmp_path / "chain.pem"
    chain.write_bytes(ONE.read_bytes() + AUTHORITY.read_bytes() * 190)
    it = link(server_context(chain), client_context(version), room=4096)
    it.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    it.shake_client()
    assert it.wire.take_step() == BLOCKED
    assert it.wire.unsent
    while it.wire.send_unsent() == BLOCKED:
        it.fetch()
    assert it.shake() == DONE
    if version == V13:
        assert not it.wire.in_kernel
    assert it.wire.send(b"response") == 8
    assert it.read() == b"response"


# ---- what is sent ------------------------------------------------------------------------------------------


def drained(it: Link, first: bytes = b"") -> bytes:
    """All that the client gets to the end."""
    got = first
    while not it.ended:
        got += it.read()
    return got


@needs_kernel
@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("room", [4096, 65536])
def test_a_file(link: MakeLink, tmp_path: Path, version: ssl.TLSVersion, room: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(SOME)
    it = link(server_context(), client_context(version), room=room)
    it.shake()
    it.read()
    assert it.wire.send(b"head") == 4
    got, offset, end, blocked = b"", 10, len(SOME) - 10, 0
    with file.open("rb") as source:
        while offset < end:
            n, moved = it.wire.send_file(source.fileno(), offset, end - offset)
            assert moved - offset == max(n, 0)
            assert n > 0 or n == BLOCKED
            blocked += n == BLOCKED
            offset = moved
            got += it.read()
        assert it.wire.send_file(source.fileno(), len(SOME), 5) == (0, len(SOME))
    while it.wire.close_notify() == BLOCKED:
        got += it.read()
    it.ours.shutdown(socket.SHUT_WR)
    assert drained(it, got) == b"head" + SOME[10:-10]
    assert blocked or room > 4096
    assert it.wire.in_kernel


@needs_kernel
def test_a_file_that_only_read_can_read(link: MakeLink) -> None:
    """sendfile(2) wants what can be mapped, more or less."""
    it = link(server_context())
    it.shake()
    it.read()
    source = os.open("/proc/version", os.O_RDONLY)
    try:
        n, moved = it.wire.send_file(source, 0, 10)
    finally:
        os.close(source)
    assert (n, moved) == (10, 10)
    assert it.read() == b"Linux vers"


@needs_kernel
def test_a_file_that_cannot_be_read(link: MakeLink, tmp_path: Path) -> None:
    it = link(server_context())
    it.shake()
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        assert it.wire.send_file(directory, 0, 5)[0] == CUT
    finally:
        os.close(directory)


@needs_kernel
@pytest.mark.parametrize("room", [4096, 46080, 87040, 0])
@pytest.mark.parametrize("step", [100, 16384, 200_000])
def test_the_goodbye_comes_behind_everything(link: MakeLink, room: int, step: int) -> None:
    """The kernel may have taken a record for which TCP has no room, and an end of our side would cut it off.
    What is counted to find that out has to come out even, or the end never comes."""
    for number in range(4):
        it = link(server_context(), client_context(), room=room or None)
        it.shake()
        it.read()
        sent = 0
        while (n := it.wire.send(SOME[sent : sent + step])) > 0:
            sent += n
            if sent == len(SOME):
                break
        outcome = it.wire.close_notify()
        got = b""
        while outcome == BLOCKED:
            data = b""
            with suppress(BlockingIOError):
                data = it.theirs.recv(2000 + 7000 * number)
            it._incoming.write(data)
            with suppress(ssl.SSLWantReadError):
                while data := it.client.read(65536):
                    got += data
            outcome = it.wire.send_unsent()
        assert outcome == DONE
        it.ours.shutdown(socket.SHUT_WR)
        it.wire.give_up()
        it.ours.close()
        got = drained(it, got)
        assert len(got) == sent
        assert got == SOME[:sent]
        assert it.client.read(1) == b""  # close_notify


@needs_kernel
@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_is_resumed(link: MakeLink, version: ssl.TLSVersion) -> None:
    """Tickets are no data: in TLS 1.3 the kernel sends them."""
    server, client = server_context(), client_context(version)
    it = link(server, client)
    it.shake()
    it.read()
    again = link(server, client, session=it.client.session)
    assert again.shake() == DONE
    assert again.wire.is_resumed
    assert again.wire.in_kernel
    again.wire.send(b"response")
    assert again.read() == b"response"


# ---- what it cannot do -------------------------------------------------------------------------------------


def send_a_file(wire: TLSWire) -> int:
    with ONE.open("rb") as source:
        return wire.send_file(source.fileno(), 0, 100)[0]


@needs_kernel
@pytest.mark.parametrize(
    "how", [lambda wire: wire.send(b"response"), send_a_file], ids=["a response", "a file"]
)
def test_new_keys(how: Callable[[TLSWire], int]) -> None:
    """Nobody may send with the old ones behind them (RFC 8446 §4.6.3), so nothing more is sent."""
    with s_client("kernel", "-tls1_3") as (wire, client):
        assert wire.in_kernel
        assert wire.send(b"before\n") == 7
        wait_to_show(client, b"before")
        say(client, b"K")  # KeyUpdate, and asks for one of ours
        wait_to_show(client, b"KEYUPDATE")
        say(client, b"request")
        assert hear(wire) == b"request\n"
        assert how(wire) == BROKEN
        assert wire.reason == "it asked for new keys, and the kernel cannot change them"
        assert wire.send(b"behind") == BROKEN
        wait_to_show(client, b"internal error")


@needs_kernel
def test_new_keys_of_the_client_alone() -> None:
    """What it sends is not the kernel's."""
    with s_client("kernel", "-tls1_3") as (wire, client):
        say(client, b"k")  # KeyUpdate, and wants none of ours
        wait_to_show(client, b"KEYUPDATE")
        say(client, b"behind")
        assert hear(wire) == b"behind\n"
        assert wire.send(b"answer\n") == 7
        wait_to_show(client, b"answer")
