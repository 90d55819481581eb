"""Alarms, as far as the master goes: it looks at figures in a rhythm, and tells of what has changed.

Knows: records of children, what they have counted, certificates, who is told: the log, statsd, a program that
POSTs. Must not know: when an alarm begins and ends (alarms/), what is served.

Nobody has to scrape for it. A look costs some hundred microseconds for each dozen of workers, and there is
none where no threshold is set. The master waits for nobody: a datagram goes or is lost, and a webhook is told
by a process of its own, one at a time.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tricorn import alarms
from tricorn.alarms.rules import RULES, Alarms, Change
from tricorn.alarms.windows import Window
from tricorn.arbiter.children import ChildRecord, Generation
from tricorn.arbiter.ledger import Ledger
from tricorn.config.settings import Settings
from tricorn.log import setup as log_setup
from tricorn.metrics import figures

log = logging.getLogger("tricorn.error")

#: Looks in a window, and how far apart they are at most, seconds.
LOOKS = 12
SELDOM = 5.0

#: The master's loop has a turn in each second by itself.
OFTEN = 1.0

#: The program. It is not imported here: HTTP and TLS come with it, and would be in each worker.
WEBHOOK = os.path.join(os.path.dirname(alarms.__file__), "webhook.py")

#: What it says when everybody was told everything, and how long it may take in all, seconds.
DONE = "done"
LIMIT = 30

#: What waits to be told while the webhook is slow; the oldest are given up.
KEPT = 32

#: Of what a receiver has said, characters.
SAID_MAX = 200

#: What a look may depend on.
TERMS = (*(rule.setting for rule in RULES), "alarm_window", "alarm_pending_time")


class Alarming:
    """ledger: has what was counted."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._terms: Sequence[float] = ()
        self._alarms: Alarms | None = None
        self._window = Window(0.0, figures.BOUNDS)
        self._interval = SELDOM
        self._look_at = 0.0
        self._messenger = Messenger()

    def attend(self) -> None:
        """One turn of the master's loop."""
        self._messenger.attend()

    def look(self, serving: Generation, children: Sequence[ChildRecord], now: float) -> None:
        """One turn while the service runs. children: of all generations, attendants not among them."""
        self._follow(serving.settings)
        if not self._alarms or now < self._look_at:
            return
        self._look_at = now + self._interval
        for change in self._alarms.judge(self._values(serving, children, now), now):
            self._tell(change, serving.settings)

    def next_deadline(self) -> float | None:
        """None: a second is early enough, as often as the master looks at all."""
        return self._look_at if self._interval < OFTEN and self._alarms else None

    def forget(self) -> None:
        """In a child."""
        self._messenger.forget()

    def _follow(self, settings: Settings) -> None:
        """The settings may have been read again: alarms go on, with other thresholds."""
        terms = tuple(getattr(settings, name) for name in TERMS)
        if terms == self._terms:
            return
        self._terms = terms
        self._alarms = Alarms(settings, self._alarms)
        self._window = Window(settings.alarm_window, figures.BOUNDS)
        self._interval = min(SELDOM, settings.alarm_window / LOOKS, max(settings.alarm_pending_time, 1) / 2)
        self._look_at = 0.0

    def _values(self, serving: Generation, children: Sequence[ChildRecord], now: float) -> dict[str, float]:
        assert self._alarms is not None
        pending = sum(listener.pending for listener in serving.listeners)
        values = self._window.values(self._ledger.counted(children, pending), now)
        if "memory" in self._alarms:
            values["memory"] = self._ledger.memory(children)
        if "certificate" in self._alarms:
            values["certificate"] = days_left(serving)
        return values

    # -- who is told ---------------------------------------------------------------------------------------

    def _tell(self, change: Change, settings: Settings) -> None:
        # The log is what `tricorn ctl events` and the dashboard show.
        if change.is_firing:
            log.warning("Alarm %s begins: %s", change.rule.name, change.said)
        else:
            log.info("Alarm %s ends after %.0f s: %s", change.rule.name, change.lasted, change.said)
        log_setup.metric(f"tricorn.alarm.{change.rule.name}", int(change.is_firing), "gauge")
        log_setup.happening(change.title, change.said, is_bad=change.is_firing)
        if settings.alarm_webhook is not None:
            self._messenger.send(message(change, settings), settings)


def days_left(serving: Generation) -> float:
    """Of the certificate that ends first; without any, no day is the last."""
    if serving.certificates is None:
        return float("inf")
    today = datetime.now(UTC)
    left = [pair.leaf.days_left(today) for pair in serving.certificates.tls.material.pairs]
    return min(left, default=float("inf"))


def message(change: Change, settings: Settings) -> dict[str, Any]:
    """What a webhook gets. `text` is what chats show."""
    state = "firing" if change.is_firing else "resolved"
    name = settings.proc_name or settings.wsgi_app or "tricorn"
    host = socket.gethostname()
    return {
        "text": f"{name} on {host}: {change.title}: {change.said}",
        "alarm": change.rule.name,
        "state": state,
        "value": round(change.value, 6),
        "threshold": change.threshold,
        "unit": change.rule.unit,
        "lasted": round(change.lasted, 3),
        "time": round(time.time(), 3),
        "server": {"name": name, "host": host, "pid": os.getpid()},
    }


class Messenger:
    """Has a program tell a webhook, one at a time."""

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._settings: Settings | None = None
        self._pid = 0
        self._answer = -1

    def send(self, what: dict[str, Any], settings: Settings) -> None:
        self._settings = settings
        if len(self._waiting) == KEPT:
            log.warning("alarm_webhook: too many messages wait; the oldest is given up")
        self._waiting.append(what)
        self.attend()

    def attend(self) -> None:
        """See whether the program has ended, and start the next."""
        if self._pid and not self._has_ended():
            return
        if self._pid:
            self._note_answer()
        if self._waiting:
            self._start()

    def forget(self) -> None:
        """In a child."""
        if self._answer >= 0:
            os.close(self._answer)
            self._answer = -1

    def _has_ended(self) -> bool:
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:  # whoever waits for all children was faster
            return True

    def _note_answer(self) -> None:
        said = os.pread(self._answer, 4 * SAID_MAX, 0).decode("utf-8", "replace").strip()
        self.forget()
        self._pid = 0
        if said != DONE:
            reason = said.rpartition("\n")[2][:SAID_MAX] or f"it took longer than {LIMIT} s"
            log.warning("alarm_webhook: the receiver was not told: %s", reason)

    def _start(self) -> None:
        settings = self._settings
        assert settings is not None
        asked = {
            "url": settings.alarm_webhook,
            "limit": LIMIT,
            "messages": list(self._waiting),
            "user": settings.user,
            "group": settings.group,
        }
        self._waiting.clear()
        question = answer = -1
        try:
            question = os.memfd_create("tricorn-alarms", os.MFD_CLOEXEC)
            os.write(question, json.dumps(asked).encode("ascii"))
            os.lseek(question, 0, os.SEEK_SET)
            answer = os.memfd_create("tricorn-told", os.MFD_CLOEXEC)
            self._pid = _spawned(question, answer)
            self._answer = answer
        except OSError as error:
            if answer >= 0:
                os.close(answer)
            log.warning("alarm_webhook: cannot start %s: %s", sys.executable, error.strerror)
        finally:
            if question >= 0:
                os.close(question)


def _spawned(question: int, answer: int) -> int:
    command = [sys.executable, "-I", "-S", WEBHOOK]
    places = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((question, answer, answer))]
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=places,
        setsigmask=(),
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )
