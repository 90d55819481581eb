"""The server of a PasteDeploy file: `use = egg:tricorn#main` in its section [server:main].

Knows: what such a section says, PasteDeploy's way to call it. Must not know: how an application is described
there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from tricorn.app.wsgiapp import WSGIApplication
from tricorn.workers.paste import load_paste


def serve(app: Callable[..., Any], global_conf: Mapping[str, str], **local_conf: Any) -> NoReturn:
    """PasteDeploy's `paste.server_runner`. What the section sets are settings, by their names; `host` and
    `port` are an address, and `config` is a configuration file, over which the section wins."""
    place = global_conf.get("__file__", "")
    PasterServer(app, place, local_conf).run()


def get_wsgi_app(
    config_uri: str, name: str | None = None, defaults: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    place = os.path.abspath(config_uri.removeprefix("config:"))
    variables = [f"{key}={value}" for key, value in (defaults or {}).items()]
    app: Callable[..., Any] = load_paste(f"{place}#{name}" if name else place, variables)
    return app


class PasterServer(WSGIApplication):
    """Serves an application that PasteDeploy has made, with the settings of the section."""

    def __init__(self, app: Callable[..., Any], place: str, section: Mapping[str, Any]) -> None:
        self._app = app
        self._section = dict(section)
        self._origin = f"{os.path.basename(place)}, server section" if place else "server section"
        self.app_uri = place or None
        super().__init__()

    def load_config(self) -> None:
        values = self.cfg.values
        section = dict(self._section)
        values.add_file(section.pop("config", None), self._origin)
        host, port = section.pop("host", ""), section.pop("port", "")
        if host and port:
            section["bind"] = f"{host}:{port}"
        elif host or port:
            section["bind"] = host.split(",") if host else f"127.0.0.1:{port}"
        for name, value in section.items():
            values.set(name.lower(), value, self._origin)

    def load(self) -> Callable[..., Any]:
        return self._app
