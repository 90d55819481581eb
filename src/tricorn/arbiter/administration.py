"""The process that serves control and metrics over HTTP (`admin_bind`), as far as the master goes: what it is
given, and how it comes to talk to the master.

It is an attendant like the one that answers health checks, so heartbeat, back-off, time limits, the end and
an upgrade are the workers'. To the master it talks as `tricorn ctl` does, through a door of its own.

Knows: settings, the door. Must not know: what is served, who asks, when the process is started.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from tricorn.admin import rules
from tricorn.arbiter.attendant import Post, small_service
from tricorn.arbiter.target import ADMIN
from tricorn.config.settings import Settings
from tricorn.control.door import Door
from tricorn.handover import Assignment, RunWorker
from tricorn.net.listener import Listener

log = logging.getLogger("tricorn.error")

#: Its life, in the process: it is given the token that clients have to show, if there is one, and the door.
RunAdmin = Callable[[str | None, Door, Assignment], int]

#: Of what a request may say, bytes.
BODY_MAX = 16384

#: Whatever `umask` says, its socket file is for the user that has started the server.
UMASK = 0o177

#: The settings of TLS that are its own, too. Not ssl_context: what that makes, nothing here could vouch for.
TLS = (
    *("certfile", "keyfile", "keyfile_password", "keyfile_password_file", "certificates"),
    *("ca_certs", "cert_reqs", "crlfile", "ciphers", "tls_minimum_version", "chdir"),
)


class Administration:
    """What the master has of it besides an attendant. run: called in the process; None: there is none."""

    def __init__(self, run: RunAdmin | None) -> None:
        self._run = run
        self.door: Door | None = None

    def prepare(self, settings: Settings) -> RunWorker:
        """Before it is started for the first time. Raises ConfigError."""
        assert self._run is not None
        token = rules.token_of(settings)
        if token is not None and rules.is_in_the_clear(settings):
            log.warning("admin_bind: the token goes over the network unencrypted; use https://")
        self.door = Door()
        return partial(self._run, token, self.door)

    def forget(self, own: Sequence[Listener], keep: Sequence[Listener]) -> None:
        """In a child. own: its listeners; who keeps them is that process, which needs its end of the door."""
        if self.door is None:
            return
        self.door.inside.close()
        if not any(listener in keep for listener in own):
            self.door.outside.close()

    def close(self) -> None:
        if self.door is not None:
            self.door.close()
            self.door = None


def settings_of(settings: Settings) -> Settings:
    tls = {name: getattr(settings, name) for name in TLS} if rules.speaks_tls(settings) else {}
    own = {"limit_request_body": BODY_MAX, "asgi_lifespan": "off", "umask": UMASK, **tls}
    return small_service(settings, settings.admin_bind, **own)


POST = Post(ADMIN, "admin process", "admin_bind", settings_of, "Control and metrics are served at %s")
