"""tricorn.run() into the background: what comes behind it is the server's process, when it has stopped."""

import os
import sys
from pathlib import Path

import tricorn

place = Path(sys.argv[1])


def app(_environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % os.getppid()]


if __name__ == "__main__":
    started = os.getpid()
    tricorn.run(
        app,
        daemon=True,
        bind=f"unix:{place}/socket",
        pidfile=str(place / "pid"),
        errorlog=str(place / "error.log"),
    )
    (place / "over").write_text(f"{os.getpid() != started} {os.getpid()}")
