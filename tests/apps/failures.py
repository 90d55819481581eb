"""Exceptions that an application raises, by their names in FAILURES.

`/raise?NAME`  before its response
`/break?NAME`  in the middle of it
`/close?NAME`  behind it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from gates import Environ, StartResponse, dispatch

DEPTH = 200_000


def _refuse(*_: object) -> NoReturn:
    raise SystemExit(7)


class ByClassError(Exception):
    __class__ = property(_refuse)  # type: ignore[assignment]


class ByTextError(Exception):
    __str__ = __repr__ = _refuse


class ByTraceError(Exception):
    __traceback__ = property(_refuse)  # type: ignore[assignment]


class ByCauseError(Exception):
    __cause__ = __context__ = property(_refuse)  # type: ignore[assignment]


class ByAttributeError(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(7)


class Meta(type):
    __name__ = __module__ = property(_refuse)  # type: ignore[assignment]

    def __instancecheck__(cls, instance: object) -> NoReturn:
        raise SystemExit(7)

    __subclasscheck__ = __instancecheck__


class ByMetaError(Exception, metaclass=Meta):
    pass


class ByEndError(Exception):
    def __del__(self) -> None:
        raise SystemExit(7)


class BareError(BaseException):
    pass


def _chained(attribute: str) -> Exception:
    error = Exception("the first of many")
    for number in range(DEPTH):
        later = Exception(f"number {number} of many")
        setattr(later, attribute, error)
        error = later
    return error


def _nested() -> BaseExceptionGroup[BaseException]:
    group: BaseException = Exception("the innermost of many")
    for _ in range(DEPTH):
        group = BaseExceptionGroup("a group of many", [group])
    return group  # type: ignore[return-value]


def _circle() -> Exception:
    first, second = Exception("first"), Exception("second")
    first.__cause__, second.__cause__ = second, first
    return first


def _deep() -> Exception:
    """A traceback that is long, not a stack."""
    try:
        _raise_in_frame()
    except LookupError as error:
        trace = error.__traceback__
        for _ in range(DEPTH):
            assert trace is not None
            trace = type(trace)(trace, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
        return Exception("behind a long traceback").with_traceback(trace)


def _raise_in_frame() -> NoReturn:
    raise LookupError


def _argument() -> Exception:
    class Argument:
        __str__ = __repr__ = _refuse

    return Exception(Argument())


FAILURES: dict[str, Callable[[], BaseException]] = {
    "class": ByClassError,
    "text": ByTextError,
    "trace": ByTraceError,
    "cause": ByCauseError,
    "attribute": ByAttributeError,
    "meta": ByMetaError,
    "end": ByEndError,
    "argument": _argument,
    "bare": BareError,
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "iteration": StopIteration,
    "deep-cause": lambda: _chained("__cause__"),
    "deep-context": lambda: _chained("__context__"),
    "deep-group": _nested,
    "deep-trace": _deep,
    "circle": _circle,
}


def fail(environ: Environ) -> NoReturn:
    raise FAILURES[environ["QUERY_STRING"]]()


def before(environ: Environ, _: StartResponse) -> Iterable[bytes]:
    fail(environ)


class Breaking:
    def __init__(self, environ: Environ) -> None:
        self.environ = environ
        self.pieces = iter([b"begun"])

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        for piece in self.pieces:
            return piece
        fail(self.environ)


def midway(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return Breaking(environ)


class Closing(list[bytes]):
    def __init__(self, environ: Environ) -> None:
        super().__init__([b"all"])
        self.environ = environ

    def close(self) -> None:
        fail(self.environ)


def at_the_end(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return Closing(environ)


app = dispatch({"/raise": before, "/break": midway, "/close": at_the_end})
