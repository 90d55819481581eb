"""Memory of idle connections: one request on each, or one message, and a look at the server before and after.

The clients take several addresses of 127.0.0.0/8, so that ports never run out."""

import resource
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from bench import frames, proc
from bench.process import Running

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
WARM_UP = 200
BATCH = 50
A_CLIENT = 5_000  # connections from one address
TIMEOUT = 5.0
TIME_LIMIT = 60.0  # for opening all of them
SETTLE = 0.5
FILE_LIMIT = 65_536
ENOUGH = 0.5


@dataclass(frozen=True)
class Step:
    """What each connection sends, and when the answer is whole."""

    request: bytes
    complete: Callable[[bytes], bool]


def responded(answer: bytes) -> bool:
    _, found, body = answer.partition(frames.HEAD_END)
    return bool(found) and len(body) >= 13


def upgraded(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.1 101 ") and answer.endswith(frames.HEAD_END)


def echoed(answer: bytes) -> bool:
    return frames.frame_size(answer) <= len(answer)


@dataclass(frozen=True)
class Client:
    """What each connection does before it is idle."""

    steps: tuple[Step, ...]
    context: ssl.SSLContext | None = None  # with one, it begins with a TLS handshake


def websocket(message: frames.Frame) -> Client:
    return Client((Step(frames.handshake(), upgraded), Step(frames.masked(message), echoed)))


HTTP = Client((Step(REQUEST, responded),))
HTTP2 = Client((Step(frames.http2_get(), frames.is_answered),))


def measure(server: Running, wanted: int, client: Client = HTTP) -> dict[str, float]:
    wanted = min(wanted, raise_file_limit() - 200)
    for sock in open_all(server.port, WARM_UP, client):
        sock.close()
    time.sleep(SETTLE)
    before = proc.tree_pss(server.pid)
    sockets = open_all(server.port, wanted, client)
    try:
        time.sleep(SETTLE)
        kept = sum(still_open(sock) for sock in sockets)
        after = proc.tree_pss(server.pid)
    finally:
        for sock in sockets:
            sock.close()
    values = {"kept": float(kept), "base_mb": before / 1e6, "pss_mb": after / 1e6}
    if kept >= wanted * ENOUGH:
        values["idle_bytes"] = (after - before) / kept
    return values


def raise_file_limit() -> int:
    """Servers inherit it: it is called before the first one of a run is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, min(hard, FILE_LIMIT))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def open_all(port: int, wanted: int, client: Client = HTTP) -> list[socket.socket]:
    """As many as the server takes, at most `wanted`; stops after the first batch in which one is not kept.

    In batches, because a server that sends its answer in two parts costs 40 ms of delayed acknowledgement for
    each connection. Each has a thread of its own, because a server of one thread may serve any of them first,
    and to the end.
    """
    deadline = time.monotonic() + TIME_LIMIT
    sockets: list[socket.socket] = []
    with ThreadPoolExecutor(BATCH) as pool:
        while len(sockets) < wanted and time.monotonic() < deadline:
            numbers = range(len(sockets), min(len(sockets) + BATCH, wanted))
            batch = list(pool.map(partial(open_one, port, client), numbers))
            sockets += filter(None, batch)
            if not all(batch):
                break
    return sockets


def open_one(port: int, client: Client, number: int) -> socket.socket | None:
    """None if it is not kept."""
    try:
        sock = connect(port, number, client.context)
    except OSError:
        return None
    if all(take(sock, step) for step in client.steps):
        return sock
    sock.close()
    return None


def connect(port: int, number: int, context: ssl.SSLContext | None) -> socket.socket:
    source = (f"127.0.0.{2 + number // A_CLIENT}", 0)
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT, source_address=source)
    return context.wrap_socket(sock, server_hostname="127.0.0.1") if context else sock


def take(sock: socket.socket, step: Step) -> bool:
    """One step, to the end of its answer; False if the connection is not kept.

    It is given up as soon as the server says so: some servers linger for seconds until the client closes.
    """
    answer = b""
    try:
        sock.sendall(step.request)
        while not step.complete(answer):
            piece = sock.recv(4096)
            if not piece:
                return False
            answer += piece
    except OSError:
        return False
    return b"\r\nconnection: close\r\n" not in answer.lower()


def still_open(sock: socket.socket) -> bool:
    try:
        sock.setblocking(False)
        return bool(sock.recv(1))
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
