"""What a client may receive where a system call has failed, measured by what it receives when none does.

Knows: streams of bytes and how responses are framed. Must not know: what failed, or why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.client import BadResponseError, Client, ClosedError

_DATE = re.compile(rb"(?<=\r\nDate: )[^\r]*")


@dataclass
class Stream:
    """All that came on a connection. reset: it ended with one, and not in good order."""

    data: bytes
    reset: bool

    def __post_init__(self) -> None:
        self.data = _DATE.sub(lambda match: b"x" * len(match[0]), self.data)


class _Replay(Client):
    """The harness's strict reader on bytes that have come already."""

    def __init__(self, stream: Stream) -> None:
        self.buffer = stream.data
        self.ended = True
        self.reset = stream.reset


def is_whole(got: Stream, reference: Stream) -> bool:
    return got.data == reference.data and not got.reset


def what_is_wrong(got: Stream, reference: Stream, method: str, by_close: bool) -> str | None:
    """Why a client is misled by this stream; None: it can tell what it has and what it has not.

    by_close: the end of the connection is what ends the body of the reference.
    """
    if reference.data.startswith(got.data):
        head, end, _ = got.data.partition(b"\r\n\r\n")
        cut = len(got.data) < len(reference.data)
        if cut and by_close and end and head and not got.reset:
            return "it ends in good order in the middle of a body that only this end limits"
        return None
    first = reference.data[: reference.data.rfind(b"HTTP/1.1 ")]
    if first and got.data.startswith(first):  # then only the second request was answered otherwise
        at = len(first)
        rest = Stream(got.data[at:], got.reset), Stream(reference.data[at:], reference.reset)
        return what_is_wrong(*rest, "GET", by_close=False)
    replay = _Replay(got)
    try:
        response = replay.response(method)
    except ClosedError:
        return "it ends in a head that is not that of the response"
    except BadResponseError as error:
        return f"it is not a response: {error}"
    if response.status >= 500:
        if not response.complete or response.framing != ("none" if method == "HEAD" else "length"):
            return f"an error response that is cut: {response}"
        rest = replay.buffer
        at = reference.data.rfind(b"HTTP/1.1 ")  # the response to the second request
        if rest and ("close" in response.connection or not reference.data[at:].startswith(rest)):
            return f"behind the error response stands {rest[:200]!r}"
        return None
    # Another framing of the same content is as good: a file that could not be sent as one is read and sent.
    wanted = _Replay(reference).response(method)
    same = response.status == wanted.status and wanted.body.startswith(response.body)
    if same and response.complete == (response.body == wanted.body):
        return None
    return f"it is neither the response nor a part of it: {got.data[:300]!r}"
