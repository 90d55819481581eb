"""What goes between processes: values, and nothing that names code."""

from __future__ import annotations

import pickle
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest

from tricorn.heavy import errors, messages
from tricorn.heavy.errors import DirtyError, DirtyProtocolError

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 2**200, 1.5, float("inf"), 3 + 4j),
    *("", "grüße", b"\0\xff", bytearray(b"x"), [], [1, [2]], (), (1, "a"), {1, 2}, frozenset({1, 2})),
    *({"a": {"b": [1]}}, {1: 2, (1, 2): None}),
    *(date(2026, 11, 27), datetime(2026, 11, 27, 19, 0, tzinfo=UTC), timedelta(hours=1)),
    *(Decimal("1.10"), UUID(int=7)),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_arrive_as_they_are(value: Any) -> None:
    found = messages.decoded(messages.encoded(value))
    assert found == value
    assert type(found) is type(value)


class Text(str):
    pass


class Colour(IntEnum):
    RED = 1


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Text("safe"), "safe"),
        (Colour.RED, 1),
        (Point(1, 2), (1, 2)),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (memoryview(b"abc"), b"abc"),
        ([Text("x"), {"k": Colour.RED}], ["x", {"k": 1}]),
    ],
    ids=["text", "enum", "named-tuple", "ordered-dict", "memoryview", "nested"],
)
def test_of_a_subclass_the_value_arrives(value: Any, expected: Any) -> None:
    """Frameworks have texts and dicts of their own, which nobody at the other end need know."""
    found = messages.decoded(messages.encoded(value))
    assert found == expected
    assert type(found) is type(expected)


@dataclass
class Record:
    name: str


def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "builtins.object cannot be sent"),
        (Record("x"), "dataclasses.asdict"),
        ([{"a": print}], "cannot be sent"),
        ((each for each in [1]), "generator cannot be sent"),
        (ValueError, "cannot be sent"),
        (deep(), "nested too deeply"),
    ],
    ids=["object", "dataclass", "function", "generator", "class", "deep"],
)
def test_what_is_no_data_is_refused_by_name(value: Any, said: str) -> None:
    with pytest.raises(DirtyProtocolError, match=said):
        messages.encoded(value)


class Attack:
    def __reduce__(self) -> Any:
        return print, ("never",)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Attack()),
        pickle.dumps(Record("x")),
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x05\x8c\x02os\x8c\x06system\x93.",
        b"",
        b"\x80\x05.",
        b"\x80\x05\x8c\x01xQ.",
        messages.encoded([1, 2, 3])[:-2],
    ],
)
def test_a_message_cannot_name_code(data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DirtyProtocolError):
        messages.decoded(data)
    assert capsys.readouterr().out == ""


def test_messages_are_bounded_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MESSAGE_MAX", 1 << 20)
    with pytest.raises(DirtyProtocolError, match="write it to a file"):
        messages.framed(messages.Kind.RESULT, b"x" * (1 << 20))
    with pytest.raises(DirtyProtocolError):
        messages.head_of(messages.HEAD.pack((1 << 20) + 1, messages.Kind.RESULT))


def test_a_frame_says_its_length_and_kind() -> None:
    frame = messages.framed(messages.Kind.PIECE, "token")
    size = messages.HEAD.size
    assert messages.head_of(frame[:size]) == (len(frame) - size, messages.Kind.PIECE)
    assert messages.decoded(frame[size:]) == "token"
    with pytest.raises(DirtyProtocolError):
        messages.head_of(b"\0\0\0\0\x09")


@pytest.mark.parametrize(
    "error",
    [
        DirtyError("plain", {"k": 1}),
        errors.DirtyTimeoutError(timeout=3.0),
        errors.DirtyConnectionError(),
        errors.DirtyWorkerError("gone", 12),
        errors.DirtyAppError("no", "a:B", "act", "Traceback", "builtins.ValueError"),
        errors.DirtyAppNotFoundError("a:B"),
        errors.DirtyNoWorkersAvailableError("a:B"),
        errors.DirtyQueueFullError("a:B"),
        DirtyProtocolError("no"),
        errors.StashError("full"),
        errors.StashTableNotFoundError("t"),
        errors.StashKeyNotFoundError("t", "k"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_the_same_at_the_other_end(error: DirtyError) -> None:
    found = DirtyError.from_dict(messages.decoded(messages.encoded(error.to_dict())))
    assert type(found) is type(error)
    assert vars(found) == vars(error)
    assert str(found) == str(error) == error.message


def test_an_unknown_error_is_an_error() -> None:
    found = DirtyError.from_dict({"error_type": "FromTheFuture", "message": "x"})
    assert type(found) is DirtyError
