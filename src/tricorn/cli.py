"""The command `tricorn`: its first words, --help and --version.

Knows: what there is to say without a server. Must not know: how anything is served (launch.py). Nobody knows
this file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from tricorn.commands.table import Service, maybe_command, maybe_service, summaries
from tricorn.config.commandline import maybe_words
from tricorn.console import EXIT_FAILURE, fill_standard_streams, show


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 all well, 1 something failed, 2 a setting is wrong, 3 no application to serve.

    Without `argv` it is the command itself: the process is its to end, and it does not return, unless it has
    only something to say, or the first word is a command (`tricorn ctl`), which has exit codes of its own.
    """
    words = sys.argv[1:] if argv is None else argv
    if (run_command := maybe_command(words)) is not None:
        return run_command(words[1:])
    closed = fill_standard_streams()
    service = maybe_service(words)
    if (text := maybe_text(words, service)) is not None:
        return show(text)
    if argv is not None:
        return launched(words, closed, service)
    # Imported here, as everything of the server: --help does not wait for it.
    from tricorn.arbiter.farewell import leave
    from tricorn.arbiter.signals import brace

    brace()
    try:
        code = launched(words, closed, service)
    except BaseException:  # noqa: BLE001 - whatever it was, threads of foreign code must not keep the process
        import traceback

        traceback.print_exc()
        code = EXIT_FAILURE
    return leave(code)


def maybe_text(words: Sequence[str], service: Service | None) -> str | None:
    """What there is to say, if that is all that is asked for."""
    if service is not None:
        return service.maybe_words(words[1:])
    return maybe_words(words, summaries(), about_http2)


def about_http2() -> str:
    from tricorn.workers.protocols import maybe_library

    library = maybe_library()
    return f"HTTP/2: {library}" if library else "HTTP/2: not built (libnghttp2 was not found)"


def launched(words: Sequence[str], closed: Sequence[str], service: Service | None) -> int:
    """closed: standard streams that were."""
    from tricorn.launch import Launch, carry_out

    read = None if service is None else partial(service.read, tuple(words[1:]))
    return carry_out(Launch(words, closed, read))
