"""The first process of the machine: file systems, modules, the loopback interface, one command, the end.

    guest.py DIRECTORY_OF_MODULES SCRIPT

Knows: Linux. Must not know: what is run.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: Each behind those that it needs, which are found by themselves: the ciphers of TLS, and TLS.
MODULES = (
    "gcm",
    "ccm",
    "ctr",
    "ghash_generic",
    "chacha_generic",
    "poly1305_generic",
    "chacha20poly1305",
    "tls",
)
#: What is mounted where. Of tmpfs it is what tests write to.
MOUNTS = (
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("tmpfs", "/dev/shm"),
    ("devpts", "/dev/pts"),
)
FINIT_MODULE = 313  # x86-64
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
RB_POWER_OFF = 0x4321FEDC

libc = ctypes.CDLL(None, use_errno=True)


def main(modules: Path, script: Path) -> None:
    command = script.read_text()  # before something lies over it
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        for kind, place in MOUNTS:
            mount(kind, place)
        for path in needed(modules):
            load(path)
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        carries = Path("/proc/sys/net/ipv4/tcp_available_ulp").read_text().strip()
        print(f"Linux {os.uname().release}; TCP carries: {carries}", flush=True)
        code = subprocess.run(
            ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False
        ).returncode
        print(f"The command ended with {code & 255}", flush=True)
    finally:
        os.sync()
        libc.reboot(RB_POWER_OFF)


def mount(kind: str, place: str) -> None:
    if not Path(place).is_dir():
        Path(place).mkdir()
    if libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None) < 0:
        print(f"{place} cannot be mounted: {os.strerror(ctypes.get_errno())}", flush=True)


def needed(directory: Path) -> Iterator[Path]:
    """Files of modules. What is built in is none, and is not needed as one."""
    files = {path.stem.replace("-", "_"): path for path in directory.rglob("*.ko")}
    done: set[str] = set()

    def with_dependencies(name: str) -> Iterator[Path]:
        if name in done or name not in files:
            return
        done.add(name)
        said = re.search(rb"\0depends=([^\0]*)\0", b"\0" + files[name].read_bytes())
        for other in said[1].decode().split(",") if said else ():
            yield from with_dependencies(other.replace("-", "_"))
        yield files[name]

    for name in MODULES:
        yield from with_dependencies(name)


def load(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    if libc.syscall(FINIT_MODULE, fd, b"", 0) < 0:
        print(f"{path.name} cannot be loaded: {os.strerror(ctypes.get_errno())}", flush=True)
    os.close(fd)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
