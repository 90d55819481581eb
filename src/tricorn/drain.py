"""Whether this worker drains: one fact, which the application may ask for.

    import tricorn

    while not tricorn.draining():
        yield next_event()

Knows: one flag of this process. Must not know: why a worker drains, who tells it to, what then happens.
"""

from __future__ import annotations

_draining = False


def draining() -> bool:
    """True once this worker finishes its requests and then ends, so that what could go on for ever should end
    now. False in any process that is no worker. May be called from any thread, as often as you like."""
    return _draining


def begin() -> None:
    """The worker says so."""
    global _draining
    _draining = True
