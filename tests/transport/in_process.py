"""For tests that drive the transport in their own process, with parts of it that are compiled for them.

Knows: how a module is compiled against the package, what a worker hands to the transport. Must not know: any
single test.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tricorn.config.declaration import Core
from tricorn.config.settings import Settings
from tricorn.http.forwarded import TrustedPeers
from tricorn.http.request import Limits
from tricorn.log.access import AccessLog
from tricorn.records import replace
from tricorn.scoreboard import Board
from tricorn.transport.worker_context import WorkerContext
from tricorn.workers.context import filled

SOURCES = Path(__file__).parent / "compiled"
PACKAGES = Path(__file__).parents[2] / "src"

BUILD = """
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(ext_modules=cythonize(
    [Extension({name!r}, [{name!r} + ".pyx"], include_dirs=[{headers!r}])],
    include_path=[{packages!r}],
    quiet=True,
), script_args=["-q", "build_ext", "--inplace"])
"""


def compiled(name: str, place: Path) -> ModuleType:
    """The module of that name in compiled/, built in the empty directory `place`."""
    (place / f"{name}.pyx").write_bytes((SOURCES / f"{name}.pyx").read_bytes())
    headers = PACKAGES / "tricorn" / "http"
    program = BUILD.format(name=name, headers=str(headers), packages=str(PACKAGES))
    # What they do is looked at, not how fast: half of the time would go into making them so.
    environ = {**os.environ, "CFLAGS": "-O0"}
    subprocess.run([sys.executable, "-c", program], cwd=place, env=environ, check=True, timeout=180)
    (built,) = place.glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(name, built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context_for(application: Any, access_log: AccessLog | None = None, **settings: Any) -> WorkerContext:
    """What the channels of a worker share, with these settings and the usual others."""
    chosen = replace(Settings(), **({"request_timeout": 0, "threads": 2} | settings))
    return WorkerContext(
        filled(chosen, Core.TERMS),
        application=application,
        logger=logging.getLogger("tricorn.error"),
        limits=Limits(),
        row=Board(1, 4)[0],
        access_log=access_log,
        trusted=TrustedPeers(()),
        proxy_peers=TrustedPeers(()),
    )
