from collections.abc import Iterable, Mapping
from logging import Logger

class Answer:
    """A response as far as it does not depend on how it is carried: see files.pxd."""

    status: str
    fields: list[tuple[bytes, bytes]]
    length: int
    parts: tuple[bytes | tuple[int, int], ...]

class Mount:
    """Files below one directory, at one prefix of paths: see files.pxd."""

    prefix: bytes
    directory: str

class StaticFiles:
    """A table of directories by prefix: see files.pyx."""

    mounts: tuple[Mount, ...]
    falls_through: bool
    def __init__(
        self,
        directories: Mapping[bytes, str],
        *,
        index: str = "index.html",
        falls_through: bool = False,
        dotfiles: bool = False,
        caching: Iterable[tuple[bytes, bytes]] = (),
        types: Mapping[str, str] | None = None,
        logger: Logger,
    ) -> None: ...
