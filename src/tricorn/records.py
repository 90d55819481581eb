"""Classes of named fields as `dataclasses` makes them, which cost little to make.

`dataclasses` writes the source of a class's methods and compiles it, and is imported with `inspect`, `ast`,
`dis` and `tokenize`. A start makes more than a hundred of these classes, and --help forty. Here nothing is
compiled: the methods of all classes are the same, and go through the fields of theirs.

Knows: fields. Must not know: any particular class.

    @dataclass(frozen=True)
    class Point:
        x: int
        marks: list[str] = field(default_factory=list, compare=False)

Type checkers take them for the standard library's. `slots`, `order` and `InitVar` are not here: nobody uses
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")
C = TypeVar("C", bound=type)

#: There is none. None may be a value.
MISSING: Any = object()

#: Of a class, where its fields are.
FIELDS = "__fields__"


class Field:
    """One field, with what `field` was told of it. is_keyword: it is given by its name only."""

    def __init__(
        self,
        default: Any = MISSING,
        default_factory: Callable[[], Any] | None = None,
        *,
        init: bool = True,
        repr: bool = True,
        compare: bool = True,
        metadata: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """init: objects are made with a value of it; else it has none until it is assigned."""
        self.name = ""
        self.is_keyword = False
        self.default = default
        self.factory = default_factory
        self.init = init
        self.repr = repr
        self.compare = compare
        self.metadata = metadata


def _dataclass(
    cls: C | None = None, /, *, frozen: bool = False, kw_only: bool = False, eq: bool = True
) -> C | Callable[[C], C]:
    """Gives the class the methods of a dataclass, but for those that it has written itself."""

    def made(cls: C) -> C:
        inherited = (each for base in reversed(cls.__mro__[1:]) for each in vars(base).get(FIELDS, ()))
        fields = {each.name: each for each in (*inherited, *_declared(cls, is_keyword=kw_only))}
        for name, method in _methods(cls, tuple(fields.values()), frozen=frozen, eq=eq):
            if name not in vars(cls):
                setattr(cls, name, method)
        return cls

    return made if cls is None else made(cls)


def _declared(cls: type, *, is_keyword: bool) -> Iterator[Field]:
    """From the annotations of this class alone. A default stays an attribute of the class, unless `field` has
    it."""
    for name, annotation in cls.__annotations__.items():
        if "ClassVar" in str(annotation):
            continue
        found = vars(cls).get(name, MISSING)
        made = found if isinstance(found, Field) else Field(found)
        if made is found:
            delattr(cls, name)
        if isinstance(made.default, list | dict | set | bytearray):
            raise ValueError(
                f"{cls.__name__}.{name}: all objects would share {made.default!r}; write a default_factory"
            )
        made.name = name
        made.is_keyword = is_keyword
        yield made


def _methods(cls: type, fields: tuple[Field, ...], *, frozen: bool, eq: bool) -> Iterator[tuple[str, Any]]:
    yield FIELDS, fields
    yield "__match_args__", tuple(each.name for each in fields if each.init and not each.is_keyword)
    yield "__init__", _init(fields, is_completed=hasattr(cls, "__post_init__"))
    yield "__repr__", _repr
    if eq:
        compared = [each.name for each in fields if each.compare]
        values = attrgetter(*compared) if compared else lambda _: ()
        yield "__eq__", _eq(values)
        yield "__hash__", _hash(values) if frozen else None
    if frozen:
        yield "__setattr__", _refuse
        yield "__delattr__", _refuse


def _field(**said: Any) -> Any:
    return Field(**said)


def _fields(given: object) -> tuple[Field, ...]:
    """Of an object, or of a class."""
    found: tuple[Field, ...] = getattr(given, FIELDS)
    return found


def _replace(given: T, /, **changes: Any) -> T:
    """Another one with these values in it."""
    for each in _fields(given):
        if each.init and each.name not in changes:
            changes[each.name] = getattr(given, each.name)
    return type(given)(**changes)


# -- the methods -------------------------------------------------------------------------------------------


def _init(fields: tuple[Field, ...], *, is_completed: bool) -> Callable[..., None]:
    """is_completed: by __post_init__."""
    taken = [each for each in fields if each.init]
    blank = {each.name: each.default for each in taken}
    positional = tuple(each.name for each in taken if not each.is_keyword)
    needed = [each.name for each in taken if each.default is MISSING and each.factory is None]
    makers = [(each.name, each.factory) for each in taken if each.factory is not None]

    def init(self: Any, /, *given: Any, **named: Any) -> None:
        values = blank.copy()
        if given:
            if len(given) > len(positional):
                raise TypeError(f"{_name(self)} has {len(positional)} fields, and not {len(given)}")
            values.update(zip(positional, given, strict=False))
            if named and not named.keys().isdisjoint(positional[: len(given)]):
                raise TypeError(f"{_name(self)} has two values for one of {', '.join(named)}")
        values.update(named)
        for name in needed:
            if values[name] is MISSING:
                raise TypeError(f"{_name(self)} misses a value for {name!r}")
        if len(values) > len(blank):
            unknown = next(name for name in named if name not in blank)
            raise TypeError(f"{_name(self)} has no field {unknown!r}")
        for name, make in makers:
            if values[name] is MISSING:
                values[name] = make()
        self.__dict__.update(values)
        if is_completed:
            self.__post_init__()

    return init


def _repr(self: object) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in _fields(self) if each.repr)
    return f"{_name(self)}({', '.join(shown)})"


def _eq(values: Callable[[object], Any]) -> Callable[[object, object], Any]:
    def eq(self: object, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return eq


def _hash(values: Callable[[object], Any]) -> Callable[[object], int]:
    return lambda self: hash(values(self))


def _refuse(self: object, name: str, _: object = None) -> None:
    raise AttributeError(f"{_name(self)} is not changed: {name!r}")


def _name(given: object) -> str:
    return type(given).__qualname__


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import fields as fields
    from dataclasses import replace as replace
else:
    dataclass, field, fields, replace = _dataclass, _field, _fields, _replace
