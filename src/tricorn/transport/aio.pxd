from tricorn.transport.house cimport House
from tricorn.transport.reception cimport Reception
from tricorn.transport.lane cimport Lane

cdef class Hub(Reception):
    cdef readonly House house
    cdef object on_change           # called when the worker should look: draining began, or is over
    cdef long long swept_ns         # when deadlines were last looked at
    cdef bint stopped

    cdef int _serve(self) except -1
    cdef bint _is_held_long(self, Lane lane, int events) noexcept
    cdef long long _catch_up(self) except -1
    cdef int _beat(self, long long now) except -1
