"""A server for tests: `with serve(app) as server:` asks `server.url`, and nothing of it is left behind.

The server is a process that is forked from the test's, so an application may be any object, also one that no
other program could import: a closure, what a fixture has made, a module with a patched attribute. What the
test changes afterwards the server does not see.

Knows: processes, one descriptor for each thing that is to be known of one. Must not know: HTTP, what is
served.

How it ends, whatever happens. The server has a session of its own, so Ctrl-C reaches the test alone, and all
that it has started can be killed by its group. It holds the reading end of a pipe, and the kernel sends it a
signal when the writing end is gone: with the test's process, however that dies.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from select import POLLIN, poll
from typing import Any, NoReturn, TextIO

from tricorn import embedding, kinds
from tricorn.arbiter import signals
from tricorn.arbiter.children import boot_timeout_of
from tricorn.arbiter.systemd import VARIABLE, WATCHDOG_INTERVAL
from tricorn.config.program import ProgramSettings
from tricorn.config.settings import Settings
from tricorn.config.uvicorn import ADDRESS
from tricorn.console import EXIT_INTERRUPTED
from tricorn.gateway.loader import maybe_kind_of
from tricorn.launch import Launch, carry_out, checked
from tricorn.net.address import TcpAddress, parse_bind
from tricorn.net.listener import Listener, open_listeners
from tricorn.records import replace
from tricorn.tls.rules import speaks_tls

NAME = "tricorn.testing.serve()"

#: How long the server may take beyond its own limits, seconds: to start, and to end. Then it is killed.
MARGIN = 10.0

#: How often a process is looked at that is to end, seconds.
LOOK = 0.002

#: Of all servers of this process, what keeps them alive. Other children must not have it.
_lifelines: set[int] = set()


class StartError(RuntimeError):
    """The server did not start. The text has its log."""


class Server:
    """A running server.

    url: where it listens, without a slash at the end; of the first `bind` that is no Unix socket, else empty.
    pid: of its master, for signals.
    exit_code: once it has ended; negative if a signal has ended it.
    """

    def __init__(self, url: str, farewell: float) -> None:
        """farewell: how long the application's end may take, seconds."""
        self.pid = 0
        self.url = url
        self.exit_code: int | None = None
        self._farewell = farewell
        self._log_file = os.memfd_create("tricorn-log")
        self._log = ""
        self._reader, self._lifeline = os.pipe()
        _keep_from_children(self._lifeline)

    @property
    def host(self) -> str:
        return self.url.partition("://")[2].rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """0 without a TCP socket."""
        return int(self.url.rpartition(":")[2] or 0)

    @property
    def log(self) -> str:
        """What server and application have written so far: the error log, standard output and error."""
        if self._log_file >= 0:
            size = os.fstat(self._log_file).st_size
            self._log = os.pread(self._log_file, size, 0).decode("utf-8", "replace")
        return self._log

    def stop(self) -> None:
        """At once, as by Ctrl-C, with the application's shutdown. Again: nothing."""
        if self._log_file < 0:
            return
        try:
            if self.pid:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGINT)
                self._wait()
        finally:
            self._end()

    def _wait(self) -> None:
        """Until it ends. The master has limits of its own for everything in it, so this one is for a master
        that is broken."""
        end = time.monotonic() + MARGIN + self._farewell
        while not self.has_ended() and time.monotonic() < end:
            time.sleep(LOOK)

    def has_ended(self) -> bool:
        """It stays to be waited for, so that its number means it."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else has waited for it
            return True

    def _end(self) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._log = self.log
        _lifelines.discard(self._lifeline)
        for fd in (self._log_file, self._lifeline, self._reader):
            os.close(fd)
        self._log_file = -1

    def fork(self, work: Callable[[], int], listeners: Sequence[Listener]) -> None:
        """The process in which it runs. What signals do to the test's comes when its number is known."""
        _flush()
        with signals.blocked() as mask, warnings.catch_warnings():
            # From 3.12 on a fork beside threads is warned of, which is an error in some suites. What the
            # server itself needs is not held by them: its modules are imported, and the interpreter renews
            # its locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
            if pid == 0:
                _live(work, self._reader, self._log_file, mask, listeners)
            self.pid = pid

    def __repr__(self) -> str:
        return f"<Server {self.url} pid={self.pid}>"


@contextmanager
def serve(app: str | Callable[..., Any], /, **settings: Any) -> Iterator[Server]:
    """A server that is READY, until the end of the block.

    app: the application, or its name as on the command line.
    settings: as those of `tricorn.run`. Neither the environment nor a file is read. Without an address it
        listens at a free port of 127.0.0.1.

    Raises ConfigError if a setting is wrong, StartError with the server's log if it does not start.
    """
    server = start(app, settings)
    try:
        yield server
    finally:
        server.stop()


def start(app: str | Callable[..., Any], given: dict[str, Any]) -> Server:
    if not any(given.get(name) is not None for name in ("bind", *ADDRESS)):
        given = {**given, "bind": "127.0.0.1:0"}
    if given.get("control_socket") is None:
        # Who tests an application has the server as an object.
        given = {"control_socket_disable": True, **given}
    settings = checked(embedding.settings_of(app, given, ProgramSettings({}, Path.cwd()), NAME))
    load_early(settings, app)
    settings, listeners = opened(settings)
    farewell = settings.graceful_timeout + settings.asgi_lifespan_shutdown_timeout
    server = Server(url_of(settings, listeners), farewell)
    try:
        with ready_socket() as ready:
            server.fork(partial(_serve, settings, f"@{ready.getsockname()[1:].decode()}"), listeners)
            # Ours are closed, so whoever connects after the server's end is refused.
            close_all(listeners)
            wait_ready(server, ready, settings)
    except BaseException:
        server.stop()
        raise
    finally:
        close_all(listeners)
    return server


def load_early(settings: Settings, app: object) -> None:
    """What the server consists of is imported once here, and not in each server."""
    modules = ["tricorn.arbiter.arbiter", "tricorn.arbiter.upgrade", "tricorn.workers.registry"]
    interface = maybe_kind_of(app) if callable(app) else None
    usual = kinds.usual(interface.value if interface is not None else kinds.WSGI)
    kind = kinds.maybe_kind(settings.worker_class) or usual
    if isinstance(kind.serve, str):
        modules.append(kind.serve.partition(":")[0])
    for module in modules:
        import_module(module)


def opened(settings: Settings) -> tuple[Settings, list[Listener]]:
    """Sockets for those addresses that have ports, which are known by this; and settings that name them."""
    wanted = {bind for bind in settings.bind if isinstance(parse_bind(bind).address, TcpAddress)}
    listeners = {}
    try:
        for bind in wanted:
            (listeners[bind],) = open_listeners(replace(settings, bind=(bind,)))
    except BaseException:
        close_all(list(listeners.values()))
        raise
    binds = [fd_form(bind, listeners[bind]) if bind in wanted else bind for bind in settings.bind]
    return replace(settings, bind=tuple(binds)), [listeners[bind] for bind in settings.bind if bind in wanted]


def fd_form(bind: str, listener: Listener) -> str:
    scheme = parse_bind(bind).scheme
    return f"{scheme}://fd://{listener.fileno()}" if scheme else f"fd://{listener.fileno()}"


def url_of(settings: Settings, listeners: Sequence[Listener]) -> str:
    for listener in listeners:
        (bind,) = [each for each in settings.bind if each.endswith(f"fd://{listener.fileno()}")]
        if parse_bind(bind).speaks_uwsgi(settings.protocol):
            continue
        address = listener.address
        assert isinstance(address, TcpAddress)
        if address.is_wildcard:
            address = replace(address, host="127.0.0.1" if address.host == "0.0.0.0" else "::1")
        scheme = "https" if speaks_tls(bind, address, settings) else "http"
        return str(address).replace("http", scheme, 1)
    return ""


def close_all(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.close()


@contextmanager
def ready_socket() -> Iterator[socket.socket]:
    """What the server tells when it is READY, as it would tell systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind("")  # the kernel chooses an abstract name (unix(7), autobind)
        ready.setblocking(False)
        yield ready


def wait_ready(server: Server, ready: socket.socket, settings: Settings) -> None:
    limit = boot_timeout_of(settings)
    end = time.monotonic() + limit * 2 + MARGIN if limit else None
    waiting = poll()
    waiting.register(ready, POLLIN)
    while True:
        if waiting.poll(10 * LOOK * 1000):
            if b"READY=1" in ready.recv(65536).split(b"\n"):
                return
        elif server.has_ended():
            server.stop()
            raise StartError(
                f"the server did not start (exit code {server.exit_code}); its log:\n{server.log}"
            )
        elif end is not None and time.monotonic() > end:
            raise StartError(
                f"the server is not ready after {limit * 2 + MARGIN:.0f} s; its log:\n{server.log}"
            )


# ---- the fork --------------------------------------------------------------------------------------------


def _keep_from_children(lifeline: int) -> None:
    """Whoever else is forked from this process may outlive it, and the server must not live as long."""
    if not _lifelines and not _has_hook:
        os.register_at_fork(after_in_child=_close_lifelines)
        _has_hook.append(True)
    _lifelines.add(lifeline)


_has_hook: list[bool] = []


def _close_lifelines() -> None:
    while _lifelines:
        os.close(_lifelines.pop())


def _live(
    work: Callable[[], int], lifeline: int, log: int, mask: set[int], listeners: Sequence[Listener]
) -> NoReturn:
    """The server's whole life. It never comes back to the test."""
    code = 1
    try:
        os.setsid()
        _forget_handlers()
        _end_with(lifeline)
        _write_to(log)
        for listener in listeners:
            listener.socket.detach()  # another object will have it
        atexit._clear()  # what is registered is for the test's end; multiprocessing does so too
        _forget_children()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = work()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BaseException:  # noqa: BLE001 - whatever it is, the log of the server is where to look for it
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a test may have put anything in its place
            stream.flush()


def _serve(settings: Settings, notify: str) -> int:
    with embedding.restored():
        launch = Launch((), (), lambda _environ, _directory: settings)
        launch.environ[VARIABLE] = notify
        launch.environ.pop(WATCHDOG_INTERVAL, None)
        return carry_out(launch)


def _forget_handlers() -> None:
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)


def _end_with(lifeline: int) -> None:
    """Have the kernel send INT when the writing end of this pipe is gone (fcntl(2), F_SETSIG)."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGINT)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    waiting = poll()
    waiting.register(lifeline, POLLIN)
    if waiting.poll(0):
        raise KeyboardInterrupt  # it was gone before


def _write_to(log: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for fd in (null, log):
        if fd > 2:
            os.close(fd)
    sys.stdout, sys.stderr = _stream(1), _stream(2)
    # pytest keeps records for the report of a test: here they would be kept for nobody, and be in no log.
    for handler in list(logging.root.handlers):
        if type(handler).__module__.startswith("_pytest."):
            logging.root.removeHandler(handler)


def _stream(fd: int) -> TextIO:
    return open(fd, "w", buffering=1, errors="backslashreplace", closefd=False)


def _forget_children() -> None:
    """Processes of multiprocessing are the test's."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children.clear()
