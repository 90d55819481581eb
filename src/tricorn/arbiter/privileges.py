"""Giving up root.

Knows: users and groups. Must not know: who gives up what for, or when.
"""

from __future__ import annotations

import os
import pwd

from tricorn.config.errors import ConfigError
from tricorn.records import dataclass


@dataclass(frozen=True)
class Identity:
    """Whom a worker runs as. None: as before. name: for the supplementary groups, if the user has one."""

    uid: int | None
    gid: int | None
    name: str | None

    def assume(self) -> None:
        """Become this identity, for good. Groups first: afterwards there is no right to change them.

        The supplementary groups are always replaced, else a worker that left root would still read what
        root's groups may read.
        """
        if self.uid is None and self.gid is None:
            return
        gid = os.getegid() if self.gid is None else self.gid
        if os.geteuid() == 0:
            if self.name is not None:
                os.initgroups(self.name, gid)
            else:
                os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        if self.uid is not None:
            os.setresuid(self.uid, self.uid, self.uid)


def identity_for(user: int | None, group: int | None) -> Identity:
    """Whom `user` and `group` mean; ConfigError if that cannot be, while there is still time to say so."""
    name = None
    if user is not None:
        try:
            entry = pwd.getpwuid(user)
        except KeyError:
            if group is None and user != os.geteuid():
                # Root's group would stay.
                raise ConfigError(
                    "group",
                    "",
                    f"user {user} has no entry in the user database, so its group is unknown",
                    "set group",
                ) from None
        else:
            name = entry.pw_name
            group = entry.pw_gid if group is None else group
    if os.geteuid() != 0:
        if user is not None and user != os.geteuid():
            raise ConfigError(
                "user", "", "only root can become another user", "start as root, or leave it out"
            )
        if group is not None and group not in (os.getegid(), *os.getgroups()):
            raise ConfigError(
                "group", "", "only root can take another group", "start as root, or leave it out"
            )
    return Identity(user, group, name)
