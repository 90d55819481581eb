"""What a configuration gives the server's loggers while it is read.

Published ones put handlers and filters on `logging.getLogger("gunicorn.error")` and "gunicorn.access", at
their top level. That counts as a setting does: it is there beside what the other settings say, until another
configuration is read.

Knows: the two loggers. Must not know: who reads what, what the settings say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tricorn.log.error import ACCESS_LOGGER, ERROR_LOGGER, name_alike
from tricorn.records import dataclass, field


@dataclass
class Given:
    handlers: list[logging.Handler] = field(default_factory=list)
    filters: list[Any] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.handlers or self.filters)


@dataclass
class _Readings:
    """latest: of the configuration that was read last. used: of the one in force. there: what the loggers
    have."""

    latest: dict[str, Given] = field(default_factory=dict)
    used: dict[str, Given] = field(default_factory=dict)
    there: dict[str, Given] = field(default_factory=dict)


_readings = _Readings()


@contextmanager
def reading() -> Iterator[None]:
    """While a configuration is read. What it does to the loggers is taken from them, and waits for `put`."""
    loggers = {name: name_alike(name) for name in (ERROR_LOGGER, ACCESS_LOGGER)}
    before = {name: (logger.handlers, logger.filters) for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.handlers, logger.filters = [], []
    given: dict[str, Given] = {}
    try:
        yield
        given.update({name: _of(logger) for name, logger in loggers.items()})
        _readings.latest = given
    finally:
        for name, logger in loggers.items():
            logger.handlers, logger.filters = before[name]


def _of(logger: logging.Logger) -> Given:
    own = getattr(logger, "own", None)
    return Given([each for each in logger.handlers if each is not own], list(logger.filters))


def changes_requests() -> bool:
    """Whether requests have to pass through `logging` for it."""
    return bool(_readings.latest.get(ACCESS_LOGGER))


def is_there() -> bool:
    return any(_readings.latest.values())


def put(name: str, logger: logging.Logger) -> None:
    """In place of what the configuration before has given it."""
    before, now = _readings.there.get(name, Given()), _readings.latest.get(name, Given())
    _readings.there[name] = now
    for handler in before.handlers:
        logger.removeHandler(handler)
    for each in before.filters:
        logger.removeFilter(each)
    for handler in now.handlers:
        logger.addHandler(handler)
    for each in now.filters:
        logger.addFilter(each)


def accept() -> None:
    """The configuration that was read last is in force."""
    _readings.used = _readings.latest


def refuse() -> None:
    """It is not; the one before goes on."""
    _readings.latest = _readings.used


def start_afresh() -> None:
    _readings.latest, _readings.used, _readings.there = {}, {}, {}
