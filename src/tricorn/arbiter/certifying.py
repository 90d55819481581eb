"""The certificates of generations: read for a new one, renewed while it serves, reported in the log.

Knows: which settings name certificates, that the function of `ssl_context` is foreign code. Must not know:
what is in a certificate (tls/), when a generation is made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tricorn.arbiter.children import Generation
from tricorn.arbiter.foreign import SSL_CONTEXT, ForeignCode
from tricorn.arbiter.signals import Interrupted
from tricorn.config.settings import Settings
from tricorn.tls import rules

if TYPE_CHECKING:
    from tricorn.tls.renewal import Renewal

T = TypeVar("T")

log = logging.getLogger("tricorn.error")


class Certifier:
    def __init__(self, foreign: ForeignCode) -> None:
        self._foreign = foreign

    def first(self, settings: Settings, end: Callable[[int], object]) -> Renewal | None:
        """For the first generation. end: of the process, when it is told to stop meanwhile. Raises
        ConfigError."""
        if settings.ssl_context is None:
            return certificates_for(settings)
        return self._foreign.run_watched(SSL_CONTEXT, partial(certificates_for, settings), end)

    def again(self, settings: Settings, previous: Generation | None) -> Renewal | None:
        """For a later one. Raises ConfigError. Interrupted: told to stop."""
        return self._guarded(settings, partial(certificates_for, settings, previous))

    def attend(self, generations: Iterable[Generation]) -> None:
        """Renew what is due. Of older generations too: a reload that fails goes back to them."""
        for generation in generations:
            certificates = generation.certificates
            if certificates is None or not certificates.is_due(time.monotonic()):
                continue
            # Interrupted: the signal is in the pipe, and the loop obeys it in its next turn.
            with suppress(Interrupted):
                renew = partial(certificates.attend, time.monotonic(), datetime.now(UTC))
                self._guarded(generation.settings, renew)

    def _guarded(self, settings: Settings, call: Callable[[], T]) -> T:
        """What may call the function of ssl_context. Interrupted: told to stop."""
        if settings.ssl_context is None:
            return call()
        return self._foreign.run_interruptible(SSL_CONTEXT, call)


def certificates_for(settings: Settings, previous: Generation | None = None) -> Renewal | None:
    """None: nobody wants any. Raises ConfigError."""
    if not rules.is_wanted(settings):
        return None
    # Imported here: a server without TLS does not wait for ssl, nor hold it in memory.
    from tricorn.tls.renewal import certificates_for as read

    return read(settings, None if previous is None else previous.certificates)


def report(certificates: Renewal | None) -> None:
    for remark in certificates.tls.remarks(datetime.now(UTC)) if certificates else ():
        log.log(logging.WARNING if remark.is_warning else logging.INFO, "%s", remark.text)
