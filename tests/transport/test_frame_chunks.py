"""The memory of frames that one thread keeps (transport/frame_chunks.pyx).

In processes of their own: once asked for, it stays.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, threading
from greenlet import getcurrent, greenlet
from tricorn.transport.frame_chunks import keep_frame_chunks

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def one_after_the_other(number):
    for _ in range(number):
        greenlet(lambda: None).switch()
    before = faults()
    for _ in range(number):
        greenlet(lambda: None).switch()
    return faults() - before

def deep(depth, mark):
    # Over several chunks, with somebody else's turn at the bottom and on the way back.
    here = [mark, depth]
    if depth == 0:
        main.switch()
        return mark
    found = deep(depth - 1, mark)
    if depth % 50 == 0:
        main.switch()
    assert here == [mark, depth] and found == mark, (here, found)
    return found

def many(number, depth):
    greenlets = [greenlet(lambda mark=mark: done.append(deep(depth, mark))) for mark in range(number)]
    done = []
    while any(not each.dead for each in greenlets):
        for each in greenlets:
            each.switch()
    return sorted(done) == list(range(number))

def aside(do):
    found = []
    thread = threading.Thread(target=lambda: found.append(do()))
    thread.start()
    thread.join()
    return found[0]

main = getcurrent()
"""

CHECKS = {
    "kept": "assert one_after_the_other(500) < 100",
    "more than are kept": "assert many(400, 3) and many(400, 3)",
    "deep": "assert many(30, 400) and many(30, 400)",
    "asked for twice": "keep_frame_chunks(); assert one_after_the_other(500) < 100",
    "another keeps none": "aside(keep_frame_chunks); assert aside(lambda: one_after_the_other(500)) >= 500",
    "threads come and go": "[aside(lambda: sum(range(9))) for _ in range(300)]; assert many(30, 100)",
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_frames_have_the_memory_that_they_need(check: str) -> None:
    program = f"{PROGRAM}keep_frame_chunks()\n{check}\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
