"""Where a server's command line stands: a text, a Procfile, a Dockerfile, a unit of systemd, a file of
supervisord, of Compose or of Kubernetes, a shell script; and files that have settings of one server.

Knows: the forms of these files, what the servers' commands are called. Must not know: any server's settings.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import Error as IniError
from configparser import RawConfigParser
from pathlib import Path, PurePosixPath

from tricorn.commands.foreign import compose, granian, gunicorn, hypercorn, uvicorn, uwsgi
from tricorn.commands.foreign.rows import Translation
from tricorn.records import dataclass, field, replace

#: A server → from the words behind its name, variables and a directory, what it is here.
SERVERS: Mapping[str, Callable[[Sequence[str], Mapping[str, str], Path], Translation]] = {
    "gunicorn": gunicorn.translate,
    "uvicorn": lambda words, variables, _: uvicorn.translate(words, variables),
    "granian": lambda words, variables, _: granian.translate(words, variables),
    "hypercorn": hypercorn.translate,
    "uwsgi": uwsgi.translate,
}
#: Looked for if nothing is named: files that have commands or settings.
USUAL = (
    *("Procfile", "Dockerfile", "Containerfile", "*.service", "entrypoint.sh", "docker-entrypoint.sh"),
    *("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml", "supervisord.conf"),
    *("gunicorn.conf.py", "hypercorn.toml", "uwsgi.ini"),
)
#: FastAPI's own command, which is Uvicorn.
FASTAPI = ("run", "dev")


@dataclass(frozen=True)
class Invocation:
    """One start of a server.

    before: words in front of it (exec, poetry run, python -m), which stay. server: its name; words: those
    behind it. where: what messages call the place. variables: what the place sets in the environment.
    """

    server: str
    words: Sequence[str]
    where: str
    directory: Path
    before: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def translated(self) -> Translation:
        return SERVERS[self.server](self.words, self.variables, self.directory)

    def __str__(self) -> str:
        return quoted([*self.before, self.server, *self.words])


@dataclass(frozen=True)
class SettingsFile:
    """A file of one server's settings."""

    path: Path
    read: Callable[[Path], Translation]

    before: Sequence[str] = ()

    @property
    def where(self) -> str:
        return str(self.path)

    def translated(self) -> Translation:
        return self.read(self.path)

    def __str__(self) -> str:
        return self.path.name


Found = Invocation | SettingsFile


def quoted(words: Sequence[str]) -> str:
    """As a shell reads them; what it shall expand stays expandable."""
    return " ".join(word_quoted(word) for word in words)


def word_quoted(word: str) -> str:
    if "$" not in word:
        return shlex.quote(word)
    return word if re.fullmatch(r"[\w@%+=:,./${}-]+", word) else f'"{word}"'


# ---- texts -----------------------------------------------------------------------------------------------


def in_words(
    words: Sequence[str], where: str, directory: Path, variables: Mapping[str, str] | None = None
) -> Iterator[Invocation]:
    """The first word that is a server, with all behind it."""
    set_before = dict(variables or {})
    for place, word in enumerate(words):
        name = PurePosixPath(word).name
        if name in SERVERS:
            yield Invocation(name, words[place + 1 :], where, directory, words[:place], set_before)
            return
        if name == "fastapi" and list(words[place + 1 : place + 2]) and words[place + 1] in FASTAPI:
            rest = [each for each in words[place + 2 :] if not each.startswith("--reload")]
            yield Invocation("uvicorn", [*fastapi_words(rest)], where, directory, words[:place], set_before)
            return
        assigned = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", word, re.DOTALL)
        if assigned:
            set_before[assigned[1]] = assigned[2]
        if word in ("-c", "-lc", "-ec") and place + 1 < len(words) and " " in words[place + 1]:
            yield from in_shell(words[place + 1], where, directory, set_before)
            return


def fastapi_words(words: Sequence[str]) -> Iterator[str]:
    """`fastapi run main.py`: the application of that file, for everybody."""
    if "--host" not in words:
        yield from ("--host", "0.0.0.0")
    for word in words:
        yield f"{word}:app" if word.endswith(".py") else word


def in_shell(
    text: str, where: str, directory: Path, variables: Mapping[str, str] | None = None
) -> Iterator[Invocation]:
    """Each command of a line, or of several."""
    for part in re.split(r"&&|\|\||;|\||\n", text.replace("\\\n", " ")):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            continue
        yield from in_words(words, where, directory, variables)


# ---- files -----------------------------------------------------------------------------------------------


def in_file(path: Path) -> Iterator[Found]:
    """Raises OSError, ValueError."""
    name = path.name
    if name.endswith(".py"):
        yield SettingsFile(path, gunicorn.of_file)
        return
    text = path.read_text(encoding="utf-8")
    if name.endswith(".toml"):
        yield SettingsFile(path, hypercorn.of_file)
    elif re.search(r"^\[program:", text, re.MULTILINE):
        yield from in_supervisors_file(text, path)
    elif name.endswith(".ini"):
        yield SettingsFile(path, uwsgi.of_file)
    elif name.endswith((".yaml", ".yml")):
        for number, words in compose.commands_in(text):
            yield from in_words(words, f"{path}, line {number}", path.parent)
    elif name.startswith("Procfile"):
        yield from in_procfile(text, path)
    elif re.match(r"(.*\.)?(Dockerfile|Containerfile)(\..*)?$", name, re.IGNORECASE):
        yield from in_dockerfile(text, path)
    elif name.endswith(".service") or re.search(r"^\[Service\]", text, re.MULTILINE):
        yield from in_unit(text, path)
    else:
        yield from in_script(text, path)


def joined_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with what a backslash at their end continues; by the number of the first."""
    begin, whole = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if whole and line.lstrip().startswith("#"):
            continue  # a comment between continued lines (Dockerfile)
        begin = begin or number
        if line.rstrip().endswith("\\"):
            whole += line.rstrip()[:-1] + " "
            continue
        yield begin, whole + line
        begin, whole = 0, ""
    if whole:
        yield begin, whole


def in_procfile(text: str, path: Path) -> Iterator[Invocation]:
    for number, line in joined_lines(text):
        process, colon, command = line.partition(":")
        if colon and re.fullmatch(r"[\w-]+", process.strip()):
            yield from in_shell(command, f"{path}, line {number}: {process.strip()}", path.parent)


def in_script(text: str, path: Path) -> Iterator[Invocation]:
    for number, line in joined_lines(text):
        yield from in_shell(line, f"{path}, line {number}", path.parent)


def in_unit(text: str, path: Path) -> Iterator[Invocation]:
    """systemd.service(5), systemd.exec(5)."""
    variables: dict[str, str] = {}
    commands = []
    for number, line in joined_lines(text):
        name, _, value = (part.strip() for part in line.partition("="))
        if name == "Environment":
            pairs = (word.partition("=") for word in shlex.split(value))
            variables |= {variable: text for variable, equals, text in pairs if equals}
        elif name == "ExecStart" and value:
            commands.append((number, value.lstrip("@-:+!")))
    for number, command in commands:
        yield from in_words(shlex.split(command), f"{path}, line {number}", path.parent, variables)


def in_supervisors_file(text: str, path: Path) -> Iterator[Invocation]:
    """supervisord: `[program:x]` with `command` and `environment`."""
    lines = text.splitlines()
    file = RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        file.read_string(text)
    except IniError as error:
        raise ValueError(f"{path}: {error.message.splitlines()[0]}") from None
    for section in file.sections():
        name = section.removeprefix("program:")
        if name == section or not (command := file.get(section, "command", fallback="")):
            continue
        pairs = re.findall(
            r"""(\w+)=("[^"]*"|'[^']*'|[^,\s]*)""", file.get(section, "environment", fallback="")
        )
        variables = {variable: value.strip("\"'") for variable, value in pairs}
        number = next(at for at, line in enumerate(lines, start=1) if line.startswith(f"[{section}]"))
        where = f"{path}, line {number}: {name}"
        yield from in_words(shlex.split(command.replace("%%", "%")), where, path.parent, variables)


@dataclass
class Image:
    """What a stage of a Dockerfile says; one that is made from another begins with what that says."""

    variables: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[int, list[str] | str] | None = None
    command: tuple[int, list[str] | str] | None = None


def in_dockerfile(text: str, path: Path) -> Iterator[Invocation]:
    image = Image()
    stages: dict[str, Image] = {}
    for number, line in joined_lines(text):
        word, _, rest = line.strip().partition(" ")
        match word.upper():
            case "FROM":
                base, *name = [each for each in rest.split() if not each.startswith("--")]
                image = replace(stages.get(base, Image()))
                stages[name[-1] if name else ""] = image
            case "ENV":
                image.variables = image.variables | assignments(rest.strip())
            case "ENTRYPOINT":
                image.entrypoint, image.command = (number, of_form(rest.strip())), None
            case "CMD":
                image.command = number, of_form(rest.strip())
    yield from of_image(image, path)


def of_form(text: str) -> list[str] | str:
    """The exec form is a list, the shell form a text."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            return text  # which is what Docker does with it too
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return text


def assignments(text: str) -> dict[str, str]:
    """ENV NAME=VALUE …, or the old form NAME VALUE."""
    try:
        words = shlex.split(text)
    except ValueError:
        return {}
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])}
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}


def of_image(image: Image, path: Path) -> Iterator[Invocation]:
    """An exec form of both is one command; a shell form of ENTRYPOINT takes no CMD."""
    parts = [each for each in (image.entrypoint, image.command) if each is not None]
    if not parts:
        return
    where = f"{path}, line {parts[0][0]}"
    words: list[str] = []
    for _, part in parts:
        if isinstance(part, str):
            if words:  # a script, which gets the command
                words += ["sh", "-c", part]
                continue
            yield from in_shell(part, where, path.parent, image.variables)
            return
        words += part
    yield from in_words(words, where, path.parent, image.variables)


def usual_files(directory: Path) -> Iterator[Path]:
    for pattern in USUAL:
        yield from sorted(path for path in directory.glob(pattern) if path.is_file())
