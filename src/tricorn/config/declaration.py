"""What the declaration of a setting consists of.

Knows: the parts of a declaration and the names that follow from it. Must not know: any particular setting.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from tricorn.config.parsers import Kind
from tricorn.records import dataclass, field

T = TypeVar("T")
KEY = "declared"


class Core(Enum):
    """What of the compiled core takes values of settings. The value says where it stands."""

    TERMS = "transport/worker_context.pxd"
    LIMITS = "http/request.pxd"


@dataclass(frozen=True)
class Shared:
    """An environment variable that platforms and Gunicorn share with us, and the text it stands for."""

    variable: str
    text: Callable[[str], str] = str


@dataclass(frozen=True)
class Declared:
    """All there is to say about one setting; the command line, the files and the pages are made of this.

    fills: what of the core gets the value, as `kind.to_core` makes it: (Core.TERMS, name of the attribute).
    in_routes: requests below a path prefix may have a value of their own (routes.py).
    """

    name: str
    default: Any
    kind: Kind[Any]
    section: str
    doc: str
    flags: tuple[str, ...]
    env: Shared | None
    positional: bool
    in_files: bool
    fills: tuple[Core, str] | None
    in_routes: bool

    @property
    def variable(self) -> str:
        return f"TRICORN_{self.name.upper()}"

    @property
    def long_flag(self) -> str:
        return next(flag for flag in self.flags if flag.startswith("--"))

    @property
    def negative_flags(self) -> tuple[str, ...]:
        """A switch has both forms, so that what a file turned on can be turned off, and the reverse."""
        if not self.kind.is_switch:
            return ()
        # What Gunicorn calls --no-control-socket has no other form: --control-socket is another setting.
        plain = (flag for flag in self.flags if flag.startswith("--") and not flag.startswith("--no-"))
        return tuple(f"--no-{flag.removeprefix('--')}" for flag in plain)

    @property
    def summary(self) -> str:
        """The first sentence."""
        return self.doc.split(". ")[0].rstrip(".") + "."


def setting(
    default: T,
    *,
    parse: Kind[T],
    section: str,
    doc: str,
    flags: tuple[str, ...] = (),
    env: Shared | None = None,
    positional: bool = False,
    in_files: bool = True,
    fills: tuple[Core, str] | None = None,
    in_routes: bool = False,
) -> T:
    """Declares one field of `Settings`. The name is the field's; the type checker holds default, parser and
    field to one type."""
    declared = Declared("", default, parse, section, doc, flags, env, positional, in_files, fills, in_routes)
    made: T = field(default=default, metadata={KEY: declared}, repr=not parse.is_secret)
    return made
