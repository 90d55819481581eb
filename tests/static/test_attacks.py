"""What is done to a server with files: races, floods, and clients that ask for everything at once."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import threading
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.server import Server, Servers, wait_for
from static.site import LARGE, SCRIPT, ask, lay_out, request

SECRET = b"the secret of the machine"


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("site"))


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.worker_pid}/fd"))


@pytest.mark.parametrize("kind", ["gthread"])
def test_links_are_swapped_while_files_are_asked_for(
    running_servers: Servers, kind: str, tmp_path: Path
) -> None:
    """Whoever may write into the directory makes directories links to the outside for a moment."""
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (root / "real" / "a.txt").write_bytes(b"public")
    (tmp_path / "outside" / "a.txt").write_bytes(SECRET)
    (root / "link").symlink_to("../outside")
    (root / "far").symlink_to(tmp_path / "outside")
    server = running_servers.on("plain").get("--static", f"/f={root}", kind=kind)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name in ("real", "link", "far"):
                os.rename(root / name, root / "d")
                os.rename(root / "d", root / name)

    thread = threading.Thread(target=swap)
    thread.start()
    found = set()
    try:
        with server.connect() as client:
            for _ in range(60):
                client.send(request("GET", "/f/d/a.txt") * 20)
                found |= {client.response().body for _ in range(20)}
    finally:
        stop.set()
        thread.join()
    assert SECRET not in found
    assert found == {b"public", b"404 Not Found\n"}


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_nothing_is_left_of_answers_of_every_kind(running_servers: Servers, kind: str, assets: Path) -> None:
    """No descriptor, whichever way an answer ends."""
    server = running_servers.on("plain").get("--static", f"/assets={assets}", kind=kind)
    server.seen()
    many = ",".join(f"{i * 1000}-{i * 1000 + 500}" for i in range(32))
    asked = [
        ("GET", "/assets/app.js", ["Accept-Encoding: br, gzip, zstd"]),
        ("GET", "/assets/stale.js", ["Accept-Encoding: gzip"]),
        ("GET", "/assets/large.bin", []),
        ("HEAD", "/assets/large.bin", []),
        ("GET", "/assets/large.bin", ["If-None-Match: *"]),
        ("GET", "/assets/large.bin", ['If-Match: "x"']),
        ("GET", "/assets/large.bin", ["Range: bytes=0-1"]),
        ("GET", "/assets/large.bin", [f"Range: bytes={many}"]),
        ("HEAD", "/assets/large.bin", [f"Range: bytes={many}"]),
        ("GET", "/assets/large.bin", ["Range: bytes=999999-"]),
        ("GET", "/assets/docs", []),
        ("GET", "/assets/docs/empty", []),
        ("GET", "/assets/pipe", []),
        ("GET", "/assets/out", []),
        ("GET", "/assets/nothing", []),
        ("POST", "/assets/app.js", []),
    ]
    with server.connect() as client:
        ask(client, "/assets/app.js")
        before = descriptors(server)
        for method, target, fields in asked * 3:
            ask(client, target, *fields, method=method)
        wait_for(lambda: descriptors(server) <= before, "nothing is left")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_all_at_once(running_servers: Servers, wire: str, kind: str, assets: Path) -> None:
    """Clients ask for other files on each of their connections, and get these and no others."""
    server = running_servers.on(wire).get("--static", f"/assets={assets}", kind=kind)
    expected = {
        "/assets/app.js": SCRIPT,
        "/assets/large.bin": LARGE,
        "/assets/photo.png": b"png",
        "/assets/nothing": b"404 Not Found\n",
        "/assets/empty.txt": b"",
        "/assets/docs/": b"<p>docs</p>",
    }
    wrong: list[str] = []

    def run(seed: int) -> None:
        chance = random.Random(seed)
        with server.connect() as client:
            for _ in range(3):
                targets = chance.choices(list(expected), k=10)
                client.send(b"".join(request("GET", target) for target in targets))
                wrong.extend(target for target in targets if client.response().body != expected[target])

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_files_that_grow_shrink_and_go(running_servers: Servers, kind: str, tmp_path: Path) -> None:
    """While they are asked for. What is told as a whole is as long as was said, and the server lives."""
    server = running_servers.on("plain").get("--static", f"/f={tmp_path}", kind=kind)
    server.seen()
    file = tmp_path / "a.bin"
    stop = threading.Event()

    def change() -> None:
        chance = random.Random(7)
        while not stop.is_set():
            with contextlib.suppress(OSError):
                os.truncate(file, chance.choice((0, 10, 30_000, 40_000, 400_000)))
            if chance.random() < 0.1:
                file.unlink(missing_ok=True)
            if not file.exists():
                file.write_bytes(b"x" * 400_000)

    thread = threading.Thread(target=change)
    thread.start()
    statuses = set()
    try:
        for _ in range(120):
            with server.connect() as client:
                client.send(request("GET", "/f/a.bin", "Range: bytes=0-300000"))
                with contextlib.suppress(AssertionError):  # the connection was cut
                    statuses.add(client.response().status)
    finally:
        stop.set()
        thread.join()
    assert statuses <= {200, 206, 404, 416, 503}
    assert statuses & {200, 206}
    server.seen()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_heads_as_large_as_may_be(running_servers: Servers, kind: str, assets: Path) -> None:
    """A hundred fields of eight kilobytes that all mean something here."""
    server = running_servers.on("plain").get(
        "--static", f"/assets={assets}", "--limit-request-head", "1m", kind=kind
    )
    value = {
        "If-None-Match": '"a",' * 1900,
        "If-Match": 'W/"a",' * 1300,
        "Accept-Encoding": "br;q=0.5," * 850,
        "Range": "bytes=" + "0-1," * 1900,
        "If-Range": '"' + "a" * 8000,
    }
    fields = [f"{name}: {text}" for name, text in value.items() for _ in range(7)]
    with server.connect() as client:
        for _ in range(3):
            assert ask(client, "/assets/large.bin", *fields).status == 412
        assert (
            ask(client, "/assets/large.bin", *[each for each in fields if "If-Match" not in each]).body
            == LARGE
        )


@pytest.mark.parametrize("kind", ["gthread"])
def test_where_descriptors_are_lacking(running_servers: Servers, kind: str, assets: Path) -> None:
    """It is told, to the client and once in a second to the log, and goes away."""
    server = running_servers.on("plain").get("--static", f"/assets={assets}", "--threads", "1", kind=kind)
    server.seen()
    assert server.worker_pid is not None
    soft, hard = resource.prlimit(server.worker_pid, resource.RLIMIT_NOFILE)
    with server.connect() as client:
        ask(client, "/assets/app.js")
        mark = server.log_mark()
        resource.prlimit(server.worker_pid, resource.RLIMIT_NOFILE, (3, hard))
        try:
            got = [ask(client, "/assets/app.js").status for _ in range(10)]
        finally:
            resource.prlimit(server.worker_pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert got == [503] * 10
        assert 1 <= server.log(mark).count("Cannot open a file below") <= 3
        assert ask(client, "/assets/app.js").status == 200
