"""Servers that need not be started, since it is not their start that is tested: they are forked.

    process = maybe_forked(words, imports_of(words), environ=…, cwd=…, descriptors={1: log, 2: log}, …)

Knows: processes; which modules of Tricorn's a command imports. Must not know: what servers do.

Four fifths of the processor time of a start is the interpreter's and that of imports, which are the same each
time. So each process of pytest keeps, for each set of modules, one that has them behind it (cradle.py), and
servers are forked from that. Such a server is a real one: its own process and session, with the arguments,
the environment, the descriptors and the parent that `subprocess.Popen` would have given it; test_nursery.py
compares the two. What is about a start itself, or about what an interpreter reads when it starts, is started.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.patience import PATIENCE
from tricorn.kinds import WSGI, maybe_kind, usual

CRADLE = Path(__file__).with_name("cradle.py")

#: Until an order is carried out, seconds; the first waits for the imports.
DEADLINE = 20.0 * PATIENCE

#: What interpreter and libraries read when they start: with another of these, a server has to be started.
READ_EARLY = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "ASAN_", "UBSAN_", "OPENSSL", "SSL_")

#: Descriptors from here on are the cradle's own.
OURS = 500

#: What a master imports in any case.
ALWAYS = (
    *("tricorn.cli", "tricorn.launch", "tricorn.arbiter.arbiter", "tricorn.arbiter.upgrade"),
    "tricorn.workers.registry",
)

PR_SET_CHILD_SUBREAPER = 36
#: Whether a child has ended; it stays to be waited for.
LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Process:
    """A child of this process, with that part of `subprocess.Popen` which tests use."""

    stdin = None

    def __init__(self, pid: int, args: Sequence[str]) -> None:
        self.pid = pid
        self.args = list(args)
        self.returncode: int | None = None
        self._ended = os.pidfd_open(pid)  # is readable then
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None and os.waitid(os.P_PIDFD, self._ended, LOOK) is not None:
                self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                os.close(self._ended)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        while (code := self.poll()) is None:
            if not self._is_over_within(timeout):
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _is_over_within(self, timeout: float | None) -> bool:
        poll = select.poll()
        with self._lock:
            if self.returncode is not None:
                return True
            ended = os.dup(self._ended)  # another thread may close it meanwhile
        try:
            poll.register(ended, select.POLLIN)
            return bool(poll.poll(None if timeout is None else timeout * 1000))
        finally:
            os.close(ended)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def maybe_forked(
    words: Sequence[str],
    modules: Sequence[str],
    *,
    environ: Mapping[str, str],
    cwd: str | os.PathLike[str],
    descriptors: Mapping[int, int],
    new_session: bool,
) -> Process | None:
    """A process as `python -m MODULE …` or `python SCRIPT …` would be; None if it has to be started.

    modules: what it would import in any case, before it does anything else.
    descriptors: all that it gets, by the numbers that they have there.
    """
    if words[0] != sys.executable or _read_early(environ) != _read_early(os.environ):
        return None
    if "LD_PRELOAD" in environ or max(descriptors) >= OURS:  # what is loaded so may count forks: tests/chaos
        return None
    key = (tuple(modules), _surroundings())
    cradle = _cradles.get(key)
    if cradle is None:
        cradle = _cradles[key] = _Cradle(modules)
    order = {
        "words": list(words),
        "environ": dict(environ),
        "cwd": os.fspath(cwd),
        "numbers": list(descriptors),
        "new_session": new_session,
    }
    return Process(cradle.fork(order, list(descriptors.values())), words)


def imports_of(words: Sequence[str]) -> tuple[str, ...]:
    """What a master that `python -m tricorn …` starts imports before it forks anything."""
    modules = ALWAYS
    kind = maybe_kind(_value_of("--worker-class", words)) or usual(WSGI)
    if isinstance(kind.serve, str):
        modules += (kind.serve.partition(":")[0],)
    return (*modules, "tricorn.tls.renewal") if _value_of("--certfile", words) else modules


def _value_of(option: str, words: Sequence[str]) -> str:
    """The last one, as on any command line; empty if there is none."""
    value = ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            value = following
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value


def _read_early(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(READ_EARLY)}


def _surroundings() -> tuple[Any, ...]:
    """What a child inherits beside what an order says. A test may change it for a while."""
    early = tuple(sorted(_read_early(os.environ).items()))
    limits = tuple(resource.getrlimit(which) for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE))
    return early, limits, frozenset(os.sched_getaffinity(0))


class _Cradle:
    """The process that forks them. It ends when nobody has the other end of its socket any more."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(DEADLINE)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(CRADLE), str(theirs.fileno()), *modules],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a Ctrl-C is for the tests
            )

    def fork(self, order: Mapping[str, Any], descriptors: list[int]) -> int:
        """The number of the new process, which is our child."""
        with self._lock, _adopting():
            try:
                socket.send_fds(self._control, [json.dumps(order).encode()], descriptors)
                answer = self._control.recv(1 << 16).decode()
            except OSError as error:  # it has ended, or hangs: the log says over what
                answer = str(error)
        if not answer.isdigit():
            said = os.pread(self._log.fileno(), 1 << 16, 0).decode("utf-8", "replace")
            raise AssertionError(f"{order['words']} could not be forked: {answer}\n{said}")
        return int(answer)

    def end(self) -> None:
        self._control.close()
        self._process.kill()  # a server that was forked from this process may have the socket, too
        self._process.wait()
        self._log.close()


_cradles: dict[tuple[Any, ...], _Cradle] = {}


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Meanwhile, whatever one of our descendants leaves behind is our child (prctl(2))."""
    _set_adopting(True)
    try:
        yield
    finally:
        _set_adopting(False)


def _set_adopting(wanted: bool) -> None:
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, wanted, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


_libc = ctypes.CDLL(None, use_errno=True)


def end_cradles() -> None:
    while _cradles:
        _cradles.popitem()[1].end()
