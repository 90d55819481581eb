from collections.abc import Iterable
from typing import Any

from tricorn.http.forwarded import HeaderPolicy

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
    ) -> None: ...
