"""How many frames a client sends that cost it nothing and us something.

HTTP/2 lets a client ask for work without end and without a request: streams that are reset as soon as they are begun
(CVE-2023-44487), or that it makes us reset (CVE-2025-8671), pings, frames that announce what nobody needs, header blocks in
thousands of pieces, windows that open by a byte. Each by itself is allowed. So they are counted, by kind and time, where bytes come
in: it does not matter what the library behind it makes of them.

Ten times what honest clients were seen to send: a browser that leaves a page resets the streams of some hundred pictures; a header block of 64 KiB has four
CONTINUATION frames. What a client has a reason for comes on top. Libraries open their windows once for some KiB, but a simple client does so for each frame that it
gets, twice, and the frames of gRPC and server-sent events hold a few bytes each. grpc-go measures its bandwidth by a ping with each of them while it
hears nothing else. So frames that we send earn their answers. But a client can have them as small as it likes by opening its windows in drops (CVE-2019-9511);
such frames earn by what they hold.

Knows: the frame header (RFC 9113 §4.1), types of frames. Must not know: what they mean, clocks (the time is an argument).
"""

cimport cython
from libc.string cimport memcpy

cdef enum:
    PREFACE = 24
    DATA_FRAME = 0
    HEADERS_FRAME = 1
    RESET_FRAME = 3
    WINDOW_FRAME = 8
    CONTINUATION_FRAME = 9
    PRIORITY_UPDATE_FRAME = 16
    END_STREAM = 1
    PADDED = 8
    MOST_CONTINUATIONS = 8
    # It has taken as much work as so many streams that are reset.
    BOMB = 50
    # Sent bytes for which a client may open a window once more …
    BYTES_AN_UPDATE = 16
    # … and so often at least for a frame that was not cut by its window: that of the stream, and that of the connection.
    UPDATES_A_FRAME = 2
    # Of that size a frame is large, however it came to be.
    LARGE_FRAME = 1024
    # What a browser has to say of a request it has made: PRIORITY_UPDATE, when it is laid out and when it is scrolled to.
    CONTROLS_A_REQUEST = 2
    # So much is remembered: as many frames of 50 bytes as a window of 5 MB holds.
    MOST_EARNED = 100000

cdef long long SECOND = 1000000000

OFFENCES = (
    "nothing",
    "it resets streams, or has them reset, again and again",
    "it sends control frames, or empty ones, again and again",
    "it opens its windows in tiny steps",
    "it sends a field block in too many frames",
    "it sends a frame that is longer than it may be",
)


cdef Allowance _allowance(long long most, long long a_second):
    return Allowance(0, most * SECOND, most * SECOND, a_second)


cdef FrameMeter new_meter():
    cdef FrameMeter meter = FrameMeter.__new__(FrameMeter)
    meter.preface = PREFACE
    meter.most = 16384
    meter.for_resets = _allowance(500, 50)
    meter.for_controls = _allowance(1000, 100)
    meter.for_updates = _allowance(2000, 200)
    return meter


cdef inline void _earn(Allowance* allowance, Py_ssize_t count) noexcept:
    allowance.earned = <int>min(allowance.earned + count, <Py_ssize_t>MOST_EARNED)


cdef inline bint _spend(Allowance* allowance, long long elapsed, int count) noexcept:
    """Whether there is as much left."""
    cdef int owed = min(count, allowance.earned)
    allowance.earned -= owed
    count -= owed
    if elapsed > 100 * SECOND:
        allowance.level = allowance.most
    else:
        allowance.level = min(allowance.most, allowance.level + elapsed * allowance.a_second)
    allowance.level -= count * SECOND
    return allowance.level >= 0


@cython.final
@cython.no_gc
cdef class FrameMeter:
    cdef void look(self, const unsigned char* data, Py_ssize_t size) noexcept:
        cdef Py_ssize_t step
        if self.preface:
            step = min(size, <Py_ssize_t>self.preface)
            self.preface -= <int>step
            data += step
            size -= step
        # Invariant: `size` bytes at `data` have not been looked at; `left` of them belong to the frame before.
        while size:
            if self.left:
                if self.awaits_pad:
                    self.awaits_pad = False
                    self.controls += self.left == 1 + <unsigned int>data[0]     # it brings nothing else
                step = min(size, <Py_ssize_t>self.left)
                self.left -= <unsigned int>step
                data += step
                size -= step
                continue
            step = min(size, <Py_ssize_t>(9 - self.have))
            memcpy(self.head + self.have, data, step)
            self.have += <int>step
            data += step
            size -= step
            if self.have == 9:
                self._frame()

    cdef void _frame(self) noexcept:
        """A frame header is complete."""
        cdef int kind = self.head[3]
        cdef int flags = self.head[4]
        self.have = 0
        self.left = <unsigned int>self.head[0] << 16 | <unsigned int>self.head[1] << 8 | self.head[2]
        if kind == CONTINUATION_FRAME:
            self.continuations += 1
            self.long_block |= self.continuations > MOST_CONTINUATIONS
            self.long_frame |= self.left > self.most        # of other frames nghttp2 looks at the length
            return
        self.continuations = 0
        if kind == HEADERS_FRAME:
            # Of streams at a time there are limits, and each ends by itself or by a reset.
            _earn(&self.for_controls, CONTROLS_A_REQUEST)
            return
        if kind == DATA_FRAME:
            self.controls += self.left == 0 and not flags & END_STREAM
            self.awaits_pad = self.left != 0 and flags & PADDED and not flags & END_STREAM
        elif kind == RESET_FRAME:
            self.resets += 1
        elif kind == WINDOW_FRAME:
            self.updates += 1
        else:
            self.controls += 1
            self.prioritises |= kind == PRIORITY_UPDATE_FRAME

    cdef void fault(self) noexcept:
        self.resets += 1

    cdef void bomb(self) noexcept:
        self.resets += BOMB

    cdef void gave(self, Py_ssize_t size, bint whole) noexcept:
        _earn(&self.for_updates, max(size // BYTES_AN_UPDATE, <Py_ssize_t>(UPDATES_A_FRAME if whole else 0)))
        if whole or size >= LARGE_FRAME:
            _earn(&self.for_controls, 1)

    cdef Offence judge(self, long long now) noexcept:
        cdef long long elapsed = now - self.judged_at if self.judged_at else 0
        cdef bint resets
        cdef bint controls
        cdef bint updates
        self.judged_at = now
        resets = _spend(&self.for_resets, elapsed, self.resets)
        controls = _spend(&self.for_controls, elapsed, self.controls)
        updates = _spend(&self.for_updates, elapsed, self.updates)
        self.resets = self.controls = self.updates = 0
        if self.long_block:
            return MANY_CONTINUATIONS
        if self.long_frame:
            return LONG_FRAME
        if not resets:
            return MANY_RESETS
        if not controls:
            return MANY_CONTROLS
        return CALM if updates else MANY_UPDATES
