"""The suite's own environment: it runs on Python 2.7 and nothing else.

Knows: where an interpreter may be, which packages make an environment of that age. Must not know: the cases.

An interpreter of 2.7 cannot make an environment by itself, and today's `virtualenv` cannot make one for it.
Version 20.15.1 can, and runs on the interpreter of this project, in a small environment of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PLACE = ROOT / "build" / "autobahn"

VIRTUALENV = "virtualenv==20.15.1"
SUITE = "autobahntestsuite==25.10.1"

#: Written last, so an environment that was interrupted half-way is made anew.
INSTALLED = PLACE / "suite" / "installed"

#: Seconds for one step. Twisted and a few of its friends are compiled.
INSTALL_TIMEOUT = 900.0

MISSING = f"""\
the Autobahn test-suite needs Python 2.7, and none was found in PATH or among pyenv's versions.
With pyenv: `pyenv install 2.7.18`. If there is one elsewhere: make conformance ARGS="--python27 PATH"
The suite ({SUITE}) is then installed in {PLACE.relative_to(ROOT)} by itself."""


class NotPossibleError(Exception):
    """This machine cannot run the suite; the text says what to do."""


def prepare(python27: str | None, say: Callable[[str], None]) -> Path:
    """The suite's command `wstest`, installed if it is not yet."""
    if not INSTALLED.exists() or INSTALLED.read_text() != SUITE:
        interpreter = find_python27(python27)
        say(f"installing {SUITE} for {interpreter} in {PLACE.relative_to(ROOT)} (once, about a minute)")
        _install(interpreter)
    return PLACE / "suite" / "bin" / "wstest"


def find_python27(named: str | None) -> str:
    """The first candidate that runs and is what it is called: pyenv's shims may be neither."""
    for candidate in [named] if named else _candidates():
        if is_python27(candidate):
            return candidate
    raise NotPossibleError(f"{named} is no Python 2.7" if named else MISSING)


def is_python27(path: str) -> bool:
    question = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"
    try:
        done = subprocess.run([path, "-c", question], capture_output=True, timeout=30, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _candidates() -> Iterator[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (path for name in ("python2.7", "python2") if (path := shutil.which(name)))
    yield from (str(path) for path in sorted(pyenv.glob("versions/2.7*/bin/python2.7"), reverse=True))


def _install(interpreter: str) -> None:
    maker, suite = PLACE / "maker", PLACE / "suite"
    shutil.rmtree(suite, ignore_errors=True)
    _run(sys.executable, "-m", "venv", "--clear", str(maker))
    _run(str(maker / "bin" / "python"), "-m", "pip", "install", "-q", VIRTUALENV)
    _run(str(maker / "bin" / "python"), "-m", "virtualenv", "-q", "--python", interpreter, str(suite))
    _run(str(suite / "bin" / "python"), "-m", "pip", "install", "-q", SUITE)
    INSTALLED.write_text(SUITE)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
    if done.returncode:
        raise NotPossibleError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
