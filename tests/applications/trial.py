"""One application behind one server: its pages, what is done with them, and a reload under them.

Knows: the order of things. Must not know: a particular application or server, what is right.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from applications import browser
from applications.application import Application
from applications.environment import PLACE
from applications.evidence import Evidence
from applications.plain import Web
from applications.serving import SITES, Kind, Server
from applications.wires import Wire

#: Seconds until a page works again after a reload. Gunicorn gives what is open 30 to end.
RELOAD_DEADLINE = 60.0
CLIENT_TIMEOUT = 120.0


class Trial:
    """One application in its environment, with or without a browser, on one wire."""

    def __init__(self, found: Application, python: Path, path: str | None, files: Path, wire: Wire) -> None:
        self.found = found
        self.python = python
        self.path = path
        self.files = files
        self.wire = wire
        self._prepared: Path | None = None

    def behind(self, kind: Kind) -> Evidence:
        """All pages and what is done with them, behind one server."""
        evidence = Evidence()
        try:
            server = self._server(kind, "use")
            try:
                with server:
                    evidence.result = "; ".join(filter(None, self._uses(server, evidence)))
            finally:
                evidence.log = server.complaint()
        except Exception as error:  # noqa: BLE001 - sites, packages and the browser: all of it is foreign code
            evidence.fault = f"{type(error).__name__}: {error}"
        return evidence

    def _uses(self, server: Server, evidence: Evidence) -> Iterator[str]:
        """What each way to use the application shows."""
        yield self._browse(server, evidence) if self.path else self._fetch(server, evidence)
        if use_plain := self.found.get("use_plain"):
            yield use_plain(self._web(server, evidence))
        if self.found.get("client"):
            yield self._client(f"client({server.url!r})")

    def through_reload(self, kind: Kind) -> str:
        """Whether what is open while the server is reloaded works again; nothing if that wants a browser."""
        try:
            with self._server(kind, "reload") as server:
                if again := self.found.get("reconnecting_client"):
                    reload = f"lambda: os.kill({server.pid}, signal.SIGHUP)"
                    return self._timed(lambda: self._client(f"{again.__name__}({server.url!r}, {reload})"))
                if not self.path:
                    return ""
                return self._reload_under_page(server)
        except Exception as error:  # noqa: BLE001 - as above
            return f"{type(error).__name__}: {error}"

    def _server(self, kind: Kind, purpose: str) -> Server:
        data = PLACE / "data" / f"{self.found.name}-{purpose}-{kind.name.split()[0]}"
        shutil.rmtree(data, ignore_errors=True)
        data.parent.mkdir(parents=True, exist_ok=True)
        if self.found.get("prepare"):
            shutil.copytree(self._prepared_data(), data)
        else:
            data.mkdir()
        return Server(kind, self.python, self.found.site, data, self.wire)

    def _prepared_data(self) -> Path:
        if self._prepared is None:
            data = PLACE / "data" / f"{self.found.name}-prepared"
            shutil.rmtree(data, ignore_errors=True)
            data.mkdir(parents=True)
            self._run("site.prepare()", data)
            self._prepared = data
        return self._prepared

    def _browse(self, server: Server, evidence: Evidence) -> str:
        if not self.found.module.PAGES:
            return ""
        with self._browser(evidence) as page:
            try:
                for address in self.found.module.PAGES:
                    page.open(server.url + address)
                shown: str = self.found.module.use(page)
                page.rest()
            except Exception:
                self._picture(page, server.kind)
                raise
        return shown

    def _fetch(self, server: Server, evidence: Evidence) -> str:
        web = self._web(server, evidence)
        for address in self.found.module.PAGES:
            web.open(address)
        return ""

    def _web(self, server: Server, evidence: Evidence) -> Web:
        return Web(server.url, evidence, self.wire.context)

    def _browser(self, evidence: Evidence) -> browser.Browser:
        return browser.Browser(str(self.path), evidence, self.files, self.wire.flags)

    def _reload_under_page(self, server: Server) -> str:
        fault = ""
        with self._browser(Evidence()) as page:
            page.open(server.url + self.found.module.PAGES[0])
            self.found.module.use(page)
            old = server.workers()
            began = broken = time.monotonic()
            server.reload()
            while time.monotonic() - began < RELOAD_DEADLINE:
                is_done = server.workers() and old.isdisjoint(server.workers())
                try:
                    self.found.module.use_again(page)
                except (AssertionError, ValueError, TypeError) as error:
                    fault, broken = str(error), time.monotonic()
                else:
                    if is_done:
                        return f"works after {broken - began:.0f} s"
                page.rest_a_moment()
            self._picture(page, server.kind)
            return fault or "the old worker does not end"

    def _timed(self, do: Callable[[], str]) -> str:
        began = time.monotonic()
        do()
        return f"works after {time.monotonic() - began:.0f} s"

    def _picture(self, page: browser.Page, kind: Kind) -> None:
        with contextlib.suppress(Exception):  # the browser may be what failed
            page.picture(PLACE / f"{self.found.name}-{kind.name.split()[0]}.png")

    def _client(self, call: str) -> str:
        return self._run(f"print(asyncio.run(site.{call}))").strip()

    def _run(self, statement: str, data: Path | None = None) -> str:
        """A statement in the application's environment; what it prints."""
        program = f"import asyncio, os, signal\nimport {self.found.site} as site\n{statement}"
        done = subprocess.run(
            [str(self.python), "-c", program],
            cwd=SITES,
            env={**os.environ, **self.wire.environ, "APPLICATION_DATA": str(data or "")},
            capture_output=True,
            text=True,
            timeout=CLIENT_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"the client failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return done.stdout
