"""The rule of the error log's logger: done to all, it passes by; asked for by name, it is done."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from log.test_setup import Settings

from tricorn.log import setup
from tricorn.log.error import ALIASES, ErrorLogger, block_of

pytestmark = pytest.mark.usefixtures("own_log", "root")
NAME = "tricorn.error"


class Kept(logging.Handler):
    """Keeps the messages that it gets, by level and text."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.levelname} {record.getMessage()}")


KEPT = Kept()


def kept() -> logging.Handler:
    return KEPT


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, and what configurations change besides, as they were."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logging.disable(logging.NOTSET)
    logger.handlers[:] = handlers
    logger.setLevel(level)
    KEPT.messages.clear()


@pytest.fixture
def log(path: Path) -> Iterator[logging.Logger]:
    """The handlers outlive the test: they get their formatters back."""
    setup.configure(Settings(str(path)))
    found = logging.getLogger(NAME)
    before = [(handler, handler.formatter) for handler in found.handlers]
    yield found
    for handler, formatter in before:
        handler.setFormatter(formatter)


def configured(**loggers: Any) -> Callable[[], None]:
    """dictConfig with these loggers, `__` for a dot, and with the default of disable_existing_loggers."""
    return lambda: logging.config.dictConfig(
        {
            "version": 1,
            "handlers": {"kept": {"()": f"{__name__}.kept"}},
            "loggers": {name.replace("__", "."): value for name, value in loggers.items()},
        }
    )


def by_file(directory: Path) -> None:
    (directory / "logging.ini").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nlevel=ERROR\nhandlers=\n"
    )
    logging.config.fileConfig(directory / "logging.ini")


def disable_each() -> None:
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).disabled = True


#: What applications do to all loggers alike, or to the root logger.
DONE_TO_ALL: dict[str, Callable[[], object]] = {
    "dictConfig": configured(),
    "dictConfig of another": configured(app={"level": "INFO"}),
    "basicConfig": lambda: logging.basicConfig(force=True, level=logging.CRITICAL),
    "logging.disable": lambda: logging.disable(logging.CRITICAL),
    "logging.shutdown": logging.shutdown,
    "the root's level": lambda: logging.getLogger().setLevel(logging.CRITICAL),
    "each disabled": disable_each,
}


@pytest.mark.parametrize("name", DONE_TO_ALL)
def test_what_is_done_to_all_passes_by(name: str, log: logging.Logger, path: Path) -> None:
    DONE_TO_ALL[name]()
    log.info("still here")
    assert path.read_text().count("still here") == 1
    log.debug("not this")
    assert "not this" not in path.read_text()


def test_file_config_passes_by(log: logging.Logger, path: Path, tmp_path: Path) -> None:
    by_file(tmp_path)
    log.info("still here")
    assert path.read_text().count("still here") == 1


def take_handlers() -> None:
    logging.getLogger(NAME).handlers.clear()


def take_handlers_of_each() -> None:
    """As recipes do that send all that is logged to the root logger's handlers."""
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True


#: What leaves our logger without a handler, while nobody else is there to take a record.
LEFT_WITHOUT: dict[str, Callable[[], object]] = {
    "cleared": take_handlers,
    "cleared and propagating": take_handlers_of_each,
    "dictConfig, no handlers": configured(tricorn__error={"level": "INFO"}),
    "dictConfig of its parent": configured(tricorn={"level": "INFO"}),
    "dictConfig of the parent's namesake": configured(gunicorn={"level": "INFO"}),
}


@pytest.mark.parametrize("name", LEFT_WITHOUT)
def test_a_logger_without_a_handler_gets_its_own_back(
    name: str, log: logging.Logger, root: logging.Logger, path: Path
) -> None:
    root.handlers.clear()  # pytest's
    LEFT_WITHOUT[name]()
    log.info("still here")
    log.info("and here")
    assert [line.split("] ")[-1] for line in path.read_text().splitlines()] == ["still here", "and here"]


@pytest.mark.parametrize("name", [NAME, *ALIASES])
def test_a_configuration_by_name_gets_what_it_asks_for(name: str, log: logging.Logger, path: Path) -> None:
    asked = {"handlers": ["kept"], "level": "WARNING", "propagate": False}
    configured(**{name.replace(".", "__"): asked})()
    log.info("not this")
    log.warning("this")
    assert KEPT.messages == ["WARNING this"]
    assert path.read_text() == ""


def test_a_configuration_of_its_parent_gets_what_it_asks_for(log: logging.Logger, path: Path) -> None:
    configured(tricorn={"handlers": ["kept"], "level": "DEBUG", "propagate": False})()
    log.debug("this too")
    assert KEPT.messages == ["DEBUG this too"]
    assert path.read_text() == ""


def test_all_to_the_root_logger(log: logging.Logger, root: logging.Logger, path: Path) -> None:
    root.handlers[:] = [KEPT]
    take_handlers_of_each()
    log.info("there")
    assert KEPT.messages == ["INFO there"]
    assert path.read_text() == ""


def test_to_the_root_logger_by_name(log: logging.Logger, root: logging.Logger, path: Path) -> None:
    """The first example of docs/logging.md."""
    root.handlers[:] = [KEPT]
    configured(tricorn__error={"handlers": [], "propagate": True})()
    log.info("there")
    assert KEPT.messages == ["INFO there"]
    assert path.read_text() == ""


def test_a_handler_more(log: logging.Logger, path: Path) -> None:
    log.addHandler(KEPT)
    log.info("twice")
    assert KEPT.messages == ["INFO twice"]
    assert path.read_text().count("twice") == 1


def test_propagation(log: logging.Logger, root: logging.Logger, path: Path) -> None:
    root.addHandler(KEPT)
    log.info("not there")
    log.propagate = True
    log.info("there")
    assert KEPT.messages == ["INFO there"]
    assert path.read_text().count("there") == 2


def test_a_formatter_and_a_filter_of_the_application(log: logging.Logger, path: Path) -> None:
    class Json(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return json.dumps({"text": record.getMessage(), "of": record.__dict__.get("request")})

    def add_request(record: logging.LogRecord) -> bool:
        record.__dict__["request"] = 7
        return record.levelno > logging.INFO

    log.handlers[0].setFormatter(Json())
    log.addFilter(add_request)
    log.info("filtered")
    log.warning("one")
    log.warning("two")
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"text": "one", "of": 7},
        {"text": "two", "of": 7},
    ]


@pytest.mark.parametrize(
    "silence",
    [
        lambda log: log.handlers.__setitem__(slice(None), [logging.NullHandler()]),
        lambda log: log.setLevel(logging.CRITICAL),
    ],
)
def test_silence_can_be_asked_for(
    silence: Callable[[logging.Logger], None], log: logging.Logger, path: Path
) -> None:
    silence(log)
    log.error("not this")
    assert path.read_text() == ""


@pytest.mark.parametrize("place", [0, 1])
def test_a_handler_that_raises_costs_its_own_output(place: int, log: logging.Logger, path: Path) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record)

    log.handlers.insert(place, Broken())
    log.error("still here")
    first, second = path.read_text().splitlines()
    assert first.endswith("[ERROR] still here")
    assert second.endswith("[WARNING] A log handler or filter of the application raised RuntimeError")


@pytest.mark.parametrize("name", ALIASES)
def test_the_handlers_of_the_servers_log_are_given_to_the_applications(
    name: str, log: logging.Logger, path: Path
) -> None:
    """As applications for other servers do, so that their own records come into the server's log."""
    mine = logging.getLogger("of_the_application")
    mine.handlers = logging.getLogger(name).handlers
    mine.setLevel(logging.getLogger(name).level)
    mine.info("mine")
    assert logging.getLogger(name) is log
    assert path.read_text().endswith("[INFO] mine\n")
    mine.handlers = []


class TestReload:
    """The settings are read again in a process in which foreign code has run: a configuration is one."""

    def test_the_same_handler_writes_to_the_new_file(self, log: logging.Logger, path: Path) -> None:
        mine = log.handlers
        other = path.with_name("other.log")
        setup.configure(Settings(str(other), "debug"))
        log.debug("moved")
        assert "moved" in other.read_text()
        assert logging.getLogger(NAME).handlers is mine

    def test_what_the_application_has_changed_stays(self, log: logging.Logger, path: Path) -> None:
        log.handlers[:] = [KEPT]
        log.setLevel(logging.ERROR)
        setup.configure(Settings(str(path), "debug"))
        log.warning("not this")
        log.error("this")
        assert KEPT.messages == ["ERROR this"]

    def test_a_class_of_loggers_that_is_not_ours(self, path: Path) -> None:
        """logging.setLoggerClass() in a configuration file comes before our logger is made."""

        class Foreign(logging.Logger):
            def info(self, *_: object, **__: object) -> None:
                raise AssertionError("not ours")

        logger = logging.getLogger(NAME)
        logger.__class__ = Foreign
        setup.configure(Settings(str(path)))
        logger.info("ours")
        assert isinstance(logger, ErrorLogger)
        assert "ours" in path.read_text()


@pytest.mark.parametrize(
    ("text", "message", "block"), [("one", "one", ""), ("one\ntwo\n", "one", "two\n"), ("", "", "")]
)
def test_a_text_of_several_lines(text: str, message: str, block: str) -> None:
    assert block_of(text) == (message, {"block": block})
