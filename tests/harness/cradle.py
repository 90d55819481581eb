"""The process from which servers of tests are forked: it has imported what each of them would import first.

    python cradle.py DESCRIPTOR MODULE ...

Knows: processes, descriptors, what an interpreter does before it runs a module or a script. Must not know:
what that is. The other side is nursery.py.

An order comes as one message over the socket DESCRIPTOR, with the descriptors that the new process gets. That
answers with its number, once it is as `subprocess.Popen` would have made it. It is the child of whoever gives
the orders: the process between the two forks ends at once, and the other side adopts what it leaves behind.

Of the modules only `tricorn.log.outlets` does something when it is imported that belongs to a process: it
makes a pair of sockets. What it has for a process that becomes another one undoes that.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from setproctitle import setproctitle

#: More than an order has: the arguments, and the environment.
LONGEST = 1 << 18
MOST_DESCRIPTORS = 32
#: From here on numbers of descriptors are this process's own; those below are for servers.
OURS = 500


def main() -> None:
    control = socket.socket(fileno=fcntl.fcntl(int(sys.argv[1]), fcntl.F_DUPFD_CLOEXEC, OURS))
    os.close(int(sys.argv[1]))
    if not sys.flags.safe_path:
        del sys.path[0]  # the directory of this file
    with descriptors_from(OURS):
        for module in sys.argv[2:]:
            importlib.import_module(module)
    # The space for a title is that of the arguments and the environment, as they are now.
    setproctitle(f"cradle: {' '.join(sys.argv[2:])}")
    gc.collect()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, LONGEST, MOST_DESCRIPTORS)
        if not message:
            return
        if forked_for(os.getppid()):
            break
        for fd in descriptors:
            os.close(fd)
    order = json.loads(message)
    become(control, order, descriptors)
    run(order["words"])


@contextmanager
def descriptors_from(number: int) -> Iterator[None]:
    """What is opened meanwhile has a higher one."""
    taken = [os.open(os.devnull, os.O_RDONLY)]
    while taken[-1] < number:
        taken.append(os.dup(taken[0]))
    yield
    for fd in taken:
        os.close(fd)


def forked_for(parent: int) -> bool:
    """True in a new process, which is a child of `parent` as this one is."""
    middle = os.fork()
    if middle != 0:
        os.waitpid(middle, 0)
        return False
    here = os.getpid()
    if os.fork() != 0:
        os._exit(0)
    while os.getppid() == here:
        time.sleep(0.00005)
    if os.getppid() != parent:
        os._exit(1)  # the tests are over
    return True


def become(control: socket.socket, order: Mapping[str, Any], descriptors: list[int]) -> None:
    """What fork, the steps before exec, and the start of an interpreter would have made of this process."""
    try:
        if order["new_session"]:
            os.setsid()
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["environ"])
        time.tzset()
        take(descriptors, order["numbers"])
        outlets = sys.modules.get("tricorn.log.outlets")
        if outlets is not None:
            outlets.start_afresh()
    except BaseException as error:  # noqa: BLE001 - it is told
        control.send(repr(error).encode())
        os._exit(1)
    control.send(str(os.getpid()).encode())
    control.close()


def take(descriptors: Iterable[int], numbers: list[int]) -> None:
    """Give them these numbers. First they go out of the way, since one may have another's."""
    moved = []
    for fd in descriptors:
        moved.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, OURS))
        os.close(fd)
    for fd, number in zip(moved, numbers, strict=True):
        os.dup2(fd, number)
        os.close(fd)


def run(words: list[str]) -> None:
    """As `python -m MODULE …` or `python SCRIPT …` does."""
    setproctitle(" ".join(words))
    sys.orig_argv[:] = words
    is_module = words[1] == "-m"
    sys.argv[:] = words[2:] if is_module else words[1:]
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd() if is_module else os.path.dirname(words[1]))
    if is_module:
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(words[1], run_name="__main__")


if __name__ == "__main__":
    main()
