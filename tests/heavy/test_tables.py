"""The stash: its tables as values, and asked over its queue."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tricorn.heavy import directory, stash
from tricorn.heavy.directory import Place, Standing
from tricorn.heavy.errors import DirtyError, DirtyProtocolError, StashError, StashTableNotFoundError
from tricorn.heavy.queues import CallQueue
from tricorn.heavy.tables import Counter, Tables


def ask(tables: Tables, op: str, table: str = "t", key: str | None = None, value: bytes | None = None) -> Any:
    return tables.answer({"op": op, "table": table, "key": key, "value": value})


def test_what_is_put_can_be_got() -> None:
    tables = Tables()
    assert ask(tables, "get", key="k") is None
    ask(tables, "put", key="k", value=b"1")
    assert ask(tables, "get", key="k") == b"1"
    assert ask(tables, "delete", key="k") is True
    assert ask(tables, "delete", key="k") is False
    assert ask(tables, "tables") == ["t"]


def test_keys_are_found_by_pattern() -> None:
    tables = Tables()
    for key in ("user:1", "user:2", "job:1"):
        ask(tables, "put", key=key, value=b"")
    assert ask(tables, "keys") == ["user:1", "user:2", "job:1"]
    assert ask(tables, "keys", key="user:*") == ["user:1", "user:2"]


def test_it_is_bounded_and_throws_nothing_away() -> None:
    tables = Tables(most=100)
    ask(tables, "put", key="k", value=b"x" * 90)
    with pytest.raises(StashError, match="full"):
        ask(tables, "put", key="l", value=b"x" * 10)
    ask(tables, "put", key="k", value=b"x" * 99)
    ask(tables, "delete", key="k")
    ask(tables, "put", key="l", value=b"x" * 90)
    ask(tables, "clear")
    ask(tables, "put", key="m", value=b"x" * 99)
    assert ask(tables, "delete_table") is True
    ask(tables, "put", key="n", value=b"x" * 99)
    assert ask(tables, "info") == {"table": "t", "size": 1, "bytes": 99}


@pytest.mark.parametrize(
    "asked",
    [None, {}, {"op": "put"}, {"op": "get", "table": "t", "key": 1, "value": None}, {"op": 1, "table": "t"}],
)
def test_nonsense_is_refused(asked: object) -> None:
    with pytest.raises(DirtyError):
        Tables().answer(asked)


@pytest.mark.parametrize("op", ["put", "get", "delete", "drop"])
def test_a_key_is_a_text(op: str) -> None:
    with pytest.raises(StashError):
        ask(Tables(), op)


@pytest.fixture
def asked() -> Iterator[CallQueue]:
    """A stash in a thread of this process."""
    queue = CallQueue("stash", 10)
    counter = Counter(Tables(), queue.socket)
    over = threading.Event()

    def answer() -> None:
        while not over.is_set():
            counter.look_around([], 0.05)

    thread = threading.Thread(target=answer)
    thread.start()
    directory.publish((), Place("stash", queue.handle, queue.refusals, Standing()))
    yield queue
    over.set()
    thread.join()
    directory.publish((), None)
    queue.close()


@pytest.mark.usefixtures("asked")
def test_it_is_asked_by_gunicorns_names() -> None:
    stash.put("sessions", "user:1", {"name": "Ada", "tags": ("a", b"b")})
    assert stash.get("sessions", "user:1") == {"name": "Ada", "tags": ("a", b"b")}
    assert stash.get("sessions", "nobody", "default") == "default"
    assert stash.exists("sessions")
    assert not stash.exists("sessions", "nobody")
    assert stash.keys("sessions", "user:*") == ["user:1"]
    assert stash.info("sessions")["size"] == 1
    stash.ensure("jobs")
    assert stash.tables() == ["sessions", "jobs"]
    assert stash.delete("sessions", "user:1")
    stash.clear("jobs")
    assert stash.delete_table("jobs")
    assert not stash.delete_table("jobs")
    with pytest.raises(StashTableNotFoundError) as caught:
        stash.info("jobs")
    assert caught.value.table_name == "jobs"


@pytest.mark.usefixtures("asked")
def test_a_table_is_a_dict() -> None:
    table = stash.table("counts")
    assert (len(table), list(table), "a" in table, table.get("a", 7)) == (0, [], False, 7)
    table["a"] = None
    table["b"] = 2
    assert table["a"] is None
    assert dict(table.items()) == {"a": None, "b": 2}
    assert list(table.values()) == [None, 2]
    del table["a"]
    with pytest.raises(KeyError):
        table["a"]
    with pytest.raises(KeyError):
        del table["a"]
    table.clear()
    assert len(table) == 0


def test_whoever_says_nonsense_is_sent_away_and_others_are_answered(asked: CallQueue) -> None:
    with socket.socket(socket.AF_UNIX) as rude, socket.socket(socket.AF_UNIX) as silent:
        for sock in (rude, silent):
            sock.settimeout(5)
            sock.connect(f"/proc/self/fd/{asked.handle}")
        rude.sendall(b"\xff" * 100)
        assert rude.recv(1) == b""
        stash.put("t", "k", 1)
        assert stash.get("t", "k") == 1


def test_without_heavy_workers_there_is_none() -> None:
    directory.publish((), None)
    with pytest.raises(StashError, match="dirty_workers"):
        stash.get("t", "k")


@pytest.mark.usefixtures("asked")
def test_what_cannot_be_kept_is_refused_where_it_is_put() -> None:
    with pytest.raises(DirtyProtocolError):
        stash.put("t", "k", object())
