"""Whether the kernel has killed for want of memory: its files as they look on different machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricorn.arbiter import oom

V2 = "31 24 0:27 {root} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 {root} {point} rw,relatime - cgroup cgroup rw,memory"
CPU = "33 31 0:30 / {point} rw,relatime - cgroup cgroup rw,cpu,cpuacct"

#: The machine: our groups, a mount, its root, the file that counts, whether that counts only ours.
MACHINES = {
    "v2": ("0::/system.slice/shop.service", V2, "/", "system.slice/shop.service/memory.events", True),
    "v2, a container's own namespace": ("0::/", V2, "/", "memory.events", True),
    "v2, the host's namespace": ("0::/docker/4711", V2, "/docker/4711", "memory.events", True),
    "v2, a group below the mount": ("0::/docker/4711/in", V2, "/docker/4711", "in/memory.events", True),
    "v2, a name that begins alike": ("0::/docker/4711", V2, "/docker/47", "memory.events", True),
    "v2, mounted from elsewhere": ("0::/../sibling", V2, "/other", "memory.events", True),
    "v1": ("4:memory:/shop\n1:cpu:/", V1, "/", "shop/memory.oom_control", True),
    "v1, memory with others": ("4:hugetlb,memory:/shop\n0::/", V1, "/", "shop/memory.oom_control", True),
    "no memory controller": ("1:cpu:/shop\n0::/", CPU, "/", None, False),
    "the root of v2": ("0::/", V2, "/", None, False),
}


def machine(home: Path, name: str) -> tuple[Path, Path]:
    """Its /proc, and the file that counts there."""
    groups, mount, root, file, _ = MACHINES[name]
    proc, point = home / "proc", home / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(groups + "\n")
    (proc / "self/mountinfo").write_text(mount.format(root=root, point=point) + "\n")
    (proc / "vmstat").write_text("nr_free_pages 1\noom_kill 5\n")
    counter = point / file if file else proc / "vmstat"
    counter.parent.mkdir(parents=True, exist_ok=True)
    counter.write_text("low 0\noom 9\noom_kill 5\noom_group_kill 7\n")
    return proc, counter


@pytest.mark.parametrize("name", MACHINES)
def test_where_it_is_counted(tmp_path: Path, name: str) -> None:
    proc, file = machine(tmp_path, name)
    watch = oom.watch(proc)
    assert watch.counter == oom.Counter(file, is_own=MACHINES[name][-1])
    assert watch.maybe_rise(1.0) is None
    file.write_text("oom_kill 6\n")
    assert str(watch.maybe_rise(2.0)) == f"oom_kill in {file} rose from 5 to 6"
    assert watch.maybe_rise(2.0) is None


def test_each_kill_is_explained_by_one_rise_and_soon(tmp_path: Path) -> None:
    proc, file = machine(tmp_path, "v2")
    watch = oom.watch(proc)
    file.write_text("oom_kill 7\n")
    watch.look(1.0)
    assert watch.maybe_rise(1.0 + oom.REMEMBERED) is not None
    # The other one was nobody's of ours.
    assert watch.maybe_rise(1.1 + oom.REMEMBERED) is None


def test_nothing_is_known_where_nothing_is_counted(tmp_path: Path) -> None:
    watch = oom.watch(tmp_path)
    assert watch.is_blind
    assert watch.maybe_rise(1.0) is None


def test_a_counter_that_goes_away(tmp_path: Path) -> None:
    proc, file = machine(tmp_path, "v2")
    watch = oom.watch(proc)
    file.unlink()
    assert watch.maybe_rise(1.0) is None
    file.write_text("oom_kill 6\n")
    assert watch.maybe_rise(2.0) is not None
