"""TLS as a layer of a channel: what its wire says, in the words of any wire.

Knows: the outcomes of a TLS wire. Must not know: how TLS works, who sends.
"""

import sys

from tricorn.transport.system cimport SHUT_WR, iovec, off_t, shutdown
from tricorn.transport.tls cimport WIRE_BLOCKED, WIRE_BROKEN, WIRE_CUT, WIRE_DONE, TLSWire
from tricorn.transport.wire cimport WIRE_AGAIN, WIRE_LOST, Layer

from tricorn.transport.failures import report


cdef TLSLayer new_tls_layer(TLSWire wire, object logger):
    cdef TLSLayer self = TLSLayer.__new__(TLSLayer)
    self.wire = wire
    self.logger = logger
    return self


cdef class TLSLayer(Layer):
    cdef ssize_t recv(self, int fd, void* place, size_t size) noexcept:
        cdef TLSWire wire = self.wire
        cdef ssize_t n
        try:
            n = wire.recv(<char*>place, <Py_ssize_t>size)
        except BaseException:
            self._raised()
            n = WIRE_BROKEN
        if n == WIRE_CUT and not wire.line.error:
            return 0            # without a goodbye: what was promised and has not come is missing, which the protocol sees
        return n if n >= 0 else self._outcome(n)

    cdef ssize_t sendv(self, int fd, const iovec* parts, int count, size_t total) noexcept:
        cdef TLSWire wire = self.wire
        cdef ssize_t n
        try:
            n = wire.sendv(parts, count)
        except BaseException:
            self._raised()
            n = WIRE_BROKEN
        return n if n > 0 else self._outcome(n)

    cdef ssize_t send_file(self, int fd, int source, long long offset, size_t size) noexcept:
        cdef TLSWire wire = self.wire
        cdef off_t position = offset
        cdef ssize_t n
        try:
            n = wire.sendfile(source, &position, size)
        except BaseException:
            self._raised()
            n = WIRE_BROKEN
        return n if n >= 0 else self._outcome(n)

    cdef ssize_t _outcome(self, ssize_t outcome) noexcept:
        return WIRE_AGAIN if outcome == WIRE_BLOCKED else WIRE_LOST

    cdef void _raised(self) noexcept:
        """No memory, or a callback that the application has put into its SSLContext."""
        report(self.logger, "Internal error; a TLS connection is closed", error=sys.exception())

    cdef int flush(self) noexcept:
        cdef TLSWire wire = self.wire
        cdef int outcome
        try:
            outcome = wire.flush()
        except BaseException:
            self._raised()
            outcome = WIRE_BROKEN
        return 1 if outcome == WIRE_DONE else <int>self._outcome(outcome)

    cdef int end(self, int fd) noexcept:
        """Our goodbye (close_notify, RFC 8446 §6.1), and when that is out the end of our side."""
        cdef TLSWire wire = self.wire
        cdef int outcome
        if self.ended:
            return 1
        try:
            outcome = wire.shutdown()
        except BaseException:
            self._raised()
            outcome = WIRE_BROKEN
        if outcome == WIRE_BLOCKED:
            return WIRE_AGAIN
        self.ended = True
        shutdown(fd, SHUT_WR)
        return 1 if outcome == WIRE_DONE else WIRE_LOST

    cdef void detach(self) noexcept:
        cdef TLSWire wire = self.wire
        try:
            wire.detach()
        except BaseException:
            self._raised()

    cdef bint has_buffered(self) noexcept:
        return self.wire.has_buffered()

    cdef bint is_behind(self) noexcept:
        return self.wire.has_unsent()

    cdef bint is_stalled(self) noexcept:
        return self.wire.is_stalled()
