"""Each proxy of examples/deploy/ passes on what clients send, and who they are; nobody can lie about it."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy.programs import EXAMPLES, free_port
from deploy.proxies import PROXIES, Place, proxy
from deploy.replicas import balanced
from harness import tls
from integration.live import Live
from lossless.clients import KINDS, Crowd, Door

#: No address that is trusted, so what it says of itself must not count.
CLIENT = "127.0.0.77"
LIES = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Protocol": "ssl",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "4711",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=203.0.113.9;proto=gopher",
}


@contextlib.contextmanager
def in_front(name: str, directory: Path) -> Iterator[Door]:
    is_secure = PROXIES[name][1] == "tls"
    if name == "haproxy":
        with balanced(directory) as service:
            yield Door(("127.0.0.1", service.place.port), is_secure)
        return
    environ = {"COUNTED_JOURNAL": str(directory / "journal")}
    # In Compose the addresses are not known before, and nobody else can connect.
    trusted = ("--forwarded-allow-ips", "*") if name == "nginx of compose" else ()
    options = ("--config", str(EXAMPLES / "tricorn.toml"), *trusted)
    with Live("asgi_proxied:app", *options, kind="asgi", ready="/get?0", environ=environ) as live:
        place = Place(directory, free_port(), live.address)
        with proxy(name, place):
            yield Door(("127.0.0.1", place.port), is_secure)


def asked(door: Door, fields: dict[str, str]) -> dict[str, Any]:
    connect: Any = http.client.HTTPConnection
    more: dict[str, Any] = {}
    if door.is_secure:
        more["context"] = ssl.create_default_context(cafile=str(tls.AUTHORITY))
        more["context"].check_hostname = False
        connect = http.client.HTTPSConnection
    connection = connect(*door.address, timeout=10, source_address=(CLIENT, 0), **more)
    connection.request("GET", "/whoami", headers={"Host": "www.example.org", **fields})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 200, body
    return json.loads(body)  # type: ignore[no-any-return]


#: What runs under `make test` too: another proxy takes the same paths of ours.
QUICK = {"nginx", "haproxy"}


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[] if each in QUICK else pytest.mark.slow) for each in PROXIES]
)
def test_a_proxy(name: str, tmp_path: Path) -> None:
    with in_front(name, tmp_path) as door:
        for lies in ({}, LIES):
            seen = asked(door, lies)
            assert seen["client"][0] == CLIENT
            assert seen["scheme"] == ("https" if door.is_secure else "http")
            assert (seen["path"], seen["root_path"]) == ("/whoami", "")
            assert seen["fields"]["host"] == "www.example.org"
            assert "evil" not in json.dumps(seen)
        crowd = Crowd(door, list(KINDS))
        crowd.start()
        crowd.wait_going(15)
        crowd.stop()
        for kind, tally in crowd.tallies().items():
            assert not tally.troubles, f"{kind}: {tally.troubles[0]}"
            assert tally.answered, kind
