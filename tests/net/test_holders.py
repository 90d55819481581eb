"""Who listens at an address: this process, and others that share its socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tricorn.net.address import parse_address
from tricorn.net.holders import holders_of

FAMILIES = {
    "127.0.0.1": socket.AF_INET,
    "0.0.0.0": socket.AF_INET,
    "::1": socket.AF_INET6,
    "::": socket.AF_INET6,
}


def pids(bind: str) -> list[int]:
    return [holder.pid for holder in holders_of(parse_address(bind))]


@pytest.mark.parametrize(
    ("held", "wanted", "collide"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("::1", "[::1]", True),
        ("::", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "[::1]", False),
    ],
)
def test_tcp(held: str, wanted: str, collide: bool) -> None:
    with socket.create_server((held, 0), family=FAMILIES[held]) as listener:
        port = listener.getsockname()[1]
        # Of the other family somebody else may have the same port.
        assert (os.getpid() in pids(f"{wanted}:{port}")) is collide
    assert os.getpid() not in pids(f"{wanted}:{port}")


def test_a_connection_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
    with client, served:
        assert pids(f"127.0.0.1:{served.getsockname()[1]}") == []


@pytest.mark.parametrize("abstract", [False, True])
def test_unix(tmp_path: Path, abstract: bool) -> None:
    path = str(tmp_path / "with space")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + path if abstract else path)
        bind = f"unix:@{path}" if abstract else f"unix:{path}"
        assert pids(bind) == [], "bound, but nobody listens"
        listener.listen()
        assert pids(bind) == [os.getpid()]
        assert pids(bind + "x") == []


def test_all_that_share_it_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", "import sys; sys.stdin.read()", "a\nb"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]) as child:
            address = parse_address(f"127.0.0.1:{listener.getsockname()[1]}")
            found = {holder.pid: holder for holder in holders_of(address)}
            assert child.stdin is not None
            child.stdin.close()
    assert set(found) == {os.getpid(), child.pid}
    assert str(found[child.pid]).startswith(f"process {child.pid} ({sys.executable} -c import sys;")
    assert "pytest" in found[child.pid].parent_command
