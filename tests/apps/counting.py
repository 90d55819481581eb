"""What the counted applications answer, so that their clients can tell whether it is whole."""

from __future__ import annotations

import hashlib

PIECES, PIECE = 24, 16384
EVENTS, BETWEEN = 10, 0.04


def piece(name: str, number: int) -> bytes:
    return f"{name}:{number};".encode().ljust(PIECE, b".")


def event(name: str, number: int) -> bytes:
    kind = b"event: done\n" if number == EVENTS else b""
    return kind + f"id: {number}\ndata: {name}\n\n".encode()


def receipt(body: bytes) -> bytes:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
