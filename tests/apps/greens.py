"""An application for workers with green threads: it waits in all the ways that the libraries patch.

`/`                 the process id
`/meet?N`           waits until N requests have come here, and answers "met"; `/leave` begins anew
`/wait?GATE`        writes GATE.in, waits for the file GATE, answers "released"; GATE.end says what ended it
`/own?TEXT&N`       sets a `threading.local` and a context variable to TEXT, meets N others, and answers what
                    they are then, and what they were at first
`/read`             reads the body in small pieces; answers its length, and whether the greenlet is the same
`/write?N`          sends N bytes by write()
`/pieces?N`         N bytes in pieces, the last of which says whether the greenlet is still the same
`/through?PORT`     what another server at this port answers, by urllib
`/command`          what a subprocess prints
`/later`            what threads have put into a queue for each other
`/spin`             computes, and lets nobody else run
`/greenlets`        how many greenlets there are; `/objects`: objects that the garbage collector knows;
                    `/descriptors`: open descriptors
`/faults`           how often the process has touched a page of memory that was not there yet
`/library`          what the library's own pool and queue make of some numbers, and of what greenlets put in
`/copy?GATE`        forks; the copy makes the file GATE, waits for some time and ends; answers its exit code
`/exits`            forks; a greenlet of the copy raises SystemExit; answers the exit code
`/exit`             a greenlet of its own raises SystemExit
`/early`            early hints, and what its deadline is
"""

from __future__ import annotations

import contextvars
import gc
import os
import queue
import resource
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import greenlet

LONGEST = 20.0  # a test that fails must not leave a worker waiting for ever

own = threading.local()
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
crowd = threading.Condition()
inside = 0


def meet(number: int) -> str:
    """Until so many are here."""
    global inside
    with crowd:
        inside += 1
        crowd.notify_all()
        met = crowd.wait_for(lambda: inside >= number, LONGEST)
    return "met" if met else f"only {inside}"


def leave() -> str:
    """The next ones that meet are counted anew."""
    global inside
    with crowd:
        inside = 0
    return "left"


def wait(argument: str) -> str:
    gate = Path(argument)
    gate.with_name(f"{gate.name}.in").write_text(str(os.getpid()))
    end = time.monotonic() + LONGEST
    try:
        while not gate.exists() and time.monotonic() < end:
            time.sleep(0.01)
    except BaseException as error:
        gate.with_name(f"{gate.name}.end").write_text(type(error).__name__)
        raise
    return "released"


def keep_own(argument: str) -> str:
    text, _, number = argument.partition("&")
    before = getattr(own, "text", "unset"), variable.get()
    own.text = text
    variable.set(text)
    meet(int(number))
    return f"{own.text} {variable.get()} {' '.join(before)}"


def later() -> str:
    """Two threads, a queue, a lock that both want."""
    passed: queue.Queue[str] = queue.Queue()
    lock = threading.Lock()

    def put(text: str) -> None:
        with lock:
            time.sleep(0.01)
            passed.put(text)

    threads = [threading.Thread(target=put, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    found = [passed.get(timeout=LONGEST) for _ in threads]
    for thread in threads:
        thread.join()
    return " ".join(sorted(found))


def read(environ: dict[str, Any]) -> str:
    here = greenlet.getcurrent()
    size = 0
    while data := environ["wsgi.input"].read(1000):
        size += len(data)
    return f"{size} {greenlet.getcurrent() is here}"


def pieces(size: int) -> Iterator[bytes]:
    here = greenlet.getcurrent()
    own.text = "kept"
    for _ in range(size // 65536):
        yield b"p" * 65536
    yield f"{greenlet.getcurrent() is here} {own.text}".encode()


def early(environ: dict[str, Any]) -> str:
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
    remaining = environ["tricorn.deadline"].remaining()
    aside: list[Any] = []
    bound = environ["tricorn.deadline"].bound()
    thread = threading.Thread(
        target=lambda: aside.append((environ["tricorn.deadline"].remaining(), bound.remaining()))
    )
    thread.start()
    thread.join()
    ((there, here),) = aside
    return f"{remaining is not None} {there is not None} {here is not None}"


def library() -> Any:
    return sys.modules.get("gevent") or sys.modules["eventlet"]


def own_pool_and_queue() -> str:
    def square(number: int) -> int:
        time.sleep(0.01)
        return number * number

    if library().__name__ == "gevent":
        from gevent.pool import Pool
        from gevent.queue import Queue

        squares = Pool(2).map(square, range(3))
    else:
        from eventlet import GreenPool
        from eventlet.queue import Queue

        squares = list(GreenPool(2).imap(square, range(3)))
    filled = Queue()
    for text in ("one", "two"):
        library().spawn(filled.put, text)
    return " ".join(map(str, [*squares, filled.get(timeout=LONGEST), filled.get(timeout=LONGEST)]))


def copied(do: Callable[[], object]) -> str:
    """Have a copy of the process do it. Its exit code."""
    pid = os.fork()
    if pid == 0:
        do()
        os._exit(7)
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def open_gate_and_wait(argument: str) -> None:
    Path(argument).touch()
    time.sleep(0.2)


def exit_in_a_greenlet() -> None:
    library().spawn(sys.exit, 3)
    time.sleep(LONGEST)


def exit_elsewhere() -> str:
    library().spawn(sys.exit, 1)
    time.sleep(0.01)
    return "sent"


def spin() -> str:
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        pass
    return "spun"


def greenlets() -> str:
    gc.collect()
    return str(sum(isinstance(each, greenlet.greenlet) for each in gc.get_objects()))


def objects() -> str:
    gc.collect()
    number = len(gc.get_objects())
    if library().__name__ == "eventlet":
        from eventlet.hubs import get_hub

        number -= 2 * get_hub().timers_canceled  # each in a tuple; it keeps up to a thousand of them
    return str(number)


def answer(environ: dict[str, Any], argument: str) -> str:
    match environ["PATH_INFO"]:
        case "/meet":
            return meet(int(argument))
        case "/leave":
            return leave()
        case "/wait":
            return wait(argument)
        case "/own":
            return keep_own(argument)
        case "/read":
            return read(environ)
        case "/through":
            with urllib.request.urlopen(f"http://127.0.0.1:{argument}/", timeout=LONGEST) as response:
                return response.read().decode()
        case "/command":
            words = [sys.executable, "-S", "-c", "print('printed')"]
            return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        case "/later":
            return later()
        case "/spin":
            return spin()
        case "/greenlets":
            return greenlets()
        case "/objects":
            return objects()
        case "/descriptors":
            return str(len(os.listdir("/proc/self/fd")))
        case "/faults":
            return str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        case "/library":
            return own_pool_and_queue()
        case "/copy":
            return copied(lambda: open_gate_and_wait(argument))
        case "/exits":
            return copied(exit_in_a_greenlet)
        case "/exit":
            return exit_elsewhere()
        case "/early":
            return early(environ)
    return str(os.getpid())


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    argument = environ["QUERY_STRING"]
    if environ["PATH_INFO"] == "/write":
        write = start_response("200 OK", [("Content-Length", argument)])
        for _ in range(int(argument) // 65536):
            write(b"w" * 65536)
        return []
    if environ["PATH_INFO"] == "/pieces":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces(int(argument))
    text = answer(environ, argument).encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
