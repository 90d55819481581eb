"""Builds the compiled core. Everything else about the package is said in pyproject.toml.

TRICORN_COMPILE=0 leaves it out: the Makefile installs the package in place and then compiles, once.
TRICORN_SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer (see `make sanitize`); heap
leaves out the checks of the stack, because green threads are stacks that are copied away and back.
TRICORN_HTTP2=0 leaves out HTTP/2, 1 fails where libnghttp2 is not found; else it is built where it can be.
TRICORN_ANNOTATE=1 also writes Cython's annotated HTML beside each module.
"""

from __future__ import annotations

import gc
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
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

# Modules that are built where libnghttp2 is: they are HTTP/2, and nothing else needs them.
HTTP2 = {
    "http/h2_head.pyx",
    "http/h2_reader.pyx",
    "http/h2_session.pyx",
    "http/priority.pyx",
    "transport/http2.pyx",
}
# 1.50 is the first one with RFC 9218.
PROBE = """
#include <nghttp2/nghttp2.h>
#if NGHTTP2_VERSION_NUM < 0x013200
#error too old
#endif
int main(void) { return nghttp2_version(0) == 0; }
"""


def has_nghttp2() -> bool:
    """Whether the compiler finds it."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "probe.c")
        source.write_text(PROBE)
        command = [*compiler, *shlex.split(os.environ.get("CFLAGS", "")), str(source), "-o", f"{place}/probe"]
        command += [*shlex.split(os.environ.get("LDFLAGS", "")), "-lnghttp2"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def wants_http2() -> bool:
    asked = os.environ.get("TRICORN_HTTP2")
    if asked == "0" or has_nghttp2():
        return asked != "0"
    if asked == "1":
        sys.exit("setup.py: TRICORN_HTTP2=1, but libnghttp2 1.50 or newer was not found (libnghttp2-dev)")
    print("HTTP/2 is not built: libnghttp2 1.50 or newer was not found (libnghttp2-dev)", file=sys.stderr)
    return False


def extensions() -> list[Extension]:
    sanitize = os.environ.get("TRICORN_SANITIZE", "")
    sources = {
        path.relative_to(SOURCE / "tricorn").as_posix(): path for path in sorted(SOURCE.rglob("*.pyx"))
    }
    left_out = set() if wants_http2() else HTTP2
    return [
        Extension(
            ".".join(path.relative_to(SOURCE).with_suffix("").parts),
            [str(path)],
            include_dirs=[str(SOURCE / "tricorn" / "http")],
            extra_compile_args=COMPILED[sanitize],
            extra_link_args=["-fsanitize=address,undefined"] if sanitize else [],
            libraries=["nghttp2"] if name in HTTP2 else [],
        )
        for name, path in sources.items()
        if name not in left_out
    ]


def translated() -> list[Extension]:
    """The extensions as C: only what has changed is translated, on all cores."""
    if os.environ.get("TRICORN_COMPILE") == "0":
        return []
    annotates = os.environ.get("TRICORN_ANNOTATE") == "1"
    # A third of the time went into looking for cycles in syntax trees, and into comments that nobody reads.
    gc.set_threshold(100_000, 50, 100)
    Options.emit_code_comments = annotates
    return cythonize(
        extensions(),
        nthreads=CORES,
        compiler_directives=DIRECTIVES,
        annotate=annotates,
        quiet="-q" in sys.argv,
    )


setup(ext_modules=translated(), options={"build_ext": {"parallel": CORES}})
