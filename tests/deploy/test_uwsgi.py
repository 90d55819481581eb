"""nginx's uwsgi_pass, as Debian has it, in front of Tricorn: what docs/uwsgi.md shows, and the wire of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from architecture.source import ROOT
from conformance import test_bodies, test_fields, test_framing, test_request_line
from deploy.programs import TRICORN, Running, accepts, environ, free_port, program, running
from deploy.proxies import NGINX
from docs.blocks import blocks
from harness.axes import ONE_OF_EACH
from harness.cases import check_seen
from harness.client import Client
from harness.server import APPS, wait_for
from harness.websocket import handshake
from integration.live import Live, entered, in_background

CLIENT = "127.0.0.77"

#: What a site of a test has beside what the page shows.
SITE = """
server {{
    listen 127.0.0.1:{port};
    server_name www.example.org;
    client_max_body_size 100m;
    {more}
    location / {{
        {location}
        uwsgi_read_timeout 20s;
    }}
}}
"""


@dataclass
class Front:
    """nginx, and what is behind it."""

    port: int
    live: Live
    nginx: Running

    def ask(
        self, path: str, method: str = "GET", body: Any = None, fields: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=20, source_address=(CLIENT, 0)
        )
        connection.request(method, path, body, {"Host": "www.example.org", **(fields or {})})
        return connection.getresponse()

    def seen(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask("/seen").read())["requests"]
        return found


def nginx_in(directory: Path) -> list[str]:
    """Its command, with the `site.conf` that is there. Its workers are who the tests are: what they write
    large bodies to, and the socket file, are for nobody else."""
    conf = directory / "nginx.conf"
    conf.write_text(NGINX.format(dir=directory))
    user = pwd.getpwuid(os.geteuid()).pw_name
    more = ["-g", f"user {user};"] if os.geteuid() == 0 else []
    return [program("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(conf), *more]


def asked(
    port: int, path: str, method: str = "GET", body: Any = None, fields: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(CLIENT, 0))
    connection.request(method, path, body, {"Host": "www.example.org", **(fields or {})})
    return connection.getresponse()


#: With nginx.
INCLUDE = "include /etc/nginx/uwsgi_params;"


@contextlib.contextmanager
def front(
    directory: Path,
    kind: str,
    *options: str,
    app: str = "echo:app",
    unix: bool = False,
    location: str = INCLUDE,
    more: str = "",
    ready: str = "/seen",
) -> Iterator[Front]:
    if unix:
        path = directory / "web.sock"
        live = Live(app, "--bind", f"uwsgi://unix:{path}", *options, kind=kind, wire="plain", ready=ready)
        address = f"unix:{path}"
    else:
        live = Live(app, *options, kind=kind, wire="uwsgi", ready=ready)
        address = f"{live.address[0]}:{live.address[1]}"
    port = free_port()
    site = SITE.format(port=port, more=more, location=f"uwsgi_pass {address};\n{location}")
    (directory / "site.conf").write_text(site)
    with live, running(nginx_in(directory), directory, name="nginx") as nginx:
        nginx.wait(lambda: accepts("127.0.0.1", port), "nginx listens")
        yield Front(port, live, nginx)


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_nginx(tmp_path: Path, kind: str, unix: bool) -> None:
    with front(tmp_path, kind, unix=unix) as behind:
        # fields, and who the client is
        fields = {"X-One": "1", "X-Forwarded-For": "203.0.113.9", "Cookie": "a=b"}
        response = behind.ask("/a%20b//c?d=e", fields=fields)
        assert response.status == 200
        response.read()
        # a small body, a large one, one in chunks, an empty one
        for size in (5, 3_000_000):
            body = b"0123456789abcdef" * (size // 16) + b"x" * (size % 16)
            assert json.loads(behind.ask("/", "POST", body).read())["body"] == body.decode()
        pieces = iter([b"hel", b"lo"])
        chunked = json.loads(behind.ask("/", "POST", pieces).read())
        assert chunked["body"] == "hello"
        assert chunked["environ"]["CONTENT_LENGTH"] == "5"
        assert "HTTP_TRANSFER_ENCODING" not in chunked["environ"]
        assert json.loads(behind.ask("/", "POST", b"").read())["body"] == ""
        # responses: with a length, without one, none, to HEAD
        big = behind.ask("/big?3000000")
        assert (big.getheader("Content-Length"), len(big.read())) == ("3000000", 3_000_000)
        stream = behind.ask("/stream?3000000")
        assert (stream.getheader("Transfer-Encoding"), len(stream.read())) == ("chunked", 3_000_000)
        head = behind.ask("/big?3000000", "HEAD")
        assert (head.getheader("Content-Length"), head.read()) == ("3000000", b"")
        assert "upstream" not in behind.nginx.log(), behind.nginx.log()
        first = behind.seen()[0]["environ"]
    expected = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "d=e",
        "REMOTE_ADDR": CLIENT,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": str(behind.port),
        "HTTP_HOST": "www.example.org",
        "HTTP_X_ONE": "1",
        "HTTP_COOKIE": "a=b",
        "wsgi.url_scheme": "http",
    }
    assert {name: first[name] for name in expected} == expected
    assert int(first["REMOTE_PORT"]) > 0


#: Cases of HTTP/1: what a request may say, however its lines are written.
OF_THE_WIRE = [
    *(*test_request_line.METHODS, *test_request_line.TARGETS),
    *(*test_fields.NAMES, *test_fields.VALUES, *test_fields.HOSTS, *test_fields.UNDERSCORES),
    *(*test_framing.CONTENT_LENGTH, *test_framing.TRANSFER_ENCODING, *test_framing.ANY_METHOD),
    *(*test_bodies.CHUNK_SIZES, *test_bodies.EXTENSIONS, *test_bodies.CHUNK_DATA, *test_bodies.TRAILERS),
]
#: Of these nginx makes something else: another path, or it waits for more.
NGINXS_AFFAIR = {
    *("target //a.example/b", "target /a/../b", "target /http://b.example/"),
    "a method of 33 bytes without an end",
}


@pytest.mark.parametrize(
    ("kind", "unix"),
    [
        ("sync", True),
        ("asgi", False),
        pytest.param("gevent", True, marks=pytest.mark.slow),
        pytest.param("gthread", False, marks=pytest.mark.slow),
    ],
)
def test_cases_of_the_wire(tmp_path: Path, kind: str, unix: bool) -> None:
    """What nginx takes of what clients write has the same fate as without it. What it refuses never arrives.
    The line about Host stands behind the one that Debian's file has."""
    passed = 0
    location = f"{INCLUDE} uwsgi_param HTTP_HOST $http_host; uwsgi_pass_header Server;"
    with front(tmp_path, kind, unix=unix, location=location) as behind:
        for case in OF_THE_WIRE:
            if case.name in NGINXS_AFFAIR:
                continue
            with Client(("127.0.0.1", behind.port), timeout=10) as client:
                client.send(case.raw)
                response = client.response(case.request_method)
            requests = behind.live.seen_whole()
            if not (response.get("Server") or "").startswith("tricorn"):
                assert (response.status >= 400, requests) == (True, []), case.name
            elif case.reaches:
                passed += 1
                assert response.status == case.status, case.name
                (request,) = requests
                check_seen(case, request)
            else:  # refused by us, or mended by nginx
                assert len(requests) == (response.status == 200), case.name
    assert passed > 100


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_errors_are_passed_on(tmp_path: Path, kind: str) -> None:
    with front(tmp_path, kind, "--limit-request-body=1000", app="misbehave:app") as behind:
        assert behind.ask("/raises-at-once").status == 500
        assert behind.ask("/", "POST", b"x" * 1001).status == 413
        assert behind.ask("/", fields={"Expect": "the impossible"}).status == 417
        # cut in the middle: the client can tell
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            behind.ask("/raises-midway").read()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_what_nginx_sends_as_it_comes(tmp_path: Path, kind: str) -> None:
    """Without its buffers: bodies of both directions."""
    location = f"{INCLUDE} uwsgi_request_buffering off; uwsgi_buffering off;"
    with front(tmp_path, kind, location=location) as behind:
        body = b"b" * 2_000_000
        assert json.loads(behind.ask("/", "POST", body).read())["body"] == body.decode()
        assert len(behind.ask("/stream?2000000").read()) == 2_000_000


def test_a_websocket_through_nginx(tmp_path: Path) -> None:
    """uwsgi_pass tunnels, if the answer is 101."""
    with (
        front(tmp_path, "asgi", app="asgi_sockets:app", ready="/none") as behind,
        Client(("127.0.0.1", behind.port), timeout=10) as client,
    ):
        client.send(handshake("/scope"))
        assert client.response().status == 101
        assert b"'websocket'" in client.read_until(b"'extensions'")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_what_waits_for_the_application(tmp_path: Path, kind: str) -> None:
    """A client that leaves takes nginx's connection with it, and a stop waits for those who stay."""
    gate = tmp_path / "gate"
    with front(tmp_path, kind, app="life:app", ready="/") as behind:
        connection = http.client.HTTPConnection("127.0.0.1", behind.port, timeout=20)
        connection.request("GET", f"/block?{gate}")
        entered(gate)
        behind.live.signal(signal.SIGTERM)
        behind.live.wait_log("stopping")
        gate.touch()
        assert connection.getresponse().read() == b"released"
        assert behind.live.wait_exit() == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gthread", "asgi", "gevent"])
def test_nothing_is_lost_behind_nginx(tmp_path: Path, kind: str) -> None:
    """Two reloads under load: each request has its answer, and nginx has nothing to say."""
    statuses: list[int] = []
    is_over = threading.Event()

    def ask(behind: Front) -> None:
        while not is_over.is_set():
            statuses.append(behind.ask("/").status)

    def wait_for_more() -> None:
        seen = len(statuses)
        wait_for(lambda: len(statuses) > seen + 30, "it is under load")

    with front(tmp_path, kind, app="life:app", unix=True, ready="/") as behind:
        with contextlib.ExitStack() as load:
            for _ in range(3):
                load.enter_context(in_background(ask, behind))
            load.callback(is_over.set)
            for generation in (2, 3):
                wait_for_more()
                behind.live.signal(signal.SIGHUP)
                behind.live.wait_log("is ready", times=generation)
            wait_for_more()
        assert set(statuses) == {200}
        assert "upstream" not in behind.nginx.log(), behind.nginx.log()


PAGE = ROOT / "docs" / "uwsgi.md"


def test_the_page_shows_what_works(tmp_path: Path) -> None:
    """Its nginx configuration, with the paths of a test, before a server with its tricorn.toml."""
    (site,) = [block.text for block in blocks(PAGE) if block.language == "nginx" and "server {" in block.text]
    (settings,) = [
        block.text for block in blocks(PAGE) if block.language == "toml" and "wsgi_app" in block.text
    ]
    path, port = tmp_path / "web.sock", free_port()
    site = site.replace("/run/mysite/web.sock", str(path)).replace("listen 80;", f"listen 127.0.0.1:{port};")
    assert str(path) in site
    assert str(port) in site
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "tricorn.toml").write_text(
        re.sub(r"^wsgi_app = .*$", 'wsgi_app = "echo:app"', settings, flags=re.MULTILINE).replace(
            "/run/mysite/web.sock", str(path)
        )
    )
    nginx = nginx_in(tmp_path)
    server = [*TRICORN, "--config", tmp_path / "tricorn.toml", "--chdir", APPS]
    with running(server, tmp_path, name="tricorn") as tricorn, running(nginx, tmp_path) as proxy:
        tricorn.wait_log(f"Listening at uwsgi://unix:{path}")
        tricorn.wait_log("is ready")
        proxy.wait(lambda: accepts("127.0.0.1", port), "nginx listens")
        told = json.loads(asked(port, "/x?y").read())["environ"]
    assert (told["PATH_INFO"], told["REMOTE_ADDR"]) == ("/x", CLIENT)


# -- beside uWSGI

UWSGI_APP = """
def application(environ, start_response):
    import json
    text = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(text).encode()]
"""
#: Keys that only one of them has, or that say what the server itself is.
OURS = {"RAW_URI", "SERVER_SOFTWARE"}
THEIRS = {
    # nginx passes on what the client has said of the body beside what it has made of that
    *("HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"),
    *("uwsgi.node", "uwsgi.version"),
}
ASKED = [
    ("GET", "/", None, {}),
    ("GET", "/a%20b//%C3%A9?c=d&e", None, {"X-One": "1", "Cookie": "a=b"}),
    ("POST", "/p", b"hello", {"Content-Type": "text/plain"}),
    ("HEAD", "/h?", None, {"Accept": "*/*", "Accept-Encoding": "gzip"}),
]
LOCATIONS = {
    "what nginx has": INCLUDE,
    "more": f"{INCLUDE} uwsgi_param REMOTE_USER amy; uwsgi_param UWSGI_SCHEME https; uwsgi_param X_Y z;",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOCATIONS)
def test_environs_are_uwsgis(tmp_path: Path, name: str) -> None:
    """Key by key, of the same requests through the same nginx."""
    found = shutil.which("uwsgi")
    if found is None:
        pytest.skip("uwsgi is not installed")
    (tmp_path / "told.py").write_text(UWSGI_APP)
    told: dict[str, list[dict[str, str]]] = {}
    port, site_port = free_port(), free_port()
    servers = {
        "ours": ["-m", "tricorn", "--bind", f"uwsgi://127.0.0.1:{port}", "--chdir", str(tmp_path), "told"],
        "theirs": ["--socket", f"127.0.0.1:{port}", "--wsgi-file", "told.py", "--die-on-term", "--need-app"],
    }
    site = SITE.format(port=site_port, more="", location=f"uwsgi_pass 127.0.0.1:{port};\n{LOCATIONS[name]}")
    (tmp_path / "site.conf").write_text(site)
    nginx = nginx_in(tmp_path)
    for which, words in servers.items():
        command = [sys.executable if which == "ours" else found, *words]
        with (
            running(command, tmp_path, name=which, env=environ()) as server,
            running(nginx, tmp_path, name="nginx") as proxy,
        ):
            server.wait(lambda: accepts("127.0.0.1", port), "it listens")
            proxy.wait(lambda: accepts("127.0.0.1", site_port), "nginx listens")
            told[which] = [environ_of(site_port, *each) for each in ASKED]
    for ours, theirs in zip(told["ours"], told["theirs"], strict=True):
        for dropped, one in ((OURS, ours), (THEIRS, theirs)):
            for key in dropped:
                one.pop(key, None)
        # An empty length or type is none (RFC 3875 §4.1.2), and over HTTP it is not there either.
        for key in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            if theirs.get(key) == "":
                del theirs[key]
        for one in (ours, theirs):
            one.pop("REMOTE_PORT")
        assert ours.pop("SCRIPT_NAME") == "" == theirs.pop("SCRIPT_NAME", "")
        assert ours == theirs


def environ_of(
    port: int, method: str, path: str, body: bytes | None, fields: dict[str, str]
) -> dict[str, str]:
    """Of a HEAD request the application's answer is not seen, so it is asked for as GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET" if method == "HEAD" else method, path, body, fields)
    found: dict[str, str] = json.loads(connection.getresponse().read())
    return found
