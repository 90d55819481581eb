"""Each kind of value: what it accepts, from a text and from a file's value, and what it says to the rest."""

from __future__ import annotations

import grp
import pwd
import ssl
from typing import Any

import pytest

from tricorn.config.errors import BadValueError
from tricorn.config.settings import SETTINGS

ACCEPTED: list[tuple[str, object, object]] = [
    ("workers", "4", 4),
    ("workers", " 4 ", 4),
    ("workers", 4, 4),
    ("workers", 4.0, 4),
    ("limit_request_body", "10m", 10 * 1024 * 1024),
    ("limit_request_body", "64K", 65536),
    ("limit_request_body", "1g", 1 << 30),
    ("limit_request_body", 0, 0),
    ("timeout", "0.5", 0.5),
    ("timeout", 30, 30.0),
    ("timeout", "30.", 30.0),
    ("request_timeout", "", None),
    ("request_timeout", None, None),
    ("request_timeout", "0", 0.0),
    ("worker_class", "GThread", "gthread"),
    ("worker_class", "asgi", "asgi"),
    ("worker_class", "uvicorn.workers.UvicornWorker", "asgi"),
    ("worker_class", "uvicorn_worker.UvicornWorker", "asgi"),
    ("worker_class", "gunicorn.workers.gthread.ThreadWorker", "gthread"),
    ("worker_class", "my.Worker", "my.Worker"),
    ("worker_class", "my:Worker", "my:Worker"),
    ("asgi_loop", "UVloop", "uvloop"),
    ("asgi_loop", "my.loops:make", "my.loops:make"),
    ("asgi_loop", "my.loops.Maker.make", "my.loops.Maker.make"),
    ("asgi_loop", " asyncio:new_event_loop ", "asyncio:new_event_loop"),
    ("root_path", "/shop", "/shop"),
    ("root_path", "/a/b c", "/a/b c"),
    ("root_path", "", ""),
    ("websocket_max_message_size", "16m", 1 << 24),
    ("websocket_max_message_size", 0, 0),
    ("websocket_ping_interval", "0", 0.0),
    ("cert_reqs", "2", 2),
    ("cert_reqs", ssl.CERT_OPTIONAL, 1),
    ("cert_reqs", "Required", 2),
    ("cert_reqs", "CERT_NONE", 0),
    ("tls_minimum_version", "1.3", "1.3"),
    ("tls_minimum_version", 1.2, "1.2"),
    ("tls_minimum_version", "TLSv1.3", "1.3"),
    ("tls_minimum_version", "tls1.2", "1.2"),
    ("tls_minimum_version", "TLS 1.3", "1.3"),
    ("certificates", "a.pem, live", ("a.pem", "live")),
    ("certificates", ["a.pem", "live"], ("a.pem", "live")),
    ("keyfile_password", " with spaces ", " with spaces "),
    ("ssl_context", "site.tls:context", "site.tls:context"),
    ("ssl_context", "site.tls.context", "site.tls:context"),
    ("ssl_context", print, print),
    ("ssl_context", None, None),
    ("preload_app", "yes", True),
    ("refork_after", "500, 2000", (500, 2000)),
    ("refork_after", [500, "2000"], (500, 2000)),
    ("refork_after", 500, (500,)),
    ("refork_after", "", ()),
    ("refork_after", None, ()),
    ("preload_app", "Off", False),
    ("preload_app", "", False),
    ("preload_app", True, True),
    ("preload_app", 1, True),
    ("proxy_protocol", True, "auto"),
    ("proxy_protocol", False, "off"),
    ("proxy_protocol", None, "off"),
    ("proxy_protocol", "V2", "v2"),
    ("umask", "022", 0o022),
    ("umask", "0o27", 0o027),
    ("umask", "0x1f", 0x1F),
    ("umask", "0", 0),
    ("umask", 0o027, 0o027),
    ("umask", "", None),
    ("control_socket_mode", "0660", 0o660),
    ("control_socket_mode", 0o600, 0o600),
    ("bind", "127.0.0.1:80", ("127.0.0.1:80",)),
    ("bind", "a:1,b:2", ("a:1", "b:2")),
    (
        "bind",
        ["a:1, unix:/x,y.sock", "/x,/y", "/x,[::]:1"],
        ("a:1", "unix:/x,y.sock", "/x", "/y", "/x", "[::]:1"),
    ),
    ("bind", "a,b,", ("a", "b")),
    ("errorlog", " ", "-"),
    ("errorlog", None, "-"),
    ("loglevel", "Warn", "warning"),
    ("loglevel", 40, "error"),
    ("loglevel", "FATAL", "critical"),
    ("workers", "1_000", 1000),
    ("workers", "4.0", 4),
    ("max_requests", False, 0),
    ("timeout", "1_000", 1000.0),
    ("worker_class", "egg:gunicorn#sync", "sync"),
    ("bind", ["a:1", "unix:/x y"], ("a:1", "unix:/x y")),
    ("forwarded_allow_ips", "10.0.0.0/8, ::1 ,unix", ("10.0.0.0/8", "::1", "unix")),
    ("forwarded_allow_ips", ["*"], ("*",)),
    ("forwarded_allow_ips", "", ()),
    ("forwarder_headers", "script_name,REMOTE_USER", ("SCRIPT_NAME", "REMOTE_USER")),
    ("forwarder_headers", "*", ("*",)),
    ("secure_scheme_headers", {"X-Https": "on"}, {"X-HTTPS": "on"}),
    ("secure_scheme_headers", "x-https=on,X-Scheme=https", {"X-HTTPS": "on", "X-SCHEME": "https"}),
    ("secure_scheme_headers", {}, {}),
    ("raw_env", ["A=1", "B=x=y z"], ("A=1", "B=x=y z")),
    ("raw_env", "A=one value", ("A=one value",)),
    ("raw_env", {"A": "1", "B": ""}, ("A=1", "B=")),
    ("raw_env", None, ()),
    ("server_header", "", ""),
    ("accesslog", "", None),
    ("accesslog", "-", "-"),
    ("pythonpath", "a, b", ("a", "b")),
    ("user", "root", 0),
    ("user", 1234, 1234),
    ("user", "1234", 1234),
    ("user", pwd.getpwuid(0).pw_name, 0),
    ("group", grp.getgrgid(0).gr_name, 0),
    ("group", None, None),
]

REFUSED: list[tuple[str, object, str, str]] = [
    ("workers", "abc", "'abc' is not a whole number", "whole number from 1 to 4096, for example '4'"),
    ("workers", "", "is empty", "whole number"),
    ("workers", 0, "0 is not a whole number from 1 to 4096", "for example"),
    ("workers", "-1", "-1 is not", "for example"),
    ("workers", 2.5, "2.5 is not a whole number", "for example"),
    ("workers", True, "True is not a whole number", "for example"),
    ("workers", "9" * 30, "is not a whole number", "for example"),
    ("workers", "٤", "is not a whole number", "for example"),
    ("limit_request_body", "10mb", "'10mb' is not", "64k"),
    ("limit_request_head", 0, "0 is not a whole number from 1024 to 1073741824", "bytes"),
    ("timeout", "soon", "'soon' is not a number of seconds", "'60'"),
    ("timeout", "-1", "is not a number of seconds", ""),
    ("timeout", float("nan"), "is not a number of seconds", ""),
    ("timeout", "inf", "is not a number of seconds", ""),
    ("timeout", True, "is not a number of seconds", ""),
    ("worker_class", "gthreads", "'gthreads' is not one of auto, sync, gthread", "did you mean gthread?"),
    ("worker_class", "gevent", "does not have yet", "auto, sync, gthread"),
    ("worker_class", "egg:gunicorn#gevent", "does not have yet", "auto, sync, gthread"),
    ("worker_class", object, "is not one of auto, sync, gthread, asgi", "write one of auto"),
    ("worker_class", "my.worker", "'my.worker' is not one of auto, sync, gthread, asgi", "write one of auto"),
    (
        "worker_class",
        "aiohttp.GunicornWebWorker",
        "neither WSGI nor ASGI",
        "start them with aiohttp.web.run_app()",
    ),
    (
        "worker_class",
        "gunicorn.workers.ggevent.GeventWorker",
        "on green threads",
        "write gthread, with threads",
    ),
    (
        "asgi_loop",
        "uvlop",
        "'uvlop' is not one of auto, asyncio, uvloop, or module:f",
        "did you mean uvloop?",
    ),
    ("asgi_loop", "trio", "'trio' is not one of", "module:function"),
    ("asgi_loop", "", "is empty", "module:function"),
    ("asgi_loop", "my loops:make", "'my loops:make' is not one of", ""),
    ("asgi_loop", "my.loops:make()", "'my.loops:make()' is not one of", ""),
    ("asgi_loop", "my..make", "is not one of", ""),
    ("asgi_loop", None, "None is not one of", ""),
    ("asgi_lifespan", "always", "'always' is not one of auto, on, off", "write one of auto, on, off"),
    ("root_path", "shop", "'shop' is not a path that begins with '/'", "write '/shop'"),
    ("root_path", "/shop/", "'/shop/' is not a path that begins with '/' and does not end", "write '/shop'"),
    ("root_path", "/", "'/' is not a path", "leave it out"),
    ("root_path", "//shop", "is not a path", "write '/shop'"),
    ("root_path", "/shop?x", "is not a path", "write '/shop'"),
    ("root_path", "/a\nb", "contains a control character", "begins with '/'"),
    ("websocket_max_queue", 0, "0 is not a whole number of 1 or more", "for example"),
    ("refork_after", "0", "0 is not a whole number of 1 or more", "500,2000"),
    ("refork_after", [True], "True is not a whole number", "500,2000"),
    ("preload_app", "maybe", "'maybe' is not true or false", "true or false"),
    ("preload_app", 7, "7 is not true or false", ""),
    ("proxy_protocol", "v3", "'v3' is not one of off, v1, v2, auto", "write one of off, v1"),
    ("umask", "22", "octal or decimal", "write 022"),
    ("control_socket_mode", "0666", "0666 lets every user of this machine in", "0660"),
    ("control_socket_mode", 0o601, "0601 lets every user of this machine in", "0600"),
    ("control_socket_mode", "660", "octal or decimal", "write 0660"),
    ("umask", "099", "is not a file mode mask", "022"),
    ("umask", 0o1000, "is not a file mode mask", "022"),
    ("bind", [], "is empty", ""),
    ("bind", 8000, "8000 is not", "HOST:PORT"),
    ("forwarded_allow_ips", "10.0.0.1/8", "is an address inside a network", "write 10.0.0.0/8"),
    ("forwarded_allow_ips", "proxy.local", "'proxy.local' is not an IP address", "10.0.0.0/8"),
    ("proxy_allow_ips", 7, "7 is not IP addresses", ""),
    ("forwarder_headers", "A B", "'A B' is not a valid header name", "SCRIPT_NAME"),
    ("secure_scheme_headers", "X-Https", "is not headers with their values", "X-FORWARDED-PROTO=https"),
    ("secure_scheme_headers", {"X": 1}, "is not headers with their values", ""),
    ("raw_env", "DEBUG", "'DEBUG' is not KEY=VALUE", "DEBUG=1"),
    ("raw_env", ["=x"], "'=x' is not KEY=VALUE", ""),
    ("server_header", "a\r\nSet-Cookie: x", "contains a control character", ""),
    ("errorlog", 7, "7 is not text", "for example"),
    ("loglevel", "loud", "'loud' is not one of debug, info", "write one of"),
    ("loglevel", 15, "15 is not one of debug, info", ""),
    ("user", "nobody-of-that-name", "there is no user 'nobody-of-that-name'", ""),
    ("user", "roott", "there is no user 'roott'", "did you mean root"),
    ("user", -1, "-1 is not the name or the number of a user", ""),
    ("user", 2**32 - 1, "is not the name or the number of a user", ""),
    ("group", "no-such-group", "there is no group 'no-such-group'", ""),
    ("wsgi_app", "x" * 200 + "\n\0", "control character", ""),
    ("cert_reqs", "3", "is not one of none, optional, required, or 0, 1, 2", "required"),
    ("cert_reqs", -1, "is not one of none", ""),
    ("cert_reqs", True, "is not one of none", ""),
    ("tls_minimum_version", "1.1", "'1.1' is not safe and was forbidden by RFC 8996", "1.2, 1.3"),
    ("tls_minimum_version", "TLSv1", "is not one of 1.2, 1.3", ""),
    ("tls_minimum_version", "SSLv3", "is not one of 1.2, 1.3", ""),
    ("keyfile_password", "sesame\n", "is not one line of text", ""),
    ("keyfile_password", 1234, "is not one line of text", ""),
    ("ssl_context", "tls", "'tls' is not a function, or module:function", "myproject.tls:"),
    ("ssl_context", "site:", "'site:' is not a function, or module:function", ""),
    ("ssl_context", ".context", "'.context' is not a function, or module:function", ""),
    ("ssl_context", 7, "is not a function", ""),
]


@pytest.mark.parametrize(("name", "written", "value"), ACCEPTED)
def test_accepts(name: str, written: object, value: object) -> None:
    parsed: Any = SETTINGS[name].kind.parse(written)
    assert parsed == value
    assert type(parsed) is type(SETTINGS[name].kind.parse(parsed))


@pytest.mark.parametrize(("name", "written", "message", "hint"), REFUSED)
def test_refuses(name: str, written: object, message: str, hint: str) -> None:
    with pytest.raises(BadValueError) as caught:
        SETTINGS[name].kind.parse(written)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint, "every refusal says what to write instead"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("accesslog", None, "(not set)"),
        ("preload_app", True, "true"),
        ("timeout", 30.0, "30"),
        ("timeout", 0.5, "0.5"),
        ("umask", 0o22, "0022"),
        ("umask", None, "(not set)"),
        ("pythonpath", (), "(empty)"),
        ("bind", ("a:1", "b:2"), "a:1,b:2"),
        ("secure_scheme_headers", {"X": "y"}, "X=y"),
        ("server_header", "", "(empty)"),
        ("cert_reqs", 1, "optional"),
        ("keyfile_password", "sesame", "(set, not shown)"),
        ("keyfile_password", None, "(not set)"),
        ("ssl_context", print, "print"),
        ("ssl_context", None, "(not set)"),
    ],
)
def test_shows(name: str, value: object, shown: str) -> None:
    assert SETTINGS[name].kind.show(value) == shown


@pytest.mark.parametrize("written", ["sesame\n", ["sesame"], b"sesame"])
def test_a_secret_is_not_quoted(written: object) -> None:
    with pytest.raises(BadValueError) as caught:
        SETTINGS["keyfile_password"].kind.parse(written)
    assert "sesame" not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"
