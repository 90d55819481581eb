"""How the connections of a worker are secured: from certificates to what an entrance of the transport has.

Knows: the certificates, what each interface tells its applications of TLS. Must not know: how a handshake is
done.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tricorn.handover import Assignment
from tricorn.tls.client import cipher_suites, client_variables, tls_extension
from tricorn.tls.renewal import Renewal
from tricorn.tls.server import ServerTLS
from tricorn.transport.tls import TLSWire

#: What applications are told of a connection; None: nothing.
Facts = Callable[[ServerTLS, TLSWire], dict[str, Any] | None]


class Secured:
    """What the transport wants of a listener with TLS (transport/opening.pyi)."""

    def __init__(self, certificates: Renewal, facts: Facts) -> None:
        self.certificates = certificates
        self._facts = facts

    @property
    def context(self) -> ssl.SSLContext:
        return self.certificates.tls.context

    def facts(self, wire: TLSWire) -> dict[str, Any] | None:
        return self._facts(self.certificates.tls, wire)


def securities(assignment: Assignment, facts: Facts) -> list[Secured | None]:
    """For each listener, in their order; None: it is plain."""
    certificates = assignment.certificates
    if certificates is None:
        return [None for _ in assignment.listeners]
    secured = Secured(certificates, facts)
    return [secured if is_tls else None for is_tls in assignment.tls_listeners]


def variables(_: ServerTLS, wire: TLSWire) -> dict[str, Any] | None:
    """For an environ: what mod_ssl says of the client's certificate, where one was asked for."""
    if wire.context.verify_mode is ssl.VerifyMode.CERT_NONE:
        return None
    return dict(client_variables(wire.peer_certificate, datetime.now(UTC)))


def extension(tls: ServerTLS, wire: TLSWire) -> dict[str, Any] | None:
    """For a scope: the value of its extension `tls`."""
    cipher = wire.cipher
    return tls_extension(
        tls.shown_by(wire.context),
        wire.peer_chain(),
        wire.version,
        None if cipher is None else cipher_suites(wire.context).get(cipher[0]),
    )
