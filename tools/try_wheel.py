"""Installs a wheel where no compiler can be found, and serves a request with it.

    python tools/try_wheel.py dist/tricorn-….whl

Knows: the command line, one HTTP exchange. Must not know: the source tree; nothing of it may help the wheel.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

APPLICATION = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"wheel"]
"""
BOOT_TIMEOUT = 20.0


def main(wheel: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="tricorn-wheel-") as name:
        place = Path(name)
        environment = place / "environment"
        venv.create(environment, with_pip=True)
        (place / "empty").mkdir()
        (place / "application.py").write_text(APPLICATION)
        # No compiler, no interpreter, no shell can be found from here on.
        surroundings = {**os.environ, "PATH": str(place / "empty"), "CC": "/nonexistent/cc"}
        surroundings.pop("PYTHONPATH", None)
        install = [environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "-q", "install"]
        subprocess.run([*install, "--only-binary=:all:", wheel.resolve()], env=surroundings, check=True)
        return _served(environment / "bin/tricorn", place, surroundings)


def _served(command: Path, place: Path, surroundings: dict[str, str]) -> str:
    """What the installed server answers."""
    server = subprocess.Popen(
        [command, "--bind", "127.0.0.1:0", "application:app"],
        cwd=place,
        env=surroundings,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        host, port = _address(server)
        connection = http.client.HTTPConnection(host, port, timeout=BOOT_TIMEOUT)
        connection.request("GET", "/")
        response = connection.getresponse()
        return f"{response.status} {response.read().decode()}"
    finally:
        server.terminate()
        server.communicate(timeout=BOOT_TIMEOUT)


def _address(server: subprocess.Popen[str]) -> tuple[str, int]:
    """Where it listens, from its log; the log ends if it cannot boot."""
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line)
        found = re.search(r"http://([\d.]+):(\d+)", line)
        if found:
            return found[1], int(found[2])
    raise SystemExit("the server did not start:\n" + "".join(said))


if __name__ == "__main__":
    wheel = Path(sys.argv[1])
    answer = main(wheel)
    if answer != "200 wheel":
        raise SystemExit(f"{wheel.name} does not serve: {answer}")
    print(f"{wheel.name} installs without a compiler, and serves")
