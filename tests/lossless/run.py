"""`make lossless`: each event, on each server and wire; the tables; and whether anything was lost.

Knows: the order of things. Must not know: how a request is judged.

Exit codes: 0 if Tricorn has lost nothing, 1 if it has, or did not do what it was told. What the servers
logged is in build/lossless, and all results are in build/lossless/results.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lossless.count import Result, as_words, count, is_good
from lossless.events import EVENTS, Event
from lossless.report import lost, put_into, resent, table
from lossless.service import OWN, PEERS, QUEUES, TRICORN, DidNotHappenError, Kind

ROOT = Path(__file__).parent.parent.parent
PLACE = ROOT / "build" / "lossless"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    # By an exception, so that no server is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    kept = options.directory / "results.json"
    results = [Result(**words) for words in json.loads(kept.read_text())] if options.add else []
    bad = 0
    options.directory.mkdir(parents=True, exist_ok=True)
    for number, (kind, wire, event) in enumerate(cells(options)):
        directory = options.directory / f"{number:03}"
        shutil.rmtree(directory, ignore_errors=True)
        bin = options.peers if kind in PEERS else Path(sys.executable).parent
        try:
            result = count(kind, wire, event, directory, bin)
        except (AssertionError, DidNotHappenError) as error:
            result = Result(kind.name, wire, event.name, remark=str(error).partition("\n")[0][:200])
        print(f"{number:03}  {result}", flush=True)
        for line in result.what[:5]:
            print(f"         {line}", flush=True)
        # An older result of the same cell gives way.
        results = [r for r in results if (r.server, r.wire, r.event) != (kind.name, wire, event.name)]
        results.append(result)
        kept.write_text(json.dumps([as_words(r) for r in results], indent=1))
        bad += kind in OWN and not is_good(result, event)
    text = _tables(results, options.peers)
    print(f"\n{text}")
    if options.page:
        put_into(options.page, text)
    if bad:
        print(f"{bad} cells are not as they should be: {options.directory}")
    return 1 if bad else 0


def cells(options: argparse.Namespace) -> Iterator[tuple[Kind, str, Event]]:
    for event in EVENTS:
        for kind in [*([] if options.only_peers else OWN), *(PEERS if options.peers else ())]:
            wires = event.wires if kind in TRICORN else ("plain",)
            for wire in wires:
                is_chosen = options.event in event.name and options.server in kind.name
                if (
                    is_chosen
                    and options.wire in ("", wire)
                    and event.able in kind.able
                    and wire in event.wires
                ):
                    yield kind, wire, event


def _absolute(text: str) -> Path:
    """The server has a working directory of its own."""
    return Path(text).absolute()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make lossless")
    parser.add_argument("--event", default="", help="those whose name holds this")
    parser.add_argument("--server", default="", help="those whose name holds this")
    parser.add_argument("--wire", default="", choices=("", "plain", "tls"))
    parser.add_argument("--peers", type=Path, help="the directory with gunicorn, uvicorn, granian: these too")
    parser.add_argument("--only-peers", action="store_true")
    parser.add_argument("--add", action="store_true", help="keep the results of earlier runs beside these")
    parser.add_argument("--directory", type=_absolute, default=PLACE, help="for logs and results")
    parser.add_argument("--page", type=Path, help="write the tables into this page")
    return parser.parse_args(arguments)


def _tables(results: Sequence[Result], peers: Path | None) -> str:
    names = {result.server for result in results}
    own, queues = ([kind.name for kind in kinds if kind.name in names] for kinds in (TRICORN, QUEUES))
    others = [kind.name for kind in PEERS if kind.name in names]
    events = [event.name for event in EVENTS]
    parts = [_where()]
    mine = [result for result in results if result.server in (*own, *queues)]
    if mine:
        gone, begun = sum(result.losses for result in mine), sum(result.begun for result in mine)
        parts += [f"Tricorn lost {gone:,} of {begun:,} requests.\n"]
    if own:
        parts += [table(results, own, events, lost)]
    if queues:
        parts += [
            "With a queue for each worker (`reuse_port`), over plain HTTP:\n",
            table(results, queues, events, lost),
        ]
    if others:
        parts += [f"{_versions(peers)}:\n", table(results, others, events, lost)]
    parts += [
        "Requests that had to be sent again:\n",
        table(results, [*own, *queues, *others], events, resent),
    ]
    return "\n".join(parts)


def _where() -> str:
    today = f"{datetime.date.today():%-d %B %Y}"
    return f"{today}, Python {platform.python_version()}, Linux {platform.release().partition('-')[0]}.\n"


def _versions(peers: Path | None) -> str:
    if peers is None:
        return "Others"
    return subprocess.run([peers / "python", "-c", _ASK], capture_output=True, text=True).stdout.strip()


_ASK = """
import importlib.metadata, platform
names = ["gunicorn", "uvicorn", "granian"]
versions = [f"{name.capitalize()} {importlib.metadata.version(name)}" for name in names]
print(", ".join(versions), "on Python", platform.python_version())
"""


if __name__ == "__main__":
    sys.exit(main())
