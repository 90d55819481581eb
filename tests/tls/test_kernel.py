"""Whether the kernel encrypts what is sent: what is asked, and what follows from the answer."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from tls.authority import Authority, Issued
from tls.conftest import MakeSettings

from tricorn.config.errors import ConfigError
from tricorn.tls import kernel
from tricorn.tls.context import ContextMaker
from tricorn.tls.material import read_material
from tricorn.tls.server import ServerTLS


def asks(context: ssl.SSLContext) -> bool:
    return bool(context.options & kernel.ENABLE)


def says(tls: ServerTLS) -> bool:
    return any("kernel" in remark.text for remark in tls.remarks(tls.material.pairs[0].leaf.not_before))


def finds(monkeypatch: pytest.MonkeyPatch, is_loaded: bool, obstacle: str | None) -> list[bool]:
    """The list gets a value for each time that it was tried."""
    tried: list[bool] = []

    def obstacle_for(context: ssl.SSLContext) -> str | None:
        tried.append(asks(context))
        return obstacle

    monkeypatch.setattr(kernel, "is_loaded", lambda: is_loaded)
    monkeypatch.setattr(kernel, "obstacle", obstacle_for)
    return tried


@pytest.mark.parametrize(
    ("wish", "is_loaded", "obstacle", "is_used", "is_tried"),
    [
        ("off", True, None, False, False),
        ("auto", False, None, False, False),  # trying would load the module
        ("auto", True, "it was left out", False, True),
        ("auto", True, None, True, True),
        ("on", False, None, True, True),
        ("on", True, None, True, True),
    ],
)
def test_when_it_is_used(
    wish: str,
    is_loaded: bool,
    obstacle: str | None,
    is_used: bool,
    is_tried: bool,
    site: Issued,
    settings_for: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = finds(monkeypatch, is_loaded, obstacle)
    tls = ServerTLS(settings_for(site, kernel_tls=wish))
    assert tried == [True] * is_tried
    assert asks(tls.context) == says(tls) == is_used
    tls.use(tls.material)
    assert tried == [True] * is_tried


def test_it_must_and_cannot(
    site: Issued, settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds(monkeypatch, True, "it was left out")
    with pytest.raises(ConfigError) as caught:
        ServerTLS(settings_for(site, kernel_tls="on"))
    assert caught.value.setting == "kernel_tls"
    assert caught.value.message == "the kernel cannot encrypt what is sent: it was left out"
    assert "modprobe tls" in caught.value.hint


@pytest.mark.parametrize("wish", ["on", "off"])
def test_contexts_of_the_hook(
    wish: str, site: Issued, settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting decides, whatever the context says."""

    def hook(_settings: object, _factory: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(site.certfile, site.keyfile)
        context.options |= kernel.ENABLE if wish == "off" else 0
        return context

    finds(monkeypatch, True, None)
    assert asks(ServerTLS(settings_for(site, kernel_tls=wish, ssl_context=hook)).context) == (wish == "on")


def test_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.write_text("espintcp mptcp tls\n")
    for path, is_loaded in ((there, True), (tmp_path / "nowhere", False)):
        monkeypatch.setattr(kernel, "_LOADED", path)
        assert kernel.is_loaded() == is_loaded
    there.write_text("mptcp\n")
    monkeypatch.setattr(kernel, "_LOADED", there)
    assert not kernel.is_loaded()


def test_it_is_tried(site: Issued, settings_for: MakeSettings) -> None:
    """With what this machine has."""
    material = read_material(settings_for(site))
    obstacle = ContextMaker(settings_for(site)).obstacle(material.pairs[0], material)
    if kernel.is_loaded():
        assert obstacle is None
    else:
        assert obstacle == "the kernel has no TLS: its module `tls` is not loaded, or was not built"


@pytest.mark.skipif(
    not kernel.is_loaded(), reason="the kernel has no TLS at hand: `modprobe tls`, or `make ktls`"
)
def test_a_cipher_that_it_does_not_know(site: Issued) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.certfile, site.keyfile)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-SHA384")
    context.options |= kernel.ENABLE
    obstacle = kernel.obstacle(context)
    assert obstacle is not None
    assert "does not know ECDHE-ECDSA-AES256-SHA384" in obstacle


def test_it_is_tried_although_clients_need_certificates(
    site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    settings = settings_for(site, cert_reqs=2, ca_certs=str(authority.certfile))
    material = read_material(settings)
    obstacle = ContextMaker(settings).obstacle(material.pairs[0], material)
    assert (obstacle is None) == kernel.is_loaded()


def test_an_openssl_that_is_hidden(
    site: Issued, settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "_shows_openssl", lambda: False)
    material = read_material(settings_for(site))
    obstacle = ContextMaker(settings_for(site)).obstacle(material.pairs[0], material)
    assert obstacle == "this Python keeps its OpenSSL to itself"
