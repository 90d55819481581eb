"""Exceptions after which a worker had better be replaced (`reload_on_exception`).

Knows: names of classes, the signals by which frameworks tell of exceptions that they deal with themselves.
Must not know: what is done about it.

Nothing is imported for it, and nothing is compared before something was raised. A name fits a class by the
module and name that the class says of itself, or by where the class can be found under that name now.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tricorn.log.exceptions import members_of

#: Module and attribute of signals that are sent when a framework answers an exception by itself: it never
#: comes out of the request. Django's are its own, those of the others are blinker's; both call with keywords.
TOLD_BY = (
    ("django.core.signals", "got_request_exception"),
    ("flask.signals", "got_request_exception"),
    ("quart.signals", "got_request_exception"),
)

#: Exceptions of one failure that are looked at: members of groups, and of groups in them.
MOST = 64

_module = type.__dict__["__module__"].__get__
_mro = type.__dict__["__mro__"].__get__
_qualified_name = type.__dict__["__qualname__"].__get__


class Suspects:
    """names: as in the setting. found: called with the name that fitted, in the thread that raised, each
    time."""

    def __init__(self, names: Sequence[str], found: Callable[[str], object]) -> None:
        self._names = tuple(names)
        self._found = found

    def __call__(self, error: BaseException) -> None:
        """An application has raised this out of a request."""
        name = self.maybe_name(error)
        if name is not None:
            self._found(name)

    def listen(self) -> None:
        """Hear also of what the framework that is loaded keeps to itself."""
        for module, attribute in TOLD_BY:
            signal = vars(sys.modules[module]).get(attribute) if module in sys.modules else None
            if signal is not None:
                signal.connect(self._told, weak=False)

    def _told(self, *_: object, exception: BaseException | None = None, **__: Any) -> None:
        """Django does not say which exception: it is the one that is being handled."""
        error = sys.exception() if exception is None else exception
        if error is not None:
            self(error)

    def maybe_name(self, error: BaseException) -> str | None:
        """The first of our names that fits it, or a member if it is a group."""
        kinds = [kind for one in _all_of(error) for kind in _mro(type(one))]
        found = {own for kind in kinds for own in _own_names(kind)}
        return next((name for name in self._names if name in found or _known_as(name) in kinds), None)


def _all_of(error: BaseException) -> Iterator[BaseException]:
    waiting = [error]
    for _ in range(MOST):
        if not waiting:
            return
        one = waiting.pop()
        yield one
        waiting += members_of(one)


def _own_names(kind: type) -> Iterator[str]:
    module = _module(kind)
    name = _qualified_name(kind)
    if module == "builtins":
        yield name
    if isinstance(module, str):
        yield f"{module}.{name}"


def _known_as(name: str) -> object:
    """What stands under this name, if its module is there. Many packages give their exceptions away by
    another name than that of the module that defines them."""
    module, _, attribute = name.rpartition(".")
    # Without the module's own __getattr__, which may import.
    return vars(sys.modules[module]).get(attribute) if module in sys.modules else None
