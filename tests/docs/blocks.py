"""The code blocks of the pages, in order, with what the page says of each to the tests.

A comment of HTML right above a block, which readers do not see, says one of:

    <!-- not run: REASON -->        it cannot be checked here, and why
    <!-- file: NAME -->             it is this file (a first line `# NAME.py` says so too)
    <!-- answers: /PATH … -->       the servers that it starts answer these paths

and a comment that is longer is a file by itself: `<!-- file: NAME`, its lines, `-->`.

Knows: Markdown, as far as our pages go. Must not know: what a block means.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_MARK = re.compile(r"^<!-- (not run|file|answers): (.*?)( -->)?$")
#: In a comment's sign of the language; a path with a suffix and nothing else.
_NAMED = re.compile(r"# ([\w./-]+\.(?:py|toml|ini|conf))$")


@dataclass
class Block:
    """line: of the page, where it begins. section: the heading (##) that it stands under."""

    page: Path
    line: int
    section: str
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name of the file that it is; empty if it is none."""
        named = _NAMED.match(self.text.partition("\n")[0])
        return self.marks.get("file") or (named[1] if named else "")

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    section, marks, at = "", {}, 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if mark := _MARK.match(line):
            marks[mark[1]] = mark[2]
            if not mark[3]:
                end = lines.index("-->", at)
                text = "\n".join(lines[at + 1 : end]) + "\n"
                yield Block(page, at + 1, section, "", text, {"file": mark[2], "not run": "hidden"})
                marks, at = {}, end
        elif fence := _FENCE.match(line):
            end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == "```")
            text = textwrap.dedent("\n".join(lines[at + 1 : end])) + "\n"
            yield Block(page, at + 1, section, fence[2], text, marks)
            marks, at = {}, end
        elif line.strip():
            assert not marks, f"{page.name}:{at + 1}: no block follows {marks}"
        at += 1


def commands(text: str) -> list[str]:
    """The lines of a block for the shell, each whole, without comments and prompts."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found = (re.sub(r"(?:^|\s)#\s.*", "", line).strip() for line in joined.splitlines())
    return [line.removeprefix("$ ") for line in found if line]
