from tricorn.gateway.request_builder cimport Peer
from tricorn.transport.channel cimport Channel
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.opening cimport Entrance
from tricorn.transport.passing cimport Ends
from tricorn.transport.queues cimport Queues
from tricorn.transport.request cimport Runner
from tricorn.transport.worker_context cimport WorkerContext

# Tokens of the poller that are no connections (whose serial numbers begin at 1).
cdef unsigned long long WAKER_TOKEN
cdef unsigned long long LISTENER_TOKENS

cdef enum:
    BATCH = 64                      # events that a loop fetches at once

cdef class Server:
    cdef readonly WorkerContext worker
    cdef ThreadContext keeper       # of who sweeps the deadlines, and deals with the drain
    cdef Runner runner
    cdef list entrances             # Entrance
    cdef Queues queues              # None: all entrances are for all workers
    cdef bint listening             # the listeners are in the poller
    cdef unsigned int serial
    cdef long long sweep_interval
    cdef long long accept_after     # the machine was out of descriptors: wait this long
    cdef long long short_at         # when it last was; 0: not lately
    cdef long long short_said       # when the log last said so
    cdef long long shortages        # since then
    cdef long long returned_at      # when memory was last given back
    cdef long long started_ns       # when the youngest event began to be served
    # Of the drain: it serves the backlog; some of that is still there, because descriptors were lacking; what WebSockets are closed with.
    cdef bint takes_backlog
    cdef bint has_rest
    cdef int drain_code
    cdef long long swept_ns         # when deadlines were last looked at
    # Of a loop
    cdef bint has_left              # a new connection to other workers: the next one it takes
    cdef long long swept_requests   # how many requests were over then

    # What a transport fills in.
    cdef int own_event(self, ThreadContext thread, unsigned long long token) except -1
    cdef int give_up(self, ThreadContext thread, Channel channel) except -1
    # Have `listen` called again, if it then still may, so many seconds from here; of a loop.
    cdef int listen_later(self, double seconds) except -1
    # Deal with a batch of events. Returns how many they were; of a loop.
    cdef int serve_batch(self) except -1

    cdef int listen(self, bint on) except -1
    cdef int listen_again(self, long long now) except -1
    cdef int settle(self) except -1
    cdef int _watch(self, bint on) except -1
    cdef int _try_to_listen(self) except -1
    cdef bint may_listen(self, long long now) except -1
    cdef bint may_be_woken_alone(self) noexcept
    cdef int accept(self, ThreadContext thread, int index, bint last=*, int run=*) except -1
    cdef int meet(self, ThreadContext thread, int index) except -1
    cdef bint make_room(self)
    cdef int postpone_all(self, long long late) except -1
    cdef long long lateness(self, long long now) noexcept
    cdef long long begin_sweep(self, long long now) except -1
    cdef int dispatch(self, ThreadContext thread, unsigned long long token) except -1
    cdef int _failed(self, ThreadContext thread, Channel channel) except -1
    cdef int expire_overdue(self, ThreadContext thread, long long now) except -1
    cdef int close_down(self, ThreadContext thread, bint backlog, int code=*) except -1
    cdef int _take_last(self, ThreadContext thread) except -1
    cdef int take_rest(self, ThreadContext thread) except -1
    cdef int _begin_drains(self, unsigned int after) except -1
    cdef list end_streams(self, ThreadContext thread, bint events_only)
    cdef int flush_log(self) except -1
    cdef int _exhausted(self, int error) except -1
    cdef int _end_shortage(self, long long now) except -1
    cdef int _end_burst(self, long long now) except -1
    cdef void _look_at_itself(self, int idle) noexcept
    cdef int _return_memory(self, long long now, long long pending) except -1
    cdef int _welcome(self, ThreadContext thread, int fd, Ends* ends, Entrance entrance) except -1
    cdef Channel _channel_of(self, int fd)
    cdef Channel _admitted(self, ThreadContext thread, int fd, Peer peer, Entrance entrance)
