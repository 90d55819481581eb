"""How one writes what is answered from files: directories by the prefix of their paths, for how long their
files may be kept, types that we do not know.

    static = ["/assets=./build/assets", "/media=/srv/media"]

Knows: the forms. Must not know: what directories there are, how files are answered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tricorn.config.errors import BadValueError
from tricorn.config.parsers import TOKEN, Kind, items_of, refuse, shortened, split_commas
from tricorn.config.routes import checked_prefix, wire_form

#: What a field value may hold (RFC 9110 §5.5), of which we write ASCII.
VALUE = r"[!-~]([ -~]*[!-~])?"
MEDIA_TYPE = rf"{TOKEN}/{TOKEN}( *;[ -~]*)?"


def directories(example: str) -> Kind[Mapping[str, str]]:
    """A directory by prefix: a table in a file, elsewhere PREFIX=DIRECTORY."""
    words = "PREFIX=DIRECTORY"

    def convert(written: object) -> Mapping[str, str]:
        made: dict[str, str] = {}
        taken: dict[bytes, str] = {}
        for prefix, directory in _pairs(written, words):
            bare = wire_form(checked_prefix(prefix))
            if not directory:
                raise BadValueError(
                    f"{shortened(prefix)} has no directory", f"write {words}, for example {example!r}"
                )
            if "\0" in directory:
                raise BadValueError(f"{shortened(directory)} is not the path of a directory", "name one")
            if bare in taken:
                raise BadValueError(
                    f"{shortened(prefix)} is the same prefix as {shortened(taken[bare])}",
                    "name one directory for it",
                )
            taken[bare] = prefix
            made[prefix] = directory
        return MappingProxyType(made)

    return Kind(convert, words, words, example, split=split_commas, blank=True)


def cache_rules(example: str) -> Kind[tuple[str, ...]]:
    """PATTERN=VALUE, in their order. In an environment variable ';' separates them: values have commas."""
    words = "PATTERN=VALUE, where PATTERN begins with '/' or '*'"

    def convert(written: object) -> tuple[str, ...]:
        made = []
        for pattern, value in _pairs(written, words):
            if not re.fullmatch(r"[/*][^\0]*", pattern):
                raise BadValueError(
                    f"{shortened(pattern)} fits no path", f"write {words}, for example {example!r}"
                )
            if value and not re.fullmatch(VALUE, value):
                raise BadValueError(
                    f"{shortened(value)} cannot be sent in Cache-Control", "write visible ASCII characters"
                )
            made.append(f"{pattern}={value}")
        return tuple(made)

    return Kind(
        convert, words, "PATTERN=VALUE", example, split=split_semicolons, blank=True, show=show_semicolons
    )


def media_types() -> Kind[Mapping[str, str]]:
    """A type by the end of names: a table in a file, elsewhere END=TYPE."""
    words = "END=TYPE"
    example = "glsl=text/plain"

    def convert(written: object) -> Mapping[str, str]:
        made = {}
        for end, kind in _pairs(written, words):
            bare = end.removeprefix(".")
            if not re.fullmatch(TOKEN, bare) or "." in bare:
                raise BadValueError(
                    f"{shortened(end)} is not the end of a name, without its dot",
                    f"write {words}, for example {example!r}",
                )
            if not re.fullmatch(MEDIA_TYPE, kind):
                raise BadValueError(
                    f"{shortened(kind)} is not a media type", f"write {words}, for example {example!r}"
                )
            made[bare.lower()] = kind
        return MappingProxyType(made)

    return Kind(convert, words, words, example, split=split_commas, blank=True)


def split_semicolons(text: str) -> list[str]:
    return [item.strip() for item in text.split(";") if item.strip()]


def show_semicolons(value: object) -> str:
    assert isinstance(value, tuple)
    return "; ".join(value) or "(empty)"


def _pairs(written: object, words: str) -> list[tuple[str, str]]:
    if isinstance(written, Mapping):
        pairs = list(written.items())
        if not all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
            raise refuse(written, words)
        return [(name.strip(), value.strip()) for name, value in pairs]
    made = []
    for item in items_of([] if written is None else written, words):
        name, equals, value = item.partition("=")
        if not equals:
            raise BadValueError(refuse(item, words).message)
        made.append((name.strip(), value.strip()))
    return made
