"""Fixtures of the access log's tests."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from log.forms import ENVIRON, FORMS, WHEN, Written, line_of

from tricorn.log import outlets


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def own_log() -> Iterator[None]:
    """This process's error log may be set up, and is afterwards as it was."""
    loggers = [logging.getLogger(name) for name in ("tricorn.error", "tricorn.access")]
    loggers.append(logging.root)
    before = [(logger, logger.__class__, dict(vars(logger))) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.filters = logger.handlers[:], logger.filters[:]
    names = dict(logging.root.manager.loggerDict)
    yield
    outlets.start_afresh()
    for logger, kind, attributes in before:
        logger.__class__ = kind
        vars(logger).clear()
        vars(logger).update(attributes)
    logging.root.manager.loggerDict.clear()
    logging.root.manager.loggerDict.update(names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture(params=FORMS)
def written(request: pytest.FixtureRequest, path: Path) -> Written:
    """Records one request in one of the forms, and returns what was written."""
    record = FORMS[request.param]

    def write(
        format: str,
        environ: dict[str, Any] = ENVIRON,
        status: str = "200 OK",
        headers: list[Any] | None = None,
        body_bytes: int = 5,
        duration_ns: int = 1_234_567_890,
    ) -> str:
        return line_of(
            path, format, lambda log: record(log, environ, status, headers, body_bytes, duration_ns, WHEN)
        )

    return write
