"""An application that does, by path, what applications should not do. PEP 3333 is the contract.

Every secret of it (`SECRET`) must stay off the wire, every path must leave the server in good order.
The second half behaves well and is there for the framing of its responses.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from typing import Any

from recorder import Environ, StartResponse, record, report

SECRET = "s3cr3t"
PLAIN = ("Content-Type", "text/plain")

Page = Callable[[Environ, StartResponse], Any]
PAGES: dict[str, Page] = {}


def page(name: str) -> Callable[[Page], Page]:
    def add(function: Page) -> Page:
        PAGES[name] = function
        return function

    return add


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/seen":
        return report(start_response)
    record(environ)
    result: Iterable[bytes] = PAGES[path](environ, start_response)
    return result


# -- what must become a 500


def _with_status(status: Any) -> Page:
    def respond(_: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(status, [PLAIN, ("Content-Length", "2")])
        return [b"ok"]

    return respond


def _with_field(name: Any, value: Any, status: str = "200 OK") -> Page:
    def respond(_: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(status, [PLAIN, ("Content-Length", "2"), (name, value)])
        return [b"ok"]

    return respond


BAD_STATUS = {
    "lf": f"200 OK\n{SECRET}: 1",
    "crlf": f"200 OK\r\n{SECRET}: 1",
    "cr": f"200 OK\r{SECRET}",
    "nul": f"200 OK\0{SECRET}",
    "ctl": f"200 OK\x01{SECRET}",
    "del": f"200 OK\x7f{SECRET}",
    "no-number": f"OK {SECRET}",
    "two-digits": f"20 {SECRET}",
    "four-digits": f"2000 {SECRET}",
    "zero": f"000 {SECRET}",
    "negative": f"-20 {SECRET}",
    "space": f" 200 {SECRET}",
    "empty": "",
    "wide": f"200 {SECRET}\N{SNOWMAN}",
    "bytes": b"200 OK",
    "int": 200,
    "none": None,
    "interim": f"100 {SECRET}",
    "early": f"103 {SECRET}",
}
BAD_FIELD = {
    "value-lf": ("X-Bad", f"a\n{SECRET}: b"),
    "value-crlf": ("X-Bad", f"a\r\n{SECRET}: b"),
    "value-crlfcrlf": ("X-Bad", f"a\r\n\r\n{SECRET}"),
    "value-cr": ("X-Bad", f"a\r{SECRET}"),
    "value-nul": ("X-Bad", f"a\0{SECRET}"),
    "value-fold": ("X-Bad", f"a\r\n {SECRET}"),
    "value-ctl": ("X-Bad", f"a\x01{SECRET}"),
    "value-del": ("X-Bad", f"a\x7f{SECRET}"),
    "value-lf-last": ("X-Bad", f"{SECRET}\n"),
    "value-wide": ("X-Bad", f"{SECRET}\N{SNOWMAN}"),
    "value-wide-lf": ("X-Bad", f"{SECRET}\u010a"),  # its low byte is LF
    "value-wide-cr": ("X-Bad", f"{SECRET}\u560d"),  # its low byte is CR
    "value-bytes": ("X-Bad", b"s3cr3t"),
    "value-int": ("X-Bad", 1),
    "value-none": ("X-Bad", None),
    "name-lf": (f"X-Bad\n{SECRET}", "v"),
    "name-crlf": (f"X-Bad\r\n{SECRET}", "v"),
    "name-nul": (f"X-Bad\0{SECRET}", "v"),
    "name-space": (f"X {SECRET}", "v"),
    "name-space-last": (f"{SECRET} ", "v"),
    "name-colon": (f"X:{SECRET}", "v"),
    "name-colon-last": (f"{SECRET}:", "v"),
    "name-empty": ("", SECRET),
    "name-latin": (f"X-{SECRET}\xe9", "v"),
    "name-wide": (f"X-{SECRET}\u010a", "v"),
    "name-slash": (f"X/{SECRET}", "v"),
    "name-brackets": (f"X({SECRET})", "v"),
    "name-bytes": (b"X-Bad", SECRET),
    "name-none": (None, SECRET),
}
for _name, _status in BAD_STATUS.items():
    PAGES[f"/bad-status/{_name}"] = _with_status(_status)
for _name, _field in BAD_FIELD.items():
    PAGES[f"/bad-field/{_name}"] = _with_field(*_field)

GOOD_FIELD = {
    "latin-1": ("X-Good", "caf\xe9"),
    "all-latin-1": ("X-Good", "".join(map(chr, range(0x80, 0x100)))),
    "tab": ("X-Good", "a\tb"),
    "empty": ("X-Good", ""),
    "visible": ("X-Good", "".join(map(chr, range(0x21, 0x7F)))),
}
for _name, _field in GOOD_FIELD.items():
    PAGES[f"/good-field/{_name}"] = _with_field(*_field)


@page("/raises-at-once")
def _raises_at_once(_: Environ, __: StartResponse) -> list[bytes]:
    raise RuntimeError(SECRET)


@page("/raises-behind-start")
def _raises_behind_start(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("X-Never", SECRET)])
    raise RuntimeError(SECRET)


@page("/raises-before-first")
def _raises_before_first(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN, ("X-Never", SECRET)])
    raise RuntimeError(SECRET)
    yield b""


@page("/raises-behind-empty")
def _raises_behind_empty(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN, ("X-Never", SECRET)])
    yield b""
    raise RuntimeError(SECRET)


@page("/never-starts")
def _never_starts(_: Environ, __: StartResponse) -> list[bytes]:
    return [SECRET.encode()]


@page("/never-starts-empty")
def _never_starts_empty(_: Environ, __: StartResponse) -> list[bytes]:
    return []


@page("/returns-none")
def _returns_none(_: Environ, start_response: StartResponse) -> None:
    start_response("200 OK", [PLAIN, ("X-Never", SECRET)])


@page("/yields-text")
def _yields_text(_: Environ, start_response: StartResponse) -> list[str]:
    start_response("200 OK", [PLAIN, ("X-Never", SECRET)])
    return [SECRET]


@page("/starts-twice")
def _starts_twice(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("X-Never", SECRET)])
    start_response("200 OK", [PLAIN])
    return [b"ok"]


@page("/system-exit")
def _system_exit(_: Environ, __: StartResponse) -> list[bytes]:
    raise SystemExit(SECRET)


# -- what must cut the connection


@page("/raises-midway")
def _raises_midway(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN])
    yield b"first"
    raise RuntimeError(SECRET)


@page("/raises-midway-length")
def _raises_midway_length(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "10")])
    yield b"first"
    raise RuntimeError(SECRET)


@page("/text-midway")
def _text_midway(_: Environ, start_response: StartResponse) -> Iterator[Any]:
    start_response("200 OK", [PLAIN])
    yield b"first"
    yield SECRET


@page("/too-few")
def _too_few(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "10")])
    return [b"first"]


@page("/none-of-ten")
def _none_of_ten(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "10")])
    return []


# -- what must be cut at the length


@page("/too-many")
def _too_many(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "5")])
    return [b"first" + SECRET.encode()]


@page("/too-many-pieces")
def _too_many_pieces(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "5")])
    yield b"fir"
    yield b"st" + SECRET.encode()
    yield SECRET.encode()


@page("/too-many-written")
def _too_many_written(_: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", [PLAIN, ("Content-Length", "5")])
    write(b"fir")
    write(b"st" + SECRET.encode())
    return [SECRET.encode()]


@page("/more-than-nothing")
def _more_than_nothing(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "0")])
    return [SECRET.encode()]


# -- framing fields are the server's

BAD_LENGTH = {
    "word": "five",
    "sign": "+5",
    "negative": "-5",
    "list": "5, 5",
    "empty": "",
    "space": "5 5",
    "hex": "0x5",
    "huge": "9" * 30,
}
for _name, _length in BAD_LENGTH.items():
    PAGES[f"/bad-length/{_name}"] = lambda _, start, length=_length: (
        start("200 OK", [PLAIN, ("Content-Length", length)]),
        [b"first"],
    )[1]


@page("/two-lengths")
def _two_lengths(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "5"), ("Content-Length", "6")])
    return [b"first"]


@page("/own-chunked")
def _own_chunked(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Transfer-Encoding", "chunked")])
    return [b"5\r\nfirst\r\n0\r\n\r\n"]


@page("/own-gzip")
def _own_gzip(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Transfer-Encoding", "gzip")])
    return [b"first"]


@page("/hop-by-hop")
def _hop_by_hop(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Keep-Alive", "timeout=99"), ("Content-Length", "2")])
    return [b"ok"]


@page("/says-close")
def _says_close(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Connection", "close"), ("Content-Length", "2")])
    return [b"ok"]


# -- no body

for _code in ("204 No Content", "304 Not Modified", "205 Reset Content"):
    _number = _code[:3]
    PAGES[f"/{_number}"] = lambda _, start, code=_code: (start(code, []), [])[1]
    PAGES[f"/{_number}/empty"] = lambda _, start, code=_code: (start(code, []), [b"", b""])[1]
    PAGES[f"/{_number}/body"] = lambda _, start, code=_code: (start(code, [PLAIN]), [SECRET.encode()])[1]
    PAGES[f"/{_number}/length"] = lambda _, start, code=_code: (
        start(code, [PLAIN, ("Content-Length", "6")]),
        [SECRET.encode()],
    )[1]


# -- well-behaved, in every framing


@page("/one-piece")
def _one_piece(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN])
    return [b"first"]


@page("/tuple")
def _tuple(_: Environ, start_response: StartResponse) -> tuple[bytes, ...]:
    start_response("200 OK", [PLAIN])
    return (b"fir", b"st")


@page("/nothing")
def _nothing(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN])
    return []


@page("/empty-piece")
def _empty_piece(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN])
    return [b""]


@page("/generator")
def _generator(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN])
    yield b"fir"
    yield b"st"


@page("/empty-generator")
def _empty_generator(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN])
    yield from ()


@page("/generator-with-empty-pieces")
def _generator_with_empty_pieces(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN])
    yield b""
    yield b"fir"
    yield b""
    yield b"st"
    yield b""


@page("/generator-with-length")
def _generator_with_length(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN, ("Content-Length", "5")])
    yield b"fir"
    yield b""
    yield b"st"


@page("/write")
def _write(_: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", [PLAIN])
    write(b"fi")
    write(b"")
    write(b"r")
    return [b"s", b"t"]


@page("/replaced")
def _replaced(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("X-Never", SECRET)])
    try:
        raise RuntimeError(SECRET)
    except RuntimeError as error:
        start_response("503 Busy", [PLAIN], (RuntimeError, error, error.__traceback__))
    return [b"first"]


def _file(environ: Environ, start_response: StartResponse, content: bytes, length: int | None) -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
    file.write(content)
    file.seek(0)
    fields = [PLAIN] if length is None else [PLAIN, ("Content-Length", str(length))]
    start_response("200 OK", fields)
    return environ["wsgi.file_wrapper"](file, 8192)


@page("/file")
def _plain_file(environ: Environ, start_response: StartResponse) -> Any:
    return _file(environ, start_response, b"first", None)


@page("/file-with-length")
def _file_with_length(environ: Environ, start_response: StartResponse) -> Any:
    return _file(environ, start_response, b"first", 5)


@page("/file-empty")
def _file_empty(environ: Environ, start_response: StartResponse) -> Any:
    return _file(environ, start_response, b"", None)


@page("/file-too-long")
def _file_too_long(environ: Environ, start_response: StartResponse) -> Any:
    return _file(environ, start_response, b"first" + SECRET.encode(), 5)


@page("/file-too-short")
def _file_too_short(environ: Environ, start_response: StartResponse) -> Any:
    return _file(environ, start_response, b"first", 10)


@page("/file-large")
def _file_large(environ: Environ, start_response: StartResponse) -> Any:
    return _file(environ, start_response, os.urandom(1) * 2_000_000, None)


@page("/own-date")
def _own_date(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Date", formatdate(0, usegmt=True)), ("Server", "mine")])
    return [b"first"]


@page("/own-date-lower-case")
def _own_date_lower_case(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("date", formatdate(0, usegmt=True)), ("SERVER", "mine")])
    return [b"first"]


@page("/two-fields")
def _two_fields(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [PLAIN, ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")])
    return [b"first"]


@page("/unknown-status")
def _unknown_status(_: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("299 Any Words \xe9", [PLAIN])
    return [b"first"]


# -- early hints (RFC 8297)


def _hinting(fields: list[tuple[Any, Any]]) -> Page:
    def respond(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"](fields)
        start_response("200 OK", [PLAIN])
        return [b"first"]

    return respond


PAGES["/hint"] = _hinting([("Link", "</a.css>; rel=preload"), ("Link", "</b.js>; rel=preload")])
BAD_HINT = {
    "lf": ("Link", f"a\n{SECRET}"),
    "crlf": ("Link", f"a\r\n\r\n{SECRET}"),
    "nul": ("Link", f"a\0{SECRET}"),
    "wide": ("Link", f"a\u010a{SECRET}"),
    "name": (f"Link\r\n{SECRET}", "a"),
    "name-space": (f"Li nk{SECRET}", "a"),
}
for _name, _field in BAD_HINT.items():
    PAGES[f"/bad-hint/{_name}"] = _hinting([_field])
