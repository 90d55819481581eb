"""A server under test, whichever it is: one row for each, and one that runs.

A row says how the server is started, what it is able to do, and what that costs on its command line. What
happens to it is in events.py. Its workers are known by the application's journal (tests/apps/counted.py), so
nothing here depends on what a server logs, with one exception: Tricorn's "is ready".

Knows: command lines, processes, files. Must not know: HTTP, what is counted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import tls
from harness.server import APPS, wait_for

WORKERS = 2
#: What a server may take for what it was told; more is "did not happen".
PATIENCE = 20.0
#: In bytes of the journal: seconds of a busy server.
RECENT = 100_000
#: So long a server is watched that does not say when a thing is over, or in words that nobody knows here.
#: Granian takes 3.5 s from one worker to the next.
WATCHED = 12.0


@dataclass(frozen=True)
class Kind:
    """A way to run a server.

    command: {bin} is the directory of its programs, {port} where it listens, {dir} where its application
        (`site:app`) and its configuration are, {pem} a file with certificate and key.
    able: what it can be told, and the options that this takes; the names are those that events.py asks for.
    takes_socket: {port} is given to it as an open socket, so no other process can take it before.
    ready: what it logs when a worker serves, if that is not when the application was imported.
    """

    name: str
    interface: str
    command: str
    able: Mapping[str, str]
    tls: str | None = None
    takes_socket: bool = False
    ready: str = ""
    streams: bool = True


_TRICORN = {
    "reload": "",
    "reload, broken code": "",
    "reload, broken settings": "--config {dir}/tricorn.toml",
    "reload, hanging code": "--boot-timeout 2",
    "upgrade": "",
    "resize": "",
    "max_requests": "--max-requests 100",
    "max_lifetime": "--max-lifetime 1 --max-lifetime-jitter 0.5",
    "max_memory": "--max-memory 150m",
    "autoscale up": "--workers-max 3 --config {dir}/load.conf.py",
    "autoscale down": "--workers 3 --workers-min 2 --workers-max 3 --config {dir}/load.conf.py",
    "certificate": "",
    "replaces the dead": "",
    "stop": "",
}
#: A worker in which an event loop has run cannot become the mold.
_TRICORN_WSGI = _TRICORN | {"refork": "--preload --refork-after 300"}
_GUNICORN = {
    "reload": "",
    "reload, broken code": "",
    "reload, broken settings": "--config {dir}/gunicorn.conf.py",
    "reload, hanging code": "--timeout 2",
    "upgrade": "",
    "resize": "",
    "max_requests": "--max-requests 100",
    "replaces the dead": "",
    "stop": "",
}
_UVICORN = {
    "reload": "",
    "reload, broken code": "",
    "reload, hanging code": "",
    "resize": "",
    "max_requests": "--limit-max-requests 100",
    "replaces the dead": "",
    "stop": "",
}
_GRANIAN = {
    "reload": "",
    "reload, broken code": "",
    "reload, hanging code": "",
    "max_memory": "--workers-max-rss 150 --rss-sample-interval 1",
    "replaces the dead": "--respawn-failed-workers",
    "stop": "",
}

_START = "{python} -m tricorn --bind {scheme}fd://{fd} --workers 2 --chdir {dir}"
_OWN = {"tls": "--certfile {pem}", "takes_socket": True, "ready": "is ready"}

TRICORN = [
    Kind("Tricorn, WSGI", "wsgi", f"{_START} --worker-class sync", _TRICORN_WSGI, streams=False, **_OWN),
    Kind(
        "Tricorn, WSGI, 8 threads",
        "wsgi",
        f"{_START} --worker-class gthread --threads 8",
        _TRICORN_WSGI,
        **_OWN,
    ),
    Kind("Tricorn, ASGI", "asgi", f"{_START} --worker-class asgi", _TRICORN, **_OWN),
]
#: The same, where each worker has a queue of its own.
QUEUES = [
    replace(
        kind,
        name=f"{kind.name}, reuse_port",
        command=kind.command.replace("fd://{fd}", "127.0.0.1:{port} --reuse-port"),
        takes_socket=False,
    )
    for kind in TRICORN
]
OWN = [*TRICORN, *QUEUES]
_GUNICORN_START = "{bin}/gunicorn -b 127.0.0.1:{port} -w 2 --chdir {dir}"
PEERS = [
    Kind("Gunicorn, sync", "wsgi", f"{_GUNICORN_START} -k sync", _GUNICORN, streams=False),
    Kind("Gunicorn, gthread, 8 threads", "wsgi", f"{_GUNICORN_START} -k gthread --threads 8", _GUNICORN),
    Kind(
        "Uvicorn",
        "asgi",
        "{bin}/uvicorn --host 127.0.0.1 --port {port} --workers 2 --http httptools --loop uvloop "
        "--ws websockets-sansio --no-access-log --app-dir {dir}",
        _UVICORN,
    ),
    Kind(
        "Granian, WSGI, 8 threads",
        "wsgi",
        "{bin}/granian --interface wsgi --host 127.0.0.1 --port {port} --workers 2 --blocking-threads 8 "
        "--http 1 --no-ws --working-dir {dir}",
        _GRANIAN,
    ),
    Kind(
        "Granian, ASGI",
        "asgi",
        "{bin}/granian --interface asgi --host 127.0.0.1 --port {port} --workers 2 --http 1 "
        "--loop uvloop --working-dir {dir}",
        _GRANIAN,
    ),
]

_SITE = {"wsgi": "from counted import app\n", "asgi": "from asgi_counted import app\n"}
#: When the load wants more workers, or fewer, is the policy's to say, and tested there. Here it has an answer
#: as soon as this file has one.
WANTED = "wanted"
_AUTOSCALE = f"""
from pathlib import Path
from tricorn.arbiter import autoscale

def maybe_change(samples, workers, bounds, changed_at, what="requests"):
    wanted = Path(__file__).with_name({WANTED!r})
    if wanted.exists() and int(wanted.read_text()) != workers:
        return autoscale.Change(int(wanted.read_text()), "it is what is wanted")

autoscale.maybe_change = maybe_change
"""
_CONFIGURATION = {
    "tricorn.toml": "keepalive = 5\n",
    "gunicorn.conf.py": "keepalive = 5\n",
    "load.conf.py": _AUTOSCALE,
}


class DidNotHappenError(Exception):
    """What the server was told is not done after PATIENCE."""


def is_mold(pid: int) -> bool:
    """Whether this process has loaded the application for the others, as `ps` shows."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"tricorn: mold")
    return False


@dataclass
class Journal:
    """What the application says it was called for."""

    path: Path

    def lines(self, mark: str, last: int | None = None) -> list[list[str]]:
        """The words behind this mark, in order. last: in so many bytes at the end."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(0 if last is None else max(0, size - last))
            lines = [line.split(" ") for line in file.read().decode().splitlines()]
        return [words[1:] for words in lines if words[0] == mark and len(words) == 3]

    def started(self) -> list[int]:
        """The processes that have imported the application, or were forked with it."""
        return [int(pid) for _, pid in self.lines("S")]

    def begun(self) -> dict[str, int]:
        """Requests that the application was called for, and the process."""
        return {name: int(pid) for name, pid in self.lines("B")}

    def under_way(self, pid: int) -> set[str]:
        """What has begun of late, and is not done."""
        begun = {name for name, where in self.lines("B", RECENT) if where == str(pid)}
        return begun - {name for name, _ in self.lines("E", RECENT)}


@dataclass
class Service:
    """A running server. Use it with `with`; nothing of it is left."""

    kind: Kind
    wire: str
    able: str
    directory: Path
    bin: Path = Path(sys.executable).parent
    told_at: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    #: The process of its clients.
    crowd: int = 0
    #: Processes that were killed: their requests are lost with them.
    victims: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self.journal = Journal(self.directory / "journal")
        self.site = self.directory / "site" / "site_app.py"
        self.site.parent.mkdir()
        self.pem = self.directory / "site.pem"
        self.log_path = self.directory / "log"

    def __enter__(self) -> Service:
        self.write_site()
        for name, text in _CONFIGURATION.items():
            self.configuration(name).write_text(text)
        shutil.copy(tls.CERTIFICATE, self.pem)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
            if self.kind.takes_socket:
                listener.listen(1024)
            else:
                listener.close()
            self._start(listener)
        try:
            self.wait(
                lambda: len(self.workers()) >= WORKERS and self._is_ready(WORKERS), "it has not started"
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        # A supervisor may have put its workers into groups of their own.
        for pid in self.journal.started():
            if self._is_ours(pid):
                os.kill(pid, signal.SIGKILL)

    def _start(self, listener: socket.socket) -> None:
        words = f"{self.kind.command} {self._options()} site_app:app"
        descriptor = listener.fileno()
        fill = {
            "{python}": sys.executable,
            "{bin}": str(self.bin),
            "{port}": str(self.port),
            "{fd}": str(descriptor),
            "{scheme}": "https://" if self.wire == "tls" else "",
            "{dir}": str(self.site.parent),
            "{pem}": str(self.pem),
        }
        command = [re.sub(r"\{\w+\}", lambda mark: fill[mark[0]], word) for word in words.split()]
        foreign = ("TRICORN_", "GUNICORN_", "UVICORN_", "GRANIAN_", "WEB_CONCURRENCY", "PORT")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        # No compiled files: two versions of the site within one second would be taken for one.
        environ |= {"PYTHONDONTWRITEBYTECODE": "1", "COUNTED_JOURNAL": str(self.journal.path)}
        environ["PYTHONPATH"] = os.pathsep.join([str(self.site.parent), str(APPS)])
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.site.parent,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(descriptor,) if self.kind.takes_socket else (),
                start_new_session=True,
            )

    def _options(self) -> str:
        options = self.kind.able.get(self.able, "")
        return f"{options} {self.kind.tls}" if self.wire == "tls" else options

    def _is_ready(self, times: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log()[-3000:]}"
        return not self.kind.ready or self.log().count(self.kind.ready) >= times

    # -- what it is made of

    def configuration(self, name: str) -> Path:
        return self.site.parent / name

    def write_site(self, text: str | None = None) -> None:
        self.site.write_text(_SITE[self.kind.interface] if text is None else text)

    # -- what is seen of it

    @property
    def is_own(self) -> bool:
        return self.kind in OWN

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def workers(self) -> list[int]:
        """Living processes that have the application and serve it, the oldest first."""
        assert self.process is not None
        others = {self.process.pid, *self.victims}
        started = [pid for pid in self.journal.started() if pid not in others]
        return [pid for pid in started if self._is_ours(pid) and not is_mold(pid)]

    def _is_ours(self, pid: int) -> bool:
        """It lives, and in the session that was made for this server."""
        assert self.process is not None
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return words[0] not in {"Z", "X"} and words[3] == str(self.process.pid)

    def is_alive(self) -> bool:
        assert self.process is not None
        return self.process.poll() is None

    # -- what is done to it

    def tell(self, number: signal.Signals, pid: int | None = None) -> None:
        assert self.process is not None
        self.told_at = self.told_at or time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid if pid is None else pid, number)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        try:
            wait_for(condition, what, deadline=PATIENCE)
        except AssertionError:
            raise DidNotHappenError(what) from None

    def wait_log(self, *texts: str, times: int = 1) -> None:
        """Until it says one of these. A server whose words are not known is watched for a while."""
        if self.is_own:
            self.wait(
                lambda: any(self.log().count(text) >= times for text in texts), f"its log lacks {texts[0]!r}"
            )
        else:
            time.sleep(WATCHED)

    def wait_replaced(self, old: Sequence[int], count: int = WORKERS) -> None:
        """Until none of the old workers lives, and as many others do."""

        def is_done() -> bool:
            workers = self.workers()
            return not set(workers) & set(old) and len(workers) >= count

        self.wait(is_done, "the workers are not replaced")

    def wait_count(self, count: int) -> None:
        self.wait(lambda: len(self.workers()) == count, f"there are not {count} workers")
