"""Logs of a running server: full pipes, request ids, syslog, statsd, a logger_class, captured output.

Most of what these do is tested in tests/log, without a server; here is that it arrives, in each kind of
worker.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.server import wait_for
from integration.answering import serving
from integration.live import Live
from integration.test_standard_streams import QUIET, redirected

SITE = """
import logging, tricorn

def answer(path):
    if path == "/fail":
        raise ValueError("needle")
    if path == "/print":
        print("printed by", os.getpid(), flush=True)
        os.write(2, b"written to standard error\\n")
    if path == "/log":
        logging.getLogger("gunicorn.error").warning("said in %s", path)
    return f"{tricorn.request_id()}"
"""


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_pipes_that_nobody_reads(kind: str, tmp_path: Path) -> None:
    """Requests are served, what is lost is counted and told, memory is bounded, and the stop comes in
    time."""
    pipes = [os.pipe() for _ in range(2)]
    (out, out_writer), (err, err_writer) = pipes
    fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(err, False)
    streams = f"1>/proc/self/fd/{out_writer} 2>/proc/self/fd/{err_writer}"
    options = ("--access-logfile=-", "--error-logfile=-", "--keep-alive=30")
    live = redirected(tmp_path, SITE, streams, kind, *options)
    live.pass_fds = (out_writer, err_writer)
    said = b""

    def tells(what: bytes) -> bool:
        nonlocal said
        try:
            said += os.read(err, 1 << 16)
        except BlockingIOError:
            live.request("/fail")
        return what in said

    with live:
        os.close(out_writer)
        os.close(err_writer)
        (worker,) = live.workers()
        with live.connect(timeout=10) as client:
            for number in range(700):  # 140 KB, twice what the access log holds
                client.send(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"%d" % number).rjust(100, b"x"))
                assert client.response().status == 200
        wait_for(lambda: tells(b"Access log: "), "the loss of lines is told")
        lost = int(re.search(rb"Access log: (\d+) lines lost", said)[1])  # type: ignore[index]
        assert 0 < lost < 700
        assert resident(worker) < 100 << 20
        for _ in range(150):  # 70 KB of tracebacks in the error log, which nobody reads any more
            assert live.request("/fail").status == 500
        wait_for(lambda: tells(b"records lost before this one)"), "the loss of records is told")
        live.terminate()
        assert live.wait_exit(5) == 0
    os.close(out)
    os.close(err)


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def lines(path: Path, count: int) -> list[str]:
    """Of a log, once it has so many."""
    return wait_for(lambda: len(found := path.read_text().splitlines()) >= count and found, f"{count} lines")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_request_ids(kind: str, tmp_path: Path) -> None:
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    options = (
        *(f"--access-logfile={access}", "--access-logformat=json", "--request-id-header=X-Request-ID"),
        *("--request-id-response", "--forwarded-allow-ips=127.0.0.1", "--slow-request-time=60"),
    )
    given = [
        ("proxy-1/a=b", "proxy-1/a=b"),
        ("x" * 128, "x" * 128),
        ("x" * 129, None),
        ('a"b', None),
        ("a b", None),
        ("a\\nb", None),
        ("\x80", None),
        (None, None),
    ]
    with serving(tmp_path, SITE, *options, kind=kind, errorlog=error) as live:
        seen = []
        for sent, expected in given:
            fields = () if sent is None else (f"x-request-id: {sent}",)
            response = live.request("/", fields=fields)
            (echoed,) = response.all("x-request-id")
            assert response.body.decode() == echoed, "what the application sees"
            assert echoed == expected if expected else re.fullmatch(r"[0-9a-f]{32}", echoed)
            seen.append(echoed)
        twice = live.request("/", fields=("X-Request-ID: a", "X-Request-ID: b"))
        seen.append(twice.body.decode())
        assert seen[-1] not in ("a", "b", "a,b")
        failed = live.request("/fail", fields=("X-Request-ID: failing",))
        assert failed.status == 500
        assert failed.all("X-Request-ID") == ["failing"]
        live.request("/log", fields=("X-Request-ID: logging",))
        live.wait_log("(request failing)\nTraceback")
        live.wait_log("said in /log (request logging)\n")
        written = [json.loads(line)["request_id"] for line in lines(access, len(seen) + 3)[1:]]
        assert written == [*seen, "failing", "logging"]
        assert len(set(seen)) == len(seen)
        live.stop()


@pytest.mark.slow
def test_an_id_from_anybody_else_is_not_taken(tmp_path: Path) -> None:
    options = ("--request-id-header=X-Request-Id", "--forwarded-allow-ips=192.0.2.1")
    with serving(tmp_path, SITE, *options, kind="sync") as live:
        response = live.request("/", fields=("X-Request-Id: mine",))
        assert re.fullmatch(rb"[0-9a-f]{32}", response.body)
        assert response.all("x-request-id") == []
        live.stop()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_syslog_and_statsd(kind: str, tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd,
    ):
        syslog.bind(str(tmp_path / "syslog"))
        statsd.bind(("127.0.0.1", 0))
        for each in (syslog, statsd):
            each.settimeout(10)
        options = (
            *("--log-syslog", f"--log-syslog-to=unix://{tmp_path}/syslog#dgram", "--log-syslog-prefix=shop"),
            *(f"--statsd-host=127.0.0.1:{statsd.getsockname()[1]}", "--statsd-prefix=test"),
            "--enable-backlog-metric",
            "--access-logformat=%(s)s %(U)s %({x-evil}i)s",
        )
        with serving(tmp_path, SITE, *options, kind=kind) as live:
            live.request("/fail", fields=("X-Evil: \x85\x80<11>sshd",))
            live.request("/a%0a<11>sshd:%20forged")
            said: list[bytes] = []
            while sum(b".access: " in message for message in said) < 3:
                said.append(syslog.recv(1 << 16))
            metrics: set[bytes] = set()
            while b"test.gunicorn.request.status.500:1|c" not in metrics:
                metrics.update(statsd.recv(1 << 16).split(b"\n"))
            live.stop()
    assert all(re.match(rb"<1[0-5]>gunicorn\.shop\.(error|access): \[\d+\] ", message) for message in said)
    assert not any(byte < 32 or byte > 126 for byte in b"".join(said))
    assert any(b"500 /fail \\x85\\x80<11>sshd" in message for message in said)
    assert any(b"200 /a\\x0A<11>sshd: forged" in message for message in said)
    assert any(b"#012ValueError: needle" in message for message in said)
    assert b"test.gunicorn.workers:1|g" in metrics
    assert b"test.gunicorn.backlog:0|h" in metrics
    assert b"test.gunicorn.log.exception:1|c" in metrics
    assert any(re.fullmatch(rb"test\.gunicorn\.request\.duration:\d+\.\d{3}\|ms", each) for each in metrics)


CONFIGURATION = """
import logging
from tricorn.log.logger import Logger

class Short(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        self.error_log.handlers[0].setFormatter(logging.Formatter("<%(levelname)s> %(message)s"))

    def access(self, resp, req, environ, request_time):
        if req.path != "/log":
            super().access(resp, req, environ, request_time)

logger_class = Short
errorlog = "error.log"
accesslog = "access.log"
access_log_format = "%(m)s %(U)s %(s)s %(B)s %({content-length}o)s"
capture_output = True
"""


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_logger_class_and_captured_output(kind: str, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(CONFIGURATION)
    error, access = tmp_path / "error.log", tmp_path / "access.log"
    options = ("-c", str(tmp_path / "gunicorn.conf.py"))
    with serving(tmp_path, SITE, *options, kind=kind, errorlog=error) as live:
        live.request("/log")
        live.request("/%C3%A4%0A")
        live.request("/print")
        live.wait_log("written to standard error\n")
        assert "\nprinted by " in live.log()
        assert "<WARNING> said in /log\n" in live.log()
        assert lines(access, 3)[1:] == ["GET /\\xC3\\xA4\\x0A 200 0 0", "GET /print 200 0 0"]
        error.rename(tmp_path / "old.log")
        live.signal(signal.SIGUSR1)
        wait_for(lambda: "reopened the log files" in live.log(), "new files")

        def printed() -> bool:
            live.request("/print")
            return "printed by" in live.log()

        wait_for(printed, "the worker has the new file, and what it prints is there")
        (worker,) = live.workers()
        # A configuration that is wrong changes nothing; one without all that gives the streams back.
        (tmp_path / "gunicorn.conf.py").write_text(CONFIGURATION + 'logconfig_dict = {"version": 2}\n')
        live.signal(signal.SIGHUP)
        live.wait_log("Unsupported version: 2")
        live.request("/log")
        live.wait_log("<WARNING> said in /log\n")
        (tmp_path / "gunicorn.conf.py").write_text('errorlog = "error.log"\n')
        live.signal(signal.SIGHUP)
        live.wait_log("is ready")
        wait_for(
            lambda: live.workers() not in ([], [worker]) and len(live.workers()) == 1, "a new worker alone"
        )
        before = live.log().count("written to standard error")
        live.request("/print")
        live.request("/log")
        live.wait_log("] [WARNING] said in /log\n")
        assert live.log().count("written to standard error") == before
        assert "written to standard error" in super(Live, live).log()
        live.stop()


#: Options → what is said, and the exit code.
NO_START = {
    "-p /nowhere/pid": (1, "tricorn: error: cannot write pidfile /nowhere/pid: No such file or directory"),
    "-b unix:/nowhere/socket": (1, "tricorn: error: cannot listen on unix:/nowhere/socket: its directory"),
    "-c hooks.py": (1, "tricorn: error: the hook when_ready raised ValueError"),
    "-e BROKEN=1": (3, "tricorn: error: no worker could start: the application 'site_app:app' raised"),
}


@pytest.mark.parametrize("options", NO_START)
def test_who_starts_it_hears_why_although_the_disk_of_the_log_is_full(options: str, tmp_path: Path) -> None:
    code, said = NO_START[options]
    (tmp_path / "hooks.py").write_text("def when_ready(server):\n    raise ValueError\n")
    words = [str(tmp_path / "hooks.py") if word == "hooks.py" else word for word in options.split()]
    source = "assert 'BROKEN' not in os.environ\ndef answer(path):\n    return path\n"
    live = serving(tmp_path, source, *words, "--error-logfile", "/dev/full", kind="sync").start(wait=False)
    try:
        assert live.wait_exit() == code
        assert said in live.log()
        assert live.log().count("tricorn: error:") == 1
    finally:
        live.kill()


@pytest.mark.slow
def test_information_and_errors_apart(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    options = ("--info-to-stdout", "--error-log-json", "--error-logfile=-")
    with redirected(tmp_path, QUIET, f"1>{out} 2>{err}", "sync", *options) as live:
        live.request("/")
        live.terminate()
        live.wait_exit()
    said = [json.loads(line) for line in out.read_text().splitlines()]
    assert {each["level"] for each in said} == {"info"}
    assert any(each["message"].startswith("Listening") for each in said)
    assert err.read_text() == ""
