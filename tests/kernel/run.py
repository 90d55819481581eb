"""`make ktls`: the tests of TLS on a kernel that has TLS; ours may have none.

That kernel counts the connections of which it got the keys; if there were none, nothing was tested.

Knows: which tests. Must not know: how the machine is made.

Exit codes: 0 if all went well, 1 if not. Everything that is fetched and made is in build/kernel.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kernel.machine import prepare

ROOT = Path(__file__).parent.parent.parent
PLACE = ROOT / "build" / "kernel"
#: System calls take so many times as long.
PATIENCE = "10"
TESTS = (
    "tests/transport/test_kernel_tls.py",
    "tests/transport/test_tls_wire.py",
    "tests/tls/test_kernel.py",
    "tests/integration/test_tls.py",
)
COUNTERS = Path("/proc/net/tls_stat")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make ktls")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("tests", nargs="*", help="these instead; behind them options of pytest")
    options, rest = parser.parse_known_args(arguments)
    chosen = [*options.tests, *rest]
    if options.inside:
        return inside(chosen)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": "/root",
        "PYTHONPATH": str(ROOT / "tests"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TRICORN_TEST_PATIENCE": PATIENCE,
    }
    return prepare(PLACE).run([sys.executable, "-m", "kernel.run", "--inside", *chosen], ROOT, environ)


def inside(tests: Sequence[str]) -> int:
    before = counted()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "faulthandler_timeout=1500",
    ]
    code = subprocess.run([*command, *(tests or TESTS)], check=False).returncode
    used = counted() - before
    print(f"connections whose keys the kernel got: {used}")
    return code or not used


def counted() -> int:
    """How often the kernel got keys for what is sent."""
    return sum(
        int(line.split()[1]) for line in COUNTERS.read_text().splitlines() if line.startswith("TlsTxSw")
    )


if __name__ == "__main__":
    sys.exit(main())
