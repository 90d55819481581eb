"""Commands in files of Compose and of Kubernetes.

Knows: as much of YAML as such lines are written in: texts, lists in both forms, blocks. Must not know: what a
command is.

Not a parser of YAML, which would be a package for a command that most people use once: what it does not
understand (anchors, aliases, templates) it leaves as it is written.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence

#: In the order in which they make one command. Compose has the first two, Kubernetes the last two.
KEYS = ("entrypoint", "command", "args")
LINE = re.compile(rf"( *)(- +)?({'|'.join(KEYS)}):(?: +(.*))?")
BLOCK = re.compile(r"[|>][-+0-9]*")
ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]*?)\s*(?:,|$)""")


def commands_in(text: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the line, words) of each container."""
    lines = text.splitlines()
    parts: dict[str, tuple[int, list[str]]] = {}
    level = 0
    for at, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = LINE.fullmatch(line)
        if parts and (indent(line) < level or (found and found[2])):
            yield whole(parts)
            parts = {}
        if found and (not parts or indent(line) == level):
            level = len(found[1]) + len(found[2] or "")
            parts[found[3]] = at + 1, words_of((found[4] or "").strip(), below(lines, at, level))
    if parts:
        yield whole(parts)


def whole(parts: dict[str, tuple[int, list[str]]]) -> tuple[int, list[str]]:
    there = [parts[key] for key in KEYS if key in parts]
    return there[0][0], [word for _, words in there for word in words]


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def below(lines: Sequence[str], at: int, level: int) -> list[str]:
    """What belongs to the key in this line. The items of a list may stand as far to the left as the key."""
    inner = []
    for line in lines[at + 1 :]:
        if line.strip() and indent(line) <= level and not (indent(line) == level and line.lstrip()[0] == "-"):
            break
        inner.append(line)
    return inner


def words_of(value: str, inner: Sequence[str]) -> list[str]:
    if value.startswith("["):
        flow = " ".join([value, *map(str.strip, inner)])
        return [scalar(item) for item in ITEM.findall(flow[1:].rpartition("]")[0]) if item]
    if BLOCK.fullmatch(value):
        return split(" ".join(map(str.strip, inner)))
    if value:
        return split(scalar(" ".join([value, *map(str.strip, inner)]).strip()))
    return items(inner)


def items(lines: Sequence[str]) -> list[str]:
    """Of a list with one line for each, or a block."""
    found: list[str] = []
    for line in map(str.strip, lines):
        text = line.removeprefix("-").strip()
        if line.startswith("- "):
            found.append("" if BLOCK.fullmatch(text) else scalar(text))
        elif found and line and not line.startswith("#"):
            found[-1] = f"{found[-1]}\n{line}".strip()
    return found


def scalar(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return re.sub(r"\s#.*", "", text)


def split(text: str) -> list[str]:
    """As Compose splits a text: into words, without a shell."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
