"""Which route a path is on, and what it has of its own."""

from __future__ import annotations

import pytest

from tricorn.config.declaration import Core
from tricorn.config.settings import SETTINGS, Settings
from tricorn.records import replace
from tricorn.transport.routes import Route, Routes
from tricorn.transport.worker_context import Terms
from tricorn.workers.context import filled

TABLE = {
    "/": {"request_timeout": 1},
    "/reports/": {"request_timeout": 2},
    "/reports/slow": {"request_timeout": 3, "slow_request_time": 0.5},
    "/größe": {"request_timeout": 4},
}


def routes(**settings: object) -> Routes:
    kind = SETTINGS["routes"].kind
    values = filled(replace(Settings(), request_timeout=9.0, slow_request_time=7.0, **settings), Core.TERMS)  # type: ignore[arg-type]
    return Routes(kind.to_core(settings["routes"]), Terms(values))  # type: ignore[arg-type]


ROUTES = routes(routes=SETTINGS["routes"].kind.parse(TABLE))

#: path → the limit of its route, in seconds.
PATHS = [
    (b"/", 1),
    (b"/report", 1),
    (b"/reportsx", 1),
    (b"/reports", 2),
    (b"/reports/", 2),
    (b"/reports/slower", 2),
    (b"/reports/slow", 3),
    (b"/reports/slow/", 3),
    (b"/reports/slow/x/y", 3),
    ("/größe/1".encode(), 4),
    (b"/gr", 1),
    (b"", 1),
]


@pytest.mark.parametrize(("path", "limit"), PATHS)
def test_the_longest_prefix_wins(path: bytes, limit: int) -> None:
    route = ROUTES.of(path)
    assert route is not None
    assert route.request_timeout == limit * 10**9


@pytest.mark.parametrize("path", [b"*", b"reports", b"/Reports/x", b"/", b""])
def test_a_path_without_a_route(path: bytes) -> None:
    assert routes(routes=SETTINGS["routes"].kind.parse({"/reports": {"request_timeout": 2}})).of(path) is None


def test_what_a_route_does_not_set_is_as_everywhere() -> None:
    found = [(route.prefix, route.slow_request_time) for route in ROUTES.all]
    usual = 7 * 10**9
    assert sorted(found) == sorted(
        [(b"", usual), (b"/reports", usual), (b"/reports/slow", 10**9 // 2), ("/größe".encode(), usual)]
    )


def test_what_all_share_no_route_has_by_itself() -> None:
    made = routes(
        threads=8,
        max_queue=7,
        routes=SETTINGS["routes"].kind.parse({"/a": {"threads": 3}, "/b": {"request_timeout": 1}}),
    )
    assert [(route.threads, route.max_concurrency, route.max_queue) for route in made.all] == [
        (3, -1, 7),
        (-1, -1, 7),
    ]


def test_a_route_takes_every_setting_that_may_stand_in_one() -> None:
    for declared in SETTINGS.values():
        if declared.in_routes:
            assert declared.fills is not None
            assert declared.fills[0] is Core.TERMS
            assert hasattr(Route, declared.fills[1]), declared.name
