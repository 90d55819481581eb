"""The logs of a process that becomes a master, or has been one and goes on as something else.

Knows: what setup.py and error.py keep for a process. Must not know: why the process begins anew.
"""

from __future__ import annotations

import logging

from tricorn.log import given, outlets
from tricorn.log.error import ACCESS_ALIASES, ACCESS_LOGGER, ALIASES, ERROR_LOGGER, ErrorLogger, SteadyLogger


def start_afresh() -> None:
    """Nothing is open, and the loggers are like any other."""
    outlets.start_afresh()
    given.start_afresh()
    for name, aliases in ((ERROR_LOGGER, ALIASES), (ACCESS_LOGGER, ACCESS_ALIASES)):
        logger = logging.getLogger(name)
        if not isinstance(logger, SteadyLogger):
            continue
        own = logger.own if isinstance(logger, ErrorLogger) else None
        logger.handlers[:] = [each for each in logger.handlers if each is not own]
        logger.__class__ = logging.Logger  # type: ignore[assignment]  # what it was before it was taken over
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
        logger.name = name
        for alias in aliases:
            logging.root.manager.loggerDict.pop(alias, None)
