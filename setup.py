"""Builds the compiled core. Everything else about the package is said in pyproject.toml.

TRICORN_COMPILE=0 leaves it out: the Makefile installs the package in place and then compiles, once.
TRICORN_SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer (see `make sanitize`); heap
leaves out the checks of the stack, because green threads are stacks that are copied away and back.
TRICORN_ANNOTATE=1 also writes Cython's annotated HTML beside each module.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCE = Path("src")
OPTIMISED = ["-O3", "-g0", "-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unused-parameter"]
SANITIZED = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
#: TRICORN_SANITIZE → how the modules are compiled.
COMPILED = {"": OPTIMISED, "1": SANITIZED, "heap": [*SANITIZED, "--param=asan-stack=0"]}
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": True,
    "auto_pickle": False,
}
CORES = len(os.sched_getaffinity(0))


def extensions() -> list[Extension]:
    sanitize = os.environ.get("TRICORN_SANITIZE", "")
    return [
        Extension(
            ".".join(path.relative_to(SOURCE).with_suffix("").parts),
            [str(path)],
            include_dirs=[str(SOURCE / "tricorn" / "http")],
            extra_compile_args=COMPILED[sanitize],
            extra_link_args=["-fsanitize=address,undefined"] if sanitize else [],
        )
        for path in sorted(SOURCE.rglob("*.pyx"))
    ]


def translated() -> list[Extension]:
    """The extensions as C: only what has changed is translated, on all cores."""
    if os.environ.get("TRICORN_COMPILE") == "0":
        return []
    return cythonize(
        extensions(),
        nthreads=CORES,
        compiler_directives=DIRECTIVES,
        annotate=os.environ.get("TRICORN_ANNOTATE") == "1",
        quiet="-q" in sys.argv,
    )


setup(ext_modules=translated(), options={"build_ext": {"parallel": CORES}})
