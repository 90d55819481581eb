"""What goes over a connection between a caller and a heavy worker, as bytes. No I/O, no clock.

    4 bytes  length of the payload, most significant byte first
    1 byte   kind
    …        the payload: one value, encoded

    caller → worker   CALL   {"action", "args", "kwargs", "request_id", "asked_ns"}, the only message
    worker → caller   RESULT the value, the last message
                      PIECE  of a stream, any number of them
                      END    of a stream, the last message
                      ERROR  DirtyError.to_dict(), the last message
    caller → stash    ASK    {"op", "table", "key", "value", "pattern"}; the answer is RESULT or ERROR

Whoever has no interest any more closes the connection.

Values are encoded by pickle, restricted to data. Both ends are processes of one user with one version of the
code, so pickle would be no hole; but what a message may hold should not depend on what happens to be
importable, and no message should be able to name code. So the encoder refuses everything but the types below,
by name, and the decoder knows no others: `find_class` looks into a table of fifteen classes. JSON has no
bytes, no tuples and no dates; Gunicorn's own format, in Python, needs 60 ms for 100,000 floats where this
needs 1.

Knows: frames, values. Must not know: connections, what is called.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

from tricorn.heavy.errors import DirtyProtocolError

HEAD = struct.Struct("!IB")

#: Of one message, bytes, as in Gunicorn. What is larger belongs into a file, whose name is sent.
MESSAGE_MAX = 64 << 20

PROTOCOL = 5


class Kind(IntEnum):
    CALL = 1
    RESULT = 2
    PIECE = 3
    END = 4
    ERROR = 5
    ASK = 6


#: (the type, what makes an exact one of an object of a subclass). In this order: a bool is an int.
SUBCLASSES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (complex, lambda value: complex(value.real, value.imag)),
    (str, lambda value: str.__str__(value)),
    (bytes, lambda value: bytes(memoryview(value))),
    (bytearray, lambda value: bytearray(memoryview(value))),
    (dict, lambda value: dict(dict.items(value))),
    (list, lambda value: list(list.__iter__(value))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
)

#: What pickle takes apart by the standard library's own account.
TAKEN_APART = frozenset({datetime, date, time, timedelta, timezone})

#: What a message may name.
NAMED: Mapping[tuple[str, str], Any] = {
    (each.__module__, each.__qualname__): each
    for each in (*(base for base, _ in SUBCLASSES), *TAKEN_APART, Decimal, UUID)
}

#: What to do with types that people try to send.
HINTS = {
    "ndarray": "send .tobytes(), or .tolist()",
    "Tensor": "send .tolist()",
    "DataFrame": "send .to_dict(), or write it to a file and send the file's name",
}


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Called for whatever is not exactly one of the types that pickle has opcodes for."""
        kind = type(value)
        if kind is type and value in NAMED.values():
            return NotImplemented  # what makes one of these again, by its name
        if kind is complex:
            return complex, (value.real, value.imag)
        if kind in TAKEN_APART:
            return value.__reduce_ex__(PROTOCOL)
        if kind is Decimal or kind is UUID:
            return kind, (str(value),)
        if kind is memoryview:
            return bytes, (bytes(value),)
        for base, exact in SUBCLASSES:
            if isinstance(value, base):
                return base, (exact(value),)
        hint = HINTS.get(kind.__name__, "send plain data")
        if hasattr(kind, "__dataclass_fields__"):
            hint = "send dataclasses.asdict() of it"
        raise DirtyProtocolError(
            f"{kind.__module__}.{kind.__qualname__} cannot be sent between processes; {hint}"
        )


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = NAMED.get((module, name))
        if found is None:
            raise DirtyProtocolError(f"a message names {module}.{name}, which is no plain data")
        return found


def encoded(value: object) -> bytes:
    """Raises DirtyProtocolError: it cannot be sent."""
    stream = io.BytesIO()
    try:
        _Pickler(stream, protocol=PROTOCOL).dump(value)
    except RecursionError:
        raise DirtyProtocolError("what is to be sent is nested too deeply") from None
    except (pickle.PicklingError, TypeError, ValueError) as error:
        raise DirtyProtocolError(f"this cannot be sent between processes: {error}") from error
    found = stream.getvalue()
    if len(found) > MESSAGE_MAX:
        raise DirtyProtocolError(
            f"a message of {len(found) >> 20} MB is more than the {MESSAGE_MAX >> 20} that there may be; "
            "write it to a file and send the file's name"
        )
    return found


def decoded(data: bytes | bytearray | memoryview) -> Any:
    """Raises DirtyProtocolError."""
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except DirtyProtocolError:
        raise
    except Exception as error:  # whatever pickle stumbles over
        raise DirtyProtocolError(f"a message cannot be understood: {error}") from error


def framed(kind: Kind, value: object = None) -> bytes:
    """A whole message. Raises DirtyProtocolError."""
    payload = encoded(value)
    return HEAD.pack(len(payload), kind) + payload


def head_of(data: bytes | bytearray) -> tuple[int, Kind]:
    """From its first HEAD.size bytes: how long the payload is, and what it is. Raises DirtyProtocolError."""
    length, number = HEAD.unpack(data)
    if length > MESSAGE_MAX or number not in KINDS:
        raise DirtyProtocolError("a message begins with what makes no sense")
    return length, KINDS[number]


KINDS: Mapping[int, Kind] = {each.value: each for each in Kind}
