"""The target of a request, as it was written (RFC 9112 §3.2).

Knows: its forms. Must not know: what a path leads to, who asks.
"""

from __future__ import annotations


def split(uri: str) -> tuple[str, str]:
    """Path and query of a target, which may be a whole URI (RFC 9112 §3.2.2)."""
    if not uri.startswith("/"):
        rest = uri.partition("://")[2]
        if rest:
            uri = "/" + rest.partition("/")[2]
    path, _, query = uri.partition("?")
    return path, query
