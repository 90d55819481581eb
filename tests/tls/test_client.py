"""What applications are told, beside what OpenSSL says of the same certificates."""

from __future__ import annotations

import locale
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from tls.authority import RSA, Authority, Issued, meet, openssl
from tls.conftest import MakeSettings

from tricorn.tls.certificate import read_certificate
from tricorn.tls.client import (
    VERSIONS,
    cipher_suites,
    client_variables,
    serial_text,
    time_text,
    tls_extension,
)
from tricorn.tls.server import ServerTLS

SUBJECT = "/C=GB/O=Engines, Ltd/OU=Wheels/OU=Cogs/OU=Cards/CN=Zoë/emailAddress=zoe@a.test/UID=z1"


@pytest.fixture(scope="module")
def zoe(authority: Authority) -> Issued:
    return authority.issue(
        *("a.test", "b.test", "email:zoe@a.test", "IP:192.0.2.1"), subject=SUBJECT, key=RSA, serial="0x0a1b"
    )


def shown(issued: Issued, *options: str) -> str:
    return openssl("x509", "-in", issued.certfile, "-noout", *options).strip().partition("=")[2]


def unpacked(text: str) -> str:
    """What an application does that wants the characters (PEP 3333)."""
    return text.encode("latin-1").decode()


@pytest.fixture(scope="module")
def variables(zoe: Issued) -> dict[str, str]:
    return client_variables(zoe.der, datetime.now(UTC))


def test_without_a_certificate() -> None:
    assert client_variables(None, datetime.now(UTC)) == {"SSL_CLIENT_VERIFY": "NONE"}


def test_names(variables: dict[str, str], zoe: Issued) -> None:
    form = ("-nameopt", "RFC2253,-esc_msb")
    assert unpacked(variables["SSL_CLIENT_S_DN"]) == shown(zoe, "-subject", *form)
    assert unpacked(variables["SSL_CLIENT_S_DN"]).startswith(
        "UID=z1,emailAddress=zoe@a.test,CN=Zoë,OU=Cards,"
    )
    assert variables["SSL_CLIENT_I_DN"] == shown(zoe, "-issuer", *form) == "CN=Test Authority,O=Tricorn"


def test_parts_of_names(variables: dict[str, str]) -> None:
    """mod_ssl counts from the second on, in the order of the certificate."""
    parts = {name: unpacked(text) for name, text in variables.items() if "_S_DN_" in name}
    assert parts == {
        "SSL_CLIENT_S_DN_C": "GB",
        "SSL_CLIENT_S_DN_O": "Engines, Ltd",
        "SSL_CLIENT_S_DN_OU": "Wheels",
        "SSL_CLIENT_S_DN_OU_1": "Cogs",
        "SSL_CLIENT_S_DN_OU_2": "Cards",
        "SSL_CLIENT_S_DN_CN": "Zoë",
        "SSL_CLIENT_S_DN_Email": "zoe@a.test",
        "SSL_CLIENT_S_DN_UID": "z1",
    }
    assert variables["SSL_CLIENT_I_DN_CN"] == "Test Authority"


def test_alternative_names(variables: dict[str, str]) -> None:
    assert {name: text for name, text in variables.items() if "_SAN_" in name} == {
        "SSL_CLIENT_SAN_Email_0": "zoe@a.test",
        "SSL_CLIENT_SAN_DNS_0": "a.test",
        "SSL_CLIENT_SAN_DNS_1": "b.test",
    }


def test_the_rest(variables: dict[str, str], zoe: Issued) -> None:
    assert variables["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert variables["SSL_CLIENT_M_SERIAL"] == variables["SSL_CLIENT_SERIAL"] == "0A1B"
    assert variables["SSL_CLIENT_M_SERIAL"] == shown(zoe, "-serial")
    assert variables["SSL_CLIENT_M_VERSION"] == "3"
    assert variables["SSL_CLIENT_V_START"] == shown(zoe, "-startdate")
    assert variables["SSL_CLIENT_V_END"] == shown(zoe, "-enddate")
    assert variables["SSL_CLIENT_CERT"] == zoe.pem
    text = openssl("x509", "-in", zoe.certfile, "-noout", "-text")
    assert f"Signature Algorithm: {variables['SSL_CLIENT_A_SIG']}\n" in text
    assert f"Public Key Algorithm: {variables['SSL_CLIENT_A_KEY']}\n" in text
    assert variables["SSL_CLIENT_A_KEY"] == "rsaEncryption"


def test_days_remain(zoe: Issued) -> None:
    end = read_certificate(zoe.der).not_after
    for before, days in (
        (timedelta(days=3, hours=1), "3"),
        (timedelta(hours=1), "0"),
        (timedelta(days=-9), "0"),
    ):
        assert client_variables(zoe.der, end - before)["SSL_CLIENT_V_REMAIN"] == days


def test_all_text_is_latin_1(variables: dict[str, str]) -> None:
    for text in variables.values():
        text.encode("latin-1")
    assert variables["SSL_CLIENT_S_DN_CN"] == "Zoë".encode().decode("latin-1")


def test_a_control_character_stays_one_line(authority: Authority) -> None:
    """An application may write it into a header or a log."""
    variables = client_variables(authority.issue(subject="/CN=two\nlines").der, datetime.now(UTC))
    assert variables["SSL_CLIENT_S_DN_CN"] == r"two\0Alines"
    assert variables["SSL_CLIENT_S_DN"] == r"CN=two\0Alines"


def test_a_certificate_that_cannot_be_read(zoe: Issued) -> None:
    """It has been verified, so the request is served, without names."""
    strange = zoe.der.replace(b"zoe@a.test", b"zo\xeb@a.test")
    assert client_variables(strange, datetime.now(UTC)) == {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(strange),
    }
    extension = tls_extension(None, [strange], None, None)
    assert (extension["client_cert_name"], len(extension["client_cert_chain"])) == (None, 1)


def test_days_have_two_places() -> None:
    assert time_text(datetime(2026, 8, 5, 6, 49, 24, tzinfo=UTC)) == "Aug  5 06:49:24 2026 GMT"


def test_names_in_the_extension_are_those_of_rfc_4514(authority: Authority) -> None:
    issued = authority.issue(subject="/SN=Byron/CN=Ada")
    assert tls_extension(None, [issued.der], None, None)["client_cert_name"] == "CN=Ada,sn=Byron"
    assert client_variables(issued.der, datetime.now(UTC))["SSL_CLIENT_S_DN"] == "CN=Ada,SN=Byron"


def test_times_do_not_depend_on_the_locale(zoe: Issued) -> None:
    before = locale.setlocale(locale.LC_TIME)
    for other in ("de_DE.UTF-8", "fr_FR.UTF-8"):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_TIME, other)
    try:
        variables = client_variables(zoe.der, datetime.now(UTC))
        assert variables["SSL_CLIENT_V_END"] == shown(zoe, "-enddate")
    finally:
        locale.setlocale(locale.LC_TIME, before)


@pytest.mark.parametrize(
    ("serial", "text"),
    [
        ("01", "01"),
        ("00", "00"),
        ("0080", "80"),
        ("00ff01", "FF01"),
        ("ff", "-01"),
        ("8000", "-8000"),
        ("", "00"),
    ],
)
def test_serial_numbers(serial: str, text: str) -> None:
    assert serial_text(bytes.fromhex(serial)) == text


# --------------------------------------------------------------------------------------------------- ASGI


@pytest.mark.parametrize(
    ("version", "number"), [(ssl.TLSVersion.TLSv1_2, 0x0303), (ssl.TLSVersion.TLSv1_3, 0x0304)]
)
def test_the_extension(
    version: ssl.TLSVersion,
    number: int,
    site: Issued,
    zoe: Issued,
    authority: Authority,
    settings_for: MakeSettings,
) -> None:
    tls = ServerTLS(settings_for(site, ca_certs=str(authority.certfile), cert_reqs=2))
    met = meet(tls.context, authority.client(zoe, maximum_version=version), "site.test")
    peer, cipher = met.server.getpeercert(True), met.server.cipher()
    assert peer is not None
    assert cipher is not None
    extension = tls_extension(
        tls.shown_by(met.server.context),
        [peer],
        met.server.version(),
        cipher_suites(met.server.context).get(cipher[0]),
    )
    assert extension == {
        "server_cert": site.pem,
        "client_cert_chain": (zoe.pem,),
        "client_cert_name": "UID=z1,emailAddress=zoe@a.test,CN=Zoë,OU=Cards,OU=Cogs,OU=Wheels,"
        r"O=Engines\, Ltd,C=GB",
        "client_cert_error": None,
        "tls_version": number,
        "cipher_suite": {"TLSv1.3": 0x1302, "TLSv1.2": 0xC02C}[cipher[1]],
    }


def test_the_extension_without_a_client_certificate() -> None:
    assert tls_extension(None, [], None, None) == {
        "server_cert": None,
        "client_cert_chain": (),
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": None,
        "cipher_suite": None,
    }


def test_cipher_suites() -> None:
    """By the names and numbers of RFC 8446 §B.4 and RFC 5289 §3."""
    suites = cipher_suites(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert suites["TLS_AES_128_GCM_SHA256"] == 0x1301
    assert suites["ECDHE-RSA-AES128-GCM-SHA256"] == 0xC02F
    assert all(0 < number < 1 << 16 for number in suites.values())


def test_every_version_has_its_number() -> None:
    assert [VERSIONS[name] for name in ("TLSv1.2", "TLSv1.3")] == [0x0303, 0x0304]
