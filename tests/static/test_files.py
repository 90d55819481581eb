"""What is answered from a directory: on each wire and kind of worker, before the application hears of it."""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.client import Client, ClosedError
from harness.server import Server, Servers, wait_for
from http2.cases import EITHER_KIND
from static.site import CHANGED, HASHED, LARGE, SCRIPT, ask, ask_once, descriptors, lay_out, request

MODIFIED = email.utils.formatdate(CHANGED, usegmt=True)
FOR_EVER = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("site"))


@pytest.fixture
def server(servers: Servers, kind: str, assets: Path) -> Server:
    return servers.get("--static", f"/assets={assets}", kind=kind)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.connect() as client:
        yield client


def test_a_file(server: Server, client: Client) -> None:
    """GET and HEAD, and nothing of it reaches the application."""
    server.seen()
    got = ask(client, "/assets/app.js?v=1")
    assert (got.status, got.body, got.framing) == (200, SCRIPT, "length")
    assert got.get("Content-Type") == "text/javascript; charset=utf-8"
    assert got.get("Last-Modified") == MODIFIED
    assert got.get("Accept-Ranges") == "bytes"
    assert got.get("Cache-Control") == "no-cache"
    assert got.get("Vary") == "Accept-Encoding"
    assert re.fullmatch('"[0-9a-f]{16}"', got.get("ETag") or "")
    assert got.get("Date")
    head = ask(client, "/assets/app.js", method="HEAD")
    without_date = [[pair for pair in each.fields if pair[0].lower() != "date"] for each in (got, head)]
    assert (head.status, without_date[1]) == (200, without_date[0])
    assert server.seen() == []


#: target, fields, status, body (None: not looked at), fields of the answer (None: it is not there)
CASES: list[tuple[str, list[str], int, bytes | None, dict[str, str | None]]] = [
    ("/assets/photo.png", [], 200, b"png", {"Content-Type": "image/png", "Vary": None}),
    ("/assets/README", [], 200, b"no end", {"Content-Type": "application/octet-stream"}),
    ("/assets/UPPER.JPG", [], 200, b"jpg", {"Content-Type": "image/jpeg"}),
    ("/assets/data.json", [], 200, b"{}", {"Content-Type": "application/json"}),
    ("/assets/empty.txt", [], 200, b"", {"Content-Length": "0"}),
    ("/assets/large.bin", [], 200, LARGE, {"Content-Length": str(len(LARGE))}),
    (f"/assets/{HASHED}", [], 200, b"css", {"Cache-Control": FOR_EVER}),
    ("/assets/a%20b/c&d.txt", [], 200, b"odd name", {}),
    ("/assets/a%20b/c%26d.txt", [], 200, b"odd name", {}),
    ("/assets/caf%C3%A9.txt", [], 200, "caf\u00e9".encode(), {}),
    ("/assets/back%5Cslash", [], 200, b"backslash", {}),
    ("/%61ssets/photo%2Epng", [], 200, b"png", {}),
    ("http://a/assets/photo.png", [], 200, b"png", {}),
    # directories
    ("/assets/", [], 200, b"<p>root</p>", {"Content-Type": "text/html; charset=utf-8"}),
    ("/assets/docs/", [], 200, b"<p>docs</p>", {}),
    ("/assets/docs", [], 301, None, {"Location": "./docs/"}),
    ("/assets/docs?a=1&b=//x", [], 301, None, {"Location": "./docs/?a=1&b=//x"}),
    ("/assets", [], 301, None, {"Location": "./assets/"}),
    ("/assets/docs/empty", [], 404, None, {"Location": None}),
    ("/assets/docs/empty/", [], 404, None, {}),
    ("/assets/a%20b", [], 404, None, {}),
    # links
    ("/assets/in", [], 200, b"<p>docs</p>", {}),
    ("/assets/in-dir/", [], 200, b"<p>docs</p>", {}),
    ("/assets/out", [], 404, None, {}),
    ("/assets/out-dir/secret.txt", [], 404, None, {}),
    ("/assets/absolute", [], 404, None, {}),
    ("/assets/pipe", [], 404, None, {}),
    # compressed beside it
    (
        "/assets/app.js",
        ["Accept-Encoding: gzip, br"],
        200,
        b"br of it",
        {"Content-Encoding": "br", "Vary": "Accept-Encoding"},
    ),
    (
        "/assets/app.js",
        ["Accept-Encoding: zstd;q=0.9, br;q=0.1"],
        200,
        b"zst of it",
        {"Content-Encoding": "zstd"},
    ),
    ("/assets/app.js", ["Accept-Encoding: deflate"], 200, SCRIPT, {"Content-Encoding": None}),
    ("/assets/app.js", ["Accept-Encoding: br;q=0", "Accept-Encoding: zstd"], 200, b"zst of it", {}),
    (
        "/assets/app.js",
        ["Accept-Encoding: br", "Range: bytes=0-1"],
        206,
        b"br",
        {"Content-Range": "bytes 0-1/8", "Content-Encoding": "br"},
    ),
    ("/assets/app.js.gz", [], 200, None, {"Content-Type": "application/gzip", "Content-Encoding": None}),
    ("/assets/stale.js", ["Accept-Encoding: gzip"], 200, b"new", {"Content-Encoding": None}),
    ("/assets/photo.png", ["Accept-Encoding: gzip"], 200, b"png", {"Content-Encoding": None}),
    # ranges
    ("/assets/large.bin", ["Range: bytes=0-3"], 206, LARGE[:4], {"Content-Range": f"bytes 0-3/{len(LARGE)}"}),
    ("/assets/large.bin", ["Range: bytes=100000-199999"], 206, LARGE[100000:200000], {}),
    ("/assets/large.bin", ["Range: bytes=-5"], 206, LARGE[-5:], {}),
    ("/assets/large.bin", ["Range: bytes=262143-"], 206, LARGE[-1:], {}),
    ("/assets/large.bin", ["Range: bytes=262144-"], 416, None, {"Content-Range": f"bytes */{len(LARGE)}"}),
    ("/assets/large.bin", ["Range: bytes=-0"], 416, None, {}),
    ("/assets/large.bin", ["Range: bytes=4-3"], 200, LARGE, {}),
    ("/assets/large.bin", ["Range: pages=1-2"], 200, LARGE, {}),
    ("/assets/large.bin", ["Range: bytes=0-1", "Range: bytes=2-3"], 200, LARGE, {}),
    (
        "/assets/large.bin",
        ["Range: bytes=" + ",".join(f"{i * 1000}-{i * 1000}" for i in range(33))],
        200,
        LARGE,
        {},
    ),
    ("/assets/large.bin", ["Range: bytes=" + "0-," * 2000], 200, LARGE, {}),
    ("/assets/large.bin", ["Range: bytes=0-1", f"If-Range: {MODIFIED}"], 206, LARGE[:2], {}),
    ("/assets/large.bin", ["Range: bytes=0-1", 'If-Range: "0123456789abcdef"'], 200, LARGE, {}),
    ("/assets/empty.txt", ["Range: bytes=0-"], 416, None, {"Content-Range": "bytes */0"}),
    # conditions
    ("/assets/photo.png", [f"If-Modified-Since: {MODIFIED}"], 304, b"", {"Content-Length": None}),
    ("/assets/photo.png", ["If-Modified-Since: Fri, 14 Jul 2017 02:39:59 GMT"], 200, b"png", {}),
    ("/assets/photo.png", ["If-Modified-Since: Friday, 14-Jul-17 02:40:00 GMT"], 304, b"", {}),
    ("/assets/photo.png", [f"If-Modified-Since: {MODIFIED}", 'If-None-Match: "x"'], 200, b"png", {}),
    ("/assets/photo.png", ["If-None-Match: *"], 304, b"", {"Cache-Control": "no-cache"}),
    ("/assets/photo.png", ['If-Match: "x"'], 412, None, {}),
    ("/assets/photo.png", ["If-Match: *"], 200, b"png", {}),
    ("/assets/photo.png", ["If-Unmodified-Since: Fri, 14 Jul 2017 02:39:59 GMT"], 412, None, {}),
    ("/assets/photo.png", ["If-None-Match: *", "Range: bytes=0-0"], 304, b"", {}),
    ("/assets/app.js", ["If-None-Match: *"], 304, b"", {"Vary": "Accept-Encoding"}),
    # nothing
    ("/assets/nothing", [], 404, b"404 Not Found\n", {"Content-Type": "text/plain; charset=utf-8"}),
    ("/assets/app.js/", [], 404, None, {}),
    ("/assets/app.js/x", [], 404, None, {}),
]


def test_cases(client: Client) -> None:
    """All on one connection, one after the other, with GET and HEAD."""
    for target, fields, status, body, expected in CASES:
        told = f"{target} {fields}"
        got = ask(client, target, *fields)
        assert got.status == status, told
        if body is not None:
            assert got.body == body, told
        for name, value in expected.items():
            assert got.get(name) == value, told
        head = ask(client, target, *fields, method="HEAD")
        whole = status in (206, 416)  # RFC 9110 §14.2: a range is of GET
        assert head.status == (200 if whole else status), told
        assert head.body == b"", told
        if not whole:
            assert head.get("Content-Length") == got.get("Content-Length"), told


HOSTILE = (
    *(
        "/assets/../secret.txt",
        "/assets/%2e%2e/secret.txt",
        "/assets/..%2fsecret.txt",
        "/assets/%2e%2e%2fsecret.txt",
    ),
    *(
        "/assets/docs/../../secret.txt",
        "/assets/docs/..%2f..%2fsecret.txt",
        "/assets/./app.js",
        "/assets//app.js",
    ),
    *("/assets%2fapp.js", "/assets/docs%2findex.html", "/assets/docs%2Findex.html", "/assets/app.js%00"),
    *("/assets/app.js%00.png", "/assets/%00", "/assets/.env", "/assets/.git/config", "/assets/%2eenv"),
    *(
        "/assets/docs/.",
        "/assets/docs/..",
        "/assets/..",
        "/assets/.",
        "/assets//etc/passwd",
        "/assets/%2fetc/passwd",
    ),
    *(
        "/assets/" + "a" * 5000,
        "/assets/" + "a/" * 2000 + "b",
        "/assets/" + "%41" * 2000,
        "/assets/..;/secret.txt",
    ),
    *(
        "/assets/..%5csecret.txt",
        "/assets/..%c0%afsecret.txt",
        "/assets/%252e%252e/secret.txt",
        "/assets/docs//",
    ),
    *(
        "/assets/shut.txt%20",
        "/assets/app.js::$DATA",
        "/assets/out-dir/",
        "/assets/~root",
        "/assets/docs/%2e%2e/app.js",
    ),
)


def test_hostile_paths(server: Server, client: Client) -> None:
    """None of them is a file, and none is told to the application, which may read it otherwise."""
    server.seen()
    for target in HOSTILE:
        got = ask(client, target)
        assert got.status == 404, target
        assert b"secret" not in got.body.lower(), target
        assert got.body == b"404 Not Found\n", target
    assert server.seen() == []


def test_a_client_that_has_it(client: Client) -> None:
    """Each coding has a tag of its own."""
    tags = set()
    for coding in ("identity", "br", "zstd", "gzip"):
        accepts = f"Accept-Encoding: {coding}"
        tag = ask(client, "/assets/app.js", accepts).get("ETag")
        assert tag is not None
        tags.add(tag)
        again = ask(client, "/assets/app.js", accepts, f'If-None-Match: "x", W/{tag}')
        assert (again.status, again.get("ETag"), again.body) == (304, tag, b"")
        assert ask(client, "/assets/app.js", accepts, f"If-Match: {tag}").status == 200
        part = ask(client, "/assets/app.js", accepts, f"If-Range: {tag}", "Range: bytes=1-2")
        assert (part.status, len(part.body)) == (206, 2)
    assert len(tags) == 4


def test_several_ranges(client: Client) -> None:
    asked = [(500, 599), (0, 9), (100_000, 180_000)]
    got = ask(client, "/assets/large.bin", "Range: bytes=" + ",".join(f"{a}-{b}" for a, b in asked))
    assert got.status == 206
    assert got.get("Content-Range") is None
    kind, _, boundary = (got.get("Content-Type") or "").partition("; boundary=")
    assert kind == "multipart/byteranges"
    parts = got.body.split(b"--" + boundary.encode())
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    for (first, last), part in zip(asked, parts[1:-1], strict=True):
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        assert head.split(b"\r\n") == [
            b"Content-Type: application/octet-stream",
            b"Content-Range: bytes %d-%d/%d" % (first, last, len(LARGE)),
        ]
        assert content.removesuffix(b"\r\n") == LARGE[first : last + 1]
    assert ask(client, "/assets/photo.png").body == b"png"


def test_other_methods(server: Server, client: Client) -> None:
    """Also with a body, which is read over: the connection goes on."""
    server.seen()
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "get"):
        got = ask(client, "/assets/app.js", method=method, body=b"some bytes")
        assert (got.status, got.get("Allow")) == (405, "GET, HEAD"), method
    got = ask(client, "/assets/photo.png", body=b"a GET may have a body")
    assert (got.status, got.body) == (200, b"png")
    assert ask(client, "/assets/photo.png").body == b"png"
    assert server.seen() == []


def test_what_is_not_below_a_prefix_is_the_applications(client: Client) -> None:
    for target in ("/", "/assetsx/app.js", "/asset", "/x/assets/app.js", "//assets/app.js", "/Assets/app.js"):
        got = ask(client, target)
        assert got.status == 200, target
        assert json.loads(got.body)["method"] == "GET", target
    assert ask(client, "/assets/photo.png").body == b"png"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_pipelined(running_servers: Servers, kind: str, assets: Path) -> None:
    """Files and answers of the application keep their order."""
    server = running_servers.on("plain").get("--static", f"/assets={assets}", kind=kind)
    targets = ["/assets/photo.png", "/big?5", "/assets/large.bin", "/big?7", "/assets/nothing"] * 8
    with server.connect() as client:
        client.send(b"".join(request("GET", target) for target in targets))
        sizes = [len(client.response().body) for _ in targets]
    assert sizes == [3, 5, len(LARGE), 7, 14] * 8


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_settings(running_servers: Servers, kind: str, assets: Path) -> None:
    server = running_servers.on("plain").get(
        *("--static", f"/={assets}", "--static", f"/deep/er={assets}/docs", "--static-fallthrough"),
        *("--static-index", "page.html", "--static-dotfiles", "--static-type", "bin=application/x-mine"),
        *("--static-cache-control", "*.png=max-age=60", "--static-cache-control", "/docs/*="),
        kind=kind,
    )
    server.seen()
    with server.connect() as client:
        assert ask(client, "/.env").body == b"SECRET=1"
        assert ask(client, "/photo.png").get("Cache-Control") == "max-age=60"
        assert ask(client, "/docs/index.html").get("Cache-Control") is None
        assert ask(client, "/deep/er/index.html").body == b"<p>docs</p>"
        assert ask(client, "/large.bin", method="HEAD").get("Content-Type") == "application/x-mine"
        assert ask(client, "/").body == b"<p>page</p>"
        assert server.seen() == []
        for target in ("/nothing", "/docs", "/docs/", "/deep/er/x", "/../secret.txt", "/out", "/a%2fb"):
            assert json.loads(ask(client, target).body)["method"] == "GET", target
        ask(client, "/photo.png", method="POST", body=b"x")
    assert [each["method"] for each in server.seen()] == ["GET"] * 7 + ["POST"]


def test_a_file_that_becomes_shorter_while_it_is_sent(server: Server, assets: Path) -> None:
    """Nothing can mend its length: the client sees that it is not whole."""
    big = assets / "big"
    big.touch()
    os.truncate(big, 32_000_000)  # of which no byte is written
    server.seen()
    with server.connect(receive_buffer=65536) as client:
        client.send(request("GET", "/assets/big"))
        client.read_exactly(100_000)
        os.truncate(big, 1000)
        rest = 0
        with contextlib.suppress(ClosedError, OSError):
            rest = len(client.read_to_end())
        assert rest < 31_000_000
    server.seen()


def test_a_client_that_leaves(server: Server) -> None:
    server.seen()
    before = descriptors(server)
    for _ in range(5):
        with server.connect(receive_buffer=4096) as client:
            client.send(request("GET", "/assets/large.bin") * 3)
            client.read_exactly(20_000)
    wait_for(lambda: descriptors(server) <= before, "nothing is left of them")
    server.seen()


@pytest.mark.parametrize("kind", ["gthread"])
def test_a_directory_that_is_put_in_the_place_of_another(
    running_servers: Servers, kind: str, tmp_path: Path
) -> None:
    """A deployment that renames; and one for which it is gone for a while."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "a.txt").write_bytes(b"one")
    server = running_servers.on("plain").get("--static", f"/f={root}", kind=kind)

    def body() -> bytes:
        return ask_once(server, "/f/a.txt").body

    assert body() == b"one"
    other = tmp_path / "next"
    other.mkdir()
    (other / "a.txt").write_bytes(b"two")
    root.rename(tmp_path / "old")
    other.rename(root)
    wait_for(lambda: body() == b"two", "the new directory is found")
    shutil.rmtree(root)
    assert ask_once(server, "/f/a.txt").status == 404
    root.mkdir()
    (root / "a.txt").write_bytes(b"three")
    wait_for(lambda: body() == b"three", "the new directory is found")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_what_changes_is_seen_at_once(
    running_servers: Servers, kind: str, assets: Path, tmp_path: Path
) -> None:
    """By the next request; a file that was changed just now has a weak tag, because it may change again in
    the same instant."""
    server = running_servers.on("plain").get("--static", f"/assets={assets}", kind=kind)
    file = assets / "changing.txt"
    with server.connect() as client:
        tags = []
        for content in (b"one", b"two", b"three"):
            (tmp_path / "new").write_bytes(content)
            (tmp_path / "new").rename(file)
            got = ask(client, "/assets/changing.txt")
            assert got.body == content
            tags.append(got.get("ETag") or "")
        assert len(set(tags)) == 3
        assert all(tag.startswith("W/") for tag in tags)
        assert ask(client, "/assets/changing.txt", f"If-None-Match: {tags[-1]}").status == 304
        os.utime(file, (time.time() + 3600,) * 2)
        future = ask(client, "/assets/changing.txt")
        assert future.get("Last-Modified") == future.get("Date")


@pytest.mark.parametrize("kind", EITHER_KIND)
def test_what_is_said_of_a_name_is_said_of_what_is_there(
    running_servers: Servers, kind: str, tmp_path: Path
) -> None:
    """It is remembered by name, for some hundred of them; of files that did not change just now."""
    server = running_servers.on("plain").get("--static", f"/f={tmp_path}", kind=kind)
    file = tmp_path / "a.js"

    def put(name: str, content: bytes, changed: int, *, in_place: bool = False) -> None:
        place = tmp_path / name if in_place else tmp_path / "new"
        place.write_bytes(content)
        os.utime(place, (changed, changed))
        place.rename(tmp_path / name)

    seen = set()
    with server.connect() as client:

        def check(content: bytes, coding: str | None, changed: int) -> None:
            for _ in range(2):
                fields = [] if coding is None else [f"Accept-Encoding: {coding}"]
                got = ask(client, "/f/a.js", *fields)
                assert (got.status, got.body, got.get("Content-Encoding")) == (200, content, coding)
                assert got.get("Last-Modified") == email.utils.formatdate(changed, usegmt=True)
                assert got.get("Content-Type") == "text/javascript; charset=utf-8"
                assert ask(client, "/f/a.js", *fields, method="HEAD").get("ETag") == got.get("ETag")
            seen.add(got.get("ETag"))

        put("a.js", b"one", CHANGED)
        check(b"one", None, CHANGED)
        put("a.js", b"two", CHANGED)  # another inode
        check(b"two", None, CHANGED)
        put("a.js", b"three", CHANGED, in_place=True)  # another size
        check(b"three", None, CHANGED)
        put("a.js", b"threE", CHANGED + 1, in_place=True)  # another time
        check(b"threE", None, CHANGED + 1)
        put("a.js.gz", b"gz", CHANGED + 2)
        put("a.js.br", b"br", CHANGED + 3)
        for coding, content, later in (("gzip", b"gz", 2), ("br", b"br", 3), ("gzip", b"gz", 2)):
            check(content, coding, CHANGED + later)
            check(b"threE", None, CHANGED + 1)
        assert len(seen) == 6
        got = ask(client, "/f/a.js.gz")
        assert (got.body, got.get("Content-Encoding")) == (b"gz", None)
        assert got.get("Content-Type") == "application/gzip"
        file.write_bytes(b"now")
        assert (ask(client, "/f/a.js").get("ETag") or "").startswith("W/")
        for number in range(600):
            (tmp_path / f"{number}.txt").write_bytes(b"%d" % number)
            os.utime(tmp_path / f"{number}.txt", (CHANGED, CHANGED))
        for _ in range(2):
            client.send(b"".join(request("GET", f"/f/{number}.txt") for number in range(600)))
            assert [client.response().body for _ in range(600)] == [b"%d" % n for n in range(600)]


def test_it_is_logged_and_counted(running_servers: Servers, kind: str, wire: str, assets: Path) -> None:
    server = running_servers.on(wire).get(
        *("--static", f"/assets={assets}", "--access-logfile", "-", "--request-id-header", "X-Request-Id"),
        "--request-id-response",
        *("--access-logformat", '%(h)s "%(r)s" %(s)s %(B)s %({user-agent}i)s %({x-request-id}i)s|'),
        kind=kind,
    )
    mark = server.log_mark()
    with server.connect() as client:
        ids = [
            ask(client, target, "User-Agent: me", "Range: bytes=0-1").get("X-Request-Id")
            for target in ("/assets/photo.png", "/assets/nothing", "/assets/large.bin")
        ]
    assert len(set(ids)) == 3
    protocol = server.wire.protocol

    def lines() -> list[str]:
        return re.findall(r'"GET /assets/(.*?)\|', server.log(mark))

    wait_for(lambda: len(lines()) == 3, "three lines")
    assert [line.split(" me ")[0] for line in lines()] == [
        f'photo.png {protocol}" 206 2',
        f'nothing {protocol}" 404 14',
        f'large.bin {protocol}" 206 2',
    ]


def test_busy_threads_keep_nobody_from_files(servers: Servers, assets: Path, tmp_path: Path) -> None:
    """The application has the only thread."""
    server = servers.get("--static", f"/assets={assets}", kind="sync")
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    with server.connect() as busy, server.connect() as client:
        busy.send(request("GET", f"/block?{gate}&{mark}"))
        wait_for(mark.exists, "the application is busy")
        for _ in range(3):
            assert ask(client, "/assets/large.bin").body == LARGE
        gate.touch()
        assert busy.response().body == b'"released"'


@pytest.mark.parametrize("kind", ["tornado"])
def test_beside_tornado(kind: str, assets: Path) -> None:
    server = Server(
        "tornado_site:app", ("--static", f"/assets={assets}", "--workers", "1"), kind=kind
    ).start()
    try:
        with server.connect(timeout=15) as client:
            for target, fields, status, body, _ in CASES:
                got = ask(client, target, *fields)
                assert got.status == status, target
                assert body is None or got.body == body, target
    finally:
        server.stop()
