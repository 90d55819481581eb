"""Every code block of the documentation is checked, or marked with the reason why not."""

from __future__ import annotations

import ast
import configparser
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from architecture.source import ROOT
from deploy.containers import image
from deploy.programs import program
from docs.blocks import Block, blocks, commands

from tricorn.commands.table import maybe_command, maybe_service
from tricorn.config.commandline import read_options
from tricorn.config.settings import SETTINGS
from tricorn.config.sources import Written, parsed
from tricorn.net.address import parse_bind

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "examples" / "README.md"]
BLOCKS = [block for page in PAGES for block in blocks(page)]

#: What other users, groups and files there are on the reader's machine cannot be known here.
THEIRS = {"user", "group", "chdir", "config"}

Check = Callable[[Block, Path], None]


def is_python(block: Block, _: Path) -> None:
    """Fragments may wait at their top."""
    compile(block.text, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def is_toml(block: Block, _: Path) -> None:
    table = tomllib.loads(block.text)
    for name, value in table.get("tool", {}).get("tricorn", table).items():
        is_understood(name, value, block)


def is_understood(name: str, value: object, block: Block) -> None:
    """A value, by its form; of an address also its grammar."""
    if name in THEIRS:
        return
    value = parsed(SETTINGS[name], Written(value, str(block)))
    for address in value if name == "bind" else ():
        parse_bind(re.sub(r"fd://[a-z]\w*", "fd://3", address))  # systemd's name of a socket


def is_shell(block: Block, _: Path) -> None:
    """bash reads it, and what is for `tricorn` is understood: each option, and its value."""
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, f"{block}: {done.stderr}"
    for line in commands(block.text):
        for part in re.split(r"\s(?:&&|\|\|?|;|>>?)\s", line):
            words = shlex.split(part)
            while words and re.match(r"\w+=", words[0]):
                del words[0]
            if words and Path(words[0]).name == "tricorn" and maybe_command(words[1:]) is None:
                is_service = maybe_service(words[1:]) is not None
                understood(words[1 + is_service :], block)


def understood(words: list[str], block: Block) -> None:
    words = [re.sub(r"\$\(.*\)|\$\w+", "1", word) for word in words]
    if not {"--help", "--version"} & set(words):
        options = read_options(words, str(block))
        assert not options.warnings, options.warnings
        for name, value in options.values.items():
            is_understood(name, value, block)


def is_json(block: Block, _: Path) -> None:
    for line in [block.text] if block.text.lstrip().startswith("{\n") else block.text.splitlines():
        json.loads(line)


def is_yaml(block: Block, _: Path) -> None:
    list(yaml.safe_load_all(block.text))


def is_ini(block: Block, _: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(
        block.text if block.text.lstrip().startswith(("[", "#", ";")) else f"[x]\n{block.text}"
    )


def is_nginx(block: Block, directory: Path) -> None:
    """nginx itself says so, when the block stands where such things stand."""
    text = re.sub(r"/run/mysite/web\.sock", str(directory / "sock"), block.text)
    text = re.sub(r"listen\s+443 ssl;", "listen 127.0.0.1:8443;", text)
    if not re.search(r"^(upstream|server|map)\b", text, re.MULTILINE):
        text = f"server {{ {text} }}"
    if "http://mysite" in text and "upstream mysite" not in text:
        text = f"upstream mysite {{ server 127.0.0.1:1; }}\n{text}"
    places = "".join(
        f"{each}_temp_path {directory}/{each};"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = directory / "nginx.conf"
    head = f"pid {directory}/pid; error_log stderr; events {{}}"
    conf.write_text(f"{head} http {{ access_log off; {places} {text} }}")
    command = [program("nginx"), "-t", "-e", "stderr", "-p", directory, "-c", conf]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{block}: {done.stderr}"


def is_dockerfile(block: Block, directory: Path) -> None:
    path = directory / "Dockerfile"
    path.write_text(block.text)
    assert image(path).command[0] == "tricorn"


def is_left_alone(block: Block, _: Path) -> None:
    """What a program prints, and files of programs that are not asked here (logrotate, Apache)."""
    assert block.text.strip()


CHECKS: dict[str, Check] = {
    "python": is_python,
    "toml": is_toml,
    "sh": is_shell,
    "json": is_json,
    "yaml": is_yaml,
    "ini": is_ini,
    "nginx": is_nginx,
    "dockerfile": is_dockerfile,
    "apache": is_left_alone,
    "text": is_left_alone,
    "": is_left_alone,
}


def test_the_pages_have_blocks() -> None:
    """The tests below would pass on a reader that finds nothing."""
    assert len(BLOCKS) > 150
    assert {block.language for block in BLOCKS} == set(CHECKS)
    assert sum("answers" in block.marks for block in BLOCKS) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        assert block.language in CHECKS, f"{block}: nobody knows how to check {block.language!r}"
        if "not run" in block.marks:
            assert len(block.marks["not run"]) > 5, f"{block}: say why"
            continue
        try:
            CHECKS[block.language](block, tmp_path)
        except Exception as error:
            error.add_note(f"in the block at {block}")
            raise
