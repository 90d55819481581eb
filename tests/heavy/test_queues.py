"""The queue of calls: a socket without a path, with an exact bound."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tricorn.heavy.queues import CallQueue, connect


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def queue(home: Path) -> Iterator[CallQueue]:
    del home
    found = CallQueue("a:B", 3)
    yield found
    found.close()


def joined(queue: CallQueue) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    try:
        connect(queue.handle, sock)
    except BaseException:
        sock.close()
        raise
    return sock


@pytest.mark.usefixtures("queue")
def test_nothing_of_it_is_left_in_the_file_system(home: Path) -> None:
    assert list(home.iterdir()) == []


def test_nobody_else_may_connect(queue: CallQueue) -> None:
    status = os.stat(f"/proc/self/fd/{queue.handle}")
    assert (status.st_mode & 0o777, status.st_nlink) == (0o600, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give it away")
def test_it_can_be_given_to_the_user_of_the_workers(queue: CallQueue) -> None:
    queue.give_to(65534, None)
    assert os.stat(f"/proc/self/fd/{queue.handle}").st_uid == 65534
    queue.give_to(None, None)
    assert os.stat(f"/proc/self/fd/{queue.handle}").st_uid == 65534


@pytest.mark.parametrize("length", [1, 2, 7])
def test_so_many_wait_and_no_more(queue: CallQueue, length: int) -> None:
    queue.hold(length)
    waiting = [joined(queue) for _ in range(length)]
    assert queue.waiting == length
    with pytest.raises(BlockingIOError):
        joined(queue)
    queue.socket.accept()[0].close()
    assert queue.waiting == length - 1
    waiting.append(joined(queue))
    for each in waiting:
        each.close()


def test_whoever_waits_is_not_lost_with_who_could_take_him(queue: CallQueue) -> None:
    """As long as one process has the socket."""
    other = queue.socket.dup()
    with joined(queue) as waiting:
        queue.leave_taking()
        taken, _ = other.accept()
        taken.sendall(b"here")
        waiting.settimeout(5)
        assert waiting.recv(10) == b"here"
        taken.close()
    other.close()
    with pytest.raises(ConnectionRefusedError):
        joined(queue)


def test_whoever_waits_can_be_turned_away(queue: CallQueue) -> None:
    with joined(queue) as first, joined(queue) as second:
        queue.turn_away()
        assert queue.waiting == 0
        for each in (first, second):
            each.settimeout(5)
            assert each.recv(1) == b""


def test_refusals_of_many_processes_are_counted(queue: CallQueue) -> None:
    pids = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            for _ in range(100):
                os.eventfd_write(queue.refusals, 1)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    assert queue.refused == 300
    assert queue.refused == 300


def test_a_directory_that_cannot_be_written_to_is_passed_by(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "not there"))
    CallQueue("a:B", 1).close()


def test_where_there_is_none_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(13, f"Permission denied ({mode:o})", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(PermissionError):
        CallQueue("a:B", 1)
