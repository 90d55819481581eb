"""The logs of a process that becomes a master, or has been one and goes on as something else.

Knows: what setup.py and error.py keep for a process. Must not know: why the process begins anew.
"""

from __future__ import annotations

import logging

from tricorn.log import setup
from tricorn.log.error import ALIASES, ERROR_LOGGER, ErrorLogger


def start_afresh() -> None:
    """Nothing is open, and the logger is one like any other."""
    setup._process.files.close()
    setup._process = setup._Process()
    logger = logging.getLogger(ERROR_LOGGER)
    if not isinstance(logger, ErrorLogger):
        return
    logger.handlers[:] = [each for each in logger.handlers if each is not logger.own]
    logger.__class__ = logging.Logger  # type: ignore[assignment]  # what it was before it was taken over
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    for name in ALIASES:
        logging.root.manager.loggerDict.pop(name, None)
