"""How evenly several workers share their clients, and what a client pays when they do not.

    .venv/bin/python -m bench.spread                            everybody, 2 and 4 workers
    .venv/bin/python -m bench.spread --server tricorn --workers 2 --seconds 5

Each server gets 32 kept connections, opened one right after the other. On each, one request follows another:
nineteen of twenty are answered at once, one takes 50 ms, waiting or computing. A response names its worker.
The figures: connections of the worker with the fewest and of that with the most, how long the quick requests
took (p50, p99). Whoever stands behind a slow request of another connection pays for it: that is what evenness
is worth.

Knows: commands, sockets. Must not know: how a server shares its clients.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import paths

HERE = Path(__file__).parent
CONNECTIONS = 32
SLOW = 20  # one of so many requests is
HEAD = b"GET %b HTTP/1.1\r\nHost: spread\r\n\r\n"
PATHS = {False: b"/quick", True: b"/slow"}

WSGI, ASGI = "spread_wsgi:app", "spread_asgi:app"
#: name → what is started; {workers}, {port}
COMMANDS = {
    "tricorn, 1 thread": "{own}/tricorn -b 127.0.0.1:{port} -w {workers} " + WSGI,
    "tricorn, 4 threads": "{own}/tricorn -b 127.0.0.1:{port} -w {workers} --threads 4 " + WSGI,
    "tricorn, 1 thread, reuse_port": "{own}/tricorn -b 127.0.0.1:{port} -w {workers} --reuse-port " + WSGI,
    "tricorn, 4 threads, reuse_port": "{own}/tricorn -b 127.0.0.1:{port} -w {workers} --threads 4 "
    "--reuse-port " + WSGI,
    "gunicorn, 4 threads": "{peers}/gunicorn -b 127.0.0.1:{port} -w {workers} --threads 4 " + WSGI,
    "granian, 1 thread": "{peers}/granian --interface wsgi --host 127.0.0.1 --port {port} "
    "--workers {workers} --no-ws --blocking-threads 1 " + WSGI,
    "tricorn, ASGI": "{own}/tricorn -b 127.0.0.1:{port} -w {workers} " + ASGI,
    "tricorn, ASGI, reuse_port": "{own}/tricorn -b 127.0.0.1:{port} -w {workers} --reuse-port " + ASGI,
    "uvicorn": "{peers}/uvicorn --host 127.0.0.1 --port {port} --workers {workers} --no-access-log "
    "--log-level warning " + ASGI,
    "granian, ASGI": "{peers}/granian --interface asgi --host 127.0.0.1 --port {port} --workers {workers} "
    "--no-ws " + ASGI,
}


@dataclass
class Connection:
    socket: socket.socket
    slow: bool = False
    since: float = 0.0
    received: bytes = b""
    worker: bytes = b""  # that answered last


@dataclass
class Figures:
    spread: Counter[bytes] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    failures: int = 0


def main() -> None:
    options = _options()
    print("| server | workers | connections, fewest and most | p50 ms | p99 ms | requests/s |")
    print("|---|---|---|---|---|---|")
    for workers in options.workers:
        for name in COMMANDS:
            if options.server in name:
                print(_row(name, workers, options), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.spread", description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="", metavar="TEXT", help="only those whose name has it")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4], metavar="N")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="each with new connections")
    parser.add_argument("--work", choices=("wait", "compute"), default="wait", help="what slow requests do")
    parser.add_argument("--peers", type=Path, default=paths.PEERS_VENV / "bin", metavar="DIR")
    return parser.parse_args()


def _row(name: str, workers: int, options: argparse.Namespace) -> str:
    port = _free_port()
    words = COMMANDS[name].format(own=paths.OWN_BIN, peers=options.peers, port=port, workers=workers)
    with _running(words.split(), port, options.work):
        rounds = [drive(port, options.seconds / options.rounds) for _ in range(options.rounds)]
    spreads = [sorted([*found.spread.values(), *[0] * (workers - len(found.spread))]) for found in rounds]
    fewest, most = (statistics.mean(spread[at] for spread in spreads) for at in (0, -1))
    waits = sorted(wait for found in rounds for wait in found.waits)
    p50, p99 = (waits[int(len(waits) * share)] * 1000 for share in (0.5, 0.99))
    failures = sum(found.failures for found in rounds)
    note = f", {failures} failed" if failures else ""
    rate = len(waits) / options.seconds
    return f"| {name}{note} | {workers} | {fewest:.0f} to {most:.0f} | {p50:.1f} | {p99:.1f} | {rate:.0f} |"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(command: list[str], port: int, work: str) -> Iterator[None]:
    environ = {**os.environ, "PYTHONPATH": str(HERE / "apps"), "SPREAD_WORK": work}
    process = subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _await(port, process)
        time.sleep(1)  # all workers, not just the first
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"{process.args} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2) as probe:
            probe.sendall(HEAD % b"/quick")
            if probe.recv(100):
                return
        time.sleep(0.05)
    sys.exit(f"{process.args} does not answer")


def drive(port: int, seconds: float) -> Figures:
    """One request under way on each connection, for so long."""
    figures = Figures()
    chance = random.Random(7)
    selector = selectors.DefaultSelector()
    connections = [Connection(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(CONNECTIONS)]
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        _ask(connection, slow=False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(0.1):
            connection = key.data
            try:
                if not _hear(connection):
                    continue
            except (EOFError, ConnectionError):
                figures.failures += 1
                selector.unregister(connection.socket)
                continue
            connection.worker = connection.received.partition(b"\r\n\r\n")[2]
            if not connection.slow:
                figures.waits.append(time.monotonic() - connection.since)
            _ask(connection, slow=chance.randrange(SLOW) == 0)
    for connection in connections:
        if connection.worker:
            figures.spread[connection.worker] += 1
        connection.socket.close()
    selector.close()
    return figures


def _ask(connection: Connection, *, slow: bool) -> None:
    connection.slow = slow
    connection.since = time.monotonic()
    connection.received = b""
    connection.socket.sendall(HEAD % PATHS[slow])


def _hear(connection: Connection) -> bool:
    """Whether the response is complete: its body is the process id, and a newline. Raises EOFError."""
    data = connection.socket.recv(65536)
    if not data:
        raise EOFError
    connection.received += data
    _, _, body = connection.received.partition(b"\r\n\r\n")
    return body.endswith(b"\n")


if __name__ == "__main__":
    main()
