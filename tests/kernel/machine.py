"""A kernel of our own choice, as a process (User-mode Linux), which sees our files.

The plan. The kernel is a package of Debian's, unpacked and not installed. Its root is ours, read-only, by its
own hostfs; memory lies over the places where something is written. So it has the interpreters, packages and
sources that we have, and its processes run at our processor's speed; only system calls are dear. Its first
process is guest.py.

Knows: the package, command lines. Must not know: what is run.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "user-mode-linux"
GUEST = Path(__file__).with_name("guest.py")
MARK = "The command ended with"


@dataclass(frozen=True)
class Machine:
    """kernel: the program. modules: the directory of its modules. place: where its command is written."""

    kernel: Path
    modules: Path
    place: Path

    def run(self, command: Sequence[str], directory: Path, environ: Mapping[str, str]) -> int:
        """What it shows goes to our output. Returns the command's exit code; 1 if it does not get so far."""
        script = self.place / "command"
        words = [f"{key}={value}" for key, value in environ.items()]
        script.write_text(
            f"cd {shlex.quote(str(directory))} && exec env -i {shlex.join([*words, *command])}\n"
        )
        arguments = (
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "mem=2G",
            "con=null",
            "con0=null,fd:1",
            "quiet",
        )
        guest = (f"init={sys.executable}", "--", str(GUEST), str(self.modules), str(script))
        code = 1
        with subprocess.Popen(
            [self.kernel, *arguments, *guest],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.match(rf"{MARK} (\d+)", line):
                    code = int(found[1])
                print(line.rstrip(), flush=True)
        return code


def prepare(place: Path) -> Machine:
    """Fetches what is not there yet. Raises CalledProcessError, StopIteration."""
    unpacked = place / PACKAGE
    if not unpacked.exists():
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", PACKAGE], cwd=place, check=True, stdout=subprocess.DEVNULL)
        (archive,) = place.glob(f"{PACKAGE}_*.deb")
        partial = place / "partial"
        subprocess.run(["dpkg-deb", "--extract", archive, partial], check=True)
        archive.unlink()
        partial.rename(unpacked)
    (modules,) = (unpacked / "usr/lib/uml/modules").iterdir()
    return Machine(unpacked / "usr/bin/linux.uml", modules, place)
