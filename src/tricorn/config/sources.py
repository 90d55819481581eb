"""Brings the sources together: `load()` returns the settings, each with the place where its value came from.

From low to high, the last that speaks wins:

    defaults
    variables that platforms share     WEB_CONCURRENCY, PORT, FORWARDED_ALLOW_IPS, SENDFILE
    the configuration file             -c, or the first default file
    a variable for each setting        TRICORN_WORKERS
    options in the environment         GUNICORN_CMD_ARGS, then TRICORN_CMD_ARGS
    the command line

Knows: the order, and how settings are related. Must not know: the process; environment and directory are
given.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tricorn import machine
from tricorn.config import bulkheads
from tricorn.config.commandline import Options, read_options
from tricorn.config.declaration import Declared
from tricorn.config.errors import BadValueError, ConfigError, did_you_mean
from tricorn.config.files import Contents, maybe_read_default, read_named
from tricorn.config.packages import has_http2
from tricorn.config.parsers import FILE, is_auto
from tricorn.config.settings import SETTINGS, Settings
from tricorn.kinds import Runner, maybe_kind
from tricorn.records import dataclass, field, replace

COMMAND_LINE = "command line"
DEFAULT = "default"
#: Options in the environment, from low to high.
OPTION_VARIABLES = ("GUNICORN_CMD_ARGS", "TRICORN_CMD_ARGS")
PREFIX = "TRICORN_"
#: What a request head is made of that has a limit of its own.
HEAD_PARTS = ("limit_request_line", "limit_request_field_size")
LARGEST_HEAD = 1 << 30
#: Settings that do nothing without a certificate. Where that is dangerous it is an error (tls/rules.py).
TLS_ONLY = ("ciphers", "tls_minimum_version", "ssl_context", "ca_certs", "keyfile_password_file")


@dataclass(frozen=True)
class Written:
    """A value as it was written, and where."""

    value: object
    origin: str


@dataclass
class Sources:
    """What the sources say so far. A value that is written later replaces the earlier one as a whole."""

    written: dict[str, Written] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, values: Mapping[str, object], origin: str) -> None:
        self.written.update({name: Written(value, origin) for name, value in values.items()})

    def add_all(self, read: Contents | Options) -> None:
        self.add(read.values, read.origin)
        self.warnings += read.warnings
        self.notes += read.notes


def load(
    argv: Sequence[str],
    environ: Mapping[str, str],
    cwd: Path,
    own: Mapping[str, object] = MappingProxyType({}),
    owner: str = "",
) -> Settings:
    """The settings for these arguments in this environment and directory. Raises ConfigError.

    own: values that a command has of its own, above those of a file; owner: what messages call it.
    """
    above_the_file = Sources()
    add_variables(above_the_file, environ)
    for variable in OPTION_VARIABLES:
        if words := option_words(variable, environ):
            above_the_file.add_all(read_options(words, f"environment {variable}"))
    above_the_file.add_all(read_options(argv, COMMAND_LINE))

    sources = Sources()
    add_shared_variables(sources, environ)
    add_file(sources, above_the_file.written.get("config"), cwd)
    sources.notes.extend(passed_over(sources, own, owner, above_the_file))
    sources.add(own, owner)
    sources.written.update(above_the_file.written)
    sources.warnings += above_the_file.warnings
    sources.notes += above_the_file.notes
    return settings_of(sources, cwd)


def passed_over(sources: Sources, own: Mapping[str, object], owner: str, above: Sources) -> Iterator[str]:
    """What is said of values of a file that a command does not take."""
    found = {name: sources.written[name].origin for name in own if name in sources.written}
    names = [
        name
        for name, origin in found.items()
        if name not in above.written and not origin.startswith("environment")
    ]
    if names:
        yield f"{owner} does not take {', '.join(names)} from {found[names[0]]}; options count as always"


def add_shared_variables(sources: Sources, environ: Mapping[str, str]) -> None:
    for declared in SETTINGS.values():
        if declared.env is None or (value := environ.get(declared.env.variable)) is None:
            continue
        # Compose files and platforms hand over variables that are not filled in: no PORT is not port "".
        # Where the empty text is a value it stays one: an empty FORWARDED_ALLOW_IPS trusts nobody.
        if value.strip() or declared.kind.blank:
            sources.add({declared.name: declared.env.text(value)}, f"environment {declared.env.variable}")


def add_file(sources: Sources, named: Written | None, cwd: Path) -> None:
    location = None if named is None else parsed(SETTINGS["config"], named)
    if named is not None and location is not None:
        sources.add_all(read_named(location, named.origin, cwd))
    elif (default := maybe_read_default(cwd)) is not None:
        sources.add_all(default)


def add_variables(sources: Sources, environ: Mapping[str, str]) -> None:
    for declared in SETTINGS.values():
        if (value := environ.get(declared.variable)) is None:
            continue
        origin = f"environment {declared.variable}"
        try:
            items = value if declared.kind.split is None else declared.kind.split(value)
        except BadValueError as error:
            raise ConfigError(declared.name, origin, error.message, error.hint) from error
        sources.add({declared.name: items}, origin)
    sources.warnings.extend(misspelt(environ))


def misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    """Not errors, unlike in a file: others put variables into our environment too (Kubernetes makes
    TRICORN_SERVICE_HOST for a service called tricorn). So only a close miss is worth a line."""
    known = [declared.variable for declared in SETTINGS.values()]
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in known and variable not in OPTION_VARIABLES:
            near = did_you_mean(variable, known, cutoff=0.9)
            if near:
                yield f"environment {variable} is not a setting; {near}"


def option_words(variable: str, environ: Mapping[str, str]) -> list[str]:
    try:
        return shlex.split(environ.get(variable, ""))
    except ValueError as error:
        raise ConfigError(
            variable, "environment", f"cannot be split into words like a shell command: {error}"
        ) from error


def parsed(declared: Declared, written: Written) -> Any:
    try:
        return declared.kind.parse(written.value)
    except BadValueError as error:
        raise ConfigError(declared.name, written.origin, error.message, error.hint) from error


def settings_of(sources: Sources, cwd: Path) -> Settings:
    """Only the values that win are checked: a user that exists elsewhere but not here may be overridden."""
    values = {name: parsed(SETTINGS[name], written) for name, written in sources.written.items()}
    origins = {
        name: sources.written[name].origin if name in sources.written else DEFAULT for name in SETTINGS
    }
    values["chdir"] = str(cwd / values.get("chdir", "."))
    if "limit_request_head" not in values:
        values["limit_request_head"] = room_for(values, origins)
    if "http_protocols" not in values and not has_http2():
        values["http_protocols"], origins["http_protocols"] = ("h1",), "this build has no HTTP/2"
    settings = Settings(**values, origins=MappingProxyType(origins))
    check_together(settings)
    warnings = (*sources.warnings, *remarks(sources), *remarks_together(settings))
    notes = (*sources.notes, *notes_on(settings), *notes_on_auto(sources, settings))
    return replace(settings, warnings=warnings, notes=notes)


def room_for(values: Mapping[str, Any], origins: dict[str, str]) -> int:
    """`limit_request_head` where nobody has set it: room for the line and the field that are allowed.

    Files that were written for Gunicorn cannot name it.
    """
    head: int = SETTINGS["limit_request_head"].default
    for name in HEAD_PARTS:
        wanted = values.get(name, SETTINGS[name].default)
        if 2 * wanted > head:
            head, origins["limit_request_head"] = min(2 * wanted, LARGEST_HEAD), f"{name} ({origins[name]})"
    return head


def remarks(sources: Sources) -> Iterator[str]:
    for name, written in sources.written.items():
        if said := SETTINGS[name].kind.remark(written.value):
            yield f"{name}: {said} ({written.origin})"


def notes_on(settings: Settings) -> Iterator[str]:
    if settings.daemon:
        yield (
            f"daemon: nobody starts the server again when it ends ({settings.origins['daemon']}); under "
            "systemd or another supervisor, which does, leave it out"
        )


def notes_on_auto(sources: Sources, settings: Settings) -> Iterator[str]:
    written = sources.written.get("workers")
    if written is not None and is_auto(written.value):
        yield f"workers: auto is {settings.workers} ({written.origin}): {machine.processors()}"


def remarks_together(settings: Settings) -> Iterator[str]:
    """What is no mistake, but does not do what the writer may believe."""
    yield from (strangers_on_unix(settings) if any(re.match(FILE, each) for each in settings.bind) else ())
    kind = maybe_kind(settings.worker_class)
    if kind is not None and kind.runner is not Runner.THREADS and settings.threads > 1:
        yield (
            f"threads: {settings.threads} has no effect with worker_class {kind.name}, whose workers have "
            f"{kind.runner.value} each ({settings.origins['threads']}); set workers instead"
        )
    has_tls = settings.certfile is not None or settings.certificates
    for name in TLS_ONLY if not has_tls else ():
        if getattr(settings, name) != SETTINGS[name].default:
            yield f"{name}: has no effect without certfile ({settings.origins[name]})"
    if settings.request_id_response and settings.request_id_header is None:
        yield (
            "request_id_response: has no effect without request_id_header "
            f"({settings.origins['request_id_response']})"
        )
    if settings.enable_backlog_metric and settings.statsd_host is None:
        yield (
            "enable_backlog_metric: has no effect without statsd_host "
            f"({settings.origins['enable_backlog_metric']})"
        )
    if settings.info_to_stdout and settings.errorlog != "-":
        yield (
            f"info_to_stdout: has no effect, because errorlog is {settings.errorlog} "
            f"({settings.origins['info_to_stdout']})"
        )
    if has_tls and settings.ca_certs is not None and not settings.cert_reqs and settings.ssl_context is None:
        yield f"ca_certs: has no effect while cert_reqs is none ({settings.origins['ca_certs']})"


def strangers_on_unix(settings: Settings) -> Iterator[str]:
    """In Gunicorn clients on Unix sockets are always trusted, whatever these settings say."""
    trust = {"forwarded_allow_ips": settings.forwarded_allow_ips}
    if settings.proxy_protocol != "off":
        trust["proxy_allow_ips"] = settings.proxy_allow_ips
    if settings.protocol == "uwsgi" or any(each.startswith(("uwsgi:", "suwsgi:")) for each in settings.bind):
        trust["uwsgi_allow_ips"] = settings.uwsgi_allow_ips
    for name, peers in trust.items():
        if peers and not {"unix", "*"} & set(peers):
            yield (
                f"{name}: clients on Unix sockets are not trusted ({settings.origins[name]}); add unix if a "
                "proxy connects there"
            )


def check_together(settings: Settings) -> None:
    """What no value can say on its own."""
    bulkheads.check(settings)
    if not Path(settings.chdir).is_dir():
        raise ConfigError(
            "chdir",
            settings.origins["chdir"],
            f"there is no directory {settings.chdir!r}",
            "name one that exists",
        )
    for name in HEAD_PARTS:
        if getattr(settings, name) > settings.limit_request_head:
            raise ConfigError(
                name,
                settings.origins[name],
                f"{getattr(settings, name)} is more than limit_request_head, which is "
                f"{settings.limit_request_head}",
                "raise limit_request_head too",
            )
    if not settings.reload_max_surge and not settings.reload_max_unavailable:
        raise ConfigError(
            "reload_max_surge",
            settings.origins["reload_max_surge"],
            "it is 0 and so is reload_max_unavailable, so no worker could ever be replaced",
            "set one of them to 1",
        )
    if 0 < settings.max_memory_hard < settings.max_memory:
        raise ConfigError(
            "max_memory_hard",
            settings.origins["max_memory_hard"],
            f"{settings.max_memory_hard} is less than max_memory, which is {settings.max_memory}",
            "raise it: a worker that is being replaced needs some memory beyond max_memory",
        )
