"""The access log over real descriptors: atoms, escaping, JSON, failure, rotation.

Requests are written as WSGI environs; what takes the fixture `written` or a `form` is recorded as the ASGI
scope of the same request too. test_access_scope.py has what only scopes have.
"""

from __future__ import annotations

import base64
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from log.forms import ENVIRON, FORMS, WHEN, Written, as_scope, line_of, open_log

from tricorn.log.access import AccessLog
from tricorn.log.access_format import COMBINED

LINE = re.compile(r'(\S+) - (\S+) \[([^]]+)\] "([^"]*)" (\S+) (\S+) "([^"]*)" "([^"]*)"\n')


def basic(credentials: bytes) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(credentials).decode()}


@pytest.mark.usefixtures("utc")
class TestAtoms:
    @pytest.mark.parametrize(
        ("format", "expected"),
        [
            ("%(h)s", "192.0.2.1"),
            ("%(l)s", "-"),
            ("%(u)s", "-"),
            ("%(t)s", "[21/Nov/2026:09:00:00 +0000]"),
            ("%(r)s", "GET /a%20b?x=1 HTTP/1.1"),
            ("%(s)s", "200"),
            ("%(m)s", "GET"),
            ("%(U)s", "/a b"),
            ("%(q)s", "x=1"),
            ("%(H)s", "HTTP/1.1"),
            ("%(b)s", "5"),
            ("%(B)s", "5"),
            ("%(B)d", "5"),
            ("%(f)s", "https://example.org/"),
            ("%(a)s", "curl/8"),
            ("%(T)s", "1"),
            ("%(M)s", "1234"),
            ("%(D)s", "1234567"),
            ("%(L)s", "1.234567"),
            pytest.param("%(p)s", str(os.getpid()), id="%(p)s-pid"),  # the same name in each process
            ("%({X-Trace}i)s", "t-1"),
            ("%({content-type}i)s", "text/plain"),
            ("%({x-missing}i)s", "-"),
            ("%({Content-Type}o)s", "text/html"),
            ("%({set-cookie}o)s", "b=2"),
            ("%({x-missing}o)s", "-"),
            ("%({wsgi.url_scheme}e)s", "http"),
            ("%({remote_addr}e)s", "192.0.2.1"),
            ("%({wsgi.multithread}e)s", "True"),
            ("%({SERVER_PORT}e)s", "8000"),
            ("%({missing}e)s", "-"),
            ("100%%", "100%"),
            ("é", "é"),
        ],
    )
    def test_values(self, written: Written, format: str, expected: str) -> None:
        headers = [("content-TYPE", "text/html"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
        assert written(format, headers=headers) == expected + "\n"

    @pytest.mark.parametrize(
        ("status", "colour"),
        [
            ("200 OK", 32),
            ("101 Switching Protocols", 32),
            ("302 Found", 36),
            ("404 Not Found", 33),
            ("503 x", 31),
            ("999", 35),
        ],
    )
    def test_short_lines(self, written: Written, status: str, colour: int) -> None:
        number = status[:3]
        assert written("dev", status=status) == f"09:00:00  {number}  GET /a%20b?x=1  1234.5 ms\n"
        clock, state = "\x1b[2m09:00:00\x1b[0m", f"\x1b[{colour}m{number}\x1b[0m"
        line = f"{clock}  {state}  GET /a%20b?x=1  \x1b[2m1234.5 ms\x1b[0m\n"
        assert written("dev-colour", status=status) == line

    def test_an_empty_environ_is_dashes(self, written: Written) -> None:
        line = written(COMBINED + " %(m)s %(U)s %(q)s %(H)s", {}, body_bytes=0)
        assert line == '- - - [21/Nov/2026:09:00:00 +0000] "- - -" 200 - "-" "-" - - - -\n'

    def test_values_of_other_types_are_dashes(self, written: Written) -> None:
        class Hostile:
            def __str__(self) -> str:
                raise AssertionError("no foreign code runs in mid-line")

        environ = {"REMOTE_ADDR": None, "REQUEST_METHOD": ["GET"], "RAW_URI": 7, "x": Hostile()}
        assert written("%(h)s %(r)s %({x}e)s", environ) == "- - - - -\n"
        assert written("%({n}e)s", {"n": 10**5000}) == "-\n"
        assert written("%({x}o)s", headers=[("x",), None, ("x", 1), (1, "x")]) == "-\n"

    def test_bytes_in_an_environ_are_dashes(self, path: Path) -> None:
        def record(log: AccessLog) -> None:
            log.record({"REQUEST_METHOD": b"GET"}, "200", [(b"x", b"1"), ("x", b"2")], 0, 0, WHEN)

        assert line_of(path, "%(m)s %({x}o)s", record) == "- -\n"

    def test_a_unix_client_is_a_dash(self, written: Written) -> None:
        assert written("%(h)s", {"REMOTE_ADDR": ""}) == "-\n"

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("404 Not Found", "404"), ("204", "204"), ("", "-"), ("\n 1", "\\x0A"), ("2\u20ac", "-")],
    )
    def test_status(self, written: Written, status: str, expected: str) -> None:
        assert written("%(s)s", status=status) == expected + "\n"

    @pytest.mark.parametrize(
        ("duration_ns", "expected"),
        [
            (0, "0 0 0 0.000000"),
            (999, "0 0 0 0.000000"),
            (90_061_000_001_000, "90061000001 90061000 90061 90061.000001"),
            (-5, "0 0 0 0.000000"),
        ],
    )
    def test_durations(self, written: Written, duration_ns: int, expected: str) -> None:
        assert written("%(D)s %(M)s %(T)s %(L)s", duration_ns=duration_ns) == expected + "\n"

    @pytest.mark.parametrize(
        ("environ", "user"),
        [
            (basic(b"frank:secret"), "frank"),
            ({"HTTP_AUTHORIZATION": "bAsIc   " + base64.b64encode(b"frank:").decode()}, "frank"),
            (basic(b"a b:x"), "a\\x20b"),
            (basic(b":x"), "-"),
            (basic(b"no colon"), "-"),
            (basic(b"x" * 400 + b":y"), "x" * 256),
            (basic("é:x".encode()), "\\xC3\\xA9"),
            ({"HTTP_AUTHORIZATION": "Basic ***"}, "-"),
            ({"HTTP_AUTHORIZATION": "Basic"}, "-"),
            ({"HTTP_AUTHORIZATION": "Bearer abc"}, "-"),
            ({"HTTP_AUTHORIZATION": "Basic \u20ac"}, "-"),
        ],
    )
    def test_user(self, written: Written, environ: dict[str, str], user: str) -> None:
        assert written("%(u)s", environ) == user + "\n"

    def test_local_time(self, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "XXX+3:30")
        time.tzset()
        assert written("%(t)s") == "[21/Nov/2026:05:30:00 -0330]\n"

    @pytest.mark.parametrize("moment", [1e18, -1e18])
    def test_a_time_out_of_range(self, path: Path, moment: float) -> None:
        fd = open_log(path)
        for format in ("%(t)s", "json"):
            log = AccessLog(format, fd)
            log.record({}, "200", None, 0, 0, moment)
            log.flush()
        os.close(fd)
        first, second = path.read_text().splitlines()
        assert (first, json.loads(second)["time"]) == ("-", "")

    def test_time_moves_on(self, path: Path) -> None:
        fd = open_log(path)
        log = AccessLog("%(t)s", fd)
        for moment in (WHEN, WHEN + 0.5, WHEN + 1, WHEN - 1):
            log.record({}, "200", None, 0, 0, moment)
        log.flush()
        os.close(fd)
        assert re.findall(r":(\d\d) ", path.read_text()) == ["00", "00", "01", "59"]


@pytest.mark.usefixtures("utc")
class TestForging:
    """Gunicorn's log could be forged through %(u)s and %(U)s; ours through nothing."""

    @pytest.mark.parametrize(
        "environ",
        [
            basic(b'evil\n192.0.2.9 - - [x] "GET /admin":x'),
            basic(b'evil - [21/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-":x'),
            {"PATH_INFO": '/\n1.2.3.4 - - "GET"'},
            {"RAW_URI": '/" 200 5 "-" "-"\r\n'},
            {"HTTP_USER_AGENT": 'x"\n\\"\x1b[2J\x7f\x85'},
            {"HTTP_REFERER": "\\\\\n\\n"},
            {"REQUEST_METHOD": "\u2028\u20ac\n", "REMOTE_ADDR": "\n"},
        ],
    )
    def test_one_line_with_its_fields(self, written: Written, environ: dict[str, str]) -> None:
        line = written(COMBINED, environ)
        assert LINE.fullmatch(line), line
        assert line.isascii()
        assert written('"%(U)s"', environ).count("\n") == 1

    def test_escapes(self, written: Written) -> None:
        text = 'a"b\\c\n\r\t\x00\x7f\x80é'
        assert written("%(a)s", {"HTTP_USER_AGENT": text}) == (
            "a\\x22b\\x5Cc\\x0A\\x0D\\x09\\x00\\x7F\\x80\\xE9\n"
        )
        wide = {"HTTP_USER_AGENT": "é\u20ac\U0001f600\ud800\n"}
        assert written("%(a)s", wide) == (
            "\\xC3\\xA9\\xE2\\x82\\xAC\\xF0\\x9F\\x98\\x80\\xED\\xA0\\x80\\x0A\n"
        )

    def test_long_values_are_cut_and_the_buffer_grows_and_shrinks(self, written: Written) -> None:
        environ = dict.fromkeys(ENVIRON, "\u20ac" * 100_000)
        line = written(COMBINED, environ)
        assert line.count("\n") == 1
        assert len(line) > 4 * 16384 * 12  # all but two, which are bytes in a scope
        line = written("json", environ)
        assert json.loads(line)["path"] == "\u20ac" * 16384


class TestJson:
    def test_fields(self, written: Written) -> None:
        environ = ENVIRON | {"HTTP_X_REQUEST_ID": "r-1"}
        assert json.loads(written("json", environ)) == {
            "time": "2026-11-21T09:00:00.250Z",
            "remote_addr": "192.0.2.1",
            "method": "GET",
            "path": "/a b",
            "query": "x=1",
            "protocol": "HTTP/1.1",
            "status": 200,
            "bytes": 5,
            "duration_us": 1234567,
            "referer": "https://example.org/",
            "user_agent": "curl/8",
            "request_id": "r-1",
        }

    def test_absent_values(self, written: Written) -> None:
        fields = json.loads(written("json", {}))
        assert fields["referer"] is None
        assert "request_id" not in fields

    @pytest.mark.parametrize("status", ["", "abc", "099", "2000", "2 ", "\u20ac", "-1 x"])
    def test_any_status_is_a_number(self, written: Written, status: str) -> None:
        assert json.loads(written("json", status=status))["status"] in (0, 2)


TEXT = (
    st.text(max_size=30) | st.text(st.characters(max_codepoint=255, categories=None), max_size=30) | st.none()
)
SURROGATES = st.text(st.characters(categories=None), max_size=10)
VALUES = TEXT | SURROGATES | st.integers() | st.binary(max_size=5)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from([*ENVIRON, "HTTP_X_REQUEST_ID", "HTTP_AUTHORIZATION"]), VALUES),
    st.text(max_size=8),
    st.lists(st.tuples(st.sampled_from(["x", "X", "é"]), TEXT), max_size=3),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(-1e9, 1e11),
)
@example({"HTTP_AUTHORIZATION": "Basic \n"}, "\n", [("x", "\n")], 0, 0.0)
def test_any_record_is_one_line(
    form: str, environ: dict[str, Any], status: str, headers: list[Any], number: int, moment: float
) -> None:
    reader, writer = os.pipe()
    try:
        atoms = "%(u)s %({x}o)s %({SERVER_PORT}e)s %(s)s %(B)s %(D)s %(L)s "
        for format in (atoms + COMBINED, "json"):
            log = AccessLog(format, writer)
            FORMS[form](log, environ, status, headers, number, number, moment)
            log.flush()
            line = os.read(reader, 1 << 16)
            assert line.count(b"\n") == 1
            assert line.endswith(b"\n")
            assert all(32 <= byte < 127 for byte in line[:-1])
        fields = json.loads(line)
        path = environ.get("PATH_INFO") if form == "environ" else as_scope(environ).get("path")
        if form == "scope" and isinstance(path, bytes):
            path = path.decode("latin-1")
        expected = re.sub("[\ud800-\udfff]", "\ufffd", path) if isinstance(path, str) else None
        assert fields["path"] == expected
    finally:
        os.close(reader)
        os.close(writer)


class TestFailure:
    @pytest.fixture
    def warnings(self, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
        logger = logging.getLogger("tricorn.error")
        handlers, propagate = logger.handlers[:], logger.propagate
        logger.handlers[:], logger.propagate = [], True
        with caplog.at_level(logging.WARNING, "tricorn.error"):
            yield caplog
        logger.handlers[:], logger.propagate = handlers, propagate

    def record(self, log: AccessLog, times: int) -> None:
        for _ in range(times):
            log.record(ENVIRON, "200 OK", None, 5, 1, WHEN)

    def test_a_full_device_is_counted_and_reported_once(self, warnings: pytest.LogCaptureFixture) -> None:
        fd = os.open("/dev/full", os.O_WRONLY)
        log = AccessLog(COMBINED, fd)
        for _ in range(5):
            self.record(log, 1000)
            log.flush()
        os.close(fd)
        assert log.lines == log.dropped == 5000
        assert len(warnings.records) == 1
        assert "lines lost: No space left on device" in warnings.text

    def test_a_closed_descriptor(self, path: Path, warnings: pytest.LogCaptureFixture) -> None:
        fd = open_log(path)
        log = AccessLog(COMBINED, fd)
        os.close(fd)
        self.record(log, 2)
        log.flush()
        assert log.dropped == 2
        assert "Bad file descriptor" in warnings.text

    def test_a_closed_reader(self, warnings: pytest.LogCaptureFixture) -> None:
        reader, writer = os.pipe()
        log = AccessLog(COMBINED, writer)
        os.close(reader)
        self.record(log, 3)
        log.flush()
        os.close(writer)
        assert log.dropped == 3
        assert "Broken pipe" in warnings.text

    @pytest.mark.parametrize("blocking", [True, False])
    def test_a_stalled_reader_never_blocks_and_gets_whole_lines(
        self, blocking: bool, warnings: pytest.LogCaptureFixture
    ) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, blocking)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        log = AccessLog(COMBINED, writer)
        self.record(log, 5000)  # would hang here
        log.flush()
        assert log.dropped > 0
        assert "lines lost" in warnings.text
        os.set_blocking(reader, False)
        received = b""
        for _ in range(1000):
            log.flush()
            try:
                received += os.read(reader, 1 << 16)
            except BlockingIOError:
                break
        os.close(reader)
        os.close(writer)
        lines = received.decode().splitlines(keepends=True)
        assert all(LINE.fullmatch(line) for line in lines)
        assert len(lines) + log.dropped == log.lines

    @pytest.mark.usefixtures("warnings")
    def test_a_torn_line_does_not_spoil_the_next(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        log = AccessLog("%(a)s", writer)
        log.record({"HTTP_USER_AGENT": "x" * 6000}, "200", None, 0, 0, WHEN)
        log.flush()
        log.record({"HTTP_USER_AGENT": "y" * 16000}, "200", None, 0, 0, WHEN)
        for _ in range(10):  # fills the buffer, so the rest of the torn line goes too
            log.record({"HTTP_USER_AGENT": "z" * 16000}, "200", None, 0, 0, WHEN)
        received = os.read(reader, 1 << 16)
        while b"marker" not in received:
            log.record({"HTTP_USER_AGENT": "marker"}, "200", None, 0, 0, WHEN)
            log.flush()
            received += os.read(reader, 1 << 16)
        os.close(reader)
        os.close(writer)
        lines = received.decode().splitlines()
        assert lines[0] == "x" * 4096
        assert lines[-1] == "marker"
        assert log.dropped > 0

    def test_a_failing_handler_does_not_reach_serving(self) -> None:
        class Failing(logging.Filter):
            def filter(self, record: logging.LogRecord) -> bool:
                raise RuntimeError(record)

        logger = logging.getLogger("tricorn.error")
        failing = Failing()
        logger.addFilter(failing)
        fd = os.open("/dev/full", os.O_WRONLY)
        try:
            log = AccessLog(COMBINED, fd)
            self.record(log, 1000)
            log.flush()
            assert log.dropped == 1000
        finally:
            logger.removeFilter(failing)
            os.close(fd)


class TestFiles:
    def test_lines_wait_in_the_buffer_until_it_is_full(self, path: Path) -> None:
        fd = open_log(path)
        log = AccessLog(COMBINED, fd)
        log.record(ENVIRON, "200 OK", None, 5, 1, WHEN)
        assert path.stat().st_size == 0
        for _ in range(1000):
            log.record(ENVIRON, "200 OK", None, 5, 1, WHEN)
        assert path.stat().st_size > 50_000
        log.flush()
        os.close(fd)
        assert len(path.read_text().splitlines()) == 1001

    def test_reopen_loses_nothing(self, path: Path) -> None:
        fd = open_log(path)
        log = AccessLog("%(B)s", fd)
        parts = []
        for part in range(4):
            for number in range(5000):
                log.record(ENVIRON, "200 OK", None, part * 5000 + number, 1, WHEN)
            parts.append(path.rename(path.with_suffix(f".{part}")))
            fresh = open_log(path)
            log.reopen(fresh)
            os.close(fd)
            fd = fresh
        os.close(fd)
        numbers = [int(line) for part in parts for line in part.read_text().split()]
        assert numbers == list(range(20_000))

    def test_many_writers_share_a_file(self, path: Path) -> None:
        children = []
        for number in range(4):
            if (pid := os.fork()) == 0:
                log = AccessLog(COMBINED, open_log(path))
                for _ in range(3000):
                    log.record(ENVIRON | {"HTTP_USER_AGENT": f"writer {number}"}, "200 OK", None, 5, 1, WHEN)
                log.flush()
                os._exit(0)
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
        lines = path.read_text().splitlines(keepends=True)
        assert len(lines) == 12_000
        assert all(LINE.fullmatch(line) for line in lines)

    def test_a_bad_format_is_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="a lone %"):
            AccessLog("50%", 1)
