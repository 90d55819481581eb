from tricorn.http.buffer cimport Buffer
from tricorn.http.request cimport RequestHead
from tricorn.scoreboard cimport CellData

cdef enum:
    THREAD_BUFFER = 65536

# What a thread of a worker has for itself.
cdef class ThreadContext:
    cdef unsigned char* buffer
    cdef Buffer out
    cdef RequestHead head
    cdef CellData* cell
    cdef object serves                  # the Compartment whose requests it may begin with as it reads them; None: none
    cdef object batch                   # Batch: what leaves together
    cdef long long* held_since          # when it became complete; 0: nothing is held back. Others read it, without the GIL
    cdef int number                     # among the worker's threads
    cdef bint collecting                # others wait to be served: what is sent may be held back
    cdef long long longest_ns           # of recent requests; fades
    cdef long long now                  # when it last looked at the clock
    cdef long long active_ns            # when the running request last gave a sign of life
    cdef unsigned long ident            # threading.get_ident()
    cdef object call                    # WSGICall of the request that it serves
    cdef bint calling                   # the application has control of it
    cdef bint interrupted               # an exception was raised in it from outside
    cdef long long interrupted_ns       # when
    cdef object parking                 # a lock it sleeps on while it is not needed
