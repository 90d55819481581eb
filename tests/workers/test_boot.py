"""A worker that cannot boot says why: one line, and the application's own frames where it raised."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CASES = {
    "no such module": ("", "nothing_here:app", "there is no module 'nothing_here'", False),
    "no such attribute": ("app = print", "site_app:ap", "did you mean app?", False),
    "not callable": ("app = 3", "site_app:app", "callable", False),
    "raises": ("x = 1 / 0", "site_app:app", "ZeroDivisionError: division by zero", True),
    "a missing dependency": (
        "import nothing_here",
        "site_app:app",
        "No module named 'nothing_here'",
        True,
    ),
    "the wrong kind": (
        "async def app(scope, receive, send): ...",
        "site_app:app",
        "is an application for ASGI, and worker_class 'sync' serves WSGI; write --worker-class auto, or asgi",
        False,
    ),
    "a syntax error": ("def app(:", "site_app:app", "SyntaxError", False),
}


def serve(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tricorn", "--bind", "127.0.0.1:0", "--chdir", str(directory)]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=30, check=False, cwd=directory
    )


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["forked", "preloaded"])
@pytest.mark.parametrize(("source", "app", "expected", "traceback"), CASES.values(), ids=CASES)
def test_the_reason_is_shown_once(
    tmp_path: Path, source: str, app: str, expected: str, options: list[str], *, traceback: bool
) -> None:
    (tmp_path / "site_app.py").write_text(source)
    ended = serve(tmp_path, "--workers", "3", "--worker-class", "sync", *options, app)
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.count(expected) == 1, ended.stderr
    assert ("Traceback" in ended.stderr) is traceback, ended.stderr
    assert "tricorn/workers" not in ended.stderr
    assert "importlib" not in ended.stderr
