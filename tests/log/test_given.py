"""What a configuration does to the server's loggers while it is read, as published ones do."""

# ruff: noqa: ARG002 - signatures are Gunicorn's
from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from log.forms import ENVIRON
from log.test_setup import Settings

from tricorn.config.errors import ConfigError
from tricorn.log import given, setup
from tricorn.log.logger import Logger

pytestmark = pytest.mark.usefixtures("own_log", "no_readings")


@pytest.fixture
def no_readings() -> Iterator[None]:
    given.start_afresh()
    yield
    given.start_afresh()


class Kept(logging.Handler):
    """Keeps what it gets, as "LOGGER LEVEL text"."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.name} {record.levelname} {record.getMessage()}")


class OnlyPages(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "/healthz" not in record.getMessage()


class Directory:
    """Where both logs are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def configure(self, **more: Any) -> None:
        error, access = str(self.path / "error.log"), str(self.path / "access.log")
        chosen = Settings(error, access_log_format="%(m)s %(U)s", accesslog=access, **more)
        setup.configure(chosen)
        self.settings = chosen

    def serve(self, *paths: str) -> None:
        """In a worker."""
        setup.heed_access_logger(self.settings)
        log = setup.open_access_log(self.settings)
        assert log is not None
        for path in paths:
            environ = {**ENVIRON, "PATH_INFO": path}
            log.record(environ, "200 OK", [], 5, 1, 0.0)
            if log.recorder is not None:
                log.recorder.wsgi(environ, "GET", path, "200 OK", [], 5, 1)
        log.flush()

    def text(self, name: str) -> str:
        return (self.path / f"{name}.log").read_text()


@pytest.fixture
def logs(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def test_handlers_and_filters_are_there_beside_ours(logs: Directory) -> None:
    kept = Kept()
    with given.reading():
        logging.getLogger("gunicorn.error").addHandler(kept)
        logging.getLogger("gunicorn.access").addFilter(OnlyPages())
        logging.getLogger("gunicorn.access").handlers = [kept]
    logs.configure()
    logging.getLogger("tricorn.error").warning("a warning")
    logs.serve("/healthz", "/page")
    assert kept.said == ["gunicorn.error WARNING a warning", "gunicorn.access INFO GET /page"]
    assert logs.text("error").endswith("[WARNING] a warning\n")
    assert logs.text("access") == "GET /page\n"
    # A reload: the file does not do it any more.
    with given.reading():
        pass
    logs.configure()
    logging.getLogger("tricorn.error").warning("another")
    logs.serve("/healthz")
    assert len(kept.said) == 2
    assert logs.text("access") == "GET /page\nGET /healthz\n"


def test_a_class_that_takes_the_logs_elsewhere(logs: Directory) -> None:
    """The published one for Loguru: its setup does not call Gunicorn's, so nothing goes to the files."""
    kept = Kept()

    class Stubbed(Logger):
        def setup(self, cfg: Any) -> None:
            handler = logging.NullHandler()
            self.error_logger = logging.getLogger("gunicorn.error")
            self.error_logger.addHandler(handler)
            self.access_logger = logging.getLogger("gunicorn.access")
            self.access_logger.addHandler(handler)
            self.error_logger.setLevel("INFO")
            self.access_logger.setLevel("INFO")

    with given.reading():
        for name in ("gunicorn", "gunicorn.access", "gunicorn.error", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).handlers = [kept]
    logs.configure(logger_class=Stubbed)
    logging.getLogger("tricorn.error").warning("a warning")
    logs.serve("/page")
    assert kept.said == ["gunicorn.error WARNING a warning", "gunicorn.access INFO GET /page"]
    assert (logs.text("error"), logs.text("access")) == ("", "")


def test_a_class_that_takes_them_nowhere_leaves_the_error_log(logs: Directory) -> None:
    class Silent(Logger):
        def setup(self, cfg: Any) -> None:
            """Forgotten."""

    logs.configure(logger_class=Silent)
    logging.getLogger("tricorn.error").warning("a warning")
    assert logs.text("error").endswith("[WARNING] a warning\n")


def test_a_reload_that_fails_leaves_what_there_was(logs: Directory) -> None:
    first, second = Kept(), Kept()
    with given.reading():
        logging.getLogger("gunicorn.error").addHandler(first)
    logs.configure()
    with contextlib.suppress(SyntaxError), given.reading():
        logging.getLogger("gunicorn.error").addHandler(second)
        raise SyntaxError
    with given.reading():
        logging.getLogger("gunicorn.error").addHandler(second)
    with pytest.raises(ConfigError):
        logs.configure(logger_class="no.Class")
    logging.getLogger("tricorn.error").warning("a warning")
    assert (len(first.said), second.said) == (1, [])


def test_who_had_a_logger_before_has_ours(logs: Directory) -> None:
    """A module that was imported before there was a server."""
    kept = Kept()
    logging.root.manager.loggerDict.pop("gunicorn.error", None)
    early = logging.getLogger("gunicorn.error")
    early.addHandler(kept)
    with given.reading():
        pass
    logs.configure()
    early.warning("from early on")
    assert "from early on" in logs.text("error")


def test_what_a_hook_puts_on_the_access_logger(logs: Directory) -> None:
    """As `server.log.access_log` of on_starting."""
    logs.configure()
    setup.logger().access_log.addFilter(OnlyPages())
    logs.serve("/healthz", "/page")
    assert logs.text("access") == "GET /page\n"
