"""Who answers, as text; /slow takes 50 ms, waiting or (SPREAD_WORK=compute) computing."""

import os
import time

SLOW_S = 0.05
COMPUTES = os.environ.get("SPREAD_WORK") == "compute"


def work():
    """What a slow request does."""
    if not COMPUTES:
        time.sleep(SLOW_S)
        return
    end = time.thread_time() + SLOW_S
    while time.thread_time() < end:
        sum(range(1000))


def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        work()
    body = b"%d\n" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
