"""Running `wsload.c`, the load of WebSocket messages, and what its messages are.

The connections are open before the measurement begins and until it has ended."""

import json
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from bench import frames, paths, wrk
from bench.process import CLIENT_CORE
from bench.scenarios import Form, Message, Scenario
from bench.wrk import WrkError, WrkResult

PATIENCE = 30.0


def plain(message: Message) -> bytes:
    """What the application gets."""
    return document(message.size) if message.form is Form.DEFLATE else b"x" * message.size


def document(size: int) -> bytes:
    """JSON as an application sends it: it shrinks to about a third, as such text does, not to nothing."""
    dice = random.Random(size)
    rows = [
        {"id": dice.randrange(10**6), "name": f"sensor {dice.randrange(1000)}", "value": dice.random()}
        for _ in range(size // 40)
    ]
    return json.dumps(rows).encode()[:size]


def frame(message: Message) -> frames.Frame:
    """What is on the wire."""
    if message.form is Form.DEFLATE:
        return frames.Frame(frames.TEXT, frames.deflated(plain(message)), compressed=True)
    return frames.Frame(frames.BINARY if message.form is Form.BINARY else frames.TEXT, plain(message))


@contextmanager
def connected(scenario: Scenario, port: int) -> Iterator[Callable[[float], WrkResult]]:
    """All connections are open; what it gives drives them for so many seconds."""
    assert scenario.message
    payload = paths.WORK / f"message-{scenario.name}"
    payload.write_bytes(frame(scenario.message).payload)
    command = ["taskset", "-c", str(CLIENT_CORE), str(paths.WSLOAD), str(port), str(scenario.connections)]
    command += [str(scenario.message.form), str(payload)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            read_to(process, "ready", PATIENCE)
            yield partial(run, process)
        finally:
            process.kill()  # which closes the connections


def run(process: subprocess.Popen[str], seconds: float) -> WrkResult:
    assert process.stdin
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return wrk.parse(read_to(process, "Requests/sec", seconds + PATIENCE))


def read_to(process: subprocess.Popen[str], start: str, seconds: float) -> str:
    """What it prints up to the line that begins so; it is ended if that takes longer."""
    assert process.stdout
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith(start):
                return text
    finally:
        watchdog.cancel()
    raise WrkError(f"wsload ended early: {text.strip()[-300:]}")
