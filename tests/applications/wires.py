"""How the clients of a trial reach a server: plain, or over TLS with a certificate that they all trust.

Knows: certificates, what each client wants to be told of them. Must not know: servers, applications.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from applications.environment import PLACE, ROOT


@dataclass(frozen=True)
class Wire:
    """Plain, if there is no directory with a certificate in it."""

    directory: Path | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.directory else "http"

    @property
    def files(self) -> dict[str, Path]:
        """What stands in a server's options."""
        if self.directory is None:
            return {}
        return {"certificate": self.directory / "localhost.pem", "key": self.directory / "localhost.key"}

    @property
    def context(self) -> ssl.SSLContext | None:
        """Of a client in this process."""
        return ssl.create_default_context(cafile=self._authority) if self.directory else None

    @property
    def environ(self) -> dict[str, str]:
        """Of a client in a process of its own: OpenSSL reads it, and httpx."""
        return {"SSL_CERT_FILE": self._authority} if self.directory else {}

    @property
    def flags(self) -> tuple[str, ...]:
        """Of Chromium, which has no option for an authority: it takes this one key as if it were signed."""
        if self.directory is None:
            return ()
        return (f"--ignore-certificate-errors-spki-list={_pin(self.files['certificate'])}",)

    @property
    def _authority(self) -> str:
        return str(self.directory / "ca.pem") if self.directory else ""

    def wrap(self, raw: socket.socket) -> Any:
        """A client's end of a connected socket. The handshake waits for the first operation."""
        if self.context is None:
            return raw
        return self.context.wrap_socket(raw, server_hostname="127.0.0.1", do_handshake_on_connect=False)


PLAIN = Wire()


def tls(directory: Path = PLACE / "certificates") -> Wire:
    """With the certificate for 127.0.0.1 that is there, or is made there, by an authority of its own."""
    subprocess.run([ROOT / "tools" / "certificate", directory], check=True, stdout=subprocess.DEVNULL)
    return Wire(directory)


def _pin(certificate: Path) -> str:
    """RFC 7469 §2.4: the hash of its key."""
    command = ["openssl", "x509", "-in", certificate, "-noout", "-pubkey"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    key = base64.b64decode("".join(line for line in lines if not line.startswith("-----")))
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
