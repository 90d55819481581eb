"""What a path, a range, a condition, a coding and a name mean, each by itself."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from harness.cost import assert_linear, processor_seconds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tricorn.http.dates import text_of
from tricorn.static.caching import control
from tricorn.static.codings import accepted
from tricorn.static.conditions import verdict
from tricorn.static.paths import checked
from tricorn.static.ranges import stretches
from tricorn.static.types import table

#: A machine with other work is no fault of ours.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = 1_800_000_000  # 2027-01-15 08:00:00 GMT
MOST = 32

# -- paths

NAMES = {
    b"": b"",
    b"a": b"a",
    b"a/b.css": b"a/b.css",
    b"a/": b"a/",
    b"a%20b": b"a b",
    b"%61": b"a",
    b"caf%C3%A9.txt": b"caf\xc3\xa9.txt",
    b"a%": b"a%",
    b"a%4": b"a%4",
    b"a%zz": b"a%zz",
    b"a%252f": b"a%2f",
    b"a..b": b"a..b",
    b"a\\..\\b": b"a\\..\\b",
}
NO_NAMES = (
    *(b"..", b".", b"../a", b"a/../b", b"a/./b", b"a/..", b"./a", b"a/%2e%2e/b", b"a/%2E./b", b"%2e"),
    *(b"/a", b"a//b", b"//", b"a/b//", b"a%2fb", b"a%2Fb", b"%2f", b"..%2fa", b"a%00", b"%00", b"a%00.css"),
    *(b".env", b"a/.git/config", b".well-known/x", b"%2eenv", b"..a", b"...", b"a/.b"),
    b"a" * 4096,
)


@pytest.mark.parametrize("raw", NAMES, ids=repr)
def test_a_name(raw: bytes) -> None:
    assert checked(raw) == NAMES[raw]


@pytest.mark.parametrize("raw", NO_NAMES, ids=lambda raw: repr(raw[:20]))
def test_no_name(raw: bytes) -> None:
    assert checked(raw) is None


def test_dotfiles_where_they_are_wanted() -> None:
    assert checked(b".env", True) == b".env"
    assert checked(b"a/.git/config", True) == b"a/.git/config"
    assert checked(b"...", True) == b"..."
    for raw in (b"..", b"a/../b", b".", b"a/./b", b"%2e%2e/a"):
        assert checked(raw, True) is None


@unhurried
@given(st.binary(max_size=40))
def test_no_name_leads_upwards(raw: bytes) -> None:
    found = checked(raw)
    if found is not None:
        segments = found.split(b"/")
        assert b"\0" not in found
        assert all(segment and not segment.startswith(b".") for segment in segments[:-1])
        assert not segments[-1].startswith(b".")


# -- ranges

RANGES: dict[tuple[bytes, int], list[tuple[int, int]] | None] = {
    (b"bytes=0-0", 10): [(0, 1)],
    (b"bytes=0-9", 10): [(0, 10)],
    (b"bytes=2-", 10): [(2, 8)],
    (b"bytes=-3", 10): [(7, 3)],
    (b"bytes=-30", 10): [(0, 10)],
    (b"bytes=5-100", 10): [(5, 5)],
    (b"Bytes=5-5", 10): [(5, 1)],
    (b"bytes= 1-2 , 4-5", 10): [(1, 5)],
    (b"bytes=,,1-2,,", 10): [(1, 2)],
    (b"bytes=10-", 10): [],
    (b"bytes=10-20", 10): [],
    (b"bytes=-0", 10): [],
    (b"bytes=0-0", 0): [],
    (b"bytes=-5", 0): [],
    (b"bytes=10-20,1-2", 10): [(1, 2)],
    (b"bytes=99999999999999999999-", 10): [],
    (b"bytes=1-99999999999999999999999", 10): [(1, 9)],
    (b"bytes=0-0,500-500", 1000): [(0, 1), (500, 1)],
    (b"bytes=500-500,0-0", 1000): [(500, 1), (0, 1)],
    (b"bytes=500-600,550-700", 1000): [(500, 201)],
    (b"bytes=500-600,0-10,550-700", 1000): [(0, 11), (500, 201)],
    (b"bytes=0-,0-,0-,0-", 1000): [(0, 1000)],
    (b"bytes=0-10,50-60", 1000): [(0, 61)],
    (b"bytes", 10): None,
    (b"bytes=", 10): None,
    (b"bytes=,", 10): None,
    (b"", 10): None,
    (b"bytes=-", 10): None,
    (b"bytes=a-b", 10): None,
    (b"bytes=5-4", 10): None,
    (b"bytes=1", 10): None,
    (b"bytes=1-2-3", 10): None,
    (b"bytes=--1", 10): None,
    (b"bytes=+1-2", 10): None,
    (b"bytes=1 -2", 10): None,
    (b"bytes=1-2;", 10): None,
    (b"bytes=1-2 3-4", 10): None,
    (b"lines=1-2", 10): None,
    (b"byte=1-2", 10): None,
}


@pytest.mark.parametrize(("field", "size"), RANGES, ids=repr)
def test_a_range(field: bytes, size: int) -> None:
    assert stretches(field, size) == RANGES[field, size]


def test_so_many_ranges_and_no_more() -> None:
    def field(count: int) -> bytes:
        return b"bytes=" + b",".join(b"%d-%d" % (200 * i, 200 * i) for i in range(count))

    assert stretches(field(MOST), 10_000) == [(200 * i, 1) for i in range(MOST)]
    assert stretches(field(MOST + 1), 10_000) is None


@unhurried
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), min_size=1, max_size=MOST),
    st.integers(1, 2500),
)
def test_what_is_answered_is_what_was_asked_for_once(asked: list[tuple[int, int]], size: int) -> None:
    field = b"bytes=" + b",".join(b"%d-%d" % (min(pair), max(pair)) for pair in asked)
    found = stretches(field, size)
    assert found is not None
    wanted = {at for pair in asked for at in range(min(pair), max(pair) + 1) if at < size}
    given_bytes = [at for start, length in found for at in range(start, start + length)]
    assert wanted <= set(given_bytes)
    assert len(given_bytes) == len(set(given_bytes)) <= size
    assert len(found) <= len(asked)


# -- conditions (RFC 9110 §13.2.2)

TAG = b'"abc"'
THEN = NOW - 1000
AT = text_of(THEN)
BEFORE = text_of(THEN - 1)
AFTER = text_of(THEN + 1)

VERDICTS: list[tuple[str, dict[str, bytes], str]] = [
    ("nothing", {}, "goes on"),
    ("its tag", {"if_none_match": TAG}, "has it"),
    ("its tag, weak", {"if_none_match": b"W/" + TAG}, "has it"),
    ("another", {"if_none_match": b'"abd"'}, "goes on"),
    ("in a list", {"if_none_match": b'"x", W/"y,z" ,"abc"'}, "has it"),
    ("any", {"if_none_match": b"*"}, "has it"),
    ("without quotes", {"if_none_match": b"abc"}, "goes on"),
    ("a list that breaks off", {"if_none_match": b'"x", y, "abc"'}, "goes on"),
    ("an open quote", {"if_none_match": b'"abc'}, "goes on"),
    ("empty", {"if_none_match": b""}, "goes on"),
    ("only W/", {"if_none_match": b"W/"}, "goes on"),
    ("a star in a list", {"if_none_match": b'*, "x"'}, "goes on"),
    ("the time", {"if_modified_since": AT}, "has it"),
    ("a later time", {"if_modified_since": AFTER}, "has it"),
    ("an earlier time", {"if_modified_since": BEFORE}, "goes on"),
    ("no time", {"if_modified_since": b"yesterday"}, "goes on"),
    ("tag before time", {"if_none_match": b'"abd"', "if_modified_since": AT}, "goes on"),
    ("tag before time, both ways", {"if_none_match": TAG, "if_modified_since": BEFORE}, "has it"),
    ("expects it", {"if_match": TAG}, "goes on"),
    ("expects another", {"if_match": b'"abd"'}, "has another"),
    ("expects a weak one", {"if_match": b"W/" + TAG}, "has another"),
    ("expects any", {"if_match": b"*"}, "goes on"),
    ("expects nonsense", {"if_match": b"abc"}, "has another"),
    ("unmodified", {"if_unmodified_since": AT}, "goes on"),
    ("unmodified since before", {"if_unmodified_since": BEFORE}, "has another"),
    ("unmodified since nonsense", {"if_unmodified_since": b"never"}, "goes on"),
    ("match before unmodified", {"if_match": TAG, "if_unmodified_since": BEFORE}, "goes on"),
    ("match, then none-match", {"if_match": TAG, "if_none_match": TAG}, "has it"),
    ("412 before 304", {"if_match": b'"abd"', "if_none_match": TAG}, "has another"),
    ("412 before 304, by time", {"if_unmodified_since": BEFORE, "if_modified_since": AT}, "has another"),
    ("the range of it", {"if_range": TAG}, "holds"),
    ("the range of another", {"if_range": b'"abd"'}, "whole"),
    ("the range of a weak one", {"if_range": b"W/" + TAG}, "whole"),
    ("the range of a list", {"if_range": b'"x", "abc"'}, "whole"),
    ("the range by time", {"if_range": AT}, "holds"),
    ("the range by a later time", {"if_range": AFTER}, "whole"),
    ("the range by an earlier time", {"if_range": BEFORE}, "whole"),
    ("the range by nonsense", {"if_range": b"*"}, "whole"),
    ("the range by nothing", {"if_range": b""}, "whole"),
]


@pytest.mark.parametrize(("name", "fields", "expected"), VERDICTS, ids=[each[0] for each in VERDICTS])
def test_a_condition(name: str, fields: dict[str, bytes], expected: str) -> None:
    assert verdict(TAG, THEN, NOW, fields) == expected, name


def test_what_may_have_changed_again_is_weak() -> None:
    weak = b"W/" + TAG
    assert verdict(weak, NOW, NOW, {"if_none_match": TAG}) == "has it"
    assert verdict(weak, NOW, NOW, {"if_match": TAG}) == "has another"
    assert verdict(weak, NOW, NOW, {"if_range": TAG}) == "whole"
    assert verdict(weak, NOW, NOW, {"if_range": text_of(NOW)}) == "whole"


# -- codings

CODINGS: dict[bytes, list[str]] = {
    b"": [],
    b"gzip": ["gzip"],
    b"gzip, br": ["br", "gzip"],
    b"gzip, deflate, br, zstd": ["br", "zstd", "gzip"],
    b"GZIP;Q=1": ["gzip"],
    b"x-gzip": ["gzip"],
    b"br;q=0.1, gzip;q=0.9": ["gzip", "br"],
    b"br;q=0, gzip": ["gzip"],
    b"*": ["br", "zstd", "gzip"],
    b"*;q=0": [],
    b"*;q=0, gzip": ["gzip"],
    b"gzip;q=0, *": ["br", "zstd"],
    b"identity": [],
    b"identity, gzip;q=0.5": [],
    b"identity;q=0.5, gzip;q=0.5": ["gzip"],
    b"identity;q=0.4, gzip;q=0.5": ["gzip"],
    b"gzip;q=0.001": ["gzip"],
    b"gzip;q=0.000": [],
    b"gzip;q=1.001": [],
    b"gzip;q=2": [],
    b"gzip;q=a": [],
    b"gzip;q=": [],
    b"gzip;level=9": [],
    b"gzip ; q=0.5 , br ;q=0.6": ["br", "gzip"],
    b"gzipped, brotli": [],
    b",,gzip,,": ["gzip"],
    b"gzip;q=0, gzip;q=1": ["gzip"],
}


@pytest.mark.parametrize("field", CODINGS, ids=repr)
def test_a_coding(field: bytes) -> None:
    assert accepted(field) == CODINGS[field]


# -- names with a hash, patterns

FOR_EVER = b"public, max-age=31536000, immutable"

HASHED = (
    *(
        b"/static/css/base.55e7cbb9ba48.css",
        b"/a.55e7cbb9ba48.css.map",
        b"/main.8e0d62a1.js",
        b"/x-1a2b3c4d.js",
    ),
    *(b"/chunk.0123456789abcdef0123.min.js", b"/app_0123abcd.woff2", b"/a/b.c/d-00ff00ff00.png"),
)
NOT_HASHED = (
    *(
        b"/app.js",
        b"/jquery-3.7.1.min.js",
        b"/photo-20240101.jpg",
        b"/report.20240101123000.pdf",
        b"/defaced.css",
    ),
    *(
        b"/feedback-facade.js",
        b"/a.1a2b3c.js",
        b"/55e7cbb9ba48.css",
        b"/a.55E7CBB9BA48.css",
        b"/a.55e7cbb9ba48",
    ),
    *(b"/55e7cbb9ba48/app.js", b"/a.55e7cbb9ba48/app.js", b"/", b"", b"/."),
)


@pytest.mark.parametrize("path", HASHED, ids=repr)
def test_a_name_with_a_hash_is_kept(path: bytes) -> None:
    assert control((), path) == FOR_EVER


@pytest.mark.parametrize("path", NOT_HASHED, ids=repr)
def test_a_name_without_one_is_asked_for(path: bytes) -> None:
    assert control((), path) == b"no-cache"


def test_the_first_pattern_that_fits_counts() -> None:
    patterns = (
        (b"*.woff2", b"max-age=1"),
        (b"/a/*", b""),
        (b"/a/b/*.css", b"max-age=3"),
        (b"*/x*y*z", b"max-age=4"),
    )
    assert control(patterns, b"/a/b/c.woff2") == b"max-age=1"
    assert control(patterns, b"/a/b/c.css") is None
    assert control(patterns, b"/b/c.css") == b"no-cache"
    assert control(patterns, b"/q/x-y-y-z") == b"max-age=4"
    assert control(patterns, b"/q/x-y-z-") == b"no-cache"


@unhurried
@given(
    st.lists(st.sampled_from([b"a", b"b", b"*"]), max_size=6),
    st.lists(st.sampled_from([b"a", b"b"]), max_size=8),
)
def test_a_pattern_fits_what_a_regular_expression_does(pattern: list[bytes], path: list[bytes]) -> None:
    expected = re.fullmatch(b"".join(b".*" if each == b"*" else each for each in pattern), b"".join(path))
    found = control(((b"".join(pattern), b"x"),), b"".join(path))
    assert (found == b"x") == (expected is not None)


# -- types


def test_types() -> None:
    types = table({"glsl": "text/x-glsl", "css": "text/css", "bin": "application/x-mine+json"})
    assert types[b"js"] == (b"text/javascript; charset=utf-8", True)
    assert types[b"json"] == (b"application/json", True)
    assert types[b"png"] == (b"image/png", False)
    assert types[b"woff2"] == (b"font/woff2", False)
    assert types[b"glsl"] == (b"text/x-glsl", True)
    assert types[b"css"] == (b"text/css", True)
    assert types[b"bin"] == (b"application/x-mine+json", True)


# -- work is linear

WORK: dict[str, Callable[[int], object]] = {
    "many ranges": lambda n: stretches(b"bytes=" + b"0-," * (n // 3), 1000),
    "one long number": lambda n: stretches(b"bytes=" + b"9" * n + b"-", 1000),
    "empty ranges": lambda n: stretches(b"bytes=" + b"," * n, 1000),
    "many tags": lambda n: verdict(TAG, THEN, NOW, {"if_none_match": b'"",' * (n // 3)}),
    "one long tag": lambda n: verdict(TAG, THEN, NOW, {"if_match": b'"' + b"a" * n + b'"'}),
    "weak tags": lambda n: verdict(TAG, THEN, NOW, {"if_none_match": b'W/"a",' * (n // 6)}),
    "many codings": lambda n: accepted(b"br;q=0.5," * (n // 9)),
    "one long parameter": lambda n: accepted(b"br;" + b" " * n),
    "empty codings": lambda n: accepted(b"," * n),
    "a long path": lambda n: checked(b"%41" * (n // 3)),
    "a long name": lambda n: control((), b"0a" * (n // 2)),
    "dots": lambda n: control((), b"." * n),
    "a pattern that goes back": lambda n: control(((b"*ab", b""),), b"a" * n),
}


@pytest.mark.parametrize("name", WORK)
def test_work_is_linear(name: str) -> None:
    assert_linear(lambda n: processor_seconds(lambda: WORK[name](n)), 20_000, 50e-9)


def test_any_fields_do_no_harm() -> None:
    """They are a client's, byte for byte."""
    chance = random.Random(1)
    alphabet = [*b'0123456789-,=;"*W/ \tbytesqgzipr.', 0xFF]
    for _ in range(20_000):
        field = bytes(chance.choices(alphabet, k=chance.randrange(30)))
        accepted(field)
        stretches(b"bytes=" + field, 1000)
        for name in ("if_match", "if_none_match", "if_range", "if_modified_since"):
            verdict(TAG, THEN, NOW, {name: field})
