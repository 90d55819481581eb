"""`spew` prints the application's lines, and not the server's."""

from __future__ import annotations

from pathlib import Path

from integration.live import Live

SITE = """
def app(environ, start_response):
    answer = 6 * 7
    start_response("200 OK", [])
    return [b"%d" % answer]
"""


def test_each_line_is_printed(tmp_path: Path) -> None:
    """In threads too."""
    (tmp_path / "spewed_site.py").write_text(SITE)
    with Live("spewed_site:app", "--spew", "--threads", "2", kind="gthread", chdir=tmp_path) as server:
        assert "spewed_site:2: def app(environ, start_response):\n" in server.log()
        mark = server.log_mark()
        assert server.request("/").body == b"42"
        log = server.wait_log("spewed_site:5: ")[mark:]
        lines = [line for line in log.splitlines() if line.startswith("spewed_site")]
        assert lines == [
            "spewed_site:3:     answer = 6 * 7",
            'spewed_site:4:     start_response("200 OK", [])',
            'spewed_site:5:     return [b"%d" % answer]',
        ]
        assert "tricorn." not in log
