"""Renewed files, in the process that looks at them and in those that it has forked."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tls.authority import Authority, Issued, meet
from tls.conftest import MakeSettings

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.records import replace
from tricorn.tls.material import Material, Pair
from tricorn.tls.renewal import ROOM, Outcome, Renewal, SharedPage, certificates_for, decoded, encoded
from tricorn.tls.server import ServerTLS


class Live:
    """certbot's directory: links in live, files in archive, which are never written twice."""

    def __init__(self, root: Path) -> None:
        self.archive, self.live = root / "archive", root / "live"
        self.archive.mkdir()
        self.live.mkdir()
        self.count = 0

    @property
    def certfile(self) -> Path:
        return self.live / "fullchain.pem"

    @property
    def keyfile(self) -> Path:
        return self.live / "privkey.pem"

    def put(self, certificate: Path | None = None, key: Path | None = None) -> None:
        self.count += 1
        for link, source in ((self.certfile, certificate), (self.keyfile, key)):
            if source is not None:
                target = self.archive / f"{link.stem}{self.count}.pem"
                shutil.copy(source, target)
                fresh = link.with_suffix(".new")
                fresh.symlink_to(target)
                fresh.rename(link)

    def renew(self, issued: Issued) -> None:
        self.put(issued.certfile, issued.keyfile)


@pytest.fixture
def live(tmp_path: Path, site: Issued) -> Live:
    made = Live(tmp_path)
    made.renew(site)
    return made


@pytest.fixture
def newer(authority: Authority) -> Issued:
    return authority.issue("site.test", subject="/CN=newer")


@pytest.fixture
def settings(live: Live, settings_for: MakeSettings) -> Settings:
    return settings_for(certfile=str(live.certfile), keyfile=str(live.keyfile))


@pytest.fixture
def renewal(settings: Settings) -> Iterator[Renewal]:
    made = Renewal(settings)
    yield made
    made.close()


@pytest.fixture
def tls(renewal: Renewal) -> ServerTLS:
    return renewal.tls


@pytest.fixture
def shown(tls: ServerTLS, authority: Authority) -> Callable[[], str]:
    return lambda: meet(tls.context, authority.client(), "site.test").name


Log = pytest.LogCaptureFixture


@pytest.fixture(autouse=True)
def log(caplog: Log) -> Log:
    caplog.set_level(logging.INFO, "tricorn.error")
    return caplog


# ----------------------------------------------------------------------------- in one process


def test_nothing_new(renewal: Renewal) -> None:
    assert [renewal.look() for _ in range(3)] == [None, None, None]


def test_a_renewal(renewal: Renewal, live: Live, newer: Issued, shown: Callable[[], str], log: Log) -> None:
    live.renew(newer)
    assert renewal.look() is None  # it might be half of it
    assert shown() == "site.test"
    outcome = renewal.look()
    assert outcome is not None
    assert not outcome.error
    (line,) = outcome.renewed
    assert line.startswith(f"Certificate {live.certfile} is new: for site.test, until 20")
    assert shown() == "newer"
    assert renewal.look() is None
    assert log.messages == [line]


def test_a_reload_reads_at_once(
    renewal: Renewal, live: Live, newer: Issued, shown: Callable[[], str], log: Log
) -> None:
    live.renew(newer)
    assert certificates_for(renewal.tls.settings, renewal) is renewal
    assert shown() == "newer"
    assert renewal.look() is None
    assert log.messages == []


def test_what_changes_while_it_is_read_is_found_later(
    settings: Settings, live: Live, newer: Issued, authority: Authority
) -> None:
    """Whoever is called in the middle of it can arrange that."""

    def hook(_: Settings, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        live.renew(newer)
        return default()

    renewal = Renewal(replace(settings, ssl_context=hook))
    assert meet(renewal.tls.context, authority.client(), "site.test").name == "site.test"
    assert [bool(renewal.look()) for _ in range(2)] == [False, True]
    assert meet(renewal.tls.context, authority.client(), "site.test").name == "newer"
    renewal.close()


def test_while_it_is_being_written(
    renewal: Renewal, live: Live, newer: Issued, shown: Callable[[], str], log: Log
) -> None:
    """The certificate is there before its key, and a look falls between them."""
    live.put(certificate=newer.certfile)
    assert renewal.look() is None
    live.put(key=newer.keyfile)
    assert renewal.look() is None
    assert renewal.look() is not None
    assert shown() == "newer"
    assert [record.levelname for record in log.records] == ["INFO"]


@pytest.mark.parametrize("damage", ["half", "empty", "missing", "another key"])
def test_a_bad_file_keeps_the_old_pair(
    damage: str,
    renewal: Renewal,
    live: Live,
    newer: Issued,
    shop: Issued,
    shown: Callable[[], str],
    log: Log,
    tmp_path: Path,
) -> None:
    """One error, however often it is looked at; and what comes after it is taken."""
    bad = tmp_path / "bad.pem"
    bad.write_text(newer.pem[: len(newer.pem) // 2] if damage == "half" else "")
    if damage == "missing":
        live.certfile.unlink()
    elif damage == "another key":
        live.put(key=shop.keyfile)
    else:
        live.put(certificate=bad)
    outcomes = [renewal.look() for _ in range(5)]
    assert [bool(outcome) for outcome in outcomes] == [False, True, False, False, False]
    assert outcomes[1] is not None
    assert outcomes[1].error
    (error,) = log.messages
    assert error == f"A certificate was not renewed, the old one stays in use: {outcomes[1].error}"
    assert shown() == "site.test"
    live.renew(newer)
    assert [bool(renewal.look()) for _ in range(3)] == [False, True, False]
    assert shown() == "newer"


def test_a_file_that_is_touched_is_not_new(
    renewal: Renewal, tls: ServerTLS, live: Live, authority: Authority, log: Log
) -> None:
    os.utime(live.certfile, (1, 1))
    assert [renewal.look() for _ in range(3)] == [None, Outcome(), None]
    assert log.messages == []
    assert meet(tls.context, authority.client(), "site.test").server.context is tls.context


def test_a_file_that_is_written_in_place(
    renewal: Renewal, live: Live, newer: Issued, shown: Callable[[], str]
) -> None:
    for link, source in ((live.certfile, newer.certfile), (live.keyfile, newer.keyfile)):
        link.resolve().write_bytes(source.read_bytes())
    assert [bool(renewal.look()) for _ in range(3)] == [False, True, False]
    assert shown() == "newer"


def test_a_directory_gets_and_loses_certificates(
    site: Issued, shop: Issued, settings_for: MakeSettings, authority: Authority, tmp_path: Path, log: Log
) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/site.pem").write_text(site.both())
    renewal = Renewal(settings_for(certificates=("more",)))
    tls = renewal.tls
    (tmp_path / "more/shop.pem").write_text(shop.both())
    assert [bool(renewal.look()) for _ in range(2)] == [False, True]
    assert meet(tls.context, authority.client(), "shop.test").name == "shop.test"
    (tmp_path / "more/shop.pem").unlink()
    assert [bool(renewal.look()) for _ in range(2)] == [False, True]
    assert log.messages[-1] == f"Certificate {tmp_path}/more/shop.pem is no longer there"
    client = authority.client()
    client.check_hostname = False
    assert meet(tls.context, client, "shop.test").name == "site.test"
    renewal.close()


def test_new_revocations_are_news(
    site: Issued, authority: Authority, settings_for: MakeSettings, log: Log
) -> None:
    listed = authority.revoke()
    renewal = Renewal(settings_for(site, ca_certs=str(authority.certfile), cert_reqs=2, crlfile=str(listed)))
    authority.revoke(authority.issue(subject="/CN=Eve"))
    assert [bool(renewal.look()) for _ in range(2)] == [False, True]
    assert log.messages == ["Client certificates are verified by new files"]
    renewal.close()


def test_what_expires_is_said_once_a_day(renewal: Renewal, tls: ServerTLS, log: Log) -> None:
    leaf = tls.material.pairs[0].leaf
    for hours in (0, 1, 23):
        renewal.warn(leaf.not_after - timedelta(days=60, hours=-hours))
    assert log.messages == []
    for hours in (0, 1, 23, 24, 47, 48):
        renewal.warn(leaf.not_after - timedelta(days=3, hours=-hours))
    assert len(log.messages) == 3
    assert all("expires on" in message for message in log.messages)


def test_it_looks_every_five_seconds(
    renewal: Renewal, tls: ServerTLS, live: Live, newer: Issued, shown: Callable[[], str], log: Log
) -> None:
    """Times of a monotonic clock, and the calendar for what is about to expire."""
    start = tls.material.pairs[0].leaf.not_before
    renewal.attend(1000.0, start)
    assert log.messages == []
    live.renew(newer)
    for monotonic in (1000.1, 1004.9, 1005.0, 1009.9):
        renewal.attend(monotonic, start)
        assert shown() == "site.test"
    renewal.attend(1010.0, start)
    assert shown() == "newer"
    assert len(log.messages) == 1
    renewal.attend(2000.0, start + timedelta(days=85))
    assert "expires on" in log.messages[1]


# --------------------------------------------------------------------------------------------- in the workers


class Worker:
    """A forked process that says what it shows when it is asked."""

    def __init__(self, renewal: Renewal, shown: Callable[[], str]) -> None:
        asked, self._ask = os.pipe()
        self._answer, answer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                if not os.geteuid():
                    os.setgroups([])
                    os.setresgid(65534, 65534, 65534)
                    os.setresuid(65534, 65534, 65534)
                while os.read(asked, 1) == b"?":
                    os.write(answer, f"{renewal.take()} {shown()}\n".encode())
            finally:
                os._exit(0)

    def ask(self) -> str:
        os.write(self._ask, b"?")
        return os.read(self._answer, 100).decode().strip()

    def end(self) -> None:
        os.write(self._ask, b".")
        os.waitpid(self.pid, 0)


@pytest.fixture
def workers(renewal: Renewal, tls: ServerTLS, authority: Authority) -> Iterator[list[Worker]]:
    """They are nobody where the test may arrange that, so they cannot read the key."""
    client = authority.client()
    made = [Worker(renewal, lambda: meet(tls.context, client, "site.test").name) for _ in range(3)]
    yield made
    for worker in made:
        worker.end()


def test_workers_take_what_the_master_has_read(
    workers: list[Worker], renewal: Renewal, live: Live, newer: Issued
) -> None:
    os.chmod(newer.keyfile, 0o600)
    assert [worker.ask() for worker in workers] == ["False site.test"] * 3
    live.renew(newer)
    assert [worker.ask() for worker in workers] == ["False site.test"] * 3
    renewal.reload()
    assert [worker.ask() for worker in workers] == ["True newer"] * 3
    assert [worker.ask() for worker in workers] == ["False newer"] * 3


def test_workers_are_not_told_of_mistakes(
    workers: list[Worker], renewal: Renewal, live: Live, shop: Issued
) -> None:
    live.put(key=shop.keyfile)
    assert renewal.look() is None
    outcome = renewal.look()
    assert outcome is not None
    assert outcome.error
    assert [worker.ask() for worker in workers] == ["False site.test"] * 3


def test_workers_take_what_a_reload_has_put_into_use(
    workers: list[Worker], renewal: Renewal, tls: ServerTLS, live: Live, newer: Issued
) -> None:
    live.renew(newer)
    assert certificates_for(tls.settings, renewal) is renewal
    assert [worker.ask() for worker in workers] == ["True newer"] * 3
    assert renewal.look() is None


@pytest.mark.parametrize(
    ("free", "said"),
    [(0, "no file in memory can be made"), (1, "OpenSSL cannot read it: Too many open files")],
)
def test_a_worker_without_descriptors_tries_again(
    renewal: Renewal, live: Live, newer: Issued, shown: Callable[[], str], log: Log, free: int, said: str
) -> None:
    live.renew(newer)
    renewal.reload()
    renewal._taken = b"something older"  # as a worker has it that was forked before
    with no_more_descriptors(free):
        assert [renewal.take() for _ in range(3)] == [False] * 3
    (error,) = log.messages
    assert f"Worker {os.getpid()} keeps the old certificate: certfile: {said}" in error
    assert [renewal.take() for _ in range(2)] == [True, False]
    assert shown() == "newer"


def test_a_master_without_descriptors_tries_again(
    renewal: Renewal, live: Live, newer: Issued, shown: Callable[[], str]
) -> None:
    """The files are in order, so nobody will change them."""
    live.renew(newer)
    with no_more_descriptors():
        assert renewal.look() is None
        outcome = renewal.look()
        assert outcome is not None
        assert "cannot be read: Too many open files" in outcome.error
        assert renewal.look() is None, "nothing is said twice"
    outcome = renewal.look()
    assert outcome is not None
    assert outcome.renewed
    assert shown() == "newer"
    assert renewal.look() is None


@contextmanager
def no_more_descriptors(free: int = 0) -> Iterator[None]:
    """But for so many, 0 or 1."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# ------------------------------------------------------------------------------------------- the shared page


def test_a_page_is_read_as_it_was_written() -> None:
    page = SharedPage()
    assert page.maybe_read() is None
    for text in (b"a" * 100_000, b"b", b"", b"c" * 200_000):
        digest = page.write(text)
        assert page.digest() == digest
        assert page.maybe_read() == text
    page.close()


def test_a_page_that_is_being_written_is_not_read() -> None:
    page = SharedPage()
    page.write(b"old" * 1000)
    digest = page.digest()
    # The writer has come as far as the middle of the text.
    page._memory[40:1540] = b"new" * 500
    assert page.maybe_read() is None
    assert page.digest() == digest
    page._memory[32:40] = b"\xff" * 8  # an absurd length
    assert page.maybe_read() is None
    page.close()


def test_a_page_has_an_end() -> None:
    page = SharedPage()
    page.write(b"kept")
    with pytest.raises(ConfigError, match="certificates: all of them together have more than 16 MiB"):
        page.write(b"x" * ROOM)
    assert page.maybe_read() == b"kept"
    page.close()


def test_material_survives_the_way() -> None:
    pairs = (Pair("a", "b", bytes(range(256))), Pair("ü", "b", b"PEM"))
    for material in (Material(pairs, "pässword", b"\0\xff", b"CRL"), Material(pairs[:1])):
        assert decoded(encoded(material)) == material
