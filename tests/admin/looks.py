"""Answers of a master as the dashboard asks for them, and a desk that gives them.

Knows: the words of the control socket, the form of their answers. Must not know: what is tested.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from tricorn.admin.desk import Desk

#: What a stranger can say, wherever a server shows it.
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'

BOUNDS = [0.001, 0.01, 0.1]

Answers = Callable[[dict[str, Any]], dict[str, Any]]


class Master:
    """Counts on with each look. text: stands wherever a client or an application can say something."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.pid = 4711
        self.looks = 0
        self.events = [self.event(1, "info", f"Worker 12 is ready {text}")]
        self.requests = [self.request(2.5, f"/report{text}")]
        self.is_counted = True
        self.certificates: list[dict[str, Any]] = []
        self.slow: list[dict[str, Any]] | None = [self.slow_one(1, 1)]

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        found = getattr(self, f"_{question['do']}")(question)
        if found is None:
            return {"ok": False, "done": True, "say": "Nothing is counted"}
        return {"ok": True, "done": True, "data": found}

    def event(self, number: int, level: str, text: str, detail: str = "") -> dict[str, Any]:
        return {"number": number, "time": 1e9 + number, "level": level, "text": text, "detail": detail}

    def request(self, seconds: float, target: str, **more: Any) -> dict[str, Any]:
        told = {"phase": "application", "method": "GET", "target": target, "client": self.text or "192.0.2.7"}
        return {**told, "id": None, "http": 11, "sent": 0, "seconds": seconds, **more}

    def slow_one(self, change: int, number: int, **more: Any) -> dict[str, Any]:
        told = {
            "change": change,
            "pid": 12,
            "number": number,
            "time": 1e9,
            "method": "GET",
            "id": self.text or None,
        }
        told |= {
            "path": f"/report{self.text}",
            "route": self.text or None,
            "http": 11,
            "status": 200,
            "sent": 5000,
        }
        told |= {"is_over": True, "has_left": False, "seconds": 4.5, "slow": "application"}
        told |= {"client_sends": 0.1, "waiting": 0.2, "application": 4.0, "client_reads": 0.2}
        stack = f'  File "views.py", line 7, in report\n    {self.text or "rows = fetch()"}\n'
        return {**told, "stacks": [{"after": 2.0, "stack": stack}], **more}

    def _slow(self, question: dict[str, Any]) -> Any:
        if self.slow is None:
            return None
        return [each for each in self.slow if each["change"] > question["after"]]

    def _status(self, _question: dict[str, Any]) -> Any:
        self.looks += 1
        workers = {"wanted": 2, "least": 1, "most": 9, "ready": 2, "booting": 0, "leaving": 0}
        status = {"tricorn": "0.1.0", "pid": self.pid, "app": f"mysite.wsgi{self.text}", "name": None}
        status |= {"uptime": 11520.0, "mode": "running", "generation": 2, "is_on_trial": False}
        status |= {"listeners": ["http://127.0.0.1:8000"], "workers": workers, "molds": [], "pools": []}
        return {
            "status": {**status, "older": None, "newer": None},
            "workers": [self._worker(os.getpid()), self._worker(1 << 30)],
        }

    def _worker(self, pid: int) -> dict[str, Any]:
        told = {"pid": pid, "is_mold": False, "state": "ready", "generation": 2, "age": 60.0 + self.looks}
        told |= {"requests": 100 * self.looks, "busy": 1, "threads": 8, "waiting": 0, "connections": 31}
        return {**told, "websockets": 0, "replaced_because": self.text or None}

    def _metrics(self, _question: dict[str, Any]) -> Any:
        if not self.is_counted:
            return None
        statuses = [("2xx", 190 * self.looks), ("4xx", 8 * self.looks), ("5xx", 2 * self.looks)]
        durations = [160 * self.looks, 30 * self.looks, 9 * self.looks, self.looks]
        return [
            {
                "name": "tricorn_requests_total",
                "samples": [[{"status": status}, count] for status, count in statuses],
            },
            *(self._histogram(part, durations) for part in ("duration", "waiting", "application")),
        ]

    def _histogram(self, part: str, counts: list[int]) -> dict[str, Any]:
        name = f"tricorn_request_{part}_seconds"
        return {"name": name, "bounds": BOUNDS, "samples": [[{}, counts, 1.0]]}

    def _requests(self, _question: dict[str, Any]) -> Any:
        return [{"pid": os.getpid(), "requests": self.requests, "left_out": 0}]

    def _events(self, question: dict[str, Any]) -> Any:
        return [each for each in self.events if each["number"] > question["after"]]

    def _certs(self, _question: dict[str, Any]) -> Any:
        return self.certificates

    def _dump(self, question: dict[str, Any]) -> Any:
        stack = f'  File "views.py", line 7, in report\n    {self.text or "rows = fetch()"}\n'
        threads = [{"name": f"tricorn-1{self.text}", "stack": stack}]
        return [{"pid": question["pid"], "threads": threads, "left_out": 0}]


class Answering(Desk):
    """Answers by itself, and keeps what it was asked. An answer that is an exception is raised."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    async def ask(self, question: dict[str, Any], _seconds: float | None = None) -> dict[str, Any]:
        self.asked.append(question)
        await asyncio.sleep(0)  # others have their turn, as beside a real one
        return self.answers(question)
