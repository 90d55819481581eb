cimport cython

# How much of one kind a client has left: what it was given a reason for, then `level` of `most`, of which so many come back in a second.
cdef struct Allowance:
    int earned
    long long level             # in billionths
    long long most
    long long a_second

# In the order of OFFENCES.
cdef enum Offence:
    CALM = 0
    MANY_RESETS
    MANY_CONTROLS
    MANY_UPDATES
    MANY_CONTINUATIONS
    LONG_FRAME

# What the frames of one client amount to.
@cython.final
@cython.no_gc
cdef class FrameMeter:
    cdef unsigned char head[9]      # of the frame that is read
    cdef int have                   # bytes of it
    cdef unsigned int left          # bytes of its payload that have not come
    cdef int preface                # bytes of the client's preface that have not come
    cdef int continuations          # in a row
    cdef bint long_block            # more of them than any request needs
    cdef bint long_frame            # one of them is longer than a frame may be
    cdef unsigned int most          # that this is
    cdef int resets                 # since the last judgement
    cdef int controls
    cdef int updates
    cdef bint awaits_pad            # the next byte tells how much of this frame is padding
    cdef bint prioritises           # the client sends priorities in frames (RFC 9218 §7)
    cdef Allowance for_resets, for_controls, for_updates
    cdef long long judged_at

    # Bytes that have come, in order.
    cdef void look(self, const unsigned char* data, Py_ssize_t size) noexcept
    # A stream that we had to reset for what its client did.
    cdef void fault(self) noexcept
    # A field block that was much longer than any may be.
    cdef void bomb(self) noexcept
    # A frame of a body was sent, so the client has a reason to open its windows. whole: it was as long as it could be, whatever the window.
    cdef void gave(self, Py_ssize_t size, bint whole) noexcept
    # now: ns. CALM, or what the client does too much of.
    cdef Offence judge(self, long long now) noexcept

    cdef void _frame(self) noexcept

cdef FrameMeter new_meter()
