"""`wsgi.input` of a request whose body is streamed: it reads from the client when the application does.

Knows: PEP 3333, "Input and Error Streams". Must not know: sockets, framing.
"""

from tricorn.gateway.exchange cimport Exchange

cdef enum:
    STEP = 65536


cdef class StreamInput:
    """Ends where the body ends, whatever its framing (`wsgi.input_terminated`)."""

    def __init__(self, Exchange exchange):
        self.exchange = exchange
        self.buffer = b""

    def read(self, size=None):
        """At most `size` bytes, all that is left when it is None or negative. Raises RequestCut."""
        cdef Py_ssize_t wanted
        pieces = []
        if size is None or size < 0:
            while self.start < len(self.buffer) or self._fill():
                pieces.append(self._take(len(self.buffer)))
            return b"".join(pieces)
        wanted = size
        while wanted and (self.start < len(self.buffer) or self._fill()):
            pieces.append(self._take(wanted))
            wanted -= len(pieces[len(pieces) - 1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readline(self, size=None):
        """Up to and including the next newline, at most `size` bytes."""
        cdef Py_ssize_t left = -1 if size is None or size < 0 else size
        cdef Py_ssize_t newline
        cdef Py_ssize_t wanted
        pieces = []
        while left and (self.start < len(self.buffer) or self._fill()):
            newline = self.buffer.find(b"\n", self.start)
            wanted = (newline + 1 if newline >= 0 else len(self.buffer)) - self.start
            if left > 0:
                wanted = min(wanted, left)
                left -= wanted
            pieces.append(self._take(wanted))
            if (<bytes>pieces[len(pieces) - 1]).endswith(b"\n"):
                break
        return b"".join(pieces)

    def readlines(self, hint=None):
        lines = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    cdef bint _fill(self) except -1:
        """Get more into the empty buffer. False at the end of the body, or of its request."""
        if self.ended or self.exchange is None:
            return False
        self.buffer = self.exchange.read_body(STEP)
        self.start = 0
        self.ended = not self.buffer
        return not self.ended

    cdef bytes _take(self, Py_ssize_t size):
        cdef Py_ssize_t stop = min(self.start + size, len(self.buffer))
        taken = self.buffer[self.start:stop]
        self.start = stop
        return taken
