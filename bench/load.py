"""Running one of the loads that are written in C (`load.h`).

It says when its connections are open, is told for how long it shall drive them, and says in the words of wrk
what came of it."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import wrk
from bench.process import CLIENT_CORE
from bench.wrk import WrkError, WrkResult

PATIENCE = 30.0


@contextmanager
def connected(program: Path, *arguments: object) -> Iterator[Callable[[float], WrkResult]]:
    """All connections are open; what it gives drives them for so many seconds."""
    command = ["taskset", "-c", str(CLIENT_CORE), str(program), *map(str, arguments)]
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
    raise WrkError(f"the load ended early: {text.strip()[-300:]}")
