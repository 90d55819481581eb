"""What kind of response it is whose body goes on and on.

Knows: the fields of a response, as an application has given them. Must not know: how it is sent.
"""

from __future__ import annotations

from typing import Any

EVENTS = "text/event-stream"  # HTML Living Standard §9.2


def is_event_stream(headers: list[Any] | tuple[Any, ...]) -> bool:
    """Whether the client reads it as an EventSource does, and so connects again when it ends.

    headers: pairs of str or of bytes, which were sent. The application may have changed them since, so
    nothing but built-in types is looked into.
    """
    for pair in headers:
        if type(pair) not in (tuple, list) or len(pair) != 2:
            continue
        name, value = map(_text, pair)
        if name.lower() == "content-type":
            return value.partition(";")[0].strip().lower() == EVENTS
    return False


def _text(part: object) -> str:
    if type(part) is bytes:
        return part.decode("latin-1")
    return part if type(part) is str else ""
