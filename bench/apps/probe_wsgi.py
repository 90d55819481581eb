"""Tells what a WSGI server hands to an application and does with its answer; `bench/probe.py` asks."""

import io
import json
import os
import time
from urllib.parse import parse_qs

BODY = b"first\nsecond\n\nlast, without an end"
PATIENCE = 2.0
closed = []


class Iterable:
    def __iter__(self):
        yield b"x"

    def close(self):
        closed.append(1)


def use(file):
    """All ways to read that PEP 3333 names, to the end and beyond."""
    return [file.read(2), file.readline(), list(iter(file))[:2], file.read(), file.read(1)]


def read_whole(environ):
    length = environ.get("CONTENT_LENGTH")
    return environ["wsgi.input"].read(*([int(length)] if length else []))


def wait_for_reader(environ):
    """The second piece comes when the client has the first, or after PATIENCE."""
    (path,) = parse_qs(environ["QUERY_STRING"])["file"]
    yield b"first"
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    yield b"read" if os.path.exists(path) else b"late"


def types(environ):
    names = {key: type(value).__name__ for key, value in environ.items() if "." not in key and key.isupper()}
    return [json.dumps(names).encode()]


VIEWS = {
    "/": lambda _: [b"Hello, World!"],
    "/types": types,
    "/method": lambda environ: [environ["REQUEST_METHOD"].encode()],
    "/iterable": lambda _: Iterable(),
    "/closed": lambda _: [str(len(closed)).encode()],
    "/input": lambda environ: [
        b"as a file" if use(environ["wsgi.input"]) == use(io.BytesIO(BODY)) else b"no"
    ],
    "/body": lambda environ: [read_whole(environ)],
    "/pieces": wait_for_reader,
}


def app(environ, start_response):
    answer = VIEWS[environ["PATH_INFO"]](environ)
    headers = [("Content-Type", "text/plain")]
    if isinstance(answer, list):
        headers.append(("Content-Length", str(sum(map(len, answer)))))
    start_response("200 OK", headers)
    return answer
