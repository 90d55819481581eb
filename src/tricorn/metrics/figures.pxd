# The layout of a worker's figures, and how they are written: without Python objects, locks, allocation, or the logarithm of a float.
#
# A word is an aligned 64-bit integer, so a reader (the master) never sees one half written. A word has one writer at a time: all
# threads of a worker write the same block, and each does so while it has the GIL, which it does not give away between the load and
# the store of an addition, so none is lost. That is for free where every counting place holds the GIL anyway. A block for each thread
# would be some kilobytes for each of up to hundreds of them, to be summed at every scrape; an atomic addition takes 5 ns on x86 also where
# nobody competes, and a request has a dozen. (Without the GIL `add` and `observe` are the two places that would have to become atomic.)
#
# Which word means what to people, table.py says. A new word gets a place here and a line there; a test holds that no word has none.

from tricorn.scoreboard cimport Exemplar, write_exemplar

cdef extern from *:
    int _leading_zeros "__builtin_clzll"(unsigned long long) noexcept nogil

cdef enum:
    # Methods and statuses are counted by class, in the order in which table.py names them: so a client cannot make new ones.
    METHODS = 8
    STATUSES = 6
    ERRORS = 9
    GENERATIONS = 3
    # Of a histogram: bucket k counts what took at most 2**k * 32 µs, the last one all else; behind them stands the sum, ns.
    FINE = 5
    BUCKETS = 23
    HISTOGRAM = BUCKETS + 1
    # Groups of routes that are counted apart. Routes beyond that share the last one.
    MOST_GROUPS = 32
    # Of the first so many histograms of a group each bucket has an exemplar: a request of whose trace somebody knows.
    EXEMPLIFIED = 4
    EXEMPLARS = EXEMPLIFIED * BUCKETS

# Of a worker.
cdef enum:
    BYTES_IN = 0
    BYTES_OUT
    CONNECTIONS                     # that were accepted
    IDLE_CONNECTIONS                # which wait for a request: when they were looked at last
    WEBSOCKETS
    HTTP2_CONNECTIONS
    HTTP2_STREAMS
    HANDSHAKES                      # of TLS: full, resumed, failed
    ERROR_KINDS = HANDSHAKES + 3
    CPU = ERROR_KINDS + ERRORS      # ns
    COLLECTIONS                     # by the garbage collector, by generation
    PAUSES = COLLECTIONS + GENERATIONS
    LOOP_LAG = PAUSES + HISTOGRAM
    COMMON = LOOP_LAG + HISTOGRAM   # so many words, then the groups

# Of one group, from its beginning.
cdef enum:
    BEGUN = 0                       # the application was called, …
    ENDED                           # … and the request has left it
    REQUESTS                        # by method and status
    WAITING = REQUESTS + METHODS * STATUSES
    APPLICATION = WAITING + HISTOGRAM
    SENDING = APPLICATION + HISTOGRAM
    WHOLE = SENDING + HISTOGRAM
    QUEUE = WHOLE + HISTOGRAM       # before it came to us, by the word of a proxy
    GROUP = QUEUE + HISTOGRAM

cdef enum:
    FULL = 0
    RESUMED
    FAILED

# In the order of table.py.
cdef enum:
    BAD_REQUEST = 0                 # it breaks the protocol, or says what cannot be served
    TOO_LARGE
    CLIENT_TIMEOUT                  # it did not come in time
    WRITE_TIMEOUT                   # the response was not taken in time
    QUEUE_FULL
    CLIENT_LEFT                     # while it waited to begin
    APPLICATION_FAILED
    REQUEST_TIMEOUT                 # the application took too long
    HTTP2_FAILED                    # the connection was ended for what its client did

cdef inline void add(long long* figures, int place, long long amount) noexcept nogil:
    figures[place] += amount

cdef inline void note_error(long long* figures, int kind) noexcept nogil:
    if figures != NULL:
        figures[ERROR_KINDS + kind] += 1

cdef inline int bucket_of(long long ns) noexcept nogil:
    cdef unsigned long long us
    cdef int bucket
    # A bound counts with what is below it: 32.0 µs is the first bucket's. `| 31`: nothing is shorter than that one.
    us = (<unsigned long long>(ns - (ns > 0)) // 1000) | ((1 << FINE) - 1)
    bucket = 64 - FINE - _leading_zeros(us)
    return bucket if bucket < BUCKETS else BUCKETS - 1

cdef inline void observe(long long* histogram, long long ns) noexcept nogil:
    if ns < 0:
        ns = 0
    histogram[bucket_of(ns)] += 1
    histogram[BUCKETS] += ns

# The exemplars of one request, newer than whatever stands there: waits, in the application, while it is sent, all of it.
cdef inline void exemplify(
    Exemplar* exemplars, int group, unsigned long long trace_high, unsigned long long trace_low, unsigned long long span,
    long long came_ns, long long begun_ns, long long ended_ns, long long now,
) noexcept nogil:
    cdef long long[EXEMPLIFIED] taken
    cdef Exemplar* place = exemplars + group * EXEMPLARS
    cdef int i
    taken[0] = begun_ns - came_ns
    taken[1] = ended_ns - begun_ns
    taken[2] = now - ended_ns
    taken[3] = now - came_ns
    for i in range(EXEMPLIFIED):
        if taken[i] < 0:
            taken[i] = 0
        write_exemplar(place + i * BUCKETS + bucket_of(taken[i]), trace_high, trace_low, span, taken[i], now)

cdef inline long long* group_of(long long* figures, int number) noexcept nogil:
    return figures + COMMON + number * GROUP

# What the garbage collector calls before and after each collection (gc.callbacks).
cdef class Collections:
    cdef long long* figures
    cdef long long since

cdef Collections new_collections(long long* figures)
# By its name and by the first digit of its status, for REQUESTS. Of a status that is none: the first one.
cdef int method_class(str method) noexcept
cdef int status_class(str status) noexcept
