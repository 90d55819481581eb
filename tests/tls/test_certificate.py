"""What is read of certificates, beside what OpenSSL reads."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tls.authority import RSA, Authority, Issued, openssl

from tricorn.tls.certificate import Certificate, read_certificate, read_revocation_list
from tricorn.tls.client import serial_text, time_text
from tricorn.tls.der import DERError
from tricorn.tls.pem import blocks_of

ALL_NAMES = (
    "a.test",
    "*.b.test",
    "IP:192.0.2.7",
    "IP:2001:db8::1",
    "email:ada@a.test",
    "URI:https://a.test/",
)


@pytest.fixture(scope="module")
def rich(authority: Authority) -> Issued:
    return authority.issue(
        *ALL_NAMES, subject="/C=GB/O=Engines/CN=a.test", key=RSA, extensions=["basicConstraints=CA:FALSE"]
    )


def judged(path: Path) -> dict[str, object]:
    """The interpreter's own reading, which has no public name."""
    found: dict[str, object] = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    return found


def test_names(rich: Issued) -> None:
    certificate = read_certificate(rich.der)
    assert certificate.dns == ("a.test", "*.b.test")
    assert certificate.addresses == ("192.0.2.7", "2001:db8::1")
    assert certificate.emails == ("ada@a.test",)
    assert [name for kind, name in judged(rich.certfile)["subjectAltName"] if kind == "DNS"] == [  # type: ignore[attr-defined]
        *certificate.dns
    ]


def test_times_and_number(rich: Issued) -> None:
    certificate, expected = read_certificate(rich.der), judged(rich.certfile)
    assert time_text(certificate.not_before) == expected["notBefore"]
    assert time_text(certificate.not_after) == expected["notAfter"]
    assert serial_text(certificate.serial) == expected["serialNumber"]
    assert certificate.version == expected["version"] == 3
    assert timedelta(days=89) < certificate.not_after - datetime.now(UTC) <= timedelta(days=90)


def test_algorithms(rich: Issued, site: Issued) -> None:
    # The authority has an elliptic key, the certificate's own is another matter.
    assert read_certificate(rich.der).key_algorithm == "1.2.840.113549.1.1.1"
    assert read_certificate(site.der).key_algorithm == "1.2.840.10045.2.1"
    assert read_certificate(rich.der).signature_algorithm == "1.2.840.10045.4.3.2"


def test_without_extensions(authority: Authority) -> None:
    bare = authority.issue(subject="/CN=bare")
    certificate = read_certificate(bare.der)
    assert (certificate.dns, certificate.emails, certificate.addresses) == ((), (), ())


def test_an_empty_subject(authority: Authority) -> None:
    """RFC 5280 §4.1.2.6 allows it if the other names are critical."""
    issued = authority.issue(subject="/", extensions=["subjectAltName=critical,DNS:a.test"])
    certificate = read_certificate(issued.der)
    assert certificate.subject == ()
    assert certificate.dns == ("a.test",)


@pytest.mark.usefixtures("authority")
def test_version_1(tmp_path: Path) -> None:
    """Without a field for the version."""
    key, request, made = tmp_path / "k", tmp_path / "r", tmp_path / "c"
    openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=old", "-keyout", key, "-out", request
    )
    openssl("x509", "-req", "-in", request, "-signkey", key, "-out", made)
    text = openssl("x509", "-in", made, "-noout", "-text")
    assert f"Version: {read_certificate(ssl.PEM_cert_to_DER_cert(made.read_text())).version} " in text


@pytest.mark.parametrize(("hours", "days"), [(1, 0), (25, 1), (-1, -1), (24 * 90, 90)])
def test_days_left(rich: Issued, hours: int, days: int) -> None:
    certificate = read_certificate(rich.der)
    assert certificate.days_left(certificate.not_after - timedelta(hours=hours)) == days


@given(data=st.data())
def test_a_damaged_certificate_is_read_or_refused(rich: Issued, data: st.DataObject) -> None:
    damaged = bytearray(rich.der)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_certificate(bytes(damaged))
    except DERError:
        return
    assert isinstance(found, Certificate)


def test_every_beginning_of_one_is_refused(rich: Issued) -> None:
    for end in range(len(rich.der)):
        with pytest.raises(DERError):
            read_certificate(rich.der[:end])


def test_revocation_list(authority: Authority, site: Issued) -> None:
    listed = authority.revoke(site, days=7)
    (block,) = blocks_of(listed.read_bytes())
    found = read_revocation_list(block.der)
    assert found.issuer == read_certificate(site.der).issuer
    assert found.next_update is not None
    assert timedelta(days=6) < found.next_update - datetime.now(UTC) <= timedelta(days=7)
