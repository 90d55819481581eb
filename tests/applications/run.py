"""`make apps`: each application behind our server and behind its usual one, and a table of what differs.

Knows: the order of things, what counts as a difference. Must not know: a particular application or server.

Exit codes: 0 if no application can tell the servers apart, 1 if one can, 2 if nothing can be run here. All
that is written is in build/apps: environments, logs, and a screenshot of each page that failed.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from applications import browser
from applications.application import Application, applications
from applications.environment import PLACE, MissingError, prepare, versions
from applications.evidence import Evidence, differences
from applications.serving import GUNICORN_UVICORN, OURS
from applications.trial import Trial
from applications.wires import PLAIN, Wire, tls

#: For each commit: small, quickly installed, and one of each: WSGI, ASGI, WebSocket.
CI = ("pypiserver", "socketio", "datasette")


NO_BROWSER = "no browser: apt-get install chromium, or ARGS=--no-browser for what goes without"


@dataclass
class Verdict:
    """What came of one application. missing: why it could not be tried."""

    application: Application
    version: str = ""
    missing: str = ""
    ours: Evidence = field(default_factory=Evidence)
    theirs: Evidence = field(default_factory=Evidence)
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    chosen = [found for found in applications() if not options.only or found.name in options.only]
    if unknown := set(options.only or ()) - {found.name for found in chosen}:
        _say(f"no such application: {', '.join(sorted(unknown))}")
        return 2
    if options.list:
        for found in chosen:
            print(f"{found.name:16}{found.module.INTERFACE:6}{found.about}")
        return 0
    path = None if options.no_browser else browser.find()
    if path is None and not options.no_browser:
        _say(NO_BROWSER)
        return 2
    files, wire = _files(), tls() if options.tls else PLAIN
    verdicts = []
    for found in chosen:
        verdicts.append(_try(found, path, files, wire))
        _tell(verdicts[-1])
    return _report(verdicts)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make apps", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=lambda words: words.split(","), help="these: nicegui,gradio")
    parser.add_argument("--list", action="store_true", help="show what there is, and end")
    parser.add_argument(
        "--no-browser", action="store_true", help="pages, their resources and forms by plain HTTP"
    )
    parser.add_argument("--tls", action="store_true", help="over https, behind every server")
    parser.add_argument("--ci", action="store_true", help=f"the same as --no-browser --only {','.join(CI)}")
    options = parser.parse_args(arguments)
    if options.ci:
        options.no_browser = True
        options.only = list(CI)
    return options


def _try(found: Application, path: str | None, files: Path, wire: Wire) -> Verdict:
    """One application behind both servers."""
    began = time.monotonic()
    verdict = Verdict(found)
    try:
        python = prepare(found.name, found.packages)
    except MissingError as error:
        verdict.missing = str(error)
        return verdict
    package = found.module.PACKAGES[0]
    verdict.version = f"{package} {versions(python, [package])[package]}"
    trial = Trial(found, python, path, files, wire)
    verdict.theirs = trial.behind(found.peer)
    verdict.ours = trial.behind(OURS)
    verdict.differences = list(differences(verdict.ours, verdict.theirs))
    if found.get("RECONNECTS"):
        verdict.theirs.reload = trial.through_reload(GUNICORN_UVICORN)
        verdict.ours.reload = trial.through_reload(OURS)
        if verdict.ours.reload and not verdict.ours.reload.startswith("works"):
            verdict.differences.append(
                f"after a reload: {verdict.ours.reload}; there: {verdict.theirs.reload}"
            )
    verdict.seconds = time.monotonic() - began
    return verdict


def _files() -> Path:
    """What is uploaded."""
    files = PLACE / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "300k.bin").write_bytes(bytes(range(250)) * 1200)
    (files / "picture.png").write_bytes(_picture(200))
    return files


def _picture(side: int) -> bytes:
    """A PNG, square and grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([120]) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _tell(verdict: Verdict) -> None:
    """An application's lines, as soon as they are known."""
    if verdict.missing:
        _say(f"{verdict.application.name}: MISSING: {verdict.missing}")
        return
    word = "DIFFERS" if verdict.differences else "the same"
    _say(f"{verdict.application.name}: {word} ({verdict.version}, {verdict.seconds:.0f} s)")
    for line in verdict.differences:
        _say(f"    {line}")


def _report(verdicts: Sequence[Verdict]) -> int:
    tried = [verdict for verdict in verdicts if not verdict.missing]
    missing = [verdict for verdict in verdicts if verdict.missing]
    bad = [verdict for verdict in tried if verdict.differences]
    print(f"\n{_table(tried)}\n")
    for verdict in missing:
        print(f"missing: {verdict.application.name}: {verdict.missing}")
    told = f"{len(tried) - len(bad)} of {len(tried)} applications work as on their usual server"
    if missing:
        told += f"; not installed: {', '.join(verdict.application.name for verdict in missing)}"
    if bad:
        told += (
            f"; NOT: {', '.join(verdict.application.name for verdict in bad)}; logs and pictures in {PLACE}"
        )
    print(told)
    return 1 if bad else 2 if not tried else 0


_HEAD = ("application", "beside", "resources", "failed", "console", "reload", "what it shows")


def _table(verdicts: Sequence[Verdict]) -> str:
    """In each cell with a slash: here / there."""
    rows = [_HEAD, *map(_row, verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def _row(verdict: Verdict) -> tuple[str, ...]:
    ours, theirs = verdict.ours, verdict.theirs
    return (
        verdict.version,
        verdict.application.peer.name,
        f"{len(ours.resources)}/{len(theirs.resources)}",
        f"{len(ours.failures())}/{len(theirs.failures())}",
        f"{len(ours.console)}/{len(theirs.console)}",
        f"{_brief(ours.reload)}/{_brief(theirs.reload)}",
        ours.result or (f"FAULT {ours.fault[:100]!r}" if ours.fault else "-"),
    )


def _brief(reload: str) -> str:
    """Of a reload: after how long it works, or that it does not."""
    return reload.removeprefix("works after ") if reload.startswith("works") else "NO" if reload else "-"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
