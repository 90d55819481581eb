"""What this machine is, in one line, and whether it can run the benchmarks."""

import os
import platform
import re
from pathlib import Path

from bench.environment import NotPossibleError
from bench.process import CLIENT_CORE, SERVER_CORE


def describe() -> str:
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return (
        f"{cpu[1].strip() if cpu else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB; "
        f"{system}, Linux {platform.release()}"
    )


def pin_this_process() -> None:
    """The harness shares wrk's core, so that the server's core is the server's."""
    cores = os.sched_getaffinity(0)
    if not {SERVER_CORE, CLIENT_CORE} <= cores:
        raise NotPossibleError(
            f"cores {SERVER_CORE} and {CLIENT_CORE} are needed, this process may use {sorted(cores)}"
        )
    os.sched_setaffinity(0, {CLIENT_CORE})
