"""Contexts as the settings ask for them, and Gunicorn's hook."""

from __future__ import annotations

import ssl
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from tls.authority import Authority, Issued, meet
from tls.conftest import MakeSettings

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.records import replace
from tricorn.tls.context import ContextMaker, unknown_ciphers
from tricorn.tls.material import read_material

Factory = Callable[[], ssl.SSLContext]


def made(settings: Settings) -> ssl.SSLContext:
    material = read_material(settings)
    return ContextMaker(settings).make(material.pairs[0], material)


def refusal(settings: Settings) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        made(settings)
    assert caught.value.hint or "OpenSSL" in caught.value.message
    return caught.value


def test_defaults(site: Issued, authority: Authority, settings_for: MakeSettings) -> None:
    context = made(settings_for(site))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode == ssl.CERT_NONE
    met = meet(context, authority.client(), "www.site.test")
    assert met.client.version() == "TLSv1.3"
    assert met.client.selected_alpn_protocol() is None


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (["http/1.1", "h2"], "h2"),
        (["h2"], "h2"),
        (["http/1.1"], "http/1.1"),
        (["spdy/3"], None),
    ],
)
def test_alpn(
    offered: list[str], selected: str | None, site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    client = authority.client()
    client.set_alpn_protocols(offered)
    met = meet(made(settings_for(site)), client, "site.test")
    assert met.client.selected_alpn_protocol() == met.server.selected_alpn_protocol() == selected


def test_protocols_in_the_order_of_the_settings(
    site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    client = authority.client()
    client.set_alpn_protocols(["http/1.1", "h2"])
    for protocols, selected in {("h2", "h1"): "h2", ("h1", "h2"): "http/1.1", ("h1",): "http/1.1"}.items():
        context = made(settings_for(site, http_protocols=protocols))
        assert meet(context, client, "site.test").server.selected_alpn_protocol() == selected


def test_minimum_version(site: Issued, authority: Authority, settings_for: MakeSettings) -> None:
    client = authority.client(maximum_version=ssl.TLSVersion.TLSv1_2)
    assert meet(made(settings_for(site)), client, "site.test").client.version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        meet(made(settings_for(site, tls_minimum_version="1.3")), client, "site.test")


def test_a_client_of_old_gets_nothing(site: Issued, authority: Authority, settings_for: MakeSettings) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client = authority.client(minimum_version=ssl.TLSVersion.TLSv1_1)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        meet(made(settings_for(site)), client, "site.test")


def of_old(authority: Authority, ciphers: str) -> ssl.SSLContext:
    """A client that knows only these suites of TLS 1.2."""
    client = authority.client(maximum_version=ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(ciphers)
    return client


@pytest.mark.parametrize("ciphers", ["ECDHE+AESGCM", "ECDHE+CHACHA20"])
def test_ciphers_by_default(
    ciphers: str, site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    cipher = meet(made(settings_for(site)), of_old(authority, ciphers), "site.test").server.cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-ECDSA-")


@pytest.mark.parametrize("ciphers", ["ECDHE+AES:!AESGCM:!AESCCM", "ECDHE+AESCCM"])
def test_ciphers_that_are_off_by_default(
    ciphers: str, site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    """CBC above all. Whoever asks for them has them."""
    client = of_old(authority, ciphers)
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher|handshake.failure"):
        meet(made(settings_for(site)), client, "site.test")
    cipher = meet(made(settings_for(site, ciphers=ciphers)), client, "site.test").server.cipher()
    assert cipher is not None
    assert cipher[0] in {each["name"] for each in client.get_ciphers()}


def test_ciphers(site: Issued, authority: Authority, settings_for: MakeSettings) -> None:
    context = made(settings_for(site, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    client = authority.client(maximum_version=ssl.TLSVersion.TLSv1_2)
    cipher = meet(context, client, "site.test").server.cipher()
    assert cipher is not None
    assert cipher[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


@pytest.mark.parametrize(
    ("ciphers", "hint"), [("NOPE", "openssl ciphers -v"), ("TLS_AES_128_GCM_SHA256", "always on")]
)
def test_bad_ciphers(ciphers: str, hint: str, site: Issued, settings_for: MakeSettings) -> None:
    error = refusal(settings_for(site, ciphers=ciphers))
    assert (error.setting, hint in error.hint) == ("ciphers", True)
    assert f"{ciphers!r} leaves no cipher" in error.message


def test_ciphers_that_do_not_go_with_the_key(site: Issued, settings_for: MakeSettings) -> None:
    error = refusal(settings_for(site, ciphers="ALL:@SECLEVEL=5"))
    assert error.setting == "ciphers"
    assert f"OpenSSL does not use {site.certfile} with these settings" in error.message


def test_unknown_ciphers() -> None:
    found = unknown_ciphers("ECDHE+AESGCM:ECHDE+CHACHA20 NOPE:!aNULL:-RC4:@STRENGTH:HIGH")
    assert list(found) == ["ECHDE+CHACHA20", "NOPE"]


# ------------------------------------------------------------------------------------ client certificates


@pytest.fixture(scope="module")
def ada(authority: Authority) -> Issued:
    return authority.issue(subject="/CN=Ada", extensions=["extendedKeyUsage=clientAuth"])


@pytest.fixture(scope="module")
def eve(authority: Authority) -> Issued:
    return authority.issue(subject="/CN=Eve", extensions=["extendedKeyUsage=clientAuth"])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("cert_reqs", "without"), [(1, True), (2, False)])
def test_client_certificates(
    version: ssl.TLSVersion,
    cert_reqs: int,
    without: bool,
    site: Issued,
    ada: Issued,
    authority: Authority,
    settings_for: MakeSettings,
) -> None:
    context = made(settings_for(site, ca_certs=str(authority.certfile), cert_reqs=cert_reqs))
    shown = meet(context, authority.client(ada, maximum_version=version), "site.test").server.getpeercert(
        True
    )
    assert shown == ada.der
    if without:
        assert meet(context, authority.client(), "site.test").server.getpeercert(True) is None
    else:
        with pytest.raises(ssl.SSLError):
            meet(context, authority.client(maximum_version=version), "site.test")


def test_a_certificate_of_another_authority(
    site: Issued, authority: Authority, settings_for: MakeSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "Stranger").issue(subject="/CN=Mallory")
    context = made(settings_for(site, ca_certs=str(authority.certfile), cert_reqs=1))
    with pytest.raises(ssl.SSLError):
        meet(context, authority.client(stranger), "site.test")


def test_revoked(
    site: Issued, ada: Issued, eve: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    listed = authority.revoke(eve)
    context = made(settings_for(site, ca_certs=str(authority.certfile), cert_reqs=2, crlfile=str(listed)))
    assert meet(context, authority.client(ada), "site.test").server.getpeercert(True) == ada.der
    with pytest.raises(ssl.SSLError, match="revoked"):
        meet(context, authority.client(eve), "site.test")


# ----------------------------------------------------------------------------------------------- the hook


def test_a_hook_changes_the_context(site: Issued, authority: Authority, settings_for: MakeSettings) -> None:
    seen: list[Any] = []

    def hook(conf: Settings, default_ssl_context_factory: Factory) -> ssl.SSLContext:
        seen.append(conf)
        context = default_ssl_context_factory()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    settings = settings_for(site, ssl_context=hook)
    context = made(settings)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert meet(context, authority.client(), "site.test").name == "site.test"
    assert (seen[0].certfile, seen[0].keyfile, seen[0].workers) == (settings.certfile, settings.keyfile, 1)


def test_a_hook_of_ones_own_making(site: Issued, authority: Authority, settings_for: MakeSettings) -> None:
    """As Gunicorn's users write it."""

    def hook(conf: Settings, _: Factory) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=conf.ca_certs)
        assert conf.certfile is not None
        context.load_cert_chain(certfile=conf.certfile, keyfile=conf.keyfile)
        context.verify_mode = conf.cert_reqs  # type: ignore[assignment]  # a number there, too
        return context

    settings = settings_for(site, ssl_context=hook, ca_certs=str(authority.certfile), cert_reqs=2)
    context = made(settings)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert made(replace(settings, cert_reqs=0)).verify_mode == ssl.CERT_NONE


def test_a_hook_by_name(site: Issued, settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("site_tls_for_a_test")
    module.make = lambda _, default: default()  # type: ignore[attr-defined]
    module.none = 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert made(settings_for(site, ssl_context="site_tls_for_a_test:make"))
    assert "is not a function" in refusal(settings_for(site, ssl_context="site_tls_for_a_test:none")).message
    missing = refusal(settings_for(site, ssl_context="site_tls_for_a_test:other"))
    assert "'site_tls_for_a_test:other' cannot be imported: AttributeError" in missing.message


def raising(_: Settings, __: Factory) -> ssl.SSLContext:
    raise KeyError("SITE_KEY")


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (raising, "the function raised KeyError: 'SITE_KEY'"),
        (lambda _conf, _default: None, "returned NoneType, not an ssl.SSLContext"),
        (lambda _conf, _default: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "a context for clients"),
    ],
)
def test_bad_hooks(hook: Callable[..., Any], said: str, site: Issued, settings_for: MakeSettings) -> None:
    error = refusal(settings_for(site, ssl_context=hook))
    assert (error.setting, said in error.message) == ("ssl_context", True)
