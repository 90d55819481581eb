"""WSGIApplication: the command `tricorn` as a class, as far as programs subclass Gunicorn's.

Knows: where the application's name comes from. Must not know: how it is imported (gateway/loader.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from tricorn.app.base import Application
from tricorn.app.config import Parser
from tricorn.config.errors import ConfigError
from tricorn.config.program import Application as Loaded
from tricorn.gateway.loader import load_application

USAGE = "%(prog)s [options] APP"


class WSGIApplication(Application):
    """Serves the application that the command line names, or `app_uri`, which a program may set before
    `run()`. ASGI applications too; the name is Gunicorn's."""

    app_uri: str | None = None

    def init(self, parser: Parser, opts: Any, args: list[str]) -> Any:
        """The last setting of `wsgi_app` wins; what stands on the command line is the last."""
        del parser, opts
        if args:
            self.app_uri = args[0]

    def load_wsgiapp(self) -> Callable[..., Any]:
        return load_application(self.app_uri or self.cfg.wsgi_app or "")

    def load(self) -> Callable[..., Any]:
        return self.load_wsgiapp()

    def _loaded(self) -> Loaded:
        name = self.app_uri or self.cfg.wsgi_app
        if type(self).load is not WSGIApplication.load:
            return Loaded(name or f"{type(self).__name__}.load()", self.wsgi)
        if name is None:
            raise ConfigError(
                "wsgi_app", "", "no application is given", f"write {self.cfg.parser().prog} module:app"
            )
        return Loaded(name, self.wsgi)


def run(prog: str | None = None) -> NoReturn:
    """The command, under another name."""
    WSGIApplication(USAGE, prog=prog).run()


if __name__ == "__main__":
    sys.exit(run())
