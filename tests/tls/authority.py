"""Certificates for tests, made by the openssl command, and two ends of a handshake.

Knows: openssl, ssl. Must not know: what is tested with it.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("-newkey", "rsa:2048")
SHORT_RSA = ("-newkey", "rsa:1024")


def openssl(*words: str | Path) -> str:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def need_openssl() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is not installed")


@dataclass(frozen=True)
class Issued:
    certfile: Path
    keyfile: Path

    @property
    def pem(self) -> str:
        return self.certfile.read_text()

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.pem)

    @property
    def key(self) -> str:
        return self.keyfile.read_text()

    def both(self) -> str:
        return self.pem + self.key


class Authority:
    """Signs certificates for a test."""

    def __init__(self, directory: Path, name: str = "Test Authority", extensions: Sequence[str] = ()) -> None:
        self.directory = directory
        self._count = 0
        self.certfile, self.keyfile = directory / "ca.pem", directory / "ca.key"
        openssl(
            *("req", "-x509", *EC, "-nodes", "-days", "3650", "-subj", f"/O=Tricorn/CN={name}"),
            *("-keyout", self.keyfile, "-out", self.certfile),
            *(word for extension in extensions for word in ("-addext", extension)),
        )

    def issue(
        self,
        *names: str,
        subject: str = "",
        key: Sequence[str] = EC,
        extensions: Sequence[str] = (),
        days: int = 90,
        serial: str = "",
    ) -> Issued:
        """A certificate for these names, in files of their own."""
        self._count += 1
        stem = self.directory / f"issued{self._count}"
        request, extras = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        issued = Issued(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        alternatives = ",".join(name if ":" in name else f"DNS:{name}" for name in names)
        lines = [f"subjectAltName={alternatives}"] if names else []
        extras.write_text("\n".join([*lines, *extensions]))
        openssl(
            *("req", "-new", *key, "-nodes", "-utf8", "-multivalue-rdn"),
            *("-subj", subject or f"/CN={names[0] if names else 'nobody'}"),
            *("-keyout", issued.keyfile, "-out", request),
        )
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certfile, "-CAkey", self.keyfile),
            *("-set_serial", serial) if serial else ("-CAcreateserial",),
            *("-days", str(days), "-extfile", extras, "-out", issued.certfile),
        )
        return issued

    def revoke(self, *revoked: Issued, days: int = 30) -> Path:
        """The list of all that are revoked."""
        base = self.directory / "revoked"
        index, config, listed = (base.with_suffix(suffix) for suffix in (".txt", ".cnf", ".crl"))
        index.write_text("")
        config.write_text(
            f"[ca]\ndefault_ca=here\n[here]\ndatabase={index}\ndefault_md=sha256\n"
            f"certificate={self.certfile}\nprivate_key={self.keyfile}\n"
        )
        for issued in revoked:
            openssl("ca", "-config", config, "-revoke", issued.certfile)
        openssl("ca", "-config", config, "-gencrl", "-crldays", str(days), "-out", listed)
        return listed

    def client(self, certificate: Issued | None = None, **attributes: object) -> ssl.SSLContext:
        """What a client has that trusts this authority."""
        context = ssl.create_default_context(cafile=str(self.certfile))
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        if certificate is not None:
            context.load_cert_chain(certificate.certfile, certificate.keyfile)
        for name, value in attributes.items():
            setattr(context, name, value)
        return context


@dataclass(frozen=True)
class Met:
    """Both ends after a handshake and one byte from the server, with which its tickets come."""

    client: ssl.SSLObject
    server: ssl.SSLObject

    @property
    def shown(self) -> dict[str, object]:
        found = self.client.getpeercert()
        assert found is not None
        return found

    @property
    def name(self) -> str:
        """The common name that the client has seen."""
        return str(dict(pair[0] for pair in self.shown["subject"])["commonName"])  # type: ignore[attr-defined]


def meet(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> Met:
    """A handshake in memory. Raises what either end raises."""
    if name is None:
        client.check_hostname = False
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [near, far]
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    assert not waiting
    far.write(b"!")
    assert near.read(1) == b"!"
    near.write(b"?")
    assert far.read(1) == b"?"
    return Met(near, far)
