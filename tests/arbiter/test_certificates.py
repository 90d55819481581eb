"""The master makes what TLS needs before it forks, and keeps it up to date."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from arbiter.service import Service
from tls.authority import Authority, Issued, need_openssl


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    need_openssl()
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def issued(authority: Authority) -> list[Issued]:
    return [authority.issue("old.test"), authority.issue("new.test")]


@pytest.fixture
def pem(tmp_path: Path, issued: list[Issued]) -> Path:
    path = tmp_path / "site.pem"
    path.write_text(issued[0].both())
    return path


def shows(service: Service) -> list[list[str]]:
    """The last word of each living worker: its context, and the names that it shows."""
    last = {event[0]: event[1:] for event in service.events("shows")}
    return [last[str(pid)] for pid in service.ready()]


def test_without_certificates(service: Service) -> None:
    service.start()
    assert shows(service) == [[], []]
    assert "Certificate" not in service.log()


def test_the_log_names_certificates_and_schemes(service: Service, pem: Path) -> None:
    service.start(certfile=str(pem), bind=["127.0.0.1:0", "http://127.0.0.2:0", f"unix:{pem.parent}/sock"])
    log = service.log()
    assert re.search(r"INFO Listening at https://127.0.0.1:[1-9]\d* \(h2, http/1.1\)\n", log)
    assert re.search(r"INFO Listening at http://127.0.0.2:[1-9]\d*\n", log)
    assert f"INFO Listening at unix:{pem.parent}/sock\n" in log
    assert re.search(rf"INFO Certificate {pem} for old.test expires on \S+ \S+ UTC, in 89 days\n", log)
    assert {tuple(event[1:]) for event in service.events("tls")} == {("1", "0", "0")}


@pytest.mark.parametrize(
    ("values", "tls", "plain"),
    [
        ({"http_protocols": ("h1",)}, "", ""),
        ({"http_protocols": ("h1", "h2")}, " (http/1.1, h2)", ""),
        ({"http2_cleartext": "anyone"}, " (h2, http/1.1)", " (http/1.1, h2c)"),
    ],
)
def test_the_log_names_the_protocols(
    service: Service, pem: Path, values: dict[str, object], tls: str, plain: str
) -> None:
    service.start(certfile=str(pem), bind=["127.0.0.1:0", "http://127.0.0.2:0"], **values)
    found = dict(re.findall(r"Listening at (https?)://[\d.]+:\d+(.*)", service.log()))
    assert found == {"https": tls, "http": plain}


def test_a_certificate_that_nobody_gets(service: Service, pem: Path) -> None:
    service.start(certfile=str(pem), bind=["http://127.0.0.1:0"])
    assert "WARNING certfile has no effect, because no bind is for TLS" in service.log()


def test_all_workers_have_one_context(service: Service, pem: Path) -> None:
    service.start(certfile=str(pem), workers=3)
    first, *others = shows(service)
    assert first[1:] == ["old.test"]
    assert others == [first, first]


def test_a_mistake_ends_the_start(service: Service, pem: Path) -> None:
    pem.write_text("hello")
    service.start(ready=0, certfile=str(pem))
    assert service.exit_code() == 2
    assert f"certfile: {pem} is not a PEM file" in service.log()
    assert "Listening" not in service.log()


def test_a_renewal_needs_no_reload(service: Service, pem: Path, issued: list[Issued]) -> None:
    service.start(certfile=str(pem))
    before, workers = shows(service), service.workers()
    fresh = pem.with_suffix(".new")
    fresh.write_text(issued[1].both())
    fresh.rename(pem)
    service.wait(lambda: [found[1:] for found in shows(service)] == [["new.test"]] * 2)
    assert [found[0] for found in shows(service)] == [found[0] for found in before]
    assert service.workers() == workers
    assert f"INFO Certificate {pem} is new: for new.test, until " in service.log()


@pytest.mark.parametrize("preload", [False, True], ids=["forked", "preloaded"])
def test_a_worker_that_comes_later_has_the_new_one(
    service: Service, pem: Path, issued: list[Issued], preload: bool
) -> None:
    """Also one that is forked by a mold, which has the old one."""
    service.start(certfile=str(pem), workers=1, preload_app=preload)
    pem.write_text(issued[1].both())
    service.wait(lambda: shows(service)[0][1:] == ["new.test"])
    service.signal(signal.SIGTTIN)
    service.wait(lambda: len(service.ready()) == 2)
    service.wait(lambda: [found[1:] for found in shows(service)] == [["new.test"]] * 2)
    assert len(service.events("shows")) == 3  # the second had nothing to take


def test_a_bad_file_is_one_error(service: Service, pem: Path, issued: list[Issued]) -> None:
    service.start(certfile=str(pem))
    pem.write_text(issued[1].pem + issued[0].key)
    service.wait_for_log(
        "ERROR A certificate was not renewed, the old one stays in use: certfile: the key in "
    )
    pem.write_text(issued[1].both())
    service.wait(lambda: [found[1:] for found in shows(service)] == [["new.test"]] * 2)
    assert service.log().count("ERROR") == 1


def test_a_reload_keeps_the_context(service: Service, pem: Path, issued: list[Issued]) -> None:
    service.start(certfile=str(pem), workers=1)
    (before,) = shows(service)
    service.settings(certfile=str(pem), workers=2)
    pem.write_text(issued[1].both())
    service.signal(signal.SIGHUP)
    service.wait_for_log("Reload done")
    service.wait(lambda: shows(service) == [[before[0], "new.test"]] * 2)
    assert f"INFO Certificate {pem} for new.test expires on " in service.log()


def test_a_reload_may_turn_it_on_and_off(service: Service, pem: Path) -> None:
    """The listening socket stays the same."""
    service.start(workers=1)
    for number, (values, expected) in enumerate([({"certfile": str(pem)}, ["1"]), ({}, ["0"])], start=1):
        service.settings(workers=1, **values)
        service.signal(signal.SIGHUP)
        service.wait(lambda number=number: service.log().count("Reload done") == number)
        assert service.events("tls")[-1][1:] == expected
    assert service.log().count("Listening at") == 1


def test_a_reload_with_a_mistake_changes_nothing(service: Service, pem: Path) -> None:
    service.start(certfile=str(pem))
    before = shows(service)
    pem.write_text("hello")
    service.signal(signal.SIGHUP)
    service.wait_for_log(f"Reload failed; nothing has changed: certfile: {pem} is not a PEM file")
    assert shows(service) == before


def test_a_stop_does_not_wait_for_the_hook(service: Service, pem: Path) -> None:
    service.mood(hook="hang")
    service.start(ready=0, certfile=str(pem), ssl_context="__main__:context")
    service.wait(lambda: service.events("hook"))
    service.signal(signal.SIGTERM)
    assert service.exit_code() == 0


def test_nor_in_a_reload(service: Service, pem: Path) -> None:
    service.start(certfile=str(pem), ssl_context="__main__:context")
    service.mood(hook="hang")
    service.settings(certfile=str(pem), ssl_context="__main__:context", ciphers="HIGH")
    service.signal(signal.SIGHUP)
    service.wait(lambda: len(service.events("hook")) == 2)
    service.signal(signal.SIGTERM)
    assert service.exit_code() == 0
    assert "Reload abandoned" in service.log()


def test_nor_in_a_renewal(service: Service, pem: Path, issued: list[Issued]) -> None:
    service.start(certfile=str(pem), ssl_context="__main__:context")
    service.mood(hook="hang")
    pem.write_text(issued[1].both())
    service.wait(lambda: len(service.events("hook")) == 2)
    service.signal(signal.SIGTERM)
    assert service.exit_code() == 0
