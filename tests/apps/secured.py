"""What an application is told of a TLS connection, and what it moves over it.

`/`           as JSON: this process, the scheme, the peer, the environ's variables of TLS
`/file?PATH`  the file in wsgi.file_wrapper
`/digest`     SHA-256 of the body
`/spoil`      changes what it was told
`/seen`       see `recorder.py`
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from recorder import Environ, StartResponse, answer, report


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/seen":
        return report(start_response)
    if path == "/file":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))  # type: ignore[no-any-return]
    if path == "/digest":
        digest = hashlib.sha256()
        while piece := environ["wsgi.input"].read(65536):
            digest.update(piece)
        return answer(start_response, digest.hexdigest())
    told = {name: value for name, value in environ.items() if name.startswith("SSL_")}
    if path == "/spoil":
        environ.update(dict.fromkeys(told, "spoilt"))
    about = {
        "pid": os.getpid(),
        "scheme": environ["wsgi.url_scheme"],
        "peer": [environ["REMOTE_ADDR"], environ["REMOTE_PORT"]],
        "tls": told,
    }
    return answer(start_response, about)
