from collections.abc import Iterable
from typing import NamedTuple

class ResponseHead(NamedTuple):
    """The bytes of a head, and how the body behind it has to be sent."""

    data: bytes
    status: int
    keep_alive: bool
    bodyless: bool
    chunked: bool
    length: int

def response_head(
    status: str,
    headers: list[tuple[str, str]] | list[tuple[bytes, bytes]],
    *,
    method: str = "GET",
    version: int = 11,
    keep_alive: bool = True,
    length: int = -1,
    octets: bool = False,
    server: str = "tricorn",
    second: int = 0,
) -> ResponseHead:
    """The head of a final response. Raises ResponseError."""

def interim_response(headers: list[tuple[str, str]]) -> bytes:
    """A whole 103 response (RFC 8297). Raises ResponseError."""

def trailer_section(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The end of a chunked body: the last chunk and these trailer fields. Raises ResponseError."""

def error_response(status: int, *, method: str = "GET", server: str = "tricorn", second: int = 0) -> bytes:
    """A whole response of the server's own."""

def chunk_size(size: int) -> bytes:
    """The line in front of the data of a chunk."""
