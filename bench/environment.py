"""Making what a run needs: the peers' environment, C programs, a file, a certificate, the calibration.

Each peer is installed by itself, so that one that does not build costs only itself. What was built stays; to
build anew, remove `.bench/venv-*`.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from bench import paths, tls
from bench.servers import FLOOR, Server

BUILD_TIMEOUT = 900
# Tricorn runs in the project's environment; frameworks and loop of the peers are made to match those there.
FRAMEWORKS = {
    "frameworks": ("flask", "werkzeug", "django"),
    "asgi-frameworks": ("fastapi", "starlette", "pydantic", "uvloop"),
}
TOOLS = {
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "taskset": "util-linux",
    "setpriv": "util-linux",
    "cc": "gcc",
    "openssl": "openssl",
}
LIBRARIES = {"tlsload": ("-lssl", "-lcrypto")}
CALIBRATE = """
import sys, time
sys.path.insert(0, sys.argv[1])
import os
os.environ["BENCH_LOOPS"] = "0"
from burn import burn
def cost(n):
    t = time.perf_counter(); burn(n); return (time.perf_counter() - t) / n
burn(100000)
print(round(80e-6 / min(cost(1000) for _ in range(2000))))
"""


class NotPossibleError(Exception):
    """This machine cannot run the benchmarks; the text says what to do."""


def check_tools() -> None:
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if missing:
        raise NotPossibleError(
            f"missing tools. On Debian: apt install {' '.join(missing)}\n"
            "(with what the loads and the peers are built from: "
            "apt install wrk nghttp2-client gcc libssl-dev python3-dev libev-dev libuv1-dev)"
        )


def build(chosen: Iterable[Server], say: Callable[[str], None]) -> dict[str, str]:
    """Makes everything; returns for each server that cannot run the reason."""
    problems = prepare()
    if not (paths.PEERS_VENV / "bin" / "python").exists():
        say(f"making {paths.PEERS_VENV.relative_to(paths.ROOT)}")
        subprocess.run(
            [sys.executable, "-m", "venv", str(paths.PEERS_VENV)], check=True, timeout=BUILD_TIMEOUT
        )
    for name, packages in FRAMEWORKS.items():
        install(name, matching(packages), "", say)
    for server in chosen:
        if server.own and not (server.bin / server.distribution).exists():
            problems[server.ident] = f"not installed in {server.bin.parent.name} (make build)"
        if server.packages and (problem := install(server.ident, server.packages, server.apt, say)):
            problems[server.ident] = problem
    return problems


def prepare() -> dict[str, str]:
    """What needs no network: directories, file, certificate, C programs. Returns problems like `build`."""
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    paths.FILE_1MB.write_bytes(b"x" * (1024 * 1024))
    paths.FILES.mkdir(exist_ok=True)
    if not paths.FILE_10K.exists():  # one that was changed just now has a weak tag
        paths.FILE_10K.write_bytes(b"x" * (10 * 1024))
    if problem := tls.make_certificate():
        raise NotPossibleError(problem)
    for name, to in (("wsload", paths.WSLOAD), ("openload", paths.OPENLOAD), ("tlsload", paths.TLSLOAD)):
        if problem := compile_program(name, to):
            raise NotPossibleError(f"{problem}\n(on Debian: apt install gcc libssl-dev)")
    problem = compile_program("floor", paths.FLOOR)
    return {FLOOR.ident: problem} if problem else {}


def compile_program(name: str, to: Path, *options: str) -> str:
    """Compiles one of the C programs of this directory; returns the reason of a failure."""
    source = str(paths.BENCH / f"{name}.c")
    command = ["cc", "-O2", *options, "-o", str(to), source, *LIBRARIES.get(name, ())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return f"cc: {done.stderr.strip()[-300:]}" if done.returncode else ""


def matching(packages: tuple[str, ...]) -> tuple[str, ...]:
    """In the versions of the project's environment, where it has them."""
    wanted = []
    for name in packages:
        try:
            wanted.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            wanted.append(name)
    return tuple(wanted)


def install(name: str, packages: tuple[str, ...], apt: str, say: Callable[[str], None]) -> str:
    """Installs with pip unless that was done before; returns the reason of a failure."""
    stamp = paths.PEERS_VENV / f".installed-{name}"
    wanted = json.dumps(packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return ""
    say(f"installing {' '.join(packages)}")
    log = paths.LOGS / f"install-{name}.log"
    python = str(paths.PEERS_VENV / "bin" / "python")
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", *packages]
    try:
        with log.open("wb") as output:
            code = subprocess.run(
                command, stdout=output, stderr=output, timeout=BUILD_TIMEOUT, check=False
            ).returncode
    except subprocess.TimeoutExpired:
        code = -1
    if code:
        hint = f"; on Debian it needs: apt install {apt}" if apt else ""
        say(f"{name} does not build, see {log.relative_to(paths.ROOT)}{hint}")
        return f"does not build on this machine{hint}"
    stamp.write_text(wanted)
    return ""


def versions() -> dict[str, str]:
    """Lower-case distribution name → version, of the peers' environment and of Tricorn."""
    command = [str(paths.PEERS_VENV / "bin" / "python"), "-m", "pip", "list", "--format", "json"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check"], capture_output=True, timeout=60, check=True
    )
    found = {row["name"].lower(): row["version"] for row in json.loads(done.stdout)}
    try:
        found["tricorn"] = metadata.version("tricorn")
    except metadata.PackageNotFoundError:
        found.pop("tricorn", None)
    return found


def cpu_loops(say: Callable[[str], None]) -> int:
    """How many loops of `apps/burn.py` take 80 µs here; found once for each environment."""
    stamp = paths.PEERS_VENV / ".cpu-loops"
    if not stamp.exists():
        command = [str(paths.PEERS_VENV / "bin" / "python"), "-c", CALIBRATE, str(paths.APPS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        stamp.write_text(done.stdout.strip())
        say(f"80 µs are {done.stdout.strip()} loops")
    return int(stamp.read_text())
