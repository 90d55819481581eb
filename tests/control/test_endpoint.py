"""What clients of the control socket can do to a master, and what it costs: the clock is an argument here."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tricorn.control import endpoint as module
from tricorn.control.endpoint import (
    ANSWER_TIME,
    CLIENTS_MAX,
    DEAF_TIME,
    IDLE_TIME,
    PACE,
    QUESTION_TIME,
    Endpoint,
    Peer,
)
from tricorn.control.place import ControlSocket, open_socket
from tricorn.control.protocol import QUESTION_MAX

ANSWER = {"ok": True}


class Desk:
    """An endpoint that is attended by the test, at instants that the test says."""

    def __init__(self, place: ControlSocket) -> None:
        self.now = 1000.0
        self.refused: list[Peer] = []
        self.asked: list[Any] = []
        self.endpoint = Endpoint(place, lambda: {"protocol": 1}, self.refused.append)
        self.place = place

    def turn(self, *, seconds: float = 0.0, answers: bool = True) -> list[Any]:
        """The questions of one turn, so many seconds after the one before."""
        self.now += seconds
        questions = self.endpoint.attend(self.now)
        self.asked += [question for _, question in questions]
        for client, _ in questions:
            if answers:
                self.endpoint.answer(client, ANSWER, self.now)
        return [question for _, question in questions]

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(self.place.path)
        client.settimeout(1)
        self.turn()
        return client

    @property
    def clients(self) -> int:
        return len(list(self.endpoint.watched(self.now))) - 1


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    place = open_socket(str(tmp_path / "ctl"), 0o600, on_trial=False, environ={})
    desk = Desk(place)
    yield desk
    desk.endpoint.close()


def lines(client: socket.socket) -> list[Any]:
    """What has come so far."""
    client.setblocking(False)
    received = b""
    try:
        while data := client.recv(65536):
            received += data
    except BlockingIOError:
        client.settimeout(1)
    except ConnectionResetError:
        client.settimeout(1)  # something was not read
    return [json.loads(line) for line in received.splitlines()]


def is_closed(client: socket.socket) -> bool:
    client.settimeout(1)
    try:
        while client.recv(65536):
            continue
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_questions_and_answers(desk: Desk) -> None:
    client = desk.connect()
    assert lines(client) == [{"protocol": 1}]
    client.send(b'{"do": ')
    assert desk.turn() == []
    client.send(b'"status"}\n')
    assert desk.turn() == [{"do": "status"}]
    assert lines(client) == [ANSWER]
    client.send(b'{"do": "workers"}\n')
    assert desk.turn(seconds=PACE) == [{"do": "workers"}]
    assert lines(client) == [ANSWER]
    client.close()
    desk.turn(seconds=PACE)
    assert desk.clients == 0


def test_many_questions_at_once_take_turns(desk: Desk) -> None:
    client = desk.connect()
    client.send(b"".join(b'{"do": %d}\n' % number for number in range(5)))
    assert desk.turn() == [{"do": 0}]
    assert desk.turn() == [], "not before its time"
    assert desk.endpoint.next_deadline(desk.now) == desk.now + PACE
    for _ in range(4):
        desk.turn(seconds=PACE)
    assert [question["do"] for question in desk.asked] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"status\n", "not a line of JSON"),
        (b"[1]\n", "not a JSON object"),
        (b"\xff\xfe\n", "not a line of JSON"),
        (b"[" * 5000 + b"\n", "not a line of JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}\n", "not a line of JSON"),
        (b"\n", "not a line of JSON"),
        (b"x" * (QUESTION_MAX + 1), "at most 8192 bytes"),
        (b"x" * QUESTION_MAX + b"\n", "at most 8192 bytes"),
    ],
    ids=["words", "a list", "bytes", "deep", "a large number", "nothing", "no end", "too long"],
)
def test_what_is_no_question(desk: Desk, sent: bytes, said: str) -> None:
    client = desk.connect()
    lines(client)
    client.send(sent)
    for _ in range(3):
        assert desk.turn() == []
    (answer,) = lines(client)
    assert answer["ok"] is False
    assert said in answer["say"]
    assert is_closed(client)
    assert desk.clients == 0


def test_a_question_that_does_not_end(desk: Desk) -> None:
    """Nor does it have more time for each byte."""
    client = desk.connect()
    client.send(b"{")
    desk.turn()
    for _ in range(4):
        client.send(b"{")
        desk.turn(seconds=QUESTION_TIME / 5)
    assert desk.clients == 1
    client.send(b"{")
    desk.turn(seconds=QUESTION_TIME / 5)
    assert desk.clients == 0
    assert is_closed(client)


def test_a_client_that_says_nothing(desk: Desk) -> None:
    silent, idle = desk.connect(), desk.connect()
    idle.send(b'{"do": "status"}\n')
    desk.turn()
    desk.turn(seconds=QUESTION_TIME)
    assert is_closed(silent)
    assert desk.clients == 1
    desk.turn(seconds=IDLE_TIME)
    assert is_closed(idle)
    assert desk.clients == 0


def test_a_client_that_does_not_read(desk: Desk) -> None:
    """It gets one answer, and until it has taken that, nothing it says is looked at."""
    client = desk.connect()
    client.send(b'{"do": "status"}\n')
    ((asker, _),) = desk.endpoint.attend(desk.now)
    desk.endpoint.answer(asker, {"data": "x" * (4 << 20)}, desk.now)
    client.send(b'{"do": "status"}\n' * 100)
    assert desk.turn(seconds=PACE) == []
    assert len(asker.question) < QUESTION_MAX
    desk.turn(seconds=ANSWER_TIME)
    assert desk.clients == 0


def test_a_client_that_reads_slowly_gets_all_of_it(desk: Desk) -> None:
    client = desk.connect()
    lines(client)
    client.send(b'{"do": "status"}\n')
    ((asker, _),) = desk.endpoint.attend(desk.now)
    desk.endpoint.answer(asker, {"data": "x" * (1 << 20)}, desk.now)
    received = b""
    while not received.endswith(b"\n"):
        received += client.recv(65536)
        desk.turn()
    assert len(json.loads(received)["data"]) == 1 << 20


def test_one_that_waits_for_its_answer_and_leaves(desk: Desk) -> None:
    """Half of it may go: whoever has said all closes that side. The loop must not spin on either."""
    client = desk.connect()
    lines(client)
    client.send(b'{"do": "reload"}\n')
    client.shutdown(socket.SHUT_WR)
    ((asker, _),) = desk.endpoint.attend(desk.now)
    desk.turn(seconds=IDLE_TIME)
    assert asker.is_open
    assert asker.wants(desk.now) == 0
    desk.endpoint.answer(asker, ANSWER, desk.now)
    assert lines(client) == [ANSWER]
    other = desk.connect()
    other.send(b'{"do": "reload"}\n')
    ((asker, _),) = desk.endpoint.attend(desk.now)
    other.close()
    desk.turn()
    assert not asker.is_open
    desk.endpoint.answer(asker, ANSWER, desk.now)


def test_there_are_so_many_clients_and_no_more(desk: Desk) -> None:
    clients = [desk.connect() for _ in range(CLIENTS_MAX)]
    one_more = desk.connect()
    (said,) = lines(one_more)
    assert said == {"ok": False, "say": "there are 16 clients already"}
    assert is_closed(one_more)
    assert desk.clients == CLIENTS_MAX
    clients[0].close()
    desk.turn()
    another = desk.connect()
    assert lines(another) == [{"protocol": 1}]


@pytest.mark.parametrize(
    ("mode", "uid", "groups", "allowed"),
    [
        (0o600, 1000, {1000}, True),
        (0o600, 0, {0}, True),
        (0o600, 1001, {1000}, False),
        (0o660, 1001, {7, 50}, True),
        (0o660, 1001, {7}, False),
        (0o640, 1001, {50}, False),
    ],
)
def test_who_is_let_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, mode: int, uid: int, groups: set[int], allowed: bool
) -> None:
    desk.place.mode, desk.place.group = mode, 50
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    peer = Peer(4711, uid, frozenset(groups))
    monkeypatch.setattr(module, "peer_of", lambda _sock: peer)
    (said,) = lines(desk.connect())
    assert said.get("protocol") == (1 if allowed else None)
    assert desk.refused == ([] if allowed else [peer])
    assert desk.clients == allowed


class Exhausted:
    """A listening socket of a process that has no descriptor left."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    def close(self) -> None:
        self._socket.close()


def test_without_descriptors_it_does_not_listen_for_a_moment(desk: Desk) -> None:
    """It is readable all the time: the loop would spin."""
    usual, desk.place.socket = desk.place.socket, Exhausted(desk.place.socket)  # type: ignore[assignment]
    client = desk.connect()
    assert list(desk.endpoint.watched(desk.now)) == []
    assert desk.endpoint.next_deadline(desk.now) == desk.now + DEAF_TIME
    desk.place.socket = usual
    desk.turn(seconds=DEAF_TIME)
    assert lines(client) == [{"protocol": 1}]
