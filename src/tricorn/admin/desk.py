"""The other end of the door: conversations with the master, in an event loop.

Knows: the door, the protocol. Must not know: HTTP, what is asked.
"""

from __future__ import annotations

import asyncio

from tricorn.control.door import Door
from tricorn.control.endpoint import VISITORS_MAX
from tricorn.control.protocol import ANSWER_MAX, Message, ProtocolError, decoded, encoded

#: For the master's greeting, seconds. Its loop has no part that waits, but reading the settings anew may run
#: foreign code.
PATIENCE = 5.0


class UnavailableError(Exception):
    """The master does not answer; one line."""


class LateError(Exception):
    """The answer has not come in time. What was asked for goes on."""


class Desk:
    """Each question has a connection of its own: giving up a conversation is closing it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._open = 0

    async def ask(self, question: Message, seconds: float | None = None) -> Message:
        """The answer. seconds: how long it may take; None: any time. Raises UnavailableError, LateError."""
        if self._open >= VISITORS_MAX:
            raise UnavailableError("too many others wait for answers; ask again in a moment")
        self._open += 1
        try:
            return await self._converse(question, seconds)
        except (OSError, ProtocolError, ValueError) as error:
            raise UnavailableError(f"the server cannot be asked: {error}") from None
        finally:
            self._open -= 1

    async def _converse(self, question: Message, seconds: float | None) -> Message:
        reader, writer = await asyncio.open_unix_connection(sock=self._door.knock(), limit=ANSWER_MAX)
        try:
            greeting = await _line(reader, PATIENCE, UnavailableError("the server does not answer"))
            if greeting.get("ok") is False:
                raise UnavailableError(str(greeting.get("say")))
            writer.write(encoded(question))
            late = LateError(f"It is not done after {seconds:g} s, and goes on" if seconds else "")
            return await _line(reader, seconds, late)
        finally:
            writer.close()


async def _line(reader: asyncio.StreamReader, seconds: float | None, late: Exception) -> Message:
    try:
        # wait_for() forgets, before CPython 3.12, that it was cancelled if what it waits for is done.
        async with asyncio.timeout(seconds):
            line = await reader.readline()
    except TimeoutError:
        raise late from None
    if not line:
        raise UnavailableError("the server has closed the connection")
    return decoded(line)
