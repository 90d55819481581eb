"""For MkDocs: what pages link to beside docs/ (ARCHITECTURE.md, an example) is put below project/ there.

On a forge the links are right as they stand in the pages. In the site there is nothing beside docs/. So each
such file is added, and each link to it turned.

Knows: our pages' links. Must not know: how pages look.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent

_LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)]*)?\))")
_FENCE = re.compile(r"^(\s*)```.*?^\1```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """All that pages name, and what these name."""
    waiting = [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    known = set(waiting)
    while waiting:
        page = waiting.pop()
        for target in named(page):
            if target not in known and not target.startswith("docs/"):
                known.add(target)
                files.append(File.generated(config, place(target), abs_src_path=str(ROOT / target)))
                waiting += [target] if target.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    here = page.file.src_uri
    source = here.removeprefix("project/") if here.startswith("project/") else f"docs/{here}"

    def turned(link: re.Match[str]) -> str:
        target = maybe_target(source, link[2])
        if target is None:
            return link[0]
        return f"{link[1]}{posixpath.relpath(place(target), posixpath.dirname(here) or '.')}{link[3]}"

    return outside_code(markdown, lambda text: _LINK.sub(turned, text))


def named(page: str) -> list[str]:
    """What a page of the repository links to, as paths of the repository."""
    text = _FENCE.sub("", (ROOT / page).read_text())
    found = (maybe_target(page, link[2]) for link in _LINK.finditer(text))
    return [target for target in found if target is not None]


def maybe_target(source: str, link: str) -> str | None:
    """None: there is no such file, so it is no link of ours, or MkDocs shall complain."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if (ROOT / path).is_dir():
        path = posixpath.join(path, "README.md")
    return path if os.path.isfile(ROOT / path) else None


def place(target: str) -> str:
    """Of a file of the repository, in the site."""
    return target.removeprefix("docs/") if target.startswith("docs/") else f"project/{target}"


def outside_code(markdown: str, change: Any) -> str:
    parts, at = [], 0
    for block in _FENCE.finditer(markdown):
        parts += [change(markdown[at : block.start()]), block[0]]
        at = block.end()
    return "".join([*parts, change(markdown[at:])])
