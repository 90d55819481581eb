"""10 KiB in one piece, with a type and a length."""

BODY = b"x" * 10240


def app(_environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10240")])
    return [BODY]
