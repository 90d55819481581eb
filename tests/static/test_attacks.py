"""What is done to a server with files: races, floods, and clients that ask for everything at once."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import threading
from pathlib import Path

import pytest
from harness.axes import HAS_HTTP_2, ONE_OF_EACH
from harness.http2.connection import Connection
from harness.http2.frames import Code, Setting, window_update
from harness.server import Servers, wait_for
from http2.cases import EITHER_KIND
from static.site import EITHER_HTTP, LARGE, SCRIPT, ask, descriptors, lay_out, request

SECRET = b"the secret of the machine"


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("site"))


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
            for _ in range(40):
                client.send(request("GET", "/f/d/a.txt") * 20)
                found |= {client.response().body for _ in range(20)}
    finally:
        stop.set()
        thread.join()
    assert SECRET not in found
    assert found == {b"public", b"404 Not Found\n"}


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_nothing_is_left_of_answers_of_every_kind(servers: Servers, kind: str, assets: Path) -> None:
    """No descriptor, whichever way an answer ends."""
    server = servers.get("--static", f"/assets={assets}", kind=kind)
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


@pytest.mark.parametrize("kind", EITHER_KIND)
def test_nothing_is_left_of_ten_thousand(running_servers: Servers, kind: str, assets: Path) -> None:
    """What is sent from memory, from the file, and not at all. How long four answers are is found out once;
    of the others the bytes are counted."""
    server = running_servers.on("plain").get("--static", f"/assets={assets}", kind=kind)
    server.seen()
    round_of_four = [
        request("GET", "/assets/photo.png"),
        request("GET", "/assets/large.bin", "Range: bytes=1000-40999"),
        request("GET", "/assets/app.js", "Accept-Encoding: br", "If-None-Match: *"),
        request("GET", "/assets/nothing"),
    ]
    with server.connect() as client:
        client.send(b"".join(round_of_four) + request("GET", "/assets/nothing", "Connection: close"))
        size = client.read_to_end().rindex(b"HTTP/1.1 404")
    with server.connect() as client:
        assert ask(client, "/assets/photo.png").body == b"png"
        before = descriptors(server)
        for _ in range(100):
            client.send(b"".join(round_of_four) * 25)
            client.read_exactly(size * 25)
        assert not client.buffer
        assert ask(client, "/assets/photo.png").body == b"png"
        wait_for(lambda: descriptors(server) <= before, "nothing is left")
    server.seen()


@pytest.mark.parametrize(("kind", "wire"), EITHER_HTTP)
def test_a_client_that_does_not_read(running_servers: Servers, kind: str, wire: str, assets: Path) -> None:
    """It has the time to write, as with any response; then its file is closed."""
    server = running_servers.on(wire).get(
        "--static", f"/assets={assets}", "--write-timeout", "0.3", kind=kind
    )
    (assets / "endless").touch()
    os.truncate(assets / "endless", 1 << 30)
    server.seen()
    before = descriptors(server)
    with server.connect(receive_buffer=4096) as client:
        client.send(request("GET", "/assets/endless"))
        client.read_exactly(1000)
        wait_for(lambda: descriptors(server) > before, "the file is open")
        wait_for(lambda: descriptors(server) <= before + client.multiplexed, "the file is closed")
    server.seen()


@pytest.mark.skipif(not HAS_HTTP_2, reason="it was not built")
@pytest.mark.parametrize("kind", EITHER_KIND)
def test_streams_that_wait_do_not_take_all_descriptors(
    running_servers: Servers, kind: str, assets: Path
) -> None:
    """Files that no client reads are kept open only as long as there are few of them. Of the others what is
    sent is what was announced, or the stream breaks off."""
    server = running_servers.on("h2c").get("--static", f"/assets={assets}", kind=kind)
    server.seen()
    assert server.worker_pid is not None
    content = {name: bytes([fill]) * 40_000 for name, fill in (("stays", 1), ("goes", 2), ("changes", 3))}
    for name, data in content.items():
        (assets / name).write_bytes(data)
        os.utime(assets / name, (1e9, 1e9))
    soft, hard = resource.prlimit(server.worker_pid, resource.RLIMIT_NOFILE)
    before = descriptors(server)
    with contextlib.ExitStack() as stack:
        resource.prlimit(server.worker_pid, resource.RLIMIT_NOFILE, (160, hard))
        stack.callback(resource.prlimit, server.worker_pid, resource.RLIMIT_NOFILE, (soft, hard))
        waiting = []
        for _ in range(3):
            connection = stack.enter_context(
                Connection(server.connect_http1().socket, settings={Setting.INITIAL_WINDOW_SIZE: 0})
            )
            names = list(content) * 20
            streams = [connection.request(f"/assets/{name}") for name in names]
            heads = [connection.head(stream) for stream in streams]
            assert {head.status for head in heads} == {200}
            waiting.append((connection, dict(zip(streams, names, strict=True))))
        assert descriptors(server) <= before + 3 + 160 // 4
        assert server.get("/assets/photo.png") == (200, b"png")
        (assets / "other").write_bytes(b"x" * 40_000)
        (assets / "other").rename(assets / "goes")
        (assets / "changes").write_bytes(b"y" * 40_000)
        results: dict[str, list[bytes | None]] = {name: [] for name in content}
        for connection, names_of in waiting:
            connection.send(window_update(0, 1 << 24))
            connection.send(b"".join(window_update(stream, 1 << 16) for stream in names_of))
            for stream, name in names_of.items():
                answer = connection.answer(stream)
                assert answer.ended or answer.reset == Code.INTERNAL_ERROR
                results[name].append(answer.content if answer.ended else None)
    assert set(results["stays"]) == {content["stays"]}
    assert set(results["goes"]) == {content["goes"], None}  # the first ones had it open
    assert set(results["changes"]) == {b"y" * 40_000, None}
    wait_for(lambda: descriptors(server) <= before, "nothing is left")
    server.seen()


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


@pytest.mark.parametrize("kind", EITHER_KIND)
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


@pytest.mark.parametrize("kind", EITHER_KIND)
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
