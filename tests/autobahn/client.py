"""One run of the fuzzing client over a group of cases.

Knows: the command `wstest`, its specification file, what it prints while it runs. Must not know: the server
beyond its address, which results are good.

The client writes its reports when it is through with all its cases, and only then; so the cases are
split into groups, each a run of its own, and one that hangs costs no other group its reports.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

#: Seconds after which a case hangs. The longest one, 1,000 messages of 128 KiB with compression, takes 15
#: on an idle machine; the suite itself gives it 480.
CASE_TIMEOUT = 150.0

AGENT = "server"

_ANNOUNCED = re.compile(r"^Cases = (\[.*\])$", re.MULTILINE)
_STARTED = re.compile(r"^Running test case ID (\S+)", re.MULTILINE)


class ClientRun:
    """The client's process for one `group`: the cases whose numbers begin with it ("7", "12.1").

    announced: the cases that it said it would run. started: those that it has begun, in order.
    cut: why it was ended before its time; empty if it was not.
    """

    def __init__(self, wstest: Path, url: str, group: str, directory: Path) -> None:
        self.group = group
        self.announced: list[str] = []
        self.started: list[str] = []
        self.cut = ""
        self._reports = directory / group
        self._output = directory / f"{group}.log"
        shutil.rmtree(self._reports, ignore_errors=True)
        specification = directory / f"{group}.json"
        specification.write_text(json.dumps(self._specification(url)))
        # Its own Python must not find ours; unbuffered, because what it prints is its progress.
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [str(wstest), "--mode", "fuzzingclient", "--spec", str(specification)],
                env={**environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._progress_at = self.began = time.monotonic()
        self.seconds = 0.0

    def _specification(self, url: str) -> dict[str, object]:
        return {
            "outdir": str(self._reports),
            "servers": [{"agent": AGENT, "url": url}],
            # What has a star is taken as a regular expression, in which a dot is a dot: the case itself, or
            # those below it.
            "cases": [f"{self.group}$|{self.group}.*"],
            "exclude-cases": [],
        }

    def is_over(self) -> bool:
        """Looks at how far it is; ends it when it is stuck."""
        now = time.monotonic()
        over = self._process.poll() is not None
        begun = len(self.started)
        self._read_output()
        if len(self.started) > begun:
            self._progress_at = now
        if not over and now - self._progress_at > CASE_TIMEOUT:
            self.end(f"no progress for {CASE_TIMEOUT:.0f} s")
            over = True
        if over:
            self.seconds = now - self.began
        return over

    def end(self, why: str) -> None:
        """End it now, whatever it does."""
        if self._process.poll() is None:
            self.cut = why
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def _read_output(self) -> None:
        text = self._output.read_text(errors="replace")
        if not self.announced and (match := _ANNOUNCED.search(text)):
            self.announced = ast.literal_eval(match[1])
        self.started = _STARTED.findall(text)

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def index(self) -> Path:
        """The report of all its cases, which is there if it came to its end."""
        return self._reports / "index.json"
