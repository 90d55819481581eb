"""What an application may do to its process while it is imported: it works, or one clear error says why
not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.axes import KINDS
from harness.server import wait_for
from integration.answering import serving, told, write_site

PRELOAD = pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])

#: What is done to the process → the source. The service goes on as if nothing had been done.
HARMLESS = {
    "chdir": "os.chdir('/')",
    "umask": "os.umask(0o777)",
    "few descriptors": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "no core files": "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "stdout is None": "sys.stdout = sys.stderr = None",
    "stdout is an object": "sys.stdout = sys.stderr = object()",
    "stdout is closed": "sys.stdout.close()",
    "stdout is a file in memory": "import io\nsys.stdout = io.StringIO()",
    "a default timeout": "import socket\nsocket.setdefaulttimeout(0.01)",
    "a long switch interval": "sys.setswitchinterval(1)",
    "a short switch interval": "sys.setswitchinterval(1e-6)",
    "little recursion": "sys.setrecursionlimit(80)",
    "no collector": "import gc\ngc.disable()",
    "a hidden collector": "import gc\ngc.freeze()\ngc.set_threshold(1)",
    "another locale": "import locale\nlocale.setlocale(locale.LC_ALL, 'C')",
    "another zone": "os.environ['TZ'] = 'Asia/Kathmandu'\ntime.tzset()",
    "warnings are errors": "import warnings\nwarnings.simplefilter('error')",
    "logging is shut down": "import logging\nlogging.shutdown()",
    "logging is off": "import logging\nlogging.getLogger().setLevel(logging.CRITICAL)",
    "no environment": "os.environ.clear()",
    "no modules": "for name in [n for n in sys.modules if 'tricorn.c' in n]: del sys.modules[name]",
    "no path": "sys.path.clear()",
    "a time that stands still": "time.time = time.monotonic = lambda: 0.0",
    "a sleep that does not": "time.sleep = lambda seconds: None",
    "no threads": "threading.Thread = lambda *_, **__: None",
    "no select": "import select\nselect.select = select.poll = select.epoll = None",
    "no socket": "import socket\nsocket.socket = None",
    "no process id": "os.getpid = lambda: 1",
    "a hook for exceptions": "sys.excepthook = threading.excepthook = lambda *_: os._exit(9)",
    "a trace": "sys.settrace(lambda *_: None)\nthreading.settrace(lambda *_: None)",
    "a blocked mask": "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})",
}


#: (kind, case) → what its library does with it.
OF_LIBRARIES = {("asgi", "no socket"): "no event loop can do without it"}
#: The same, where a mold forks.
OF_LIBRARIES_AT_A_FORK = {
    ("gevent", "no threads"): "gevent looks for the main thread in each process",
    ("eventlet", "warnings are errors"): "Eventlet warns of each fork",
}


@PRELOAD
@pytest.mark.parametrize("case", HARMLESS)
def test_it_serves_all_the_same(tmp_path: Path, kind: str, case: str, preload: tuple[str, ...]) -> None:
    known = {**OF_LIBRARIES, **(OF_LIBRARIES_AT_A_FORK if preload else {})}
    if (kind, case) in known:
        pytest.skip(known[kind, case])
    source = HARMLESS[case] + "\npid = os.getpid\ndef answer(path):\n    return 'served'\n"
    options = ("--access-logfile=-", *preload)
    with serving(tmp_path, source, *options, kind=kind) as live:
        (worker,) = live.workers()
        for _ in range(3):
            assert told(live, "/") == "served"
        live.signal(signal.SIGTERM, worker)
        wait_for(lambda: worker not in live.workers(), "it obeys", deadline=10)
        wait_for(lambda: live.log().count("is ready") == 2, "another worker", deadline=10)
        assert told(live, "/") == "served"
        assert "Traceback" not in live.log()
        live.stop()


#: What is done → a part of the one line that says so, without preload and with.
DEADLY = {
    "sys.exit": ("sys.exit(5)", "called sys.exit(5) while it was imported", "called sys.exit(5)"),
    "SystemExit with a text": ("raise SystemExit('no licence')", "no licence", "no licence"),
    "os._exit": (
        "os._exit(5)",
        "exited with code 5 before it was ready",
        "exited with code 5 before it was ready",
    ),
    "a signal": ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL", "was killed by SIGKILL"),
}


@PRELOAD
@pytest.mark.parametrize("case", DEADLY)
def test_the_reason_is_said(tmp_path: Path, kind: str, case: str, preload: tuple[str, ...]) -> None:
    source, forked, preloaded = DEADLY[case]
    write_site(tmp_path, source + "\ndef answer(path):\n    return ''\n", kind)
    command = [
        sys.executable,
        "-m",
        "tricorn",
        "--bind=127.0.0.1:0",
        f"--chdir={tmp_path}",
        *KINDS[kind].options,
    ]
    ended = subprocess.run(
        [*command, *preload, "site_app:app"], stderr=subprocess.PIPE, text=True, timeout=40, check=False
    )
    assert ended.returncode != 0
    assert (preloaded if preload else forked) in ended.stderr, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if "EventletDeprecationWarning" not in line]
    assert "tricorn/workers" not in "\n".join(lines)


@PRELOAD
def test_closing_every_descriptor_is_an_error_that_is_told(
    tmp_path: Path, kind: str, preload: tuple[str, ...]
) -> None:
    """Daemons do that. Ours cannot serve then: it ends with a line that names the cause."""
    write_site(tmp_path, "os.closerange(3, 256)\ndef answer(path):\n    return ''\n", kind)
    command = [
        sys.executable,
        "-m",
        "tricorn",
        "--bind=127.0.0.1:0",
        f"--chdir={tmp_path}",
        *KINDS[kind].options,
    ]
    ended = subprocess.run(
        [*command, *preload, "site_app:app"], stderr=subprocess.PIPE, text=True, timeout=40, check=False
    )
    assert ended.returncode != 0
    assert "closed descriptors of the server" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_alarm_of_the_applications_interrupts_nothing_of_ours(tmp_path: Path, kind: str) -> None:
    source = """
    fired = []
    signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    def answer(path):
        return str(len(fired))
    """
    with serving(tmp_path, source, kind=kind) as live:
        wait_for(lambda: int(told(live, "/")) > 20, "the handler is called again and again")
        live.stop()


def test_a_keyboard_interrupt_that_the_application_raises_is_its_own(tmp_path: Path, kind: str) -> None:
    write_site(tmp_path, "raise KeyboardInterrupt('by hand')\ndef answer(path):\n    return ''\n", kind)
    command = [sys.executable, "-m", "tricorn", "--bind=127.0.0.1:0", f"--chdir={tmp_path}"]
    ended = subprocess.run(
        [*command, *KINDS[kind].options, "site_app:app"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=40,
        check=False,
    )
    assert ended.returncode == 3
    assert "raised while it was loaded" in ended.stderr
    assert "KeyboardInterrupt: by hand" in ended.stderr
