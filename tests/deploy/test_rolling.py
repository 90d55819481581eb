"""A rolling deploy over two replicas behind HAProxy, while clients of all kinds count: nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.programs import program
from deploy.replicas import balanced
from harness.server import APPS, wait_for
from lossless.clients import KINDS, Tally, Trouble
from lossless.count import TESTS, Result, weigh
from lossless.events import Event
from lossless.service import Journal

DEPLOY = Event("a rolling deploy", "", lambda _: None)
#: WSGI has no WebSockets.
CLIENTS = {"asgi": list(KINDS), "wsgi": [kind for kind in KINDS if kind != "websocket"]}


@contextlib.contextmanager
def clients(port: int, kinds: list[str], tallies: dict[str, Tally]) -> Iterator[None]:
    """A process of their own, and what they have counted at the end."""
    counting = subprocess.Popen(
        [sys.executable, "-m", "lossless.clients", "127.0.0.1", str(port), "tls", *kinds],
        cwd=TESTS,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(APPS)])},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert counting.stdout is not None
        assert counting.stdout.readline() == "going\n"
        yield
        said, _ = counting.communicate("stop\n", timeout=60)
        for kind, words in json.loads(said).items():
            troubles = [Trouble(**each) for each in words.pop("troubles")]
            tallies[kind] = Tally(**words, troubles=troubles)
    finally:
        counting.kill()
        counting.wait()


@pytest.mark.slow
@pytest.mark.parametrize("interface", CLIENTS)
def test_a_rolling_deploy_loses_nothing(interface: str, tmp_path: Path) -> None:
    program("haproxy")
    tallies: dict[str, Tally] = {}
    with balanced(tmp_path, interface) as service:
        told_at = time.monotonic()
        with clients(service.place.port, CLIENTS[interface], tallies):
            for _ in range(2):  # one deploy, and the next
                for replica in service.replicas.values():
                    replica.stop()
                    replica.start()
                    wait_for(service.are_up, "HAProxy has it back", deadline=20)
        begun = Journal(service.journal).begun()
    result = Result("Tricorn", "tls", DEPLOY.name)
    weigh(result, tallies, DEPLOY, begun, set(), told_at)
    assert not result.losses, f"{result}\n" + "\n".join(result.what)
    assert result.answered > 1000, result
    print(result)
