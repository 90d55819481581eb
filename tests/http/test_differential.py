"""Our parser against llhttp and h11: the same bytes must make the same requests.

Two parsers in a row that disagree about where a request ends are how requests are smuggled. So whatever
both we and a judge accept has to be framed alike; and wherever one accepts what the other refuses,
the table below says
why. A disagreement that no row explains fails, and so does a row that nothing shows any more.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from fuzz.judges import JUDGES, Message, Verdict, ours
from fuzz.messages import Writer, near_valid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MARKER = b"GET /marker HTTP/1.1\r\nHost: m.example\r\n\r\n"
BOTH = "h11 llhttp"


@dataclass
class Disagreement:
    """kind: "stricter", we refuse or still wait; "looser", the judge does; else the part that differs.

    words: of the refusal.
    """

    kind: str
    words: str
    mine: Message | None
    theirs: Message | None


def compare(mine: Verdict, theirs: Verdict) -> Iterator[Disagreement]:
    """Message by message, up to the first that not both have or after which not both read on."""
    for a, b in zip(mine.messages, theirs.messages, strict=False):
        differing = [part for part in Message.__annotations__ if getattr(a, part) != getattr(b, part)]
        yield from (Disagreement(part, "", a, b) for part in differing)
        if "body" in differing or not (a.keep_alive and b.keep_alive):
            return
    here, there = len(mine.messages), len(theirs.messages)
    if here < there:
        yield Disagreement("stricter", mine.refused or "still reading", None, theirs.messages[here])
    elif here > there:
        yield Disagreement("looser", theirs.refused or "still reading", mine.messages[there], None)


def _always(_mine: Message | None, _theirs: Message | None) -> bool:
    return True


def _tunnel(mine: Message | None, theirs: Message | None) -> bool:
    message = mine or theirs
    return message is not None and (
        message.method == b"CONNECT"
        or any(name == b"connection" and b"upgrade" in value.lower() for name, value in message.fields)
    )


def _by_http10(mine: Message | None, _theirs: Message | None) -> bool:
    return mine is not None and mine.version == 10


def _by_connect(mine: Message | None, _theirs: Message | None) -> bool:
    return mine is not None and mine.method == b"CONNECT" and not mine.keep_alive


def _by_proxy_connection(mine: Message | None, _theirs: Message | None) -> bool:
    return mine is not None and any(name == b"proxy-connection" for name, _ in mine.fields)


def _by_coding_case(mine: Message | None, theirs: Message | None) -> bool:
    assert mine is not None
    assert theirs is not None

    def lower(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in fields]

    return lower(mine.fields) == lower(theirs.fields)


def _by_space_behind(mine: Message | None, theirs: Message | None) -> bool:
    assert mine is not None
    assert theirs is not None
    return mine.fields == [(name, value.rstrip(b" \t")) for name, value in theirs.fields]


@dataclass(frozen=True)
class Row:
    """One class of disagreements. words: a pattern of the refusal. example: bytes that show it."""

    judges: str
    kind: str
    words: str
    why: str
    example: bytes
    when: Callable[[Message | None, Message | None], bool] = _always

    def explains(self, judge: str, found: Disagreement) -> bool:
        return (
            judge in self.judges.split()
            and self.kind == found.kind
            and re.search(self.words, found.words) is not None
            and self.when(found.mine, found.theirs)
        )


def get(*lines: bytes, start: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: a.example", *lines, b"", b""])


def chunked(body: bytes) -> bytes:
    return get(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.1") + body


TABLE = [
    # ---- what only we refuse ----
    Row(
        "llhttp", "stricter", "",
        "RFC 9110 §9.3.6, §7.8: behind CONNECT and Upgrade llhttp sees no body, since what follows may be "
        "another protocol. We never switch, so the body is framed as it says; after CONNECT nothing is read",
        get(b"Content-Length: 99", start=b"CONNECT b.example:443 HTTP/1.1"),
        _tunnel,
    ),
    Row(
        "llhttp", "stricter", "a line must end with CR LF",
        "RFC 9112 §2.2; llhttp takes any number of CR and LF before the request line",
        b"\n" + get(),
    ),
    Row(
        "h11", "stricter", "a line must end with CR LF",
        "RFC 9112 §2.2 lets a recipient end a line at a bare LF; who does sees lines that others do not",
        b"GET / HTTP/1.1\nHost: a.example\n\n",
    ),
    Row(
        "llhttp", "stricter", "more than one empty line",
        "RFC 9112 §2.2 asks for tolerance of one; each more is a place to hide",
        b"\r\n\r\n" + get(),
    ),
    Row(
        "llhttp", "stricter", "the request line must be a method",
        "RFC 9112 §3: single spaces; llhttp skips several, and takes 'GET /' for HTTP/0.9",
        get(start=b"GET   / HTTP/1.1"),
    ),
    Row(
        "h11", "stricter", "the method is not a token of at most 32 bytes",
        "RFC 9110 §9.1 sets no bound; ours keeps other protocols from being read on",
        get(start=b"A" * 33 + b" / HTTP/1.1"),
    ),
    Row(
        BOTH, "stricter", "the request target is malformed",
        "RFC 9112 §3.2: no '#', no byte beyond ASCII, '*' with OPTIONS only, an authority with CONNECT only",
        get(start=b"GET * HTTP/1.1"),
    ),
    Row(
        BOTH, "stricter", "the protocol version is malformed",
        "RFC 9112 §2.3: HTTP/0.9 has no version in its requests, and of others there is none",
        get(start=b"GET / HTTP/0.9"),
    ),
    Row(
        BOTH, "stricter", "only HTTP/1.0 and HTTP/1.1 are supported",
        "RFC 9110 §15.6.6: HTTP/1.2 and HTTP/2.0 in this form do not exist, so nobody knows how they frame",
        get(start=b"GET / HTTP/2.0"),
    ),
    Row(
        "h11", "stricter", "a field line begins with white space",
        "RFC 9112 §5.2: obs-fold is to be refused or replaced; ours is the first choice",
        get(b"A: b", b" c"),
    ),
    Row(
        BOTH, "stricter", "Host is missing, repeated or malformed",
        "RFC 9112 §3.2: 400 for each of these; llhttp leaves Host to its user, h11 does not read its value",
        get(b"A: b").replace(b"a.example", b"a b"),
    ),
    Row(
        BOTH, "stricter", "Content-Length is repeated or not a number",
        "RFC 9112 §6.3 allows to merge equal values; we refuse lists, which proxies treat in different ways",
        get(b"Content-Length: 0000000000000000001") + b"x",
    ),
    Row(
        "h11", "stricter", "Content-Length and Transfer-Encoding must not be used together",
        "RFC 9112 §6.3 lets chunked win or the request be refused; the pair has no honest sender",
        get(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    Row(
        BOTH, "stricter", "Transfer-Encoding is not allowed in HTTP/1.0",
        "RFC 9112 §6.1: its framing MUST be treated as faulty",
        get(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0") + b"0\r\n\r\n",
    ),
    Row(
        "llhttp", "stricter", "Transfer-Encoding must end with chunked, and contain it only once",
        "RFC 9112 §6.1; llhttp looks at the last coding only",
        get(b"Transfer-Encoding: ,chunked") + b"0\r\n\r\n",
    ),
    Row(
        "llhttp", "stricter", "only supported transfer coding",
        "RFC 9112 §6.1: 501 for a coding that we would not undo",
        get(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    ),
    Row(
        BOTH, "stricter", "only supported expectation",
        "RFC 9110 §10.1.1: 417 is allowed; who expects something should hear that it will not come",
        get(b"Expect: more"),
    ),
    Row(
        BOTH, "stricter", "Content-Type is repeated",
        "RFC 9110 §8.3: a singleton; two of them are read differently by what filters and what parses",
        get(b"Content-Type: a/b", b"Content-Type: c/d"),
    ),
    Row(
        BOTH, "stricter", "a chunk size is not",
        "RFC 9112 §7.1: 1*HEXDIG and nothing else; h11 takes spaces behind it, both take more digits",
        chunked(b"0" * 17 + b"\r\n\r\n"),
    ),
    Row(
        BOTH, "stricter", "a chunk extension is malformed",
        "RFC 9112 §7.1.1: ';' and a token; both skip more than that",
        chunked(b"0;a=\r\n\r\n"),
    ),
    Row(
        BOTH, "stricter", "authentication fields are not allowed in trailers",
        "RFC 9110 §6.5.1; neither judge looks at the names of trailers",
        chunked(b"0\r\nHost: b.example\r\n\r\n"),
    ),
    # ---- what only the judge refuses ----
    Row(
        "h11", "looser", "no request line received",
        "RFC 9112 §2.2: one empty line before the request line is to be ignored; h11 takes none",
        b"\r\n" + get(),
    ),
    Row(
        "llhttp", "looser",
        "Invalid method|Expected space after method|HTTP/2 Connection Preface|Invalid char in url",
        "RFC 9110 §9.1: the set of methods is open; llhttp has a list",
        get(start=b"BREW / HTTP/1.1"),
    ),
    Row(
        "llhttp", "looser", "Invalid character in chunk extensions",
        "RFC 9112 §7.1.1 has BWS around ';' and '=', which MUST be parsed",
        chunked(b"0; a = b\r\n\r\n"),
    ),
    Row(
        "llhttp", "looser", "Request has invalid `Transfer-Encoding`",
        "RFC 9110 §5.5: white space at the end is no part of the value",
        get(b"Transfer-Encoding: chunked\t") + b"0\r\n\r\n",
    ),
    Row(
        "llhttp", "looser", "upgrade",
        "RFC 9110 §7.8: an Upgrade that the server does not follow is ignored",
        get(b"Connection: upgrade", b"Upgrade: websocket"),
    ),
    # ---- what both accept, and see differently ----
    Row(
        "h11", "fields", "",
        "h11 writes the transfer coding in lower case",
        get(b"Transfer-Encoding: Chunked") + b"0\r\n\r\n",
        _by_coding_case,
    ),
    Row(
        "llhttp", "fields", "",
        "RFC 9110 §5.5: white space at the end is no part of the value; llhttp leaves it to its user",
        get(b"A: b \t"),
        _by_space_behind,
    ),
    Row(
        "llhttp", "body", "",
        "as above: no body behind CONNECT and Upgrade",
        get(b"Content-Length: 1", b"Connection: upgrade", b"Upgrade: x") + b"x",
        _tunnel,
    ),
    Row(
        BOTH, "keep_alive", "",
        "RFC 9110 §9.3.6: after CONNECT we always close, whatever was answered",
        get(start=b"CONNECT b.example:443 HTTP/1.1"),
        _by_connect,
    ),
    Row(
        "h11", "keep_alive", "",
        "RFC 9112 §9.3: keep-alive keeps an HTTP/1.0 connection; h11 never does",
        get(b"Connection: keep-alive", start=b"GET / HTTP/1.0"),
        _by_http10,
    ),
    Row(
        "llhttp", "keep_alive", "",
        "RFC 9112 §9.3: close comes first, whatever else is said; llhttp lets keep-alive win in HTTP/1.0",
        get(b"Connection: keep-alive", b"Connection: close", start=b"GET / HTTP/1.0"),
        _by_http10,
    ),
    Row(
        "llhttp", "keep_alive", "",
        "RFC 9112 appendix C.2.2: Proxy-Connection is no field of HTTP; llhttp obeys it",
        get(b"Proxy-Connection: close"),
        _by_proxy_connection,
    ),
]  # fmt: skip


def explanation(judge: str, found: Disagreement) -> Row | None:
    return next((row for row in TABLE if row.explains(judge, found)), None)


@pytest.mark.parametrize("judge", JUDGES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_every_disagreement_is_explained(judge: str, chance: random.Random) -> None:
    data = near_valid(chance) + MARKER
    for found in compare(ours(data), JUDGES[judge](data)):
        assert explanation(judge, found), (data, found)


@pytest.mark.slow
@pytest.mark.parametrize("judge", JUDGES)
def test_explained_in_bulk(judge: str) -> None:
    """Hypothesis looks for the smallest examples; this looks at many."""
    for seed in range(10000):
        data = near_valid(random.Random(seed)) + MARKER
        for found in compare(ours(data), JUDGES[judge](data)):
            assert explanation(judge, found), (seed, data, found)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.kind}: {row.words or row.why}"[:60])
def test_no_explanation_is_stale(row: Row) -> None:
    data = row.example + MARKER
    mine = ours(data)
    for judge in row.judges.split():
        found = list(compare(mine, JUDGES[judge](data)))
        assert [row] == [explanation(judge, one) for one in found if one.kind == row.kind], (judge, found)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_good_messages_are_accepted(chance: random.Random) -> None:
    """Nothing odd, nothing bent: no refusal but of a coding in HTTP/1.0."""
    writer = Writer(chance, 0.0)
    data = b"".join(writer.message() for _ in range(3)) + MARKER
    refused = ours(data).refused
    assert refused is None or "in HTTP/1.0" in refused, (data, refused)
