"""What a machine and its containers allow: the kernel's files as they look in different places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tricorn import machine
from tricorn.config.errors import ConfigError
from tricorn.config.sources import load
from tricorn.machine import Memory, Processors

V2 = "31 24 0:27 / {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
CPU = "33 31 0:30 / {point} rw,relatime - cgroup cgroup rw,cpu,cpuacct"
MEMORY = "35 31 0:32 / {point} rw,relatime - cgroup cgroup rw,memory"

#: Our groups, a mount, files of groups, the quota in processors that follows.
QUOTAS = {
    "v2": ("0::/shop", V2, {"shop/cpu.max": "150000 100000"}, 1.5),
    "v2, no limit": ("0::/shop", V2, {"shop/cpu.max": "max 100000"}, None),
    "v2, a container's own namespace": ("0::/", V2, {"cpu.max": "50000 100000"}, 0.5),
    "v2, the limit is above us": (
        "0::/a/b",
        V2,
        {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"},
        2.0,
    ),
    "v2, the lowest counts": (
        "0::/a/b",
        V2,
        {"a/b/cpu.max": "300000 100000", "a/cpu.max": "200000 100000"},
        2.0,
    ),
    "v2, far above us": ("0::/a/b/c", V2, {"a/cpu.max": "100000 100000"}, 1.0),
    "v2, not above what is seen": ("0::/a", V2, {"../cpu.max": "100000 100000"}, None),
    "v2, no file": ("0::/shop", V2, {}, None),
    "v1": ("3:cpu,cpuacct:/x", CPU, {"x/cpu.cfs_quota_us": "250000", "x/cpu.cfs_period_us": "100000"}, 2.5),
    "v1, no limit": ("3:cpu:/x", CPU, {"x/cpu.cfs_quota_us": "-1", "x/cpu.cfs_period_us": "100000"}, None),
    "another controller": ("3:memory:/x", CPU, {"x/cpu.cfs_quota_us": "1", "x/cpu.cfs_period_us": "1"}, None),
}
LIMITS = {
    "v2": ("0::/shop", V2, {"shop/memory.max": "536870912"}, 512 << 20),
    "v2, no limit": ("0::/shop", V2, {"shop/memory.max": "max"}, None),
    "v2, above us": ("0::/a/b", V2, {"a/b/memory.max": "max", "a/memory.max": "1000"}, 1000),
    "v1": ("4:memory:/x", MEMORY, {"x/memory.limit_in_bytes": "1048576"}, 1 << 20),
    "v1, no limit": ("4:memory:/x", MEMORY, {"x/memory.limit_in_bytes": "9223372036854771712"}, None),
}


def proc_of(home: Path, groups: str, mount: str, files: dict[str, str]) -> Path:
    proc, point = home / "proc", home / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(groups + "\n")
    (proc / "self/mountinfo").write_text(mount.format(point=point) + "\n")
    (proc / "meminfo").write_text("MemTotal:  4194304 kB\nMemFree: 1 kB\n")
    for name, text in files.items():
        (point / name).parent.mkdir(parents=True, exist_ok=True)
        (point / name).write_text(text + "\n")
    return proc


@pytest.mark.parametrize("name", QUOTAS)
def test_processor_time_of_a_container(tmp_path: Path, name: str) -> None:
    groups, mount, files, quota = QUOTAS[name]
    assert machine.processors(proc_of(tmp_path, groups, mount, files)).quota == quota


@pytest.mark.parametrize("name", LIMITS)
def test_memory_of_a_container(tmp_path: Path, name: str) -> None:
    groups, mount, files, limit = LIMITS[name]
    assert machine.memory(proc_of(tmp_path, groups, mount, files)) == Memory(4 << 30, limit)


def test_what_cannot_be_read_limits_nothing(tmp_path: Path) -> None:
    assert machine.processors(tmp_path).quota is None
    assert machine.memory(tmp_path) == Memory(0, None)
    assert machine.file_system("/srv", tmp_path) == ""


@pytest.mark.parametrize(
    ("there", "workers", "said"),
    [
        (Processors(8, 8, None), 8, "there are 8 processors"),
        (Processors(1, 1, None), 1, "there is 1 processor"),
        (Processors(8, 2, None), 2, "this process may run on 2 of 8 processors"),
        (Processors(8, 8, 1.5), 2, "the container may use 1.5 of 8 processors"),
        (Processors(8, 8, 0.25), 1, "the container may use 0.25 of 8 processors"),
        (Processors(8, 2, 16.0), 2, "this process may run on 2 of 8 processors"),
        (Processors(8, 3, 2.0), 2, "the container may use 2 of 8 processors"),
    ],
)
def test_as_many_workers_as_can_be_kept_busy(there: Processors, workers: int, said: str) -> None:
    assert there.workers == workers
    assert str(there) == said


def test_affinity_counts() -> None:
    assert machine.processors().allowed == len(os.sched_getaffinity(0))


def test_the_deepest_mount_tells_the_file_system(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    mounts = (
        "22 1 8:1 / / rw - ext4 d rw\n23 22 0:3 / /srv rw - 9p s rw\n24 22 0:4 / /srv\\040x rw - nfs n rw\n"
    )
    (tmp_path / "self/mountinfo").write_text(mounts)
    kinds = [machine.file_system(path, tmp_path) for path in ("/home", "/srv/shop", "/srvs", "/srv x/a")]
    assert kinds == ["ext4", "9p", "ext4", "nfs"]


@pytest.mark.parametrize("way", ["option", "shared variable", "own variable", "file"])
def test_workers_auto_in_every_way(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "processors", lambda: Processors(8, 8, 2.5))
    words = ["--workers", " Auto "] if way == "option" else []
    environ = {
        "shared variable": {"WEB_CONCURRENCY": "auto"},
        "own variable": {"TRICORN_WORKERS": "auto"},
    }.get(way, {})
    if way == "file":
        (tmp_path / "tricorn.toml").write_text('workers = "auto"\n')
    settings = load(words, environ, tmp_path)
    assert settings.workers == 3
    (note,) = settings.notes
    assert note.startswith("workers: auto is 3 (")
    assert note.endswith("): the container may use 2.5 of 8 processors")


def test_no_more_workers_than_there_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "processors", lambda: Processors(9999, 9999, None))
    assert load(["-w", "auto"], {}, tmp_path).workers == 4096
    with pytest.raises(ConfigError, match="write a whole number from 1 to 4096, or auto"):
        load(["-w", "many"], {}, tmp_path)
