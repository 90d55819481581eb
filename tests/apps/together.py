"""What an application can see of responses before its own: whether they have reached the client's socket."""

from __future__ import annotations

import os
import time
from typing import Any


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    port = int(environ["QUERY_STRING"] or 0)
    body = b"%d" % os.getpid()
    if environ["PATH_INFO"] == "/peek":
        body = b"out" if is_out(port) else b"held"
    elif environ["PATH_INFO"] == "/wait":
        end = time.monotonic() + 2
        while not is_out(port) and time.monotonic() < end:
            time.sleep(0.001)
        body = b"out" if is_out(port) else b"held"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def is_out(port: int) -> bool:
    """Whether bytes lie in the receive queue of the client's socket with this port (proc_net_tcp(5))."""
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            local, queues = line.split()[1], line.split()[4]
            if int(local.partition(":")[2], 16) == port:
                return int(queues.partition(":")[2], 16) > 0
    return False
