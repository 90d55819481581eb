"""Whether work is linear in its bytes, told on a busy machine.

Knows: processor time, numbers. Must not know: what is measured.

Two sizes are measured in turn, again and again, and the least of each counts: other processes and cold caches
only ever add. The test passes with the first round in which ratio and price are small enough, so a quiet
machine needs few. Quadratic work never gets there: twice the bytes are four times the time.

From some size on the C library takes memory from the kernel anew each time, and how large that is depends on
what a process did before: such a step lies between two sizes only, so where they fail the next smaller pair
decides.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable

#: Twice the bytes may take so many times the time.
RATIO = 2.6
ROUNDS = 25
#: What `_work` takes on the machine that the bounds were found on, in seconds.
USUAL = 0.01
#: What one measurement takes at least; below it the clock is too coarse.
SHORTEST = 0.001


def assert_linear(cost: Callable[[int], float], size: int, bound: float) -> None:
    """`cost(n)` measures the seconds that n bytes take. `size` bytes are compared with twice as many, and, if
    need be, with half as many.

    bound: seconds that a byte may take. Generous; the ratio alone does not see what is slow and linear. On a
        machine that is slow at the moment it may take as much longer as something else does.
    """
    once, twice = _least(cost, size, bound)
    if twice >= bound * 2 * size:
        bound *= max(1, processor_seconds(_work) / USUAL)
    told = f"{size} bytes: {once * 1e6:.1f} µs, {2 * size} bytes: {twice * 1e6:.1f} µs"
    assert twice < bound * 2 * size, f"a byte costs more than {bound * 1e9:.0f} ns: {told}"
    if twice >= RATIO * once:
        half, whole = _least(cost, size // 2, bound)
        told += f"; {size // 2} bytes: {half * 1e6:.1f} µs, {size}: {whole * 1e6:.1f} µs"
        assert whole < RATIO * half, f"work is not linear: {told}"


def _least(cost: Callable[[int], float], size: int, bound: float) -> tuple[float, float]:
    """The least that so many bytes have cost, and twice as many."""
    once = twice = float("inf")
    for _ in range(ROUNDS):
        once = min(once, cost(size))
        twice = min(twice, cost(2 * size))
        if twice < min(RATIO * once, bound * 2 * size):
            break
    return once, twice


def _work() -> None:
    """Something that takes instructions and memory."""
    found = {}
    for number in range(20_000):
        found[str(number)] = number


def processor_seconds(work: Callable[[], object]) -> float:
    """Of one call, in this process; without the collector, whose work is not linear."""
    times = 1
    gc.disable()
    try:
        while True:
            start = time.process_time()
            for _ in range(times):
                work()
            spent = time.process_time() - start
            if spent >= SHORTEST:
                return spent / times
            times *= 10 if spent < SHORTEST / 10 else 2
    finally:
        gc.enable()


def processor_ns(pid: int) -> int:
    """Of all threads of a process, whether they run or have ended (proc(5), schedstat)."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


def settled_ns(pid: int) -> int:
    """The same, once it is done with what it does behind the response."""
    spent = -1
    while (now := processor_ns(pid)) != spent:
        spent = now
        time.sleep(0.002)
    return spent
