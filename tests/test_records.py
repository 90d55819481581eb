"""Classes of fields are as the standard library's, whatever they are made of."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tricorn import records
from tricorn.config.settings import Settings
from tricorn.records import dataclass, field, fields, replace


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 2
    marks: list[str] = field(default_factory=list, compare=False)
    ORIGIN: ClassVar[int] = 0

    def moved(self, by: int) -> Point:
        return replace(self, x=self.x + by)


@dataclass(frozen=True, kw_only=True)
class Named(Point):
    name: str = field(default="here", repr=False)


@dataclass
class Loose:
    value: int
    later: int = field(init=False)

    def __post_init__(self) -> None:
        self.value += 1


@dataclass(eq=False)
class Own:
    value: int

    def __repr__(self) -> str:
        return "mine"


def test_made_of_values_by_place_and_by_name() -> None:
    assert vars(Point(1)) == vars(Point(x=1)) == {"x": 1, "y": 2, "marks": []}
    assert vars(Point(1, 3, ["m"])) == vars(Point(y=3, marks=["m"], x=1))
    # summary.py writes them by their places, whatever the order in which they were given.
    assert list(vars(Point(marks=[], y=3, x=1))) == ["x", "y", "marks"]
    assert Point(1).marks is not Point(1).marks
    assert vars(Named(1, name="a")) == {"x": 1, "y": 2, "marks": [], "name": "a"}
    assert vars(Loose(1)) == {"value": 2}


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Point(), "misses a value for 'x'"),  # type: ignore[call-arg]
        (lambda: Point(1, z=1), "has no field 'z'"),  # type: ignore[call-arg]
        (lambda: Point(1, ORIGIN=1), "has no field 'ORIGIN'"),  # type: ignore[call-arg]
        (lambda: Point(1, 2, [], 4), "has 3 fields, and not 4"),  # type: ignore[call-arg]
        (lambda: Point(1, x=1), "has two values for one of x"),  # type: ignore[misc]
        (lambda: Named(1, 2, [], "a"), "has 3 fields, and not 4"),  # type: ignore[misc]
        (lambda: Loose(1, later=1), "has no field 'later'"),  # type: ignore[call-arg]
        (lambda: Settings(wrokers=3), "has no field 'wrokers'"),  # type: ignore[call-arg]
        (lambda: Settings("app:app"), "has 0 fields, and not 1"),  # type: ignore[call-arg]
    ],
)
def test_wrong_arguments_are_refused(make: Callable[[], object], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        make()


def test_equal_by_value() -> None:
    assert Point(1) == Point(1, marks=["m"])
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    assert Point(1) != 1
    assert hash(Point(1)) == hash(Point(1, marks=["m"]))
    assert len({Point(1), Point(1), Point(2)}) == 2
    one, other = Loose(1), Loose(1)
    one.later = other.later = 3
    assert one == other
    with pytest.raises(TypeError, match="unhashable"):
        hash(Loose(1))
    assert Own(1) != Own(1)
    assert len({Own(1), Own(1)}) == 2


def test_shown() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2, marks=[])"
    assert repr(Named(1)) == "Named(x=1, y=2, marks=[])"
    assert repr(Own(1)) == "mine"
    assert repr(Settings(workers=3)).startswith("Settings(wsgi_app=None, ")


@pytest.mark.parametrize("made", [Point(1), Named(1), Settings()])
def test_frozen(made: Any) -> None:
    for name in ("x", "workers", "unknown"):
        with pytest.raises(AttributeError, match=f"is not changed: '{name}'"):
            setattr(made, name, 5)
        with pytest.raises(AttributeError, match=f"is not changed: '{name}'"):
            delattr(made, name)
    loose = Loose(1)
    loose.value = 5
    assert loose.value == 5


def test_replaced_copied_pickled_matched() -> None:
    marks = ["m"]
    assert vars(Point(1, marks=marks).moved(4)) == {"x": 5, "y": 2, "marks": marks}
    assert replace(Named(1), name="b").name == "b"
    with pytest.raises(TypeError, match="has no field 'z'"):
        replace(Point(1), z=1)  # type: ignore[call-arg]
    assert pickle.loads(pickle.dumps(Point(3))) == copy.copy(Point(3)) == Point(3)
    match Named(7, 8):
        case Point(x, y):
            assert (x, y) == (7, 8)


def test_fields() -> None:
    assert [each.name for each in fields(Named)] == ["x", "y", "marks", "name"]
    assert [each.name for each in fields(Loose(1))] == ["value", "later"]


def test_a_default_that_all_objects_would_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Wrong\.marks: all objects would share \[\]"):

        @dataclass
        class Wrong:
            marks: list[str] = []  # noqa: RUF012 - that it is refused is the point


@pytest.mark.parametrize("name", ["dataclass", "field", "fields", "replace"])
def test_type_checkers_see_what_is_called(name: str) -> None:
    """They are told that these are the standard library's; this is where the two would come apart."""
    assert callable(getattr(records, name))
    assert callable(getattr(dataclasses, name))
