"""Distinguished names as text, beside what OpenSSL writes, and by the examples of RFC 4514 §4."""

from __future__ import annotations

import pytest
from tls.authority import Authority, openssl

from tricorn.tls import der
from tricorn.tls.certificate import Attribute, DistinguishedName, read_certificate
from tricorn.tls.der import Value
from tricorn.tls.distinguished import OPENSSL, RFC_4514, text_of

SUBJECTS = [
    "/C=GB/ST=London/L=Soho/O=Analytical Engines/OU=Wheels/CN=Ada",
    "/O=Engines, Ltd/CN=Ada\\+Byron",
    '/CN=a \\"quoted\\" one; <really> back\\\\slash',
    "/CN=#hash first/O= space first/OU=space last ",
    "/CN= ",
    "/CN=Zoë Müller/O=Łódź/OU=東京",
    "/O=Engines/CN=Ada+UID=1815/OU=x",
    "/DC=test/DC=site/CN=equal = sign",
    "/emailAddress=ada@site.test/SN=Byron/GN=Ada/title=Countess/serialNumber=7/street=St James 12",
    "/CN=tab\there/O=new\nline",
]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_as_openssl_writes_it(subject: str, authority: Authority) -> None:
    issued = authority.issue(subject=subject)
    shown = openssl("x509", "-in", issued.certfile, "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb")
    assert f"subject={text_of(read_certificate(issued.der).subject, OPENSSL)}\n" == shown


def name(*parts: tuple[str, str] | list[tuple[str, str]]) -> DistinguishedName:
    kinds = {short: number for number, short in RFC_4514.items()}
    return tuple(
        tuple(
            Attribute(kinds.get(kind, kind), Value(der.UTF8_STRING, value.encode()))
            for kind, value in ([part] if isinstance(part, tuple) else part)
        )
        for part in parts
    )


NET = (("DC", "net"), ("DC", "example"))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (name(*NET, ("UID", "jsmith")), "UID=jsmith,DC=example,DC=net"),
        (name(*NET, [("CN", "J.  Smith"), ("OU", "Sales")]), "OU=Sales+CN=J.  Smith,DC=example,DC=net"),
        (
            name(*NET, ("CN", 'James "Jim" Smith, III')),
            r"CN=James \"Jim\" Smith\, III,DC=example,DC=net",
        ),
        (name(*NET, ("CN", "Before\rAfter")), r"CN=Before\0DAfter,DC=example,DC=net"),
        (name(("CN", "Lučić")), "CN=Lučić"),
        (name(("CN", "#")), r"CN=\#"),  # OpenSSL forgets this one
        (name(("1.3.6.1.4.1.1466.0", "Hi")), "1.3.6.1.4.1.1466.0=#0C024869"),
        ((), ""),
    ],
)
def test_rfc_4514(found: DistinguishedName, text: str) -> None:
    assert text_of(found, RFC_4514) == text


def test_what_is_no_text_is_shown_encoded() -> None:
    found = ((Attribute("2.5.4.3", Value(der.OCTET_STRING, b"\x01\xff")),),)
    assert text_of(found, RFC_4514) == "CN=#040201FF"
