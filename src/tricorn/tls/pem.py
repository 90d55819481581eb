"""Finds what is in a PEM file (RFC 7468, and keys in the older form of RFC 1421).

Knows: its lines. Must not know: where the text came from, what the DER in it means.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from tricorn.records import dataclass

CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE")
REVOCATION_LISTS = ("X509 CRL",)

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)


class PEMError(ValueError):
    """A block whose content is not base64."""


@dataclass(frozen=True)
class Block:
    """label: what it says that it is. text: the block with its first and last line. body: without."""

    label: str
    text: bytes
    body: bytes

    @property
    def is_key(self) -> bool:
        return self.label.endswith("PRIVATE KEY")

    @property
    def is_encrypted(self) -> bool:
        """By its label, or in older files by the first line in it: "Proc-Type: 4,ENCRYPTED"."""
        return self.label == "ENCRYPTED PRIVATE KEY" or b"ENCRYPTED" in self.body.split(b"\n", 1)[0]

    @property
    def der(self) -> bytes:
        """What it holds; PEMError if that is not base64."""
        try:
            return base64.b64decode(b"".join(self.body.split()), validate=True)
        except binascii.Error:
            raise PEMError(f"has a {self.label} block that is not valid base64") from None


def blocks_of(text: bytes) -> list[Block]:
    """All complete blocks. What stands between them is a comment, by custom."""
    return [Block(found[1].decode(), found[0] + b"\n", found[2]) for found in _BLOCK.finditer(text)]


def with_labels(blocks: Sequence[Block], labels: Sequence[str]) -> list[Block]:
    return [block for block in blocks if block.label in labels]
