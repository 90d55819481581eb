"""The smallest application: `tricorn --chdir examples hello:app`."""


def app(_environ, start_response):
    body = b"Hello from Tricorn!\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
