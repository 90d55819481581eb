import ssl
from typing import Any, Protocol

from tricorn.gateway.environ import EnvironBuilder
from tricorn.gateway.scope import ScopeBuilder
from tricorn.transport.request import ProtocolMaker
from tricorn.transport.tls import TLSWire

class Security(Protocol):
    """How the connections of a listener are secured: see opening.pyx."""

    @property
    def context(self) -> ssl.SSLContext: ...
    def facts(self, wire: TLSWire) -> dict[str, Any] | None: ...

class Peers(Protocol):
    """Some of the clients, by their addresses; None: a Unix socket."""

    def trusts(self, host: str | None) -> bool: ...

class Entrance:
    """What is the same for all clients that come in at one listener: see opening.pyx."""

    fd: int
    builder: EnvironBuilder | ScopeBuilder
    tls: Security | None
    outlet: int
    owners: int
    http2: ProtocolMaker | None
    cleartext: Peers | None
    gateways: Peers | None
    def __init__(
        self,
        fd: int,
        builder: EnvironBuilder | ScopeBuilder,
        tls: Security | None,
        outlet: int = -1,
        owners: int = 0,
        *,
        http2: ProtocolMaker | None = None,
        cleartext: Peers | None = None,
        gateways: Peers | None = None,
    ) -> None: ...
