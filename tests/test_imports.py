"""What a start and --help import, and what they do without: each such module costs what a whole room does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tricorn import handover

#: What need not be there → what it is for.
OF_HELP = {
    "tricorn.launch": "a server",
    "logging": "a server",
    "threading": "a server",
    "socket": "a server",
    "traceback": "what went wrong",
    "inspect": "functions that a file names, and applications",
    "json": "tables as text",
}
OF_BOTH = {
    "dataclasses": "`tricorn.records` is there instead, and compiles nothing",
    "difflib": "a name that is not there",
    "tomllib": "a configuration in TOML",
    "argparse": "commands of others",
    "asyncio": "ASGI",
    "ssl": "TLS",
    "http.client": "clients",
    "urllib.request": "clients",
    "email": "clients",
    "subprocess": "programs that the master starts",
    "importlib.resources": "files of packages",
    "multiprocessing": "applications",
    "concurrent.futures": "applications",
}

HELP = """
import sys
from tricorn.cli import main
main(["--help"])
print(*sys.modules, file=sys.stderr)
"""
APPLICATION = """
import sys
print(*sys.modules)
sys.exit()
"""


def test_help(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, cwd=tmp_path, check=True, timeout=60
    )
    assert done.stdout.startswith("Usage: tricorn")
    there = set(done.stderr.split())
    assert "tricorn.cli" in there
    assert there & {*OF_HELP, *OF_BOTH} == set()


@pytest.mark.parametrize("words", [(), ("--threads", "4"), ("--workers", "2")])
def test_a_start_until_the_application_is_imported(words: tuple[str, ...], tmp_path: Path) -> None:
    """What it finds was imported by the master, which has read its settings and forked, or by its worker."""
    (tmp_path / "hello.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "tricorn", "-b", "127.0.0.1:0", "--no-control-socket", *words, "hello"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == handover.EXIT_BOOT, done.stderr
    there = set(done.stdout.split())
    assert {"tricorn.arbiter.arbiter", "tricorn.workers.threaded", "logging.handlers"} <= there
    assert there & set(OF_BOTH) == set()
