"""No call through a reference that is only borrowed.

For `self.queue.flush(…)` Cython takes `self.queue` as it stands: it does not hold the object while its
method runs. If the method gives the GIL away, or runs foreign code, somebody may put another object there,
and the method goes on with one that is freed. So an attribute that changes is held in a local variable first:

    queue = self.queue
    queue.flush(…)

What the rule leaves alone: attributes that are set once, where their object is made, and methods that cannot
be interrupted (`noexcept` in their declaration).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from architecture.source import MODULES, Module

COMPILED = [module for module in MODULES if module.is_compiled]
SOURCES = [module for module in COMPILED if module.path.suffix == ".pyx"]

#: Functions in which an object is not shared yet.
MAKING = re.compile(r"__c?init__|__new__|welcome|new_\w+")

_CLASS = re.compile(r"^cdef class (\w+)", re.MULTILINE)
_ATTRIBUTES = re.compile(r"^    cdef (?:readonly |public )?(\w+) (\w+(?:, \w+)*)\s*$", re.MULTILINE)
_METHOD = re.compile(r"^    cdef (?:inline )?[\w .*]*?\b(\w+)\(([^)]*)\)(.*)$", re.MULTILINE)
_FUNCTION = re.compile(r"^(?: {4})?(?:cdef|def|cpdef) [^(=]*?(\w+)\(")
_CALL = re.compile(r"\b\w+\.(\w+)\.(\w+)\(")
_TARGETS = re.compile(r"^\s+((?:[\w.]+(?:, | = ))*[\w.]+) = ")

#: room or module → why its calls need not hold what they call.
LEFT_OUT = {
    "http": "what it works on has one owner at a time, and nothing in it is foreign code",
}


def functions(module: Module) -> Iterator[tuple[str, str]]:
    """(name of the function, line) of all its code."""
    name = ""
    for line in module.code.splitlines():
        found = _FUNCTION.match(line)
        name = found[1] if found else name
        yield name, line


CLASSES = {name for module in COMPILED for name in _CLASS.findall(module.code)}
#: Attributes that hold an object of a compiled class, whoever's they are.
HOLDING = {
    name
    for module in COMPILED
    for kind, names in _ATTRIBUTES.findall(module.code)
    if kind in CLASSES
    for name in names.split(", ")
}
#: Those of them that are given another one when the object is in use already.
CHANGING = HOLDING & {
    found[1]
    for module in SOURCES
    for function, line in functions(module)
    if not MAKING.fullmatch(function)
    if (targets := _TARGETS.match(line))
    for found in re.finditer(r"\w+\.(\w+)(?![\w.])", targets[1])
}
#: Methods of compiled classes that may be interrupted, by the words of their declaration.
LONG = {
    name for module in COMPILED for name, _, rest in _METHOD.findall(module.code) if "noexcept" not in rest
}


def borrowed(module: Module) -> list[str]:
    return [
        f"{module.name}, {function}: {line.strip()}"
        for function, line in functions(module)
        for attribute, method in _CALL.findall(line)
        if attribute in CHANGING and method in LONG
    ]


@pytest.mark.parametrize(
    "module",
    [module for module in SOURCES if not {module.room, module.name} & LEFT_OUT.keys()],
    ids=lambda module: module.name,
)
def test_calls_hold_what_they_call(module: Module) -> None:
    assert borrowed(module) == []


def test_the_rule_sees_what_it_is_about() -> None:
    """The reading of the sources, which is coarse, finds what it has to."""
    assert {"queue", "protocol", "exchange", "decoder", "store", "call"} <= CHANGING
    assert not {"service", "poller", "builder", "row"} & CHANGING
    assert {"flush", "send", "respond", "read_body", "wait_uncongested"} <= LONG
    assert not {"is_empty", "congested"} & LONG
