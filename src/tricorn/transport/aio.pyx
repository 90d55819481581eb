"""Where the sockets of a worker meet its event loop, whichever that is.

The plan. The connections keep the poller that they have in every worker, and the loop watches one descriptor: the poller's own,
which is readable when something is ready in it. So a turn of the loop fetches up to 64 events with one system call and
serves them without a Python call for each, and a connection costs the loop nothing: no transport, no protocol, no
handle, no buffer. One timer for the whole worker sweeps the deadlines.

Any loop with add_reader() will do: uvloop, asyncio's, another.

Knows: the loop's interface (add_reader, call_soon, call_later). Must not know: signals, settings, HTTP.
"""

from tricorn.scoreboard cimport monotonic
from tricorn.transport.asgi_request cimport new_loop_runner
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.hold cimport Batch
from tricorn.transport.house cimport House
from tricorn.transport.lane cimport Lane
from tricorn.transport.poller cimport READ, Event
from tricorn.transport.reception cimport LISTENER_TOKENS, WAKER_TOKEN, Reception
from tricorn.transport.system cimport read
from tricorn.transport.websocket import new_socket

cdef enum:
    BATCH = 64

cdef long long SECOND = 1000000000
# How long a small send may be held back for others to go with it: in a batch of so many events, and of fewer.
cdef long long HOLD_NS = 1000000
cdef long long HOLD_BRIEFLY_NS = 100000
cdef int HOLD_FOR = 8


cdef class Hub(Reception):
    """The transport of one worker with an event loop.

    house: what its connections share. entrances: where clients come in; their builders are ScopeBuilders. on_change: called when draining has begun or the last connection has gone.
    """

    def __init__(self, House house, list entrances, on_change):
        Reception.__init__(self, new_loop_runner(house, new_socket), entrances)
        self.house = house
        self.on_change = on_change
        house.schedule = self._schedule
        # A worker of this kind beats in its sweep.
        self.sweep_interval = min(self.sweep_interval, SECOND // 4)
        self.service.channels.poller.add(self.service.channels.waker, READ, WAKER_TOKEN)

    def open(self):
        """Begin to serve. The loop of the house need not run yet."""
        self.listen(True)
        self.swept_ns = monotonic()
        self.house.gate.loop.add_reader(self.service.channels.poller.fd, self._on_ready)
        self._tick()

    def drain(self, bint backlog, int code):
        """As Reception.close_down."""
        self.house.drain_code = code
        self.house.gate.open = True
        try:
            self.close_down(self.house.lane, backlog, code)
        finally:
            self.house.gate.open = False

    def close(self):
        """End what is left at once: tasks are cancelled, connections closed."""
        cdef Channel channel
        self.stopped = True
        self.house.gate.loop.remove_reader(self.service.channels.poller.fd)
        self.listen(False)
        for call in [call for call in self.house.calls if call.task is not None]:
            self.house.cancel(call)
        for found in list(self.service.channels.channels):
            if found is not None:
                channel = <Channel>found
                channel.close()
        self.flush_log()

    def forsake(self):
        Reception.forsake(self)
        self.stopped = True

    def _on_ready(self):
        self._serve()

    cdef int _serve(self) except -1:
        """Deal with a batch of events. Returns how many they were."""
        cdef Event events[BATCH]
        cdef Lane lane = self.house.lane
        cdef Batch batch = self.house.batch
        cdef int n = self.service.channels.poller.fetch(events, BATCH, 0)
        cdef long long began
        cdef int i
        lane.cell.busy_since_ns = lane.now = monotonic()
        self.house.gate.open = lane.collecting = True
        try:
            for i in range(n):
                began = lane.now
                self.dispatch(lane, events[i].token)
                lane.now = monotonic()      # the application may have taken its time
                lane.longest_ns = max(lane.now - began, lane.longest_ns - (lane.longest_ns >> 4))
                if batch.count and self._is_held_long(lane, n):
                    batch.release()
        finally:
            lane.collecting = False
            batch.release()
            self.house.gate.open = False
        lane.cell.busy_ns += monotonic() - lane.cell.busy_since_ns
        if not self.house.calls:
            lane.cell.busy_since_ns = 0     # else the loop may turn to them, and one may block it
        return n

    cdef bint _is_held_long(self, Lane lane, int events) noexcept:
        """Whether what is held back cannot wait for the next event, which may take as long as any of late. events: of this batch.

        (Asking how many still wait would send the last ones of a large batch one by one.)
        """
        cdef long long held = lane.now - self.house.batch.since
        return held + lane.longest_ns > (HOLD_NS if events >= HOLD_FOR else HOLD_BRIEFLY_NS)

    def _schedule(self):
        self.house.gate.call_soon(self._proceed, context=self.house.gate.context)

    def _proceed(self):
        """Let those go on that gave way. Each gets one turn."""
        cdef Protocol protocol
        cdef House house = self.house
        cdef int i
        cdef int n = len(house.waiting)
        house.gate.open = True
        try:
            for i in range(n):
                protocol = house.waiting.popleft()
                house.lane.now = monotonic()
                try:
                    protocol.proceed(house.lane)
                except BaseException:
                    self.give_up(house.lane, protocol.channel)
        finally:
            house.gate.open = False
            if house.waiting:
                self._schedule()

    def _tick(self):
        cdef long long now = monotonic()
        if self.stopped:
            return
        self.house.gate.loop.call_later(self.sweep_interval / <double>SECOND, self._tick)
        if now - self.swept_ns > 2 * self.sweep_interval:
            now = self._catch_up()
        self.swept_ns = now
        self._beat(now)

    cdef long long _catch_up(self) except -1:
        """The loop was blocked: what clients have sent meanwhile counts, all of it, before their deadlines do. Returns the time."""
        cdef int batches = self.service.channels.count // BATCH + 1
        while self._serve() == BATCH and batches > 0:
            batches -= 1
        return monotonic()

    cdef int _beat(self, long long now) except -1:
        cdef House house = self.house
        house.lane.now = now
        self.service.row.data.heartbeat_ns = now
        self.service.row.data.running = len(house.calls)
        house.gate.open = True
        try:
            self.expire_overdue(house.lane, now)
            house.cancel_overdue(now)
        finally:
            house.gate.open = False
        self.flush_log()
        if not self.listening and self.may_listen(now):
            self.listen(True)
        if self.service.channels.draining:
            self.on_change()
        return 0

    cdef int own_event(self, Lane lane, unsigned long long token) except -1:
        cdef unsigned long long count
        if token != WAKER_TOKEN:
            return self.accept(lane, <int>(token - LISTENER_TOKENS))
        read(self.service.channels.waker, &count, sizeof(count))
        if self.service.channels.draining:
            self.on_change()
        elif not self.listening and self.may_listen(monotonic()):
            self.listen(True)
        return 0
