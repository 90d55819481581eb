"""Listeners on real sockets: who may connect, whose file it is, what is said when it does not work."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.starts import at_once

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.net import listener as listener_module
from tricorn.net.address import TcpAddress, parse_address
from tricorn.net.listener import Listener, ListenError, Place, open_listeners

Open = Callable[..., Listener]


@pytest.fixture
def open_one() -> Iterator[Open]:
    opened: list[Listener] = []

    def open_one(bind: str, **values: Any) -> Listener:
        (listener,) = open_listeners(Settings(bind=(bind,), **values))
        opened.append(listener)
        return listener

    yield open_one
    for listener in opened:
        listener.close()


def connects(listener: Listener) -> bool:
    with socket.socket(listener.socket.family) as client:
        return client.connect_ex(listener.socket.getsockname()) == 0


def port_of(listener: Listener) -> int:
    assert isinstance(listener.address, TcpAddress)
    return listener.address.port


# -- TCP ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::1]:0", "localhost:0", ":0"])
def test_tcp(open_one: Open, bind: str) -> None:
    listener = open_one(bind)
    assert port_of(listener) > 0
    assert connects(listener)
    assert listener.fileno() == listener.socket.fileno()
    assert not listener.socket.getblocking()
    assert not os.get_inheritable(listener.fileno())
    assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_localhost_is_the_ipv4_one(open_one: Open) -> None:
    assert open_one("localhost:0").socket.family == socket.AF_INET


def test_reuse_port_lets_a_second_instance_in(open_one: Open) -> None:
    first = open_one("127.0.0.1:0", reuse_port=True)
    again = f"127.0.0.1:{port_of(first)}"
    assert port_of(open_one(again, reuse_port=True)) == port_of(first)
    with pytest.raises(ListenError, match="something else is listening there"):
        open_one(again)


def test_reuse_port_makes_a_queue_for_each_worker(open_one: Open) -> None:
    one = open_one("127.0.0.1:0", reuse_port=True, workers=3)
    assert {sock.getsockname() for sock in one.sockets} == {("127.0.0.1", port_of(one))}
    fds, owners = zip(*one.queues, strict=True)
    assert list(fds) == [sock.fileno() for sock in one.sockets]
    assert [mask & 0b111111 for mask in owners] == [0b001001, 0b010010, 0b100100]
    assert sum(owners) == (1 << listener_module.MOST_QUEUES) - 1
    alone = open_one("127.0.0.1:0", reuse_port=True)
    assert alone.queues == [(alone.fileno(), 0)]
    many = open_one("127.0.0.1:0", reuse_port=True, workers=100)
    assert len(many.sockets) == listener_module.MOST_QUEUES


def test_a_reload_keeps_the_queues_that_there_are(open_one: Open) -> None:
    one = open_one("127.0.0.1:0", reuse_port=True, workers=2)
    again = Settings(bind=("127.0.0.1:0",), reuse_port=True, workers=4)
    assert open_listeners(again, keep=(one,)) == (one,)
    assert len(one.sockets) == 2


def test_both_wildcards_on_one_port() -> None:
    with socket.create_server(("0.0.0.0", 0)) as probe:
        port = probe.getsockname()[1]
    listeners = open_listeners(Settings(bind=(f":{port}", f"[::]:{port}")))
    try:
        assert [port_of(each) for each in listeners] == [port, port]
    finally:
        for listener in listeners:
            listener.close()


def test_errors_are_one_line_and_leave_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(ListenError) as caught:
        open_listeners(Settings(bind=(f"127.0.0.1:{port}", "192.0.2.1:1")))
    assert str(caught.value) == "Cannot listen on http://192.0.2.1:1: this machine has no such address"
    with socket.create_server(("127.0.0.1", port)):
        """The first one was closed again."""


def test_unknown_host() -> None:
    with pytest.raises(ListenError, match=r"host 'nowhere\.invalid' not found"):
        open_listeners(Settings(bind=("nowhere.invalid:80",)))


@pytest.mark.parametrize("bind", [("8000",), ("127.0.0.1:1", "tcp://127.0.0.1:1")])
def test_values_that_never_work(bind: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        open_listeners(Settings(bind=bind))


# -- reload ------------------------------------------------------------------------------------------------


def test_what_is_wanted_again_is_kept(open_one: Open, tmp_path: Path) -> None:
    first = open_one("127.0.0.1:0")
    path = tmp_path / "s"
    kept, new = open_listeners(Settings(bind=("127.0.0.1:0", f"unix:{path}"), backlog=5), keep=[first])
    assert kept is first
    assert connects(new)
    new.close()
    assert connects(first)


# -- unix --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("umask", "mode"), [(None, 0o660), (0o077, 0o600), (0, 0o666), (0o007, 0o660)])
def test_the_world_may_not_connect_unless_asked_to(
    open_one: Open, tmp_path: Path, umask: int | None, mode: int
) -> None:
    path = tmp_path / "s"
    before = os.umask(0)
    try:
        listener = open_one(f"unix:{path}", umask=umask)
        assert os.umask(0) == 0, "the process's own mask is as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert connects(listener)


def test_the_file_goes_with_its_listener(open_one: Open, tmp_path: Path) -> None:
    path = tmp_path / "s"
    open_one(f"unix:{path}").close()
    assert not path.exists()


def test_a_successors_file_stays(open_one: Open, tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = open_one(f"unix:{path}")
    path.unlink()
    second = open_one(f"unix:{path}")
    first.close()
    assert connects(second)


def test_a_child_process_does_not_remove_the_file(open_one: Open, tmp_path: Path) -> None:
    listener = open_one(f"unix:{tmp_path / 's'}")
    child = os.fork()
    if child == 0:
        listener.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert connects(listener)


def test_a_relative_path_survives_chdir(
    open_one: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listener = open_one("unix:s")
    monkeypatch.chdir("/")
    listener.close()
    assert not (tmp_path / "s").exists()


def test_a_stale_file_is_replaced(open_one: Open, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    assert connects(open_one(f"unix:{path}"))


def test_a_living_socket_is_not_replaced(open_one: Open, tmp_path: Path) -> None:
    first = open_one(f"unix:{tmp_path / 's'}")
    with pytest.raises(ListenError, match="something else is listening there"):
        open_one(f"unix:{tmp_path / 's'}")
    assert connects(first)


def test_a_full_queue_is_a_living_socket(open_one: Open, tmp_path: Path) -> None:
    path = tmp_path / "s"
    open_one(f"unix:{path}", backlog=1)
    clients = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(5)]
    codes = [client.connect_ex(str(path)) for client in clients]
    assert any(codes)
    with pytest.raises(ListenError):
        open_one(f"unix:{path}")
    for client in clients:
        client.close()


SLOW_START = """
import os, socket, sys, time
from tricorn.config.settings import Settings
from tricorn.net import listener

class Slow(socket.socket):
    def bind(self, address):
        time.sleep({before})
        super().bind(address)
    def listen(self, backlog):
        time.sleep({between})
        super().listen(backlog)

def unlink(path, unlink=os.unlink):
    time.sleep({unlinking})
    unlink(path)

listener.socket.socket = Slow
os.unlink = unlink
print("here", flush=True)
sys.stdin.readline()
try:
    kept = listener.open_listeners(Settings(bind=("unix:{path}",)))
except listener.ListenError as error:
    print("refused", error, flush=True)
else:
    print("listening", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize(
    "delays", [(0, 0, 0), (0.05, 0, 0), (0, 0.05, 0), (0, 0, 0.05)], ids=["none", "bind", "listen", "unlink"]
)
def test_of_many_that_start_at_once_exactly_one_listens(
    tmp_path: Path, stale: bool, delays: tuple[float, float, float]
) -> None:
    path = tmp_path / "s"
    if stale:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    before, between, unlinking = delays
    code = SLOW_START.format(path=path, before=before, between=between, unlinking=unlinking)
    with at_once(code, count=6) as (_, said):
        assert said.count("listening\n") == 1
        refused = f"refused Cannot listen on unix:{path}: something else is listening there\n"
        assert said.count(refused) == 5
        with socket.socket(socket.AF_UNIX) as client:
            assert client.connect_ex(str(path)) == 0
        assert os.listdir(tmp_path) == ["s"], "no litter"


def test_a_directory_that_stays_locked(
    open_one: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "LOCK_PATIENCE", 0.05)
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ListenError, match="another process keeps it locked"):
            open_one(f"unix:{tmp_path / 's'}")
    finally:
        os.close(held)
    assert connects(open_one(f"unix:{tmp_path / 's'}"))


def test_other_files_are_never_touched(open_one: Open, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is not a socket"):
        open_one(f"unix:{path}")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="is not a socket"):
        open_one(f"unix:{link}")
    assert path.read_text() == "precious"


def test_unix_errors(open_one: Open, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 107"):
        open_one(f"unix:/{'x' * 107}")
    with pytest.raises(ListenError, match="directory does not exist"):
        open_one(f"unix:{tmp_path}/no/s")


def test_abstract(open_one: Open) -> None:
    listener = open_one(f"unix:@tricorn-test-{os.getpid()}")
    assert connects(listener)
    with pytest.raises(ListenError, match="something else is listening there"):
        open_one(f"unix:@tricorn-test-{os.getpid()}")


# -- descriptors -------------------------------------------------------------------------------------------


def test_fd(open_one: Open) -> None:
    given = socket.socket()
    given.bind(("127.0.0.1", 0))
    port = given.getsockname()[1]
    listener = open_one(f"fd://{given.detach()}")
    assert listener.address == TcpAddress("127.0.0.1", port)
    assert connects(listener)
    assert not listener.socket.getblocking()


def test_a_descriptor_survives_an_attempt_that_fails(open_one: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given, socket.create_server(("127.0.0.1", 0)) as taken:
        bind = (f"fd://{given.fileno()}", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ListenError) as caught:
            open_listeners(Settings(bind=bind))
        assert caught.value.taken == Place(parse_address(bind[1]), f"http://{bind[1]}")
        assert connects(open_one(f"fd://{os.dup(given.fileno())}"))


def test_the_file_of_an_adopted_socket_is_not_ours(open_one: Open, tmp_path: Path) -> None:
    path = tmp_path / "s"
    given = socket.socket(socket.AF_UNIX)
    given.bind(str(path))
    open_one(f"fd://{given.detach()}").close()
    assert path.exists()


def test_fd_errors(open_one: Open, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not open"):
        open_one("fd://9999")
    with open(tmp_path / "f", "w") as file:
        with pytest.raises(ConfigError, match="is not a socket"):
            open_one(f"fd://{file.fileno()}")
        file.write("still open")
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ConfigError, match="is not a stream socket"):
            open_one(f"fd://{datagrams.fileno()}")
        assert datagrams.getsockname()
