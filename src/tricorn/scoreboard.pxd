# The layout of the shared page. Each field has one writer; a field is one aligned 64-bit word (or, for
# `request`, a string that a reader may see half written: it is shown to people, nothing decides by it).

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

cdef long long monotonic() noexcept nogil
cdef void count_request(CellData* cell, long long elapsed_ns) noexcept nogil
cdef void finish(CellData* cell, long long started_ns, long long now_ns) noexcept nogil
cdef int set_label(CellData* cell, str method, str target) except -1
