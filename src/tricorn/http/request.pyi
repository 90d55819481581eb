class Limits:
    """Bounds of one request; sizes in bytes."""

    request_line: int
    field_size: int
    fields: int
    head: int
    body: int
    def __init__(
        self,
        *,
        request_line: int = 8190,
        field_size: int = 8190,
        fields: int = 100,
        head: int = 65536,
        body: int = 0,
    ) -> None: ...
