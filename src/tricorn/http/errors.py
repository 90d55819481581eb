"""What a client can do wrong.

Knows: statuses and the rules they come from. Must not know: sockets, logs, application interfaces.
"""

from __future__ import annotations

from http import HTTPStatus


class ProtocolError(Exception):
    """A message that breaks the protocol or a limit. The connection answers `status` and closes.

    status: the HTTP status to answer (int).
    rule: what was broken, as a citation: "RFC 9112 §6.3", or the name of the setting that limits it.
    reason: one static sentence. It never contains bytes of the request, so it can be logged and sent.
    """

    def __init__(self, status: int, rule: str, reason: str) -> None:
        super().__init__(status, rule, reason)
        self.status = status
        self.rule = rule
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}: {self.reason} ({self.rule})"


class ResponseError(ValueError):
    """The application's response cannot be put on the wire as it is: its fault, not the client's."""
