"""Where the application is called: with one thread, where it was imported; with several, in a fresh
context."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from harness.client import ClosedError
from harness.server import wait_for
from integration.answering import serving, told
from integration.live import Live, entered, is_alive, message

ONE_THREAD = {
    "sync": ("--worker-class=sync",),
    "auto": ("--worker-class=auto",),
    "gthread": ("--worker-class=gthread", "--threads=1"),
}

#: What a request sees → the same as at import.
AT_IMPORT = """
import contextvars, decimal, locale
decimal.getcontext().prec = 50
local = threading.local()
local.value = "set"
variable = contextvars.ContextVar("variable", default="unset")
variable.set("at import")
importer = threading.current_thread()

def answer(path):
    if path == "/change":
        variable.set("in a request")
        decimal.getcontext().prec = 7
    return " ".join([
        str(decimal.getcontext().prec), getattr(local, "value", "unset"), variable.get(),
        str(threading.current_thread() is importer is threading.main_thread()),
    ])
"""


@pytest.fixture(params=ONE_THREAD)
def one_thread(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return ONE_THREAD[request.param]


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])
def test_what_was_set_up_at_import_is_there(
    tmp_path: Path, one_thread: tuple[str, ...], preload: tuple[str, ...]
) -> None:
    with serving(tmp_path, AT_IMPORT, *one_thread, *preload, kind="sync") as live:
        for _ in range(2):
            assert told(live, "/") == "50 set at import True"
        assert told(live, "/change").split()[2:4] == ["in", "a"]
        assert told(live, "/").split()[2:] == ["at", "import", "True"], "a request keeps to its own context"
        live.stop()


def test_with_threads_a_request_begins_with_an_empty_context(tmp_path: Path) -> None:
    with serving(tmp_path, AT_IMPORT, kind="gthread") as live:
        assert told(live, "/").split()[1:] == ["unset", "unset", "False"]
        live.stop()


#: Things that Python allows in the main thread only, or that wait for children.
IN_A_REQUEST = {
    "signal.signal": """
def answer(path):
    fired = []
    signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    end = time.monotonic() + 5
    while not fired and time.monotonic() < end:
        time.sleep(1)
    return f"fired {len(fired)}"
""",
    "asyncio.run": """
import asyncio
async def child():
    process = await asyncio.create_subprocess_exec("true")
    return f"fired {await process.wait() + 1}"
def answer(path):
    return asyncio.run(child())
""",
    "a handler of the loop's": """
import asyncio
async def wait():
    fired = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, fired.set)
    os.kill(os.getpid(), signal.SIGUSR2)
    await asyncio.wait_for(fired.wait(), 5)
    return "fired 1"
def answer(path):
    return asyncio.run(wait())
""",
    "subprocess": """
import subprocess
def answer(path):
    return f"fired {subprocess.run(['sh', '-c', 'exit 1']).returncode}"
""",
    "an exception of a handler": """
def late(*_):
    raise TimeoutError
def answer(path):
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        time.sleep(5)
    except TimeoutError:
        return "fired 1"
""",
}


@pytest.mark.parametrize("source", IN_A_REQUEST.values(), ids=IN_A_REQUEST)
def test_the_main_thread_is_the_applications(tmp_path: Path, source: str) -> None:
    with serving(tmp_path, source, kind="sync", ready="/") as live:
        (worker,) = live.workers()
        assert told(live, "/") == "fired 1"
        assert live.workers() == [worker]
        live.signal(signal.SIGTERM, worker)  # it still hears what we ask of it
        wait_for(lambda: live.workers() and worker not in live.workers(), "another worker", deadline=10)
        live.stop()


BETWEEN = """
from pathlib import Path
mark = Path(__file__).with_name("mark")
def note(*_):
    mark.write_text("called")
    raise SystemExit("of a handler")
signal.signal(signal.SIGALRM, note)
def answer(path):
    if path == "/timer":
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    return str(os.getpid())
"""


def test_a_handler_of_the_applications_runs_between_two_requests(tmp_path: Path) -> None:
    """Nobody else asks anything meanwhile; and what it raises does not end the worker."""
    with serving(tmp_path, BETWEEN, kind="sync") as live:
        worker = told(live, "/timer")
        wait_for((tmp_path / "mark").exists, "the handler was called")
        live.wait_log("a signal handler of the application raised")
        assert told(live, "/") == worker
        live.stop()


# -- signals reach a worker whose main thread is inside the application


@pytest.mark.parametrize("where", ["/block", "/spin"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_quick_stop_does_not_wait_for_the_main_thread(
    gate: Path, where: str, number: signal.Signals
) -> None:
    with Live("life:app", kind="sync") as live, live.connect() as client:
        (worker,) = live.workers()
        client.send(message(f"{where}?{gate}"))
        entered(gate)
        start = time.monotonic()
        live.signal(number)
        assert live.wait_exit() == 0
        assert time.monotonic() - start < 3
        assert not is_alive(worker)
        assert "Traceback" not in live.log()


def test_the_end_runs_the_exit_hooks_although_the_main_thread_is_busy(tmp_path: Path, gate: Path) -> None:
    source = f"""
    import atexit
    from pathlib import Path
    atexit.register(lambda: Path({str(tmp_path / "hook")!r}).write_text("ran"))
    def answer(path):
        if path == "/wait":
            Path({str(gate)!r} + ".in").write_text(str(os.getpid()))
            time.sleep(30)
        return ""
    """
    with serving(tmp_path, source, kind="sync") as live, live.connect() as client:
        client.send(message("/wait"))
        entered(gate)
        live.signal(signal.SIGINT)
        with pytest.raises(ClosedError):
            client.response()
        live.wait_exit()
        assert (tmp_path / "hook").read_text() == "ran"
