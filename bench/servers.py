"""The table of servers (`peers.toml`) and how a command is made from it. Starts nothing."""

import shlex
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench import paths


@dataclass(frozen=True)
class Server:
    name: str
    distribution: str
    command: str
    packages: tuple[str, ...] = ()
    apt: str = ""
    access_log: str = ""
    no_access_log: str = ""
    idle: str = ""
    threads: bool = False
    own: bool = False

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


FLOOR = Server(name="floor", distribution="", command=f"{paths.FLOOR} {{port}} {{body_size}} {{close}}")


@cache
def peers() -> tuple[Server, ...]:
    table = tomllib.loads((paths.BENCH / "peers.toml").read_text())
    return tuple(Server(**{**row, "packages": tuple(row.get("packages", ()))}) for row in table["server"])


def by_name(name: str) -> Server:
    return next(server for server in (FLOOR, *peers()) if server.name == name)


def names() -> tuple[str, ...]:
    return ("floor", *(server.name for server in peers()))


def command(server: Server, launch: Launch, port: int) -> list[str]:
    log = server.access_log if launch.access_log else server.no_access_log
    words = server.command.format(
        bin=server.bin,
        python=server.bin / "python",
        bench=paths.BENCH,
        app=launch.app,
        port=port,
        threads=launch.threads,
        body_size=launch.body_size,
        close="close" if launch.close else "",
        extra=f"{log} {server.idle if launch.idle else ''}",
    )
    return shlex.split(words)
