"""The table of servers (`peers.toml`) and how a command is made from it. Starts nothing."""

import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench import paths

WSGI = "wsgi"
ASGI = "asgi"
OTHER = "other"  # WSGI on green threads, and Tornado's: their servers are compared among themselves
INTERFACES = (WSGI, ASGI)
GROUPS = (*INTERFACES, OTHER)


@dataclass(frozen=True)
class Server:
    """One row of the table. Its name is unique within its interface."""

    name: str
    distribution: str
    command: str
    packages: tuple[str, ...] = ()
    apt: str = ""
    access_log: str = ""
    no_access_log: str = ""
    idle: str = ""
    files: str = ""
    static: str = ""  # what it is told so that it answers from a directory; empty: it does not
    tls: str = ""
    http2: str | None = None  # what it is told so that it speaks HTTP/2; None: it does not
    interface: str = WSGI
    threads: bool = False
    own: bool = False
    slow: bool = False
    deflate: bool = False
    note: str = ""

    @property
    def ident(self) -> str:
        return self.name if self.interface == WSGI else f"{self.name}-{self.interface}"

    @property
    def has_access_log(self) -> bool:
        return bool(self.access_log or self.no_access_log)

    @property
    def bin(self) -> Path:
        return paths.OWN_BIN if self.own else paths.PEERS_VENV / "bin"


@dataclass(frozen=True)
class Launch:
    """What a scenario asks of a server."""

    app: str
    threads: int = 1
    body_size: int = 13
    close: bool = False
    access_log: bool = False
    idle: bool = False
    files: bool = False
    static: bool = False
    path: str = "/"  # what is asked for
    websocket: bool = False
    tls: bool = False
    http2: bool = False


FLOOR = Server(name="floor", distribution="", command=f"{paths.FLOOR} {{port}} {{body_size}} {{mode}}")
UVLOOP_FLOOR = Server(
    name="uvloop floor",
    distribution="uvloop",
    command="{python} {bench}/uvloop_floor.py {port} {body_size} {mode}",
    interface=ASGI,
)
# What people put in front of an application server for its files: with what its documentation advises.
NGINX = Server(name="nginx", distribution="", command="sh {bench}/nginx.sh {port} {files}", static=" ")
FLOORS = {WSGI: (FLOOR, NGINX), ASGI: (FLOOR, UVLOOP_FLOOR), OTHER: (FLOOR,)}
FLOOR_NAMES = frozenset(floor.name for floors in FLOORS.values() for floor in floors)


@cache
def table() -> tuple[Server, ...]:
    rows = tomllib.loads((paths.BENCH / "peers.toml").read_text())["server"]
    return tuple(Server(**{**row, "packages": tuple(row.get("packages", ()))}) for row in rows)


def peers(interface: str) -> tuple[Server, ...]:
    """Tricorn is one of them."""
    return tuple(server for server in table() if server.interface == interface)


def own_names() -> frozenset[str]:
    """Tricorn's, of whatever kind its worker is."""
    return frozenset(server.name for server in table() if server.own)


def find(interface: str, name: str) -> Server:
    return next(server for server in (*FLOORS[interface], *peers(interface)) if server.name == name)


def names() -> tuple[str, ...]:
    """Each once, although some servers have both interfaces."""
    found = [server.name for group in GROUPS for server in (*FLOORS[group], *peers(group))]
    return tuple(dict.fromkeys(found))


def command(server: Server, launch: Launch, port: int) -> list[str]:
    words = server.command.format(
        bin=server.bin,
        python=server.bin / "python",
        bench=paths.BENCH,
        app=launch.app,
        port=port,
        threads=launch.threads,
        pool=launch.threads if launch.threads > 1 else 0,
        body_size=launch.body_size,
        files=paths.FILES,
        mode="close" if launch.close else "websocket" if launch.websocket else "",
        extra=" ".join(extras(server, launch)),
    )
    return shlex.split(words)


def extras(server: Server, launch: Launch) -> Iterator[str]:
    yield server.access_log if launch.access_log else server.no_access_log
    if launch.idle:
        yield server.idle
    if launch.files:
        yield server.files
    if launch.static:
        yield server.static.format(files=paths.FILES)
    if launch.http2:
        yield server.http2 or ""
    if launch.tls:
        yield server.tls.format(certificate=paths.CERTIFICATE, key=paths.KEY)
