"""The rows that tables of foreign settings consist of, and what comes of them.

Knows: the forms of a row. Must not know: any server, any setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from tricorn.records import dataclass, field

#: What was written → our settings, by their names. Raises ValueError: what is wrong with it.
Means = Callable[[str], Mapping[str, object]]


@dataclass
class Translation:
    """What became of one invocation.

    settings: ours, by name, as texts, lists of texts and switches. remarks: what is not the same. lost:
    what there is not, which changes what is served or how.
    """

    settings: dict[str, object] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def put(self, values: Mapping[str, object]) -> None:
        """Of a list more is added; of all else the last one counts, as in every server."""
        for name, value in values.items():
            before = self.settings.get(name)
            both = isinstance(before, list) and isinstance(value, list)
            self.settings[name] = [*before, *value] if both else value  # type: ignore[misc]

    def default(self, name: str, value: object) -> None:
        self.settings.setdefault(name, value)

    def remark_defaults(self, defaults: Iterable[tuple[str, str]]) -> None:
        """defaults: of settings that are others where nothing is written, what is to be known."""
        for name, said in defaults:
            if name not in self.settings:
                self.remark(f"{name}: {said}")

    def remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def lose(self, text: str) -> None:
        if text not in self.lost:
            self.lost.append(text)


@dataclass(frozen=True)
class Row:
    """What one foreign name means.

    means: our settings. says: what is not the same, or why there is nothing. is_lost: there is nothing, and
    that makes a difference. is_switch: it takes no value. off: values that ask for nothing.
    """

    means: Means
    says: str = ""
    is_lost: bool = False
    is_switch: bool = False
    off: tuple[str, ...] = ()

    def apply(self, name: str, value: str, to: Translation) -> None:
        """name: as it was written."""
        if value.strip().lower() in self.off:
            return
        try:
            to.put(self.means(value))
        except ValueError as error:
            to.lose(f"{name} {value}: {error}")
            return
        if self.says:
            (to.lose if self.is_lost else to.remark)(f"{name}: {self.says}")


def nothing(_: str) -> Mapping[str, object]:
    return {}


#: What says "no" in files and variables.
NO = ("false", "no", "off", "0", "none", "")


# ---- constructors ----------------------------------------------------------------------------------------


def same(setting: str, says: str = "", convert: Callable[[str], object] = str, **more: object) -> Row:
    """The setting of ours that means it. more: others that go with it."""
    return Row(lambda value: {setting: convert(value), **more}, says)


def many(setting: str, says: str = "") -> Row:
    """One more item of a list."""
    return Row(lambda value: {setting: [value]}, says)


def switch(says: str = "", **settings: object) -> Row:
    return Row(lambda _: settings, says, is_switch=True, off=NO)


def off(says: str = "", **settings: object) -> Row:
    """A switch that counts where it is written as "no": in files, after an equals sign."""
    return Row(lambda value: settings if value.strip().lower() in NO else {}, says, is_switch=True)


def needless(says: str = "", *, takes_value: bool = True) -> Row:
    """Nothing of ours; what happens anyway, or is an implementation's own business."""
    return Row(nothing, says, is_switch=not takes_value, off=() if takes_value else NO)


def lost(says: str, *, takes_value: bool = True, off: tuple[str, ...] = ()) -> Row:
    return Row(nothing, says, is_lost=True, is_switch=not takes_value, off=off if takes_value else NO)


# ---- values ----------------------------------------------------------------------------------------------

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def milliseconds(value: str) -> str:
    return f"{float(value) / 1000:g}"


def duration(value: str) -> str:
    """Seconds, from 90, 90s, 15m, 1h 30m."""
    parts = re.findall(r"(\d+)\s*([smhd]?)", value)
    if not parts or re.sub(r"(\d+)\s*([smhd]?)\s*", "", value):
        raise ValueError("is not a time")
    return str(sum(int(number) * UNITS[unit] for number, unit in parts))


def megabytes(value: str) -> str:
    return f"{int(value)}m"


def word_of(table: Mapping[str, object]) -> Callable[[str], object]:
    def convert(value: str) -> object:
        if value.lower() not in table:
            raise ValueError(f"there is nothing like it here; there is {', '.join(map(str, table.values()))}")
        return table[value.lower()]

    return convert


def level(value: str) -> str:
    word = value.lower()
    return {"trace": "debug", "warn": "warning", "fatal": "critical", "notset": "debug"}.get(word, word)


VERIFY = {"0": "none", "1": "optional", "2": "required"}


def verify(value: str) -> str:
    word = value.lower().removeprefix("verifymode.").removeprefix("cert_")
    return VERIFY.get(word, word)


def address(host: str, port: str) -> str:
    return f"{f'[{host}]' if host.count(':') > 1 and host[0] != '[' else host}:{port}"


# ---- command lines ---------------------------------------------------------------------------------------


def apply_options(
    words: Sequence[str], rows: Mapping[str, Row], short: Mapping[str, str], to: Translation
) -> list[str]:
    """Each option by its row; gives the words that are none. short: one-letter options → long ones."""
    rest = list(words)
    bare: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*bare, *rest]
        if not word.startswith("-") or word == "-":
            bare.append(word)
            continue
        flag, value = split(word, short)
        row = rows.get(flag)
        if row is None:
            unknown(flag, value, rest, to)
            continue
        if value is None and not row.is_switch:
            if not rest:
                to.lose(f"{flag}: a value is missing")
                return bare
            value = rest.pop(0)
        row.apply(flag, "true" if value is None else value, to)
    return bare


def split(word: str, short: Mapping[str, str]) -> tuple[str, str | None]:
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return flag, value if equals else None
    return short.get(word[:2], word[:2]), word[2:].removeprefix("=") or None


def unknown(flag: str, value: str | None, rest: list[str], to: Translation) -> None:
    to.lose(f"{flag}: this option is not known")
    if value is None and is_value(rest):
        rest.pop(0)


def is_value(rest: Sequence[str]) -> bool:
    """Whether what stands behind an option that nobody knows is its value. What could be the application is
    not taken for one."""
    return len(rest) > 1 and not rest[0].startswith("-") and ":" not in rest[0]


def from_variables(
    variables: Mapping[str, str],
    prefix: str,
    rows: Mapping[str, Row],
    names: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[str, str]]:
    """Options that a server takes from the environment: (option, value).

    names: options whose variables are not made of the prefix and the option → the variable.
    """
    for flag, row in rows.items():
        name = names.get(flag, prefix + flag.removeprefix("--").upper().replace("-", "_"))
        if name not in variables or flag.startswith("--no-"):
            continue
        opposite = f"--no-{flag.removeprefix('--')}"
        if row.is_switch and opposite in rows and variables[name].strip().lower() in NO:
            yield opposite, "true"
        else:
            yield flag, variables[name]
