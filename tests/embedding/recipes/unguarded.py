"""A module that starts a server when it is imported, and names itself."""

import tricorn


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]


tricorn.run("unguarded:app", port=0)
