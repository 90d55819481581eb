"""Tells a URL of alarms: POST, with a JSON object each.

A program of its own: names have to be looked up, connections made and answers waited for, and the master can
do none of that; a thread beside the master could hold any lock when that forks. It is run by its path,

    python -I -S webhook.py

and imports the standard library alone. Its standard input is a JSON object: `url`, `messages`, `limit`, the
seconds that it may take in all, and `user` and `group`, if it shall become another. The URL may be a secret,
so it is in no command line. What it writes to its standard output is what went wrong, or DONE.

Knows: HTTP, as a client. Must not know: what an alarm is; whose it is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

#: What it says when everybody was told everything.
DONE = "done"

#: For the receiver to do anything at all, seconds.
PATIENCE = 5.0

#: Between two tries, seconds.
PAUSES = (0.5, 2.0)

#: Answers that say: try again (RFC 9110 §15; 429: RFC 6585).
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class NoRedirects(HTTPRedirectHandler):
    """What is redirected becomes a GET without a body (RFC 9110 §15.4), and would look like a success."""

    def redirect_request(self, *_: object) -> None:
        return None


def told(url: str, messages: Sequence[Mapping[str, Any]]) -> str:
    """In their order. DONE, or why the first of those was not taken that were not."""
    opener = build_opener(NoRedirects)
    problems = [problem for message in messages if (problem := _maybe_problem(opener, url, message))]
    return problems[0] if problems else DONE


def _maybe_problem(opener: OpenerDirector, url: str, message: Mapping[str, Any]) -> str:
    headers = {"content-type": "application/json", "user-agent": "tricorn"}
    body = json.dumps(message).encode("ascii")
    problem = ""
    for pause in (*PAUSES, None):
        try:
            with opener.open(Request(url, body, headers, method="POST"), timeout=PATIENCE):
                return ""
        except HTTPError as error:
            problem = f"status {error.code}"
            if error.code not in AGAIN:
                return problem
        except OSError as error:
            reason = getattr(error, "reason", error)
            problem = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
        except (HTTPException, ValueError) as error:
            problem = type(error).__name__  # its text may quote the URL
        if pause is not None:
            time.sleep(pause)
    return problem


def become(user: int | None, group: int | None) -> None:
    "".encode("idna")  # loads what names are looked up with, which the other user may not be able to read
    if os.geteuid() == 0 and (user or group):
        os.setgroups([])
        if group is not None:
            os.setgid(group)
        if user is not None:
            os.setuid(user)


def main() -> None:
    # Ctrl-C is for all processes of a terminal, and the master's to obey.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = json.load(sys.stdin)
    signal.alarm(asked["limit"])  # then the kernel ends it
    become(asked["user"], asked["group"])
    print(told(asked["url"], asked["messages"]), flush=True)


if __name__ == "__main__":
    main()
