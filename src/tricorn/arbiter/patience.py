"""How long a start waits for an address that somebody else has, or that is not there yet.

Knows: who listens at an address, what processes of ours are called, how long workers may drain. Must not
know: how it is tried again, what becomes of a start that waits in vain.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tricorn.arbiter import administration, attendant
from tricorn.arbiter.spawn import process_title
from tricorn.config.settings import Settings
from tricorn.net.holders import Holder, holders_of
from tricorn.net.listener import ListenError

log = logging.getLogger("tricorn.error")

#: Seconds: a predecessor that is just ending is gone by then, and an interface up. Gunicorn waits as long.
ADDRESS_PATIENCE = 5.0

#: The same while workers have it whose master was killed: as long as they may drain, and some time to end in.
#: Where draining has no limit the wait has this one.
ORPHAN_FAREWELL = 6.0
ORPHAN_PATIENCE = 60.0


def patience_over(error: ListenError, settings: Settings) -> float:
    """How long to wait for the address, seconds. Says so, and whom for."""
    if error.taken is None:
        log.warning("%s: waiting up to %.0f s for it", error, ADDRESS_PATIENCE)
        return ADDRESS_PATIENCE
    holders = holders_of(error.taken.address)  # looked up once: it reads what every process has open
    patience = patience_with(holders, settings)
    who = ", ".join(map(str, holders[:4])) or "a process that cannot be identified"
    log.warning("%s is in use by %s: waiting up to %.0f s for it", error.taken, who, patience)
    return patience


def patience_with(holders: Sequence[Holder], settings: Settings) -> float:
    """How long to wait for an address that they have, seconds."""
    if not any(_is_orphan(holder) for holder in holders):
        return ADDRESS_PATIENCE
    return settings.graceful_timeout + ORPHAN_FAREWELL if settings.graceful_timeout else ORPHAN_PATIENCE


def _is_orphan(holder: Holder) -> bool:
    posts = (attendant.POST, administration.POST)
    ours = tuple(process_title(role) for role in ("worker", "mold", *(post.role for post in posts)))
    return holder.command.startswith(ours) and not holder.parent_command.startswith(process_title("master"))
