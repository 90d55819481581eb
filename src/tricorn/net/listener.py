"""Listening sockets: opened once by the master, shared by all workers.

Knows: sockets, socket files and who owns them. Must not know: what is served on them, or what a worker is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.net.address import UNIX_PATH_MAX, Address, FdAddress, TcpAddress, UnixAddress, parse_bind
from tricorn.records import dataclass

#: The owner and the group connect, the world does not: peers on a unix socket are trusted.
DEFAULT_SOCKET_MODE = 0o660

#: connect(2) on a socket file that says so proves that nobody listens there.
_NOBODY_LISTENS = (errno.ECONNREFUSED, errno.ENOENT)

#: Sockets of one listener. Workers are many more only where the machine is large; they share then.
MOST_QUEUES = 64

#: Whoever holds the lock of a directory needs it for a few system calls.
LOCK_PATIENCE = 5.0

_WHY = {
    errno.EADDRINUSE: "something else is listening there",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "permission denied",
    errno.ENOENT: "its directory does not exist",
    errno.EAFNOSUPPORT: "this machine does not support that kind of address",
}


@dataclass(frozen=True)
class Place:
    """Where somebody wants us to listen. name: what the log calls it, which tells of TLS too."""

    address: Address
    name: str

    def __str__(self) -> str:
        return self.name


#: What the log calls the address of a `bind`.
Named = Callable[[str, Address], str]


class ListenError(Exception):
    """The machine does not let us listen; one line, for the log.

    Two reasons may pass, and then this is the place. taken: somebody else listens there. missing: the
    machine does not have it, or does not know its host by name; interfaces and name servers may come late.
    """

    def __init__(self, text: str, taken: Place | None = None, missing: Place | None = None) -> None:
        super().__init__(text)
        self.taken = taken
        self.missing = missing


class Listener:
    """A bound, listening, non-blocking, close-on-exec socket.

    wanted: the address as the settings ask for it; what a reload compares.
    address: where it really listens (the port that the kernel chose for port 0); what the log shows.

    file: the socket file, if it has one. After a fork each process has its own descriptor of the one socket.
    `close()` gives up only that; the file goes with the process that owns it (who made it, unless it was
    handed on: `own`, `disown`), and only while the path still is the file that was made.

    passed: a second queue beside that of the kernel, with the same life: what is put in at its first end,
    connections that a busy worker passes on, comes out at the second. All processes share both.

    more: with `reuse_port`, further sockets at the same address, each with a queue of its own in the kernel.
    They live and end with the first one.
    """

    def __init__(
        self,
        sock: socket.socket,
        wanted: Address,
        address: Address,
        file: FileIdentity | None = None,
        more: Sequence[socket.socket] = (),
    ) -> None:
        self.socket = sock
        self.more = tuple(more)
        self.wanted = wanted
        self.address = address
        self.file = file
        self.passed = _queue()
        self._owner = os.getpid()

    def own(self) -> None:
        """This process removes the file."""
        self._owner = os.getpid()

    def disown(self) -> None:
        """Another process removes the file."""
        self._owner = 0

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return (self.socket, *self.more)

    @property
    def pending(self) -> int:
        """How many connections wait in the kernel to be accepted. Of a socket that is not TCP it does not
        tell, so there it is 0."""
        return sum(map(_pending, self.sockets))

    @property
    def queues(self) -> Sequence[tuple[int, int]]:
        """Of each socket the descriptor, and whose it is: bit k for the workers whose number (`Row.queue`) is
        k + 1. 0: everybody's, because there is only one.

        A listener that a reload has kept may have fewer sockets than another one. So the numbers wrap round.
        """
        count = len(self.sockets)
        if count == 1:
            return [(self.fileno(), 0)]
        masks = [sum(1 << bit for bit in range(at, MOST_QUEUES, count)) for at in range(count)]
        return [(sock.fileno(), mask) for sock, mask in zip(self.sockets, masks, strict=True)]

    def close(self) -> None:
        # The file goes first: for as long as it is there somebody answers on it.
        if self.file is not None and self._owner == os.getpid():
            self.file.remove()
            self.file = None
        self._close_queue()
        for sock in self.sockets:
            sock.close()

    def _close_queue(self) -> None:
        for end in self.passed:
            end.close()

    def give_back(self) -> None:
        """Undo the opening. A descriptor that was handed to us stays open, for another attempt."""
        if isinstance(self.wanted, FdAddress):
            self._close_queue()
            self.socket.detach()
        else:
            self.close()

    def __repr__(self) -> str:
        return f"<Listener {self.address} fd={self.fileno()}>"


def _pending(sock: socket.socket) -> int:
    """Linux, tcp_get_info(): of a listening socket, tcpi_unacked is the length of its queue. It stands behind
    eight bytes and four words."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    except OSError:
        return 0
    return int.from_bytes(info[24:28], sys.byteorder)


def _queue() -> tuple[socket.socket, socket.socket]:
    """Its messages stay apart, and neither end waits."""
    inlet, outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inlet.setblocking(False)
    outlet.setblocking(False)
    return inlet, outlet


class FileIdentity:
    """Which file a socket path was when it was made, so that nobody removes a successor's."""

    def __init__(self, path: bytes, inode: tuple[int, int] | None) -> None:
        self.path = path
        self.inode = inode

    @classmethod
    def of(cls, address: Address) -> FileIdentity | None:
        if isinstance(address, UnixAddress) and not address.abstract:
            # The working directory may change (`chdir`) between now and the end.
            path = os.path.abspath(address.sockaddr)
            return cls(path, _inode(path))
        return None

    def remove(self) -> None:
        if self.inode is None or _inode(self.path) != self.inode:
            return
        try:
            os.unlink(self.path)
        except OSError:
            # After privileges were given up, or a clean-up job was faster. The next start finds a socket
            # that nobody listens on and replaces it.
            self.inode = None


def _inode(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def open_listeners(
    settings: Settings, keep: Sequence[Listener] = (), named: Named = lambda _bind, address: str(address)
) -> tuple[Listener, ...]:
    """Listeners for each `bind`, in that order; those of `keep` that are wanted again stay as they are.

    named: for errors.

    The master binds, also with `reuse_port`, which makes a socket for each worker: the queue of a socket that
    a worker had bound itself would be reset when it ends. Their number stays as it is while the listener
    lives: a worker that runs already could not take what is in a new one, and what is in one that is closed
    would be lost.

    Raises ConfigError if a value can never work, ListenError if the machine refuses. Then nothing stays open.
    """
    wanted = [_parse(text) for text in settings.bind]
    for index, address in enumerate(wanted):
        if address in wanted[:index]:
            raise ConfigError("bind", "", f"{address} is given twice")
    kept = {listener.wanted: listener for listener in keep}
    opened: list[Listener] = []
    listeners: list[Listener] = []
    try:
        for bind, address in zip(settings.bind, wanted, strict=True):
            listener = kept.get(address)
            if listener is None:
                listener = _open(Place(address, named(bind, address)), settings, wanted)
                opened.append(listener)
            else:
                # listen(2) on a listening socket only changes the length of its queue.
                for sock in listener.sockets:
                    sock.listen(settings.backlog)
            listeners.append(listener)
    except BaseException:
        for listener in opened:
            listener.give_back()
        raise
    return tuple(listeners)


def _parse(text: str) -> Address:
    try:
        return parse_bind(text).address
    except ValueError as error:
        raise ConfigError("bind", "", str(error)) from None


def _open(place: Place, settings: Settings, wanted: Sequence[Address]) -> Listener:
    match address := place.address:
        case TcpAddress():
            sock, *more = _open_tcp(address, place, settings, _shares_port_with_ipv4(address, wanted))
            host, port = sock.getsockname()[:2]
            # A name is shown as it was written, a port as it was chosen.
            return Listener(sock, address, TcpAddress(address.host or host, port), more=more)
        case UnixAddress():
            sock = _open_unix(address, place, settings)
            return Listener(sock, address, address, FileIdentity.of(address))
        case FdAddress():
            sock = _adopt(address, place, settings)
            return Listener(sock, address, _name_of(sock, address))


def _open_tcp(address: TcpAddress, place: Place, settings: Settings, only_ipv6: bool) -> list[socket.socket]:
    family, sockaddr = _resolve(address, place)
    opened: list[socket.socket] = []
    with _explained(place):
        try:
            for _ in range(_queues_for(settings)):
                opened.append(_listen_tcp(family, sockaddr, settings, only_ipv6))
                sockaddr = opened[0].getsockname()  # with the port that the kernel has chosen
        except BaseException:
            for sock in opened:
                sock.close()
            raise
    return opened


def _queues_for(settings: Settings) -> int:
    return min(settings.workers, MOST_QUEUES) if settings.reuse_port else 1


def _listen_tcp(
    family: socket.AddressFamily, sockaddr: tuple[str, int], settings: Settings, only_ipv6: bool
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        # Connections of a former instance in TIME_WAIT must not keep us from the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if only_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(sockaddr)
        sock.listen(settings.backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _shares_port_with_ipv4(address: TcpAddress, wanted: Sequence[Address]) -> bool:
    """Whether [::] would collide with our own 0.0.0.0: on Linux it takes the IPv4 port as well."""
    if address.host != "::" or address.port == 0:
        return False
    others = [other for other in wanted if isinstance(other, TcpAddress) and other.port == address.port]
    return any(":" not in other.host for other in others)


def _resolve(address: TcpAddress, place: Place) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "it is not a host name"
        text = f"Cannot listen on {place}: host {address.host!r} not found ({reason})"
        raise ListenError(text, missing=place) from None
    # A name such as localhost has both kinds; clients that know only one know IPv4.
    family, _, _, _, sockaddr = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, sockaddr  # type: ignore[return-value]  # typeshed's union covers families without hosts


def _open_unix(address: UnixAddress, place: Place, settings: Settings) -> socket.socket:
    length = len(address.sockaddr)
    if length > UNIX_PATH_MAX + address.abstract:
        raise ConfigError(
            "bind", "", f"{address} is {length} bytes long", f"the system allows at most {UNIX_PATH_MAX}"
        )
    if address.abstract:
        return _bind_unix(address, place, settings)
    # From the look at what is there until our own socket listens, nobody else may look: between bind(2) and
    # listen(2) ours would pass for a dead one, and the one that is found dead could be another's by then.
    with locked(os.path.dirname(address.sockaddr) or b"."):
        _remove_stale(address, place)
        return _bind_unix(address, place, settings)


def _bind_unix(address: UnixAddress, place: Place, settings: Settings) -> socket.socket:
    mode = DEFAULT_SOCKET_MODE if settings.umask is None else 0o666 & ~settings.umask
    with _explained(place):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            # bind(2) makes the file with 0777 & ~umask: there is no moment in which it is wider than `mode`.
            with umask(0o777 & ~mode):
                sock.bind(address.sockaddr)
            if not address.abstract:
                _give_to_workers(address, settings)
            sock.listen(settings.backlog)
        except BaseException:
            sock.close()
            raise
    return sock


def _remove_stale(address: UnixAddress, place: Place) -> None:
    """Remove the socket file of an instance that is gone; never a living one's, never any other file."""
    try:
        mode = os.lstat(address.sockaddr).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ListenError(f"Cannot listen on {place}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise ConfigError("bind", "", f"{address.path} exists and is not a socket", "choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        if probe.connect_ex(address.sockaddr) not in _NOBODY_LISTENS:
            raise ListenError(f"Cannot listen on {place}: {_WHY[errno.EADDRINUSE]}", taken=place)
    with _explained(place):
        os.unlink(address.sockaddr)


def _give_to_workers(address: UnixAddress, settings: Settings) -> None:
    """The file belongs to whom the workers become, so that `user` and `group` say who may connect."""
    if os.geteuid() == 0 and (settings.user is not None or settings.group is not None):
        user = -1 if settings.user is None else settings.user
        group = -1 if settings.group is None else settings.group
        os.chown(address.sockaddr, user, group, follow_symlinks=False)


def _adopt(address: FdAddress, place: Place, settings: Settings) -> socket.socket:
    """Take over a socket that systemd, a shell or a test opened for us."""
    try:
        sock = socket.socket(fileno=address.fd)
    except OSError as error:
        what = "not open" if error.errno == errno.EBADF else "not a socket"
        hint = "pass the number of a socket that the parent process opened and left inheritable"
        raise ConfigError("bind", "", f"{address} is {what}", hint) from None
    if sock.type != socket.SOCK_STREAM:
        sock.detach()
        raise ConfigError("bind", "", f"{address} is not a stream socket", "pass a listening socket")
    with _explained(place):
        sock.set_inheritable(False)
        sock.setblocking(False)
        sock.listen(settings.backlog)
    return sock


def _name_of(sock: socket.socket, address: FdAddress) -> Address:
    """Where an adopted socket listens. Never a path: its file belongs to whoever made it."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        host, port = sock.getsockname()[:2]
        return TcpAddress(host, port)
    return address


@contextmanager
def _explained(place: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code, address = error.errno or 0, place.address
        reason = _WHY.get(code) or os.strerror(code)
        if code == errno.EACCES and isinstance(address, TcpAddress) and address.port < 1024:
            reason = "ports below 1024 need root or CAP_NET_BIND_SERVICE"
        taken = place if code == errno.EADDRINUSE else None
        missing = place if code == errno.EADDRNOTAVAIL else None
        raise ListenError(f"Cannot listen on {place}: {reason}", taken, missing) from None


@contextmanager
def locked(directory: bytes) -> Iterator[None]:
    """Be the only one of us who opens a socket in this directory.

    The lock is on the directory itself, so no file is left behind, and it goes with its holder.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        # It does not exist, which bind(2) explains better; or it may be written but not read. There bind(2)
        # alone keeps two starts apart, unless both find a dead socket.
        yield
        return
    try:
        _acquire(fd, directory)
        yield
    finally:
        os.close(fd)


def _acquire(fd: int, directory: bytes) -> None:
    end = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                where = os.fsdecode(directory)
                raise ListenError(f"Cannot listen in {where}: another process keeps it locked") from None
        time.sleep(0.005)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
