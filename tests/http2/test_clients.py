"""Clients that others wrote: curl, nghttp, h2load, httpx, the `h2` package, Chromium. Each where it is
installed."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from applications.browser import Browser, find
from applications.evidence import Evidence
from applications.wires import _pin
from harness import tls
from harness.axes import AXES, ONE_OF_EACH
from harness.patience import PATIENCE
from harness.server import Server, Servers
from integration.live import Live

WIRES = ["h2c", "h2"]
DEADLINE = 20.0 * PATIENCE


@pytest.fixture(params=WIRES)
def server(request: pytest.FixtureRequest, running_servers: Servers, kind: str) -> Server:
    return running_servers.on(request.param).get(kind=kind)


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def url(server: Server, path: str = "/", *, host: str = "127.0.0.1") -> str:
    return f"{server.wire.url_scheme}://{host}:{server.address[1]}{path}"


def says(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def curl(server: Server, path: str, *options: str) -> str:
    how = ("--http2",) if server.wire.url_scheme == "https" else ("--http2-prior-knowledge",)
    port = server.address[1]
    trust = ("--cacert", str(tls.AUTHORITY), "--resolve", f"{tls.NAME}:{port}:127.0.0.1")
    return says("curl", "-sS", "--noproxy", "*", *how, *trust, *options, url(server, path, host=tls.NAME))


@needs("curl")
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_curl(server: Server, tmp_path: Path) -> None:
    """Down, up, with Expect, with trailers in a chunked upload, and HEAD."""
    version = ("-o", "/dev/null", "-w", "%{http_version} %{response_code} %{size_download} %{num_connects}\n")
    assert curl(server, "/big?1000000", *version) == "2 200 1000000 1\n"
    assert curl(server, "/stream?1000000", *version) == "2 200 1000000 1\n"
    assert curl(server, "/", "-I", *version).startswith("2 200 0 1")
    upload = tmp_path / "upload"
    upload.write_bytes(b"u" * 3_000_000)
    assert curl(server, "/", "-T", str(upload), *version).startswith("2 200 ")
    assert curl(
        server, "/", "--data-binary", f"@{upload}", "-H", "Expect: 100-continue", *version
    ).startswith("2 200 ")
    assert '"hello"' in curl(server, "/", "-d", "hello")


@needs("nghttp")
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_nghttp(server: Server) -> None:
    """A hundred requests on a connection, by a client that tells of each frame. It trusts everybody."""
    told = says("nghttp", "-nv", "-y", "-m", "50", url(server, "/big?30000"))
    assert told.count(":status: 200") == 50
    assert not re.search(r"recv (GOAWAY|RST_STREAM) frame", told), told[-2000:]
    assert "error_code=NO_ERROR" in told or "GOAWAY" not in told


@needs("h2load")
@pytest.mark.parametrize(
    "kind",
    [kind if kind in ONE_OF_EACH else pytest.param(kind, marks=pytest.mark.slow) for kind in AXES["kind"]],
)
def test_h2load(server: Server) -> None:
    for path, requests in (("/", 500), ("/big?20000", 200), ("/stream?200000", 50)):
        told = says("h2load", "-n", str(requests), "-c", "4", "-m", "16", url(server, path))
        assert f"{requests} succeeded, 0 failed, 0 errored" in told, told
        assert f"{requests} 2xx, 0 3xx, 0 4xx, 0 5xx" in told, told


@needs("h2load")
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_h2load_with_small_windows(server: Server, tmp_path: Path) -> None:
    """1 KiB for a stream and 1 KiB for the connection: every answer is cut many times."""
    told = says(
        "h2load", "-n", "100", "-c", "2", "-m", "10", "-w", "10", "-W", "10", url(server, "/big?20000")
    )
    assert "100 succeeded, 0 failed, 0 errored" in told, told
    upload = tmp_path / "upload"
    upload.write_bytes(b"u" * 100_000)
    told = says("h2load", "-n", "50", "-c", "2", "-m", "10", "-d", str(upload), url(server, "/unread"))
    assert "50 succeeded, 0 failed, 0 errored" in told, told


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_httpx(server: Server) -> None:
    context = ssl.create_default_context(cafile=str(tls.AUTHORITY))  # its own, since httpx says ALPN in it
    how = {"http2": True, "http1": server.wire.url_scheme == "https", "trust_env": False, "timeout": DEADLINE}
    with httpx.Client(verify=context, **how) as client:  # type: ignore[arg-type]
        extensions = {"sni_hostname": tls.NAME}
        for number in range(10):
            response = client.post(url(server, f"/{number}"), content=b"x" * 10_000, extensions=extensions)
            assert (response.http_version, response.status_code) == ("HTTP/2", 200)
            assert response.json()["path"] == f"/{number}"


@pytest.mark.slow
@pytest.mark.skipif(find() is None, reason="Chromium is not installed")
def test_chromium(tmp_path: Path) -> None:
    """200 objects, an upload and a WebSocket on one connection, three times; nothing is pushed, nothing is
    lost. The server's settings say nothing but that there is TLS."""
    with Live("asgi_objects:app", kind="asgi", wire="tls") as server:
        _browse(server, tmp_path)
        assert "Traceback" not in server.log()


def _browse(server: Server, tmp_path: Path) -> None:
    path = find()
    assert path is not None
    evidence = Evidence()
    trust = f"--ignore-certificate-errors-spki-list={_pin(tls.CERTIFICATE)}"
    with Browser(path, evidence, tmp_path, [trust]) as page:
        for _ in range(3):
            page.open(url(server))
            title = page.wait("document.title != 'begun' && document.title")
            # The upload and the count of ports are two more, and perhaps an icon.
            assert re.fullmatch("done 20[23] 300000 2,one,two 1005 1", title), title
    assert evidence.failures() == []
