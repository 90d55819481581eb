"""A request that does not end although it was told to: its worker is replaced, and nobody else notices."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.server import Server, wait_for

APP = """
import ctypes, os

libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        # A call into C that no signal interrupts: an exception in this thread has to wait for its return.
        libc.pthread_mutex_lock(mutex)
        libc.pthread_mutex_lock(mutex)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.slow
def test_a_stuck_worker_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(APP)
    options = ["--request-timeout", "0.3", "--graceful-timeout", "1", "--chdir", str(tmp_path)]
    server = Server("stuck:app", options)
    # Until the first worker serves, clients wait in the backlog.
    server.start(wait=False)
    try:
        before = server.get("/")
        with server.connect() as client:
            client.send(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_for(lambda: "takes longer than request_timeout" in server.log(), "the stack is logged")
            assert "GET /stuck" in server.log()
            assert "libc.pthread_mutex_lock(mutex)" in server.log()
            wait_for(lambda: "this worker is being replaced" in server.log(), "it is given up", deadline=10)
            after = server.get("/")
        assert before[0] == after[0] == 200
        assert before[1] != after[1]
        wait_for(lambda: "was killed by SIGKILL" in server.log(), "the old one is killed")
        server.stop()
    finally:
        server.kill()
