from tricorn.http.request cimport Limits
from tricorn.http.response cimport Defaults
from tricorn.log.access cimport AccessLog
from tricorn.scoreboard cimport Row
from tricorn.static.files cimport StaticFiles
from tricorn.transport.body cimport Budget
from tricorn.transport.channel cimport ChannelTable
from tricorn.transport.request_ids cimport RequestIds
from tricorn.transport.routes cimport Routes

# What the settings say to the transport. Each attribute is one of them, which says so where it is declared
# (`fills` in config/settings.py); this is the only other place where it stands.
cdef class Terms:
    # nanoseconds; 0 switches a limit off
    cdef public long long header_timeout, keepalive, body_timeout, write_timeout, request_timeout, slow_request_time
    cdef public long long max_queue_time        # that a complete request waits
    cdef public long long disconnect_grace      # that a call gets when its client has gone
    cdef public long long websocket_ping_interval, websocket_ping_timeout, websocket_close_timeout
    # bytes a second
    cdef public long long min_body_rate
    # bytes
    cdef public long long body_discard
    cdef public Py_ssize_t request_buffer, request_memory, response_buffer, websocket_max_message
    # messages
    cdef public Py_ssize_t websocket_max_queue
    # 0 switches a limit off
    cdef public long long max_queue, max_concurrency, green_requests
    cdef public int threads             # that serve whatever comes, where requests run on threads
    cdef public bint buffering, sendfile, websocket_compression
    cdef public long long max_connections, max_requests
    cdef public str proxy_mode          # "v1", "v2", "auto" or None
    cdef public str server_header
    cdef public tuple routes            # (prefix, some of these by name), the longest prefix first
    cdef public str health_path, ready_path     # None: there is none
    cdef public str request_id_header   # None: requests have no ids
    cdef public bint request_id_response
    cdef public bint server_timing      # responses tell how long the server took

# What all connections of a worker share.
cdef class WorkerContext(Terms):
    cdef readonly object application
    cdef readonly object context        # a copy of it is what each request runs in
    cdef readonly object logger
    cdef readonly Limits limits
    cdef readonly Defaults defaults
    cdef readonly ChannelTable channels
    cdef readonly Row row
    cdef readonly AccessLog access_log
    cdef AccessLog muted_log            # while the worker answers only itself
    cdef long long* figures             # what is counted (metrics/figures.pxd); NULL: nothing is, or not now
    cdef readonly object trusted        # TrustedPeers
    cdef readonly object proxy_peers    # TrustedPeers
    cdef readonly object on_failure     # called with what the application raises; None: nobody wants to know
    cdef object tracing                 # who traces requests (tracing/); None: nobody does
    cdef object tracer                  # … now: not while the worker answers only itself
    cdef object slow                    # deque of the SlowRequests that nobody has taken yet; None: no request is too slow
    cdef bint counts                    # somebody wants to know when each request begins and ends: figures, a tracer, the record of slow ones
    cdef readonly object visitors       # of the hooks around requests (hooks/requests.py); None: there are none
    cdef bint greets                    # … one of which comes before the application, and may change what that gets
    cdef bint looks_back                # … and one when the client is served
    cdef public long long owed          # how many of those are still to be called
    cdef Budget body_memory             # request_memory: for request bodies beyond request_buffer
    cdef readonly long long requests
    cdef readonly bint worn             # it has served its max_requests

    cdef readonly Routes routing        # None: no request has terms of its own
    # The shortest request_timeout that a request may have, slow_request_time, max_queue_time; 0: there is none.
    cdef readonly long long shortest_timeout, shortest_slow, shortest_wait

    cdef bint tells_queued              # the access log, or the response, tells how long requests were under way before
    cdef bint reads_parent              # what is counted has exemplars, and who traces requests does not read their `traceparent`

    cdef readonly StaticFiles static_files      # what is answered from directories; None: nothing is
    cdef readonly StaticFiles sent_files        # those that the application may name; None: it may name none

    cdef bytes health, ready            # health_path and ready_path as they come on the wire
    cdef readonly bint has_probes       # … and whether there is one of them

    cdef RequestIds ids                 # None: requests have none
    cdef bint echoes_ids                # and responses say which

    cdef bint forsaken                  # a process that the application made: nothing here is its own
    cdef object stay_away               # … with greenlets of others in it: called by whoever comes back, does not return to these; None

    cdef int _count(self, bint on) noexcept
    cdef int mute(self) except -1
    cdef int unmute(self) except -1
    cdef int forsake(self) except -1
    cdef int end_stranger(self) except -1
    # The worker ends, or will before long: who has another request should make another connection for it.
    cdef inline bint is_leaving(self) noexcept:
        return self.channels.draining or self.row.data.stopping == 1

    cdef void refresh_date(self) noexcept
