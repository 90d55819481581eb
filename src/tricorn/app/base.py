"""BaseApplication and Application, Gunicorn's way to serve from a program.

    class Standalone(BaseApplication):
        def load_config(self): self.cfg.set("workers", 4)
        def load(self): return app

    Standalone().run()

`load_config` is called when the object is made, and again at each reload (HUP); `load` where the application
is loaded: in each worker, or in the mold with `preload_app`.

Knows: the order in which the methods are called, and which source of settings comes when. Must not know: how
a server is started (embedding.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from tricorn.app.config import EXIT_CONFIG, Config, Parser
from tricorn.config.errors import ConfigError
from tricorn.config.program import Application as Loaded
from tricorn.config.settings import Settings
from tricorn.config.sources import COMMAND_LINE
from tricorn.console import complain
from tricorn.embedding import is_serving, serve


class BaseApplication:
    """What is served is what `load` returns, with the settings that `load_config` has set."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.cfg: Any = None
        self.callable: Callable[..., Any] | None = None
        self.logger: Any = None
        #: As they are now, and at a reload as they were when the server was started.
        self._environ: Mapping[str, str] = os.environ
        self._directory = Path.cwd()
        self._is_configured = False
        self.do_load_config()

    # ---- what a subclass says

    def init(self, parser: Parser, opts: Any, args: list[str]) -> Any:
        raise NotImplementedError

    def load_config(self) -> None:
        """Set the settings, by self.cfg.set(name, value)."""
        raise NotImplementedError

    def load(self) -> Callable[..., Any]:
        """The application."""
        raise NotImplementedError

    # ---- what is done with it

    def do_load_config(self) -> None:
        """Ends the process where a setting is wrong, as the command does."""
        try:
            self.load_default_config()
            self.load_config()
        except ConfigError as error:
            if is_serving():
                raise  # a reload: the server goes on with what it has
            complain("error", str(error))
            sys.exit(EXIT_CONFIG)
        self._is_configured = True

    def load_default_config(self) -> None:
        self.cfg = Config(self.usage, prog=self.prog, environ=self._environ, cwd=self._directory)

    def reload(self) -> None:
        self.do_load_config()

    def wsgi(self) -> Callable[..., Any]:
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self) -> NoReturn:
        """Serve until told to stop, and end the program with the exit code."""
        sys.exit(serve(self._settings))

    def _settings(self, environ: Mapping[str, str], directory: Path) -> Settings:
        """For the start, which has them already, and for each reload."""
        if not self._is_configured:
            self._environ, self._directory = environ, directory
            try:
                self.reload()
            except SystemExit as exit_:  # as above
                name = type(self).__name__
                raise ConfigError("config", name, f"load_config called sys.exit({exit_.code!r})") from exit_
        self._is_configured = False
        settings: Settings = self.cfg.values.settings(self._loaded())
        return settings

    def _loaded(self) -> Loaded:
        return Loaded(f"{type(self).__name__}.load()", self.wsgi)


class Application(BaseApplication):
    """The same, with a command line and a configuration file. What is set later wins: the dictionary that
    `init` returns, the file, the environment, the command line, and what a subclass sets after that."""

    def chdir(self) -> None:
        """To the directory of the setting, which is also put on sys.path."""
        directory = os.path.abspath(self.cfg.chdir)
        os.chdir(directory)
        if directory not in sys.path:
            sys.path.insert(0, directory)

    def load_config_from_file(self, filename: str) -> None:
        """A path, file:PATH or python:MODULE."""
        self.cfg.values.add_file(filename, type(self).__name__)

    def load_config_from_module_name_or_filename(self, location: str) -> None:
        self.load_config_from_file(location)

    def load_config(self) -> None:
        values = self.cfg.values
        parser: Parser = self.cfg.parser()
        words = sys.argv[1:]
        parser.exit_if_asked_for_words(words)
        options, args = parser.read(words, COMMAND_LINE)
        given = self.init(parser, parser.parse_args(words), args)
        for name, value in (given or {}).items():
            values.set(name.lower(), value, f"{type(self).__name__}.init()")
        above = [*values.options_in_environment(), options]
        named = next((each for each in reversed(above) if "config" in each.values), None)
        values.add_file(
            None if named is None else str(named.values["config"]), "" if named is None else named.origin
        )
        values.add_variables()
        for each in above:
            values.add_options(each)
