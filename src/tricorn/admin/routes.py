"""What can be asked over HTTP: one table, of which the answers and the OpenAPI document are made.

Knows: paths, the words of the control socket. Must not know: how a request comes, what a word does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tricorn.control.protocol import Message
from tricorn.metrics.exposition import rendered
from tricorn.records import dataclass

#: Types of JSON, by the names that OpenAPI gives them.
TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
}


class FieldError(Exception):
    """What was sent cannot be meant; one line."""


@dataclass(frozen=True)
class Field:
    """One thing that a request may say: in the query of a GET, in the JSON of a POST."""

    name: str
    type: str
    doc: str
    is_needed: bool = False

    def read(self, value: Any) -> Any:
        """From JSON. Raises FieldError."""
        # A bool is an int to Python, and nothing else to JSON.
        if not isinstance(value, TYPES[self.type]) or (isinstance(value, bool) and self.type != "boolean"):
            raise FieldError(f"{self.name}: {value!r} is not of the type {self.type}"[:200])
        return value

    def parse(self, text: str) -> Any:
        """From a query. Raises FieldError."""
        try:
            if self.type == "boolean":
                return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            return {"integer": int, "number": float, "string": str}[self.type](text)
        except (ValueError, KeyError):
            raise FieldError(f"{self.name}: {text!r} is not of the type {self.type}"[:200]) from None


@dataclass(frozen=True)
class Route:
    """word: what the master is asked. waits: it takes a while, and the answer comes when it is done. render:
    gives the body and its type, of `data` and what the client accepts; None: the body is the whole answer as
    JSON. streams: it can go on as server-sent events."""

    method: str
    path: str
    word: str
    summary: str
    fields: tuple[Field, ...] = ()
    waits: bool = False
    render: Callable[[Any, str], tuple[bytes, str]] | None = None
    streams: bool = False

    @property
    def known(self) -> Mapping[str, Field]:
        return {each.name: each for each in (*self.fields, *(WAITING if self.waits else ()))}

    def question(self, values: Mapping[str, Any]) -> Message:
        """values: read already. Raises FieldError."""
        for each in self.fields:
            if each.is_needed and each.name not in values:
                raise FieldError(f"{each.name} is missing: {each.doc}")
        return {"do": self.word, **{name: value for name, value in values.items() if name != "timeout"}}


#: Of whatever takes a while.
WAITING = (
    Field("wait", "boolean", "Whether the answer comes when it is done (the default) or at once."),
    Field(
        "timeout", "number", "How long to wait for that at most, seconds. The server goes on all the same."
    ),
)

PID = Field("pid", "integer", "The process id of a worker.")
ONE = Field("pid", "integer", "The process id of the worker.", is_needed=True)
SECONDS = Field("seconds", "number", "How long to look, seconds; 10 if it is left out.")
AFTER = Field("after", "integer", "Only events with a higher number.")
CHANGED = Field("after", "integer", "Only those with a higher `change`: new ones, and those that went on.")
LAST = Field("last", "integer", "Of many, only so many: the last ones.")
LEVEL = Field("level", "string", "debug, info, warning, error or critical.", is_needed=True)
WORKERS = Field("workers", "integer", "How many workers there shall be.")
BY = Field("by", "integer", "How many more, or fewer if it is negative.")

ROUTES: Sequence[Route] = (
    Route("GET", "/v1/status", "status", "How the server is, and what its workers do"),
    Route("GET", "/v1/workers", "workers", "What its workers do"),
    Route("GET", "/v1/config", "config", "Its settings, and where they come from"),
    Route("GET", "/v1/certs", "certs", "Its certificates, and how long they are valid"),
    Route("GET", "/v1/events", "events", "What has happened lately", (AFTER,), streams=True),
    Route("GET", "/metrics", "metrics", "What is counted, for Prometheus", render=rendered),
    Route("GET", "/v1/stacks", "dump", "Where the threads and tasks of a worker are, or of all", (PID,)),
    Route("GET", "/v1/profile", "profile", "Where workers spend some seconds", (PID, SECONDS)),
    Route("GET", "/v1/requests", "requests", "What each request does now"),
    Route(
        "GET",
        "/v1/slow",
        "slow",
        "The last requests that were slow, and whether server, application or client was (slow_request_time)",
        (CHANGED, LAST),
    ),
    Route("GET", "/v1/log-level", "log-level", "The level of the error log"),
    Route("POST", "/v1/log-level", "log-level", "Set the level of the error log", (LEVEL,)),
    Route("POST", "/v1/reload", "reload", "Read the settings again, and load the code anew", waits=True),
    Route("POST", "/v1/upgrade", "upgrade", "Put a new master in the place of this one", waits=True),
    Route("POST", "/v1/scale", "scale", "Have so many workers, or more or fewer", (WORKERS, BY), waits=True),
    Route(
        "POST", "/v1/replace", "replace", "Put another worker in the place of this one", (ONE,), waits=True
    ),
    Route("POST", "/v1/kill", "kill", "End a worker at once, and start another", (ONE,), waits=True),
    Route("POST", "/v1/refork", "refork", "Fork all workers anew from one that has served", waits=True),
    Route("POST", "/v1/pause", "pause", "Finish all requests, and let new connections wait", waits=True),
    Route("POST", "/v1/resume", "resume", "Serve again after a pause", waits=True),
    Route("POST", "/v1/reopen", "reopen", "Open the log files again"),
    Route("POST", "/v1/rest", "rest", "In an upgrade by hand: send the workers of the old master away"),
    Route("POST", "/v1/stop", "stop", "Finish all requests, and stop"),
    Route("POST", "/v1/quit", "quit", "Stop at once"),
)
