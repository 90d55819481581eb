"""Which queues a worker takes new connections from, where each worker has one of its own (`reuse_port`).

The plan. At each address there are as many sockets as there were workers at the start, and the kernel spreads new connections over them.
All are the master's and every worker has them all; each watches its own, so that for a connection one worker is woken and not all.
By itself that would have connections wait for a busy worker beside an idle one, and for a worker that is not there. So a worker that takes
connections looks around every 20 ms, and watches too

1. the queues that belong to nobody who could serve: no worker that has it is READY, or all of its threads have been in the application for
   a while;
2. for a second, those in which somebody has waited at two looks in a row, whatever the scoreboard says of their owners.

Guarantees: while any worker takes connections, somebody does from every queue, two looks after its owner has ceased to.

Knows: the scoreboard, listening sockets. Must not know: who accepts, threads, event loops.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free

from tricorn.scoreboard cimport Row, monotonic
from tricorn.transport.opening cimport Entrance
from tricorn.transport.system cimport POLLIN, poll, pollfd

LOOK_NS = 20000000
# A worker whose threads have all been taken for so long leaves new connections to others (thread_server.pyx).
cdef long long BUSY_NS = 10000000
cdef long long HELP_NS = 1000000000


cdef Queues maybe_queues(Row row, list entrances):
    cdef Entrance entrance
    cdef list owned = []
    for entrance in entrances:
        if entrance.owners:
            owned.append(entrance)
    return Queues(row, owned) if owned else None


cdef class Queues:
    def __cinit__(self, Row row, list entrances):
        self.places = <Place*>PyMem_Calloc(len(entrances), sizeof(Place))
        self.sockets = <pollfd*>PyMem_Calloc(len(entrances), sizeof(pollfd))
        if self.places == NULL or self.sockets == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.places)
        PyMem_Free(self.sockets)

    def __init__(self, Row row, list entrances):
        cdef Entrance entrance
        cdef int i
        self.row = row
        self.entrances = entrances
        self.count = len(entrances)
        if row.data.queue:
            self.own = <unsigned long long>1 << (row.data.queue - 1)
        for i in range(self.count):
            entrance = self.entrances[i]
            self.places[i].owners = entrance.owners
            self.sockets[i].fd = entrance.fd
            self.sockets[i].events = POLLIN
        self.look(monotonic())
        self.settle()

    cdef bint look(self, long long now) noexcept nogil:
        cdef unsigned long long kept
        cdef Place* place
        cdef bint some
        cdef bint waits
        cdef bint wanted
        cdef int i
        if now - self.looked_ns < LOOK_NS // 2:     # timers are not exact, and some ticks are short
            return False
        self.looked_ns = now
        kept = self.row.queues_elsewhere(now - BUSY_NS)
        some = poll(self.sockets, self.count, 0) > 0
        for i in range(self.count):
            place = &self.places[i]
            waits = some and self.sockets[i].revents != 0
            if waits and place.waited:
                place.help_until = now + HELP_NS
            place.waited = waits
            wanted = place.owners & self.own != 0 or place.owners & kept == 0 or now < place.help_until
            if wanted != place.wanted:
                place.wanted = wanted
                self.sockets[i].fd = ~self.sockets[i].fd
                self.changed = True
        return self.changed

    cdef int settle(self) except -1:
        cdef int i
        for i in range(self.count):
            (<Entrance>self.entrances[i]).wanted = self.places[i].wanted
        self.changed = False
        return 0
