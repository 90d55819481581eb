"""About 80 µs of pure Python work per request. BENCH_LOOPS says how many loops that is on this machine; it is
calibrated once, when the peers are built, and is the same for every server."""

import os

LOOPS = int(os.environ["BENCH_LOOPS"])


def burn(loops):
    value = 0
    for i in range(loops):
        value = (value * 31 + i) & 0xFFFF
    return value


def app(_environ, start_response):
    burn(LOOPS)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]
