"""The questions to a server, asked of Tricorn, and of servers that are wrong on purpose."""

import shutil
import threading
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from bench import paths, probe, servers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("taskset", "setpriv"))), reason="needs util-linux"),
]


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LOGS", tmp_path)


@pytest.mark.parametrize("interface", servers.INTERFACES)
def test_tricorn_does_all(interface):
    facts = probe.probe(servers.find(interface, "tricorn"))
    assert list(facts) == [check.name for check in probe.checks_of(interface)]
    assert probe.NO not in facts.values()


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        """Nothing: what it says of each request is of no use here."""


@contextmanager
def wsgiref(app):
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def application(monkeypatch):
    monkeypatch.syspath_prepend(str(paths.APPS))
    import probe_wsgi

    monkeypatch.setattr(probe_wsgi, "closed", [])
    return probe_wsgi.app


def test_an_iterable_that_is_not_closed_is_noticed(application):
    with wsgiref(application) as port:
        assert probe.calls_close(port)
    with wsgiref(lambda environ, start: list(application(environ, start))) as port:
        assert not probe.calls_close(port)


def test_a_variable_that_is_not_a_string_is_named(application):
    def wrong(environ, start):
        return application(environ | {"REMOTE_PORT": 4711}, start)

    with wsgiref(wrong) as port:
        assert probe.only_strings(port) == "REMOTE_PORT: int"


def test_pieces_that_are_collected_are_noticed(application):
    with wsgiref(application) as port:
        assert probe.sends_each_piece(port)
    with wsgiref(lambda environ, start: [b"".join(application(environ, start))]) as port:
        assert not probe.sends_each_piece(port)


def test_a_bare_lf_that_is_taken_is_noticed(application):
    with wsgiref(application) as port:
        assert not probe.refuses_bare_lf(port)


def test_a_server_that_does_not_answer_has_not_done_it(application):
    check = next(check for check in probe.CHECKS if check.name == probe.CLOSE)
    with wsgiref(application) as port:
        closed = port
    assert probe.outcome(check, closed) == probe.NO
