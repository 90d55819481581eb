"""A pytest plugin for a run under a harmless plan: which tests it takes.

Knows: pytest, the names of tests. Must not know: what the plan is.
"""

from __future__ import annotations

import random
import re

import pytest

#: What a run takes its tests from.
FILES = (
    "tests/conformance",
    "tests/gateway/test_wsgi.py",
    "tests/integration/test_admission.py",
    "tests/integration/test_asgi_messages.py",
    "tests/integration/test_drain.py",
    "tests/integration/test_even_load.py",
    "tests/integration/test_lifecycle.py",
    "tests/integration/test_warmup.py",
    "tests/integration/test_websocket_frames.py",
    "tests/integration/test_websocket_handshake.py",
    "tests/integration/test_websocket_life.py",
    "tests/transport/test_batch.py",
    "tests/transport/test_files.py",
    "tests/transport/test_input.py",
    "tests/transport/test_slow_readers.py",
    "tests/transport/test_paused.py",
    "tests/transport/test_takeover.py",
    "tests/transport/test_tls_wire.py",
    "tests/transport/test_uploads.py",
)

#: Pattern of names → why these tests are left out: what they measure is what a plan changes.
LEFT_OUT = {
    "tests/conformance/test_cost.py": "measures time",
    "tests/conformance/test_bodies.py::test_a_client_that_resets_in_the_body_is_forgotten": (
        "wants one connection to be dealt with before another that came later"
    ),
    "tests/integration/test_even_load.py::test_a_kept_connection_goes_on_at_a_free_worker": (
        "EAGAIN is how the kernel says that nothing more can be passed on, and then the busy worker serves it"
    ),
    "tests/integration/test_even_load.py::test_(a_worker_that_dies|what_nobody_takes)": (
        "waits until a request has its connection passed on, which an event of no request has done before"
    ),
    "tests/integration/test_admission.py::test_a_client_that_has_said_all_is_answered": (
        "its end has to come with its request, which poll() tells, and a plan has it say what is not so"
    ),
    "tests/integration/test_drain.py::test_streams_are_cut_so_that_their_clients_can_tell": (
        "with sends that come up short its download still goes on at the next look of stream_timeout"
    ),
    "tests/integration/test_lifecycle.py::test_a_long_backlog_is_served_at_a_stop": (
        "EAGAIN is how the kernel says that a backlog is empty, and at the end nobody looks again"
    ),
    "tests/integration/test_lifecycle.py::test_at_the_limit_(no_connection|idle_connections)": (
        "who goes depends on what poll() says of who has sent something, and a plan has it say what is not so"
    ),
    "tests/transport/test_batch.py::test_(a|no)_response_waits_for_": "looks which responses leave together",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--chaos-seed", default="1", help="any text: which tests are taken")
    group.addoption("--chaos-tests", type=int, default=0, help="about so many of them; 0: all")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = re.compile("|".join(LEFT_OUT))
    fit = [item for item in items if not left_out.match(item.nodeid)]
    taken = set(_sample([item.nodeid for item in fit], config))
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in taken])
    items[:] = [item for item in items if item.nodeid in taken]


def _sample(names: list[str], config: pytest.Config) -> list[str]:
    """The same in each process. Functions take turns: one with a thousand cases does not fill the sample."""
    most = config.getoption("--chaos-tests") or len(names)
    rng = random.Random(f"tests {config.getoption('--chaos-seed')}")
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.partition("[")[0], []).append(name)
    for group in groups.values():
        rng.shuffle(group)
    functions = list(groups.values())
    rng.shuffle(functions)
    longest = max(map(len, functions), default=0)
    turns = [group[turn] for turn in range(longest) for group in functions if turn < len(group)]
    return turns[:most]
