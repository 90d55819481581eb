"""The error log and both files: real descriptors, rotation, failure, forging."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tricorn.config import settings
from tricorn.config.errors import ConfigError
from tricorn.log import setup
from tricorn.log.error import DescriptorHandler, ErrorFormatter

LOGGER = logging.getLogger("tricorn.error")
RECORD = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[(\d+)\] \[([A-Z]+)\] (.*)")


def Settings(  # noqa: N802 - it makes some
    errorlog: str = "-", loglevel: str = "info", access_log_format: str = "%(m)s %(B)s", **others: Any
) -> settings.Settings:
    origins = MappingProxyType({"errorlog": "command line"})
    return settings.Settings(
        errorlog=errorlog,
        loglevel=loglevel,
        access_log_format=access_log_format,
        **{"origins": origins, "chdir": ".", **others},
    )


pytestmark = pytest.mark.usefixtures("own_log")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "error.log"


class TestRecords:
    def test_form_and_level(self, path: Path) -> None:
        setup.configure(Settings(str(path), "warning"))
        LOGGER.info("not this")
        LOGGER.warning("listening on %s", "x")
        matched = RECORD.fullmatch(path.read_text().rstrip("\n"))
        assert matched is not None
        assert matched.groups() == (str(os.getpid()), "WARNING", "listening on x")

    @pytest.mark.parametrize("level", ["debug", "INFO", "error", "critical"])
    def test_level_names(self, path: Path, level: str) -> None:
        setup.configure(Settings(str(path), level))
        assert LOGGER.level == getattr(logging, level.upper())

    def test_standard_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        setup.configure(Settings())
        LOGGER.info("hello é")
        out, err = capfd.readouterr()
        assert out == ""
        assert err.endswith("[INFO] hello é\n")

    def test_a_client_cannot_forge_a_line(self, path: Path) -> None:
        setup.configure(Settings(str(path)))
        LOGGER.info("refused: %s", "x\n[2026-11-21 09:00:00 +0000] [1] [CRITICAL] forged\x1b[2J")
        assert len(path.read_text().splitlines()) == 1
        assert "\\x0A[2026" in path.read_text()

    def test_tracebacks_are_lines_but_no_records(self, path: Path) -> None:
        setup.configure(Settings(str(path)))
        try:
            raise ValueError("x\n[2026-11-21 09:00:00 +0000] [1] [CRITICAL] forged\r")
        except ValueError:
            LOGGER.exception("error handling request")
        LOGGER.error("boot failed", extra={"block": "Traceback\n[y\n"})
        LOGGER.error("here", stack_info=True)
        lines = path.read_text().splitlines()
        assert "Traceback (most recent call last):" in lines
        assert [match[3] for line in lines if (match := RECORD.match(line))] == [
            "error handling request",
            "boot failed",
            "here",
        ]
        assert " [y" in lines

    def test_what_cannot_be_formatted(self, path: Path) -> None:
        class Hostile:
            def __str__(self) -> str:
                raise RuntimeError

        setup.configure(Settings(str(path)))
        LOGGER.info("a %s\n", Hostile())
        LOGGER.info("%d", "no number")
        assert path.read_text() == (
            "A log message could not be formatted: RuntimeError: a %s\\x0A\n"
            "A log message could not be formatted: TypeError: %d\n"
        )

    def test_configure_again_replaces(self, path: Path, tmp_path: Path) -> None:
        setup.configure(Settings(str(path)))
        setup.configure(Settings(str(tmp_path / "other.log")))
        LOGGER.info("once")
        assert path.read_text() == ""
        assert (tmp_path / "other.log").read_text().count("once") == 1
        assert len(LOGGER.handlers) == 1
        assert not LOGGER.propagate


class TestColours:
    @pytest.mark.parametrize(
        ("environ", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
    )
    def test_on_a_terminal_whose_owner_wants_them(
        self, environ: dict[str, str], is_coloured: bool, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in ({"NO_COLOR": "", "TERM": "xterm"} | environ).items():
            monkeypatch.setenv(name, value)
        master, slave = pty.openpty()
        chosen = Settings(str(path), accesslog=os.ttyname(slave), access_log_format="dev")
        try:
            setup.configure(chosen)
            log = setup.open_access_log(chosen)
            assert log is not None
            log.record({"REQUEST_METHOD": "GET", "RAW_URI": "/\x1b"}, "200 OK", None, 0, 0, 0.0)
            log.flush()
            line = os.read(master, 200)
        finally:
            os.close(master)
            os.close(slave)
        assert (b"\x1b[32m200" in line) == is_coloured
        assert b"GET /\\x1B  " in line, "a client steers nothing"

    def test_nowhere_else(self, path: Path, tmp_path: Path) -> None:
        chosen = Settings(str(path), accesslog=str(tmp_path / "access"), access_log_format="dev")
        setup.configure(chosen)
        log = setup.open_access_log(chosen)
        assert log is not None
        log.record({"REQUEST_METHOD": "GET"}, "200 OK", None, 0, 0, 0.0)
        log.flush()
        assert (tmp_path / "access").read_bytes().count(b"\x1b") == 0


class TestRotation:
    def test_no_line_is_lost(self, path: Path, tmp_path: Path) -> None:
        access = tmp_path / "access.log"
        chosen = Settings(str(path), accesslog=str(access))
        setup.configure(chosen)
        log = setup.open_access_log(chosen)
        assert log is not None
        moved = []
        for part in range(3):
            for number in range(1000):
                log.record({"REQUEST_METHOD": "GET"}, "200 OK", None, part * 1000 + number + 1, 0, 0.0)
            LOGGER.info("part %d", part)
            moved.append((path.rename(tmp_path / f"e{part}"), access.rename(tmp_path / f"a{part}")))
            setup.reopen()
        LOGGER.info("after")
        assert path.read_text().count("after") == 1
        assert access.read_text() == ""
        assert [old.read_text().count("part") for old, _ in moved] == [1, 1, 1]
        numbers = [int(line.split()[1]) for _, old in moved for line in old.read_text().splitlines()]
        assert numbers == list(range(1, 3001))
        assert not os.get_inheritable(log.fd)

    def test_a_file_that_does_not_open_stays(self, tmp_path: Path) -> None:
        directory = tmp_path / "logs"
        directory.mkdir()
        path = directory / "error.log"
        setup.configure(Settings(str(path)))
        moved = directory.rename(tmp_path / "gone")
        setup.reopen()
        LOGGER.info("still here")
        text = (moved / "error.log").read_text()
        assert "Cannot reopen" in text
        assert "still here" in text

    def test_workers_that_cannot_get_the_new_files(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel bounds how many descriptors are under way; the master goes on."""

        def send_fds(*_: object) -> None:
            raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))

        setup.configure(Settings(str(path)))
        monkeypatch.setattr("socket.send_fds", send_fds)
        setup.reopen()
        assert f"Cannot reopen {path}: {os.strerror(errno.ETOOMANYREFS)}; the old file" in path.read_text()

    def test_a_handler_of_the_applications_may_do_anything(self, path: Path, tmp_path: Path) -> None:
        class Once(logging.FileHandler):
            def _open(self) -> Any:
                if getattr(self, "stream", None) is not None:
                    raise KeyError("once")
                return super()._open()

        setup.configure(Settings(str(path)))
        own = Once(tmp_path / "own.log")
        logging.getLogger("shop").addHandler(own)
        moved = path.rename(tmp_path / "old")
        setup.reopen()
        logging.getLogger("shop").error("sold out")
        assert (tmp_path / "own.log").read_text() == "sold out\n"
        own.close()
        assert moved.read_text() == ""
        said = path.read_text()
        assert f"Cannot reopen {tmp_path}/own.log: its handler raised; the old file stays in use\n" in said
        assert "KeyError: 'once'" in said

    def test_standard_streams_are_left_alone(self, capfd: pytest.CaptureFixture[str]) -> None:
        chosen = Settings(accesslog="-")
        setup.configure(chosen)
        log = setup.open_access_log(chosen)
        assert log is not None
        log.record({"REQUEST_METHOD": "GET"}, "200 OK", None, 7, 0, 0.0)
        setup.reopen()
        assert capfd.readouterr().out == "GET 7\n"

    def test_the_path_is_kept_across_chdir(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        setup.configure(Settings("error.log"))
        monkeypatch.chdir("/")
        (tmp_path / "error.log").rename(tmp_path / "old")
        setup.reopen()
        LOGGER.info("x")
        assert (tmp_path / "error.log").read_text().count("x") == 1


class TestWrongSettings:
    @pytest.mark.parametrize("name", ["errorlog", "accesslog"])
    def test_a_path_that_cannot_be_written(self, tmp_path: Path, name: str) -> None:
        missing = str(tmp_path / "no" / "file.log")
        use = setup.configure if name == "errorlog" else setup.open_access_log
        with pytest.raises(ConfigError) as caught:
            use(Settings(missing, accesslog=missing))
        assert caught.value.setting == name
        assert caught.value.origin == ("command line" if name == "errorlog" else "")
        assert "No such file or directory" in caught.value.message
        assert "or -" in caught.value.hint

    def test_a_bad_format(self, path: Path) -> None:
        with pytest.raises(ConfigError, match="a lone %"):
            setup.open_access_log(Settings(accesslog=str(path), access_log_format="50%"))

    def test_a_bad_level(self) -> None:
        with pytest.raises(ConfigError, match="verbose"):
            setup.configure(Settings(loglevel="verbose"))

    def test_no_access_log(self) -> None:
        assert setup.open_access_log(Settings()) is None


class TestFailure:
    def test_a_full_disk_loses_records_and_says_so_later(self, path: Path) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        handler = DescriptorHandler(full)
        handler.setFormatter(ErrorFormatter())
        record = LOGGER.makeRecord("x", logging.INFO, "", 0, "hello", (), None)
        for _ in range(3):
            handler.handle(record)
        assert handler.lost == 3
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(fd, full)
        handler.handle(record)
        os.close(fd)
        os.close(full)
        handler.handle(record)
        first, second = path.read_text().splitlines()
        assert first == "(error log: 3 records lost before this one)"
        assert second.endswith("hello")
        assert handler.lost == 1, "a closed descriptor loses the record, no more"

    def test_what_comes_behind_a_torn_record_is_a_line_of_its_own(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        handler = DescriptorHandler(writer)
        handler.setFormatter(ErrorFormatter())
        handler.handle(LOGGER.makeRecord("x", logging.INFO, "", 0, "x" * 6000, (), None))
        first = os.read(reader, 1 << 16)
        handler.handle(LOGGER.makeRecord("x", logging.INFO, "", 0, "next", (), None))
        torn, note, record, end = (first + os.read(reader, 1 << 16)).decode().split("\n")
        os.close(reader)
        os.close(writer)
        assert len(torn) == 4096
        assert note == "(error log: 1 records lost before this one)"
        assert RECORD.fullmatch(record)
        assert end == ""

    def test_a_stalled_reader_does_not_hold_up_the_thread(self) -> None:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        handler = DescriptorHandler(writer)
        handler.setFormatter(ErrorFormatter())
        record = LOGGER.makeRecord("x", logging.INFO, "", 0, "x" * 3000, (), None)
        for _ in range(50):
            handler.handle(record)  # would hang here
        os.close(reader)
        os.close(writer)
        assert handler.lost == 49

    def test_a_closed_standard_error(self) -> None:
        program = (
            "import logging, os\n"
            "from tricorn.config.settings import Settings\n"
            "from tricorn.log import setup\n"
            "setup.configure(Settings())\n"
            "os.close(2)\n"
            "logging.getLogger('tricorn.error').info('x')\n"
            "print('served')\n"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment
        )
        assert (done.returncode, done.stdout) == (0, "served\n")
