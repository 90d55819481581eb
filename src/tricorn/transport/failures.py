"""What an application raised: of which kind it is, and how it is logged, without running its own code.

`isinstance` asks an object for its `__class__`, and `logging` for its `__traceback__`. With an exception of
an application's either may raise, SystemExit for instance, where the worker would take it for its own.

Knows: exceptions, loggers. Must not know: requests.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from tricorn.log.exceptions import name_of, traceback_of


def is_a(error: BaseException, kinds: type | tuple[type, ...]) -> bool:
    """isinstance(), by the type that the interpreter sees."""
    return issubclass(type(error), kinds)


def report(
    logger: logging.Logger, message: str, *arguments: object, error: BaseException, level: int = logging.ERROR
) -> None:
    """Log it with its traceback. Whatever a handler or filter of the application's does, this returns."""
    try:
        logger.log(level, message, *arguments, exc_info=(type(error), error, traceback_of(error)))
    except BaseException as trouble:  # noqa: BLE001 - foreign code
        with suppress(BaseException):  # the same code may well raise again, and there is nobody else to tell
            logger.log(level, "%s could not be logged: a handler raised %s", name_of(error), name_of(trouble))
