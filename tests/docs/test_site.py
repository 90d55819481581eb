"""The documentation can be built as a site, and no link of it leads nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from architecture.source import ROOT


@pytest.mark.slow
def test_the_site(tmp_path: Path) -> None:
    """`make docs`, into another directory."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} <= pages
    assert "project/ARCHITECTURE.html" in pages
    assert (tmp_path / "project/examples/deploy/haproxy.cfg").read_bytes() == (
        ROOT / "examples/deploy/haproxy.cfg"
    ).read_bytes()
    assert "project/examples/deploy/haproxy.cfg" in (tmp_path / "troubleshooting.html").read_text()
