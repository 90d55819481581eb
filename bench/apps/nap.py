"""Waits 2 ms without the GIL, like an application that asks a database."""

import time


def app(_environ, start_response):
    time.sleep(0.002)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]
