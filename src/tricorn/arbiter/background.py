"""Into the background (`daemon`): the command waits until the server is ready, and says so if it cannot be.

    the command                                 the server
    checks the settings, opens the logs
    fork                                    →   a session of its own, without a terminal
    waits                                       starts as it always does
    ends with 0                             ←   ready
    shows the reason, ends with its code    ←   an error, or its end

So whoever started it knows how that went, as with a server in the foreground. One fork is enough: the server
leads its session, but only who opens a terminal could get one, and workers, which run foreign code, do not
lead it.

Knows: processes, sessions, standard streams, where the error log is. Must not know: what the server does.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tricorn import forks
from tricorn.arbiter.signals import STOPS, blocked, signal_name
from tricorn.handover import EXIT_FAILURE, EXIT_OK
from tricorn.records import dataclass

READY = b"ready"
#: Of the log, what the terminal gets to see of a start that failed, lines.
SHOWN = 60


@dataclass
class Starter:
    """The server's end of the pipe to the command that has started it, while that waits."""

    fd: int

    def ready(self) -> None:
        self._tell(READY)
        self.forget()

    def failed(self, text: str) -> None:
        """Why the server ends, for the terminal."""
        self._tell(text.encode("utf-8", "backslashreplace"))

    def forget(self) -> None:
        """Also in each process that is forked from here: the end of the server has to be the end of file."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _tell(self, data: bytes) -> None:
        with suppress(BrokenPipeError):  # it was killed, and nobody wants to know
            if self.fd >= 0:
                os.write(self.fd, data)


def enter(log: Path | None, *, keeps_streams: bool) -> Starter:
    """Go on as the server, in the background. The command itself waits in here, and ends here.

    log: the error log, if it is a file. keeps_streams: standard output and error stay where they are, unless
    that is a terminal.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a configuration file may have put anything in its place
            stream.flush()  # once, not in both processes
    begin = _size(log)
    reader, writer = os.pipe()
    # As for a worker: a signal in between would run the handlers of the other process.
    with blocked(), forks.of_our_own():
        pid = os.fork()
        if pid:
            os.close(writer)
            told = _pass_on_stops(pid)
    if pid:
        _leave(*_wait(pid, reader, told, log, begin))
    os.close(reader)
    os.setsid()
    _let_go_of_streams(keeps_streams)
    starter = Starter(writer)
    os.register_at_fork(after_in_child=starter.forget)
    return starter


# ---- the server ------------------------------------------------------------------------------------------


def _let_go_of_streams(keeps_streams: bool) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    for fd in (1, 2):
        if not keeps_streams or os.isatty(fd):
            os.dup2(nowhere, fd)
    os.close(nowhere)


# ---- the command -----------------------------------------------------------------------------------------


def _pass_on_stops(pid: int) -> list[int]:
    """Have Ctrl-C and the like stop the server, of which this process is all that the user sees; gives the
    list of those that came."""
    told: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in STOPS:
        signal.signal(number, pass_on)
    return told


def _wait(pid: int, reader: int, told: list[int], log: Path | None, begin: int) -> tuple[int, str]:
    """The exit code of the command, and what is to be said."""
    heard = b""
    while piece := os.read(reader, 65536):
        heard += piece
    if heard == READY:
        return EXIT_OK, ""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if told:
        return 128 + told[0], f"{signal_name(told[0])}: stopped before the server was ready"
    how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with code {code}"
    # Whoever ended it with TERM made it end well, and yet it is not there.
    code = code if code > 0 else EXIT_FAILURE
    if heard:
        return code, heard.decode("utf-8", "backslashreplace")
    said = _lines_since(log, begin)
    where = f"; {log} says:\n{said}" if said else ""
    return code, f"the server {how} before it was ready{where}"


def _leave(code: int, said: str) -> NoReturn:
    """Without exit hooks, which would clear away what the server uses: a configuration file is a program."""
    if said:
        with suppress(OSError):
            print(f"tricorn: error: {said}", file=sys.stderr, flush=True)
    os._exit(code)


def _size(log: Path | None) -> int:
    with suppress(OSError):
        if log is not None:
            return log.stat().st_size
    return 0


def _lines_since(log: Path | None, begin: int) -> str:
    with suppress(OSError):
        if log is not None and log.is_file():
            with log.open("rb") as file:
                file.seek(begin)
                lines = file.read().decode("utf-8", "backslashreplace").splitlines()
                return "\n".join(lines[-SHOWN:])
    return ""
