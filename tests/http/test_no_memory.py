"""No memory for a traceback, while an exception is dealt with: the process goes on.

What Cython makes of `return` in an except clause does not (tests/architecture/test_handlers.py). Here it is
tried out where the engine expects exceptions.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import zlib
import _testcapi
from fuzz.frames import CLOSE, TEXT, masked
from tricorn.http.websocket import Deflate, Failed, FrameStream

BROKEN = {
    "a text that is no UTF-8": (masked(TEXT, b"\\xff\\xfe"), None),
    "a reason that is no UTF-8": (masked(CLOSE, b"\\x03\\xe8\\xff"), None),
    "what zlib refuses": (masked(TEXT, b"\\xff" * 20, rsv=4), Deflate),
}
for what, (data, deflate) in BROKEN.items():
    outcomes = set()
    for number in range(-1, 100):
        stream = FrameStream(0, deflate and deflate())
        if number >= 0:     # once without, for what is made only once
            _testcapi.set_nomemory(number, number + 1)
        try:
            told = stream.feed(data)
        except MemoryError as error:
            told = [error]
        finally:
            _testcapi.remove_mem_hooks()
        outcomes.add(type(told[0]).__name__)
    print(what, *sorted(outcomes), sep="; ")
"""


@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="this CPython has no _testcapi")
def test_the_process_goes_on() -> None:
    tests = Path(__file__).parent.parent
    path = os.pathsep.join(filter(None, (str(tests), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("Failed" in line for line in lines), done.stdout
