"""`wsgi.input` where it is not a file in memory or on disk: of a request without a body, and of a body that is streamed.

Knows: PEP 3333, "Input and Error Streams". Must not know: sockets, framing.
"""

import io

from tricorn.gateway.exchange cimport Exchange

from tricorn.gateway.errors import GatewayError, RequestCut

cdef enum:
    STEP = 65536


cdef class StreamInput:
    """Ends where the body ends, whatever its framing (`wsgi.input_terminated`).

    Any thread may read while the request lasts, one at a time. Whoever comes later, or waits when the request ends, gets an
    exception: an end of the body that is none would be taken for the whole of it.
    """

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
        """Get more into the empty buffer. False at the end of the body."""
        cdef Exchange exchange = self.exchange      # this thread may wait in it while the request ends
        if self.at_end:
            return False
        if exchange is None:
            raise RequestCut("wsgi.input was read after the end of its request")
        if self.reading:
            raise GatewayError("another thread is already reading wsgi.input")
        self.reading = True
        try:
            self.buffer = exchange.read_body(STEP)
        finally:
            self.reading = False
        self.start = 0
        self.at_end = not self.buffer
        return not self.at_end

    cdef bytes _take(self, Py_ssize_t size):
        cdef Py_ssize_t stop = min(self.start + size, len(self.buffer))
        taken = self.buffer[self.start:stop]
        self.start = stop
        return taken


cdef class EmptyInput:
    """The input of a request without a body: a binary file with nothing in it.

    It holds nothing and keeps nothing, so one serves all requests, whatever an application does with it: closing it has no effect.
    """

    closed = False

    def read(self, size=-1):
        return b""

    def read1(self, size=-1):
        return b""

    def readline(self, size=-1):
        return b""

    def readlines(self, hint=-1):
        return []

    def readinto(self, buffer):
        return 0

    def readinto1(self, buffer):
        return 0

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def close(self):
        return None

    def flush(self):
        return None

    def readable(self):
        return True

    def seekable(self):
        return True

    def writable(self):
        return False

    def isatty(self):
        return False

    def tell(self):
        return 0

    def seek(self, offset, whence=0):
        return 0

    def fileno(self):
        raise io.UnsupportedOperation("the request has no body, so wsgi.input has no descriptor")

    def write(self, data):
        raise io.UnsupportedOperation("wsgi.input is read-only")


io.BufferedIOBase.register(EmptyInput)
EMPTY_INPUT = EmptyInput()
