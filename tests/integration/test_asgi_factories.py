"""Task factories that an application sets make the tasks of its requests, and the end stays clean."""

from __future__ import annotations

import signal
import sys

import pytest
from integration.asgi import get
from integration.live import Live

#: Each factory and the type of task that it makes.
FACTORIES = {"subclass": "Named", "bare": "Named", "eager": "Task"}


@pytest.mark.parametrize("where", ["loop", "startup", "request"])
@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_requests_run_in_tasks_of_the_factory(loop: str, factory: str, where: str) -> None:
    """Wherever it is set: by who makes the loop, in the lifespan, while a request is served."""
    if factory == "eager" and sys.version_info < (3, 12):
        pytest.skip("asyncio.eager_task_factory came with Python 3.12")
    environ = {"LOOP": loop, "FACTORY": factory, "WHERE": where}
    with Live(
        "asgi_factories:app",
        "--asgi-loop=asgi_factories:new_loop",
        kind="asgi",
        environ=environ,
    ) as live:
        counts = []
        for _ in range(3):
            task, name, made = live.request("/").body.decode().split()
            assert (task, name) == (FACTORIES[factory], "unset")
            counts.append(int(made))
        assert factory == "eager" or (counts[0] < counts[1] < counts[2]), counts
        with live.connect() as client:
            client.send(get("/waits"))
            client.read_until(b"first")
            live.signal(signal.SIGINT)
            assert live.wait_exit() == 0, live.log()
        log = live.log()
    assert "request: cancelled" in log
    assert log.count("lifespan: lifespan.shutdown") == 1, log
    assert "Traceback" not in log
    if where == "loop":
        assert f"lifespan: {FACTORIES[factory]}\n" in log
