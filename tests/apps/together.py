"""What an application can see of responses before its own: whether they have reached the client's socket."""

from __future__ import annotations

import os
import time
from typing import Any


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    ends = int(environ["QUERY_STRING"] or 0), int(environ["SERVER_PORT"])
    body = b"%d" % os.getpid()
    if environ["PATH_INFO"] == "/peek":
        body = b"out" if is_out(*ends) else b"held"
    elif environ["PATH_INFO"] == "/wait":
        end = time.monotonic() + 2
        while not is_out(*ends) and time.monotonic() < end:
            time.sleep(0.001)
        body = b"out" if is_out(*ends) else b"held"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def is_out(port: int, server: int) -> bool:
    """Whether bytes lie in the receive queue of the socket from this port to that one (proc_net_tcp(5)).

    Its own port alone does not tell which it is: connections to other servers, closed ones too, may have it.
    """
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            local, remote, _, queues = line.split()[1:5]
            if [int(end.partition(":")[2], 16) for end in (local, remote)] == [port, server]:
                return int(queues.partition(":")[2], 16) > 0
    return False
