"""What all connections of one worker share.

Knows: limits and times as numbers. Must not know: settings, signals.
"""

from contextvars import Context
from types import GetSetDescriptorType

from tricorn.metrics.figures cimport (
    BAD_REQUEST, BYTES_IN, CLIENT_TIMEOUT, TOO_LARGE, new_collections, note_error,
)
from tricorn.static.files cimport StaticFiles
from tricorn.transport.channel cimport ChannelTable
from tricorn.transport.routes cimport Route, Routes
from tricorn.transport.system cimport CLOCK_REALTIME_COARSE, clock_gettime, timespec
from tricorn.transport.wire cimport wire_count_at

import os
from collections import deque

from tricorn.http.errors import ProtocolError


# Slow requests that wait to be taken.
cdef int SLOW_MOST = 64
# Of a count of requests: no limit is reached from here, not even 0, which is none.
cdef long long FAR_BELOW = -0x4000000000000000
# Statuses of those whose request is larger than a limit (RFC 9110 §15.5.14, §15.5.15, RFC 6585 §5).
cdef tuple LARGE = (413, 414, 431)


cdef class Terms:
    """terms: a mapping with a value for each of the attributes. Raises TypeError where one is missing or unknown."""

    def __init__(self, terms):
        known = {name for name, member in vars(Terms).items() if isinstance(member, GetSetDescriptorType)}
        if wrong := known ^ terms.keys():
            raise TypeError(f"terms of the transport are missing or unknown: {', '.join(sorted(wrong))}")
        for name, value in terms.items():
            setattr(self, name, value)


cdef class WorkerContext(Terms):
    """terms: as Terms. context: a copy of it is what each request runs in; None: an empty one. on_failure: called with
        each exception that the application raises out of a request. visitors: of the hooks around requests, or None. tracer: who traces
        requests, or None. static_files: what is answered from directories, or None. sent_files: those that the
        application may name, or None."""

    def __init__(
        self, terms, *, application, logger, Limits limits, Row row, AccessLog access_log, trusted, proxy_peers,
        context=None, on_failure=None, visitors=None, tracer=None, StaticFiles static_files=None, StaticFiles sent_files=None,
    ):
        Terms.__init__(self, terms)
        self.application = application
        self.context = Context() if context is None else context
        self.logger = logger
        self.limits = limits
        self.defaults = Defaults(self.server_header)
        self.channels = ChannelTable(logger, row, self.max_connections, self.write_timeout)
        self.row = row
        self.access_log = access_log
        self.tells_queued = row.figures != NULL or self.server_timing or (access_log is not None and access_log.tells_queued())
        self.reads_parent = row.exemplar_data != NULL and tracer is None
        self.trusted = trusted
        self.proxy_peers = proxy_peers
        self.on_failure = on_failure
        self.visitors = visitors
        self.tracing = tracer
        self.static_files = static_files
        self.sent_files = sent_files
        self.greets = visitors is not None and visitors.pre is not None
        self.looks_back = visitors is not None and visitors.after is not None
        self.body_memory = Budget(self.request_memory)
        routes = Routes(self.routes, self)
        self.routing = routes if self.routes else None
        self.shortest_timeout = routes.shortest("request_timeout", self.request_timeout)
        self.shortest_slow = routes.shortest("slow_request_time", self.slow_request_time)
        self.slow = deque(maxlen=SLOW_MOST) if self.shortest_slow else None
        self.shortest_wait = routes.shortest("max_queue_time", self.max_queue_time)
        self.health = None if self.health_path is None else self.health_path.encode("ascii")
        self.ready = None if self.ready_path is None else self.ready_path.encode("ascii")
        self.has_probes = self.health is not None or self.ready is not None
        self.ids = None if self.request_id_header is None else RequestIds(self.request_id_header)
        self.echoes_ids = self.ids is not None and self.request_id_response
        self._count(True)

    @property
    def connections(self):
        """How many there are."""
        return self.channels.count

    @property
    def draining(self):
        """Whether the worker ends: no new connections, idle ones close, the others after their request."""
        return self.channels.draining

    def told(self, int most):
        """What goes on, for people who look: as ChannelTable.told()."""
        cdef ChannelTable channels = self.channels
        return channels.told(most)

    def take_slow(self):
        """The SlowRequests since the last call, each with the prefix of its route, or None. Of a moment's, the latest SLOW_MOST."""
        cdef Routes routes = self.routing
        cdef Route route
        cdef dict names = {}
        for route in routes.all if routes is not None else ():
            names[route.group] = None if route.group in names else route.name()     # so many that they share one
        found = []
        while self.slow:
            slow = self.slow.popleft()
            found.append((slow, names.get(slow.group)))
        return found

    def log_refusal(self, host, error):
        """host: of the client; None: it came through a unix socket."""
        self.row.data.errors += 1
        if isinstance(error, ProtocolError):
            note_error(self.figures, CLIENT_TIMEOUT if error.status == 408 else TOO_LARGE if error.status in LARGE else BAD_REQUEST)
        self.logger.info("Refused a request from %s: %s", host or "a unix socket", error)

    cdef int _count(self, bint on) noexcept:
        self.figures = self.row.figures if on else NULL
        self.tracer = self.tracing if on else None
        self.counts = self.figures != NULL or self.tracer is not None or (on and self.slow is not None)
        wire_count_at(self.figures + BYTES_IN if self.figures != NULL else NULL)
        return 0

    def maybe_collections(self):
        """For gc.callbacks; None: nothing is counted."""
        return new_collections(self.row.figures) if self.row.figures != NULL else None

    cdef int mute(self) except -1:
        """Requests until unmute() are the worker's own: they are not logged, and are none of max_requests."""
        self._count(False)
        self.muted_log = self.access_log
        self.access_log = None
        self.requests = FAR_BELOW
        return 0

    cdef int unmute(self) except -1:
        self._count(True)
        self.access_log = self.muted_log
        self.muted_log = None
        self.requests = 0
        return 0

    cdef int forsake(self) except -1:
        """As Server.forsake."""
        self.forsaken = True
        self.channels.forsake()
        cdef AccessLog access_log = self.access_log
        if access_log is not None:
            access_log.forget()
        return 0

    cdef int end_stranger(self) except -1:
        """The application came back in a process that it had made itself. There is nobody to serve here."""
        if self.stay_away is not None:
            self.stay_away()
        self.logger.error(
            "a process that the application forked while it served a request came back to the server, and is ended; "
            "such a process must end by itself, with os._exit()"
        )
        os._exit(1)

    cdef void refresh_date(self) noexcept:
        cdef timespec wall
        clock_gettime(CLOCK_REALTIME_COARSE, &wall)
        self.defaults.refresh(wall.tv_sec)
