"""Two machines behind HAProxy: two addresses of this one, a Tricorn on each, as behind-haproxy.toml has it.

Knows: how a replica is started and stopped, what HAProxy thinks of it. Must not know: who asks for what.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from deploy.programs import TRICORN, Running, environ, example, free_port, running
from deploy.proxies import Place, proxy

#: The names of HAProxy's servers → where they are here.
HOSTS = {"one": "127.0.0.11", "two": "127.0.0.12"}
WORKERS = 2


@dataclass
class Replica:
    host: str
    place: Place
    journal: Path
    interface: str
    life: ExitStack = field(default_factory=ExitStack)
    server: Running | None = None
    starts: int = 0

    def start(self) -> None:
        self.starts += 1
        conf = self.place.directory / "tricorn.toml"
        conf.write_text(
            example(
                "behind-haproxy.toml",
                {
                    "workers = 4": f"workers = {WORKERS}",
                    'proxy_allow_ips = "10.0.0.10"': 'proxy_allow_ips = "127.0.0.1"',
                },
            )
        )
        kind, app = {
            "asgi": ("asgi", "asgi_proxied:app"),
            "wsgi": ("gthread", "counted:app"),
        }[self.interface]
        words = ["--bind", f"{self.host}:{self.place.upstream[1]}"]
        words += ["--health-bind", f"{self.host}:{self.place.health}", "--worker-class", kind, app]
        env = environ(COUNTED_JOURNAL=str(self.journal))
        started = running(
            [*TRICORN, "-c", conf, *words], self.place.directory, name=f"{self.host}-{self.starts}", env=env
        )
        self.server = self.life.enter_context(started)
        self.server.wait_log("is ready", times=WORKERS)

    def stop(self) -> None:
        """As a supervisor does: TERM, and waiting for the end."""
        assert self.server is not None
        code = self.server.stop()
        assert code == 0, f"{self.host} ended with {code}:\n{self.server.log()}"


@dataclass
class Balanced:
    """HAProxy and its replicas."""

    place: Place
    journal: Path
    replicas: dict[str, Replica]

    def state(self) -> dict[str, str]:
        """What HAProxy thinks of each server: UP, DOWN, or something in between."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.place.directory / "admin.sock"))
            except (FileNotFoundError, ConnectionRefusedError):
                return {}  # it has begun to listen, and is not done with that
            client.sendall(b"show stat\n")
            text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        names, *rows = [line.split(",") for line in text.splitlines() if line]
        table = [dict(zip(names, row, strict=False)) for row in rows]
        return {row["svname"]: row["status"] for row in table if row["svname"] in self.replicas}

    def are_up(self) -> bool:
        return set(self.state().values()) == {"UP"}


@contextlib.contextmanager
def balanced(directory: Path, interface: str = "asgi") -> Iterator[Balanced]:
    """Both replicas serve, and HAProxy knows it."""
    place = Place(directory, free_port(), ("", free_port()), free_port())
    journal = directory / "journal"
    replicas = {name: Replica(host, place, journal, interface) for name, host in HOSTS.items()}
    with ExitStack() as stack:
        for replica in replicas.values():
            stack.enter_context(replica.life)
            replica.start()
        started = stack.enter_context(proxy("haproxy", place))
        service = Balanced(place, journal, replicas)
        started.wait(service.are_up, "HAProxy has found both")
        yield service
