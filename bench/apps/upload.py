"""Reads the request body in pieces of 64 KiB, as a framework does, and answers with 13 bytes: its size."""


def app(environ, start_response):
    left = int(environ["CONTENT_LENGTH"])
    read = environ["wsgi.input"].read
    size = 0
    while left > 0:
        piece = read(min(left, 65536))
        if not piece:
            break
        size += len(piece)
        left -= len(piece)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"%013d" % size]
