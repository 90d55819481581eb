"""A directory of files to be served, and how it is asked for.

Knows: files, the client of the harness. Must not know: what is expected.
"""

from __future__ import annotations

import gzip
import os
from itertools import product
from pathlib import Path

import pytest
from harness.axes import HAS_HTTP_2, ONE_OF_EACH
from harness.client import Client, Response
from harness.server import Server

#: (kind, wire) of tests that need servers of their own: each of both once, the other pairs are slow.
_PAIRS = list(product(ONE_OF_EACH, ("plain", "h2c") if HAS_HTTP_2 else ("plain",)))
EITHER_HTTP = [_PAIRS[0], _PAIRS[-1], *(pytest.param(*pair, marks=pytest.mark.slow) for pair in _PAIRS[1:-1])]

#: When the files were changed: Fri, 14 Jul 2017 02:40:00 GMT.
CHANGED = 1_500_000_000
SCRIPT = b"console.log(1);\n" * 40
LARGE = bytes(range(256)) * 1024  # 256 KiB
HASHED = "app.55e7cbb9ba48.css"


def descriptors(server: Server) -> int:
    """That its worker has open."""
    return len(os.listdir(f"/proc/{server.worker_pid}/fd"))


def lay_out(root: Path) -> Path:
    """Files below root/assets, and what must not be reached beside it. Returns root/assets."""
    assets = root / "assets"
    (assets / "docs" / "empty").mkdir(parents=True)
    (assets / "a b").mkdir()
    (assets / ".git").mkdir()
    files = {
        "app.js": SCRIPT,
        "app.js.gz": gzip.compress(SCRIPT, mtime=0),
        "app.js.br": b"br of it",
        "app.js.zst": b"zst of it",
        "stale.js": b"new",
        "stale.js.gz": b"old",
        "photo.png": b"png",
        "photo.png.gz": b"never",
        "large.bin": LARGE,
        "page.html": b"<p>page</p>",
        "empty.txt": b"",
        "README": b"no end",
        "UPPER.JPG": b"jpg",
        "data.json": b"{}",
        HASHED: b"css",
        "docs/index.html": b"<p>docs</p>",
        "a b/c&d.txt": b"odd name",
        "caf\u00e9.txt": "caf\u00e9".encode(),
        "back\\slash": b"backslash",
        ".env": b"SECRET=1",
        ".git/config": b"secret",
        "index.html": b"<p>root</p>",
    }
    for name, content in files.items():
        (assets / name).write_bytes(content)
    (root / "secret.txt").write_bytes(b"secret")
    (assets / "out").symlink_to("../secret.txt")
    (assets / "out-dir").symlink_to("..")
    (assets / "in").symlink_to("docs/index.html")
    (assets / "in-dir").symlink_to("docs")
    (assets / "absolute").symlink_to(assets / "app.js")
    os.mkfifo(assets / "pipe")
    (assets / "shut.txt").write_bytes(b"shut")
    for directory, _, names in os.walk(assets):
        for name in names:
            if not os.path.islink(path := os.path.join(directory, name)):
                os.utime(path, (CHANGED, CHANGED))
    os.utime(assets / "stale.js", (CHANGED + 10, CHANGED + 10))
    return assets


def request(method: str, target: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: a", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def ask(client: Client, target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Response:
    client.send(request(method, target, *fields, body=body))
    return client.response(method)


def ask_once(server: Server, target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Response:
    with server.connect() as client:
        return ask(client, target, *fields, method=method, body=body)
