"""What the pages say one may write and start is written and started, section by section, and answers."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from architecture.source import ROOT
from deploy.programs import TRICORN, environ, free_port, running
from docs.blocks import Block, blocks, commands

#: Programs of this environment, as a reader has them on the PATH.
BIN = Path(sys.executable).parent

PAGES = sorted((ROOT / "docs").glob("*.md"))
#: (page, section) that start something.
SECTIONS = [
    (page, section)
    for page in PAGES
    for section in dict.fromkeys(block.section for block in blocks(page) if "answers" in block.marks)
]
#: What runs under `make test` too; the others take longer than a second, or are much alike.
QUICK = {("quickstart.md", "Serve something")}


def of(page: Path, section: str) -> list[Block]:
    """The blocks of a section. Where it has no files of its own there are those of the sections before."""
    found = blocks(page)
    own = [block for block in found if block.section == section]
    if any(block.file for block in own if block.file.endswith(".py")):
        return own
    before = found[: found.index(own[0])]
    return [block for block in before if block.file] + own


def started_and_asked(words: list[str], paths: list[str], directory: Path) -> None:
    """At a port of our own, with one worker: how many there are is not what is shown."""
    port = free_port()
    words = [
        f"127.0.0.1:{port}" if before == "--bind" else word
        for before, word in zip(["", *words], words, strict=False)
    ]
    if "--bind" not in words:
        words += ["--bind", f"127.0.0.1:{port}"]
    with running([*TRICORN, *words, "--workers", "1"], directory, name=f"server-{port}", env=env()) as server:
        server.wait_log("is ready")
        for path in paths:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
                assert response.status == 200
                assert response.read()
        assert server.stop() == 0
        assert "Traceback" not in server.log(), server.log()
        assert "tricorn: warning" not in server.log(), server.log()


def env() -> dict[str, str]:
    return environ(PATH=os.pathsep.join([str(BIN), os.environ["PATH"]]), PYTHONPATH="")


@pytest.mark.parametrize(
    ("page", "section"),
    [
        pytest.param(
            page,
            section,
            id=f"{page.stem}: {section}",
            marks=[] if (page.name, section) in QUICK else [pytest.mark.slow],
        )
        for page, section in SECTIONS
    ],
)
def test_a_section(page: Path, section: str, tmp_path: Path) -> None:
    for block in of(page, section):
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text)
        elif block.language == "sh" and "not run" not in block.marks:
            for line in commands(block.text):
                words = shlex.split(line)
                if words[0] == "tricorn":
                    started_and_asked(words[1:], block.marks["answers"].split(), tmp_path)
                else:
                    subprocess.run(
                        words, cwd=tmp_path, env=env(), check=True, timeout=60, capture_output=True
                    )


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_configurations_are_checked(page: Path, tmp_path: Path) -> None:
    """Lines with --check-config and --print-config that have their application on the page."""
    found = blocks(page)
    for block in found:
        if block.file and "not run" in block.marks and block.marks["not run"] == "hidden":
            (tmp_path / block.file).write_text(block.text)
    names = {Path(block.file).stem for block in found if block.marks.get("not run") == "hidden"}
    for block in found:
        for line in commands(block.text) if block.language == "sh" else []:
            words = shlex.split(line)
            if words[0] == "tricorn" and words[-1].partition(":")[0] in names:
                subprocess.run(
                    [*TRICORN, *words[1:]],
                    cwd=tmp_path,
                    env=env(),
                    check=True,
                    timeout=60,
                    capture_output=True,
                )
