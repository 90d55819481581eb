cimport cython
from tricorn.http.buffer cimport Buffer
from tricorn.scoreboard cimport Row
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.poller cimport Poller
from tricorn.transport.send_queue cimport FileSpan, SendQueue
from tricorn.transport.system cimport iovec
from tricorn.transport.wire cimport Layer

# What a protocol has the poller watch for, besides READ and WRITE.
cdef enum:
    AS_IT_IS = -1

# What the bytes of a channel mean. A channel has one at a time; one may put another in its place.
# The collector need not look at channels and protocols: a channel that closes lets go of its protocol, and every one is closed.
@cython.no_gc
cdef class Protocol:
    cdef Channel channel

    # The descriptor is ready for what it was watched for, or broken.
    cdef int on_event(self, ThreadContext thread) except -1
    # Whoever dealt with the channel is done: go on with what is already here, give it free, have it watched.
    cdef int settle(self, ThreadContext thread) except -1
    # Its turn has come to go on with what is already here.
    cdef int proceed(self, ThreadContext thread) except -1
    # It is overdue.
    cdef bint overdue(self, long long now) noexcept
    cdef int expire(self, ThreadContext thread) except -1
    # The worker ends: what is idle ends soon, the rest after its requests. code: for WebSockets.
    cdef int begin_drain(self, long long soon, int code) except -1
    # The worker drains for long. If a response goes on by itself, end it so that its client can tell; what it was ("GET /path"), else None.
    cdef str cut_stream(self, ThreadContext thread, bint events_only)
    # That was done, and the thread that is in the application for it has not come back.
    cdef bint is_cut(self) noexcept
    # It waits for a request and has had one: it may be closed to make room for another client.
    cdef bint is_idle(self) noexcept
    # Its client has sent something that nobody has come to yet.
    cdef bint has_come(self) noexcept
    # What the poller should watch for, while nobody deals with the channel.
    cdef int interest(self) noexcept
    # Bytes wait in the queue of the channel, that did not before.
    cdef int on_queued(self) except -1
    # Bytes that were held back, and counted as sent, wait now.
    cdef int on_behind(self) except -1
    # The client has taken bytes that waited; perhaps all.
    cdef int on_flushed(self, ThreadContext thread) except -1
    # It waits for bytes of which some are here already, where the poller does not see them.
    cdef int on_buffered(self) except -1
    # The client is gone, or cannot be served any more. Abort, now or soon.
    cdef int on_lost(self) except -1
    # The channel is closed.
    cdef int on_closed(self) except -1

# What holds back what channels send, so that it leaves together.
cdef class Holder:
    cdef int release_one(self, Channel channel) except -1

# The channels of one worker.
@cython.final
cdef class ChannelTable:
    cdef readonly Poller poller
    cdef readonly Row row
    cdef readonly object logger
    cdef list channels                  # by descriptor
    cdef readonly int count
    cdef readonly long long most        # channels at a time
    cdef readonly long long write_timeout   # ns; 0: none
    cdef public bint draining           # no new ones; the last one that closes wakes whoever waits for that
    cdef bint full                      # whoever closes one wakes a listener
    cdef long long queued               # bytes that waited for slow clients since memory was last given back
    cdef int waker                      # eventfd: written to when the server should look

    cdef int wake(self) noexcept nogil
    # So that add() cannot fail.
    cdef int make_place(self, int fd) except -1
    cdef int add(self, Channel channel) except -1
    cdef int remove(self, Channel channel) except -1
    cdef void forsake(self) noexcept

@cython.final
@cython.no_gc
cdef class Channel:
    # Flags are bytes: most channels are idle, and there may be many.
    cdef ChannelTable table
    cdef Protocol protocol
    cdef Layer layer                # None: the bytes on the wire are those of the protocol
    cdef SendQueue queue            # while the client is behind
    cdef Holder holder              # which holds back what was sent last
    cdef long long deadline         # CLOCK_MONOTONIC, ns; 0: none
    cdef int fd
    cdef unsigned int serial        # tells this channel from earlier ones with the same descriptor
    cdef int armed                  # what the poller watches for
    cdef unsigned char owned        # somebody deals with it
    cdef unsigned char gone         # what is sent goes nowhere
    cdef unsigned char closed
    cdef unsigned char corked       # what is queued has not been offered to the socket yet

    # Returns how many bytes were read; 0: the client will send no more; WIRE_AGAIN, WIRE_LOST.
    cdef ssize_t read(self, void* place, size_t size) noexcept
    cdef void await_input(self, int timeout_ms) noexcept
    # Send the bytes of `out`, then those of `piece`, then `tail`; queue what the socket does not take.
    cdef int send(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1
    # … of `total` bytes, which stay where they are until this returns.
    cdef int send_parts(self, const iovec* parts, int count, Py_ssize_t total) except -1
    cdef int send_span(self, ThreadContext thread, FileSpan span) except -1
    cdef int enqueue(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, Py_ssize_t sent) except -1
    cdef int send_held(self, const void* data, Py_ssize_t size, bytes piece) except -1
    # Send what is held back, because something else must come behind it.
    cdef int release(self) except -1
    cdef int uncork(self, ThreadContext thread) except -1
    # Send what is queued, and tell the protocol.
    cdef int flush(self, ThreadContext thread) except -1
    cdef int flush_queue(self, bint* progress) except -2
    cdef bint has_queued(self) noexcept
    # Whether bytes were read that nobody has seen yet, the poller included.
    cdef bint has_buffered(self) noexcept
    cdef bint is_congested(self, Py_ssize_t most) noexcept

    cdef int arm(self, int interest) except -1
    cdef int watch(self) except -1
    cdef void take_time_to_write(self) noexcept

    cdef int lose(self) except -1
    cdef int abort(self) except -1
    # Say that nothing follows, where there are words for it. False: that waits for the client, as what was sent before might.
    cdef bint says_goodbye(self) noexcept
    cdef int close(self) except -1
    # Close an idle one. False: not yet, because the goodbye waits.
    cdef bint leave(self) except -1
    # Our side is over, as soon as what is queued is sent; then what still comes is thrown away for a while. most: bytes, 0: however many.
    cdef int linger(self, ThreadContext thread, Py_ssize_t most) except -1
    cdef int forsake(self) noexcept

    cdef SendQueue _queue(self)
    cdef int _fall_behind(self) except -1

cdef Channel new_channel(ChannelTable table, int fd, unsigned int serial)
# The same with a place in the table. Whose the descriptor is from here on, whatever happens.
cdef Channel channel_of(ChannelTable table, int fd, unsigned int serial)
