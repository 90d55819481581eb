"""Programs that start at the same moment, and each say in one line what became of that.

A program prints "here", reads a line, does what all of them want to do, and prints the result; who has got it
keeps it until it reads another line.

Knows: processes. Must not know: what is wanted.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

Start = subprocess.Popen[str]


@contextmanager
def at_once(code: str, *words: str, count: int) -> Iterator[tuple[list[Start], list[str]]]:
    """So many processes of this program with these arguments, and the line that each has said. What is left
    of them is killed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    starts = [subprocess.Popen([sys.executable, "-c", code, *words], **pipes) for _ in range(count)]
    try:
        for start in starts:
            assert start.stdout.readline() == "here\n"
        for start in starts:
            start.stdin.write("go\n")
            start.stdin.flush()
        yield starts, [start.stdout.readline() for start in starts]
    finally:
        for start in starts:
            start.kill()
            start.communicate()
