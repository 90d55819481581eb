"""Names and what they match (RFC 9525 §6.3)."""

from __future__ import annotations

import pytest

from tricorn.tls.sni import NameTable

TABLE = NameTable(
    [
        (["site.test", "WWW.Site.test"], "site"),
        (["*.shop.test", "shop.test", "exact.shop.test"], "shop"),
        (["a.shop.test", "site.test", "*.deep.shop.test"], "later"),
        (["f*.part.test", "*.*.two.test", "*", "b.*.test"], "bad"),
    ]
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("site.test", "site"),
        ("www.site.test", "site"),
        ("SITE.TEST", "site"),
        ("site.test.", "site"),
        ("x.site.test", None),
        ("test", None),
        ("", None),
        (".", None),
        ("b.shop.test", "shop"),
        ("B.SHOP.test.", "shop"),
        ("a.shop.test", "later"),  # exact before wildcard, wherever they stand
        ("shop.test", "shop"),
        (".shop.test", None),
        ("a.b.shop.test", None),  # one label only
        ("a.deep.shop.test", "later"),
        ("deep.shop.test", "shop"),
        ("*.shop.test", "shop"),
        ("foo.part.test", None),
        ("a.b.two.test", None),
        ("b.a.test", None),
        ("f*.part.test", None),
        ("a.*.two.test", None),
        ("xn--bcher-kva.shop.test", "shop"),
    ],
)
def test_find(name: str, found: str | None) -> None:
    assert TABLE.find(name) == found


def test_contested_names_belong_to_the_first() -> None:
    assert TABLE.contested == ["site.test"]
