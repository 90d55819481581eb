"""What the tests of ASGI applications share: clients of several makes, a server that stays calm.

Knows: HTTP and WebSocket as clients see them. Must not know: any framework. A test module has a class that
inherits from `AsgiTests` (or, for the examples, from `FrameworkTests` too) and names its application.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.server import APPS
from harness.tls import context_for_urls
from harness.websocket import for_websockets
from integration.live import Live, message
from websockets.sync.client import ClientConnection, connect

#: What a browser sends with every request of a page.
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Connection: keep-alive",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: none",
    "Priority: u=0, i",
    "Cookie: theme=dark; session=0123456789abcdef",
)


class AsgiTests:
    """The server with the class's application, started without a word about its kind."""

    app = ""
    interface = "asgi"
    chdir = APPS
    options: tuple[str, ...] = ("--worker-class", "auto")

    def environ(self, directory: Path) -> dict[str, str]:  # noqa: ARG002 - for subclasses that keep files
        """The environment of the application; `directory` is all its own."""
        return {}

    @pytest.fixture(autouse=True)
    def quiet(self, site: Live, request: pytest.FixtureRequest) -> Iterator[None]:
        """No traceback is logged, unless the test has an application fail and says so with `fails`."""
        before = site.log_mark()
        yield
        if "fails" not in request.fixturenames:
            assert "Traceback" not in site.log(before), site.log(before)

    @pytest.fixture
    def fails(self) -> None:
        """Marks a test whose application raises."""

    @pytest.fixture
    def client(self, site: Live) -> Iterator[httpx.Client]:
        with pages_of(site) as client:
            yield client

    def test_a_browser_keeps_its_connection(self, site: Live) -> None:
        """A page of every application here is `/`."""
        with site.connect() as browser:
            for _ in range(3):
                browser.send(message("/", fields=BROWSER))
                response = browser.response()
                assert response.status == 200
                assert "close" not in response.connection

    def test_requests_in_one_packet(self, site: Live) -> None:
        with site.connect() as client:
            client.send(message("/") * 3)
            assert [client.response().status for _ in range(3)] == [200, 200, 200]


def pages_of(site: Live) -> httpx.Client:
    return httpx.Client(base_url=site.url, timeout=10, trust_env=False, verify=context_for_urls())


def websocket(site: Live, path: str, **options: Any) -> ClientConnection:
    """A WebSocket of the `websockets` package."""
    return connect(**for_websockets(site, path), open_timeout=10, close_timeout=5, **options)
