"""Connections are reset, descriptors run out, disks are full: nothing hangs, leaks or answers wrongly.

Every path of a response is gone through several times, by some clients at once, while a breaking plan is in
force. What each receives is measured by what it receives in calm weather: the whole, or a part that it can
tell from the whole, or an error response; never a second head. After it the worker is the same, holds as many
descriptors as before, answers, and stops in good order.

CHAOS_SEED (any text) chooses the plan and the order of the exchanges.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults.judge import what_is_wrong
from faults.paths import PATHS
from harness.axes import AXES, KINDS

from chaos.plan import rates
from chaos.serving import Storm

SEED = os.environ.get("CHAOS_SEED", "1")
ROUNDS = 12
CLIENTS = 4


@pytest.mark.slow  # `make chaos` runs it for each of its seeds
@pytest.mark.parametrize("kind", AXES["kind"])
def test_clients_can_tell(library: Path, tmp_path: Path, kind: str) -> None:
    storm = Storm(kind, library, tmp_path, f"{SEED} {kind}")
    try:
        complaints = weathered(storm, kind)
        storm.calm()
        log = storm.server.log()
        assert not complaints, f"{complaints}\n{log[-3000:]}"
        assert "Internal error" not in log, log[-3000:]
        storm.stop()
    finally:
        storm.server.kill()


def weathered(storm: Storm, kind: str) -> dict[str, str]:
    """What was wrong, by the number and the name of the exchange."""
    names = [name for name, path in PATHS.items() if KINDS[kind].interface in path.interfaces]
    references = {name: storm.exchange(PATHS[name].steps) for name in names}
    order = names * ROUNDS
    random.Random(SEED).shuffle(order)
    storm.blow(rates(f"{SEED} {kind}", "breaking"))

    def complaint(name: str) -> str | None:
        path = PATHS[name]
        try:
            got = storm.exchange(path.steps)
        except AssertionError as error:
            return str(error)
        return what_is_wrong(got, references[name], path.method, path.by_close)

    with ThreadPoolExecutor(CLIENTS) as clients:
        found = list(clients.map(complaint, order))
    assert storm.plan.struck, "nothing was to happen"
    print(f"{kind}: {dict(storm.plan.struck)}")
    return {f"{number}: {order[number]}": text for number, text in enumerate(found) if text}
