"""All certificates of a server: who gets which, what is said of them, what happens when they are renewed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tls.authority import Authority, Issued, meet
from tls.conftest import MakeSettings

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.records import replace
from tricorn.tls.material import read_material
from tricorn.tls.renewal import Renewal, certificates_for
from tricorn.tls.server import ServerTLS


@pytest.fixture
def both(site: Issued, shop: Issued, settings_for: MakeSettings, tmp_path: Path) -> Settings:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/shop.pem").write_text(shop.both())
    return settings_for(site, certificates=("more",))


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("site.test", "site.test"),
        ("www.site.test", "site.test"),
        ("shop.test", "shop.test"),
        ("SHOP.test", "shop.test"),
        ("a.shop.test", "shop.test"),
        ("a.b.shop.test", "site.test"),
        ("other.test", "site.test"),
        (None, "site.test"),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_certificate_for_a_name(
    asked: str | None, shown: str, version: ssl.TLSVersion, both: Settings, authority: Authority
) -> None:
    client = authority.client(maximum_version=version)
    client.check_hostname = False
    assert meet(ServerTLS(both).context, client, asked).name == shown


def test_client_certificates_are_verified_whatever_the_name(both: Settings, authority: Authority) -> None:
    tls = ServerTLS(replace(both, ca_certs=str(authority.certfile), cert_reqs=2))
    ada = authority.issue(subject="/CN=Ada")
    for name in ("site.test", "shop.test"):
        assert meet(tls.context, authority.client(ada), name).server.getpeercert(True) == ada.der
        with pytest.raises(ssl.SSLError):
            meet(tls.context, authority.client(), name)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_comes_back_is_known(
    version: ssl.TLSVersion, both: Settings, authority: Authority
) -> None:
    """Its certificate is in the ticket, whichever certificate of ours it was shown."""
    tls = ServerTLS(replace(both, ca_certs=str(authority.certfile), cert_reqs=2))
    ada = authority.issue(subject="/CN=Ada")
    client = authority.client(ada, maximum_version=version)
    for name in ("site.test", "shop.test"):
        session = meet(tls.context, client, name).client.session
        again = meet(tls.context, client, name, session=session)
        assert again.server.session_reused
        assert again.server.getpeercert(True) == ada.der
        assert session is not None
        assert session.timeout == 7200  # docs/tls.md says so


def test_alpn_whatever_the_name(both: Settings, authority: Authority) -> None:
    tls = ServerTLS(both)
    client = authority.client()
    client.set_alpn_protocols(["http/1.1", "h2"])
    for name in ("site.test", "shop.test"):
        assert meet(tls.context, client, name).server.selected_alpn_protocol() == "h2"


def test_what_was_shown(both: Settings, site: Issued, shop: Issued, authority: Authority) -> None:
    tls = ServerTLS(both)
    for name, issued in (("site.test", site), ("shop.test", shop)):
        met = meet(tls.context, authority.client(), name)
        assert tls.shown_by(met.server.context) == ssl.DER_cert_to_PEM_cert(issued.der)
    assert tls.shown_by(authority.client()) is None


# ------------------------------------------------------------------------------------------ what is said


def remarks(tls: ServerTLS, now: datetime) -> list[tuple[bool, str]]:
    return [(remark.is_warning, remark.text) for remark in tls.remarks(now)]


@pytest.mark.parametrize(
    ("after", "is_warning", "said"),
    [
        (timedelta(days=1), False, "expires on {end}, in 89 days"),
        (timedelta(days=77), True, "expires on {end}, in 13 days"),
        (timedelta(days=88, hours=12), True, "expires on {end}, in 1 day"),
        (timedelta(days=91), True, "expired on {end}: clients will refuse it"),
        (timedelta(days=-1), True, "is not valid before {start}: clients will refuse it"),
    ],
)
def test_the_days_left(
    after: timedelta, is_warning: bool, said: str, site: Issued, settings_for: MakeSettings
) -> None:
    tls = ServerTLS(settings_for(site))
    leaf = tls.material.pairs[0].leaf
    start, end = (f"{when:%Y-%m-%d %H:%M} UTC" for when in (leaf.not_before, leaf.not_after))
    ((warns, text),) = remarks(tls, leaf.not_before + after)
    what = f"Certificate {site.certfile} for site.test, www.site.test "
    assert (warns, text) == (is_warning, what + said.format(start=start, end=end))
    assert bool(list(tls.expiring(leaf.not_before + after))) is is_warning


def test_without_alternative_names(authority: Authority, settings_for: MakeSettings) -> None:
    tls = ServerTLS(settings_for(authority.issue(subject="/CN=old.test")))
    first, second = remarks(tls, tls.material.pairs[0].leaf.not_before)
    assert " for CN=old.test " in first[1]
    assert second == (
        True,
        f"Certificate {tls.settings.certfile} has no subjectAltName: clients will refuse it",
    )


def test_contested_names(
    site: Issued, authority: Authority, settings_for: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "again.pem").write_text(authority.issue("site.test", "x.test").both())
    tls = ServerTLS(settings_for(site, certificates=("again.pem",)))
    said = remarks(tls, tls.material.pairs[0].leaf.not_before)
    assert (True, "Several certificates are for site.test: the first of them is shown") in said


def test_unknown_ciphers_and_an_old_list(
    site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    settings = settings_for(
        site,
        ciphers="HIGH:NOPE",
        ca_certs=str(authority.certfile),
        cert_reqs=2,
        crlfile=str(authority.revoke(days=1)),
    )
    tls = ServerTLS(settings)
    start = tls.material.pairs[0].leaf.not_before
    assert any(text.endswith("does not know NOPE, and leaves it out") for _, text in remarks(tls, start))
    late = remarks(tls, start + timedelta(days=3))
    assert any(
        text.startswith("The revocation list of CN=Test Authority,O=Tricorn expired on ") for _, text in late
    )
    assert not any("revocation" in text for _, text in remarks(tls, start))


# ------------------------------------------------------------------------------------------------ renewal


def renewed(tls: ServerTLS, settings: Settings) -> None:
    tls.use(read_material(settings))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_outlive_a_renewal(
    version: ssl.TLSVersion, site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    tls = ServerTLS(settings_for(site))
    client = authority.client(maximum_version=version)
    before = meet(tls.context, client, "site.test")
    renewed(tls, settings_for(authority.issue("site.test", subject="/CN=newer")))
    assert meet(tls.context, client, "site.test").name == "newer"
    assert before.client.session is not None
    again = meet(tls.context, client, "site.test", session=before.client.session)
    assert again.client.session_reused
    assert again.server.session_reused


def test_a_renewal_that_fails_changes_nothing(
    site: Issued, shop: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    tls = ServerTLS(settings_for(site))
    before = tls.material
    (pair,), (other,) = before.pairs, read_material(settings_for(shop)).pairs
    torn = other.pem.replace(shop.key.encode(), site.key.encode())
    with pytest.raises(ConfigError):
        tls.use(replace(before, pairs=(replace(pair, pem=torn),)))
    assert tls.material is before
    assert meet(tls.context, authority.client(), "site.test").name == "site.test"


def test_a_renewal_in_the_middle_of_handshakes(
    site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    """Threads that greet clients meanwhile see the old one or the new one, never anything between."""
    old, new = settings_for(site), settings_for(authority.issue("site.test", subject="/CN=newer"))
    tls = ServerTLS(old)
    materials = [read_material(settings) for settings in (old, new)]
    seen: list[str] = []

    def greet() -> None:
        for _ in range(40):
            seen.append(meet(tls.context, authority.client(), "site.test").name)  # noqa: PERF401 - also if it fails

    threads = [threading.Thread(target=greet) for _ in range(4)]
    for thread in threads:
        thread.start()
    turn = 0
    while any(thread.is_alive() for thread in threads):
        tls.use(materials[turn % 2])
        turn += 1
    assert len(seen) == 160
    assert set(seen) <= {"site.test", "newer"}


def test_a_new_list_of_the_revoked_is_used(
    site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    ada = authority.issue(subject="/CN=Ada")
    listed = authority.revoke()
    settings = settings_for(site, ca_certs=str(authority.certfile), cert_reqs=2, crlfile=str(listed))
    tls = ServerTLS(settings)
    assert meet(tls.context, authority.client(ada), "site.test").server.getpeercert(True) == ada.der
    authority.revoke(ada)
    renewed(tls, settings)
    with pytest.raises(ssl.SSLError, match="revoked"):
        meet(tls.context, authority.client(ada), "site.test")


# ------------------------------------------------------------------------------------------------- reload


@pytest.fixture
def certificates(both: Settings) -> Iterator[Renewal]:
    made = certificates_for(both, None)
    assert made is not None
    yield made
    made.close()


def test_no_certificate_no_tls(settings_for: MakeSettings, certificates: Renewal) -> None:
    assert certificates_for(settings_for(), None) is None
    assert certificates_for(settings_for(), certificates) is None


def test_a_reload_keeps_the_context(
    certificates: Renewal, both: Settings, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "more/new.pem").write_text(authority.issue("new.test").both())
    context = certificates.tls.context
    assert certificates_for(replace(both, workers=4), certificates) is certificates
    assert certificates.tls.context is context
    assert meet(context, authority.client(), "new.test").name == "new.test"


@pytest.mark.parametrize(
    "change", [{"ciphers": "HIGH"}, {"tls_minimum_version": "1.3"}, {"certificates": ()}]
)
def test_other_settings_are_another_context(
    change: dict[str, object], certificates: Renewal, both: Settings
) -> None:
    other = certificates_for(replace(both, **change), certificates)  # type: ignore[arg-type]
    assert other is not None
    assert other.tls.context is not certificates.tls.context
    other.close()


def test_a_reload_that_fails_changes_nothing(
    certificates: Renewal, both: Settings, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "more/shop.pem").write_text("PRIVATE KEY-----")
    with pytest.raises(ConfigError):
        certificates_for(both, certificates)
    assert meet(certificates.tls.context, authority.client(), "shop.test").name == "shop.test"


def with_own_choice(_: Settings, default: object) -> ssl.SSLContext:
    context: ssl.SSLContext = default()  # type: ignore[operator]
    context.sni_callback = lambda connection, name, first: None  # noqa: ARG005
    return context


def test_a_hook_that_chooses_by_itself(site: Issued, settings_for: MakeSettings) -> None:
    settings = settings_for(site, ssl_context=with_own_choice)
    tls = ServerTLS(settings)
    assert not tls.is_renewable
    assert any(
        "need a reload" in remark.text for remark in tls.remarks(tls.material.pairs[0].leaf.not_before)
    )
    certificates = Renewal(settings)
    other = certificates_for(settings, certificates)
    assert other is not None
    assert other is not certificates
    for each in (certificates, other):
        each.close()


def test_a_hook_that_chooses_by_itself_among_several(both: Settings) -> None:
    with pytest.raises(ConfigError, match="ssl_context: the context has an sni_callback"):
        ServerTLS(replace(both, ssl_context=with_own_choice))


def test_a_hook_that_gives_what_it_gave_before(
    site: Issued, authority: Authority, settings_for: MakeSettings
) -> None:
    """Our own choice, which is still in it, is no choice of the hook's."""
    kept: list[ssl.SSLContext] = []

    def hook(_: Settings, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        kept.append(default()) if not kept else None
        return kept[0]

    settings = settings_for(site, ssl_context=hook)
    first, second = ServerTLS(settings), ServerTLS(settings)
    assert first.context is second.context
    assert second.is_renewable
    assert meet(second.context, authority.client(), "site.test").name == "site.test"
