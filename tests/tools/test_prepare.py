"""tools/prepare: what is missing on a machine is installed where that can be done, else named in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from architecture.source import ROOT

#: A machine that has nothing but these, and what a test puts beside them.
SYSTEM = ("sh", "dirname", "touch", "id", "cat")

#: An interpreter that lacks what the machine does not `have`; all it says otherwise is true.
PYTHON = f"""#!/bin/sh
case "$2" in
    "import venv, ensurepip") test -e "$HAVE/venv"; exit;;
    *get_config_var*) echo gcc; exit;;
    *version_info\\[*) echo "$VERSION"; exit;;
    *version_info*) test "$VERSION" != 3.9; exit;;
esac
exec {sys.executable} "$@"
"""
#: A compiler that finds headers if the machine has them.
GCC = '#!/bin/sh\ncat >/dev/null; test -e "$HAVE/headers"\n'
#: Installs what the packages are for, and writes down what it was asked.
APT = """#!/bin/sh
echo "$@" >>"$HAVE/asked"
for word in "$@"; do
    case "$word" in
        *-venv) : >"$HAVE/venv";;
        *-dev) : >"$HAVE/headers";;
        gcc) cp "$HAVE/spare-gcc" "$PATH/gcc";;
    esac
done
"""


class Machine:
    """One whose packages are files in a directory, whose PATH is another directory."""

    def __init__(self, place: Path) -> None:
        self.path = place / "path"
        self.have = place / "have"
        self.checkout = place / "checkout"
        for directory in (self.path, self.have, self.checkout / "tools"):
            directory.mkdir(parents=True)
        shutil.copy(ROOT / "tools/prepare", self.checkout / "tools")
        for name in (*SYSTEM, "cp"):
            (self.path / name).symlink_to(str(shutil.which(name)))
        self.script("python3", PYTHON)
        self.script("gcc", GCC)
        (self.have / "venv").touch()
        (self.have / "headers").touch()

    def script(self, name: str, text: str, where: Path | None = None) -> None:
        file = (where or self.path) / name
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def has_apt(self, *, root: bool) -> None:
        self.script("apt-get", APT)
        self.script("spare-gcc", GCC, self.have)
        self.script("id", f"#!/bin/sh\necho {0 if root else 1000}\n")

    def lose(self, what: str) -> None:
        (self.path / what if what in {"gcc", "python3"} else self.have / what).unlink()

    def prepare(self, *arguments: str, version: str = "3.12") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.path), "HAVE": str(self.have), "VERSION": version}
        command = [self.checkout / "tools/prepare", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def installed(self) -> list[str]:
        asked = self.have / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        return [word for line in lines if "install" in line for word in line.split() if word[0] != "-"][1:]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


MISSING = {
    "venv": ["python3.12-venv"],
    "headers": ["python3.12-dev", "libc6-dev"],
    "gcc": ["gcc", "libc6-dev"],
}


def test_a_machine_that_has_all_is_left_alone(machine: Machine) -> None:
    machine.has_apt(root=True)
    done = machine.prepare()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.installed == []


@pytest.mark.parametrize("what", MISSING)
def test_root_on_debian_gets_what_is_missing(machine: Machine, what: str) -> None:
    machine.has_apt(root=True)
    machine.lose(what)
    done = machine.prepare()
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.installed == MISSING[what]


@pytest.mark.parametrize("what", MISSING)
def test_others_get_a_command_to_paste(machine: Machine, what: str) -> None:
    machine.has_apt(root=False)
    machine.lose(what)
    done = machine.prepare()
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.endswith(f": sudo apt-get install -y {' '.join(MISSING[what])}\n")
    assert machine.installed == []


@pytest.mark.parametrize("what", MISSING)
def test_without_apt_the_packages_are_named(machine: Machine, what: str) -> None:
    machine.lose(what)
    done = machine.prepare()
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert " ".join(MISSING[what]) in done.stderr


def test_packages_that_do_not_help_are_not_taken_for_a_cure(machine: Machine) -> None:
    machine.has_apt(root=True)
    machine.script("apt-get", "#!/bin/sh\nexit 0\n")
    machine.lose("headers")
    done = machine.prepare()
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        ["gcc does not find Python.h for python3, although headers are installed"],
    )


def test_apt_that_fails_says_so(machine: Machine) -> None:
    machine.has_apt(root=True)
    machine.script("apt-get", "#!/bin/sh\nexit 100\n")
    machine.lose("venv")
    done = machine.prepare()
    assert done.returncode == 1
    assert "is there a network?" in done.stderr


def test_an_old_python_is_refused(machine: Machine) -> None:
    done = machine.prepare(version="3.9")
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or newer is needed, python3 is 3.9: ")


def test_an_interpreter_that_is_not_there_is_named(machine: Machine) -> None:
    machine.has_apt(root=True)
    done = machine.prepare("python3.99")
    assert (done.returncode, machine.installed) == (1, [])
    assert done.stderr.startswith("there is no python3.99: ")


def test_a_read_only_checkout_is_named(machine: Machine) -> None:
    machine.script("touch", "#!/bin/sh\necho touch: no >&2\nexit 1\n")  # root may write anywhere
    done = machine.prepare()
    assert done.returncode == 1
    assert done.stderr.startswith(f"this checkout is read-only ({machine.checkout})")


def test_this_machine_is_ready() -> None:
    """The tests run here, so nothing can be missing."""
    python = os.path.realpath(sys.executable)
    done = subprocess.run([ROOT / "tools/prepare", python], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
