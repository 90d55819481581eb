"""Settings that a program gives, by their names, in place of a command line.

Knows: which names there are, and that each value has a place in a program. Must not know: who the program is,
what it serves.

A value is checked when it is given, so an error shows the line that gave it. What is given later wins, as
with the other sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tricorn.config.commandline import Options, read_options
from tricorn.config.errors import ConfigError, did_you_mean
from tricorn.config.files import Contents, maybe_read_default, read_named, take
from tricorn.config.gunicorn import MISSING
from tricorn.config.settings import SETTINGS, Settings
from tricorn.config.sources import (
    OPTION_VARIABLES,
    Sources,
    Written,
    add_shared_variables,
    add_variables,
    option_words,
    parsed,
    settings_of,
)
from tricorn.records import dataclass, replace

#: What `set` takes: our settings, and those of Gunicorn's for which there is a word.
NAMES = (*SETTINGS, *(name for name in MISSING if name not in SETTINGS))


class UnknownSettingError(ConfigError, AttributeError):
    """There is no setting of that name. Gunicorn raises AttributeError."""


@dataclass(frozen=True)
class Application:
    """What a program serves without a name by which it could be imported.

    name: what messages call it. load: called where it is loaded; gives the application. is_object: the
    program has it already, or what makes it.
    """

    name: str
    load: Callable[[], Any]
    is_object: bool = False


class ProgramSettings:
    """The values so far, above what the environment says."""

    def __init__(self, environ: Mapping[str, str], cwd: Path) -> None:
        self.environ = environ
        self.cwd = cwd
        self._sources = Sources()
        #: Names of Gunicorn's that we do not have → the value.
        self._others: dict[str, object] = {}
        #: By setting, so that a value that is replaced takes its warnings and notes with it.
        self._warnings: dict[str, Sequence[str]] = {}
        self._notes: dict[str, Sequence[str]] = {}

    def add_environment(self) -> None:
        """The variables that platforms share, and ours for each setting."""
        add_shared_variables(self._sources, self.environ)
        add_variables(self._sources, self.environ)

    def add_variables(self) -> None:
        """Ours for each setting once more, above a file."""
        known = len(self._sources.warnings)
        add_variables(self._sources, self.environ)
        del self._sources.warnings[known:]

    def add_file(self, location: str | None, origin: str) -> None:
        """A configuration file; None: the default file if there is one."""
        if location is None:
            contents = maybe_read_default(self.cwd)
        else:
            contents = read_named(location, origin, self.cwd)
        if contents is not None:
            self._sources.add_all(contents)

    def add_options(self, options: Options) -> None:
        self._sources.add_all(options)

    def options_in_environment(self) -> list[Options]:
        """Of GUNICORN_CMD_ARGS and TRICORN_CMD_ARGS."""
        return [
            read_options(words, f"environment {variable}")
            for variable in OPTION_VARIABLES
            if (words := option_words(variable, self.environ))
        ]

    def set(self, name: str, value: object, origin: str) -> None:
        """Raises ConfigError."""
        if name not in NAMES:
            raise UnknownSettingError(name, origin, "there is no such setting", did_you_mean(name, NAMES))
        contents = Contents(origin)
        if name in SETTINGS and not SETTINGS[name].in_files:
            contents.values[name] = value
        else:
            take(contents, name, value)
        for each, written in contents.values.items():
            parsed(SETTINGS[each], Written(written, origin))
        if name not in SETTINGS:
            self._others[name] = value
        self._sources.add(contents.values, origin)
        self._warnings[name], self._notes[name] = contents.warnings, contents.notes

    def get(self, name: str) -> Any:
        """The checked value; None for one of Gunicorn's that was not given. Raises KeyError, ConfigError."""
        if name not in SETTINGS:
            if name not in MISSING:
                raise KeyError(name)
            return self._others.get(name)
        written = self._sources.written.get(name)
        return SETTINGS[name].default if written is None else parsed(SETTINGS[name], written)

    def settings(self, application: Application | None = None) -> Settings:
        """All together. Raises ConfigError."""
        sources = Sources(
            dict(self._sources.written), list(self._sources.warnings), list(self._sources.notes)
        )
        for said in self._warnings.values():
            sources.warnings.extend(said)
        for said in self._notes.values():
            sources.notes.extend(said)
        settings = settings_of(sources, self.cwd)
        if application is None:
            return settings
        given = application
        return replace(settings, wsgi_app=given.name, loader=given.load, is_object=given.is_object)
