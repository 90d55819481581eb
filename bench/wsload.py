"""Running `wsload.c`, the load of WebSocket messages, and what its messages are.

The connections are open before the measurement begins and until it has ended."""

import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager

from bench import frames, load, paths
from bench.scenarios import Form, Message, Scenario
from bench.wrk import WrkResult


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


def connected(scenario: Scenario, port: int) -> AbstractContextManager[Callable[[float], WrkResult]]:
    """All connections are open; what it gives drives them for so many seconds."""
    assert scenario.message
    payload = paths.WORK / f"message-{scenario.name}"
    payload.write_bytes(frame(scenario.message).payload)
    return load.connected(paths.WSLOAD, port, scenario.connections, scenario.message.form, payload)
