"""Syslog: addresses, what a message looks like on each transport, and that nobody waits for the server of
it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.server import wait_for
from log.forms import ENVIRON
from log.test_setup import Settings

from tricorn.log import setup
from tricorn.log.datagrams import Place
from tricorn.log.error import TextFormatter
from tricorn.log.syslog import (
    LONGEST,
    MOST_WAITING,
    Frames,
    Syslog,
    SyslogAddress,
    SyslogHandler,
    SyslogLines,
    parse_address,
)

HERE = os.getpid()


@pytest.mark.parametrize(
    ("text", "place", "is_stream"),
    [
        ("udp://localhost:514", Place(host="localhost", port=514), False),
        ("udp://", Place(host="localhost", port=514), False),
        ("udp://logs.example", Place(host="logs.example", port=514), False),
        ("tcp://logs.example:601", Place(host="logs.example", port=601), True),
        ("tcp://[::1]:601", Place(host="::1", port=601), True),
        ("udp://[::1]", Place(host="::1", port=514), False),
        ("unix:///dev/log", Place(path="/dev/log"), False),
        ("unix:///dev/log#dgram", Place(path="/dev/log"), False),
        ("unix:///dev/log#stream", Place(path="/dev/log"), True),
        ("unix://run/log", Place(path="run/log"), False),
    ],
)
def test_addresses(text: str, place: Place, is_stream: bool) -> None:
    assert parse_address(text) == SyslogAddress(place, is_stream)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localhost:514", "write udp://HOST:PORT"),
        ("http://x:1", "write udp://HOST:PORT"),
        ("udp://x:port", "no valid port"),
        ("tcp://x:0", "no valid port"),
        ("udp://[::1", r"write \[IPV6\]:PORT"),
        ("unix://", "names no socket"),
        ("unix:///dev/log#tcp", "#dgram or #stream"),
    ],
)
def test_wrong_addresses(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_address(text)


@contextlib.contextmanager
def receiver(kind: str, directory: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket of a transport, and its address."""
    family = socket.AF_UNIX if kind.startswith("unix") else socket.AF_INET
    is_stream = kind in ("tcp", "unix#stream")
    with socket.socket(family, socket.SOCK_STREAM if is_stream else socket.SOCK_DGRAM) as made:
        made.settimeout(10)
        if family == socket.AF_UNIX:
            path = str(directory / "log")
            made.bind(path)
            address = f"unix://{path}#{'stream' if is_stream else 'dgram'}"
        else:
            made.bind(("127.0.0.1", 0))
            address = f"{kind}://127.0.0.1:{made.getsockname()[1]}"
        if is_stream:
            made.listen()
        yield made, address


def messages(sock: socket.socket, kind: str, count: int) -> list[bytes]:
    if kind in ("udp", "unix#dgram"):
        return [sock.recv(1 << 16) for _ in range(count)]
    end = b"\n" if kind == "tcp" else b"\0"
    connection, _ = sock.accept()
    with connection:
        connection.settimeout(10)
        data = b""
        while data.count(end) < count:
            data += connection.recv(1 << 16)
    assert data.endswith(end)
    return data.split(end)[:-1]


FORGED = "x\n<11>sshd[1]: forged\x00\x1b[2J"


@pytest.mark.parametrize("kind", ["udp", "tcp", "unix#dgram", "unix#stream"])
def test_messages(kind: str, tmp_path: Path) -> None:
    logger = logging.Logger("test")
    with receiver(kind, tmp_path) as (sock, address):
        syslog = Syslog(parse_address(address), "local3")
        handler = SyslogHandler(syslog, "my shop", "error")
        handler.setFormatter(TextFormatter())
        logger.addHandler(handler)
        logger.warning("refused: %s", FORGED)
        with contextlib.suppress(ValueError):
            raise_one(logger)
        logger.debug("small")
        SyslogLines(syslog, "my shop")(b'1.2.3.4 "GET /" 200')
        warning, error, debug, access = messages(sock, kind, 4)
        syslog.close()
    head = f"gunicorn.my_shop.error: [{HERE}] ".encode()
    assert warning == b"<156>" + head + b"refused: x\\x0A<11>sshd[1]: forged\\x00\\x1B[2J"
    assert error.startswith(b"<155>" + head + b"failed#012Traceback (most recent call last):#012")
    assert b"\n" not in error
    assert debug == b"<159>" + head + b"small"
    assert access == b'<158>gunicorn.my_shop.access: [%d] 1.2.3.4 "GET /" 200' % HERE


def raise_one(logger: logging.Logger) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        logger.exception("failed")


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    with receiver("unix#dgram", tmp_path) as (sock, address):
        syslog = Syslog(parse_address(address), "user")
        SyslogLines(syslog, "x")(b"y" * 100_000)
        (message,) = messages(sock, "unix#dgram", 1)
        syslog.close()
    assert len(message) == LONGEST


@pytest.mark.parametrize("kind", ["udp", "tcp", "unix#dgram", "unix#stream"])
def test_a_receiver_that_does_not_read_holds_up_nobody(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with receiver(kind, tmp_path) as (_, address), caplog.at_level(logging.WARNING, "tricorn.error"):
        syslog = Syslog(parse_address(address), "user")
        lines = SyslogLines(syslog, "x")
        for _ in range(4000):
            lines(b"y" * 2000)
        carrier = syslog._carrier
        if isinstance(carrier, Frames):
            assert sum(map(len, carrier._waiting)) <= MOST_WAITING
        if kind != "udp":  # the kernel drops them without a word
            assert carrier.lost > 0
            assert len([each for each in caplog.messages if "Syslog: 1 messages lost" in each]) == 1
        syslog.close()


def test_a_stream_that_breaks_is_made_again_and_no_message_is_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tricorn.log.syslog.RETRY", 0.0)
    with receiver("tcp", tmp_path) as (sock, address):
        syslog = Syslog(parse_address(address), "user")
        lines = SyslogLines(syslog, "x")
        lines(b"first")
        connection, _ = sock.accept()
        assert connection.recv(1 << 16).endswith(b"first\n")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        sock.settimeout(0.02)

        def again() -> bytes:
            lines(b"later")
            with contextlib.suppress(TimeoutError):
                fresh, _ = sock.accept()
                with fresh:
                    return fresh.recv(1 << 16)
            return b""

        assert wait_for(again, "another connection").startswith(b"<14>gunicorn.x.access:")
        syslog.close()


def test_a_child_has_a_connection_of_its_own(tmp_path: Path) -> None:
    with receiver("tcp", tmp_path) as (sock, address):
        syslog = Syslog(parse_address(address), "user")
        SyslogLines(syslog, "x")(b"parent")
        pid = os.fork()
        if pid == 0:
            SyslogLines(syslog, "x")(b"child")
            time.sleep(0.01)
            os._exit(0)
        os.waitpid(pid, 0)
        said = [messages(sock, "tcp", 1)[0].rpartition(b" ")[2] for _ in range(2)]
        syslog.close()
    assert sorted(said) == [b"child", b"parent"]


def test_a_path_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tricorn.log.datagrams.RETRY", 0.0)
    syslog = Syslog(SyslogAddress(Place(path=str(tmp_path / "log")), False), "user")
    lines = SyslogLines(syslog, "x")
    lines(b"lost")
    for text in (b"one", b"two"):  # the second time, a new socket has taken the place of the old one
        with receiver("unix#dgram", tmp_path) as (sock, _):
            lines(text)
            lines(text)
            assert messages(sock, "unix#dgram", 1)[0].endswith(text)
        (tmp_path / "log").unlink()
    assert syslog._carrier.lost >= 1
    syslog.close()


@pytest.mark.usefixtures("own_log")
@pytest.mark.parametrize("is_left_out", [False, True])
def test_what_the_settings_say(tmp_path: Path, is_left_out: bool) -> None:
    """Facility and names, and whether requests are told there too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        receiver.setblocking(False)
        chosen = Settings(
            str(tmp_path / "error.log"),
            access_log_format="%(U)s",
            syslog=True,
            syslog_addr=f"unix://{tmp_path}/log",
            syslog_facility="local3",
            syslog_prefix="shop",
            disable_redirect_access_to_syslog=is_left_out,
        )
        setup.configure(chosen)
        logging.getLogger("tricorn.error").warning("a warning")
        access = setup.open_access_log(chosen)
        assert (access is None) == is_left_out
        if access is not None:
            access.record(ENVIRON, "200 OK", [], 5, 1, 0.0)
            access.flush()
        said = [receiver.recv(1 << 16)]
        with contextlib.suppress(BlockingIOError):
            said.append(receiver.recv(1 << 16))
    expected = [b"<156>gunicorn.shop.error: [%d] a warning" % HERE]
    if not is_left_out:
        expected.append(b"<158>gunicorn.shop.access: [%d] /a b" % HERE)
    assert [each.rstrip(b"\0") for each in said] == expected
