"""Targets of requests in their forms (RFC 9112 §3.2)."""

from __future__ import annotations

import pytest

from tricorn.http.target import split


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/a%20b?x=1", ("/a%20b", "x=1")),
        ("http://example.org/a?x", ("/a", "x")),
        ("http://example.org", ("/", "")),
        ("*", ("*", "")),
    ],
)
def test_targets(uri: str, expected: tuple[str, str]) -> None:
    assert split(uri) == expected
