"""The floor servers, asked over real sockets; and what is read of their processes."""

import http.client
import shutil
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from bench import environment, frames, idle, paths, proc, wsload
from bench.process import Running
from bench.scenarios import Form, Message
from bench.servers import FLOOR, Launch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("cc", "taskset", "setpriv"))), reason="needs cc and util-linux"
    ),
]


@pytest.fixture(scope="module", autouse=True)
def binary(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(paths, "FLOOR", tmp_path_factory.mktemp("floor") / "floor")
    assert environment.compile_program("floor", paths.FLOOR) == ""
    yield paths.FLOOR
    patch.undo()


UVLOOP = f"{sys.executable} {paths.BENCH}/uvloop_floor.py"


@pytest.fixture(params=["C", "uvloop"])
def floor(request, start):
    """Both floors answer in the same way."""
    return lambda launch: start(launch, UVLOOP if request.param == "uvloop" else None)


@pytest.fixture
def c_floor(start):
    return start


@pytest.fixture
def start(binary, tmp_path):
    def start(launch, program=None):
        command = f"{program or binary} {{port}} {{body_size}} {{mode}}"
        return Running(replace(FLOOR, command=command), launch, log, 0)

    log = tmp_path / "log"
    log.touch()
    return start


def test_it_answers_with_the_wanted_size(floor):
    with floor(Launch("hello", body_size=2_000_000)) as server:
        assert server.wait_ready() == b"x" * 2_000_000


def test_it_reads_a_body_before_it_answers(floor):
    with floor(Launch("echo")) as server:
        server.wait_ready()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for size in (1, 10_240, 1_048_576):
            connection.request("POST", "/", body=b"y" * size)
            assert connection.getresponse().read() == b"x" * 13
        connection.close()


def test_a_head_may_come_byte_by_byte(floor):
    with floor(Launch("hello")) as server:
        server.wait_ready()
        with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok":
                sock.sendall(bytes([byte]))
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_each_piece_of_a_request_may_be_read_by_itself(floor):
    request = b"GET / HTTP/1.1\r\n\r\n"
    pieces = (b"POST / HTTP/1.1\r\nContent-Length: 38\r\n\r", b"\n", request, b"\r\n" + request[:18], request)
    with floor(Launch("hello")) as server:
        server.wait_ready()
        with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
            for piece in pieces:
                sock.sendall(piece)
                server.ask("GET", b"", ())  # it has one thread: what came before this has been read
            sock.shutdown(socket.SHUT_WR)
            answers = b"".join(iter(lambda: sock.recv(1000), b""))
    assert answers.count(b"HTTP/1.1 200 OK") == 2  # the body that looks like requests is none


def test_it_closes_when_told_to(floor):
    with floor(Launch("hello", close=True)) as server:
        server.wait_ready()
        with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
            sock.sendall(idle.REQUEST)
            answer = b"".join(iter(lambda: sock.recv(1000), b""))
        assert b"\r\nConnection: close\r\n" in answer


def test_time_and_memory_of_the_process_are_seen(c_floor):
    with c_floor(Launch("hello")) as server:
        server.wait_ready()
        before = server.cpu_seconds()
        for sock in idle.open_all(server.port, 200):
            sock.close()
        assert 0 < server.cpu_seconds() - before < 1
        assert proc.worker_pss(server.pid) == proc.tree_pss(server.pid) > 0


def test_idle_connections_are_counted(c_floor):
    with c_floor(Launch("hello", idle=True)) as server:
        server.wait_ready()
        values = idle.measure(server, 100)
    assert values["kept"] == 100
    assert values["idle_bytes"] < 1000


@pytest.mark.parametrize("size", [32, 125, 126, 16_384, 65_535, 65_536])
def test_the_uvloop_floor_echoes_on_a_websocket(start, size):
    message = Message(size, Form.TEXT if size <= 16_384 else Form.BINARY)
    with start(Launch("", body_size=size, websocket=True), UVLOOP) as server:
        frame, plain = wsload.frame(message), wsload.plain(message)
        server.wait_for(lambda: frames.echo_once(server.port, frame, plain))
        with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
            sock.sendall(frames.handshake())
            frames.read_head(sock)
            sock.sendall(frames.masked(frame) * 2)  # two messages in one read, or in many
            with sock.makefile("rb") as answers:
                head = 2 if size < 126 else 4 if size < 65_536 else 10
                echo = answers.read(head + size)
                assert echo.endswith(plain)
                assert answers.read(head + size) == echo


def test_nothing_runs_after_the_block(c_floor):
    with c_floor(Launch("hello")) as server:
        server.wait_ready()
        assert server.alive()
    assert not server.alive()


def test_processor_time_of_reaped_children_counts():
    burn = "sum(range(10_000_000))"
    code = f"import subprocess,sys,time; subprocess.run([sys.executable,'-c','{burn}']); print(flush=True)"
    code += "; time.sleep(9)"
    with subprocess.Popen([shutil.which("python3"), "-c", code], stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        assert proc.cpu_seconds(parent.pid) > 0.1
        parent.kill()
