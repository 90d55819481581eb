"""A Flask application over real sockets, on every worker kind."""

from __future__ import annotations

from integration.framework import FrameworkTests
from integration.live import Live


class TestFlask(FrameworkTests):
    app = "flask_app:app"
    error_page = "Internal Server Error"

    def test_file_in_memory(self, site: Live) -> None:
        """It has no descriptor, so it is read."""
        assert site.request("/memory-file").body == b"from memory\n" * 1000

    def test_a_part_of_a_file(self, site: Live) -> None:
        whole = site.request("/file").body
        part = site.request("/file", fields=["Range: bytes=1000-1999"])
        assert part.status == 206
        assert part.get("Content-Range") == f"bytes 1000-1999/{len(whole)}"
        assert part.body == whole[1000:2000]

    def test_not_modified(self, site: Live) -> None:
        etag = site.request("/file", method="HEAD").get("ETag")
        response = site.request("/file", fields=[f"If-None-Match: {etag}"])
        assert (response.status, response.body) == (304, b"")
