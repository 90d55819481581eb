"""Returns a file of 1 MiB through wsgi.file_wrapper.

Where a server offers none, wsgiref's FileWrapper iterates over it in blocks of the same size."""

import os
from wsgiref.util import FileWrapper

PATH = os.environ["BENCH_FILE"]
BLOCK = 65536


def app(environ, start_response):
    wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", "1048576")])
    return wrapper(open(PATH, "rb"), BLOCK)
