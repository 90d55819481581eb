"""The generations that there are, of workers and of attendants, and all listeners that the master has open.

Knows: what a generation is made of, whose a listener is. Must not know: which generation is wanted
(target.py), how its workers are started, what a reload is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tricorn.arbiter.attendant import Attendance, Certify
from tricorn.arbiter.children import Generation, rows_for
from tricorn.arbiter.ledger import exemplars_of, figures_of
from tricorn.arbiter.load import most_of
from tricorn.arbiter.privileges import identity_for
from tricorn.arbiter.target import pool_number
from tricorn.config.bulkheads import reserved_threads
from tricorn.config.settings import Settings
from tricorn.hooks.found import Hooks
from tricorn.net.listener import Listener, open_listeners
from tricorn.scoreboard import Board
from tricorn.tls.rules import called
from tricorn.wishes import Wishes

if TYPE_CHECKING:
    from tricorn.tls.renewal import Renewal

log = logging.getLogger("tricorn.error")


class Generations(Mapping[int, Generation]):
    """By their numbers. attendances: by the numbers of theirs, which are none of workers'."""

    def __init__(self, attendances: Mapping[int, Attendance], wishes: Wishes) -> None:
        self._known: dict[int, Generation] = {}
        self._attendances = attendances
        self._wishes = wishes
        #: What is open here. A newer master adds what it inherits, and takes away what nobody wants of that.
        self.listeners: list[Listener] = []

    def __getitem__(self, number: int) -> Generation:
        return self._known[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def latest(self) -> Generation | None:
        """Of workers."""
        found = [each for number, each in self._known.items() if not pool_number(number)]
        return max(found, key=lambda each: each.number, default=None)

    @property
    def of_workers(self) -> int:
        """How many of them are generations of workers."""
        return sum(not pool_number(number) for number in self._known.keys() - self._attendances.keys())

    @property
    def workers_listeners(self) -> list[Listener]:
        others = self.attendants_listeners
        return [each for each in self.listeners if each not in others]

    @property
    def attendants_listeners(self) -> list[Listener]:
        return [listener for each in self._attendances.values() for listener in each.listeners]

    def add(self, number: int, settings: Settings, certificates: Renewal | None, hooks: Hooks) -> Generation:
        """One of workers, with everything that it needs. ConfigError, ListenError: nothing has changed."""
        identity = identity_for(settings.user, settings.group)
        listeners = open_listeners(settings, self.workers_listeners, partial(called, settings))
        self._keep(listeners)
        board = _board_for(settings, self.latest)
        generation = Generation(
            number, settings, listeners, board, identity, certificates, hooks, self._wishes
        )
        self._known[number] = generation
        return generation

    def add_heavy(self, generation: Generation) -> None:
        """One of a pool."""
        self._known[generation.number] = generation

    def open_attendants(self, first: Generation, certify: Certify) -> None:
        """Theirs, beside the first one of workers. Raises ConfigError, ListenError."""
        for number, attendance in self._attendances.items():
            others = [listener for listener in self.listeners if listener not in first.listeners]
            self._keep(attendance.open(first, others, certify))
            if attendance.generation is not None:
                self._known[number] = attendance.generation

    def give_up(self, needed: Collection[int], served_elsewhere: Callable[[], Collection[Listener]]) -> None:
        """All but the needed ones, and listeners that nobody has then. served_elsewhere: where another master
        serves."""
        names = {
            listener: name
            for generation in self._known.values()
            for listener, name in zip(generation.listeners, generation.addresses, strict=True)
        }
        for number in self._known.keys() - needed:
            del self._known[number]
        used = [listener for generation in self._known.values() for listener in generation.listeners]
        for listener in [listener for listener in self.listeners if listener not in used]:
            log.info("No longer listening at %s", names.get(listener, listener.address))
            self.listeners.remove(listener)
            if listener in served_elsewhere():
                listener.disown()  # a socket file that is still in use
            listener.close()

    def close_listeners(self, keep: Sequence[Listener] = ()) -> None:
        """At the end of the master, and in a child, which has use for some."""
        for listener in self.listeners:
            if listener not in keep:
                listener.close()

    def _keep(self, listeners: Sequence[Listener]) -> None:
        self.listeners += [listener for listener in listeners if listener not in self.listeners]


def _board_for(settings: Settings, previous: Generation | None) -> Board:
    """The predecessor's board if it has the right shape. A board never grows, so another shape is another
    board; workers of the old one keep theirs until they are gone."""
    rows, reserved = rows_for(most_of(settings)), reserved_threads(settings)
    cells, figures = settings.threads + reserved, figures_of(settings)
    if previous and len(previous.board) >= rows:
        board = previous.board
        if (board.cells, board.reserved, board.figures) == (cells, reserved, figures):
            return board
    return Board(rows, settings.threads, reserved, figures, exemplars_of(settings))
