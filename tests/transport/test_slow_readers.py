"""What is queued for clients that stopped reading, while several threads send and give up."""

from __future__ import annotations

import contextlib

import pytest
from harness.server import wait_for
from integration.live import message
from transport.served import Pool, same_worker

LIMIT = 0.3


@pytest.mark.slow
def test_clients_that_stop_reading_are_given_up(serve: Pool) -> None:
    """A connection is closed while a thread is in a system call for it: nobody else is hurt."""
    live = serve("slow_readers:app", "--threads=6", f"--write-timeout={LIMIT}")
    with same_worker(live):
        for number in range(3):
            mark = len(live.log())
            with contextlib.ExitStack() as end:
                clients = [end.enter_context(live.connect(receive_buffer=4096)) for _ in range(4)]
                for client in clients:
                    client.send(message("/endless"))
                for client in clients[number:]:
                    # Writing tells that the server has given up, without reading.
                    wait_for(lambda client=client: not client.send(b"\r"), "the connection is reset")
            assert "Internal error" not in live.log()[mark:]
            assert "A thread of the worker failed" not in live.log()[mark:]
