"""Which exceptions a name means."""

from __future__ import annotations

import email.errors
import subprocess
import sys
from types import ModuleType

import pytest

from tricorn.workers.suspects import Suspects


class InterfaceError(Exception):
    pass


class LostError(InterfaceError):
    class DeeperError(Exception):
        pass


HERE = __name__


def hostile() -> BaseException:
    """Of a class that raises when anything is asked of it, or of what it makes."""

    class Odd(type):
        def __getattribute__(cls, name: str) -> object:
            raise SystemExit

    class HostileError(LostError, metaclass=Odd):
        def __getattribute__(self, name: str) -> object:
            raise SystemExit

    return HostileError()


#: The name, what was raised, whether it fits.
CASES: list[tuple[str, BaseException, bool]] = [
    ("MemoryError", MemoryError(), True),
    ("builtins.MemoryError", MemoryError(), True),
    ("OSError", ConnectionResetError(), True),
    ("ConnectionResetError", OSError(), False),
    (f"{HERE}.InterfaceError", InterfaceError(), True),
    (f"{HERE}.InterfaceError", LostError(), True),
    (f"{HERE}.LostError", InterfaceError(), False),
    (f"{HERE}.LostError.DeeperError", LostError.DeeperError(), True),
    ("elsewhere.InterfaceError", InterfaceError(), False),
    ("InterfaceError", InterfaceError(), False),
    (
        f"{HERE}.InterfaceError",
        ExceptionGroup("two", [ValueError(), ExceptionGroup("in", [LostError()])]),
        True,
    ),
    (f"{HERE}.InterfaceError", ExceptionGroup("one", [ValueError()]), False),
    ("email.errors.MessageError", email.errors.HeaderParseError(), True),
    # By another name than the class's own, where the module is there already.
    ("given_away.Error", LostError(), True),
    ("given_away.Other", LostError(), False),
]


@pytest.mark.parametrize(("name", "error", "fits"), CASES)
def test_names(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, fits: bool) -> None:
    module = ModuleType("given_away")
    module.Error = InterfaceError  # type: ignore[attr-defined]  # as a package does
    monkeypatch.setitem(sys.modules, "given_away", module)
    found: list[str] = []
    Suspects(["ZeroDivisionError", name], found.append)(error)
    assert found == ([name] if fits else [])


def test_nobody_is_asked_for_its_name() -> None:
    assert Suspects([f"{HERE}.InterfaceError"], print).maybe_name(hostile()) == f"{HERE}.InterfaceError"


def test_nothing_is_imported_for_it() -> None:
    """Neither by a name nor for the frameworks' signals."""
    code = (
        "import sys; from tricorn.workers.suspects import Suspects\n"
        "suspects = Suspects(['wave.Error', 'django.db.Error'], print)\n"
        "suspects.listen(); suspects(ValueError())\n"
        "assert not {'wave', 'django', 'flask', 'quart'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_chain_without_end_is_looked_at_in_part() -> None:
    group: Exception = LostError()
    for _ in range(1000):
        group = ExceptionGroup("deep", [group])
    assert Suspects([f"{HERE}.LostError"], print).maybe_name(group) is None
