"""`tricorn doctor`: what this machine offers to a configuration, and what it lacks.

Knows: what a server needs of a machine, where the kernel tells of it, how an answer looks. Must not know:
how the server uses any of it.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tricorn import __version__, machine
from tricorn.config.commandline import HELP, VERSION
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.config.sources import load
from tricorn.log.escape import escape_line
from tricorn.net.address import TcpAddress, UnixAddress, parse_bind
from tricorn.records import dataclass

WELL = 0
WORSE = 1
WRONG = 2

#: How a finding is meant. A note is nothing to do about; a warning is.
GOOD, NOTE, WARNING = "good", "note", "warning"
MARKS = {GOOD: "ok", NOTE: "--", WARNING: "!!"}

#: Descriptors of a worker beside its connections: the application's files, pools of databases.
SPARE = 100
#: Bytes that an interpreter with a small application takes, as a floor.
SMALL_WORKER = 40 << 20
#: How long the application may take to be imported here, seconds.
PATIENCE = 120.0

#: Compiled with nghttp2, where that was there.
NGHTTP2 = "tricorn.http.h2_session"
KERNEL_TLS = Path("/proc/sys/net/ipv4/tcp_available_ulp")
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
FIRST_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@dataclass(frozen=True)
class Finding:
    """about: what was looked at. state: GOOD, NOTE or WARNING. says: what there is. do: what to do."""

    about: str
    state: str
    says: str
    do: str = ""


def main(words: Sequence[str]) -> int:
    """The exit status: 0 nothing is to be done, 1 something is, 2 a setting is wrong."""
    rest = [word for word in words if word not in ("-j", "--json")]
    if any(word in HELP for word in rest):
        print(help_text())
        return WELL
    if any(word in VERSION for word in rest):
        print(f"tricorn {__version__}")
        return WELL
    try:
        settings = load(rest, os.environ, Path.cwd())
    except ConfigError as error:
        print(f"tricorn doctor: error: {escape_line(str(error))}", file=sys.stderr)
        return WRONG
    findings = [finding for look in LOOKS for finding in look(settings)]
    findings += times(settings, rest)
    if len(rest) < len(words):
        print(json.dumps({"version": __version__, "findings": [vars(each) for each in findings]}, indent=2))
    else:
        print(text_of(findings))
    return WORSE if any(finding.state == WARNING for finding in findings) else WELL


def help_text() -> str:
    return "\n".join(
        [
            "Usage: tricorn doctor [--json] [options] [APP]",
            "",
            "Says what this machine, or the container, offers to a server with these options, and what it",
            "lacks: Python, TLS, HTTP/2, event loops, processors, memory, descriptors, temporary files, how",
            "many connections may wait, how long a start takes. With APP that is imported.",
            "",
            "The options are those of `tricorn`, and its configuration file and variables count as usual.",
            "",
            "  tricorn doctor                              this machine, with the settings that are found",
            "  tricorn doctor -w 8 --threads 16 shop:app",
            "  tricorn doctor --json -c tricorn.toml",
            "",
            "Marks: ok it is there; -- worth to know; !! something is to be done.",
            "",
            "  -j, --json    Print the findings as JSON.",
            "  -h, --help    Show this text and exit.",
            "",
            "Exit status: 0 nothing is to be done, 1 something is, 2 a setting is wrong.",
            "",
            "`tricorn doctor:app`, `tricorn ./doctor.py` and `tricorn -- doctor` serve an application.",
        ]
    )


def text_of(findings: Sequence[Finding]) -> str:
    width = max(len(finding.about) for finding in findings) + 2
    lines = []
    for finding in findings:
        said = escape_line(f"{finding.says}; {finding.do}" if finding.do else finding.says)
        body = textwrap.wrap(said, 100 - width, break_long_words=False, break_on_hyphens=False)
        for place, line in enumerate(body):
            lines.append(
                f"{'' if place else MARKS[finding.state]:4}{'' if place else finding.about:{width}}{line}"
            )
    number = sum(finding.state == WARNING for finding in findings)
    last = f"{number} thing{'s' if number > 1 else ''} to do" if number else "Nothing is to be done"
    return "\n".join([*lines, "", last])


# ---- Python and what it was built with -------------------------------------------------------------------


def python(_: Settings) -> Iterator[Finding]:
    is_free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    # Of 3.13 on; a module that needs the GIL turns it on again.
    has_gil = not is_free or getattr(sys, "_is_gil_enabled", lambda: True)()
    kind = "with the GIL" if has_gil else "free-threaded"
    says = f"{platform.python_implementation()} {platform.python_version()}, {kind}, at {sys.executable}"
    yield Finding("Python", GOOD, says)
    if is_free and has_gil:
        yield Finding(
            "free threading",
            NOTE,
            "this Python can run without the GIL, and has turned it on",
            "PYTHON_GIL=0 would keep it off; Tricorn's compiled modules are made for the GIL",
        )


def tls(settings: Settings) -> Iterator[Finding]:
    wants = bool(settings.certfile or settings.certificates)
    try:
        import ssl
    except ImportError:
        state = WARNING if wants else NOTE
        yield Finding(
            "TLS", state, "this Python has no ssl module", "install one that was built with OpenSSL"
        )
        return
    yield Finding("TLS", GOOD, ssl.OPENSSL_VERSION)
    has_kernel = "tls" in first_line(KERNEL_TLS).split()
    if has_kernel and hasattr(ssl, "OP_ENABLE_KTLS"):
        yield Finding("kernel TLS", GOOD, "the kernel can encrypt (tls), and OpenSSL knows how to ask it")
    else:
        lacks = "OpenSSL does not ask for it" if has_kernel else "the kernel module tls is not loaded"
        is_wanted = str(getattr(settings, "kernel_tls", "off")) in ("on", "True")
        yield Finding(
            "kernel TLS",
            WARNING if is_wanted and wants else NOTE,
            lacks,
            "modprobe tls" if not has_kernel else "",
        )


def http2(_: Settings) -> Iterator[Finding]:
    if find_spec(NGHTTP2) is None:
        yield Finding("HTTP/2", NOTE, "this Tricorn was built without nghttp2: clients get HTTP/1.1")
    else:
        yield Finding("HTTP/2", GOOD, "this Tricorn was built with nghttp2")


def event_loop(settings: Settings) -> Iterator[Finding]:
    if find_spec("uvloop") is not None:
        yield Finding("uvloop", GOOD, f"{version_of('uvloop')}; ASGI workers run on it")
        return
    state = WARNING if settings.asgi_loop == "uvloop" else NOTE
    yield Finding("uvloop", state, "it is not installed: ASGI workers run on asyncio", "pip install uvloop")


def watching(settings: Settings) -> Iterator[Finding]:
    if not settings.reload:
        return
    if find_spec("watchfiles") is None:
        says = "watchfiles is not installed: files are looked at three times a second"
        yield Finding("reload", NOTE, says, "pip install 'tricorn[reload]'")
    else:
        yield Finding("reload", GOOD, f"watchfiles {version_of('watchfiles')}")


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of an unknown version"


# ---- what the workers share ------------------------------------------------------------------------------


def processors(settings: Settings) -> Iterator[Finding]:
    there = machine.processors()
    yield Finding("processors", GOOD, str(there))
    workers, most = settings.workers, max(settings.workers, settings.workers_max)
    at_once = most * settings.threads
    about = f"{most} worker{'s' if most > 1 else ''}"
    if settings.threads > 1:
        about += f" with {settings.threads} threads each"
    usable = there.usable
    if most > 4 * math.ceil(usable):
        do = f'{there.workers} would do (workers = "auto"); more threads help where requests wait for others'
        yield Finding("workers", WARNING, f"{about} share {usable:g} processors", do)
    elif workers == 1 and most == 1 and usable >= 2:
        do = f'-w {there.workers}, or workers = "auto", would use all'
        yield Finding(
            "workers", NOTE, f"{about}: one processor of {usable:g} does all the work of Python", do
        )
    else:
        yield Finding(
            "workers", GOOD, f"{about} on {usable:g} processors: {at_once} requests of WSGI at once"
        )
    if there.quota is not None and there.quota < 1:
        do = "when it is used up all wait until the next period (100 ms); give the container at least one"
        yield Finding(
            "processor time", NOTE, f"{there.quota:g} processors are the limit of the container", do
        )


def memory(settings: Settings) -> Iterator[Finding]:
    there = machine.memory()
    if not there.machine:
        return
    limit = (
        "the container's limit"
        if there.limit is not None and there.limit < there.machine
        else "this machine's"
    )
    most = max(settings.workers, settings.workers_max) + settings.reload_max_surge
    each = there.usable // most
    says = f"{size(there.usable)} ({limit}): {size(each)} for each of {most} workers, one of them a successor"
    if settings.max_memory and settings.max_memory * most > there.usable:
        together = size(settings.max_memory * most)
        do = f"with max_memory = {size(settings.max_memory)} they may have {together}; lower one"
        yield Finding("memory", WARNING, says, do)
    elif each < SMALL_WORKER:
        yield Finding(
            "memory", WARNING, says, f"a small application needs {size(SMALL_WORKER)}; have fewer workers"
        )
    else:
        yield Finding("memory", GOOD, says)
    if limit.startswith("the container") and not settings.max_memory:
        do = f"max_memory = {size(each)} replaces a worker that grows before the kernel kills one"
        yield Finding("memory limit", NOTE, "the kernel kills a process when the container has no more", do)


def size(number: int) -> str:
    """As settings take it."""
    return f"{number / (1 << 30):.1f} GiB" if number >= 10 << 30 else f"{number >> 20}m"


def descriptors(settings: Settings) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.worker_connections + SPARE
    says = f"{number(soft)} descriptors for each process; {needed} for worker_connections and the application"
    if soft != resource.RLIM_INFINITY and soft < needed:
        do = f"raise it: LimitNOFILE={needed} of systemd, ulimit -n {needed} (at most {number(hard)})"
        yield Finding("descriptors", WARNING, says, do)
    else:
        yield Finding("descriptors", GOOD, says)


def number(limit: int) -> str:
    return "any number of" if limit == resource.RLIM_INFINITY else str(limit)


def tasks(settings: Settings) -> Iterator[Finding]:
    """Processes and threads that the container may have (cgroup pids.max)."""
    words = (first_line(level / "pids.max") for group in machine.groups("pids") for level in group.levels())
    limits = [int(word) for word in words if word.isdigit()]
    most = max(settings.workers, settings.workers_max) + settings.reload_max_surge
    needed = most * (settings.threads + 2) + 4
    if limits and min(limits) < needed:
        says = (
            f"{min(limits)} processes and threads are the container's limit, and these settings need {needed}"
        )
        yield Finding("tasks", WARNING, says, "raise it (TasksMax= of systemd, --pids-limit of Docker)")


def waiting(settings: Settings) -> Iterator[Finding]:
    word = first_line(SOMAXCONN)
    if not word.isdigit():
        return
    most = min(int(word), settings.backlog)
    says = f"{most} connections may wait: backlog is {settings.backlog}, net.core.somaxconn {word}"
    if int(word) < settings.backlog:
        # 2048 is everybody's default, and 128 the kernel's until 5.4.
        state = (
            WARNING if settings.origins.get("backlog", "default") != "default" or int(word) < 512 else NOTE
        )
        yield Finding("backlog", state, says, f"sysctl -w net.core.somaxconn={settings.backlog}")
    else:
        yield Finding("backlog", GOOD, says)


# ---- places ----------------------------------------------------------------------------------------------


def temporary(_: Settings) -> Iterator[Finding]:
    place = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=place):
            status = os.statvfs(place)
    except OSError as error:
        do = "set TMPDIR to a directory that can be written to"
        yield Finding("temporary files", WARNING, f"{place} cannot be written to: {error.strerror}", do)
        return
    free = status.f_bavail * status.f_frsize
    kind = machine.file_system(os.path.realpath(place))
    says = f"{place} ({kind or 'unknown'}) has {size(free)} free, for large request bodies"
    if free < 100 << 20:
        yield Finding("temporary files", WARNING, says, "make room, or set TMPDIR")
    elif kind in ("tmpfs", "ramfs"):
        yield Finding(
            "temporary files", NOTE, says, "which it takes from memory; TMPDIR names another directory"
        )
    else:
        yield Finding("temporary files", GOOD, says)


def sockets(settings: Settings) -> Iterator[Finding]:
    first = first_line(FIRST_PORT)
    for text in settings.bind:
        try:
            bind = parse_bind(text)
            address = bind.address
        except ValueError as error:
            yield Finding("bind", WARNING, str(error))
            continue
        if isinstance(address, TcpAddress) and 0 < address.port < int(first or 1024) and os.geteuid():
            do = "let systemd open the socket, or give the program CAP_NET_BIND_SERVICE"
            yield Finding("bind", WARNING, f"{text}: ports below {first or 1024} are for root", do)
        if bind.speaks_uwsgi(settings.protocol):
            yield uwsgi(text, settings.uwsgi_allow_ips)
        if isinstance(address, UnixAddress) and not address.abstract:
            directory = os.path.dirname(os.path.abspath(os.path.join(settings.chdir, address.path)))
            if not os.access(directory, os.W_OK):
                yield Finding(
                    "bind",
                    WARNING,
                    f"{text}: {directory} cannot be written to",
                    "RuntimeDirectory= of systemd",
                )


def uwsgi(bind: str, peers: Sequence[str]) -> Finding:
    """What is to be known of an address at which the protocol of that name is spoken."""
    if "*" in peers:
        do = "name the addresses of the machines on which nginx runs"
        return Finding(
            "bind", WARNING, f"{bind}: whoever connects says who the client is (uwsgi_allow_ips)", do
        )
    says = f"{bind} speaks the uwsgi protocol, for uwsgi_pass of nginx, with {', '.join(peers) or 'nobody'}"
    return Finding("bind", GOOD, says)


def user(settings: Settings) -> Iterator[Finding]:
    if os.geteuid() == 0 and not settings.user:
        do = "name one: --user, User= of systemd, USER of a Dockerfile"
        yield Finding("user", NOTE, "workers would run as root", do)


def first_line(path: Path) -> str:
    try:
        return path.read_text().split("\n", 1)[0].strip()
    except OSError:
        return ""


LOOKS: Sequence[Callable[[Settings], Iterator[Finding]]] = (
    python,
    tls,
    http2,
    event_loop,
    watching,
    processors,
    memory,
    descriptors,
    tasks,
    waiting,
    temporary,
    sockets,
    user,
)


# ---- how long a start takes ------------------------------------------------------------------------------


def times(settings: Settings, words: Sequence[str]) -> Iterator[Finding]:
    """Tricorn's own part, and the application's, each in a process of its own."""
    own = elapsed(["--version"])
    if own is None:
        yield Finding(
            "start", WARNING, f"{sys.executable} cannot start Tricorn", "install it into this environment"
        )
        return
    yield Finding("start", GOOD if own.seconds < 1 else NOTE, f"Tricorn itself takes {own.seconds:.2f} s")
    if settings.wsgi_app is None:
        return
    run = elapsed(["--check-config", *words])
    if run is None or run.code:
        why = "it takes too long" if run is None else run.last_line
        yield Finding(
            "application",
            WARNING,
            f"{settings.wsgi_app} cannot be loaded: {why}",
            "see tricorn --check-config",
        )
        return
    seconds = max(0.0, run.seconds - own.seconds)
    says = f"{settings.wsgi_app} takes {seconds:.2f} s to be imported"
    if seconds > 5:
        do = "preload_app imports it once for all workers; python -X importtime shows what takes the time"
        yield Finding("application", NOTE, says, do)
    else:
        yield Finding("application", GOOD, says)


@dataclass(frozen=True)
class Run:
    seconds: float
    code: int
    last_line: str


def elapsed(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> Run | None:
    """One run of the command. None: it did not end, or did not begin."""
    begin = time.monotonic()
    try:
        run = subprocess.run(
            [sys.executable, "-m", "tricorn", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=dict(environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = run.stderr.decode(errors="replace").strip().splitlines()
    return Run(time.monotonic() - begin, run.returncode, lines[-1] if lines else "")
