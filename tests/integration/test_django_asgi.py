"""Django on ASGI: the example project, whose views run in threads, and a site whose views are coroutines."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness.client import Client
from harness.server import APPS, wait_for
from integration import test_django
from integration.asgi_site import AsgiTests
from integration.framework import ENDLESS
from integration.live import Live, message

MEGABYTE = os.urandom(3_000_000)  # Django keeps more than 2.5 MB in a file


def with_tables(directory: Path) -> dict[str, str]:
    """The environment of the site: a directory for it, in which its database is."""
    environ = {"DJANGO_DATA_DIR": str(directory)}
    make = "import asgi_django_site; asgi_django_site.make_tables()"
    subprocess.run(
        [sys.executable, "-c", make], cwd=APPS, env={**os.environ, **environ}, check=True, timeout=60
    )
    return environ


class TestExample(test_django.TestDjango):
    interface = "asgi"
    options = AsgiTests.options
    app = "config.asgi:application"

    # On ASGI Django reads a synchronous iterator to its end before it sends a piece of it; one that is
    # asynchronous is tested below.
    test_a_stream_that_nobody_reads_holds_nobody_up = None
    # Django leaves the file of a response whose send() has raised to the garbage collector.
    test_an_interrupted_file_leaves_no_descriptor = None

    @pytest.mark.parametrize("framing", ["length"])
    def test_upload(self, site: Live, framing: str) -> None:
        """With a length: Django takes a form without a Content-Length for an empty one."""
        super().test_upload(site, framing)


class TestDjango(AsgiTests):
    app = "asgi_django_site:application"

    def environ(self, directory: Path) -> dict[str, str]:
        return with_tables(directory)

    def test_where_views_run(self, client: httpx.Client) -> None:
        assert client.get("/where").json() == {"main": True}
        assert client.get("/where-sync").json() == {"main": False}

    def test_the_asynchronous_orm(self, client: httpx.Client) -> None:
        texts = ["one", "caf\xe9", "\N{SNOWMAN}"]
        added = client.post("/notes/add", data={"tag": "orm", "text": texts})
        assert (added.status_code, added.json()) == (201, {"count": 3})
        assert client.get("/notes", params={"tag": "orm"}).json() == texts
        assert client.get("/notes/999999").status_code == 404

    def test_many_writers(self, client: httpx.Client) -> None:
        """Requests side by side, each with its own connection to the database."""

        def write(number: int) -> int:
            data = {"tag": f"writer {number}", "text": [f"{number}.{turn}" for turn in range(5)]}
            counts = [client.post("/notes/add", data=data).json()["count"] for _ in range(5)]
            assert counts == [5, 10, 15, 20, 25]
            return len(client.get("/notes", params={"tag": f"writer {number}"}).json())

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(write, range(8))) == [25] * 8

    def test_a_transaction(self, client: httpx.Client) -> None:
        client.post("/notes/add", data={"tag": "here", "text": ["a", "b"]})
        assert client.post("/notes/move", data={"from": "here", "to": "there"}).json() == {"moved": 2}
        assert client.get("/notes", params={"tag": "there"}).json() == ["a", "b"]

    @pytest.mark.usefixtures("fails")
    def test_a_transaction_that_fails(self, client: httpx.Client) -> None:
        client.post("/notes/add", data={"tag": "stays", "text": ["a"]})
        failed = client.post("/notes/move", data={"from": "stays", "to": "moved", "fail": "1"})
        assert failed.status_code == 500
        assert client.get("/notes", params={"tag": "stays"}).json() == ["a"]

    def test_sessions_and_forms(self, site: Live, client: httpx.Client) -> None:
        """Over TLS Django wants to know which page a form was sent from."""
        assert client.get("/whoami").json() == {"user": None, "visits": 1}
        token = client.get("/form").json()["token"]
        data = {"user": "Zo\xeb", "csrfmiddlewaretoken": token}
        sent = client.post("/login", data=data, headers={"Referer": f"{site.url}/form"})
        assert sent.json() == {"ok": True}
        assert client.get("/whoami").json() == {"user": "Zo\xeb", "visits": 2}
        client.cookies.clear()
        assert client.get("/whoami").json() == {"user": None, "visits": 1}

    def test_a_forged_form_is_refused(self, site: Live) -> None:
        form = "Content-Type: application/x-www-form-urlencoded"
        with site.connect() as client:
            client.send(message("/login", method="POST", body=b"user=me", fields=[form]) + message("/"))
            assert client.response("POST").status == 403
            assert client.response().body == b"hello"

    @pytest.mark.parametrize("size", [0, 10_000, len(MEGABYTE)])
    def test_upload(self, client: httpx.Client, size: int) -> None:
        content = MEGABYTE[:size]
        answer = client.post("/upload", files={"file": ("some.bin", content)}).json()
        assert answer == {"name": "some.bin", "size": size, "sha256": hashlib.sha256(content).hexdigest()}

    def test_stream(self, site: Live) -> None:
        with site.connect() as client:
            client.send(message("/stream?lines=3000"))
            response = client.response()
            assert response.framing == "chunked"
            assert response.body == b"".join(b"line %d\n" % number for number in range(3000))

    @pytest.mark.slow
    def test_a_stream_that_nobody_reads(self, site: Live, client: httpx.Client) -> None:
        """It is held back, others are served, and it ends with its client."""
        with site.connect(receive_buffer=4096) as lazy:
            lazy.send(message(f"/stream?lines={ENDLESS}"))
            lazy.read_until(b"line 0\n")
            assert client.get("/").text == "hello"
            lazy.abort()
        wait_for(lambda: client.get("/streams").json() == 0, "the stream has ended")

    @pytest.mark.parametrize("leave", [Client.abort, Client.close], ids=["reset", "closed"])
    def test_a_stream_ends_when_the_client_goes(self, site: Live, client: httpx.Client, leave) -> None:
        before = len(client.get("/ended").json())
        reader = site.connect()
        reader.send(message("/endless"))
        reader.read_until(b"tick\n")
        leave(reader)
        wait_for(lambda: len(client.get("/ended").json()) == before + 1, "the stream was cancelled")

    def test_context_variables_are_each_requests_own(self, client: httpx.Client) -> None:
        for user in ("one", "two"):
            assert client.get("/context", params={"user": user}).json() == {"before": "nobody", "after": user}

    @pytest.mark.usefixtures("fails")
    @pytest.mark.parametrize("page", ["/fails", "/fails-sync"])
    def test_an_error(self, site: Live, client: httpx.Client, page: str) -> None:
        response = client.get(page)
        assert response.status_code == 500
        assert "Server Error (500)" in response.text
        assert "always fails" not in response.text
        site.wait_log("view always fails")

    def test_many_at_once(self, client: httpx.Client) -> None:
        """Slow clients of both kinds of view do not wait for each other."""
        with ThreadPoolExecutor(10) as pool:
            pages = ["/where", "/where-sync", "/notes?tag=none", "/stream?lines=100"] * 25
            assert {response.status_code for response in pool.map(client.get, pages)} == {200}
