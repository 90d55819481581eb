"""What the command does when it is to serve, or to check a configuration: puts the rooms together, and starts
the master.

Knows: every room, and the process that it starts in (arguments, environment, directory, sys.path). Must not
know: what else the command can do (cli.py).
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tricorn import __version__, patches
from tricorn.alarms.rules import COUNTED
from tricorn.compat import gunicorn
from tricorn.config.errors import ConfigError
from tricorn.config.packages import check_package
from tricorn.config.settings import SETTINGS, Settings
from tricorn.config.sources import DEFAULT, load
from tricorn.console import EXIT_CONFIG, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, complain, show
from tricorn.gateway.loader import AppLoadError
from tricorn.heavy.pools import pools_of
from tricorn.http.forwarded import TrustedPeers
from tricorn.kinds import is_class_name, maybe_kind
from tricorn.log.access_format import compile_format, unknown_atoms
from tricorn.net.activation import PREDECESSOR, VARIABLES, Passed, by_number, handed_over
from tricorn.net.address import Address, FdAddress, TcpAddress, parse_bind
from tricorn.records import replace
from tricorn.tls import rules

if TYPE_CHECKING:
    from socket import socket

    from tricorn.arbiter.administration import RunAdmin
    from tricorn.arbiter.attendant import RunHealth
    from tricorn.arbiter.background import Starter
    from tricorn.arbiter.pools import RunHeavy
    from tricorn.handover import Assignment
    from tricorn.heavy.pools import Pool


def carry_out(launch: Launch) -> int:
    try:
        return run(launch)
    except ConfigError as error:
        complain("error", str(error))
        launch.tell_of_failure(str(error))
        return EXIT_CONFIG
    except KeyboardInterrupt:
        # Usually INT is no exception here (`brace`); it is where a program that has called main() says so.
        return EXIT_INTERRUPTED


def run(launch: Launch) -> int:
    settings = launch.settings()
    if settings.print_config or settings.check_config:
        show_remarks(settings)
        shown = show_config(settings) if settings.print_config else EXIT_OK
        return check(launch, settings) if settings.check_config and shown == EXIT_OK else shown
    return serve(launch, settings)


def show_config(settings: Settings) -> int:
    from tricorn.config.reference import print_config

    return show(print_config(settings))


def serve(launch: Launch, settings: Settings) -> int:
    application_name(settings)
    # Imported here: --help, --check-config and wrong settings do not wait for the server's modules.
    from tricorn.arbiter.arbiter import Arbiter
    from tricorn.arbiter.upgrade import Start
    from tricorn.workers.registry import worker_for

    try:
        settings = launch.enter(settings)
        tell_of_closed_streams(launch.closed, settings)
        if settings.daemon and not launch.predecessor:  # what a daemon has started is in the background
            launch.go_into_background(settings)
        # From here on it is the arbiter that talks with a predecessor.
        predecessor, launch.predecessor = launch.predecessor, ""
        start = Start(
            launch.command,
            launch.environ,
            launch.directory,
            launch.sockets,
            predecessor,
            launch.is_ready,
        )
        return Arbiter(
            settings,
            worker_for(settings),
            launch.reload,
            application_of,
            start,
            health_for(settings),
            admin_for(settings),
            *heavy_for(settings),
        ).run()
    except ConfigError as error:
        # Other rooms see values, not where they came from.
        raise error.at(settings.origins.get(error.setting, "")) from error


def health_for(settings: Settings) -> RunHealth | None:
    """What answers at `health_bind`."""
    if settings.health_bind is None:
        return None
    from tricorn.workers.health import run_health

    return run_health


def admin_for(settings: Settings) -> RunAdmin | None:
    """What serves control and metrics at `admin_bind`."""
    if settings.admin_bind is None:
        return None
    from tricorn.workers.admin import run_admin

    return run_admin


def heavy_for(settings: Settings) -> tuple[RunHeavy, RunHeavy]:
    """What runs in heavy workers, and in the process that keeps the stash. A reload may want some; if they
    are wanted now, the master imports what they share."""
    if settings.dirty_apps and settings.dirty_workers:
        import_module(HEAVY)
    return run_heavy, run_stash


HEAVY = "tricorn.workers.heavy"


def run_heavy(pool: Pool, queues: Mapping[str, socket], assignment: Assignment) -> int:
    from tricorn.workers import heavy

    return heavy.run_heavy(pool, queues, assignment)


def run_stash(pool: Pool, queues: Mapping[str, socket], assignment: Assignment) -> int:
    from tricorn.workers import heavy

    return heavy.run_stash(pool, queues, assignment)


def check(launch: Launch, settings: Settings) -> int:
    from tricorn.workers.boot import load

    name = application_name(settings)
    known = len(settings.warnings)
    settings = launch.enter(settings, logs=False)
    for warning in settings.warnings[known:]:
        complain("warning", warning)
    check_certificates(settings)
    check_hooks(settings)
    try:
        load(settings)
    except AppLoadError as error:
        complain("error", str(error))
        return EXIT_FAILURE
    except Exception:  # noqa: BLE001 - the application is foreign code; its traceback is the answer
        traceback.print_exc()
        complain("error", f"{name!r} cannot be loaded: it raised the exception above")
        return EXIT_FAILURE
    print(f"tricorn: the settings and the application {name!r} are in order")
    return EXIT_OK


def check_certificates(settings: Settings) -> None:
    """Finds what is wrong with the files of TLS, and shows what there is to say of them."""
    if not rules.is_wanted(settings):
        return
    from tricorn.tls.server import ServerTLS

    try:
        tls = ServerTLS(settings)
    except ConfigError as error:
        raise error.at(settings.origins.get(error.setting, "")) from error
    for remark in tls.remarks(datetime.now(UTC)):
        complain("warning" if remark.is_warning else "note", remark.text)


def check_hooks(settings: Settings) -> None:
    from tricorn.hooks.found import hooks_of

    try:
        hooks_of(settings)
    except ConfigError as error:
        raise error.at(settings.origins.get(error.setting, "")) from error


def application_name(settings: Settings) -> str:
    if settings.wsgi_app is None:
        raise ConfigError(
            "wsgi_app", "", "no application is given", "write tricorn module:app, or set wsgi_app"
        )
    return settings.wsgi_app


def application_of(settings: Settings, descriptors: Sequence[int]) -> Callable[..., Any]:
    """For a mold. It knows no gateway, so it gets the error in its own words."""
    from tricorn.arbiter.mold import BootError
    from tricorn.log.setup import heed_access_logger
    from tricorn.workers.boot import Watched, load, maybe_too_late, maybe_unprepared, raised

    watched = Watched(descriptors)
    heed_access_logger(settings)
    kind = maybe_kind(settings.worker_class)
    if kind is not None:
        reason = maybe_too_late(kind, settings) or maybe_unprepared(kind, is_mold=True)
        if reason is not None:
            raise BootError(reason)
    try:
        application = load(settings)
        watched.check()
    except AppLoadError as error:
        raise BootError(str(error)) from error
    except BaseException as error:  # foreign code; its traceback is what the user needs
        raise BootError(raised(settings, error)) from error
    return application


def tell_of_closed_streams(closed: Sequence[str], settings: Settings) -> None:
    """Where that can still be read."""
    for words in closed:
        if words != "standard input":  # nothing is read from it
            log = logging.getLogger("tricorn.error")
            log.warning("The %s was closed at the start: what is written there is lost", words)
    if "standard error" in closed and settings.errorlog == "-":
        show(
            "tricorn: warning: the standard error is closed, so the error log is lost; "
            "name a file with --error-logfile"
        )


def show_remarks(settings: Settings) -> None:
    for severity, texts in (("warning", settings.warnings), ("note", settings.notes)):
        for text in texts:
            complain(severity, text)


def check_addresses(settings: Settings) -> None:
    for address in settings.bind:
        parse_bind(address)


def check_fewest(settings: Settings, of: str = "") -> None:
    """of: "dirty_" means heavy workers. Raises ValueError."""
    if getattr(settings, f"{of}workers_min") and not getattr(settings, f"{of}workers_max"):
        raise ValueError(f"has no effect without {of}workers_max, the most workers that there may be")


def check_most(settings: Settings, of: str = "") -> None:
    """The same. Raises ValueError: nobody can have meant these numbers of workers."""
    most = getattr(settings, f"{of}workers_max")
    for name in (f"{of}workers_min", f"{of}workers"):
        number = getattr(settings, name)
        if 0 < most < number:
            raise ValueError(f"{most} is fewer than {name}, {number}")


def check_health_address(settings: Settings) -> None:
    if settings.health_bind is None:
        return
    bind = parse_bind(settings.health_bind)
    if bind.scheme not in (None, "http"):
        raise ValueError(
            f"{settings.health_bind}: health checks are asked by plain HTTP; leave the scheme out"
        )
    for other in settings.bind:
        if collide(bind.address, parse_bind(other).address):
            raise ValueError(
                f"{settings.health_bind} and {other}, which is in bind, are the same; use another"
            )


def check_admin_address(settings: Settings) -> None:
    if settings.admin_bind is None:
        return
    from tricorn.admin import rules as admin_rules

    admin_rules.check(settings)
    address = parse_bind(settings.admin_bind).address
    for name, binds in (("bind", settings.bind), ("health_bind", [settings.health_bind])):
        for other in filter(None, binds):
            if collide(address, parse_bind(other).address):
                raise ValueError(
                    f"{settings.admin_bind} and {other}, which is in {name}, are the same; use another"
                )


def collide(one: Address, other: Address) -> bool:
    """Whether only one of them can be listened at."""
    if isinstance(one, TcpAddress) and isinstance(other, TcpAddress) and one.port == other.port != 0:
        return one.host == other.host or one.is_wildcard or other.is_wildcard
    return one == other


def check_probes(settings: Settings) -> None:
    if settings.ready_path is not None and settings.ready_path == settings.health_path:
        raise ValueError(f"{settings.ready_path} is health_path already; use two different paths")


#: What a log may be called that goes where the command was started.
STREAMS = {"-", "/dev/stdout", "/dev/stderr", "/dev/tty"}


def check_daemon(settings: Settings) -> None:
    """Raises ValueError: nobody would see the logs."""
    if not settings.daemon:
        return
    if os.getpid() == 1:
        raise ValueError("this is process 1 of a container, which would end with it; leave daemon out")
    for fd, name in ((2, "errorlog"), (1, "accesslog")):
        written = getattr(settings, name)
        is_kept = settings.enable_stdio_inheritance and not os.isatty(fd)
        if written in STREAMS and not is_kept and not settings.syslog:
            flag = SETTINGS[name].long_flag
            raise ValueError(
                f"in the background there is no terminal, and {name} is {written!r}: name a file with {flag}"
            )


def check_reload(settings: Settings) -> None:
    """Raises ValueError."""
    if not settings.reload or settings.reload_engine != "watchfiles":
        return
    from tricorn.arbiter.reloading import has_watchfiles

    if not has_watchfiles():
        raise ValueError("watchfiles is not installed; pip install 'tricorn[reload]', or write auto or poll")


def check_reload_directories(settings: Settings) -> None:
    for each in settings.reload_dirs:
        if not Path(settings.chdir, each).is_dir():
            raise ValueError(f"there is no directory {each!r}; name one, from {settings.chdir}")


def check_static(settings: Settings) -> None:
    check_directories(settings, settings.static)


def check_sendfile(settings: Settings) -> None:
    check_directories(settings, settings.x_sendfile)


def check_directories(settings: Settings, directories: Mapping[str, str]) -> None:
    for prefix, directory in directories.items():
        if not Path(settings.chdir, directory).is_dir():
            raise ValueError(
                f"{prefix} has no directory: there is none at {directory!r}; make it, or name another, from "
                f"{settings.chdir}"
            )


def check_syslog(settings: Settings) -> None:
    from tricorn.log.syslog import parse_address

    parse_address(settings.syslog_addr)


def check_statsd(settings: Settings) -> None:
    from tricorn.log.statsd import parse_host

    if settings.statsd_host is not None:
        parse_host(settings.statsd_host)


def check_otel(settings: Settings) -> None:
    if not settings.otel:
        return
    from tricorn.tracing.packages import MissingError, check

    origin = settings.origins["otel"]
    if settings.refork_after:
        hint = "leave one of them out"
        raise ConfigError(
            "otel", origin, "a worker with the SDK's threads can become no mold (refork_after)", hint
        )
    try:
        check()
    except MissingError as error:
        raise ConfigError("otel", origin, str(error), error.hint) from error


def check_alarms(settings: Settings) -> None:
    if settings.alarm_window < 1:
        raise ValueError("a window of less than a second has too few requests; write 60")
    for name in COUNTED:
        if getattr(settings, name) and not settings.metrics:
            raise ConfigError(name, settings.origins[name], "nothing is counted", "set metrics = true too")


def check_protocols(settings: Settings) -> None:
    from tricorn.workers.protocols import maybe_library

    if "h2" in settings.http_protocols and maybe_library() is None:
        hint = "install libnghttp2-dev (1.50 or newer) and build again, or leave h2 out"
        raise ConfigError(
            "http_protocols", settings.origins["http_protocols"], "this build of Tricorn has no HTTP/2", hint
        )


#: Values whose grammar belongs to another room. Checked here, a mistake is found before anything starts.
CHECKS: dict[str, Callable[[Settings], object]] = {
    "bind": check_addresses,
    "daemon": check_daemon,
    "workers_min": check_fewest,
    "workers_max": check_most,
    "health_bind": check_health_address,
    "admin_bind": check_admin_address,
    "ready_path": check_probes,
    "certfile": rules.check,
    "http_protocols": check_protocols,
    "forwarded_allow_ips": lambda settings: TrustedPeers(settings.forwarded_allow_ips),
    "proxy_allow_ips": lambda settings: TrustedPeers(settings.proxy_allow_ips),
    "uwsgi_allow_ips": lambda settings: TrustedPeers(settings.uwsgi_allow_ips),
    "dirty_apps": pools_of,
    "dirty_workers_min": partial(check_fewest, of="dirty_"),
    "dirty_workers_max": partial(check_most, of="dirty_"),
    "access_log_format": lambda settings: compile_format(settings.access_log_format),
    "reload_engine": check_reload,
    "reload_dirs": check_reload_directories,
    "static": check_static,
    "x_sendfile": check_sendfile,
    "syslog_addr": check_syslog,
    "statsd_host": check_statsd,
    "otel": check_otel,
    "alarm_window": check_alarms,
}


def checked(settings: Settings) -> Settings:
    for name, check in CHECKS.items():
        try:
            check(settings)
        except ValueError as error:
            raise ConfigError(name, settings.origins[name], str(error)) from error
    return settings


def with_paste(settings: Settings, directory: Path) -> Settings:
    """Where a PasteDeploy file says what the application is, its place is the name: file.ini#section."""
    if settings.paste is None or settings.loader is not None:
        return settings
    place = directory / settings.paste
    if not Path(str(place).partition("#")[0]).is_file():
        raise ConfigError("paste", settings.origins["paste"], f"there is no file {settings.paste!r}")
    return replace(settings, wsgi_app=str(place), paste=str(place))


def with_remarks(settings: Settings) -> Settings:
    """The same, with what another room has to say of a value that it can live with."""
    if settings.accesslog is None:
        return settings
    origin = settings.origins["access_log_format"]
    said = (f"access_log_format: {each} ({origin})" for each in unknown_atoms(settings.access_log_format))
    return replace(settings, warnings=(*settings.warnings, *said))


def with_patches(settings: Settings) -> Settings:
    """The same, with what is to be said of a standard library that was patched for gevent."""
    kind = maybe_kind(settings.worker_class)
    if is_class_name(settings.worker_class) or (kind is not None and kind.name == "gevent"):
        return settings  # its workers do it again
    said = (
        "monkey.patch_all() of gevent was called while the settings were read, and is undone: worker_class "
        f"is {settings.worker_class} ({settings.origins['worker_class']})"
    )
    return replace(settings, warnings=(*settings.warnings, said))


def check_patches() -> None:
    if patches.is_eventlets():
        raise ConfigError(
            "config",
            "",
            "eventlet.monkey_patch() was called while the settings were read, and the master cannot work so",
            "leave it out: workers of worker_class eventlet do it before the application is imported",
        )


def with_sockets(settings: Settings, sockets: Sequence[Passed]) -> Settings:
    """Listen on the sockets that systemd has opened, if it has: whoever made them wants them to be used.

    So they go before `bind`, as in Gunicorn, unless that names descriptors: then it says which ones, by their
    numbers or by the names that systemd gives them.
    """
    try:
        bind = tuple(address for each in settings.bind for address in by_number(each, sockets))
    except ValueError as error:
        raise ConfigError("bind", settings.origins["bind"], str(error)) from error
    for name in ("health_bind", "admin_bind"):
        settings = with_own_socket(name, settings, sockets)
    others = (settings.health_bind, settings.admin_bind)
    sockets = [each for each in sockets if each.address not in others]
    if not sockets or any(isinstance(parse_bind(address).address, FdAddress) for address in bind):
        return replace(settings, bind=bind)
    warnings = settings.warnings
    passed = tuple(each.address for each in sockets)
    if settings.origins["bind"] != DEFAULT:
        said = f"bind: {', '.join(settings.bind)} ({settings.origins['bind']}) is not used"
        warnings += (f"{said}, because systemd passes {', '.join(passed)}",)
    origins = MappingProxyType({**settings.origins, "bind": "LISTEN_FDS"})
    return replace(settings, bind=passed, origins=origins, warnings=warnings)


def with_own_socket(name: str, settings: Settings, sockets: Sequence[Passed]) -> Settings:
    """`health_bind` may name one of them, too, and `admin_bind`; that is none of the others then."""
    wanted = getattr(settings, name)
    if wanted is None:
        return settings
    try:
        address, *more = by_number(wanted, sockets)
        if more:
            raise ValueError(f"{wanted!r} is {1 + len(more)} sockets, and one is enough")
    except ValueError as error:
        raise ConfigError(name, settings.origins[name], str(error)) from error
    changed: dict[str, Any] = {name: address}
    return replace(settings, **changed)


def command_line() -> tuple[str, ...]:
    """The program that this process is, and its arguments: what starts another one like it.

    A script (`venv/bin/tricorn`) is named itself, so that its first line counts as it is by then: an
    environment that was made anew may have another Python in it.
    """
    words = sys.orig_argv
    for place in (1, 2):  # behind the interpreter, and the one option that a first line may have
        if interpreter_line(words[place : place + 1]) == words[:place]:
            return tuple(words[place:])
    return (sys.executable or words[0], *words[1:])


def interpreter_line(script: Sequence[str]) -> list[str] | None:
    """The words behind #! of a program that is a script, as the kernel splits them."""
    try:
        with open(script[0], "rb") as program:
            line = os.fsdecode(program.readline(4096))
    except (IndexError, OSError):
        return None
    return (
        line[2:].strip().split(maxsplit=1)
        if line.startswith("#!") and os.access(script[0], os.X_OK)
        else None
    )


def logical_directory() -> str:
    """The working directory by the name that it was entered with. Where that is a link to the current
    release, it may lead to another one by the time that somebody starts anew."""
    name = os.environ.get("PWD", "")
    try:
        is_here = os.path.isabs(name) and os.path.samefile(name, ".")
    except OSError:
        is_here = False
    return name if is_here else os.getcwd()


#: The settings, in an environment and a directory. Raises ConfigError.
Read = Callable[[Mapping[str, str], Path], Settings]


class Launch:
    """What the command was started with, kept so that a reload starts from the same.

    The first load and each reload read the arguments, the environment and the directory as they were at the
    start. What a configuration then changes in the process (directory, sys.path, raw_env) is undone before
    the next one is applied, so a variable that left the file leaves the environment too.
    """

    def __init__(
        self, arguments: Sequence[str], closed: Sequence[str] = (), read: Read | None = None
    ) -> None:
        """read: where the settings come from if not from the arguments."""
        self.read = read or partial(load, tuple(arguments))
        self.closed = closed  # standard streams that were
        self.environ = dict(os.environ)
        self.cwd = Path.cwd()
        self.command = command_line()
        self.directory = logical_directory()
        self.sockets = handed_over(self.environ, os.getpid())
        self.predecessor = self.environ.get(PREDECESSOR, "")
        self.starter: Starter | None = None
        for name in (*VARIABLES, PREDECESSOR):
            # They are meant for this process, and a child must not take the sockets for its own.
            os.environ.pop(name, None)
            self.environ.pop(name, None)
        for each in self.sockets:
            with suppress(OSError):  # it will be missed when it is to be used
                os.set_inheritable(each.fd, False)
        if self.predecessor:
            from tricorn.arbiter.upgrade import seal

            seal(self.predecessor)
        for secret in (each for each in SETTINGS.values() if each.kind.is_secret):
            # A reload needs it; the application and the programs that it starts do not.
            os.environ.pop(secret.variable, None)
        self.entered: Settings | None = None
        self.added_paths: list[str] = []
        self.added_variables: list[str] = []

    def settings(self) -> Settings:
        from tricorn.log import given

        try:
            with gunicorn.installed_if_used(), given.reading():
                settings = self.read(self.environ, self.cwd)
        finally:
            is_patched = patches.undo()
        if is_patched:
            settings = with_patches(settings)
        check_patches()
        if any("gunicorn" in origin for origin in settings.origins.values()):
            gunicorn.install()  # its functions may import something when they are called
        if settings.dirty_apps and settings.dirty_workers:
            gunicorn.install_dirty()
        return with_remarks(checked(with_sockets(with_paste(settings, self.cwd), self.sockets)))

    def reload(self) -> Settings:
        """The settings as they are now, applied. If they are wrong, ConfigError, and the old ones stay."""
        settings = self.settings()
        application_name(settings)
        before = self.entered
        try:
            return self.enter(settings)
        except ConfigError:
            if before is not None:
                self.enter(before, logs=False)
            raise

    def go_into_background(self, settings: Settings) -> None:
        """The process that comes back from this is the server."""
        from tricorn.arbiter.background import enter
        from tricorn.arbiter.systemd import VARIABLE as NOTIFY_SOCKET

        show_remarks(settings)
        if NOTIFY_SOCKET in self.environ:
            complain(
                "warning",
                "daemon: systemd waits for the process that it has started (Type=notify), and that one ends "
                "when the server is ready; leave daemon out",
            )
        log = None if settings.errorlog in STREAMS else Path(settings.chdir, settings.errorlog)
        self.starter = enter(log, keeps_streams=settings.enable_stdio_inheritance)

    def is_ready(self) -> None:
        """Called when the server is, for whoever waits for that."""
        if self.starter is not None:
            self.starter.ready()

    def tell_of_failure(self, error: str) -> None:
        """To the command that has started this process, or to an older master: why it serves nobody."""
        if self.starter is not None:
            self.starter.failed(error)
        if self.predecessor:
            from tricorn.arbiter.upgrade import tell_failure

            tell_failure(error, self.predecessor)

    def enter(self, settings: Settings, *, logs: bool = True) -> Settings:
        """Applies what concerns the process as a whole; gives them with what shows only then."""
        self.leave()
        self.entered = settings
        os.chdir(settings.chdir)
        self.added_paths = [*(os.path.abspath(path) for path in settings.pythonpath), settings.chdir]
        sys.path[:0] = self.added_paths
        # Applications that ask whether a server runs them look for the first, which Gunicorn sets too.
        for assignment in (f"SERVER_SOFTWARE=tricorn/{__version__}", *settings.raw_env):
            name, _, value = assignment.partition("=")
            os.environ[name] = value
            self.added_variables.append(name)
        if is_class_name(settings.worker_class):
            from tricorn.worker_classes import resolved

            settings = resolved(settings)
        check_package(settings)
        if logs:
            from tricorn.log.setup import configure

            configure(settings)
            log = logging.getLogger("tricorn.error")
            for warning in settings.warnings:
                log.warning(warning)
            for note in settings.notes:
                log.info(note)
        return settings

    def leave(self) -> None:
        for path in self.added_paths:
            # The application may have taken it away itself.
            if path in sys.path:
                sys.path.remove(path)
        for name in self.added_variables:
            os.environ.pop(name, None)
            if name in self.environ:
                os.environ[name] = self.environ[name]
        self.added_paths = []
        self.added_variables = []
