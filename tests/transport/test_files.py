"""Files that are sent as they are: their size is what reading gives, not what stat() says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from integration.live import Live, message
from transport.served import Pool

from tricorn.transport import files

#: stat() says 0 of these, and 4096 of those.
EMPTY = ["/proc/version", "/proc/sys/kernel/ostype"]
PAGES = ["/sys/class/net/lo/mtu", "/sys/kernel/mm/transparent_hugepage/enabled"]
SYSTEM = [path for path in (*EMPTY, *PAGES) if os.access(path, os.R_OK)]


@pytest.fixture(params=[(), ("--no-sendfile",)], ids=["sendfile", "no-sendfile"])
def live(serve: Pool, request: pytest.FixtureRequest) -> Live:
    return serve("files:app", *request.param)


@pytest.mark.parametrize("path", SYSTEM)
def test_a_file_of_the_systems_own(live: Live, path: str) -> None:
    response = live.request(f"/send?{path}")
    assert response.complete
    assert response.body == Path(path).read_bytes() != b""


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_plain_file(live: Live, tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    response = live.request(f"/send?{file}")
    assert response.complete
    assert response.body == b"x" * size


@pytest.mark.parametrize("change", ["shrink", "grow"])
def test_a_file_that_changes(live: Live, tmp_path: Path, change: str) -> None:
    """One that shrank leaves a response that shows to be cut; one that grew is sent as long as was said."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100_000)
    with live.connect() as client:
        client.send(message(f"/{change}?{file}"))
        response = client.response()
        assert response.complete == (change == "grow")
        assert response.body == b"x" * (100_000 if change == "grow" else 50_000)


@pytest.mark.parametrize("path", SYSTEM)
@pytest.mark.parametrize(("offset", "count"), [(0, -1), (1, 2), (2, -1), (-1, -1), (-1, 3), (100_000, -1)])
def test_a_stretch_of_a_file_without_a_size(path: str, offset: int, count: int) -> None:
    """What is sent lies in memory, and the position of the file moves as read() would move it."""
    whole = Path(path).read_bytes()
    with open(path, "rb", buffering=0) as file:
        file.seek(1)
        start = 1 if offset < 0 else offset
        expected = whole[start:] if count < 0 else whole[start : start + count]
        before = len(os.listdir("/proc/self/fd"))
        descriptor, at, size = files.open_stretch(file, offset, count)
        assert os.pread(descriptor, 10_000, at)[:size] == expected
        assert size == len(expected)
        assert file.tell() == (1 + len(expected) if offset < 0 else 1)
        os.close(descriptor)
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("path", SYSTEM)
def test_a_path_to_a_file_without_a_size(path: str) -> None:
    descriptor, size = files.open_path(path)
    try:
        assert os.pread(descriptor, 10_000, 0) == Path(path).read_bytes()
        assert size == len(Path(path).read_bytes())
    finally:
        os.close(descriptor)


def test_a_file_without_a_size_or_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not copied for ever."""
    monkeypatch.setattr(files, "MOST_COPIED", 10)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="more than 10 bytes"):
        files.open_path("/proc/version")
    assert len(os.listdir("/proc/self/fd")) == before
