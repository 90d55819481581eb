"""The floor server, compiled and asked over real sockets; and what is read of its process."""

import http.client
import shutil
import socket
import subprocess
from dataclasses import replace

import pytest

from bench import environment, idle, paths, proc
from bench.process import Running
from bench.servers import FLOOR, Launch

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "taskset", "setpriv"))), reason="needs cc and util-linux"
)


@pytest.fixture(scope="module", autouse=True)
def binary(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(paths, "FLOOR", tmp_path_factory.mktemp("floor") / "floor")
    assert environment.compile_program("floor", paths.FLOOR) == ""
    yield paths.FLOOR
    patch.undo()


@pytest.fixture
def floor(binary, tmp_path):
    def start(launch):
        return Running(replace(FLOOR, command=f"{binary} {{port}} {{body_size}} {{mode}}"), launch, log, 0)

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


def test_it_closes_when_told_to(floor):
    with floor(Launch("hello", close=True)) as server:
        server.wait_ready()
        with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
            sock.sendall(idle.REQUEST)
            answer = b"".join(iter(lambda: sock.recv(1000), b""))
        assert b"\r\nConnection: close\r\n" in answer


def test_time_and_memory_of_the_process_are_seen(floor):
    with floor(Launch("hello")) as server:
        server.wait_ready()
        before = server.cpu_seconds()
        for sock in idle.open_all(server.port, 200):
            sock.close()
        assert 0 < server.cpu_seconds() - before < 1
        assert proc.worker_pss(server.pid) == proc.tree_pss(server.pid) > 0


def test_idle_connections_are_counted(floor):
    with floor(Launch("hello", idle=True)) as server:
        server.wait_ready()
        values = idle.measure(server, 100)
    assert values["kept"] == 100
    assert values["idle_bytes"] < 1000


def test_nothing_runs_after_the_block(floor):
    with floor(Launch("hello")) as server:
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
