"""The id of the request that the running code belongs to.

    import tricorn

    log.info("Paid (request %s)", tricorn.request_id())

Knows: one context variable. Must not know: where ids come from, requests, who logs.

Each request runs in a context of its own, and so does what it logs. To have the id in each record of the
application's own log:

    "filters": {"request_id": {"()": "tricorn.log.request_id.AddRequestId"}}
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

REQUEST_ID: ContextVar[str] = ContextVar("tricorn.request_id", default="")


def request_id() -> str:
    """Of the request that is being served here; an empty text outside of one, and where requests have none
    (`request_id_header`)."""
    return REQUEST_ID.get()


def context_with(context: Context, name: str) -> Context:
    """A copy in which requests are called so."""
    copy = context.copy()
    copy.run(REQUEST_ID.set, name)
    return copy


class AddRequestId:
    """A filter of `logging`: gives each record the attribute `request_id`, for formats like
    `%(request_id)s`."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = request_id() or "-"
        return True
