"""What processes that the application makes inherit from the worker: nothing that is the server's.

Programs (over exec): default actions of signals, no descriptors, no blocked signals. Copies (over fork): the
same, and neither the port nor the clients.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from harness.axes import EVERY_KIND, GREEN, KINDS
from harness.server import wait_for
from integration.answering import serving, told
from integration.live import Live, is_alive, message

EVERYWHERE = pytest.mark.parametrize("kind", EVERY_KIND)


def stop_listening_and_end(live: Live) -> None:
    """The end of the server alone: what it left behind lives on, and we do not hold its port either."""
    live.listener.close()
    live.terminate()
    assert live.wait_exit() == 0


# -- programs

# The applications close pipes by os.closerange(): gevent's os.close() closes when the hub next runs, which it
# does not while they wait for the end of what they read.

#: Prints the descriptors that it has, and its ignored and blocked signals.
REPORT = """
import os
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
numbers = sorted(map(int, os.listdir("/proc/self/fd")))
is_open = {number: os.path.exists(f"/proc/self/fd/{number}") for number in numbers}
print(status["SigIgn"], status["SigBlk"], [number for number in numbers if is_open[number]])
"""

WAYS_TO_START = {
    "subprocess": "subprocess.Popen(command, stdout=pipe, close_fds=False, restore_signals=False)",
    "posix_spawn": "os.posix_spawn(sys.executable, command, os.environ, file_actions=[(DUP2, pipe, 1)])",
    "fork and exec": "fork_and_exec(command, pipe)",
}


def signals_in(mask: str) -> set[int]:
    """Without those that the C library keeps for itself, and ignores in what posix_spawn() starts."""
    return {number for number in signal.valid_signals() if int(mask, 16) >> (number - 1) & 1}


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])
@pytest.mark.parametrize("way", WAYS_TO_START)
@EVERYWHERE
def test_a_program_starts_with_nothing_of_ours(
    tmp_path: Path, kind: str, way: str, preload: tuple[str, ...]
) -> None:
    source = f"""
    import subprocess
    DUP2 = os.POSIX_SPAWN_DUP2
    REPORT = {REPORT!r}
    def fork_and_exec(command, pipe):
        if os.fork() == 0:
            os.dup2(pipe, 1)
            os.execv(sys.executable, command)
    def answer(path):
        command = [sys.executable, "-c", REPORT]
        reader, pipe = os.pipe()
        {WAYS_TO_START[way]}
        os.closerange(pipe, pipe + 1)
        with open(reader) as output:
            return output.read()
    """
    with serving(tmp_path, source, *preload, kind=kind) as live:
        ignored, blocked, fds = told(live, "/").split(maxsplit=2)
        assert signals_in(ignored) <= {signal.SIGPIPE, signal.SIGXFSZ}, "every Python program ignores these"
        assert signals_in(blocked) == set()
        assert fds.strip() == "[0, 1, 2]"
        live.stop()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGQUIT"])
def test_a_program_can_be_ended_by_any_signal(tmp_path: Path, name: str) -> None:
    source = f"""
    import subprocess
    def answer(path):
        with subprocess.Popen(["sleep", "20"]) as program:
            program.send_signal(signal.{name})
            os.waitid(os.P_PID, program.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            program.kill()
        return "ended"
    """
    with serving(tmp_path, source, kind="sync") as live:
        assert told(live, "/") == "ended"
        live.stop()


# -- copies

ENDS = {
    "Process.terminate": """
        child = fork.Process(target=time.sleep, args=(25,))
        child.start()
        child.terminate()
        child.join(5)
        return str(child.exitcode)
    """,
    "Pool": """
        with fork.Pool(2) as pool:
            found = pool.map(abs, [-1, -2])
        pool.join()
        return "-15" if found == [1, 2] else str(found)
    """,
    "ProcessPoolExecutor": """
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=fork) as pool:
            found = list(pool.map(abs, [-1, -2]))
        return "-15" if found == [1, 2] else str(found)
    """,
    "fork, in a loop": """
        codes = set()
        for _ in range(30):
            pid = os.fork()
            if pid == 0:
                time.sleep(25)
                os._exit(0)
            os.kill(pid, signal.SIGTERM)
            codes.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return " ".join(map(str, codes))
    """,
    "fork, in a thread": """
        found = []
        def fork_one():
            pid = os.fork()
            if pid == 0:
                time.sleep(25)
                os._exit(0)
            os.kill(pid, signal.SIGTERM)
            found.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        thread = threading.Thread(target=fork_one)
        thread.start()
        thread.join()
        return str(found[0])
    """,
    "a thread of the child's, and its own handler": """
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(25)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return "-15" if code == 0 else str(code)
    """,
}


@pytest.mark.parametrize("end", ENDS)
@EVERYWHERE
def test_a_copy_can_be_ended_and_the_worker_notices_nothing(tmp_path: Path, kind: str, end: str) -> None:
    _skip_pools(kind, end)
    source = (
        "import concurrent.futures, multiprocessing\n"
        "fork = multiprocessing.get_context('fork')\n"
        f"def answer(path):{ENDS[end]}"
    )
    with serving(tmp_path, source, kind=kind) as live:
        workers = live.workers()
        for _ in range(2):
            assert told(live, "/") == "-15", live.log()
        assert live.workers() == workers
        assert "ended" not in live.log()
        assert "Traceback" not in live.log()
        live.stop()


def _skip_pools(kind: str, case: str) -> None:
    if kind in GREEN and "pool" in case.lower() and "Executor" not in case:
        pytest.skip(
            "a thread of a multiprocessing.Pool reads from a pipe, which the libraries do not wait for"
        )
    if kind == "eventlet" and case == "ProcessPoolExecutor" and sys.version_info < (3, 12):
        pytest.skip("with Eventlet on CPython 3.11 it hangs without a server, too")


KEPT = """
def answer(path):
    if path == "/keep":
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.closerange(reader, reader + 1)
            links = []
            for name in os.listdir("/proc/self/fd"):
                try:
                    links.append(os.readlink(f"/proc/self/fd/{name}"))
                except FileNotFoundError:
                    pass
            ours = [link for link in links if link.startswith(("socket:", "anon_inode:"))]
            numbers = signal.valid_signals() - {signal.SIGINT}
            handlers = [n for n in numbers if callable(signal.getsignal(n))]
            os.write(writer, f"{ours} {[int(n) for n in handlers]} {signal.set_wakeup_fd(-1)}".encode())
            os.closerange(writer, writer + 1)
            signal.pause()
        os.closerange(writer, writer + 1)
        with open(reader) as report:
            return f"{pid} {report.read()}"
    return str(os.getpid())
"""


@EVERYWHERE
def test_a_copy_has_neither_the_port_nor_the_clients(tmp_path: Path, kind: str) -> None:
    """It lives longer than the request, the connection, and the server."""
    with serving(tmp_path, KEPT, kind=kind) as live, live.connect() as idle, live.connect() as client:
        idle.send(message("/"))
        idle.response()
        client.send(message("/keep", fields=["Connection: close"]))
        pid, _, report = client.response().body.decode().partition(" ")
        try:
            ours, _, rest = report.partition("] ")
            has_loop = KINDS[kind].interface != "wsgi"
            if kind in GREEN:
                assert "socket:" not in ours  # what the hub has is not ours to close
            elif not has_loop:  # nor what the event loop has, sockets among it
                assert ours == "["
            assert has_loop or rest == "[] -1"
            client.wait_closed()  # although the copy lives
            stop_listening_and_end(live)
            assert is_alive(int(pid))
            idle.wait_closed()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(live.address, 2).close()
        finally:
            os.kill(int(pid), signal.SIGKILL)


COMES_BACK = """
def answer(path):
    if path == "/fork" and os.fork() == 0:
        return "a copy"
    return str(os.getpid())
"""


@EVERYWHERE
def test_a_copy_that_comes_back_serves_nobody(tmp_path: Path, kind: str) -> None:
    access = tmp_path / "access.log"
    options = (f"--access-logfile={access}", "--access-logformat=%(U)s %(p)s")
    with serving(tmp_path, COMES_BACK, *options, kind=kind) as live:
        (worker,) = live.workers()
        before = [told(live, "/buffered") for _ in range(3)]
        assert told(live, "/fork") == str(worker)
        live.wait_log("came back to the server")
        assert [told(live, "/") for _ in range(5)] == [str(worker)] * 5
        assert live.workers() == [worker]
        live.stop()
    lines = access.read_text().splitlines()
    assert len(lines) == 1 + len(before) + 1 + 5
    assert lines.count(f"/fork {worker}") == 1


#: A copy that goes on as if it had the client. Connections of its own have the same numbers by then.
GOES_ON = """
import os, socket

def copied(do):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        pairs = [socket.socketpair() for _ in range(100)]
        ends = [end for pair in pairs for end in pair]
        for end in ends:
            end.send(b"another's")
        try:
            do()
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}; ".encode())
        for end in ends:
            end.setblocking(False)
            assert end.recv(100) == b"another's"
        os.write(writer, b"nothing of theirs is touched")
        os._exit(0)
    os.closerange(writer, writer + 1)
    with open(reader) as told:
        report = told.read()
    os.waitpid(pid, 0)
    with open(MARK, "w"):
        return report

def app(environ, start_response):
    def do():
        write = start_response("200 OK", [])
        write(b"by the copy")
        environ["wsgi.input"].read()
    text = copied(do) + "; " + environ["wsgi.input"].read().decode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]

async def asgi_app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    def do():
        for message in [{"type": "http.response.start", "status": 200}, {"type": "http.response.body"}]:
            for _ in send(message).__await__():
                break
        for _ in receive().__await__():
            break
    text = copied(do) + "; " + (await receive())["body"].decode()
    head = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": text.encode()})
"""

#: The same for handlers of Tornado's, which are there before their body is.
HANDLER = """
import tornado.web

@tornado.web.stream_request_body
class GoesOn(tornado.web.RequestHandler):
    def prepare(self):
        def do():
            self.write(b"by the copy")
            self.finish()
        self.text = copied(do) + "; "

    def data_received(self, chunk):
        self.text += chunk.decode()

    def post(self):
        self.finish(self.text)

    get = post

tornado_app = tornado.web.Application([("/", GoesOn)])
"""


@EVERYWHERE
def test_a_copy_that_goes_on_does_not_disturb_the_connection(tmp_path: Path, kind: str, wire: str) -> None:
    """Least of all with an alert or a goodbye: for TLS its client is still the same session."""
    mark = tmp_path / "mark"
    source = GOES_ON + (HANDLER if kind == "tornado" else "")
    (tmp_path / "going_on.py").write_text(f"MARK = {str(mark)!r}\n{source}")
    is_wsgi = KINDS[kind].interface == "wsgi"
    name = "app" if is_wsgi else f"{kind}_app"
    options = ("--no-request-buffering",) if is_wsgi else ()
    with Live(f"going_on:{name}", *options, kind=kind, wire=wire, chdir=tmp_path) as live:
        mark.unlink()
        with live.connect() as client:
            for _ in range(2):
                client.send(message("/", method="POST", fields=["Content-Length: 4"]))
                wait_for(mark.exists, "the copy has ended")
                mark.unlink()
                client.send(b"body")
                body = client.response("POST").body.decode()
                assert body.endswith("nothing of theirs is touched; body"), body
        live.stop()


AT_IMPORT = {
    "a daemon": ("if os.fork() == 0:\n    time.sleep(20)\n    os._exit(0)", ""),
    "it exits": ("if os.fork() == 0:\n    sys.exit(0)\nos.wait()", ""),
    "it comes back": ("os.fork()", "came back to the server"),
    "it raises": ("if os.fork() == 0:\n    raise RuntimeError('in the copy')\nos.wait()", "in the copy"),
    "a pool": (
        "import multiprocessing\n"
        "pool = multiprocessing.get_context('fork').Pool(1)\n"
        "assert pool.map(abs, [-1]) == [1]",
        "",
    ),
}


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])
@pytest.mark.parametrize("case", AT_IMPORT)
@EVERYWHERE
def test_a_fork_at_import(tmp_path: Path, kind: str, case: str, preload: tuple[str, ...]) -> None:
    _skip_pools(kind, case)
    at_import, said = AT_IMPORT[case]
    source = at_import + "\ndef answer(path):\n    return str(os.getpid())\n"
    with serving(tmp_path, source, *preload, kind=kind) as live:
        (worker,) = [pid for pid in live.workers() if str(pid) == told(live, "/")]
        assert [told(live, "/") for _ in range(5)] == [str(worker)] * 5
        live.wait_log(said)  # the copy's line, which the worker does not wait for
        log = live.log()
        assert log.count("is ready") == log.count("Tricorn 0") == 1
        stop_listening_and_end(live)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(live.address, 2).close()


def test_a_copy_of_the_mold_does_not_hold_the_service_up(tmp_path: Path) -> None:
    """With preload: a thread of the application's forks there; workers still see when the master is gone."""
    source = """
    def fork_later():
        while threading.main_thread().is_alive() and not os.path.exists(MARK):
            time.sleep(0.01)
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        open(MARK + ".pid", "w").write(str(pid))
    threading.Thread(target=fork_later, daemon=True).start()
    def answer(path):
        return str(os.getpid())
    """
    mark = tmp_path / "mark"
    source = f"    MARK = {str(mark)!r}" + source
    with serving(tmp_path, source, "--preload", kind="sync") as live:
        (worker,) = live.workers()
        mark.touch()
        pid = Path(f"{mark}.pid")
        copy = int(wait_for(lambda: pid.exists() and pid.read_text(), "the copy"))
        os.kill(copy, signal.SIGTERM)
        wait_for(lambda: not is_alive(copy), "it ends as any process")
        assert told(live, "/") == str(worker)
        pid.unlink()
        live.stop()


def test_a_response_goes_on_although_the_application_forks(tmp_path: Path) -> None:
    """The copy of a worker that streams to somebody else closes his connection here, not there."""
    source = COMES_BACK
    with serving(tmp_path, source, kind="gthread") as live, live.connect() as client:
        client.send(message("/"))
        client.response()
        assert told(live, "/fork")
        client.send(message("/"))
        assert client.response().status == 200
        live.stop()
