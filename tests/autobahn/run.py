"""`make conformance`: the whole suite, or the quick part of it, and a table of what came out.

Knows: the groups of cases, the order of things. Must not know: how a case is judged.

Exit codes: 0 if every case is OK, 1 if one is not or the server did not stay in good order, 2 if the suite
cannot run here. All that is written is in build/autobahn; the suite's own pages are in reports/*/index.html.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.http2.bridge import bridged
from harness.server import Server

from autobahn.client import ClientRun
from autobahn.environment import PLACE, NotPossibleError, prepare
from autobahn.report import Outcome, outcomes, remarks, table

#: Framing, pings, fragments, UTF-8, closing, and mixed sizes: 247 cases, some ten seconds.
QUICK = ("1", "2", "3", "4", "5", "6", "7", "10")
#: Limits (megabytes in all cuts) and compression, which takes the client minutes. There is no group 8 or 11.
THOROUGH = (
    *QUICK,
    "9",
    *(f"12.{number}" for number in range(1, 6)),
    *(f"13.{number}" for number in range(1, 8)),
)

#: Seconds between two lines of progress.
PROGRESS_EVERY = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        wstest = prepare(options.python27, _say)
    except NotPossibleError as error:
        _say(str(error))
        return 2
    reports = PLACE / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    groups = options.groups or (QUICK if options.quick else THOROUGH)
    server = _server(options.server, "h2c" if options.http2 else "plain")
    try:
        if not options.url:
            server.start()
        with _reached(server, options.http2) as address:
            runs = _Runs(wstest, options.url or address, groups, reports)
            runs.go(options.jobs, time.monotonic() + options.time_limit)
        complaint = "" if options.url else _complaint(server)
    except AssertionError as error:  # it does not start: the text holds its log
        _say(str(error))
        return 1
    finally:
        server.kill()
    return _report(runs, complaint)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="without limits (9) and compression (12, 13)")
    parser.add_argument(
        "--groups",
        type=lambda words: tuple(words.split(",")),
        help="only these groups or cases: 6,9.1,12.1.3",
    )
    parser.add_argument("--jobs", type=int, default=2, help="clients side by side (default: 2)")
    parser.add_argument(
        "--time-limit", type=float, default=1800, help="seconds for all of it (default: 1800)"
    )
    parser.add_argument("--python27", help="an interpreter of Python 2.7 (default: looked for)")
    parser.add_argument(
        "--http2", action="store_true", help="through a bridge: each WebSocket is a stream (RFC 8441)"
    )
    parser.add_argument("--url", help="a WebSocket echo that runs already, in place of our own server")
    parser.add_argument("server", nargs="*", help="behind `--`: options of the server under test")
    return parser.parse_args(arguments)


def _server(options: Sequence[str], wire: str) -> Server:
    """The server under test, bound and not yet started."""
    return Server("asgi_autobahn:app", ("--workers", "1", *options), kind="asgi", wire=wire)


@contextmanager
def _reached(server: Server, http2: bool) -> Iterator[str]:
    """The URL that the suite, which knows HTTP/1 alone, is given."""
    if not http2:
        yield "ws://{}:{}".format(*server.address)
        return
    with bridged(server.address) as port:
        yield f"ws://127.0.0.1:{port}"


def _complaint(server: Server) -> str:
    """What is wrong with the server itself: it died, it logged a failure, it does not end in good order."""
    log = server.log()
    (PLACE / "server.log").write_text(log)
    try:
        server.seen()
        server.stop()
    except AssertionError as error:
        return str(error)
    return f"a traceback in its log:\n{log[-4000:]}" if "Traceback" in log else ""


class _Runs:
    """The runs of all groups, a few at a time."""

    def __init__(self, wstest: Path, url: str, groups: Sequence[str], reports: Path) -> None:
        self.wstest = wstest
        self.url = url
        self.reports = reports
        self.waiting = list(groups)
        self.active: list[ClientRun] = []
        self.done: dict[str, ClientRun] = {}
        self.order = tuple(groups)
        self.began = self.said = time.monotonic()

    def go(self, jobs: int, deadline: float) -> None:
        """All of them, as far as they come before the monotonic instant `deadline`."""
        try:
            while (self.waiting or self.active) and time.monotonic() < deadline:
                while self.waiting and len(self.active) < jobs:
                    self.active.append(ClientRun(self.wstest, self.url, self.waiting.pop(0), self.reports))
                time.sleep(0.1)
                for run in [run for run in self.active if run.is_over()]:
                    self._finish(run)
                self._show_progress()
        finally:
            for run in list(self.active):
                run.end("there was no more time")
                run.is_over()
                self._finish(run)

    def _finish(self, run: ClientRun) -> None:
        self.active.remove(run)
        self.done[run.group] = run
        found = outcomes(run.index, run.announced)
        good = sum(outcome.is_good for outcome in found)
        _say(f"group {run.group}: {good} of {len(found)} as they should be, {run.seconds:.0f} s {run.cut}")

    def _show_progress(self) -> None:
        now = time.monotonic()
        if not self.active or now - self.said < PROGRESS_EVERY:
            return
        self.said = now
        where = ", ".join(run.started[-1] for run in self.active if run.started)
        count = sum(len(run.started) for run in [*self.done.values(), *self.active])
        _say(f"  {now - self.began:4.0f} s, {count} cases begun, now {where}")


def _report(runs: _Runs, complaint: str) -> int:
    found: list[tuple[str, list[Outcome]]] = []
    broken = []
    for group in runs.order:
        run = runs.done.get(group)
        if run is None or not run.announced:
            broken.append(f"group {group} did not run{': ' + run.output[-1000:] if run else ''}")
            continue
        found.append((group, outcomes(run.index, run.announced)))
    every = [outcome for _, group_outcomes in found for outcome in group_outcomes]
    print(f"\n{table(found)}\n")
    for text in (remarks(every), "\n".join(broken), complaint and f"the server: {complaint}"):
        if text:
            print(f"{text}\n")
    bad = [outcome for outcome in every if not outcome.is_good]
    if bad or broken or complaint:
        print(f"NOT conformant: {len(bad)} cases; details in {runs.reports}/*/index.html")
        return 1
    print("every case is OK, none non-strict")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
