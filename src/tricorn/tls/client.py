"""What an application may know of a TLS connection and of its client's certificate.

Knows: the names and forms of Apache's mod_ssl, the ASGI extension `tls` (version 0.2). Must not know:
sockets, how applications get it. Functions from values to values.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from tricorn.tls.certificate import Certificate, DistinguishedName, read_certificate
from tricorn.tls.der import DERError
from tricorn.tls.distinguished import OPENSSL, RFC_4514, attributes_of, text_of

#: The parts of a distinguished name that have a variable of their own: SSL_CLIENT_S_DN_CN.
PARTS: Mapping[str, str] = {
    "2.5.4.6": "C",
    "2.5.4.8": "ST",
    "2.5.4.7": "L",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.3": "CN",
    "2.5.4.12": "T",
    "2.5.4.43": "I",
    "2.5.4.42": "G",
    "2.5.4.4": "S",
    "2.5.4.13": "D",
    "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "Email",
}

#: Algorithms as OpenSSL calls them. What is not here is shown as its number.
ALGORITHMS: Mapping[str, str] = {
    "1.2.840.113549.1.1.1": "rsaEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.10045.2.1": "id-ecPublicKey",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448",
}

#: `SSLObject.version()` → the number on the wire (RFC 8446 §4.2.1).
VERSIONS: Mapping[str, int] = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


# --------------------------------------------------------------------------------------------- WSGI


def client_variables(peer: bytes | None, now: datetime) -> dict[str, str]:
    """mod_ssl's variables of a client certificate. peer: what `getpeercert(True)` gives; the handshake has
    verified it, else there would be no connection. Text is as PEP 3333 wants it, UTF-8 read as Latin-1.

    OpenSSL takes certificates that our strict reader does not: of such a one there are no names, only itself.
    """
    if peer is None:
        return {"SSL_CLIENT_VERIFY": "NONE"}
    known = {"SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(peer)}
    with suppress(DERError):
        known |= {
            name: value.encode().decode("latin-1") for name, value in _variables(read_certificate(peer), now)
        }
    return known


def _variables(certificate: Certificate, now: datetime) -> Iterator[tuple[str, str]]:
    serial = serial_text(certificate.serial)
    yield "SSL_CLIENT_M_VERSION", str(certificate.version)
    yield "SSL_CLIENT_M_SERIAL", serial
    yield "SSL_CLIENT_SERIAL", serial  # as nginx calls it, where it is handed on
    yield "SSL_CLIENT_S_DN", text_of(certificate.subject, OPENSSL)
    yield from _parts("SSL_CLIENT_S_DN", certificate.subject)
    yield from _numbered("SSL_CLIENT_SAN_Email", certificate.emails)
    yield from _numbered("SSL_CLIENT_SAN_DNS", certificate.dns)
    yield "SSL_CLIENT_I_DN", text_of(certificate.issuer, OPENSSL)
    yield from _parts("SSL_CLIENT_I_DN", certificate.issuer)
    yield "SSL_CLIENT_V_START", time_text(certificate.not_before)
    yield "SSL_CLIENT_V_END", time_text(certificate.not_after)
    yield "SSL_CLIENT_V_REMAIN", str(max(0, certificate.days_left(now)))
    yield "SSL_CLIENT_A_SIG", algorithm_text(certificate.signature_algorithm)
    yield "SSL_CLIENT_A_KEY", algorithm_text(certificate.key_algorithm)


def _parts(prefix: str, name: DistinguishedName) -> Iterator[tuple[str, str]]:
    """The first of its kind has no number, the second has 1."""
    seen: dict[str, int] = {}
    for kind, value in attributes_of(name):
        if (part := PARTS.get(kind)) is not None:
            count = seen[part] = seen.get(part, -1) + 1
            yield (f"{prefix}_{part}_{count}" if count else f"{prefix}_{part}"), value


def _numbered(prefix: str, values: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((f"{prefix}_{number}", value) for number, value in enumerate(values))


def serial_text(serial: bytes) -> str:
    """Two hexadecimal digits for each byte: what `openssl x509 -serial` shows."""
    number = int.from_bytes(serial, "big", signed=True)
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + ("0" if len(digits) % 2 else "") + digits


def time_text(instant: datetime) -> str:
    """OpenSSL's form, in English whatever the locale: "Aug  5 16:49:24 2026 GMT"."""
    return f"{_MONTHS[instant.month - 1]} {instant.day:2} {instant:%H:%M:%S} {instant.year} GMT"


def algorithm_text(number: str) -> str:
    return ALGORITHMS.get(number, number)


# --------------------------------------------------------------------------------------------- ASGI


def tls_extension(
    server_cert: str | None, client_chain: Iterable[bytes], version: str | None, cipher_suite: int | None
) -> dict[str, Any]:
    """The value of `scope["extensions"]["tls"]`.

    server_cert: PEM. client_chain: DER, the client's own certificate first; empty if it sent none. version:
    what `SSLObject.version()` says. cipher_suite: see `cipher_suites`.
    """
    chain = list(client_chain)
    return {
        "server_cert": server_cert,
        # A tuple: all requests of a connection are told by the same objects.
        "client_cert_chain": tuple(ssl.DER_cert_to_PEM_cert(certificate) for certificate in chain),
        "client_cert_name": _maybe_name(chain[0]) if chain else None,
        # OpenSSL ends the handshake if it does not accept a certificate, so there is never an error to show.
        "client_cert_error": None,
        "tls_version": VERSIONS.get(version or ""),
        "cipher_suite": cipher_suite,
    }


def _maybe_name(certificate: bytes) -> str | None:
    try:
        return text_of(read_certificate(certificate).subject, RFC_4514)
    except DERError:  # see client_variables
        return None


def cipher_suites(context: ssl.SSLContext) -> dict[str, int]:
    """The name that `SSLObject.cipher()` gives → the number on the wire. OpenSSL puts a 3 in front of those
    of TLS, to tell them from those of SSL 2."""
    return {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
