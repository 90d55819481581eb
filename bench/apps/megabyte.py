"""Returns 1 MiB that lies ready in memory."""

BODY = b"x" * (1024 * 1024)


def app(_environ, start_response):
    start_response(
        "200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(BODY)))]
    )
    return [BODY]
