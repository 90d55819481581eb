"""`tricorn dev`: a server for whoever writes the application.

Knows: which settings that takes, where an application is looked for if none is named. Must not know: how
files are watched, how anything is served.

What it sets stands above a configuration file, which is for production, and below what is written on the
command line and in TRICORN_ variables.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tricorn import __version__
from tricorn.commands.table import Service
from tricorn.config.commandline import HELP, VERSION
from tricorn.config.errors import ConfigError
from tricorn.config.settings import SETTINGS, Settings
from tricorn.config.sources import load
from tricorn.records import dataclass, replace

NAME = "tricorn dev"
PORT = "8000"

#: Why each of them stands here, for --help, and its value.
OWN: Mapping[str, tuple[tuple[str, object], ...]] = {
    "watch the files, and load the code anew when one has changed": (("reload", True),),
    "log everything, to the terminal": (("loglevel", "debug"), ("errorlog", "-"), ("syslog", False)),
    "tell of each request in a short line": (("accesslog", "-"), ("access_log_format", "dev")),
    "one worker, for this machine alone": (
        *(
            ("workers", 1),
            ("workers_max", 0),
            ("workers_min", 0),
            ("dirty_workers_max", 0),
            ("dirty_workers_min", 0),
            ("preload_app", False),
            ("health_bind", None),
        ),
        *(("user", None), ("group", None), ("pidfile", None), ("daemon", False)),
    ),
    "no time limits for the application, so that a debugger may stop it": (
        *(("timeout", 0), ("request_timeout", 0), ("boot_timeout", 0), ("dirty_timeout", 0)),
    ),
    "never give up: what does not start is tried again": (("max_boot_failures", 0),),
}

#: Where an application is looked for, the first that is there: modules, then modules of a package.
MODULES = ("app", "wsgi", "asgi", "main")
IN_PACKAGES = ("wsgi", "asgi", "app", "main", "__init__")
#: By these names: what is one, what makes one.
APPLICATIONS = ("app", "application")
FACTORIES = ("create_app", "make_app")
#: Directories that are no packages of an application's.
LEFT_OUT = {"test", "tests", "node_modules", "docs", "build", "dist"}


def maybe_words(words: Sequence[str]) -> str | None:
    for word in words:
        if word == "--":
            break
        if word in HELP:
            return help_text()
        if word in VERSION:
            return f"tricorn {__version__}"
    return None


def help_text() -> str:
    lines = [
        f"Usage: {NAME} [options] [APP]",
        "",
        "Serves the WSGI or ASGI application APP while you write it. This is `tricorn` with other values:",
        "",
    ]
    for why, values in OWN.items():
        settings = ", ".join(f"{name} = {shown(name, value)}" for name, value in values)
        lines += [f"  {why}", *(f"      {line}" for line in wrapped(settings))]
    lines += [
        f"  listen at 127.0.0.1, at $PORT or {PORT}",
        "",
        "They count more than a configuration file, and less than options and TRICORN_ variables: all",
        "options of `tricorn --help` may be given.",
        "",
        "If the code cannot be loaded, the terminal shows why, and as long as only this machine can connect,",
        "so does a page in the browser, until it is mended.",
        "",
        f"Without APP it is looked for: $FLASK_APP; {', '.join(f'{name}.py' for name in MODULES)} in the",
        "directory (--chdir) or in a package there; in it " + ", ".join(APPLICATIONS) + ",",
        " or ".join(f"{name}()" for name in FACTORIES) + ".",
        "",
        f"  {NAME}                         what is found here, at http://127.0.0.1:{PORT}",
        f"  {NAME} -b :5000 shop:app       this one, for everybody, at port 5000 (without the page)",
        f"  {NAME} --reload-include '*.html' shop:app",
        "",
        "With `pip install tricorn[reload]` changes are noticed at once (see reload_engine).",
        "`NO_COLOR=1` leaves out the colours.",
        "",
        "`tricorn dev:app`, `tricorn ./dev.py` and `tricorn -- dev` serve an application of that name.",
    ]
    return "\n".join(lines)


def shown(name: str, value: object) -> str:
    kind = SETTINGS[name].kind
    return "(not set)" if value is None else str(kind.show(kind.parse(value)))


def wrapped(text: str) -> Iterator[str]:
    line = ""
    for part in text.split(", "):
        if len(line) + len(part) > 90:
            yield f"{line},"
            line = ""
        line = f"{line}, {part}" if line else part
    yield line


def read(words: Sequence[str], environ: Mapping[str, str], cwd: Path) -> Settings:
    """Raises ConfigError."""
    own = {name: value for values in OWN.values() for name, value in values}
    own["bind"] = f"127.0.0.1:{environ.get('PORT', '').strip() or PORT}"
    settings = load(words, environ, cwd, own, NAME)
    if settings.paste is not None:
        return settings
    named = settings.wsgi_app or environ.get("FLASK_APP", "").strip()
    places = [Path(settings.chdir), *(Path(settings.chdir, path) for path in settings.pythonpath)]
    spec = completed(named, places) if named else search(places)
    if spec == settings.wsgi_app:
        return settings
    origin = "environment FLASK_APP" if named and not settings.wsgi_app else NAME
    origins = MappingProxyType({**settings.origins, "wsgi_app": origin})
    notes = (*settings.notes, f"The application is {spec}") if not named else settings.notes
    return replace(settings, wsgi_app=spec, origins=origins, notes=notes)


# ---- where the application is ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Names:
    """What a module has at its top: names, and of these the functions that need no arguments."""

    all: frozenset[str]
    makers: frozenset[str]

    def maybe_target(self) -> str | None:
        """What stands behind the colon."""
        for name in APPLICATIONS:
            if name in self.all:
                return name
        return next((f"{name}()" for name in FACTORIES if name in self.makers), None)


def names_of(file: Path) -> Names | None:
    """None: it is no Python that can be read. It is not run: that is the worker's business."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    found, makers = set(), set()
    for node in statements(tree.body):
        match node:
            case ast.FunctionDef(name=name, args=arguments):
                found.add(name)
                needed = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
                if needed == 0 and all(default is not None for default in arguments.kw_defaults):
                    makers.add(name)
            case ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                imported = {alias.asname or alias.name.partition(".")[0] for alias in names}
                found |= imported
                makers |= imported  # nobody can tell yet
            case ast.Assign(targets=targets):
                found |= {
                    each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)
                }
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                found.add(name)
    return Names(frozenset(found), frozenset(makers))


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Of the module itself, also in its `if`, `try` and `with`."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody") if isinstance(node, ast.If | ast.Try | ast.With) else ():
            yield from statements(getattr(node, part, []))


def search(places: Sequence[Path]) -> str:
    """The application that lies there. Raises ConfigError."""
    for place in places:
        for module in MODULES:
            if (spec := maybe_spec(module, place)) is not None:
                return spec
    found = [spec for place in places for spec in in_packages(place)]
    if len(found) == 1:
        return found[0]
    where = " and ".join(map(str, places))
    if found:
        raise ConfigError(
            "wsgi_app",
            "",
            f"no application is given, and {where} has several: {', '.join(found)}",
            f"write one of them, such as {NAME} {found[0]}",
        )
    raise ConfigError(
        "wsgi_app", "", f"no application is given, and none was found: {looked_for(where)}", WRITE
    )


WRITE = f"write {NAME} module:app"


def looked_for(where: str) -> str:
    files = ", ".join(f"{name}.py" for name in MODULES)
    names = ", ".join((*APPLICATIONS, *(f"{name}()" for name in FACTORIES)))
    return f"looked in {where} and its packages for {files}, and in these for {names}"


def maybe_spec(module: str, place: Path) -> str | None:
    """The module with its target. One that cannot be read is taken too: what is wrong is shown then."""
    file = maybe_file(module, place)
    if file is None:
        return None
    names = names_of(file)
    target = APPLICATIONS[0] if names is None else names.maybe_target()
    return None if target is None else f"{module}:{target}"


def maybe_file(module: str, place: Path) -> Path | None:
    path = place.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def in_packages(place: Path) -> Iterator[str]:
    """One of each package that has one."""
    try:
        packages = sorted(path for path in place.iterdir() if is_package(path))
    except OSError:
        return
    for package in packages:
        dotted = (
            package.name if module == "__init__" else f"{package.name}.{module}" for module in IN_PACKAGES
        )
        spec = next((spec for module in dotted if (spec := maybe_spec(module, place)) is not None), None)
        if spec is not None:
            yield spec


def is_package(path: Path) -> bool:
    return path.name.isidentifier() and path.name not in LEFT_OUT and (path / "__init__.py").is_file()


def completed(spec: str, places: Sequence[Path]) -> str:
    """As Flask understands a name: a module may have a factory, and a factory need not be called."""
    where, colon, target = spec.partition(":")
    names = maybe_names(where, places)
    if names is None:
        return spec
    if not colon:
        found = names.maybe_target()
        return spec if found is None else f"{where}:{found}"
    return f"{spec}()" if target in FACTORIES and target in names.makers else spec


def maybe_names(where: str, places: Sequence[Path]) -> Names | None:
    if where.endswith(".py") or "/" in where:
        return names_of(places[0] / where)
    files = (maybe_file(where, place) for place in places)
    file = next((file for file in files if file is not None), None)
    return None if file is None else names_of(file)


SERVICE = Service(maybe_words, read)
