"""What every framework's example application must do behind the server: one body for all of them.

Knows: the pages that the examples share. Must not know: any framework. A test module has a class that
inherits from `FrameworkTests` and says which application it is; `site` (conftest.py) runs it on each
worker kind.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import urllib.request
from contextlib import ExitStack
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from harness.client import Client
from harness.server import wait_for
from harness.tls import context_for_urls
from integration.live import EXAMPLES, Live, in_background, message

MEGABYTE = os.urandom(1_000_000)
DOWNLOAD = 3_000_003  # more than the buffers of both sockets hold, and no round number

#: Behind a stream that never ends by itself: `lines` of it are some 110 MB.
ENDLESS = 10_000_000


class FrameworkTests:
    """The body. `app`, `interface`, `chdir` and `error_page` are the subclass's."""

    app = ""
    interface = "wsgi"
    options: tuple[str, ...] = ()  # of the server, besides those of its kind
    chdir = EXAMPLES
    error_page = ""
    refused = 405  # what a POST to a page for GET gets

    # -- the server

    def environ(self, directory: Path) -> dict[str, str]:
        """The environment of the application; `directory` is all its own."""
        download = directory / "download.bin"
        download.write_bytes(os.urandom(DOWNLOAD))
        return {"DOWNLOAD": str(download)}

    @pytest.fixture
    def url(self, site: Live) -> str:
        return site.url

    @pytest.fixture
    def browser(self) -> urllib.request.OpenerDirector:
        """Keeps cookies and follows redirects."""
        return opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    # -- what the subclass may do in its own way

    def login(self, browser: urllib.request.OpenerDirector, url: str, user: str) -> dict[str, Any]:
        """Log in; the answer is that of the page it redirects to."""
        body = urlencode({"user": user}).encode()
        with browser.open(f"{url}/login", body, timeout=10) as response:
            assert response.geturl() == f"{url}/whoami"
            return json.load(response)  # type: ignore[no-any-return]

    # -- the tests

    def test_many_requests_on_one_connection(self, site: Live) -> None:
        connection = connection_to(site)
        sockets = set()
        for number in range(20):
            connection.request("GET", ["/", "/json", "/stream?lines=3", "/nowhere"][number % 4])
            sockets.add(connection.sock.getsockname())
            response = connection.getresponse()
            body = response.read()
            assert response.status == [200, 200, 200, 404][number % 4]
            if number % 4 == 1:
                assert json.loads(body)["message"] == "Hello, World!"
        connection.close()
        assert len(sockets) == 1

    def test_pipelined_requests_are_answered_in_order(self, site: Live) -> None:
        with site.connect() as client:
            client.send(message("/stream?lines=2") + message("/json") + message("/stream?lines=1"))
            assert client.response().body == b"line 0\nline 1\n"
            assert b"Hello, World!" in client.response().body
            assert client.response().body == b"line 0\n"

    def test_sessions(self, browser: urllib.request.OpenerDirector, url: str) -> None:
        assert self.login(browser, url, "Zo\xeb \N{SNOWMAN}") == {"user": "Zo\xeb \N{SNOWMAN}", "visits": 1}
        for visit in (2, 3):
            with browser.open(f"{url}/whoami", timeout=10) as response:
                assert json.load(response) == {"user": "Zo\xeb \N{SNOWMAN}", "visits": visit}
        with opener().open(f"{url}/whoami", timeout=10) as response:
            assert json.load(response) == {"user": None, "visits": 1}

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_upload(self, site: Live, framing: str) -> None:
        boundary, body = multipart(MEGABYTE)
        connection = connection_to(site)
        fields = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if framing == "length":
            connection.request("POST", "/upload", body, fields)
        else:
            parts = [body[at : at + 70_001] for at in range(0, len(body), 70_001)]
            connection.request("POST", "/upload", iter(parts), fields, encode_chunked=True)
        response = connection.getresponse()
        assert response.status == 200, response.read()[:500]
        answer = json.load(response)
        connection.close()
        assert answer["size"] == len(MEGABYTE)
        assert answer["sha256"] == hashlib.sha256(MEGABYTE).hexdigest()
        assert answer["name"] == "upload.bin"
        assert answer["note"] == "caf\xe9 \N{SNOWMAN}"
        self.check_upload(site, answer)

    def check_upload(self, site: Live, answer: dict[str, Any]) -> None:
        """More about an upload, where the application keeps it."""

    def test_stream(self, site: Live) -> None:
        with site.connect() as client:
            client.send(message("/stream?lines=5000"))
            response = client.response()
            assert response.framing == "chunked"
            assert response.body == b"".join(b"line %d\n" % number for number in range(5000))
            client.send(message("/stream?lines=1"))
            assert client.response().body == b"line 0\n"

    def test_a_stream_that_nobody_reads_holds_nobody_up(self, site: Live) -> None:
        """With one thread: the iterator is paused, and the thread serves somebody else."""
        with site.connect(receive_buffer=4096) as lazy:
            lazy.send(message(f"/stream?lines={ENDLESS}"))
            lazy.read_until(b"line 0\n")
            assert site.request("/json").status == 200
            lazy.abort()
        assert site.request("/json").status == 200

    def test_big_answer(self, site: Live) -> None:
        rows = json.loads(site.request("/big-json").body)
        assert len(rows) == 50_000
        assert rows[-1] == {"number": 49_999, "square": 49_999**2}

    def test_file(self, site: Live) -> None:
        """Twice on one connection: what follows a file sent by the kernel must be in order."""
        content = Path(site.environ["DOWNLOAD"]).read_bytes()
        with site.connect() as client:
            for _ in range(2):
                client.send(message("/file"))
                response = client.response()
                assert response.status == 200
                assert response.get("Content-Length") == str(DOWNLOAD)
                assert response.body == content
            client.send(message("/json"))
            assert client.response().status == 200

    def test_file_to_a_slow_reader(self, site: Live) -> None:
        """Others are served while it is on its way."""
        content = Path(site.environ["DOWNLOAD"]).read_bytes()
        with site.connect(receive_buffer=4096) as slow:
            slow.send(message("/file"))
            slow.more()
            assert site.request("/json").status == 200
            assert slow.response().body == content

    def test_an_interrupted_file_leaves_no_descriptor(self, site: Live) -> None:
        (worker,) = site.workers()
        for _ in range(5):
            with site.connect(receive_buffer=4096) as client:
                client.send(message("/file"))
                client.more()
                client.abort()

        def downloads() -> list[str]:
            links = []
            for entry in Path(f"/proc/{worker}/fd").iterdir():
                try:
                    links.append(str(entry.readlink()))
                except FileNotFoundError:  # closed while we looked
                    continue
            return [link for link in links if link == site.environ["DOWNLOAD"]]

        wait_for(lambda: not downloads(), "the files are closed")

    def test_head(self, site: Live) -> None:
        with site.connect() as client:
            for path in ("/", "/json", "/file", "/stream"):
                client.send(message(path))
                got = client.response()
                client.send(message(path, method="HEAD"))
                head = client.response("HEAD")
                assert (head.status, head.body) == (got.status, b"")
                for name in ("Content-Type", "Content-Length"):
                    assert head.get(name) in (got.get(name), None)
            client.send(message("/json"))
            assert client.response().status == 200

    def test_redirect(self, site: Live) -> None:
        with site.connect() as client:
            response = self.redirect(client)
            assert response.status in (302, 303)
            assert (response.get("Location") or "").endswith("/whoami")
            client.send(message("/json"))
            assert client.response().status == 200

    def redirect(self, client: Client) -> Any:
        form = "Content-Type: application/x-www-form-urlencoded"
        client.send(message("/login", method="POST", body=b"user=me", fields=[form]))
        return client.response("POST")

    def test_an_error_is_the_frameworks_own_page(self, site: Live) -> None:
        with site.connect() as client:
            for _ in range(2):
                client.send(message("/fails"))
                response = client.response()
                assert response.status == 500
                assert self.error_page in response.body.decode()
                assert b"this view always fails" not in response.body
            client.send(message("/json"))
            assert client.response().status == 200
        site.wait_log("this view always fails", deadline=5)

    def test_a_body_that_the_framework_leaves_alone(self, site: Live) -> None:
        """It is no request. Where nobody has read it all the connection may end, and says so."""
        with site.connect() as client:
            client.send(
                message("/json", method="POST", body=b"GET / HTTP/1.1\r\n" * 10_000) + message("/json")
            )
            response = client.response("POST")
            assert response.status == self.refused
            if site.kind.early and "close" in response.connection:
                client.wait_closed()
            else:
                assert client.response().status == 200

    def test_several_at_once(self, site: Live) -> None:
        """Requests of all kinds side by side, each with its own answer."""

        def visit(number: int) -> None:
            connection = connection_to(site, timeout=20)
            for turn in range(10):
                lines = number * 10 + turn
                connection.request("GET", f"/stream?lines={lines}")
                assert connection.getresponse().read().count(b"\n") == lines
                connection.request("GET", "/json")
                assert json.load(connection.getresponse())["message"] == "Hello, World!"
            connection.close()
            done.append(number)

        done: list[int] = []
        with ExitStack() as stack:
            for number in range(8):
                stack.enter_context(in_background(visit, number))
        assert sorted(done) == list(range(8))


def opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """Without proxies: what the environment says about them is not meant for 127.0.0.1."""
    secured = urllib.request.HTTPSHandler(context=context_for_urls())
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), secured, *handlers)


def connection_to(site: Live, *, timeout: float = 10) -> http.client.HTTPConnection:
    if site.wire.url_scheme == "https":
        return http.client.HTTPSConnection(*site.address, timeout=timeout, context=context_for_urls())
    return http.client.HTTPConnection(*site.address, timeout=timeout)


def multipart(content: bytes) -> tuple[str, bytes]:
    """A form with a field and a file: (boundary, body)."""
    boundary = "----tricorn-b0undary"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="note"\r\n\r\ncaf\xe9 \N{SNOWMAN}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="upload.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode() + content
    return boundary, body + f"\r\n--{boundary}--\r\n".encode()
