"""Instructions per request in user space, counted by callgrind: a figure that does not depend on the weather.

    python -m bench.instructions                     all scenarios, beside the stored figures
    python -m bench.instructions --guarded           the four that must not become dearer
    python -m bench.instructions --scenario get-1-header --source ../other
    python -m bench.instructions --write             store what was counted

The server runs with one worker under `valgrind --tool=callgrind`. It starts without counting; after some
requests the counters are set to zero, REQUESTS more come on one connection, one after the other, and the sum
is read. What the kernel does is not in it, nor are waiting and cache misses: this finds a change of the code,
it does not rank servers. With another interpreter, compiler or C library the figures differ, so they are
stored for each version of the interpreter.

So that a count repeats (within 0.1 %; WebSockets 0.3 %, frameworks 0.5 %), names hash alike in each run,
the server's clock hardly moves (`slowclock.c`), and a request is sent only when the server sleeps: whether it
came before or after the server began to wait would make a difference.

What still differs from one directory or environment to the next is where objects lie. CPython finds methods
in a cache whose key is the address of a name, and names that meet there cost up to 2 % of a request. So one
that seems dearer than the stored figure is counted again with its objects elsewhere, and the least counts."""

import argparse
import json
import math
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

from bench import compare, environment, frames, measure, openload, paths, proc, scenarios, wsload
from bench.process import Running, ServerError
from bench.scenarios import Entry, Scenario

OWN = "tricorn"
SCENARIOS = (
    "get-1-header",
    "browser-get",
    "post-10k-echo",
    "flask-hello",
    "django-hello",
    "asgi-get-1-header",
    "asgi-post-10k-echo",
    "asgi-fastapi-hello",
    "asgi-websocket-32b",
)
GUARDED = ("get-1-header", "post-10k-echo", "asgi-get-1-header", "asgi-websocket-32b")
TOLERANCE = 1.01  # well above what the same tree varies, where its objects lie left aside
LAYOUTS = (0, 300, 1_000, 3_000, 10_000)  # bytes that the environment is longer: each puts objects elsewhere
WARM_UP = 200
REQUESTS = 1_000
LOOPS = 5_000
PATIENCE = 120.0  # for the start under valgrind, on a machine with other work
CALLGRIND = ("valgrind", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no", "-q")
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LD_PRELOAD": str(paths.SLOWCLOCK),
    # `rep movsb` is as many instructions as bytes to callgrind, a loop over vectors one for 32 bytes.
    "GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=1000000000",
}

Figures = dict[str, dict[str, dict[str, int]]]  # interpreter -> server -> scenario -> instructions


@dataclass(frozen=True)
class Count:
    server: str
    scenario: str
    instructions: int


def main() -> int:
    chosen = parser().parse_args()
    try:
        check_tools()
        environment.prepare()
        if problem := environment.compile_program("slowclock", paths.SLOWCLOCK, "-shared", "-fPIC"):
            raise environment.NotPossibleError(problem)
        counts = list(count_all(chosen))
    except (environment.NotPossibleError, ServerError, OSError) as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 1
    if chosen.write:
        save(paths.INSTRUCTIONS, merge(load(paths.INSTRUCTIONS), counts))
        return 0
    return 1 if dearer(counts) else 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.add_argument(
        "--scenario", action="append", choices=SCENARIOS, metavar="NAME", help=", ".join(SCENARIOS)
    )
    p.add_argument("--guarded", action="store_true", help=f"only {', '.join(GUARDED)}")
    p.add_argument("--server", action="append", metavar="NAME", help="instead of tricorn (repeatable)")
    p.add_argument("--source", type=compare.source, metavar="DIR", help="a checkout of Tricorn to count")
    p.add_argument("--write", action="store_true", help=f"store the figures in {paths.INSTRUCTIONS.name}")
    return p


def check_tools() -> None:
    missing = [tool for tool in ("valgrind", "vgdb", "cc") if not shutil.which(tool)]
    if missing:
        raise environment.NotPossibleError(f"{missing[0]} is missing. On Debian: apt install valgrind gcc")


def count_all(chosen: argparse.Namespace) -> Iterator[Count]:
    """Two servers at a time: other work on the machine does not change a count. Prints each."""
    names = chosen.scenario or (GUARDED if chosen.guarded else SCENARIOS)
    jobs = [
        (name, server) for name in names for server in chosen.server or (OWN,) if takes_part(name, server)
    ]
    stored = load(paths.INSTRUCTIONS).get(interpreter(), {})
    enough = [0.0 if chosen.write else most(stored.get(server, {}).get(name)) for name, server in jobs]
    one = partial(attempt, source=str(chosen.source or ""))
    with ThreadPoolExecutor(2) as pool:
        for job, count in zip(jobs, pool.map(one, jobs, enough), strict=True):
            if isinstance(count, Count):
                print(line(count, stored.get(count.server, {}).get(count.scenario)), flush=True)
                yield count
            else:
                print(f"{job[0]:20} {job[1]:12} cannot be counted: {count}", flush=True)


def most(stored: int | None) -> float:
    """What a count may be without being dearer than the stored one."""
    return TOLERANCE * stored if stored else math.inf


def attempt(job: tuple[str, str], enough: float, source: str) -> Count | str:
    """Not every peer runs under valgrind; returns the reason then. Tricorn has to."""
    try:
        return least((count_one(*job, source, filler=size) for size in LAYOUTS), enough)
    except (ServerError, OSError) as error:
        if job[1] == OWN:
            raise
        return str(error)


def least(counts: Iterable[Count], enough: float) -> Count:
    """The least of them; after one that is at most `enough` none is asked for."""
    found = []
    for count in counts:
        found.append(count)
        if count.instructions <= enough:
            break
    return min(found, key=attrgetter("instructions"))


def takes_part(scenario: str, server: str) -> bool:
    return Entry(server) in scenarios.by_name(scenario).entries


def line(count: Count, stored: int | None) -> str:
    text = f"{count.scenario:20} {count.server:12} {count.instructions:10,}"
    return f"{text}  stored {stored:10,}  {count.instructions / stored:.4f}" if stored else text


def dearer(counts: list[Count]) -> list[Count]:
    """The guarded figures of Tricorn that have grown too much; says so."""
    stored = load(paths.INSTRUCTIONS).get(interpreter(), {}).get(OWN, {})
    if not stored:
        print(f"no figures are stored for {interpreter()}: nothing is compared")
    found = [
        c
        for c in counts
        if c.server == OWN and c.scenario in GUARDED and c.instructions > most(stored.get(c.scenario))
    ]
    for c in found:
        print(f"{c.scenario}: more than {TOLERANCE} times the stored figure ({stored[c.scenario]:,})")
    return found


# ---- one server ----


def count_one(
    name: str,
    server: str,
    source: str = "",
    *,
    filler: int = 0,
    requests: int = REQUESTS,
    settings: Mapping[str, str] | None = None,
) -> Count:
    """settings: as variables of the environment."""
    scenario = scenarios.by_name(name)
    entry = Entry(server)
    log = paths.LOGS / f"instructions-{server}-{name}.log".replace(" ", "-")
    log.write_bytes(b"")
    with tempfile.TemporaryDirectory(prefix="bench-instructions-") as directory:
        with Running(
            scenario.server(entry),
            scenario.launch_of(entry),
            log,
            LOOPS,
            source,
            within=(*CALLGRIND, f"--callgrind-out-file={directory}/%p"),
            environment={**ENVIRONMENT, "FILLER": "x" * filler, **(settings or {})},
            patience=PATIENCE,
        ) as running:
            measure.check(scenario, entry, running)
            with Client(scenario, running) as client:
                client.ask(WARM_UP)
                tell(running, "instrumentation on")
                client.ask(WARM_UP)
                tell(running, "zero")
                client.ask(requests)
                tell(running, "dump")
        total = total_of_worker(Path(directory))
    return Count(server, name, round(total / requests))


def tell(running: Running, order: str) -> None:
    """To all processes of the server. One that ends meanwhile, or is not under valgrind, does not hear it."""
    heard = 0
    for pid in proc.tree(running.pid):
        command = ["vgdb", f"--pid={pid}", "--wait=5", *order.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        heard += done.returncode == 0
    if not heard:
        raise ServerError(f"callgrind does not answer: {done.stderr.strip()[-300:]}")


def total_of_worker(directory: Path) -> int:
    """The process that executed most was the worker; a master only waited meanwhile."""
    totals = [total_of(path.read_text(errors="replace")) for path in directory.glob("*.1")]
    if not totals:
        raise ServerError("callgrind wrote no figures")
    return max(totals)


def total_of(dump: str) -> int:
    """The sum in what callgrind wrote. Its `summary` is without what signal handlers executed."""
    found = re.search(r"^totals: (\d+)", dump, re.M)
    if not found:
        raise ServerError(f"no totals in what callgrind wrote: {dump[:200]!r}")
    return int(found[1])


# ---- the client ----


class Client:
    """One connection on which one thing is asked again and again, each time when the server sleeps."""

    def __init__(self, scenario: Scenario, server: Running) -> None:
        self._server = server
        self._socket = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._message = scenario.message
        if scenario.message:
            frame = wsload.frame(scenario.message)
            self._request = frames.masked(frame)
            self._socket.sendall(frames.handshake(frame.compressed))
            frames.read_head(self._socket)
        else:
            self._request = openload.request(scenario)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, times: int) -> None:
        with proc.Sleepers(self._server.pid) as sleepers:
            for _ in range(times):
                sleepers.wait(PATIENCE)
                self._exchange()

    def _exchange(self) -> None:
        self._socket.sendall(self._request)
        if self._message:
            frames.read_message(self._socket)
        else:
            read_response(self._socket)


def read_response(sock: socket.socket) -> bytes:
    """The body of a response with a Content-Length."""
    answer = b""
    while frames.HEAD_END not in answer:
        answer += read_some(sock)
    head, _, body = answer.partition(frames.HEAD_END)
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    if not head.startswith(b"HTTP/1.1 200 ") or not length:
        raise ServerError(f"not a response of known length: {head[:200]!r}")
    while len(body) < int(length[1]):
        body += read_some(sock)
    return body


def read_some(sock: socket.socket) -> bytes:
    piece = sock.recv(65536)
    if not piece:
        raise ServerError("closed the connection")
    return piece


# ---- what is stored ----


def interpreter() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def load(path: Path) -> Figures:
    figures: Figures = json.loads(path.read_text()) if path.exists() else {}
    return figures


def merge(figures: Figures, counts: list[Count]) -> Figures:
    for count in counts:
        figures.setdefault(interpreter(), {}).setdefault(count.server, {})[count.scenario] = (
            count.instructions
        )
    return figures


def save(path: Path, figures: Figures) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    os.replace(beside, path)


if __name__ == "__main__":
    sys.exit(main())
