"""A Dockerfile, as far as ours go: instructions, their words, what the last stage leaves behind.

Knows: the file's form. Must not know: what is in the image.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

#: What may stand at the beginning of a line (docs.docker.com/reference/dockerfile).
INSTRUCTIONS = {
    *(
        "FROM",
        "RUN",
        "CMD",
        "LABEL",
        "EXPOSE",
        "ENV",
        "ADD",
        "COPY",
        "ENTRYPOINT",
        "VOLUME",
        "USER",
        "WORKDIR",
    ),
    *("ARG", "STOPSIGNAL", "HEALTHCHECK", "SHELL"),
}
#: Of a HEALTHCHECK.
OPTIONS = {"--interval", "--timeout", "--start-period", "--start-interval", "--retries"}


@dataclass
class Image:
    """What runs in the end: the last stage."""

    base: str
    env: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    directory: str = "/"
    ports: list[int] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    stages: dict[str, str] = field(default_factory=dict)
    copied_from: set[str] = field(default_factory=set)


def lines(path: Path) -> list[tuple[str, str]]:
    """(instruction, the rest), without comments, continuations joined."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(instruction, rest.strip()) for instruction, _, rest in found]


def image(path: Path) -> Image:
    """Raises AssertionError where the file is not one."""
    made: Image | None = None
    stages: dict[str, str] = {}
    for instruction, rest in lines(path):
        assert instruction in INSTRUCTIONS, instruction
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name] = base
            made = Image(base, stages=stages)
            continue
        assert made is not None, "it begins with FROM"
        if instruction == "ENV":
            made.env |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif instruction == "USER":
            made.user = rest
        elif instruction == "WORKDIR":
            made.directory = rest
        elif instruction == "EXPOSE":
            made.ports += [int(port) for port in rest.split()]
        elif instruction == "CMD":
            made.command = json.loads(rest)  # no shell in between
        elif instruction == "COPY" and rest.startswith("--from="):
            made.copied_from.add(rest.split()[0].removeprefix("--from="))
        elif instruction == "HEALTHCHECK":
            options, _, command = rest.partition(" CMD ")
            assert {option.split("=")[0] for option in options.split()} <= OPTIONS
            made.health = json.loads(command)
    assert made is not None, "it has a FROM"
    return made
