from typing import Any

from tricorn.http.forwarded import HeaderPolicy

class EnvironBuilder:
    """Builds WSGI environs for requests of one listener: see environ.pyx."""

    def __init__(self, base: dict[str, Any], policy: HeaderPolicy, script_name: str = "") -> None: ...
