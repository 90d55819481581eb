"""From settings to what a transport is given: the same for every kind of worker.

Knows: settings, the classes that they become. Must not know: the master, how a worker lives.
"""

from __future__ import annotations

import contextvars
import logging
import math
import random
from select import POLLIN, poll
from time import monotonic
from typing import Any

from tricorn.config.settings import Settings
from tricorn.handover import Assignment
from tricorn.http.policy import HeaderPolicy, TrustedPeers
from tricorn.http.request import Limits
from tricorn.log import setup as log_setup
from tricorn.transport.service import Service

log = logging.getLogger("tricorn.error")


def make_service(
    assignment: Assignment,
    application: Any,
    policy: HeaderPolicy,
    request_timeout: float,
    context: contextvars.Context | None = None,
) -> Service:
    """context: a copy of it is what each request runs in; None: an empty one."""
    settings = assignment.settings
    max_requests = settings.max_requests
    if max_requests:
        max_requests += random.randint(0, settings.max_requests_jitter)
    return Service(
        application=application,
        logger=log,
        limits=Limits(
            request_line=settings.limit_request_line,
            field_size=settings.limit_request_field_size,
            fields=settings.limit_request_fields,
            head=settings.limit_request_head,
            body=settings.limit_request_body,
        ),
        server_header=settings.server_header,
        row=assignment.row,
        access_log=log_setup.open_access_log(settings),
        trusted=policy.trusted,
        proxy_mode=None if settings.proxy_protocol == "off" else settings.proxy_protocol,
        proxy_peers=TrustedPeers(settings.proxy_allow_ips),
        header_timeout=settings.header_timeout,
        keepalive=settings.keepalive,
        body_timeout=settings.body_timeout,
        write_timeout=settings.write_timeout,
        request_timeout=request_timeout,
        min_body_rate=settings.min_body_rate,
        body_drain=settings.limit_body_drain,
        request_buffer=settings.request_buffer_size,
        request_memory=settings.request_buffer_memory,
        response_buffer=settings.response_buffer_size,
        buffering=settings.request_buffering,
        sendfile=settings.sendfile,
        max_connections=settings.worker_connections,
        max_requests=max_requests,
        context=context,
    )


def end_of_drain(settings: Settings) -> float:
    """Until when a worker that stops now may go on with its requests, as time.monotonic() has it."""
    return monotonic() + (settings.graceful_timeout or math.inf)


def header_policy(settings: Settings) -> HeaderPolicy:
    return HeaderPolicy(
        trusted=TrustedPeers(settings.forwarded_allow_ips),
        forwarder_headers=frozenset(name.upper() for name in settings.forwarder_headers),
        header_map=settings.header_map,  # type: ignore[arg-type]  # checked when the settings were read
        secure_scheme_headers=settings.secure_scheme_headers,
    )


def is_readable(fd: int) -> bool:
    waiting = poll()
    waiting.register(fd, POLLIN)
    return bool(waiting.poll(0))
