"""Where the control socket is, and how it comes there.

Knows: directories and socket files, who may write to them. Must not know: what is said over the socket, why a
process has it.

Without a setting the file is tricorn-PID.ctl in a directory of the user's own, so two servers never want the
same one, and whoever knows the master's process id knows the name. A path that was set is one that other
programs know, too: in an upgrade it passes from the older master to the newer one, and there is no moment in
which nobody answers at it. While the newer one is on trial it listens at PATH.2, and renames that to PATH
when it takes over. Whoever has connected to the older one by then stays connected to that.

Who connects could tell the server to stop, and who can replace the file could pretend to be it. So the file
is made with its final mode, in a directory in which nobody else can replace it.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress

from tricorn.config.errors import ConfigError, reason_of
from tricorn.net.address import UNIX_PATH_MAX
from tricorn.net.listener import FileIdentity, ListenError, locked, umask

#: Of the file, without a setting.
NAME = "tricorn-{pid}.ctl"
NAMED = re.compile(r"tricorn-([0-9]{1,10})\.ctl")

#: While two masters live, behind the path of the newer one. Its pid file has the same.
SECOND = ".2"

#: Clients that may wait to be accepted.
BACKLOG = 16

#: Files of servers that were killed are removed by the next start, so many at most.
PRUNED_AT_ONCE = 100

_DEAD = (errno.ECONNREFUSED, errno.ENOENT)


class ControlSocket:
    """Bound, listening, non-blocking, close-on-exec.

    path: of its file. wanted: the path that it will have once it has been taken over; usually the same.
    group: of the file.
    """

    def __init__(self, sock: socket.socket, path: str, wanted: str) -> None:
        self.socket = sock
        self.path = path
        self.wanted = wanted
        status = os.stat(path)
        self.group = status.st_gid
        self.mode = stat.S_IMODE(status.st_mode)
        self._inode = (status.st_dev, status.st_ino)

    def take_over(self) -> None:
        """The predecessor's path is ours now. OSError, ListenError: it stays where it is."""
        if self.path != self.wanted:
            # Whoever has found the predecessor's file dead removes what is there next.
            with locked(os.fsencode(os.path.dirname(self.wanted))):
                os.rename(self.path, self.wanted)
            self.path = self.wanted

    def close(self, *, was_handed_over: bool = False) -> None:
        """Without leaving a file that nobody answers at. was_handed_over: a newer master may rename its own
        to this path at any instant; before it does, it has one beside it, and after that the path is not this
        file any more."""
        if not (was_handed_over and os.path.lexists(self.path + SECOND)):
            FileIdentity(os.fsencode(self.path), self._inode).remove()
        self.forget()

    def forget(self) -> None:
        """In a child."""
        self.socket.close()


def open_socket(path: str | None, mode: int, *, on_trial: bool, environ: Mapping[str, str]) -> ControlSocket:
    """A control socket at this path, or at one of its own. on_trial: a predecessor may still have the path.

    Raises ConfigError where the path can never be good, ListenError if the machine refuses.
    """
    if path is not None:
        return _open_at(os.path.abspath(path), mode, on_trial=on_trial)
    name = NAME.format(pid=os.getpid())
    reasons = []
    for directory in directories(environ, os.geteuid()):
        path = os.path.join(directory, name)
        if reason := _maybe_unusable(path):
            reasons.append(reason)
            continue
        try:
            with locked(os.fsencode(directory)):
                _prune(directory)
                return _bind(path, path, mode)
        except (OSError, ListenError) as error:
            reasons.append(f"{path}: {reason_of(error)}")
    raise ListenError("; ".join(reasons))


def directories(environ: Mapping[str, str], uid: int) -> Iterator[str]:
    """Where a socket without a setting may be, the best place first.

    systemd makes the first one (RuntimeDirectory=), a login the second.
    """
    for directory in environ.get("RUNTIME_DIRECTORY", "").split(":")[:1]:
        if os.path.isabs(directory):
            yield directory
    if os.path.isabs(directory := environ.get("XDG_RUNTIME_DIR", "")):
        yield os.path.join(directory, "tricorn")
    yield "/run/tricorn" if uid == 0 else f"/run/user/{uid}/tricorn"
    yield os.path.join(environ.get("TMPDIR") or "/tmp", f"tricorn-{uid}")


def _maybe_unusable(path: str) -> str | None:
    """Why the file cannot be there, or None: then its directory exists, and nobody else can write to it."""
    if len(os.fsencode(path)) > UNIX_PATH_MAX:
        return f"{path}: longer than {UNIX_PATH_MAX} bytes"
    directory = os.path.dirname(path)
    try:
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        status = os.lstat(directory)
    except OSError as error:
        return f"{directory}: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        return f"{directory}: not a directory of this user alone"
    return None


def _open_at(path: str, mode: int, *, on_trial: bool) -> ControlSocket:
    length = len(os.fsencode(path + SECOND))
    if length > UNIX_PATH_MAX:
        longest = UNIX_PATH_MAX - len(SECOND)
        raise _wrong(f"{path} is {length - len(SECOND)} bytes long", f"the longest path has {longest}")
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        status = os.stat(directory)
        if status.st_uid not in (0, os.geteuid()):
            raise _wrong(f"{directory} belongs to another user", "choose a directory of your own")
        # In one that is sticky, such as /tmp, nobody can replace the file of another user.
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            raise _wrong(f"others can write to {directory}", f"write chmod go-w {directory}")
        with locked(os.fsencode(directory)):
            # What answers beside it is about to take it over, also if the one who has it is gone.
            if not _is_alive(path + SECOND) and _is_free(path):
                return _bind(path, path, mode)
            if on_trial and _is_free(path + SECOND):
                return _bind(path + SECOND, path, mode)
    except OSError as error:
        raise ListenError(f"Cannot open the control socket {path}: {error.strerror}") from None
    raise ListenError(f"Cannot open the control socket {path}: another server has it")


def _wrong(message: str, hint: str) -> ConfigError:
    return ConfigError("control_socket", "", message, hint)


def _is_free(path: str) -> bool:
    """Whether a socket can be bound there. The file of a server that is gone is removed; any other file is an
    error."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return True
    if not stat.S_ISSOCK(status.st_mode):
        raise _wrong(f"{path} exists and is not a socket", "choose another path")
    if _is_alive(path):
        return False
    os.unlink(path)
    return True


def _is_alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(os.fsencode(path)) not in _DEAD


def _bind(path: str, wanted: str, mode: int) -> ControlSocket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        # bind(2) makes the file with 0777 & ~umask: there is no moment in which it is wider than `mode`.
        with umask(0o777 & ~mode):
            sock.bind(os.fsencode(path))
        sock.listen(BACKLOG)
        return ControlSocket(sock, path, wanted)
    except BaseException:
        sock.close()
        raise


def _prune(directory: str) -> None:
    """Remove what servers have left that were killed. The caller has locked the directory, so there is none
    that is bound and does not listen yet."""
    names = [name for name in os.listdir(directory) if NAMED.fullmatch(name)]
    for name in names[:PRUNED_AT_ONCE]:
        path = os.path.join(directory, name)
        with suppress(OSError):  # somebody else's file, or one that has gone by itself
            if not _is_alive(path):
                os.unlink(path)
