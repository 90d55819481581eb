"""What the server does to a request from outside.

Knows: nothing. Must not know: why.
"""

from __future__ import annotations


class RequestTimeout(BaseException):
    """Raised in a thread whose request has taken longer than `request_timeout`.

    Not an Exception: a framework that turns every Exception into a page would keep the thread.
    """


class ClientLeft(BaseException):
    """Raised in a thread that waits for something that only its client wanted, and the client has gone.

    Nothing to tell anybody, so it is in no log.
    """
