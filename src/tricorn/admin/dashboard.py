"""The page of the dashboard: one document with its style and its script in it, and what a browser may do
with it.

Knows: the files of the page, Content-Security-Policy. Must not know: what the page shows, who asks.

There is no data in it and nothing to keep secret, so it is given to whoever asks; what it shows it has to ask
for, with a token if one is wanted. The policy names the one style and the one script by their digests, so
nothing else runs, whatever a request path or a line of a log says, and nothing is fetched from anywhere but
this server. Trusted Types (where a browser has them) forbid the script to make HTML of text.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from tricorn.records import dataclass

MEDIA = "text/html; charset=utf-8"

FILES = Path(__file__).parent / "assets"

#: Says whether the page has to ask for a token.
NEEDS_TOKEN = 'data-needs-token="false"'


@dataclass(frozen=True)
class Page:
    body: bytes
    policy: str


def made(*, has_token: bool) -> Page:
    style, script = _text("css"), _text("js")
    html = _text("html").replace("/* style */", style).replace("/* script */", script)
    if has_token:
        html = html.replace(NEEDS_TOKEN, NEEDS_TOKEN.replace("false", "true"), 1)
    policy = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return Page(html.encode("utf-8"), "; ".join(f"{name} {value}" for name, value in policy.items()))


def _text(kind: str) -> str:
    return (FILES / f"dashboard.{kind}").read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """CSP Level 3, "Hash usage": of what stands between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
