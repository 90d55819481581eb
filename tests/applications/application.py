"""What a file of `sites` says of its application.

Knows: the names in such a file. Must not know: what is in them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from applications.serving import GUNICORN_UVICORN, PEERS, SITES, Kind


@dataclass(frozen=True)
class Application:
    """A file of `sites`.

    PACKAGES, INTERFACE ("wsgi" or "asgi") and PAGES are data. `site()` makes the application and `prepare()`
    fills its data directory once, both in its own environment. What shows that it works is what these return:
    `use(page)` in the browser, `use_plain(web)` without one, `client(url)` in the application's environment.
    RECONNECTS: an open page (`use_again(page)`) or client (`reconnecting_client(url, reload)`) works again
    after a reload.
    """

    name: str
    module: ModuleType

    def get(self, what: str) -> Any:
        return getattr(self.module, what, None)

    @property
    def about(self) -> str:
        return (self.module.__doc__ or "").partition("\n")[0]

    @property
    def site(self) -> str:
        return self.module.__name__.rpartition(".")[2]

    @property
    def peer(self) -> Kind:
        return PEERS[self.module.INTERFACE]

    @property
    def packages(self) -> tuple[str, ...]:
        again = GUNICORN_UVICORN.packages if self.get("RECONNECTS") else ()
        return tuple(dict.fromkeys((*self.module.PACKAGES, *self.peer.packages, *again)))


def applications() -> list[Application]:
    """All of `sites`, by name."""
    names = sorted(file.stem for file in SITES.glob("*_site.py"))
    return [
        Application(
            name.removesuffix("_site").replace("_", "-"),
            importlib.import_module(f"applications.sites.{name}"),
        )
        for name in names
    ]
