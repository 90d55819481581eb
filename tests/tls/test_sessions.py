"""A client may resume at any worker what it began at another: contexts are made before the fork."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tls.authority import Authority, Issued
from tls.conftest import MakeSettings

from tricorn.tls.renewal import Renewal
from tricorn.tls.server import ServerTLS

WORKERS = 4
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Worker:
    """A forked process behind a listening socket of its own. It greets each client, and says whether it came
    back."""

    def __init__(self, tls: ServerTLS, renewal: Renewal) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.pid = os.fork()
        if not self.pid:
            try:
                while True:
                    self._serve(tls, renewal)
            finally:
                os._exit(0)
        self._listener.close()

    def _serve(self, tls: ServerTLS, renewal: Renewal) -> None:
        plain, _ = self._listener.accept()
        renewal.take()
        with plain, tls.context.wrap_socket(plain, server_side=True) as connection:
            connection.sendall(b"resumed" if connection.session_reused else b"initial")
            connection.recv(1)

    def end(self) -> None:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


@pytest.fixture
def pem(site: Issued, tmp_path: Path) -> Path:
    path = tmp_path / "site.pem"
    path.write_text(site.both())
    return path


@pytest.fixture
def renewal(pem: Path, settings_for: MakeSettings) -> Iterator[Renewal]:
    made = Renewal(settings_for(certfile=str(pem)))
    yield made
    made.close()


@pytest.fixture
def tls(renewal: Renewal) -> ServerTLS:
    return renewal.tls


@pytest.fixture
def workers(tls: ServerTLS, renewal: Renewal) -> Iterator[list[Worker]]:
    made = [Worker(tls, renewal) for _ in range(WORKERS)]
    yield made
    for worker in made:
        worker.end()


def visit(
    worker: Worker, client: ssl.SSLContext, session: ssl.SSLSession | None = None, name: str = "site.test"
) -> tuple[str, ssl.SSLSession]:
    """What the worker says, and the session that it gives."""
    with (
        socket.create_connection(worker.address, timeout=10) as plain,
        client.wrap_socket(plain, server_hostname=name, session=session) as connection,
    ):
        said = connection.recv(7).decode()
        assert connection.session_reused is (said == "resumed")
        assert connection.session is not None
        return said, connection.session


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed_at_every_worker(
    version: ssl.TLSVersion, workers: list[Worker], authority: Authority
) -> None:
    client = authority.client(minimum_version=version, maximum_version=version)
    for first in workers:
        said, session = visit(first, client)
        assert said == "initial"
        assert session.has_ticket
        assert [visit(worker, client, session)[0] for worker in workers] == ["resumed"] * WORKERS


@pytest.mark.parametrize("version", VERSIONS)
def test_after_a_renewal_too(
    version: ssl.TLSVersion,
    workers: list[Worker],
    pem: Path,
    renewal: Renewal,
    authority: Authority,
) -> None:
    client = authority.client(minimum_version=version, maximum_version=version)
    _, session = visit(workers[0], client)
    pem.write_text(authority.issue("site.test").both())
    renewal.reload()
    assert visit(workers[1], client)[0] == "initial"
    assert [visit(worker, client, session)[0] for worker in workers] == ["resumed"] * WORKERS


def test_contexts_that_were_made_apart_do_not_share(
    tls: ServerTLS, renewal: Renewal, authority: Authority
) -> None:
    """So the tests above would notice a context that is made after the fork."""
    other = ServerTLS(tls.settings)
    one, two = Worker(tls, renewal), Worker(other, renewal)
    client = authority.client()
    try:
        _, session = visit(one, client)
        assert visit(one, client, session)[0] == "resumed"
        assert visit(two, client, session)[0] == "initial"
    finally:
        one.end()
        two.end()
