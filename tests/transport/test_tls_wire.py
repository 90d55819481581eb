"""TLS between bytes and plaintext, against Python's own client, in whatever pieces the network delivers.

Every test runs on both engines: libssl called directly, and Python's objects; and where the kernel has TLS,
with the kernel below the first (test_kernel_tls.py has what is particular to that).
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.server import wait_for

from tricorn.tls import kernel
from tricorn.transport.tls import LibsslWire, ObjectWire, TLSWire, wrap

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = CERTIFICATES / "ca.pem"
ONE, TWO = CERTIFICATES / "one.example.pem", CERTIFICATES / "two.example.pem"

DONE, END, BLOCKED, CUT, BROKEN = 1, 0, -1, -2, -3
READ, WRITE = 1, 2
RECORD = 16384
#: Of OpenSSL 3, which otherwise does not need to be told; Python has no name for it.
ALLOW_CLIENT_RENEGOTIATION = 1 << 8
BIG = bytes(range(256)) * 4096  # 1 MiB

ENGINES = {"libssl": LibsslWire, "objects": ObjectWire, "kernel": LibsslWire}
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(params=[name for name in ENGINES if name != "kernel" or kernel.is_loaded()])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    return ssl.TLSVersion(request.param)


@pytest.fixture
def link(engine: str) -> Iterator[Callable[..., Link]]:
    """Makes pairs of a wire and a client."""
    with contextlib.ExitStack() as end:

        def make(server: ssl.SSLContext, client: ssl.SSLContext | None = None, **options: object) -> Link:
            return end.enter_context(contextlib.closing(Link(engine, server, client, **options)))

        yield make


def server_context(certificate: Path = ONE) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours = listener.accept()[0]
    for end in (ours, theirs):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


class Link:
    """Our wire at one end of a socket pair; at the other Python's client, delivered as a test wants it."""

    def __init__(
        self,
        engine: str,
        server: ssl.SSLContext,
        client: ssl.SSLContext | None = None,
        name: str = "one.example",
        session: ssl.SSLSession | None = None,
        room: int | None = None,
        kind: socket.SocketKind = socket.SOCK_STREAM,
    ) -> None:
        if engine == "kernel":
            if kind != socket.SOCK_STREAM:
                pytest.skip("the kernel has TLS for TCP only")
            server.options |= kernel.ENABLE
        self.ours, self.theirs = tcp_pair() if engine == "kernel" else socket.socketpair(type=kind)
        self.ours.setblocking(False)
        self.theirs.setblocking(False)
        if room is not None:
            self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        self.wire: TLSWire = wrap(server, self.ours.fileno(), through_objects=engine == "objects")
        assert type(self.wire) is ENGINES[engine]
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = (client or client_context()).wrap_bio(
            self._incoming, self._outgoing, server_hostname=name, session=session
        )
        self.raw = b""  # ciphertext that the client has got
        self.ended = False

    def close(self) -> None:
        self.wire.give_up()
        self.ours.close()
        self.theirs.close()

    def ciphertext(self, plaintext: bytes = b"") -> bytes:
        """What the client would send now: its part of the handshake, and `plaintext`."""
        if plaintext:
            self.client.write(plaintext)
        return self._outgoing.read()

    def deliver(self, data: bytes) -> None:
        self.theirs.sendall(data)

    def fetch(self) -> None:
        """The client gets what we have sent."""
        # By TCP it may still be on its way.
        patience = 0 if self.ours.family == socket.AF_UNIX else 0.02
        with contextlib.suppress(ConnectionResetError):
            while select.select([self.theirs], [], [], patience)[0] and not self.ended:
                patience /= 10
                data = self.theirs.recv(65536)
                self.raw += data
                self._incoming.write(data)
                self.ended = not data

    def read(self) -> bytes:
        """All plaintext that the client has got."""
        self.fetch()
        got = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while data := self.client.read(65536):
                got += data
        return got

    def shake_client(self) -> bool:
        """One step of the client's handshake, delivered."""
        self.fetch()
        try:
            self.client.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        self.deliver(self.ciphertext())
        return done

    def shake(self) -> int:
        """The whole handshake. Returns its outcome for the wire."""
        outcome, done = BLOCKED, False
        for _ in range(1000):
            done = done or self.shake_client()
            if outcome == BLOCKED:
                outcome = self.wire.take_step()
            if outcome not in (BLOCKED, DONE) or (outcome == DONE and done):
                return outcome
        raise AssertionError("the handshake does not come to an end")

    def is_readable(self) -> bool:
        return bool(select.select([self.ours], [], [], 0)[0])

    def receive_all(self, size: int = 65536) -> bytes:
        """Plaintext for the wire, until it is blocked."""
        got = b""
        while isinstance(data := self.wire.receive(size), bytes):
            got += data
        assert data == BLOCKED
        return got


def records(ciphertext: bytes) -> list[int]:
    """The lengths of the records in it, all complete."""
    found = []
    while ciphertext:
        length = int.from_bytes(ciphertext[3:5], "big")
        assert len(ciphertext) >= 5 + length
        found.append(length)
        ciphertext = ciphertext[5 + length :]
    return found


# ---- the usual way -----------------------------------------------------------------------------------------


def test_a_request_and_its_response(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    it = link(server_context(), client_context(version))
    assert it.wire.version is None
    assert it.wire.peer_certificate is None
    assert it.shake() == DONE
    assert (
        it.wire.version == it.client.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    )
    assert it.wire.cipher == it.client.cipher()
    assert it.wire.receive(100) == BLOCKED
    assert it.wire.interest == READ
    it.deliver(it.ciphertext(b"request"))
    assert it.wire.receive(100) == b"request"
    assert not it.wire.buffered
    assert it.read() == b""
    it.raw = b""
    assert it.wire.send(b"head, ", b"", b"body") == 10
    assert it.wire.unsent == 0
    assert it.read() == b"head, body"
    assert len(records(it.raw)) == 1
    assert it.wire.reason is None


def test_a_flight_of_the_handshake_is_one_system_call(link: Callable[..., Link]) -> None:
    it = link(server_context(), kind=socket.SOCK_SEQPACKET)  # as packets, calls can be told apart
    it.shake_client()
    it.wire.take_step()
    flight = it.theirs.recv(65536)
    assert len(records(flight)) > 2
    it._incoming.write(flight)
    it.shake_client()
    assert it.wire.take_step() == DONE
    assert len(records(it.theirs.recv(65536))) == 2  # two tickets


def test_a_flight_with_a_long_chain_is_one_system_call(link: Callable[..., Link], tmp_path: Path) -> None:
    """Longer than what OpenSSL collects by itself."""
    (tmp_path / "long.pem").write_text(ONE.read_text() + 40 * AUTHORITY.read_text())
    it = link(server_context(tmp_path / "long.pem"), kind=socket.SOCK_SEQPACKET)
    it.shake_client()
    it.wire.take_step()
    assert len(it.theirs.recv(65536)) > 8192
    with pytest.raises(BlockingIOError):
        it.theirs.recv(65536)


def test_a_request_is_one_system_call(link: Callable[..., Link]) -> None:
    """A short read has emptied the socket. What came after it is for the next event."""
    it = link(server_context(), kind=socket.SOCK_SEQPACKET)
    it.shake()
    sealed = it.ciphertext(b"request")
    it.deliver(sealed[:10])
    it.deliver(sealed[10:])
    assert it.wire.receive(100) == BLOCKED
    assert it.is_readable()
    assert it.wire.receive(100) == b"request"
    assert it.wire.receive(100) == BLOCKED
    assert not it.is_readable()


def test_nothing_to_send_is_nothing(link: Callable[..., Link]) -> None:
    it = link(server_context())
    it.shake()
    it.read()
    assert it.wire.send() == it.wire.send(b"", b"") == 0
    assert it.theirs.setblocking(False) is None
    it.raw = b""
    it.fetch()
    assert it.raw == b""


def test_a_request_behind_the_handshake(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    """A client may send both at once; a poller does not see what has been read with the handshake."""
    it = link(server_context(), client_context(version))
    with pytest.raises(ssl.SSLWantReadError):
        it.client.do_handshake()
    it.deliver(it.ciphertext())
    it.wire.take_step()
    it.fetch()
    if version == ssl.TLSVersion.TLSv1_2:
        with pytest.raises(ssl.SSLWantReadError):
            it.client.do_handshake()
        it.deliver(it.ciphertext())
        assert it.wire.take_step() == DONE
        it.fetch()
        it.client.do_handshake()
        it.deliver(it.ciphertext(b"request"))
    else:
        it.client.do_handshake()
        it.deliver(it.ciphertext(b"request"))
        assert it.wire.take_step() == DONE
        assert it.wire.buffered
    assert it.wire.receive(100) == b"request"
    assert not it.wire.buffered


def test_what_was_read_before(engine: str) -> None:
    """The beginning of TLS may have come with a PROXY header."""
    probe = Link(engine, server_context())
    with pytest.raises(ssl.SSLWantReadError):
        probe.client.do_handshake()
    hello = probe.ciphertext()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(5)
        wire = wrap(server_context(), ours.fileno(), first=hello[:100], through_objects=engine == "objects")
        assert wire.take_step() == BLOCKED
        theirs.sendall(hello[100:])
        assert wire.take_step() == BLOCKED
        assert theirs.recv(65536)[0] == 22  # the server's part of the handshake
    probe.close()


# ---- odd deliveries ----------------------------------------------------------------------------------------


def test_byte_by_byte(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    it = link(server_context(), client_context(version))
    outcome = BLOCKED
    for _ in range(4):
        it.fetch()
        with contextlib.suppress(ssl.SSLWantReadError):
            it.client.do_handshake()
        for byte in it.ciphertext():
            assert outcome == BLOCKED
            it.deliver(bytes([byte]))
            outcome = it.wire.take_step()
    assert outcome == DONE
    sealed = it.ciphertext(b"request")
    for byte in sealed[:-1]:
        it.deliver(bytes([byte]))
        assert it.wire.receive(100) == BLOCKED
        assert not it.wire.buffered  # or the connection would try again and again
    it.deliver(sealed[-1:])
    assert it.wire.receive(100) == b"request"


@pytest.mark.parametrize("size", [1, 7, 4096, RECORD, 65536])
def test_many_records_at_once(link: Callable[..., Link], size: int) -> None:
    it = link(server_context())
    it.shake()
    pieces = [bytes([65 + number]) * (1 + number * 700) for number in range(10)]
    it.deliver(b"".join(it.ciphertext(piece) for piece in pieces))
    got = b""
    while it.wire.buffered or it.is_readable():  # as a connection on a poller would go about it
        data = it.wire.receive(size)
        assert data == BLOCKED or (isinstance(data, bytes) and 0 < len(data) <= size)
        got += data if isinstance(data, bytes) else b""
    assert got == b"".join(pieces)
    assert not it.wire.buffered


def test_cut_records(link: Callable[..., Link]) -> None:
    """A record's end comes with the next one's beginning."""
    it = link(server_context())
    it.shake()
    sealed = b"".join(it.ciphertext(b"%03d" % number * 50) for number in range(100))
    got = b""
    for start in range(0, len(sealed), 333):
        it.deliver(sealed[start : start + 333])
        got += it.receive_all()
        assert not it.wire.buffered
    assert got == b"".join(b"%03d" % number * 50 for number in range(100))


def test_all_that_is_here_is_read_in_one_go(link: Callable[..., Link], engine: str) -> None:
    """A client's upload does not come at 16 KiB a call."""
    if engine == "objects":
        pytest.skip("an ObjectWire reads one record at a time")
    it = link(server_context())
    it.shake()
    it.deliver(it.ciphertext(BIG[:100_000]))
    data = it.wire.receive(200_000)
    assert isinstance(data, bytes)
    assert data == BIG[:100_000]


# ---- much, and short writes --------------------------------------------------------------------------------


def test_a_big_upload(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    it = link(server_context(), client_context(version))
    it.shake()
    sealed = memoryview(it.ciphertext(BIG))
    got = b""
    while sealed or it.wire.buffered:
        with contextlib.suppress(BlockingIOError):
            sealed = sealed[it.theirs.send(sealed) :]
        data = it.wire.receive(50_000)
        assert isinstance(data, bytes) or data == BLOCKED
        got += data if isinstance(data, bytes) else b""
    got += it.receive_all()
    assert got == BIG


def test_a_big_download_with_short_writes(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    it = link(server_context(), client_context(version), room=4096)
    it.shake()
    it.read()
    left, got, blocked = BIG, b"", 0
    while left or it.wire.unsent:
        taken = it.wire.send(left[:1000], left[1000:1500], left[1500:]) if left else 0
        assert taken == BLOCKED or taken >= 0
        if it.wire.unsent:
            assert it.wire.interest == READ | WRITE
            assert it.wire.send(b"something else") == BLOCKED
            assert it.wire.send_unsent() == BLOCKED
            blocked += 1
        left = left[max(taken, 0) :]
        got += it.read()
        it.wire.send_unsent()
    got += it.read()
    assert got == BIG
    assert blocked > 10 or it.wire.in_kernel  # which keeps no ciphertext here


def test_records_of_a_large_response_are_full(link: Callable[..., Link]) -> None:
    it = link(server_context(), client_context(ssl.TLSVersion.TLSv1_3), room=1 << 20)
    it.shake()
    it.read()
    it.raw = b""
    assert it.wire.send(b"h" * 200, b"", BIG[:50_000], b"\r\n") == 50_202
    assert it.read() == b"h" * 200 + BIG[:50_000] + b"\r\n"
    overhead = 1 + 16  # RFC 8446 §5.2: the type and the tag
    assert records(it.raw) == [RECORD + overhead] * 3 + [50_202 - 3 * RECORD + overhead]


def test_both_ways_at_once(link: Callable[..., Link]) -> None:
    it = link(server_context(), room=4096)
    it.shake()
    it.read()
    sealed, left = memoryview(it.ciphertext(BIG)), BIG
    up = down = b""
    for _ in range(100_000):
        with contextlib.suppress(BlockingIOError):
            sealed = sealed[it.theirs.send(sealed) :]
        data = it.wire.receive(20_000)
        up += data if isinstance(data, bytes) else b""
        it.wire.send_unsent()
        left = left[max(it.wire.send(left), 0) :] if left else left
        down += it.read()
        if len(up) == len(down) == len(BIG):
            break
    assert up == BIG
    assert down == BIG


def test_a_file(link: Callable[..., Link], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(BIG)
    it = link(server_context(), room=65536)
    it.shake()
    it.read()
    got, offset, end = b"", 10, len(BIG) - 10
    with file.open("rb") as source:
        while offset < end:
            it.wire.send_unsent()
            n, moved = it.wire.send_file(source.fileno(), offset, end - offset)
            assert moved - offset == max(n, 0)
            assert n > 0 or n == BLOCKED
            offset = moved
            got += it.read()
        while it.wire.send_unsent() == BLOCKED:
            got += it.read()
        got += it.read()
        assert it.wire.send_file(source.fileno(), len(BIG), 5) == (0, len(BIG))
    assert got == BIG[10:-10]
    directory = os.open(tmp_path, os.O_RDONLY)
    assert it.wire.send_file(directory, 0, 5) == (CUT, 0)  # EISDIR
    os.close(directory)


def test_who_makes_us_write_has_to_read(link: Callable[..., Link], tmp_path: Path, engine: str) -> None:
    """What is unsent is bounded: nothing more is read before it has gone."""
    if engine == "kernel":
        pytest.skip("TCP takes more at once")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(ONE.read_bytes() + AUTHORITY.read_bytes() * 190)
    it = link(server_context(chain), room=4096)
    it.shake_client()
    assert it.wire.take_step() == BLOCKED
    assert it.wire.unsent > 65536
    assert it.wire.interest == WRITE
    assert it.wire.receive(100) == BLOCKED
    while it.wire.send_unsent() == BLOCKED:
        it.fetch()
    assert it.wire.interest == READ
    assert it.shake() == DONE


# ---- ends --------------------------------------------------------------------------------------------------


def test_the_client_says_goodbye(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    it = link(server_context(), client_context(version))
    it.shake()
    it.read()
    with contextlib.suppress(ssl.SSLWantReadError):
        it.client.unwrap()
    it.deliver(it.ciphertext())
    assert it.wire.receive(100) == END
    assert it.wire.receive(100) == END
    assert it.wire.send(b"late, but not too late") == 22
    assert it.wire.close_notify() == DONE
    it.fetch()
    with contextlib.suppress(ssl.SSLError):  # 1.2 and 1.3 differ in whether data may still come
        it.client.unwrap()


def test_goodbye_right_behind_a_request(link: Callable[..., Link]) -> None:
    """In one delivery: the poller has nothing more to tell."""
    it = link(server_context())
    it.shake()
    it.read()
    request = it.ciphertext(b"request")
    with contextlib.suppress(ssl.SSLWantReadError):
        it.client.unwrap()
    it.deliver(request + it.ciphertext())
    assert it.wire.receive(100) == b"request"
    assert it.wire.buffered
    assert it.wire.receive(100) == END
    assert not it.wire.buffered


def test_we_say_goodbye(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    it = link(server_context(), client_context(version))
    it.shake()
    assert it.wire.send(b"last words") == 10
    assert it.wire.close_notify() == DONE
    assert it.wire.close_notify() == DONE
    assert it.read() == b"last words"  # … and the end, or read() would raise
    assert it.client.read(100) == b""
    it.deliver(it.ciphertext(b"on my side there is more"))
    assert it.wire.receive(100) == b"on my side there is more"


def test_both_say_goodbye(link: Callable[..., Link]) -> None:
    it = link(server_context())
    it.shake()
    it.read()
    with contextlib.suppress(ssl.SSLWantReadError):
        it.client.unwrap()
    it.deliver(it.ciphertext())
    assert it.wire.receive(100) == END
    assert it.wire.close_notify() == DONE
    assert it.wire.receive(100) == END
    it.fetch()
    it.client.unwrap()  # raises if something is missing


def test_we_say_goodbye_before_we_have_read_theirs(link: Callable[..., Link]) -> None:
    it = link(server_context())
    it.shake()
    it.read()
    request = it.ciphertext(b"request")
    with contextlib.suppress(ssl.SSLWantReadError):
        it.client.unwrap()
    it.deliver(request + it.ciphertext())
    assert it.wire.receive(100) == b"request"
    assert it.wire.close_notify() == DONE
    assert it.wire.receive(100) == END


def test_goodbye_waits_its_turn(link: Callable[..., Link]) -> None:
    it = link(server_context(), room=4096)
    it.shake()
    it.read()
    taken = it.wire.send(BIG)
    assert it.wire.close_notify() == BLOCKED
    got = it.read()
    while it.wire.send_unsent() == BLOCKED:
        got += it.read()
    got += it.read()
    assert got == BIG[:taken]
    assert it.client.read(100) == b""


def test_no_goodbye_before_the_handshake(link: Callable[..., Link]) -> None:
    it = link(server_context())
    assert it.wire.close_notify() == DONE
    it.fetch()
    assert it.raw == b""


@pytest.mark.parametrize("when", ["at once", "in the handshake", "in a record", "between records"])
def test_truncation(link: Callable[..., Link], when: str) -> None:
    it = link(server_context())
    if when == "in the handshake":
        with pytest.raises(ssl.SSLWantReadError):
            it.client.do_handshake()
        it.deliver(it.ciphertext()[:50])
    elif when != "at once":
        it.shake()
        it.read()
        it.deliver(it.ciphertext(b"request")[: -5 if when == "in a record" else None])
    it.theirs.shutdown(socket.SHUT_WR)
    seen: list[bytes | int] = []
    while it.is_readable() and CUT not in seen and len(seen) < 5:
        seen.append(it.wire.take_step() if "hand" in when or when == "at once" else it.wire.receive(100))
    assert seen == {"at once": [CUT], "between records": [b"request", CUT]}.get(when, [BLOCKED, CUT])
    assert it.wire.receive(100) == CUT
    assert it.wire.reason is None


def test_an_end_is_not_taken_on_trust(link: Callable[..., Link]) -> None:
    """OP_IGNORE_UNEXPECTED_EOF makes OpenSSL take a truncation for a proper end. We do not."""
    context = server_context()
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    it = link(context)
    it.shake()
    it.theirs.close()
    assert it.wire.receive(100) == CUT


def test_a_client_that_closed_its_side_still_gets_an_answer(link: Callable[..., Link]) -> None:
    """… though it did not say goodbye: it is for the connection to decide what that is worth."""
    context = server_context()
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    it = link(context)
    it.shake()
    it.deliver(it.ciphertext(b"request"))
    it.theirs.shutdown(socket.SHUT_WR)
    assert it.wire.receive(100) == b"request"
    assert it.wire.receive(100) == CUT
    assert it.wire.send(b"response") == 8
    assert it.wire.receive(100) == CUT
    assert it.wire.close_notify() == DONE
    assert it.read() == b"response"


def test_nothing_but_the_handshake_before_its_end(link: Callable[..., Link]) -> None:
    it = link(server_context())
    assert it.wire.send(b"too early") == BLOCKED
    it.shake_client()
    assert it.wire.receive(100) == BLOCKED
    it.fetch()
    assert it.raw == b""
    assert it.shake() == DONE


def test_nobody_to_send_to(link: Callable[..., Link]) -> None:
    it = link(server_context())
    it.shake()
    it.theirs.close()
    assert it.wire.send(b"response") == CUT
    assert it.wire.send(b"response") == CUT
    assert it.wire.close_notify() == CUT


def test_a_descriptor_that_was_given_up(link: Callable[..., Link]) -> None:
    it = link(server_context(), room=4096)
    it.shake()
    it.read()
    it.wire.send(BIG)
    assert it.wire.unsent or it.wire.in_kernel
    it.wire.give_up()
    before = it.ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    it.read()
    assert it.wire.unsent == 0
    assert it.wire.receive(100) == it.wire.send(b"x") == it.wire.take_step() == it.wire.send_unsent() == CUT
    assert it.wire.close_notify() == CUT
    it.raw = b""
    it.fetch()
    assert it.raw == b""
    assert before == 0
    assert it.wire.version is not None  # for a log


# ---- what is not TLS, or not acceptable --------------------------------------------------------------------


def test_plain_http(link: Callable[..., Link]) -> None:
    it = link(server_context())
    it.deliver(b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
    assert it.wire.take_step() == BROKEN
    assert it.wire.reason == "http request"
    assert it.wire.take_step() == BROKEN
    assert it.wire.receive(100) == it.wire.send(b"x") == BROKEN


def test_garbage_in_place_of_a_record(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    it = link(server_context(), client_context(version))
    it.shake()
    it.read()
    it.raw = b""
    it.deliver(b"\xff" * 100)
    assert it.wire.receive(100) == BROKEN
    assert it.wire.reason == "wrong version number"
    assert it.wire.receive(100) == it.wire.send(b"x") == BROKEN
    assert it.wire.close_notify() == DONE
    it.fetch()
    assert records(it.raw)  # an alert


def test_a_record_that_was_tampered_with(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    it = link(server_context(), client_context(version))
    it.shake()
    it.read()
    good = it.ciphertext(b"request")
    bad = bytearray(it.ciphertext(b"request"))
    bad[-1] ^= 1
    it.deliver(good + bytes(bad))
    assert it.wire.receive(100) == b"request"
    assert it.wire.buffered
    assert it.wire.receive(100) == BROKEN
    assert it.wire.reason == "decryption failed or bad record mac"
    it.fetch()
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        it.client.read(100)


def test_an_alert_of_the_client(link: Callable[..., Link]) -> None:
    """It does not know our authority. A fatal alert is no proper end, though OpenSSL stops reading too."""
    it = link(server_context(), ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        it.shake()
    it.deliver(it.ciphertext())
    assert it.wire.take_step() == BROKEN
    assert re.fullmatch(r"(sslv3|tlsv1|ssl/tls) alert unknown ca", str(it.wire.reason))


def test_an_old_error_is_not_taken_for_ours(link: Callable[..., Link]) -> None:
    """OpenSSL's queue of errors belongs to the thread: what others have left in it says nothing about us."""
    it = link(server_context())
    it.shake()
    it.read()
    broken = link(server_context())
    broken.deliver(b"GET / HTTP/1.1\r\n\r\n")
    assert broken.wire.take_step() == BROKEN
    assert it.wire.receive(100) == BLOCKED
    with contextlib.suppress(ssl.SSLWantReadError):
        it.client.unwrap()
    it.deliver(it.ciphertext())
    assert it.wire.receive(100) == END


def test_no_common_version(link: Callable[..., Link]) -> None:
    context = server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    it = link(context, client_context(ssl.TLSVersion.TLSv1_2))
    it.shake_client()
    assert it.wire.take_step() == BROKEN
    assert it.wire.reason == "unsupported protocol"
    it.fetch()
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        it.client.do_handshake()


@contextlib.contextmanager
def s_client(engine: str, *options: str) -> Iterator[tuple[TLSWire, subprocess.Popen[bytes]]]:
    """openssl(1), connected: it can do on demand what Python's client cannot."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl(1)")
    context = server_context()
    context.options |= ALLOW_CLIENT_RENEGOTIATION | (kernel.ENABLE if engine == "kernel" else 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        command = ["openssl", "s_client", "-connect", address, *options]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as client:
            ours = listener.accept()[0]
            with ours:
                ours.setblocking(False)
                wire = wrap(context, ours.fileno(), through_objects=engine == "objects")
                wait_for(lambda: wire.take_step() == DONE, "the handshake is done")
                yield wire, client
                wire.give_up()


def say(client: subprocess.Popen[bytes], line: bytes) -> None:
    assert client.stdin is not None
    client.stdin.write(line + b"\n")
    client.stdin.flush()


def wait_to_show(client: subprocess.Popen[bytes], text: bytes) -> None:
    assert client.stdout is not None
    os.set_blocking(client.stdout.fileno(), False)
    shown = bytearray()
    wait_for(lambda: shown.extend(client.stdout.read() or b"") or text in shown, f"it shows {text!r}")


def hear(wire: TLSWire) -> bytes | int:
    said: list[bytes | int] = []
    wait_for(lambda: said.append(wire.receive(100)) or said[-1] != BLOCKED, "the client says something")
    return said[-1]


def test_renegotiation_is_refused(engine: str) -> None:
    """It makes the server do the handshake's work as often as a client likes (RFC 9325 §3.5)."""
    with s_client(engine, "-tls1_2") as (wire, client):
        say(client, b"R")  # renegotiate
        assert hear(wire) in (CUT, BROKEN, END)  # the client gives up
        wait_to_show(client, b"no renegotiation")


def test_new_keys(engine: str) -> None:
    """RFC 8446 §4.6.3: a record that is not data, in the middle of them, and one for us to send."""
    if engine == "kernel":
        pytest.skip("it has a test of its own, in test_kernel_tls.py")
    with s_client(engine, "-tls1_3") as (wire, client):
        say(client, b"before")
        assert hear(wire) == b"before\n"
        say(client, b"K")  # KeyUpdate, and asks for one of ours
        wait_to_show(client, b"KEYUPDATE")
        assert wire.receive(100) == BLOCKED
        say(client, b"behind")
        assert hear(wire) == b"behind\n"
        assert wire.send(b"answer\n") == 7
        wait_to_show(client, b"answer")


def test_one_operation_reads_a_bounded_number_of_bytes(
    link: Callable[..., Link], version: ssl.TLSVersion
) -> None:
    """Of records with next to nothing in them a peer can send any number. What is left shows to a poller."""
    it = link(server_context(), client_context(version))
    it.shake()
    it.ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    records = b"".join(it.ciphertext(b"r") for _ in range(6000))
    it.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    it.deliver(records)
    got = it.wire.receive(60_000)
    assert isinstance(got, bytes)
    assert 0 < len(got) < 6000
    while it.wire.buffered or select.select([it.ours], [], [], 0)[0]:
        more = it.wire.receive(60_000)
        assert isinstance(more, bytes)
        got += more
    assert (got, it.wire.receive(1)) == (b"r" * 6000, BLOCKED)


# ---- what a context may ask for ----------------------------------------------------------------------------


def test_resumption_by_ticket(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    server, client = server_context(), client_context(version)
    it = link(server, client)
    it.shake()
    assert not it.wire.is_resumed
    it.read()  # the ticket
    session = it.client.session
    again = link(server, client, session=session)
    assert again.shake() == DONE
    assert again.wire.is_resumed
    assert again.client.session_reused
    elsewhere = link(server_context(), client, session=session)  # other keys: as after a restart
    assert elsewhere.shake() == DONE
    assert not elsewhere.wire.is_resumed
    elsewhere.deliver(elsewhere.ciphertext(b"request"))
    assert elsewhere.wire.receive(100) == b"request"


def test_a_client_certificate(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    server, client = server_context(), client_context(version)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(AUTHORITY)
    client.load_cert_chain(CERTIFICATES / "client.pem")
    it = link(server, client)
    assert it.shake() == DONE
    assert it.wire.peer_certificate == ssl.PEM_cert_to_DER_cert(
        re.search(r"-+BEGIN CERT.*END CERTIFICATE-+\n", (CERTIFICATES / "client.pem").read_text(), re.S)[0]  # type: ignore[index]
    )


def test_no_client_certificate(link: Callable[..., Link], version: ssl.TLSVersion) -> None:
    server = server_context()
    server.verify_mode = ssl.CERT_OPTIONAL
    server.load_verify_locations(AUTHORITY)
    it = link(server, client_context(version))
    assert it.shake() == DONE
    assert it.wire.peer_certificate is None
    server.verify_mode = ssl.CERT_REQUIRED
    it = link(server, client_context(version))
    assert it.shake() == BROKEN
    assert it.wire.reason == "peer did not return a certificate"


def test_server_names_choose_the_certificate(link: Callable[..., Link], engine: str) -> None:
    asked = []

    def choose(connection: ssl.SSLObject, name: str, _: ssl.SSLContext) -> int | None:
        asked.append(name)
        if name == "nobody.example":
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if name == "two.example":
            connection.context = other
        return None

    server, other = server_context(), server_context(TWO)
    server.sni_callback = choose  # type: ignore[assignment]
    for name in ("one.example", "two.example"):
        it = link(server, name=name)
        assert it.shake() == DONE  # the client checks the name
        assert it.wire.server_name == (None if engine == "objects" else name)
        it.deliver(it.ciphertext(b"request"))
        assert it.wire.receive(100) == b"request"
    it = link(server, name="nobody.example")
    it.shake_client()
    assert it.wire.take_step() == BROKEN
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        it.shake_client()
    assert asked == ["one.example", "two.example", "nobody.example"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_callback_that_raises(link: Callable[..., Link]) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    server = server_context()
    server.sni_callback = fail
    it = link(server)
    it.shake_client()
    assert it.wire.take_step() == BROKEN
    assert it.wire.reason is not None


def test_an_object_that_outlives_its_wire(engine: str) -> None:
    """A callback may keep what it is given, and try to read from it when the descriptor is another's."""
    kept: list[ssl.SSLObject] = []
    server = server_context()
    server.sni_callback = lambda connection, _name, _context: kept.append(connection)
    it = Link(engine, server)
    assert it.shake() == DONE
    it.deliver(it.ciphertext(b"request"))
    it.close()
    del it
    gc.collect()
    with pytest.raises(ssl.SSLError):
        kept[0].read(100)
    with contextlib.suppress(ssl.SSLError):  # memory would take it
        kept[0].write(b"x")


def test_callbacks_for_messages_and_keys(link: Callable[..., Link], tmp_path: Path) -> None:
    """They look for the Python object in the SSL structure."""
    seen = []
    server = server_context()
    server._msg_callback = lambda *message: seen.append(message[1])  # type: ignore[attr-defined]
    server.keylog_filename = str(tmp_path / "keys")
    it = link(server)
    it.shake()
    it.deliver(it.ciphertext(b"request"))
    assert it.wire.receive(100) == b"request"
    it.wire.send(b"response")
    assert {"read", "write"} == set(seen)
    assert "TRAFFIC_SECRET" in (tmp_path / "keys").read_text()


def test_alpn(link: Callable[..., Link]) -> None:
    server, client = server_context(), client_context()
    server.set_alpn_protocols(["h2", "http/1.1"])
    it = link(server, client)
    it.shake()
    assert it.wire.alpn is None
    client.set_alpn_protocols(["http/1.1", "h2"])
    it = link(server, client)
    it.shake()
    assert it.wire.alpn == "h2"


def test_a_new_certificate_is_for_new_connections(link: Callable[..., Link]) -> None:
    server = server_context()
    it = link(server)
    server.load_cert_chain(TWO)
    assert it.shake() == DONE  # one.example, as when it began
    assert link(server, name="two.example").shake() == DONE


def test_a_context_with_objects_of_its_own(engine: str) -> None:
    """Which of two new SSL objects is ours? It is not guessed."""

    class Context(ssl.SSLContext):
        def wrap_bio(self, *arguments: object, **options: object) -> ssl.SSLObject:
            super().wrap_bio(*arguments, **options)  # type: ignore[arg-type]
            return super().wrap_bio(*arguments, **options)  # type: ignore[arg-type]

    context = Context(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ONE)
    it = Link("objects", server_context())
    wire = wrap(context, it.ours.fileno(), through_objects=engine == "objects")
    assert type(wire) is ObjectWire
    it.wire = wire
    assert it.shake() == DONE
    it.deliver(it.ciphertext(b"request"))
    assert it.wire.receive(100) == b"request"
    it.close()


@pytest.mark.parametrize(
    "change",
    {
        "another library": "ssl.OPENSSL_VERSION = 'AWS-LC 1.30.0'",
        "an old one": "ssl.OPENSSL_VERSION_INFO = (1, 0, 2, 26, 15)",
        "no such file": "_ssl.__file__ = '/nowhere/_ssl.so'",
        "without its functions": "_ssl.__file__ = _socket.__file__",
        "built in, and hidden": "del _ssl.__file__",
        "nothing of it": "pass",
    }.items(),
    ids=lambda change: change[0],
)
def test_where_libssl_cannot_be_called(change: tuple[str, str]) -> None:
    program = f"""
import _socket, _ssl, socket, ssl
{change[1]}
from tricorn.transport.tls import wrap
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ours, theirs = socket.socketpair()
print(type(wrap(context, ours.fileno())).__name__)
"""
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == ("LibsslWire" if change[1] == "pass" else "ObjectWire")


def test_a_context_that_is_not_for_servers(engine: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ssl.SSLError):
        wrap(client_context(), ours.fileno(), through_objects=engine == "objects")


def test_the_client_side(engine: str) -> None:
    it = Link(engine, server_context())
    context = client_context()
    context.check_hostname = False
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        client = wrap(context, ours.fileno(), server_side=False, through_objects=engine == "objects")
        server = wrap(server_context(), theirs.fileno())
        assert client.take_step() == server.take_step() == BLOCKED
        assert client.take_step() == server.take_step() == DONE
        assert client.send(b"request") == 7
        assert server.receive(100) == b"request"
    it.close()


# ---- threads -----------------------------------------------------------------------------------------------


def test_large_sends_give_the_gil_away(link: Callable[..., Link]) -> None:
    """… and small ones do not: no other thread comes in between."""
    it = link(server_context(), room=1 << 20)
    it.shake()
    it.read()
    turns = 0
    stop = False

    def count() -> None:
        nonlocal turns
        while not stop:
            turns += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # nobody is asked to give it away
    try:
        thread.start()
        wait_for(lambda: turns > 0, "the thread runs")
        before = turns
        small = [it.wire.send(b"x" * 100) for _ in range(50)]
        end = time.monotonic() + 0.03
        while time.monotonic() < end:
            assert it.wire.receive(100) == BLOCKED
        between = turns - before
        for _ in range(200):
            before = turns
            taken = it.wire.send(BIG[:200_000])
            after = turns - before
            if after:
                break
            it.read()
            it.raw = b""
    finally:
        stop = True
        sys.setswitchinterval(interval)
        thread.join()
    assert small == [100] * 50
    assert taken > RECORD
    assert after > 0
    if type(it.wire) is LibsslWire:
        assert between == 0


def test_one_thread_at_a_time(link: Callable[..., Link]) -> None:
    """… is in a connection, although the one that is has given the GIL away."""
    entered, go = threading.Event(), threading.Event()

    def callback(*_: object) -> None:
        entered.set()
        assert go.wait(5)

    server = server_context()
    server.sni_callback = callback
    it = link(server)
    it.shake_client()
    outcomes: list[tuple[str, int]] = []
    first = threading.Thread(target=lambda: outcomes.append(("handshake", it.wire.take_step())))
    second = threading.Thread(target=lambda: outcomes.append(("flush", it.wire.send_unsent())))
    first.start()
    assert entered.wait(5)
    second.start()
    second.join(0.05)
    assert outcomes == []
    go.set()
    first.join(5)
    second.join(5)
    assert sorted(outcomes) == [("flush", DONE), ("handshake", BLOCKED)]


def test_a_callback_that_comes_back(link: Callable[..., Link]) -> None:
    """By whatever way: it must not wait for itself, nor get into what is under way."""
    outcomes: list[int | bytes] = []
    server = server_context()
    server.sni_callback = lambda *_: outcomes.extend([it.wire.take_step(), it.wire.send_unsent()])
    it = link(server)
    assert it.shake() == DONE
    assert outcomes == [BLOCKED, BLOCKED]


def test_an_interrupted_operation_lets_go_of_the_wire(link: Callable[..., Link], engine: str) -> None:
    armed = False

    def interrupt(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    server = server_context()
    server._msg_callback = interrupt  # type: ignore[attr-defined]
    it = link(server)
    it.shake()
    it.deliver(it.ciphertext(b"request"))
    armed = True
    if engine == "objects":
        with pytest.raises(KeyboardInterrupt):
            it.wire.receive(100)
    else:
        assert it.wire.receive(100) == b"request"  # nobody asks for what the callback raised
    other = threading.Thread(target=it.wire.send_unsent, daemon=True)
    other.start()
    other.join(5)
    assert not other.is_alive()


def test_a_callback_that_gives_up(link: Callable[..., Link]) -> None:
    server = server_context()
    server.sni_callback = lambda *_: it.wire.give_up()
    it = link(server)
    it.shake_client()
    assert it.wire.take_step() == CUT
    assert it.wire.unsent == 0
    it.fetch()
    assert it.raw == b""


@pytest.mark.parametrize("sharing", ["one wire", "a wire each"])
def test_threads(engine: str, sharing: str) -> None:
    """Reading and writing at once. OpenSSL allows one of them at a time; the wire sees to that."""
    count = 1 if sharing == "one wire" else 4
    with contextlib.ExitStack() as end:
        links = [end.enter_context(contextlib.closing(Link(engine, server_context()))) for _ in range(count)]
        faults: list[str] = []
        for it in links:
            it.shake()
            it.read()
        threads = [
            threading.Thread(target=work, args=(it, faults))
            for it in links
            for work in (_talk, _hear, _answer)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    assert faults == []


def _talk(it: Link, faults: list[str]) -> None:
    """The client: sends much, and reads what comes."""
    sealed, got = memoryview(it.ciphertext(BIG)), b""
    while len(got) < len(BIG) or sealed:
        with contextlib.suppress(BlockingIOError):
            sealed = sealed[it.theirs.send(sealed) :] if sealed else sealed
        got += it.read()
        if it.ended:
            break
    if got != BIG:
        faults.append("the client has got something else")


def _hear(it: Link, faults: list[str]) -> None:
    got = b""
    while len(got) < len(BIG):
        data = it.wire.receive(65536)
        if isinstance(data, bytes):
            got += data
        elif data != BLOCKED:
            break
    if got != BIG:
        faults.append("the server has got something else")


def _answer(it: Link, faults: list[str]) -> None:
    left = BIG
    while left or it.wire.unsent:
        it.wire.send_unsent()
        n = it.wire.send(left[:100], left[100:70_000]) if left else 0
        if n < 0 and n != BLOCKED:
            faults.append(f"could not send: {n}, {it.wire.reason}")
            break
        left = left[max(n, 0) :]
