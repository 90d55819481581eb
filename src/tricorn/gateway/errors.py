"""What an application can do wrong.

Knows: PEP 3333, ASGI 3. Must not know: what is done about it (the transport answers 500 or cuts the
connection).
"""

from __future__ import annotations


class GatewayError(Exception):
    """The application broke its contract with the server."""


class RequestCut(OSError):  # noqa: N818 - an event of the outside world, named for what happened
    """The client went away, or stalled, while the application was reading the body of its request."""


class ClientDisconnected(OSError):  # noqa: N818 - an event of the outside world, named for what happened
    """send() after the client went away (ASGI 2.4 asks for an OSError): whatever is sent goes nowhere."""
