"""What all tests begin with: the axes as fixtures, and which of their combinations a run takes."""

from __future__ import annotations

import compileall
import gc
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Hashable, Iterator
from functools import cache

import pytest

# What asserts for the tests and is no test module.
pytest.register_assert_rewrite("harness", "integration", "transport.served", "faults.served")

from harness.axes import (  # noqa: E402 - behind register_assert_rewrite
    AXES,
    FEW_OVER_HTTP_2,
    HTTP_1,
    KINDS,
    NARROW,
    OFTEN,
    USUAL_WIRE,
    WIRES,
    resolved,
)
from harness.cases import Case  # noqa: E402
from harness.combinations import in_sample, pairwise, singly  # noqa: E402
from harness.costly import Costs, costly  # noqa: E402
from harness.nursery import end_cradles  # noqa: E402
from harness.server import APPS, Servers  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # once for all processes of the run
        _compile()
        if config.getoption("--measure-costs"):
            config.pluginmanager.register(Costs())
    _heed_signals()


def _compile() -> None:
    """What servers import. They do not write down what they compile, so each would do it again."""
    package = importlib.util.find_spec("tricorn")
    assert package is not None
    for place in (*(package.submodule_search_locations or ()), APPS):
        compileall.compile_dir(place, quiet=2)


def pytest_unconfigure(config: pytest.Config) -> None:  # noqa: ARG001 - the signature of a hook
    end_cradles()


def _heed_signals() -> None:
    """A shell starts what runs in the background with these ignored. No server may inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_collection_finish(session: pytest.Session) -> None:  # noqa: ARG001 - the signature of a hook
    """Thousands of tests stay until the end: the garbage collector need not look at them each time.

    A full collection took a third of a second, and the tests that measure work ask for hundreds.
    """
    gc.collect()
    gc.freeze()
    # What is collected has been written down as pytest has compiled it. Of what tests write themselves two
    # versions within a second have one time stamp: none may be kept for the other, here and in servers.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


#: What the processes that a test starts are told by.
TOLD_BY = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def signals_are_left_alone() -> Iterator[None]:
    """What is blocked or ignored is inherited by every process that a later test starts: it is deaf then."""
    handlers = {number: signal.getsignal(number) for number in TOLD_BY}
    yield
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    changed = {number for number in TOLD_BY if signal.getsignal(number) is not handlers[number]}
    for number in changed:
        signal.signal(number, handlers[number])
    assert not blocked | changed, f"left behind by the test: {blocked} blocked, other handlers of {changed}"


# -- the axes (harness/axes.py)


def axis(name: str) -> pytest.FixtureDef[str]:
    values = AXES[name]
    # What could not be otherwise is not said in the name of each test.
    ids = [pytest.HIDDEN_PARAM] if len(values) == 1 else None

    @pytest.fixture(name=name, params=values, ids=ids)
    def value(request: pytest.FixtureRequest) -> str:
        return resolved(request.param, request.node.nodeid)

    return value


kind = axis("kind")
wire = axis("wire")
delivery = axis("delivery")


@pytest.fixture(scope="module")
def running_servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.stop()


@pytest.fixture
def servers(running_servers: Servers, wire: str) -> Servers:
    """Servers by their options, shared by the tests of a module, on the test's wire."""
    return running_servers.on(wire)


# -- which combinations of them


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("axes", "combinations of the axes")
    group.addoption(
        "--combinations",
        choices=("all", "pairwise", "sample"),
        default="all",
        help="pairwise: each pair of values; sample: a tenth of what pairwise and -m 'not slow' leave out",
    )
    group.addoption("--seed", default="1", help="any text: which sample is taken")
    group.addoption("--measure-costs", action="store_true", help="write tests/harness/costly.txt anew")


def pytest_report_header(config: pytest.Config) -> str:
    which, seed = config.getoption("--combinations"), config.getoption("--seed")
    return f"combinations: {which}" + (f", seed {seed}" if which == "sample" else "")


#: What a module imports that starts servers.
SERVERS = {"Server", "Live", "Pool"}


@pytest.hookimpl(tryfirst=True)  # before -k and -m: what is chosen does not depend on them
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _deselect(config, items, [item for item in items if _has_sense(item)])
    which = config.getoption("--combinations")
    if which == "all":
        return
    candidates = [
        item for item in items if not _is_rare(item) or item.nodeid.removeprefix("tests/").startswith(OFTEN)
    ]
    chosen = {item.nodeid for group in _by_function(candidates) for item in _chosen(group)}
    if which == "sample":
        seed = config.getoption("--seed")
        if USUAL_WIRE != "plain":
            chosen.clear()  # nothing has run over it yet
        left_out = [item for item in items if item.nodeid not in chosen or item.get_closest_marker("slow")]
        chosen = {item.nodeid for item in left_out if in_sample(item.nodeid, seed)}
    _deselect(config, items, [item for item in items if item.nodeid in chosen])


def _deselect(config: pytest.Config, items: list[pytest.Item], left: list[pytest.Item]) -> None:
    if len(left) < len(items):
        kept = {item.nodeid for item in left}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
        items[:] = left


def _has_sense(item: pytest.Item) -> bool:
    """What is bound to some wires does not run over the others, nor a case that they have no words for.

    Over another usual wire than the plain one runs what starts servers and leaves the wire to others.
    """
    params = _params(item)
    wire, case = params.get("wire"), params.get("case")
    if wire not in AXES["wire"]:
        wire = USUAL_WIRE
    elif USUAL_WIRE != "plain":
        return False
    if USUAL_WIRE != "plain" and not SERVERS & vars(item.module).keys():  # type: ignore[attr-defined]
        return False
    if wire not in HTTP_1 and isinstance(case, Case) and case.is_of_http1:
        return False
    return wire in _wires(item.nodeid.partition("[")[0])


@cache
def _wires(test: str) -> frozenset[str]:
    """Those that a test's function runs over."""
    name = f"{test.removeprefix('tests/')}["
    bounds = [set(wires) for start, (wires, _) in NARROW.items() if name.startswith(start)]
    return frozenset({*WIRES, *AXES["wire"]}.intersection(*bounds))


def _by_function(items: list[pytest.Item]) -> Iterator[list[pytest.Item]]:
    """Items of one test function; they need not stand together."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(item.nodeid.partition("[")[0], []).append(item)
    yield from groups.values()


def _chosen(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of the items of one function: each pair of values, or of one that is costly each case once."""
    together = _given_together(items[0])
    names = [item.nodeid for item in items]
    if names[0].removeprefix("tests/").partition("[")[0] in costly():
        numbers = singly([(_interface(item), *_cases(item, together)) for item in items], names)
    else:
        numbers = pairwise([_row(item, together) for item in items], names)
    return [items[number] for number in numbers]


def _interface(item: pytest.Item) -> str | None:
    kind = _params(item).get("kind")
    return KINDS[kind].interface if isinstance(kind, str) and kind in KINDS else None


def _row(item: pytest.Item, together: dict[str, tuple[str, ...]]) -> tuple[Hashable, ...]:
    """The item's value of each axis, and its cases."""
    axes = _axes(item)
    cases = () if _is_rare(item) or _is_one_of_few(item) else _cases(item, together)
    return (*(axes[name] for name in sorted(axes)), *cases) or (None,)  # what has no columns is a row, too


def _axes(item: pytest.Item) -> dict[str, Hashable]:
    """Its values of axes. A test that knows none may call other things by their names."""
    return {name: value for name, value in _params(item).items() if value in AXES.get(name, ())}


def _cases(item: pytest.Item, together: dict[str, tuple[str, ...]]) -> tuple[Hashable, ...]:
    """What else it is parametrised by: a column for each `parametrize`, whose arguments belong together."""
    columns: dict[tuple[str, ...], list[Hashable]] = {}
    params = _params(item)
    for name in sorted(params.keys() - _axes(item).keys()):
        columns.setdefault(together.get(name, (name,)), []).append(_key(params[name]))
    return tuple(tuple(columns[names]) for names in sorted(columns))


def _given_together(item: pytest.Item) -> dict[str, tuple[str, ...]]:
    """Of each argument of the test's function all that the same mark gives values to."""
    together: dict[str, tuple[str, ...]] = {}
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs["argnames"]
        names = re.split(r"\s*,\s*", names.strip()) if isinstance(names, str) else names
        for name in names:
            together.setdefault(name, tuple(names))
    return together


def _params(item: pytest.Item) -> dict[str, object]:
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else callspec.params


def _is_rare(item: pytest.Item) -> bool:
    """Whether it runs on a kind of worker of which `make test` takes little."""
    kind = _params(item).get("kind")
    return isinstance(kind, str) and kind in KINDS and KINDS[kind].rare


def _is_one_of_few(item: pytest.Item) -> bool:
    """Whether it runs over HTTP/2 where few do."""
    wire = _params(item).get("wire")
    name = item.nodeid.removeprefix("tests/")
    return wire in AXES["wire"] and wire not in HTTP_1 and name.startswith(FEW_OVER_HTTP_2)


def _key(value: object) -> Hashable:
    """By identity: what is equal need not be one case, as 1 == True. A text may be made for each value."""
    return value if isinstance(value, str) else id(value)
