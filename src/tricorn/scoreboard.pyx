"""One page of shared memory: a row for each worker, a cell for each of its threads.

The master maps it before the first fork. Workers write with plain stores, the master reads. Knows: the
layout. Must not know: who writes or reads, or what is decided by it.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy, memset

import mmap
import os

cdef extern from "<errno.h>" nogil:
    int errno

cdef extern from "<sys/mman.h>" nogil:
    void* map_memory "mmap"(void*, size_t, int, int, int, long)
    void* MAP_FAILED
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED

cdef extern from "<string.h>" nogil:
    size_t strnlen(const char*, size_t)

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_MONOTONIC

cdef enum:
    _READY = 2      # READY, without the GIL
    READS = 3       # of what somebody may be writing: one write is shorter than one read, and a second one soon after is rare

EMPTY = 0
BOOTING = 1
READY = 2
DRAINING = 3
MOLD = 4

SERVED_ENOUGH = 1
STUCK = 2
FAILED = 3
ASKED = 4

REFORK = 2
HURRY = 3


cdef long long monotonic() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <long long>t.tv_sec * 1000000000 + t.tv_nsec


cdef void count_request(CellData* cell, long long elapsed_ns) noexcept nogil:
    """Count one request that took so long."""
    cdef unsigned long long elapsed_us = <unsigned long long>elapsed_ns // 1000
    cdef int bucket = 0
    while elapsed_us and bucket < BUCKETS - 1:
        elapsed_us >>= 1
        bucket += 1
    cell.durations[bucket] += 1
    cell.requests += 1


cdef void finish(CellData* cell, long long started_ns, long long now_ns) noexcept nogil:
    """Count one request that ran from `started_ns` to `now_ns`, and mark the thread idle."""
    count_request(cell, now_ns - started_ns)
    cell.busy_ns += now_ns - started_ns
    cell.busy_since_ns = 0


cdef extern from "Python.h":
    int PyUnicode_KIND(object)
    unsigned char* PyUnicode_1BYTE_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)


cdef int set_label(CellData* cell, str method, str target) except -1:
    """What the thread is doing, for people who look."""
    cdef Py_ssize_t used = _copy(cell, 0, method)
    cell.request[used] = c' '
    used = _copy(cell, used + 1, target)
    cell.request[used] = 0
    return 0


cdef inline Py_ssize_t _copy(CellData* cell, Py_ssize_t at, str text):
    """Copy what fits at `at`, leaving room for a space and the NUL. Where the copy ends."""
    cdef Py_ssize_t size
    if text is not None and PyUnicode_KIND(text) == 1:
        size = max(min(PyUnicode_GET_LENGTH(text), <Py_ssize_t>REQUEST_LABEL - 2 - at), <Py_ssize_t>0)
        memcpy(&cell.request[at], PyUnicode_1BYTE_DATA(text), size)
        return at + size
    return at


def monotonic_ns():
    """CLOCK_MONOTONIC in nanoseconds: the clock of every `_ns` field here."""
    return monotonic()


cdef class Board


cdef class Cell:
    @property
    def busy_since_ns(self):
        return self.data.busy_since_ns

    @property
    def busy_ns(self):
        return self.data.busy_ns

    @property
    def requests(self):
        return self.data.requests

    @property
    def durations(self):
        return tuple([self.data.durations[i] for i in range(BUCKETS)])

    def begin(self, str method, str target):
        """This thread is at it from here on."""
        set_label(self.data, method, target)
        self.data.busy_since_ns = monotonic()

    def end(self):
        """It is not any more. One more is counted."""
        finish(self.data, self.data.busy_since_ns, monotonic())

    @property
    def request(self):
        cdef Py_ssize_t length = strnlen(self.data.request, REQUEST_LABEL)
        return (<bytes>self.data.request[:length]).decode("latin-1")


cdef class Row:
    @property
    def pid(self):
        return self.data.pid

    @pid.setter
    def pid(self, long long value):
        self.data.pid = value

    @property
    def state(self):
        return self.data.state

    @state.setter
    def state(self, long long value):
        self.data.state = value

    @property
    def generation(self):
        return self.data.generation

    @generation.setter
    def generation(self, long long value):
        self.data.generation = value

    @property
    def heartbeat_ns(self):
        return self.data.heartbeat_ns

    @heartbeat_ns.setter
    def heartbeat_ns(self, long long value):
        self.data.heartbeat_ns = value

    @property
    def started_ns(self):
        return self.data.started_ns

    @started_ns.setter
    def started_ns(self, long long value):
        self.data.started_ns = value

    @property
    def connections(self):
        return self.data.connections

    @connections.setter
    def connections(self, long long value):
        self.data.connections = value

    @property
    def accepted(self):
        return self.data.accepted

    @accepted.setter
    def accepted(self, long long value):
        self.data.accepted = value

    @property
    def errors(self):
        return self.data.errors

    @errors.setter
    def errors(self, long long value):
        self.data.errors = value

    @property
    def running(self):
        return self.data.running

    @running.setter
    def running(self, long long value):
        self.data.running = value

    @property
    def stopping(self):
        return self.data.stopping

    @stopping.setter
    def stopping(self, long long value):
        self.data.stopping = value

    @property
    def worn(self):
        return self.data.worn

    @worn.setter
    def worn(self, long long value):
        self.data.worn = value

    @property
    def loaded_ns(self):
        return self.data.loaded_ns

    @loaded_ns.setter
    def loaded_ns(self, long long value):
        self.data.loaded_ns = value

    @property
    def tick_ns(self):
        return self.data.tick_ns

    @tick_ns.setter
    def tick_ns(self, long long value):
        self.data.tick_ns = value

    @property
    def awaits_gil_ns(self):
        return self.data.awaits_gil_ns

    @awaits_gil_ns.setter
    def awaits_gil_ns(self, long long value):
        self.data.awaits_gil_ns = value

    @property
    def obstacle(self):
        cdef Py_ssize_t length = strnlen(self.data.obstacle, OBSTACLE_LABEL)
        return (<bytes>self.data.obstacle[:length]).decode("latin-1")

    @obstacle.setter
    def obstacle(self, str text):
        cdef bytes found = text.encode("ascii", "backslashreplace")[:OBSTACLE_LABEL - 1]
        memcpy(self.data.obstacle, <const char*>found, len(found) + 1)

    @property
    def waits(self):
        return self.data.waits

    @waits.setter
    def waits(self, long long value):
        self.data.waits = value

    @property
    def waited_ns(self):
        return self.data.waited_ns

    @waited_ns.setter
    def waited_ns(self, long long value):
        self.data.waited_ns = value

    @property
    def is_loop(self):
        return self.data.is_loop

    @property
    def farewell_ns(self):
        return self.data.farewell_ns

    @farewell_ns.setter
    def farewell_ns(self, long long value):
        self.data.farewell_ns = value

    @property
    def websockets(self):
        return self.data.websockets

    @websockets.setter
    def websockets(self, long long value):
        self.data.websockets = value

    @property
    def waiting(self):
        return self.data.waiting

    @waiting.setter
    def waiting(self, long long value):
        self.data.waiting = value

    @property
    def waiting_apart(self):
        return self.data.waiting_apart

    @property
    def queue(self):
        return self.data.queue

    @queue.setter
    def queue(self, long long value):
        self.data.queue = value

    @property
    def refused(self):
        return self.data.refused

    @refused.setter
    def refused(self, long long value):
        self.data.refused = value

    @property
    def passed(self):
        return self.data.passed

    @passed.setter
    def passed(self, long long value):
        self.data.passed = value

    @property
    def left(self):
        return self.data.left

    @left.setter
    def left(self, long long value):
        self.data.left = value

    @property
    def requests(self):
        cdef long long total = 0
        cdef int i
        for i in range(self.cell_count):
            total += self.cell_data[i].requests
        return total

    @property
    def shared_cells(self):
        return self.cells[:self.shared_count]

    @property
    def cells(self):
        cdef Cell cell
        cdef int i
        cells = []
        for i in range(self.cell_count):
            cell = Cell.__new__(Cell)
            cell.board = self.board
            cell.data = &self.cell_data[i]
            cells.append(cell)
        return tuple(cells)

    def add_figures(self, into):
        """Add each of its figures to the one at that place of `into`, a writable buffer of as many 64-bit words."""
        cdef Py_buffer view
        cdef long long* sums
        cdef int i
        PyObject_GetBuffer(into, &view, PyBUF_WRITABLE)
        try:
            if view.len != self.figure_count * <Py_ssize_t>sizeof(long long):
                raise ValueError(f"a row has {self.figure_count} figures")
            sums = <long long*>view.buf
            for i in range(self.figure_count):
                sums[i] += self.figures[i]
        finally:
            PyBuffer_Release(&view)

    def exemplars(self):
        """Of what it has counted, those that are there: (place, trace, span, ns, instant). One that is being written is left out."""
        cdef Exemplar found
        cdef int i
        told = []
        for i in range(self.exemplar_count if self.data.exemplified else 0):
            if _read(&self.exemplar_data[i], &found):
                told.append((i, f"{found.trace_high:016x}{found.trace_low:016x}", f"{found.span:016x}", found.value_ns, found.at_ns))
        return told

    def exemplify(self, int place, trace, span, long long value_ns, long long at_ns):
        """As a worker does: for tests. trace, span: their numbers. Raises IndexError."""
        if not 0 <= place < self.exemplar_count:
            raise IndexError(f"a row has {self.exemplar_count} exemplars")
        self.data.exemplified = 1
        write_exemplar(&self.exemplar_data[place], trace >> 64, trace & 0xffffffffffffffff, span, value_ns, at_ns)

    def clear(self):
        if self.data.exemplified:       # they are many, and pages that nobody has written take no memory
            memset(self.exemplar_data, 0, sizeof(Exemplar) * self.exemplar_count)
        memset(self.data, 0, sizeof(RowData))
        memset(self.cell_data, 0, sizeof(CellData) * self.cell_count)
        if self.figure_count:
            memset(self.figures, 0, sizeof(long long) * self.figure_count)

    cpdef bint another_is_ready(self):
        """Whether another worker of this board takes connections."""
        cdef Row row
        for row in (<Board>self.board).rows:
            if row is not self and row.data.state == READY:
                return True
        return False

    cdef bint another_is_free(self):
        """Whether one of those has a thread that waits for something to do."""
        return self.free_elsewhere() > 0

    cdef int free_elsewhere(self):
        """How many threads do, in all of those. (Whether they are a route's own, a connection does not tell.)"""
        cdef Row row
        cdef int i
        cdef int free = 0
        for row in (<Board>self.board).rows:
            if row is self or row.data.state != READY:
                continue
            for i in range(row.shared_count):
                free += row.cell_data[i].busy_since_ns == 0
        return free

    cdef long long least_waiting_elsewhere(self):
        """How many requests wait at that one of those where the fewest do; -1: there is no other."""
        cdef Row row
        cdef long long least = -1
        for row in (<Board>self.board).rows:
            if row is not self and row.data.state == READY and (least < 0 or row.data.waiting < least):
                least = row.data.waiting
        return least

    cdef long long fewest_connections_elsewhere(self):
        """As least_waiting_elsewhere()."""
        cdef Row row
        cdef long long fewest = -1
        for row in (<Board>self.board).rows:
            if row is not self and row.data.state == READY and (fewest < 0 or row.data.connections < fewest):
                fewest = row.data.connections
        return fewest

    cdef unsigned long long queues_elsewhere(self, long long before) noexcept nogil:
        """The queues that others have for their own, as bits (0: number 1): of those who are READY and have a thread that has
        had nothing to do at some time since `before`. (An event loop is marked busy for many reasons.)"""
        cdef unsigned long long found = 0
        cdef RowData* data
        cdef int i
        for i in range(self.row_count):
            data = <RowData*>(self.base + i * self.stride)
            if data != self.data and data.state == _READY and data.queue and (data.is_loop or self._may_serve(data, before)):
                found |= <unsigned long long>1 << (data.queue - 1)
        return found

    cdef bint _may_serve(self, RowData* data, long long before) noexcept nogil:
        cdef CellData* cells = <CellData*>(<char*>data + sizeof(RowData))
        cdef int i
        for i in range(self.shared_count):
            if cells[i].busy_since_ns == 0 or cells[i].busy_since_ns > before:
                return True
        return False

    def beat(self):
        self.data.heartbeat_ns = monotonic()


cdef bint _read(Exemplar* place, Exemplar* into) noexcept nogil:
    """Whether there is one, all of it."""
    cdef unsigned long long writes
    cdef int i
    for i in range(READS):
        writes = _observed(&place.writes, _ACQUIRE)
        if writes == 0:
            return False
        into[0] = place[0]
        _fence(_ACQUIRE)
        if writes % 2 == 0 and _observed(&place.writes, _RELAXED) == writes:
            return True
    return False


cdef class Board:
    cdef object mapping
    cdef Py_buffer view
    cdef list rows
    cdef readonly int cells, reserved
    cdef readonly int figures       # words of each row, for what is counted
    cdef readonly int exemplars     # and places for exemplars of that

    def __init__(self, int rows, int shared, int reserved=0, int figures=0, int exemplars=0):
        cdef int cells = shared + reserved
        if rows < 1 or shared < 1 or reserved < 0 or figures < 0 or exemplars < 0:
            raise ValueError("a board needs at least one row and one cell")
        cdef Py_ssize_t stride = sizeof(RowData) + cells * sizeof(CellData) + figures * sizeof(long long)
        cdef Py_ssize_t before = stride
        stride += exemplars * <Py_ssize_t>sizeof(Exemplar)
        stride = (stride + 63) // 64 * 64       # no two workers share a cache line
        self.mapping = mmap.mmap(-1, rows * stride)     # anonymous and shared: survives fork
        self.cells = cells
        self.reserved = reserved
        self.figures = figures
        self.exemplars = exemplars
        self.rows = []
        # Held for as long as the board lives; an exported buffer also keeps the mapping from being closed.
        PyObject_GetBuffer(self.mapping, &self.view, PyBUF_WRITABLE)
        cdef char* base = <char*>self.view.buf
        cdef Row row
        cdef int i
        for i in range(rows):
            row = Row.__new__(Row)
            row.index = i
            row.board = self
            row.data = <RowData*>(base + i * stride)
            row.cell_data = <CellData*>(base + i * stride + sizeof(RowData))
            row.cell_count = cells
            row.shared_count = shared
            row.figure_count = figures
            row.figures = NULL
            if figures:
                row.figures = <long long*>(<char*>row.cell_data + cells * sizeof(CellData))
            row.exemplar_count = exemplars
            row.exemplar_data = NULL
            if exemplars:
                row.exemplar_data = <Exemplar*>(base + i * stride + before)
            row.base = base
            row.stride = stride
            row.row_count = rows
            self.rows.append(row)

    def detach(self):
        """Put private memory in the page's place: in a process that is none of those who share it."""
        if map_memory(
            self.view.buf, self.view.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0
        ) == MAP_FAILED:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.view.buf != NULL:
            PyBuffer_Release(&self.view)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, Py_ssize_t index):
        return self.rows[index]

    def __iter__(self):
        return iter(self.rows)
