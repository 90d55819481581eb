"""What blocks an application on green threads lets its other requests go on: libraries, and Python's own.

The servers answer only when several ask them at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration import slow_servers
from integration.asking import answers, asking
from integration.live import Live
from integration.slow_servers import crowd, http_crowd

AT_ONCE = 4


@pytest.fixture(scope="module", params=["gevent", pytest.param("eventlet", marks=pytest.mark.slow)])
def live(request: pytest.FixtureRequest) -> Iterator[Live]:
    with Live("blockers:app", kind=request.param) as live:
        yield live
        live.stop()


def overlap(live: Live, path: str, port: int, number: int = AT_ONCE) -> None:
    with asking(live, *[f"/{path}?{port}"] * number) as clients:
        assert set(answers(clients)) == {"slow"}, live.log()


@pytest.mark.parametrize("library", ["requests", "urllib3"])
def test_clients_of_http(live: Live, library: str) -> None:
    with http_crowd(AT_ONCE) as port:
        overlap(live, library, port)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["requests", "urllib3"])
def test_a_thousand_clients_of_http(live: Live, library: str) -> None:
    with http_crowd(999) as port:
        overlap(live, library, port, 999)


@pytest.mark.parametrize(
    ("driver", "speaks"),
    [
        ("redis", slow_servers.redis),
        ("pymysql", slow_servers.mysql),
        ("psycopg", slow_servers.postgres),
    ],
    ids=["redis", "pymysql", "psycopg"],
)
def test_drivers_of_databases(live: Live, driver: str, speaks: slow_servers.Speaks) -> None:
    with crowd(speaks, AT_ONCE) as port:
        overlap(live, driver, port)


@pytest.mark.parametrize("way", ["sleep", "subprocess", "thread", "queue"])
def test_ways_to_wait(live: Live, way: str) -> None:
    with asking(live, *[f"/{way}?{AT_ONCE}"] * AT_ONCE) as clients:
        assert set(answers(clients)) == {"met"}
