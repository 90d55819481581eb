"""logger_class: what people have written for Gunicorn, with the import changed."""

# ruff: noqa: ARG002, ARG005 - signatures are Gunicorn's
from __future__ import annotations

import logging
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from log.forms import ENVIRON, as_scope
from log.test_setup import RECORD, Settings

from tricorn.config.errors import ConfigError
from tricorn.log import setup
from tricorn.log.access import AccessLog
from tricorn.log.access_format import COMBINED
from tricorn.log.logger import Logger, SafeAtoms

pytestmark = pytest.mark.usefixtures("own_log")

LOGGER = logging.getLogger("tricorn.error")
HEADERS = [("X-Kind", "test"), ("Content-Type", "text/plain")]


def set_up(kind: type | str, **more: Any) -> AccessLog | None:
    chosen = Settings(logger_class=kind, **{"access_log_format": COMBINED, **more})
    setup.configure(chosen)
    return setup.open_access_log(chosen)


def serve(log: AccessLog, environ: dict[str, Any], status: str = "200 OK", form: str = "wsgi") -> None:
    """What the transport does when a request is over."""
    duration = 1_234_567_890
    if form == "wsgi":
        log.record(environ, status, HEADERS, 5, duration, 0.0)
        if log.recorder is not None:
            log.recorder.wsgi(
                environ, environ["REQUEST_METHOD"], environ["RAW_URI"], status, HEADERS, 5, duration
            )
    else:
        octets = [(name.encode(), value.encode()) for name, value in HEADERS]
        scope = as_scope(environ)
        log.record_scope(scope, environ["RAW_URI"], "HTTP/1.1", status, octets, 5, duration, 0.0)
        if log.recorder is not None:
            log.recorder.asgi(
                scope, environ["REQUEST_METHOD"], environ["RAW_URI"], "HTTP/1.1", status, octets, 5, duration
            )
    log.flush()


class TestAccess:
    @pytest.mark.parametrize("form", ["wsgi", "asgi"])
    def test_access_is_overridden(self, tmp_path: Path, form: str) -> None:
        class Quiet(Logger):
            def access(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> None:
                if environ["PATH_INFO"] != "/healthz":
                    super().access(resp, req, environ, request_time)
                    self.info("%s %s %s", resp.status, req.path, request_time.total_seconds())

        path = tmp_path / "access.log"
        log = set_up(Quiet, accesslog=str(path), errorlog=str(tmp_path / "error.log"))
        assert log is not None
        serve(log, {**ENVIRON, "PATH_INFO": "/healthz"}, form=form)
        serve(log, ENVIRON, form=form)
        line = re.sub(r"\[.*?\]", "[]", path.read_text())
        assert line == ('192.0.2.1 - - [] "GET /a%20b?x=1 HTTP/1.1" 200 5 "https://example.org/" "curl/8"\n')
        assert (tmp_path / "error.log").read_text().endswith("[INFO] 200 OK /a b 1.234567\n")

    @pytest.mark.parametrize("form", ["wsgi", "asgi"])
    def test_atoms_and_now_are_overridden(self, tmp_path: Path, form: str) -> None:
        class More(Logger):
            def now(self) -> str:
                return "then"

            def atoms(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> dict[str, Any]:
                atoms = super().atoms(resp, req, environ, request_time)
                atoms["trace"] = dict(req.headers)["X-TRACE"]
                return atoms

        path = tmp_path / "access.log"
        text = "%(t)s %(trace)s %(s)s %(B)s %(D)s %(M)s %(L)s %(T)s %({x-kind}o)s %({X-Trace}i)s %(none)s"
        log = set_up(More, accesslog=str(path), access_log_format=text)
        assert log is not None
        serve(log, ENVIRON, form=form)
        assert path.read_text() == "then t-1 200 5 1234567 1234 1.234567 1 test t-1 -\n"

    def test_every_atom_is_as_in_the_compiled_log(self, tmp_path: Path) -> None:
        text = "%(h)s %(l)s %(u)s %(r)s %(s)s %(m)s %(U)s %(q)s %(H)s "
        text += "%(b)s %(B)s %(f)s %(a)s %(T)s %(M)s %(D)s %(L)s"
        text += " %({x-trace}i)s %({content-type}o)s %({REQUEST_METHOD}e)s %(i)s"

        class Same(Logger):
            def now(self) -> str:
                return super().now()

        environ = {
            **ENVIRON,
            "PATH_INFO": '/a\n"\\\xff',
            "HTTP_AUTHORIZATION": "Basic YSBiOmM=",
            "HTTP_USER_AGENT": "\x1b[2J",
        }
        lines = []
        for number, kind in enumerate((Same, Logger)):
            path = tmp_path / f"{number}.log"
            log = set_up(kind, accesslog=str(path), access_log_format=text)
            assert log is not None
            assert (log.recorder is None) == (kind is Logger)
            serve(log, environ)
            lines.append(path.read_text())
        assert lines[0] == lines[1]
        assert lines[0].count("\n") == 1

    def test_a_filter_of_the_access_logger(self, tmp_path: Path) -> None:
        class NoHealth(logging.Filter):
            def filter(self, record: logging.LogRecord) -> bool:
                return record.name == "gunicorn.access" and "/healthz" not in record.getMessage()

        class Custom(Logger):
            def setup(self, cfg: Any) -> None:
                super().setup(cfg)
                logging.getLogger("gunicorn.access").addFilter(NoHealth())

        path = tmp_path / "access.log"
        log = set_up(Custom, accesslog=str(path))
        assert log is not None
        serve(log, {**ENVIRON, "RAW_URI": "/healthz"})
        serve(log, ENVIRON)
        assert path.read_text().count("\n") == 1

    def test_a_formatter_that_takes_the_atoms(self, tmp_path: Path) -> None:
        class Short(logging.Formatter):
            def format(self, record: logging.LogRecord) -> str:
                assert isinstance(record.args, dict)
                return f"{record.args['m']} {record.args['U']} {record.args['s']} {record.args['no']}"

        class Custom(Logger):
            def setup(self, cfg: Any) -> None:
                super().setup(cfg)
                self._set_handler(self.access_log, cfg.accesslog, Short())

        path = tmp_path / "access.log"
        log = set_up(Custom, accesslog=str(path))
        assert log is not None
        serve(log, ENVIRON)
        assert path.read_text() == "GET /a b 200 -\n"

    def test_what_it_does_not_escape_is_escaped(self, tmp_path: Path) -> None:
        class Raw(Logger):
            def access(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> None:
                self.access_log.info("%s", environ["PATH_INFO"])

        path = tmp_path / "access.log"
        log = set_up(Raw, accesslog=str(path))
        assert log is not None
        serve(log, {**ENVIRON, "PATH_INFO": '/a\n1.2.3.4 - - "forged'})
        assert path.read_text() == '/a\\x0A1.2.3.4 - - "forged\n'

    def test_what_it_raises_costs_a_line(self, tmp_path: Path) -> None:
        class Broken(Logger):
            def access(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> None:
                raise SystemExit("needle")

        path = tmp_path / "error.log"
        log = set_up(Broken, errorlog=str(path))
        assert log is not None
        serve(log, ENVIRON)
        assert "logger_class or handler raised" in path.read_text()
        assert "SystemExit: needle" in path.read_text()

    def test_what_compiled_code_can_do_it_does(self, tmp_path: Path) -> None:
        class Plain(Logger):
            datefmt = "%H:%M"

        log = set_up(Plain, accesslog=str(tmp_path / "access.log"))
        assert log is not None
        assert log.recorder is None
        assert set_up(Plain) is None


class TestRecords:
    def test_formats_of_a_subclass(self, tmp_path: Path) -> None:
        class Plain(Logger):
            error_fmt = "%(levelname)s %(asctime)s %(message)s"
            datefmt = "%Y"

        path = tmp_path / "error.log"
        set_up(Plain, errorlog=str(path))
        LOGGER.info("hello %s", "x\n[2026] forged")
        assert path.read_text() == f"INFO {time.strftime('%Y')} hello x\\x0A[2026] forged\n"

    def test_a_formatter_on_the_handler(self, tmp_path: Path) -> None:
        class Custom(Logger):
            def setup(self, cfg: Any) -> None:
                super().setup(cfg)
                self.error_log.handlers[0].setFormatter(logging.Formatter("<%(message)s>"))

        path = tmp_path / "error.log"
        set_up(Custom, errorlog=str(path))
        LOGGER.info("hello")
        assert path.read_text() == "<hello>\n"

    def test_methods_are_overridden(self, tmp_path: Path) -> None:
        class Loud(Logger):
            def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
                super().error("!!! " + msg, *args, **kwargs)

        path = tmp_path / "error.log"
        set_up(Loud, errorlog=str(path))
        LOGGER.error("one %d", 1)
        LOGGER.info("two")
        setup.logger().error("three")
        LOGGER.error("four", extra={"block": "behind\n[it"})
        said = [found[3] for line in path.read_text().splitlines() if (found := RECORD.fullmatch(line))]
        assert said == ["!!! one 1", "two", "!!! three", "!!! four"]
        assert path.read_text().endswith("behind\n [it\n")

    def test_a_class_of_its_own(self, capfd: pytest.CaptureFixture[str]) -> None:
        said: list[tuple[str, str]] = []

        class Alone:
            def __init__(self, cfg: Any) -> None:
                self.cfg = cfg

            def __getattr__(self, name: str) -> Any:
                if name in ("critical", "error", "warning", "info", "debug", "exception"):
                    return lambda msg, *args, **more: said.append((name, msg % args))
                raise AttributeError(name)

            def access(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> None:
                said.append(("access", f"{req.method} {resp.status_code}"))

        log = set_up(Alone)
        assert log is not None
        serve(log, ENVIRON, "404 Not Found")
        LOGGER.warning("%s", "careful")
        try:
            raise ValueError
        except ValueError:
            LOGGER.exception("failed")
        LOGGER.error("boot", extra={"block": "lines"})
        assert said == [
            ("access", "GET 404"),
            ("warning", "careful"),
            ("exception", "failed"),
            ("error", "boot\nlines"),
        ]
        assert capfd.readouterr().err == ""

    def test_other_loggers_in_place_of_ours(self, caplog: pytest.LogCaptureFixture) -> None:
        class Moved(Logger):
            def setup(self, cfg: Any) -> None:
                super().setup(cfg)
                self.error_log = self.access_log = logging.getLogger("elsewhere")

        with caplog.at_level(logging.INFO, "elsewhere"):
            log = set_up(Moved, accesslog="-")
            assert log is not None
            serve(log, ENVIRON)
            LOGGER.info("hello")
        assert [record.name for record in caplog.records] == ["elsewhere", "elsewhere"]

    def test_one_that_raises_costs_no_record(self, tmp_path: Path) -> None:
        class Broken(Logger):
            def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
                raise RuntimeError

        path = tmp_path / "error.log"
        set_up(Broken, errorlog=str(path))
        LOGGER.info("hello")
        assert "[INFO] hello\n" in path.read_text()
        assert "raised RuntimeError" in path.read_text()

    def test_gone_with_a_reload(self, tmp_path: Path) -> None:
        class Loud(Logger):
            def setup(self, cfg: Any) -> None:
                super().setup(cfg)
                self.error_log.addFilter(lambda record: False)
                self.error_log.handlers[0].setFormatter(logging.Formatter("!%(message)s"))

        path = tmp_path / "error.log"
        set_up(Loud, errorlog=str(path))
        setup.configure(Settings(str(path)))
        LOGGER.info("hello")
        assert path.read_text().endswith("[INFO] hello\n")


class TestFinding:
    def test_by_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "own_logs.py").write_text(
            "from tricorn.log.logger import Logger\nclass Own(Logger): ...\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        set_up("own_logs.Own")
        assert type(setup.logger()).__name__ == "Own"

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("no_such_module.Logger", "cannot be imported: No module named"),
            ("tricorn.log.logger.NoLogger", "cannot be imported"),
            ("tricorn.log.error.ERROR_LOGGER", "is not a class"),
            ("tricorn.log.files.Files", "raised TypeError"),
        ],
    )
    def test_wrong_ones(self, name: str, said: str) -> None:
        with pytest.raises(ConfigError, match=said) as caught:
            set_up(name)
        assert caught.value.setting == "logger_class"


class TestFiles:
    def test_hooks_are_called(self) -> None:
        called = []

        class Told(Logger):
            def reopen_files(self) -> None:
                called.append("reopen_files")

            def close_on_exec(self) -> None:
                called.append("close_on_exec")

        set_up(Told)
        setup.reopen()
        assert called == ["close_on_exec", "reopen_files"]

    def test_files_of_the_applications_handlers_are_opened_again(self, tmp_path: Path) -> None:
        setup.configure(Settings())
        path = tmp_path / "app.log"
        handler = logging.FileHandler(path)
        logger = logging.getLogger("application of the test")
        logger.addHandler(handler)
        logger.warning("one")
        path.rename(tmp_path / "old.log")
        setup.reopen()
        logger.warning("two")
        tmp_path.rename(moved := tmp_path.with_name("moved"))
        setup.reopen()  # cannot be: it goes on as it was
        logger.warning("three")
        moved.rename(tmp_path)
        logger.removeHandler(handler)
        handler.close()
        assert path.read_text() == "two\nthree\n"


def test_atoms_are_escaped_whoever_asks() -> None:
    atoms = SafeAtoms({"a": 'x"\n\\é\u20ac', "{x}i": "y", "n": 5})
    said = "%(a)s %({X}i)s %(n)s %(no)s" % atoms  # noqa: UP031 - this is what logging does
    assert said == "x\\x22\\x0A\\x5C\\xE9\\xE2\\x82\\xAC y 5 -"


@pytest.mark.parametrize("level", ["debug", "WARNING"])
def test_the_plain_one_does_what_the_settings_say(level: str, tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    setup.configure(Settings(str(path), level, logger_class=Logger))
    for each in ("debug", "info", "warning", "error", "critical"):
        getattr(setup.logger(), each)("said %s", each)
    setup.logger().log("error", "by name")
    said = [found[3] for line in path.read_text().splitlines() if (found := RECORD.fullmatch(line))]
    levels = ["debug", "info", "warning", "error", "critical"]
    assert said == [f"said {each}" for each in levels[levels.index(level.lower()) :]] + ["by name"]
