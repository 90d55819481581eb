# The layout of the shared page. Each field has one writer; a field is one aligned 64-bit word (or, for
# `request`, a string that a reader may see half written: it is shown to people, nothing decides by it).

cdef extern from * nogil:
    void _publish "__atomic_store_n"(unsigned long long*, unsigned long long, int)
    unsigned long long _observed "__atomic_load_n"(unsigned long long*, int)
    void _fence "__atomic_thread_fence"(int)
    int _RELAXED "__ATOMIC_RELAXED"
    int _ACQUIRE "__ATOMIC_ACQUIRE"
    int _RELEASE "__ATOMIC_RELEASE"

cdef enum:
    BUCKETS = 24
    REQUEST_LABEL = 64
    OBSTACLE_LABEL = 192

cdef struct CellData:
    long long busy_since_ns
    long long requests
    long long busy_ns
    # Finished requests by duration: bucket k counts those below 2**k microseconds, the last one all others.
    long long durations[BUCKETS]
    char request[REQUEST_LABEL]

cdef struct RowData:
    long long pid
    long long state
    long long generation
    long long heartbeat_ns
    long long started_ns
    long long connections
    long long accepted
    long long errors
    # Of a worker with an event loop: how many requests are being answered, how many WebSockets are open.
    long long running
    long long websockets
    # Written by the master: nobody comes after this worker, at one of its addresses at least.
    long long stopping
    # What the worker needs when its last request is over, beyond the time that requests are given.
    long long farewell_ns
    # How often requests have waited for a thread or a loop, and for how long, all of them together.
    long long waits
    long long waited_ns
    # 1: its one cell is an event loop's, which is marked busy while requests wait in it.
    long long is_loop
    # Why the worker asks for a successor; 0: it does not. It serves until the master tells it to stop.
    long long worn
    # When the application was loaded; 0: it is not yet.
    long long loaded_ns
    # The last sign of a thread that does not need the GIL for it, and since when that thread waits for the GIL; 0: it does not.
    long long tick_ns
    long long awaits_gil_ns
    # What blocks the event loop, for people who look; empty: nothing does.
    char obstacle[OBSTACLE_LABEL]
    # Complete requests that wait for a thread, or for fewer to run: now; refused for that; given up by their clients.
    long long waiting
    long long refused
    long long left
    # Connections that were passed on to another worker.
    long long passed
    # As `waiting`, on routes that have threads or tasks of their own.
    long long waiting_apart
    # Written by the master: which queue of each address is this worker's own, from 1; 0: there is one for all.
    long long queue
    # 1: some of its exemplars are written.
    long long exemplified

# One of those that were counted together, of which a trace is kept somewhere. It is more than a word, so a reader might see it half written:
# `writes` is odd while it is being written, and another one afterwards.
cdef struct Exemplar:
    unsigned long long writes           # 0: there is none
    unsigned long long trace_high, trace_low, span
    long long value_ns, at_ns           # at_ns: CLOCK_MONOTONIC

cdef class Row:
    cdef readonly int index
    cdef object board          # keeps the mapping alive
    cdef RowData* data
    cdef CellData* cell_data
    cdef int cell_count
    cdef int shared_count       # the first ones: of the threads that serve whatever comes
    # What is counted for others to see: plain words, whose meaning is metrics/figures.pxd's. NULL: nothing is.
    cdef long long* figures
    cdef readonly int figure_count
    # Exemplars of what is counted, at places whose meaning is metrics/figures.pxd's too. NULL: there are none.
    cdef Exemplar* exemplar_data
    cdef readonly int exemplar_count
    # The board: where its rows begin, how far they are apart, how many there are.
    cdef char* base
    cdef Py_ssize_t stride
    cdef int row_count
    cpdef bint another_is_ready(self)
    cdef bint another_is_free(self)
    cdef int free_elsewhere(self)
    cdef long long least_waiting_elsewhere(self)
    cdef long long fewest_connections_elsewhere(self)
    cdef unsigned long long queues_elsewhere(self, long long before) noexcept nogil
    cdef bint _may_serve(self, RowData* data, long long before) noexcept nogil
    cdef inline CellData* cell(self, int i) noexcept:
        return &self.cell_data[i]

cdef class Cell:
    cdef object board
    cdef CellData* data

# By the one thread that may. One that was killed in the middle of it has left an odd number, and nobody reads that place until the row is cleared.
cdef inline void write_exemplar(
    Exemplar* place, unsigned long long trace_high, unsigned long long trace_low, unsigned long long span, long long value_ns, long long at_ns
) noexcept nogil:
    cdef unsigned long long writes = place.writes
    _publish(&place.writes, writes + 1, _RELAXED)
    _fence(_RELEASE)
    place.trace_high = trace_high
    place.trace_low = trace_low
    place.span = span
    place.value_ns = value_ns
    place.at_ns = at_ns
    _publish(&place.writes, writes + 2, _RELEASE)

cdef long long monotonic() noexcept nogil
cdef void count_request(CellData* cell, long long elapsed_ns) noexcept nogil
cdef void finish(CellData* cell, long long started_ns, long long now_ns) noexcept nogil
cdef int set_label(CellData* cell, str method, str target) except -1
