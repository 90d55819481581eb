"""Each system call of each response fails in turn, and the client can always tell what it has.

Every path of a response is first run undisturbed, which tells the calls that it makes and what the client
receives. Then each of them fails, in each way that it can. What cannot break a request (a call that does part
of its work, is interrupted, finds nothing to do, or could be left out) must not be seen; of anything else the
client sees a response that ends early, an error response, or a connection without one. Never a second head,
never a response that looks complete and is not, never silence. And the worker goes on with as many
descriptors as before.

A part of all faults is run, chosen by FAULT_SEED (any text); FAULTS=all runs them all.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import random
from collections.abc import Iterator, Sequence

import pytest
from faults.judge import Stream, is_whole, what_is_wrong
from faults.paths import BUSY_PATHS, LAST, NOTHING, PATHS, Path
from faults.plan import Fault
from faults.served import Faulty, Servers, Steps
from harness.axes import FREQUENT, KINDS_OF

EVERYTHING = os.environ.get("FAULTS") == "all"
SEED = os.environ.get("FAULT_SEED", "1")
#: Faults of one path on one kind of worker that are run by default.
SAMPLE = 5

#: From the call of the application on, so many allocations are tried.
MOST_ALLOCATIONS = 150

#: Call → in which ways it may fail without harm, and with. A number of bytes is part of its work.
AGAIN, INTERRUPTED = errno.EAGAIN, errno.EINTR
PARTS = (1, 7, 1000)
HARMLESS: dict[str, tuple[int, ...]] = {
    "recv": (AGAIN, INTERRUPTED),
    "send": (AGAIN, INTERRUPTED),
    "sendmsg": (AGAIN, INTERRUPTED),
    "sendfile": (AGAIN, INTERRUPTED),
    "accept4": (AGAIN, INTERRUPTED, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS),
    "epoll_wait": (INTERRUPTED,),
    "setsockopt": (errno.EINVAL,),
    "shutdown": (errno.ENOTCONN,),
    "write": (INTERRUPTED,),
    "read": (INTERRUPTED,),
    "open": (INTERRUPTED,),
}
HARMFUL: dict[str, tuple[int, ...]] = {
    "recv": (errno.ECONNRESET, errno.ETIMEDOUT),
    "send": (errno.EPIPE, errno.ECONNRESET, errno.ENOBUFS, errno.ENOMEM),
    "sendmsg": (errno.EPIPE, errno.ECONNRESET, errno.ENOBUFS, errno.ENOMEM),
    "sendfile": (errno.EPIPE, errno.EIO, errno.EINVAL, errno.ENOMEM),
    "epoll_ctl": (errno.ENOMEM, errno.ENOSPC),
    "dup": (errno.EMFILE,),
    "open": (errno.EMFILE, errno.ENOSPC, errno.EACCES),
    "fstat": (errno.EIO,),
    "lseek": (errno.EIO,),
    "read": (errno.EIO,),
    "write": (errno.ENOSPC, errno.EIO),
}
SHORT = ("recv", "send", "sendmsg", "sendfile", "read", "write")


def faults(counts: dict[str, int]) -> Iterator[tuple[Fault, bool]]:
    """All of them for a path that makes so many calls; and whether it can do harm."""
    for call, count in counts.items():
        for nth in range(1, count + 1):
            yield from ((Fault(call, nth, error), False) for error in HARMLESS.get(call, ()))
            yield from ((Fault(call, nth, error), True) for error in HARMFUL.get(call, ()))
            if call in SHORT:
                yield from ((Fault(call, nth, part=part), False) for part in PARTS)
        if call in SHORT:
            yield Fault(call, 1, part=3000, times=1_000_000), False
        if call in ("send", "sendmsg", "sendfile"):
            yield Fault(call, 1, AGAIN, times=5), False


def chosen(counts: dict[str, int], seed: str) -> list[tuple[Fault, bool]]:
    every = list(faults(counts))
    return every if EVERYTHING else random.Random(seed).sample(every, min(SAMPLE, len(every)))


CASES = [
    pytest.param(path, kind, id=f"{name}-{kind}")
    for name, path in (PATHS | BUSY_PATHS).items()
    for interface in path.interfaces
    for kind in KINDS_OF[interface]
]


@pytest.mark.parametrize(("path", "kind"), CASES)
def test_the_client_can_tell(faulty: Servers, path: Path, kind: str, wire: str) -> None:
    server = faulty(kind, wire, path.options)
    with server.busy() if path.busy else contextlib.nullcontext():
        reference = server.exchange(path.steps, None)
        assert b"\r\n\r\n" in reference.data
        assert not reference.reset
        complaints = {
            str(fault): complaint
            for fault, harmful in chosen(server.plan.counts, f"{SEED} {path} {kind}")
            if (complaint := maybe_complaint(server, path, reference, fault, harmful))
        }
    assert not complaints, server.server.log()[-3000:]


def maybe_complaint(
    server: Faulty, path: Path, reference: Stream, fault: Fault | None, harmful: bool
) -> str | None:
    try:
        got = server.exchange(path.steps, fault)
    except AssertionError as error:
        return str(error)
    if harmful:
        return what_is_wrong(got, reference, path.method, path.by_close)
    if is_whole(got, reference):
        return None
    return f"{len(got.data)} bytes of {len(reference.data)}, reset: {got.reset}, {got.data[:300]!r}"


def _calls_twice(path: Path) -> bool:
    """Whether a second request tells the application that no more allocations are to fail."""
    return not path.is_ours and path.steps[-1][0].endswith(LAST)


def failing(steps: Steps, number: int) -> Steps:
    """The same, with the wish that the application fulfils."""
    (request, mark), *others = steps
    return [(request.replace(b"\r\n\r\n", b"\r\nX-Fail: %d\r\n\r\n" % number, 1), mark), *others]


#: Not on green threads: greenlet itself ends the process where it has no memory to move a stack away.
WITHOUT_MEMORY = [case for case in CASES if _calls_twice(case.values[0]) and case.values[1] in FREQUENT]


@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="this CPython has no _testcapi")
@pytest.mark.parametrize(("path", "kind"), WITHOUT_MEMORY)
def test_memory_that_is_not_there(faulty: Servers, path: Path, kind: str, wire: str) -> None:
    """An allocation of the application, the interpreter or the server fails while the response is made."""
    server = faulty(kind, wire, path.options)
    reference = server.exchange(path.steps, None)
    numbers: Sequence[int] = range(MOST_ALLOCATIONS)
    if not EVERYTHING:
        numbers = random.Random(f"{SEED} {path} {kind}").sample(numbers, SAMPLE)
    complaints = {}
    for number in numbers:
        failed = Path(failing(path.steps, number), path.interfaces, path.method, path.by_close)
        mark = server.server.log_mark()
        complaint = maybe_complaint(server, failed, reference, None, harmful=True)
        if "Exception in callback" in server.server.log(mark):
            # The event loop itself had no memory for a callback: it says so, and the task goes no further.
            server.restart()
        elif complaint:
            complaints[number] = f"{complaint}\n{server.server.log(mark)[-2000:]}"
            server.restart()
        else:
            server.exchange([(LAST, NOTHING)], None)  # where the failure has not come yet, it is called off
    assert not complaints
