"""What frameworks answer for their static files, for the same directory: what they answer, ours answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest
from harness.client import Client
from harness.patience import PATIENCE
from harness.server import Servers
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from static.site import HASHED, ask, lay_out

#: Below the prefix, and fields of the request.
ASKED: list[tuple[str, dict[str, str]]] = [
    ("app.js", {}),
    ("photo.png", {}),
    ("data.json", {}),
    ("page.html", {}),
    ("docs/index.html", {}),
    ("large.bin", {}),
    ("empty.txt", {}),
    (HASHED, {}),
    ("a%20b/c&d.txt", {}),
    ("caf%C3%A9.txt", {}),
    ("in", {}),
    ("nothing", {}),
    ("docs/nothing", {}),
    ("a%00b", {}),
    ("large.bin", {"Range": "bytes=0-99"}),
    ("large.bin", {"Range": "bytes=-99"}),
    ("large.bin", {"Range": "bytes=262000-"}),
    ("large.bin", {"Range": "bytes=500000-"}),
    ("large.bin", {"Range": "bytes=0-9", "If-Range": '"another"'}),
    ("photo.png", {"If-Modified-Since": "Fri, 14 Jul 2017 02:40:00 GMT"}),
    ("photo.png", {"If-Modified-Since": "Fri, 14 Jul 2017 02:39:59 GMT"}),
    ("photo.png", {"If-None-Match": '"another"'}),
]
#: What others have in another way, and ours is right: (server, path, fields) → why.
OF_THEIRS = {
    (
        "starlette",
        "a%00b",
    ): "it lets the operating system refuse the name, which is an error of the application",
    ("flask", "a%00b"): "the same",
    ("starlette", "in"): "it takes the type of the file that the link leads to, not of the name in the URL",
}
#: Types that we say otherwise: a table of their own, in which the machine's is mixed.
TYPES = {
    "application/javascript": "text/javascript",
    "application/x-javascript": "text/javascript",
    "text/plain": "application/octet-stream",  # Starlette's, of what has no end
}


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("site"))


@pytest.fixture
def client(running_servers: Servers, assets: Path) -> Iterator[Client]:
    with running_servers.on("plain").get("--static", f"/static={assets}").connect() as client:
        yield client


Answer = tuple[int, bytes, dict[str, str | None]]
COMPARED = ("Content-Type", "Content-Range", "Last-Modified", "Content-Length")


def ours(client: Client, path: str, fields: dict[str, str], method: str) -> Answer:
    got = ask(
        client, f"/static/{path}", *(f"{name}: {value}" for name, value in fields.items()), method=method
    )
    return got.status, got.body, {name: got.get(name) for name in COMPARED}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_starlette(client: Client, assets: Path, method: str) -> None:
    app = Starlette(routes=[Mount("/static", StaticFiles(directory=assets))])
    theirs = TestClient(app)
    for path, fields in ASKED:
        if ("starlette", path) in OF_THEIRS:
            continue
        got = theirs.request(method, f"/static/{path}", headers=fields | {"Accept-Encoding": "identity"})
        compare(
            path,
            fields,
            method,
            ours(client, path, fields, method),
            got.status_code,
            got.content,
            got.headers,
        )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_flask(client: Client, assets: Path, method: str) -> None:
    app = flask.Flask(__name__, static_folder=str(assets), static_url_path="/static")
    theirs = app.test_client()
    for path, fields in ASKED:
        if ("flask", path) in OF_THEIRS:
            continue
        with theirs.open(f"/static/{path}", method=method, headers=fields) as got:
            compare(
                path,
                fields,
                method,
                ours(client, path, fields, method),
                got.status_code,
                got.data,
                got.headers,
            )


def compare(
    path: str, fields: dict[str, str], method: str, ours: Answer, status: int, body: bytes, headers: object
) -> None:
    told = f"{method} {path} {fields}"
    found: dict[str, str] = {name.lower(): value for name, value in headers.items()}  # type: ignore[attr-defined]
    if method == "HEAD" and "Range" in fields:
        assert ours[0] == 200, told  # RFC 9110 §14.2: of HEAD it is ignored; not all do
        return
    assert ours[0] == status, told
    if status >= 400:
        return
    assert ours[1] == body, told
    for name in ("Content-Range", "Last-Modified"):
        if name.lower() in found and status != 304:
            assert ours[2][name] == found[name.lower()], told
    if status in (200, 206):
        theirs = found["content-type"].partition(";")[0]
        mine = (ours[2]["Content-Type"] or "").partition(";")[0]
        assert mine in (theirs, TYPES.get(theirs)), told
        if "content-length" in found:
            assert ours[2]["Content-Length"] == found["content-length"], told


COLLECT = """
import sys
import django
from django.conf import settings
from django.core.management import call_command

source, target = sys.argv[1:]
settings.configure(
    SECRET_KEY="x", STATIC_URL="/static/", STATIC_ROOT=target, STATICFILES_DIRS=[source],
    INSTALLED_APPS=["django.contrib.staticfiles"],
    STORAGES={"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}},
)
django.setup()
call_command("collectstatic", verbosity=0, interactive=False)
"""


def test_djangos_manifest(running_servers: Servers, tmp_path: Path) -> None:
    """Names with a hash, as Django makes them and WhiteNoise serves them, may be kept for ever."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "css").mkdir(parents=True)
    for number in range(12):
        (source / f"script-{number}.js").write_text(f"console.log({number})")
    (source / "logo.png").write_bytes(b"png")
    (source / "css" / "base.css").write_text("body { background: url(../logo.png) }")
    subprocess.run([sys.executable, "-c", COLLECT, source, target], check=True, timeout=60 * PATIENCE)
    paths = json.loads((target / "staticfiles.json").read_text())["paths"]
    assert len(paths) == 14
    server = running_servers.on("plain").get("--static", f"/static={target}")
    with server.connect() as client:
        for plain, hashed in paths.items():
            kept = ask(client, f"/static/{hashed}")
            assert (kept.status, kept.body) == (200, (target / hashed).read_bytes())
            # 0.4 % of hashes have no letter, or no figure, and are taken for a number or a word.
            digest = hashed.rpartition("/")[2].split(".")[1]
            mixed = not (digest.isdecimal() or digest.isalpha())
            expected = "public, max-age=31536000, immutable" if mixed else "no-cache"
            assert kept.get("Cache-Control") == expected, hashed
            assert ask(client, f"/static/{plain}").get("Cache-Control") == "no-cache"
