"""Files that the application names, to be sent in the place of its own body: X-Sendfile, X-Accel-Redirect."""

from __future__ import annotations

import email.utils
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from harness.client import Client, Response
from harness.server import Server, Servers, wait_for
from static.site import CHANGED, LARGE, SCRIPT, ask, lay_out

MODIFIED = email.utils.formatdate(CHANGED, usegmt=True)


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("site"))


@pytest.fixture
def server(servers: Servers, kind: str, assets: Path) -> Server:
    return servers.get("--x-sendfile", f"/protected={assets}", app="sends_files:app", kind=kind)


def named(
    client: Client, field: str, value: object, *fields: str, status: int = 200, method: str = "GET"
) -> Response:
    return ask(client, f"/{status}?{field}={quote(str(value))}", *fields, method=method)


def test_a_file_is_sent_in_its_place(server: Server, assets: Path) -> None:
    with server.connect() as client:
        for field, value in (
            ("X-Sendfile", assets / "app.js"),
            ("X-Accel-Redirect", "/protected/app.js"),
            ("x-accel-redirect", "/protected/%61pp.js"),
        ):
            got = named(client, field, value)
            assert (got.status, got.body) == (200, SCRIPT), field
            assert got.get("Content-Type") == "text/x-mine"
            assert got.get("Content-Disposition") == "attachment"
            assert got.get("Set-Cookie") == "a=b"
            assert got.get("Last-Modified") == MODIFIED
            assert re.fullmatch('"[0-9a-f]{16}"', got.get("ETag") or "")
            for name in ("X-Sendfile", "X-Accel-Redirect", "X-Accel-Buffering", "Cache-Control"):
                assert got.get(name) is None, name
        assert named(client, "X-Sendfile", assets / "large.bin").body == LARGE
        assert named(client, "X-Sendfile", assets / "empty.txt").body == b""
        assert named(client, "X-Sendfile", assets / ".env").body == b"SECRET=1"
        head = named(client, "X-Sendfile", assets / "large.bin", method="HEAD")
        assert (head.status, head.get("Content-Length")) == (200, str(len(LARGE)))
        assert named(client, "X-Sendfile", assets / "app.js").body == SCRIPT


def test_conditions_and_ranges(server: Server, assets: Path) -> None:
    large = assets / "large.bin"
    with server.connect() as client:
        tag = named(client, "X-Sendfile", large).get("ETag")
        same = named(client, "X-Sendfile", large, f"If-None-Match: {tag}")
        assert (same.status, same.body, same.get("ETag"), same.get("Set-Cookie")) == (304, b"", tag, "a=b")
        part = named(client, "X-Sendfile", large, "Range: bytes=100000-199999")
        assert (part.status, part.body) == (206, LARGE[100000:200000])
        assert part.get("Content-Range") == f"bytes 100000-199999/{len(LARGE)}"
        several = named(client, "X-Sendfile", large, "Range: bytes=0-9,100000-180000")
        assert several.status == 206
        assert (several.get("Content-Type") or "").startswith("multipart/byteranges")
        assert several.body.count(b"Content-Type: text/x-mine\r\n") == 2
        assert LARGE[100000:180001] in several.body
        assert named(client, "X-Sendfile", large, "Range: bytes=0-9", status=206).body == LARGE[:10]
        beyond = named(client, "X-Sendfile", large, "Range: bytes=999999-")
        assert (beyond.status, beyond.get("Set-Cookie")) == (416, None)
        posted = named(
            client, "X-Sendfile", large, f"If-None-Match: {tag}", "Range: bytes=0-9", method="POST"
        )
        assert (posted.status, posted.body) == (200, LARGE)


def test_what_may_not_be_named(server: Server, assets: Path) -> None:
    """Whatever the application says, and however it came to that."""
    wrong = [
        *(
            ("X-Sendfile", path)
            for path in ("/etc/passwd", "app.js", "", assets, f"{assets}/", assets.parent)
        ),
        *(("X-Sendfile", path) for path in (f"{assets}/../secret.txt", f"{assets}/out", f"{assets}/docs")),
        *(("X-Sendfile", path) for path in (f"{assets}/nothing", f"{assets}x/app.js", f"{assets}//app.js")),
        *(
            ("X-Sendfile", path)
            for path in (f"{assets}/pipe", f"{assets}/out-dir/secret.txt", "/protected/app.js")
        ),
        *(
            ("X-Accel-Redirect", path)
            for path in ("/protected/../secret.txt", "/protected/out", "/protected")
        ),
        *(
            ("X-Accel-Redirect", path)
            for path in ("/protected/%2e%2e/secret.txt", "/app.js", assets / "app.js")
        ),
        *(("X-Accel-Redirect", path) for path in ("/protected/..%2fsecret.txt", "/protected/docs/", "/200")),
    ]
    mark = server.log_mark()
    with server.connect() as client:
        for field, value in wrong:
            got = named(client, field, value)
            assert got.status == 404, (field, value)
            assert got.body == b"404 Not Found\n", (field, value)
            assert got.get("Set-Cookie") is None
    assert server.log(mark).count("The application names a file that is not there") == len(wrong)


def test_other_responses_are_the_applications(server: Server, assets: Path) -> None:
    with server.connect() as client:
        got = named(client, "X-Sendfile", assets / "app.js", status=404)
        assert (got.status, got.body, got.get("X-Sendfile")) == (404, b"of the application", None)
        assert got.get("Content-Type") == "text/x-mine"
        assert got.get("ETag") == '"of the application"'
        assert got.get("X-Accel-Buffering") == "no"
        assert named(client, "X-Sendfile", assets / "app.js", status=304).status == 304
        assert named(client, "X-Other", "1", status=206).body == b"of the application"


def test_it_is_off_unless_it_is_asked_for(servers: Servers, kind: str, assets: Path) -> None:
    server = servers.get(app="sends_files:app", kind=kind)
    with server.connect() as client:
        got = named(client, "X-Sendfile", assets / "app.js", status=206)
        assert (got.body, got.get("X-Sendfile")) == (b"of the application", str(assets / "app.js"))


def test_the_log_says_what_the_client_got(servers: Servers, kind: str, assets: Path) -> None:
    server = servers.get(
        *(
            "--x-sendfile",
            f"/protected={assets}",
            "--access-logfile",
            "-",
            "--access-logformat",
            "%(s)s %(B)s|",
        ),
        app="sends_files:app",
        kind=kind,
    )
    mark = server.log_mark()
    with server.connect() as client:
        named(client, "X-Sendfile", assets / "large.bin", "Range: bytes=0-9")
        named(client, "X-Sendfile", assets / "nothing")
    wait_for(
        lambda: {"206 10", "404 14"} <= set(re.findall(r"(\d+ \d+)\|", server.log(mark))), "it is in the log"
    )
