"""A profile as files: for speedscope, and as a flame graph that any browser shows.

Knows: the answers of workers to `profile`, the two formats. Must not know: where answers come from, files.

The one is what https://www.speedscope.app reads (its file-format-schema.json): a profile for each worker and
each of its threads, or all of its tasks. The other is one picture of all workers together: the width of a box
is time, what stands on it was called by it. It has no script and fetches nothing, so it can be looked at
wherever a picture can.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from tricorn import __version__
from tricorn.log.escape import escape_line
from tricorn.records import dataclass, field

SCHEMA = "https://www.speedscope.app/file-format-schema.json"

#: Of the picture, pixels.
WIDTH = 1200
ROW = 17
MARGIN = 10
HEAD = 44
#: A letter of the font is about so wide.
LETTER = 6.7
#: What is narrower is left out: it could not be seen.
NARROWEST = 0.4

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Frame:
    name: str
    file: str
    line: int

    @property
    def said(self) -> str:
        return f"{self.name} ({self.file}:{self.line})"


@dataclass(frozen=True)
class Stack:
    """Of a worker. kind: the name of the thread, or `tasks`. frames: from the outside. seconds: so long."""

    pid: int
    kind: str
    frames: Sequence[Frame]
    seconds: float


def stacks_of(answers: Sequence[Answer]) -> list[Stack]:
    """A worker's application could have answered too, so what has not the right form is left out."""
    return [stack for answer in answers for stack in _stacks(answer)]


def _stacks(answer: Answer) -> Iterator[Stack]:
    try:
        frames = [
            Frame(escape_line(str(n)), escape_line(str(f)), int(line)) for n, f, line in answer["frames"]
        ]
        for kind, numbers, seconds in answer["stacks"]:
            if seconds > 0:
                own = [frames[number] for number in numbers]
                yield Stack(int(answer["pid"]), escape_line(str(kind)), own, float(seconds))
    except (KeyError, IndexError, TypeError, ValueError):
        return


# -- speedscope --------------------------------------------------------------------------------------------


def speedscope(stacks: Sequence[Stack], name: str) -> dict[str, Any]:
    numbers: dict[Frame, int] = {}
    for stack in stacks:
        for frame in stack.frames:
            numbers.setdefault(frame, len(numbers))
    groups: dict[tuple[int, str], list[Stack]] = {}
    for stack in sorted(
        stacks, key=lambda each: (each.pid, each.kind, [numbers[one] for one in each.frames])
    ):
        groups.setdefault((stack.pid, stack.kind), []).append(stack)
    return {
        "$schema": SCHEMA,
        "name": name,
        "exporter": f"tricorn@{__version__}",
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": f.name, "file": f.file, "line": f.line} for f in numbers]},
        "profiles": [
            {
                "type": "sampled",
                "name": f"worker {pid}: {kind}",
                "unit": "seconds",
                "startValue": 0,
                "endValue": round(sum(stack.seconds for stack in own), 4),
                "samples": [[numbers[frame] for frame in stack.frames] for stack in own],
                "weights": [stack.seconds for stack in own],
            }
            for (pid, kind), own in groups.items()
        ],
    }


# -- a picture ---------------------------------------------------------------------------------------------


@dataclass
class Box:
    """What was called in one place, with all that it has called."""

    name: str
    said: str
    seconds: float = 0.0
    called: dict[object, Box] = field(default_factory=dict)

    def box(self, key: object, name: str, said: str) -> Box:
        return self.called.setdefault(key, Box(name, said))

    @property
    def depth(self) -> int:
        return 1 + max((each.depth for each in self.called.values()), default=0)


def tree(stacks: Sequence[Stack]) -> Box:
    """Of all workers together. Below what all have in common stands the kind of a stack."""
    root = Box("all", "all")
    for stack in stacks:
        root.seconds += stack.seconds
        box = root.box(stack.kind, stack.kind, stack.kind)
        box.seconds += stack.seconds
        for frame in stack.frames:
            box = box.box(frame, frame.name, frame.said)
            box.seconds += stack.seconds
    return root


def svg(stacks: Sequence[Stack], title: str) -> str:
    root = tree(stacks)
    height = HEAD + root.depth * ROW + MARGIN
    boxes = "\n".join(_boxes(root, (WIDTH - 2 * MARGIN) / root.seconds, height)) if stacks else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="monospace" font-size="11">\n'
        f"<title>{_safe(title)}</title>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="{MARGIN}" y="20" font-size="14" fill="#000">{_safe(title)}</text>\n'
        f'<text x="{MARGIN}" y="36" fill="#555">The width is time, also of waiting; a box was called by the '
        f"one below it. Point at one to read all of it.</text>\n"
        f"{boxes}\n</svg>\n"
    )


def _boxes(root: Box, scale: float, height: int) -> Iterator[str]:
    """scale: pixels of a second."""
    pending: list[tuple[Box, float, int]] = [(root, MARGIN, 0)]
    while pending:
        each, left, row = pending.pop()
        width = each.seconds * scale
        if width < NARROWEST:
            continue
        top = height - MARGIN - (row + 1) * ROW
        said = f"{each.said}: {each.seconds:.2f} s, {each.seconds / root.seconds:.1%}"
        letters = int((width - 4) / LETTER)
        name = each.name if len(each.name) <= letters else f"{each.name[: letters - 1]}…"
        text = (
            f'<text x="{left + 2:.1f}" y="{top + 12}" fill="#000">{_safe(name)}</text>'
            if letters >= 3
            else ""
        )
        yield (
            f"<g><title>{_safe(said)}</title>"
            f'<rect x="{left:.1f}" y="{top}" width="{max(width - 0.5, 0.3):.1f}" height="{ROW - 1}" '
            f'fill="{_colour(each.said)}"/>{text}</g>'
        )
        for called in sorted(each.called.values(), key=lambda one: one.said):
            pending.append((called, left, row + 1))
            left += called.seconds * scale


def _colour(said: str) -> str:
    """Warm, and the same for the same place in each picture."""
    number = zlib.crc32(said.encode("utf-8", "replace"))
    return f"hsl({20 + number % 35},{65 + number // 35 % 25}%,{66 + number // 875 % 14}%)"


def _safe(text: str) -> str:
    """XML has no characters for some of Unicode (XML 1.0 §2.2)."""
    return escape("".join(each if each.isprintable() else "?" for each in text))
