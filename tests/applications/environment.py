"""An environment for each application, with the packages that it names, as its users install it.

Knows: pip, `venv`. Must not know: servers, browsers.

Each has its own, because what one of these packages wants of Starlette or Pydantic another does not, and a
test of what is published wants the versions that pip chooses. Made once; made anew when the list of packages
changes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PLACE = ROOT / "build" / "apps"

#: Seconds for the packages of one application.
INSTALL_TIMEOUT = 600.0

#: Of all of them: what Tricorn itself needs to run (tools/requirements also names what builds it).
_OURS = ("setproctitle", "uvloop")


class MissingError(Exception):
    """The packages are not to be had here; the text says why, in a line."""


def prepare(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of an application's environment, with `packages` and this tree's Tricorn."""
    place = PLACE / "envs" / name
    python = place / "bin" / "python"
    wanted = "\n".join((sys.version, *packages, *_OURS))
    installed = place / "installed"  # written last: what was interrupted is made anew
    if not installed.exists() or installed.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        _run(sys.executable, "-m", "venv", "--without-pip", str(place))
        _run(*_pip(python), "install", "--quiet", "--prefer-binary", *packages, *_OURS)
        _link(python)
        installed.write_text(wanted)
    return python


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """The version of each package that is installed there."""
    question = "import sys, importlib.metadata as m; print(*(m.version(n) for n in sys.argv[1:]), sep='\\n')"
    names = [package.partition("[")[0] for package in packages]
    return dict(zip(names, _run(str(python), "-c", question, *names).split(), strict=True))


def _link(python: Path) -> None:
    """This tree's `tricorn`, as an installation in place would link it; its core is compiled already."""
    site = _run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(site) / "tricorn.pth").write_text(f"{ROOT / 'src'}\n")
    command = python.parent / "tricorn"
    command.write_text(f"#!{python}\nimport sys\n\nfrom tricorn.cli import main\n\nsys.exit(main())\n")
    command.chmod(0o755)


def _pip(python: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise MissingError((errors or done.stderr.splitlines() or [f"{command[0]} failed"])[-1])
    return done.stdout
