"""What a master and those who control it say to each other: lines of JSON over a stream.

Knows: the form of lines, how large they may be, the version. Must not know: what the words mean, sockets.

    the master greets     {"tricorn": "0.1.0", "protocol": 1, "pid": 4711, …}
    a client asks         {"do": "reload"}
    the master answers    {"ok": true, "done": true, "say": "…"}, with what was asked for as "data"

One question at a time. The answer comes when the thing is done, or has failed, or at once if the question
says {"wait": false}. A line ends with a line feed, which no JSON needs inside it.

Keys and words are only ever added, and whoever does not know one ignores it; `protocol` counts changes for
which that is not enough. So any program that reads lines can be a client: `nc -U`, a shell, another language.
"""

from __future__ import annotations

import json
from typing import Any

#: Of the protocol.
VERSION = 1

#: Bytes of a question, with its line feed. The longest that there is has some hundred.
QUESTION_MAX = 8192

#: Bytes of an answer that a client takes: that of a service with some thousand workers.
ANSWER_MAX = 16 << 20

Message = dict[str, Any]


class ProtocolError(Exception):
    """A line that is not a message; its text is for whoever has sent it."""


def encoded(message: Message) -> bytes:
    """In ASCII, so that what it quotes can be anything, even half a character."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def decoded(line: bytes) -> Message:
    """Raises ProtocolError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("not a line of JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError('not a JSON object, such as {"do": "status"}')
    return message
