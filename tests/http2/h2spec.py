"""`make conformance`: h2spec in its strict mode, where it is on the PATH, against each kind of worker, plain
and over TLS.

Its cases are among ours (`test_frames.py`, `test_messages.py`, `test_hpack.py`); it is another's reading of
the RFCs.

Exit codes: 0 if every case passes, or h2spec is not there; 1 if one does not.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from harness.axes import ONE_OF_EACH, WIRES
from harness.server import Server

#: Seconds after which a case has failed; most of ours take milliseconds.
CASE_TIMEOUT = 3
RUN_TIMEOUT = 900


def main() -> int:
    program = shutil.which("h2spec")
    if program is None:
        print("h2spec is not on the PATH, so it is left out (https://github.com/summerwind/h2spec)")
        return 0
    return max(
        run(program, kind, wire) for kind in ONE_OF_EACH for wire, about in WIRES.items() if about.multiplexed
    )


def run(program: str, kind: str, wire: str) -> int:
    server = Server("echo:app", ("--workers", "1"), kind=kind, wire=wire).start()
    host, port = server.address
    command = [program, "--strict", "--host", host, "--port", str(port), "--timeout", str(CASE_TIMEOUT)]
    if server.wire.url_scheme == "https":
        command += ["--tls", "--insecure"]
    print(f"\n== h2spec, {kind}, {wire}", flush=True)
    try:
        done = subprocess.run(command, timeout=RUN_TIMEOUT, check=False)
        server.seen()
        server.stop()
    except AssertionError as error:
        print(error)
        return 1
    finally:
        server.kill()
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
