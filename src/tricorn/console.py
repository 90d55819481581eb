"""The command's standard streams, and how it exits.

Knows: descriptors 0 to 2, exit codes. Must not know: what is said, why the command ends.
"""

from __future__ import annotations

import os
import sys

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_CONFIG = 2

#: What shells say of a program that Ctrl-C has ended.
EXIT_INTERRUPTED = 130

#: By descriptor: what it is called, where Python has it, how it is opened.
STANDARD_STREAMS = (
    ("standard input", "stdin", "r"),
    ("standard output", "stdout", "w"),
    ("standard error", "stderr", "w"),
)


def fill_standard_streams() -> list[str]:
    """Put /dev/null where a standard stream is closed; gives the names of those. Otherwise the next socket
    would take its number, and get what is printed, and Python would have None for a stream."""
    closed = []
    for fd, (words, name, mode) in enumerate(STANDARD_STREAMS):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one, since those below are open
            os.set_inheritable(fd, True)
            closed.append(words)
        if getattr(sys, name) is None:
            stream = open(fd, mode, errors="backslashreplace", closefd=False)  # noqa: SIM115 - for ever
            setattr(sys, name, stream)
    return closed


def give_up_standard_output() -> None:
    """The flush at the end of the interpreter must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def show(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        give_up_standard_output()  # the reader (`| head`) has seen enough
    except OSError as error:
        give_up_standard_output()
        complain("error", f"cannot write to the standard output: {error.strerror}")
        return EXIT_FAILURE
    return EXIT_OK


def complain(severity: str, text: str) -> None:
    print(f"tricorn: {severity}: {text}", file=sys.stderr)
