"""What a worker asks itself, and what it makes of its own answers."""

from __future__ import annotations

from socket import socketpair

import pytest

from tricorn.config.settings import Settings
from tricorn.workers.warmup import maybe_problem, pages

#: What comes back, and what is wrong with it.
ANSWERS: list[tuple[str, bytes, str | None]] = [
    ("a length", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", None),
    ("chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", None),
    ("until the end", b"HTTP/1.1 200 OK\r\n\r\nok", None),
    ("nothing", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    (
        "hints first",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        None,
    ),
    ("a client's fault", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", None),
    ("not modified", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", None),
    ("an error", b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", "was answered with 500"),
    ("too long", b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "was answered with 503"),
    ("too short", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "got an answer that breaks off"),
    (
        "no last chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        "got an answer that breaks off",
    ),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", "got no answer"),
    ("silence", b"", "got no answer"),
]


@pytest.mark.parametrize(("answer", "problem"), [case[1:] for case in ANSWERS], ids=[c[0] for c in ANSWERS])
@pytest.mark.parametrize("step", [1, 1000], ids=["byte by byte", "whole"])
def test_answers(answer: bytes, problem: str | None, step: int) -> None:
    ours, theirs = socketpair()
    with ours, theirs:
        for at in range(0, len(answer), step):
            theirs.sendall(answer[at : at + step])
        theirs.close()
        assert maybe_problem(ours) == problem


@pytest.mark.parametrize(
    ("item", "target", "host", "fields"),
    [
        ("/", "/", "localhost", ()),
        ("/a?b=c", "/a?b=c", "localhost", ()),
        ("http://www.example.org", "/", "www.example.org", ()),
        ("http://[::1]:8000/x?y", "/x?y", "[::1]:8000", ()),
        ("https://www.example.org/a", "/a", "www.example.org", (("X-FORWARDED-PROTOCOL", "ssl"),)),
    ],
)
def test_pages(item: str, target: str, host: str, fields: tuple[tuple[str, str], ...]) -> None:
    (page,) = pages(Settings(warmup=(item,)))
    assert (page.target, page.host, page.fields) == (target, host, fields)
    head = page.message.decode().splitlines()
    assert head[:2] == [f"GET {target} HTTP/1.1", f"Host: {host}"]
    assert all(f"{name}: {value}" in head for name, value in fields)
