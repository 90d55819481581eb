"""A Bottle application over real sockets, on every worker kind."""

from __future__ import annotations

from integration.framework import FrameworkTests
from integration.live import Live


class TestBottle(FrameworkTests):
    app = "bottle_app:app"
    error_page = "Error: 500 Internal Server Error"

    def test_two_cookies_are_two_fields(self, site: Live) -> None:
        with site.connect() as client:
            assert len(self.redirect(client).all("Set-Cookie")) == 2

    def test_a_part_of_a_file(self, site: Live) -> None:
        """Bottle yields it in pieces, out of the middle of the file."""
        whole = site.request("/file").body
        part = site.request("/file", fields=["Range: bytes=2000000-2999999"])
        assert part.status == 206
        assert part.body == whole[2_000_000:3_000_000]
