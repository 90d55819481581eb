cimport cython

from tricorn.scoreboard cimport Row

# Who may wait in one queue for the application, and for how long; what those hear who may not.
@cython.final
cdef class Admission:
    cdef Row row
    cdef long long* shown           # where the scoreboard tells how many wait
    cdef long long most             # that may wait; 0: any number
    cdef long long longest          # ns that each may; 0: as long as it takes
    cdef readonly long long waiting # how many do

    # What a refusal consists of; its fields as applications of WSGI (str) and of ASGI (octets) would give them.
    cdef readonly str status
    cdef readonly list fields, octet_fields
    cdef readonly bytes body
    cdef str requests               # which they are, for the log

    # Of the burst of refusals
    cdef long long refused_at       # when the last one was; 0: there is none
    cdef long long began            # when the first one was
    cdef long long said             # when the log last spoke of it
    cdef long long count            # how many there were
    cdef long long unsaid           # since the log spoke

    # Whether not everybody may wait for as long as it takes.
    cdef bint has_limits(self) noexcept
    # Whether there is no place for one more. spare: so many are about to be served.
    cpdef bint is_full(self, long long spare) noexcept
    # Whether one that has waited since then has waited for too long.
    cpdef bint is_late(self, long long since, long long now) noexcept
    cpdef void enter(self) noexcept
    cpdef void leave(self) noexcept
    # One is refused. Returns what the log should say, or None.
    cpdef str refuse(self, bint late, long long now)
    # Whether a client that has ended its side has gone, and not just said all it had to say.
    cpdef bint is_farewell(self, long long since, long long now) noexcept
    # The burst is over, or goes on: as refuse().
    cpdef str look(self, long long now)
