"""Listeners as a table, and back from it: what another process does with the same descriptors."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tricorn.config.settings import Settings
from tricorn.net.inheritance import described, inherited
from tricorn.net.listener import Listener, ListenError, open_listeners


def handed_on(listeners: tuple[Listener, ...]) -> list[Listener]:
    """Through text, and with descriptors of their own, as after a fork."""
    table = json.loads(json.dumps(described(listeners)))
    for entry in table:
        entry["fd"] = os.dup(entry["fd"])
        entry["more"] = [os.dup(fd) for fd in entry["more"]]
    return inherited(table)


def test_they_are_what_the_settings_want(tmp_path: Path) -> None:
    """So nothing is opened anew: neither the port that the kernel chose, nor a name or a descriptor."""
    binds = ("127.0.0.1:0", "localhost:0", f"unix:{tmp_path / 'web.sock'}", "unix:@tricorn-\\udc80-test")
    with socket.create_server(("127.0.0.1", 0)) as passed:
        settings = Settings(bind=(*binds, f"fd://{passed.detach()}"))
    older = open_listeners(settings)
    newer = handed_on(older)
    assert open_listeners(settings, keep=newer) == tuple(newer)
    assert [each.address for each in newer] == [each.address for each in older]
    assert not any(each.socket.get_inheritable() or each.socket.getblocking() for each in newer)
    for listener in (*older, *newer):
        listener.close()


def test_all_sockets_of_an_address_are_handed_on() -> None:
    settings = Settings(bind=("127.0.0.1:0",), reuse_port=True, workers=3)
    older = open_listeners(settings)
    newer = handed_on(older)
    (one,) = newer
    assert open_listeners(settings, keep=newer) == (one,)
    assert [each.getsockname() for each in one.sockets] == [older[0].socket.getsockname()] * 3
    for listener in (*older, *newer):
        listener.close()
    assert [each.fileno() for each in one.sockets] == [-1] * 3


def test_a_file_goes_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    (older,) = open_listeners(Settings(bind=(f"unix:{path}",)))
    (newer,) = handed_on((older,))
    (given_up,) = handed_on((older,))
    given_up.close()
    assert path.exists(), "it was not owned"
    older.disown()
    older.close()
    assert path.exists(), "it was handed on"
    newer.own()
    newer.close()
    assert not path.exists()


def test_a_file_that_is_another_by_now_stays(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    (older,) = open_listeners(Settings(bind=(f"unix:{path}",)))
    (newer,) = handed_on((older,))
    path.unlink()
    path.touch()
    newer.own()
    newer.close()
    older.close()
    assert path.exists()


def entry_of(fd: int) -> list[dict[str, Any]]:
    return [{"fd": fd, "wanted": ["fd", fd], "address": ["tcp", "127.0.0.1", 8000], "of_later_versions": 1}]


def test_what_the_table_says_is_not_believed(tmp_path: Path) -> None:
    said = r"Cannot listen on http://127.0.0.1:8000: inherited descriptor \d+"
    with socket.socket() as unbound, pytest.raises(ListenError, match=said + " is no listening socket"):
        inherited(entry_of(unbound.fileno()))
    with open(tmp_path / "file", "w") as file, pytest.raises(ListenError, match=said + ": "):
        inherited(entry_of(file.fileno()))
    with pytest.raises(ListenError, match=said + ": Bad file descriptor"):
        inherited(entry_of(999))
