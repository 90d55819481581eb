"""What was measured, as it lies in `results.json`.

Some scenarios can be measured again without touching the others. Knows nothing of how it was measured or
how it is shown."""

import json
import os
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
SUMMED = ("failures",)


@dataclass
class Contestant:
    """One server in one scenario. `values` are medians over the rounds (failures: their sum)."""

    key: str
    server: str
    version: str
    date: str
    values: dict[str, float] = field(default_factory=dict)
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    problem: str = ""


@dataclass
class Outcome:
    """One scenario as it was last run."""

    scenario: str
    date: str
    python: str
    machine: str
    rounds: int
    seconds: float
    contestants: list[Contestant] = field(default_factory=list)

    def find(self, key: str) -> Contestant | None:
        return next((c for c in self.contestants if c.key == key), None)


Outcomes = dict[str, Outcome]


def summarise(contestant: Contestant, rounds: list[dict[str, float]]) -> None:
    for name in rounds[0] if rounds else ():
        column = [sample[name] for sample in rounds]
        contestant.values[name] = sum(column) if name in SUMMED else statistics.median(column)
        contestant.spread[name] = (min(column), max(column))


def merge(old: Outcome | None, new: Outcome) -> Outcome:
    """Servers that were not run this time keep figures and date, if interpreter and machine are the same."""
    if old is None or (old.python, old.machine) != (new.python, new.machine):
        return new
    fresh = {c.key for c in new.contestants}
    new.contestants += [c for c in old.contestants if c.key not in fresh]
    return new


def load(path: Path) -> Outcomes:
    if not path.exists():
        return {}
    raw = json.loads(path.read_text())
    return {name: from_json(row) for name, row in raw["scenarios"].items()} if raw["format"] == FORMAT else {}


def from_json(row: dict[str, Any]) -> Outcome:
    contestants = [
        Contestant(**{**c, "spread": {k: (low, high) for k, (low, high) in c["spread"].items()}})
        for c in row["contestants"]
    ]
    return Outcome(**{**row, "contestants": contestants})


def save(path: Path, outcomes: Outcomes) -> None:
    """Written beside and renamed, so that an interrupted run leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, "scenarios": {k: asdict(v) for k, v in outcomes.items()}}, indent=1)
    beside = path.with_suffix(".new")
    beside.write_text(text + "\n")
    os.replace(beside, path)
