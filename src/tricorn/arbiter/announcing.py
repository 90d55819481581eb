"""What the log says of a generation before it serves: where it listens, and which of its settings do nothing.

Knows: settings, listeners, what each protocol is called. Must not know: what is started, whether it succeeds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tricorn.arbiter import certifying, queues
from tricorn.arbiter.children import Generation
from tricorn.config.settings import Settings
from tricorn.net.address import parse_bind
from tricorn.net.listener import Listener
from tricorn.tls import rules

log = logging.getLogger("tricorn.error")

#: What belongs to the master as long as that lives, so a reload does not change it.
KEPT = (
    *("pidfile", "health_bind", "admin_bind", "admin_token", "admin_token_file"),
    *("control_socket", "control_socket_mode", "control_socket_disable"),
)


def announce(generation: Generation, known: Sequence[Listener] = ()) -> None:
    """known: listeners of which the log has told."""
    _report_listeners(generation, known)
    certifying.report(generation.certificates)
    if generation.settings.refork_after and not generation.settings.preload_app:
        log.warning("refork_after has no effect without preload_app")
    queues.report(generation)


def warn_about_reload(before: Settings, after: Settings) -> None:
    """Say what HUP does not do."""
    names = list(KEPT)
    if set(after.bind) & set(before.bind):
        names.append("reuse_port")
    for name in names:
        if getattr(after, name) != getattr(before, name):
            log.warning("%s: the new value takes effect at the next start", name)


def _report_listeners(generation: Generation, known: Sequence[Listener]) -> None:
    settings = generation.settings
    tls = [
        rules.speaks_tls(bind, listener.address, settings)
        for bind, listener in zip(settings.bind, generation.listeners, strict=True)
    ]
    for bind, listener, is_tls in zip(settings.bind, generation.listeners, tls, strict=True):
        if listener not in known:
            is_uwsgi = parse_bind(bind).speaks_uwsgi(settings.protocol)
            spoken = "" if is_uwsgi else _protocols(settings, is_tls)
            log.info("Listening at %s%s", rules.called(settings, bind, listener.address), spoken)
    if generation.certificates is not None and not any(tls):
        log.warning("certfile has no effect, because no bind is for TLS; write https:// in front of one")


def _protocols(settings: Settings, is_tls: bool) -> str:
    """What a listener for HTTP speaks, if that is more than HTTP/1.1. A context of the user's may differ."""
    if "h2" not in settings.http_protocols or (is_tls and settings.ssl_context is not None):
        return ""
    if is_tls:
        return f" ({', '.join(rules.offered(settings))})"
    return " (http/1.1, h2c)" if settings.http2_cleartext == "anyone" else ""
