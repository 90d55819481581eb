"""Gunicorn's names where Gunicorn is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from embedding.program import ended

from tricorn.compat.gunicorn import MODULES, found_at

#: What configuration files import, as they write it.
IMPORTS = """
import gunicorn, gunicorn.app.base, gunicorn.app.wsgiapp as wsgi
import gunicorn.config
from gunicorn import SERVER_SOFTWARE, glogging, util, version_info
from gunicorn.app.base import Application, BaseApplication, Config
from gunicorn.app.wsgiapp import WSGIApplication, run
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config, make_settings
from gunicorn.errors import HaltServer
from gunicorn.glogging import CONFIG_DEFAULTS, Logger
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
from gunicorn.util import import_app
from gunicorn.workers.base import Worker
from gunicorn.workers.ggevent import GeventWorker
from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker
"""

FILE = f"""
{IMPORTS}
_Arbiter, _settings = Arbiter, make_settings()

class _Named(ThreadWorker): ...

workers = len(version_info) - 1
threads = 3 if issubclass(_Named, Worker) and _settings["workers"].cli == ("-w", "--workers") else 1

def _later():
    import gunicorn.workers.gasgi
"""


def without_gunicorn(code: str, cwd: Path) -> str:
    """In a process that finds no real one, whatever is installed for other tests."""
    hidden = "import sys\nfrom importlib.machinery import PathFinder\n" + (
        "class Without(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        hidden = name.partition('.')[0] == 'gunicorn' and not REAL\n"
        "        return None if hidden else PathFinder.find_spec(name, path, target)\n"
        "REAL = False\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = Without\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden + code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_named_is_there() -> None:
    for module, names in MODULES.items():
        for place in names.values():
            assert found_at(place) is not None, module


def test_a_configuration_file_of_gunicorns(tmp_path: Path) -> None:
    """It is read, and what it imports stays there; without a word of it nothing is there."""
    (tmp_path / "gunicorn.conf.py").write_text(FILE)
    (tmp_path / "site.conf.py").write_text(IMPORTS + "workers = 7\n")
    (tmp_path / "other.conf.py").write_text("workers = 4\n")
    said = without_gunicorn(
        "from importlib.util import find_spec\n"
        "from tricorn.launch import Launch\n"
        "made = Launch(['-c', 'other.conf.py', 'x:y']).settings()\n"
        "print(made.workers, find_spec('gunicorn'))\n"
        "made = Launch(['x:y']).settings()\n"
        "print(made.workers, made.threads, find_spec('gunicorn.workers.gasgi') is not None)\n"
        "import gunicorn\n"
        "print(gunicorn.__version__)\n"
        "print(Launch(['-c', 'site.conf.py', 'x:y']).settings().workers)\n"
        "try: gunicorn.reloader\n"
        "except AttributeError as error: print(error)\n"
        "try: import gunicorn.sock\n"
        "except ModuleNotFoundError as error: print(error)\n",
        tmp_path,
    ).splitlines()
    assert said[5] == "No module named 'gunicorn.sock'"
    assert said[:4] == ["4 None", "2 3 True", "27.0.1+tricorn", "7"]
    assert said[4].startswith("module 'gunicorn' has no attribute 'reloader' (Gunicorn is not installed;")


def test_a_real_one_comes_first(tmp_path: Path) -> None:
    """Whole: a module that it does not have is not put beside it."""
    (tmp_path / "gunicorn").mkdir()
    (tmp_path / "gunicorn" / "__init__.py").write_text("__version__ = 'real'")
    said = without_gunicorn(
        "REAL = True\n"
        "from tricorn.compat.gunicorn import install\n"
        "install()\ninstall()\n"
        "import gunicorn\n"
        "print(gunicorn.__version__)\n"
        "try: import gunicorn.glogging\n"
        "except ModuleNotFoundError as error: print(error)\n",
        tmp_path,
    ).splitlines()
    assert said == ["real", "No module named 'gunicorn.glogging'"]


def test_a_program_that_uses_the_arbiter(tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text(
        "from tricorn.compat.gunicorn import install\n"
        "install()\n"
        "from tricorn.app.gunicorn import Arbiter\n"
        "from tricorn.app.base import BaseApplication\n"
        "class Own(BaseApplication):\n"
        "    def load_config(self): self.cfg.set('check_config', True)\n"
        "    def load(self): return lambda environ, start_response: []\n"
        "    def run(self): Arbiter(self).run()\n"
        "Own().run()\n"
    )
    code, output = ended(script)
    assert (code, output) == (0, "tricorn: the settings and the application 'Own.load()' are in order\n")
