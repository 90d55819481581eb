from collections.abc import Iterable
from typing import Any

from tricorn.http.forwarded import HeaderPolicy

class Fixed(dict[str, Any]):
    """What the scopes of all requests share, so none of them may change it."""

    __slots__ = ()

class ScopeBuilder:
    """Request heads to ASGI scopes: see scope.pyx."""

    def __init__(
        self,
        policy: HeaderPolicy,
        server: tuple[str, int | None],
        root_path: str = "",
        state: dict[str, Any] | None = None,
        extensions: Iterable[str] = (),
        scheme: str = "http",
        drain: Fixed | None = None,
    ) -> None: ...
