"""Modules import each other in one direction, also inside a room.

What counts: each `import` and `cimport`, in sources and in declarations (.pxd, .pyi). One inside a function
counts, because it only moves the circle from the start to the first call. One under `TYPE_CHECKING` counts,
because the question is what a reader has to know first, not whether the interpreter gets along. It does not
count that Python runs the `__init__` of a module's package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from architecture.source import DOTTED, MODULES

#: Modules that form a circle → why they still may. Only what is in the package may stand here.
KNOWN: dict[frozenset[str], str] = {}

Graph = Mapping[str, set[str]]


def graph() -> Graph:
    edges: dict[str, set[str]] = {name: set() for name in DOTTED}
    for module in MODULES:
        edges[module.dotted] |= (module.imports & DOTTED) - {module.dotted}
    return edges


def reachable(edges: Graph, start: str) -> set[str]:
    """What `start` imports, directly or not; it is among them if it stands on a circle."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = edges[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found


def circles(edges: Graph) -> Iterator[frozenset[str]]:
    """Groups of modules of which each imports every other, directly or not."""
    behind = {name: reachable(edges, name) for name in edges}
    groups = {
        frozenset(other for other in behind[name] if name in behind[other])
        for name in edges
        if name in behind[name]
    }
    yield from sorted(groups, key=sorted)


def test_modules_have_no_circle() -> None:
    assert [sorted(circle) for circle in circles(graph()) if circle not in KNOWN] == []


def test_no_exception_for_what_is_not_there() -> None:
    assert KNOWN.keys() <= set(circles(graph()))


def test_a_circle_is_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"f"}, "f": {"e"}}
    assert list(circles(edges)) == [{"b", "c"}, {"e", "f"}]


def test_imports_of_every_kind_are_found() -> None:
    """The tests above would pass on a graph without edges."""
    edges = graph()
    expected = {
        "tricorn.log.access_line": "tricorn.log.access_format",  # import in a .pyx
        "tricorn.transport.worker_context": "tricorn.http.request",  # cimport in a .pxd
        "tricorn.transport.opening": "tricorn.gateway.environ",  # import in a .pyi
        "tricorn.launch": "tricorn.arbiter.arbiter",  # import in a function
        "tricorn.workers.threaded": "tricorn.log.setup",  # a module as a member of its package
        "tricorn.config.commandline": "tricorn",  # a name of a package's own
    }
    assert {name: target for name, target in expected.items() if target not in edges[name]} == {}
