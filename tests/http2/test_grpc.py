"""A real client of gRPC against an application without any library for it (tests/apps/asgi_grpc.py)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import tls
from harness.patience import PATIENCE
from harness.server import Server, Servers
from integration.asgi import Notes, literal

grpc = pytest.importorskip("grpc")

#: gRPC's core would use a proxy of the environment for 127.0.0.1, and tell of forks.
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", tls.NAME)]
TIMEOUT = 5.0 * PATIENCE


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@pytest.fixture(params=["h2c", "h2"])
def server(request: pytest.FixtureRequest, running_servers: Servers) -> Server:
    options = ("--asgi-disconnect-grace-period=0.2",)
    return running_servers.on(request.param).get(*options, kind="asgi", app="asgi_grpc:app")


@pytest.fixture
def channel(server: Server) -> Iterator[Any]:
    address = "{}:{}".format(*server.address)
    if server.wire.url_scheme == "https":
        credentials = grpc.ssl_channel_credentials(tls.AUTHORITY.read_bytes())
        channel = grpc.secure_channel(address, credentials, OPTIONS)
    else:
        channel = grpc.insecure_channel(address, OPTIONS)
    with channel:
        yield channel


def method(channel: Any, kind: str, name: str) -> Callable[..., Any]:
    """Messages are bytes as they are."""
    made: Callable[..., Any] = getattr(channel, kind)(f"/test.Echo/{name}", lambda message: message, bytes)
    return made


def test_unary(channel: Any) -> None:
    call = method(channel, "unary_unary", "Unary")
    for size in (0, 1, 100, 20_000, 1_000_000):
        assert call(b"m" * size, timeout=TIMEOUT) == b"m" * size


def test_unary_many_at_once(channel: Any) -> None:
    call = method(channel, "unary_unary", "Unary")
    waiting = [call.future(b"%d" % number * 1000, timeout=TIMEOUT) for number in range(100)]  # type: ignore[attr-defined]
    assert [each.result() for each in waiting] == [b"%d" % number * 1000 for number in range(100)]


def test_a_stream_of_the_server(channel: Any) -> None:
    call = method(channel, "unary_stream", "Server")
    assert list(call(b"500", timeout=TIMEOUT)) == [b"%d" % number for number in range(500)]
    assert list(call(b"0", timeout=TIMEOUT)) == []


def test_a_stream_of_the_client(channel: Any) -> None:
    call = method(channel, "stream_unary", "Client")
    assert call((b"%d" % number for number in range(500)), timeout=TIMEOUT) == b",".join(
        b"%d" % n for n in range(500)
    )
    assert call(iter(()), timeout=TIMEOUT) == b""


def test_streams_both_ways(channel: Any) -> None:
    """Each message is answered before the next one is sent."""
    turn = threading.Semaphore(1)

    def questions() -> Iterator[bytes]:
        for number in range(50):
            assert turn.acquire(timeout=TIMEOUT)
            yield b"%d" % number

    found = []
    for answer in method(channel, "stream_stream", "Both")(questions(), timeout=TIMEOUT):
        found.append(answer)
        turn.release()
    assert found == [b"%d" % number for number in range(50)]


def test_a_status_in_trailers(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        method(channel, "unary_unary", "Fails")("no ☃ here".encode(), timeout=TIMEOUT)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert raised.value.details() == "no ☃ here"


def test_a_status_behind_messages(channel: Any) -> None:
    answers = method(channel, "unary_stream", "FailsLate")(b"x", timeout=TIMEOUT)
    assert [next(answers), next(answers)] == [b"x", b"x"]
    with pytest.raises(grpc.RpcError) as raised:
        next(answers)
    assert raised.value.code() == grpc.StatusCode.ABORTED


def test_a_method_that_is_none(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        method(channel, "unary_unary", "Nothing")(b"", timeout=TIMEOUT)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_metadata(channel: Any) -> None:
    """`te: trailers` among it, and binary values as they were coded."""
    metadata = (("x-text", "a"), ("x-text", "b"), ("x-bytes-bin", bytes(range(20))))
    told = literal(method(channel, "unary_unary", "Metadata")(b"", metadata=metadata, timeout=TIMEOUT))
    assert [value for name, value in told if name == b"x-text"] == [b"a", b"b"]
    assert (b"te", b"trailers") in told
    assert any(name == b"x-bytes-bin" for name, _ in told)


def test_the_deadline_is_told(channel: Any) -> None:
    assert method(channel, "unary_unary", "Deadline")(b"", timeout=TIMEOUT)[-1:] in (b"m", b"u", b"S", b"n")


def test_a_deadline_that_passes(server: Server, channel: Any) -> None:
    """The client gives up by RST_STREAM; the application hears of it, and the channel goes on."""
    notes = Notes(server)
    with pytest.raises(grpc.RpcError) as raised:
        method(channel, "unary_unary", "Hangs")(b"first", timeout=0.3)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    notes.wait("cancelled")
    assert method(channel, "unary_unary", "Unary")(b"still", timeout=TIMEOUT) == b"still"


def test_a_call_that_is_cancelled(server: Server, channel: Any) -> None:
    """In the middle of a stream: receive() says http.disconnect at once."""
    notes = Notes(server)
    go_on = threading.Event()

    def questions() -> Iterator[bytes]:
        yield b"first"
        go_on.wait(TIMEOUT)

    call = method(channel, "stream_stream", "Hangs")(questions(), timeout=TIMEOUT)
    assert next(call) == b"first"
    assert notes.wait("message") == "first"
    call.cancel()
    notes.wait("disconnected")
    go_on.set()
    assert method(channel, "unary_unary", "Unary")(b"still", timeout=TIMEOUT) == b"still"


@pytest.mark.slow
def test_a_client_that_does_not_read(server: Server, channel: Any) -> None:
    """Flow control: the application's send() waits, and another call of the same channel does not."""
    answers = method(channel, "unary_stream", "Server")(b"30000", timeout=4 * TIMEOUT)
    assert next(answers) == b"0"
    assert method(channel, "unary_unary", "Unary")(b"beside", timeout=TIMEOUT) == b"beside"
    assert sum(1 for _ in answers) == 29_999
    server.seen()
