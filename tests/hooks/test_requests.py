"""What hooks are given of a request, and what becomes of what they change."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tricorn.config.settings import Settings
from tricorn.hooks.found import HookError, hooks_of
from tricorn.hooks.objects import Server, Worker
from tricorn.hooks.requests import Response, ScopeEnviron, Visitors
from tricorn.scoreboard import Board

ENVIRON = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "c=d",
    "RAW_URI": "/a%20b?c=d",
    "SERVER_PROTOCOL": "HTTP/1.0",
    "wsgi.url_scheme": "https",
    "HTTP_HOST": "example",
    "HTTP_X_ONE": "1",
    "CONTENT_TYPE": "text/plain",
}
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/ä b",
    "raw_path": b"/%C3%A4%20b",
    "query_string": b"c=d",
    "scheme": "https",
    "root_path": "",
    "http_version": "1.0",
    "client": ("192.0.2.1", 77),
    "server": ("example", 443),
    "headers": [(b"host", b"example"), (b"x-one", b"1"), (b"x-one", b"2"), (b"content-type", b"text/plain")],
}


def a_worker() -> Worker:
    settings = Settings()
    return Worker(1, Server(settings, dict), settings, [], Board(1, 1)[0])


def visitors(is_loop: bool, application: Any = None, **hooks: Any) -> Visitors:
    return Visitors(hooks_of(Settings(**hooks)), a_worker(), application, is_loop)


def visit(made: Visitors, source: dict[str, Any], uri: str = "/a%20b?c=d") -> Any:
    return made.visit(("POST", uri, 10, "192.0.2.1", 77), source)


def test_of_an_environ() -> None:
    req = visit(visitors(False), dict(ENVIRON))
    assert (req.method, req.uri, req.path, req.query) == ("POST", "/a%20b?c=d", "/a%20b", "c=d")
    assert (req.version, req.scheme, req.peer_addr) == ((1, 0), "https", ("192.0.2.1", 77))
    assert req.headers == [("HOST", "example"), ("X-ONE", "1"), ("CONTENT-TYPE", "text/plain")]
    req.mine = 5
    assert req.mine == 5


def test_of_a_scope() -> None:
    made = visitors(True)
    req = visit(made, dict(SCOPE))
    assert req.headers == [
        ("HOST", "example"),
        ("X-ONE", "1"),
        ("X-ONE", "2"),
        ("CONTENT-TYPE", "text/plain"),
    ]
    environ = ScopeEnviron(req, SCOPE)
    assert environ["PATH_INFO"] == "/ä b".encode().decode("latin-1")
    assert environ["HTTP_X_ONE"] == "1,2"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"]) == ("192.0.2.1", "443")
    assert environ["asgi.scope"] is SCOPE
    assert environ.get("HTTP_NONE") is None
    assert {"REQUEST_METHOD", "QUERY_STRING", "SERVER_PROTOCOL"} < set(environ)


@pytest.mark.parametrize("uri", ["/a?b?c", "http://example/a?b?c"])
def test_a_target_in_its_forms(uri: str) -> None:
    req = visit(visitors(False), dict(ENVIRON), uri)
    assert (req.path, req.query, req.uri) == ("/a", "b?c", uri)


def test_a_client_without_an_address() -> None:
    req = visitors(False).visit(("GET", "*", 11, None, -1), dict(ENVIRON))
    assert (req.peer_addr, req.path, req.version) == ("", "*", (1, 1))


def test_what_the_application_changes_is_its_own() -> None:
    environ = dict(ENVIRON)
    req = visit(visitors(False), environ)
    environ["HTTP_HOST"] = "changed"
    assert req.headers[0] == ("HOST", "example")


def change(_worker: object, req: Any) -> None:
    req.method = "PUT"
    req.path = "/other%20one"
    req.query = "e"
    req.scheme = "http"
    req.headers.remove(("CONTENT-TYPE", "text/plain"))
    req.headers += [("X-TWO", "2"), ("Cookie", "a=b"), ("Cookie", "c=d")]


def test_what_a_hook_changes_reaches_the_environ() -> None:
    seen: list[dict[str, Any]] = []
    made = visitors(False, lambda environ, _: seen.append(environ), pre_request=change)
    environ = dict(ENVIRON)
    visit(made, environ)._application(environ, None)
    assert seen == [environ]
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (
        "PUT",
        "/other one",
        "e",
    )
    assert environ["wsgi.url_scheme"] == "http"
    assert "CONTENT_TYPE" not in environ
    assert (environ["HTTP_X_TWO"], environ["HTTP_COOKIE"], environ["HTTP_X_ONE"]) == ("2", "a=b; c=d", "1")


def test_what_a_hook_changes_reaches_the_scope() -> None:
    async def application(scope: dict[str, Any], *_: object) -> None:
        seen.append(scope)

    seen: list[dict[str, Any]] = []
    made = visitors(True, application, pre_request=change)
    scope = dict(SCOPE)
    asyncio.run(visit(made, scope)._application(scope, None, None))
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("PUT", "/other one", b"/other%20one")
    assert (scope["query_string"], scope["scheme"]) == (b"e", "http")
    assert scope["headers"] == [
        *((b"host", b"example"), (b"x-one", b"1"), (b"x-one", b"2")),
        *((b"x-two", b"2"), (b"cookie", b"a=b"), (b"cookie", b"c=d")),
    ]


def test_what_a_hook_leaves_alone_stays_as_it_is() -> None:
    def look(_worker: object, req: Any) -> None:
        req.mine = (req.headers, req.path, req.method, req.query, req.scheme)

    environ = dict(ENVIRON)
    visit(visitors(False, lambda *_: None, pre_request=look), environ)._application(environ, None)
    assert environ == ENVIRON


def test_before_raises_with_the_name_of_the_hook() -> None:
    def wrong(_worker: object, _req: object) -> None:
        raise ValueError

    environ = dict(ENVIRON)
    with pytest.raises(HookError, match="the hook pre_request raised ValueError"):
        visit(visitors(False, pre_request=wrong), environ)._application(environ, None)


def test_the_others_raise_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def wrong(*_: object) -> None:
        raise SystemExit("no")

    req = visit(visitors(False, post_request=wrong, after_response=wrong), dict(ENVIRON))
    logger = logging.getLogger("tricorn.error")
    logger.propagate = True
    try:
        req._finish(ENVIRON, "200 OK", [], 0)
        req._afterwards()
    finally:
        logger.propagate = False
    assert [record.getMessage() for record in caplog.records] == [
        "The hook post_request raised (POST /a%20b?c=d)",
        "The hook after_response raised (POST /a%20b?c=d)",
    ]


def test_a_response() -> None:
    req = visit(visitors(True), dict(SCOPE))
    resp = Response(req, "404 Not Found", [(b"content-length", b"5"), (b"x", b"y")], 5)
    assert (resp.status, resp.status_code, resp.sent, resp.response_length) == ("404 Not Found", 404, 5, 5)
    assert resp.headers == [("content-length", "5"), ("x", "y")]
    assert resp.headers_sent
    assert not Response(req, None, None, 0).headers_sent


def test_a_worker_after_its_end_keeps_its_figures() -> None:
    board = Board(1, 1)
    settings = Settings()
    worker = Worker(3, Server(settings, dict), settings, [], board[0])
    board[0].heartbeat_ns = 5_000_000_000
    assert (worker.nr, worker.alive, worker.tmp.last_update()) == (0, True, 5.0)
    assert worker.max_requests - worker.nr > 1 << 60, "no limit"
    worker.bury()
    board[0].clear()
    assert (worker.nr, worker.alive, worker.tmp.last_update(), str(worker)) == (
        0,
        False,
        5.0,
        "<Worker [booting]>",
    )


def test_settings_by_gunicorns_names() -> None:
    cfg = Server(Settings(bind=("127.0.0.1:80", "unix:/run/a"), raw_env=("A=b=c",)), dict).cfg
    assert cfg.bind == ["127.0.0.1:80", "unix:/run/a"]
    assert cfg.address == [("127.0.0.1", 80), "/run/a"]
    assert (cfg.env, cfg.is_ssl, cfg.worker_class_str) == ({"A": "b=c"}, False, "auto")
    assert (cfg.settings["workers"].get(), cfg.settings["timeout"].value) == (1, 30.0)
    assert cfg.daemon is False
    assert Server(Settings(wsgi_app="shop:app"), dict).cfg.proc_name == "shop:app"
    assert Server(Settings(wsgi_app="shop:app", proc_name="shop"), dict).cfg.proc_name == "shop"
    assert "workers" in cfg
    with pytest.raises(AttributeError):
        assert cfg.no_such_setting
