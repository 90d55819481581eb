"""Sends fields behind its body, by path, as `tricorn.trailers` takes them.

`/whole`   with a body in one piece
`/length`  and its length, which leaves no place for them in HTTP/1
`/pieces`  behind the last piece of a generator
`/twice`   in two calls
`/bad`     one that is none, which it does not survive
`/name`    by Gunicorn's name, where there is one
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recorder import Environ, StartResponse, record, report

SUM = [("X-Sum", "1")]
MORE = [("X-More", "2")]


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/seen":
        return report(start_response)
    record(environ)
    give = environ["tricorn.trailers"]
    headers = [("Content-Type", "text/plain")]
    if path == "/pieces":
        start_response("200 OK", headers)
        return _pieces(give)
    start_response("200 OK", [*headers, ("Content-Length", "5")] if path == "/length" else headers)
    if path == "/name":
        environ.get("gunicorn.http2.send_trailers", give)(SUM)
    elif path == "/bad":
        give([("X-Sum", "1\n2")])
    else:
        give(SUM)
    if path == "/twice":
        give(MORE)
    return [b"first"]


def _pieces(give: object) -> Iterator[bytes]:
    yield b"fir"
    yield b"st"
    give(SUM)  # type: ignore[operator]
