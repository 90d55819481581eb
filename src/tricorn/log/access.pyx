"""The access log: one escaped line per request, straight from the environ or the scope.

Knows: what there is to tell of a request, that a line is formatted (access_line.pyx) and then waits to be written
(access_writer.pyx), that requests are counted (meter.pyx). Must not know: how any of it is done, who calls, settings.

What it promises:

- A record is one line, whatever a client or the application has put into it.
- Serving never fails or waits for it. Lines are appended in memory and written when the buffer is full or when the
  caller flushes: it should when idle, about once a second, and before it ends. A child must not inherit lines: flush
  before a fork, or make the log after it.

Threads share one AccessLog under the GIL. (A free-threaded build needs a lock around `record` and `flush`.)

A WebSocket is one line when it ends: status 101, the bytes sent, how long it was open.

Measured, CPython 3.13, combined format, a browser's request, into a file: 0.47 µs a record, JSON 0.61 µs. From a
scope, whose headers have to be searched, 0.57 and 0.74 µs.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memset

from tricorn.log.access_line cimport Entry, LineFormat, item_of
from tricorn.log.access_writer cimport LineWriter

cdef object HEADERS_KEY = "headers"


@cython.no_gc       # none of its parts knows it
cdef class AccessLog:
    """Formats access log lines into a buffer and writes them to `fd`, which stays the caller's; -1: they are for `deliver` only.

    format: None: no lines. deliver: called with each line as bytes, without its line break; raises nothing. meter: counts requests.
    recorder: not called here (see `recorder` in access.pxd).
    """

    def __cinit__(self, str format, int fd, deliver=None, Meter meter=None, recorder=None):
        if format is not None:
            self._format = LineFormat(format)
            self._writer = LineWriter(fd)
        self._deliver = deliver
        self._meter = meter
        self.recorder = recorder

    @property
    def fd(self):
        return -1 if self._writer is None else self._writer.fd

    @property
    def dropped(self):
        """Of the lines recorded, those that are lost."""
        return 0 if self._writer is None else self._writer.dropped

    cpdef int record(self, dict environ, str status, object headers, long long body_bytes,
                     long long duration_ns, double wall_time, long long queued_ns=-1, str request_id=None) except -1:
        """Append the line of one request. `wall_time` is seconds since the epoch, `headers` the response's, `queued_ns` how
        long the request was under way before the application got it; -1: nobody has said.

        Raises nothing: a line for which there is no memory is dropped and counted.
        """
        cdef Entry entry
        memset(&entry, 0, sizeof(Entry))
        entry.request = <PyObject*>environ
        entry.status = <PyObject*>status
        entry.headers = <PyObject*>headers
        entry.body_bytes = body_bytes
        entry.duration_ns = duration_ns
        entry.wall_time = wall_time
        entry.queued_ns = queued_ns
        entry.request_id = NULL if request_id is None else <PyObject*>request_id
        return self._record(&entry)

    cpdef int record_scope(self, dict scope, str uri, str protocol, str status, object headers, long long body_bytes,
                           long long duration_ns, double wall_time, long long queued_ns=-1, str request_id=None) except -1:
        """Append the line of one request, or of one WebSocket that has ended, from its ASGI scope.

        `uri`: the request target as it came, its bytes as latin-1. `protocol`: "HTTP/1.1" or "HTTP/1.0".
        `headers`: the response's, a list or tuple of pairs of bytes; of anything else none are seen.
        Else as `record`. What the application has made of the scope is no error: what is not there is a dash.
        """
        cdef Entry entry
        cdef PyObject* fields = item_of(<PyObject*>scope, <PyObject*>HEADERS_KEY)
        # Owned for the time of the line: a look into the scope could call the __eq__ of a foreign key in it.
        cdef object owned = None if fields == NULL else <object>fields
        entry.request = <PyObject*>scope
        entry.is_scope = True
        entry.fields = <PyObject*>owned
        entry.uri = NULL if uri is None else <PyObject*>uri
        entry.protocol = NULL if protocol is None else <PyObject*>protocol
        entry.status = <PyObject*>status
        entry.headers = <PyObject*>headers
        entry.body_bytes = body_bytes
        entry.duration_ns = duration_ns
        entry.wall_time = wall_time
        entry.queued_ns = queued_ns
        entry.request_id = NULL if request_id is None else <PyObject*>request_id
        return self._record(&entry)

    cdef int _record(self, Entry* entry) except -1:
        cdef Meter meter = self._meter
        if meter is not None:
            meter.count(entry.status, entry.duration_ns)
        return 0 if self._format is None else self._append(entry)

    cdef int _append(self, Entry* entry) except -1:
        cdef bint wrote = self._writer.make_room()
        cdef Py_ssize_t start = self._writer.buffer.used
        cdef object deliver = self._deliver
        cdef object line
        self.lines += 1
        if self._format.append(&self._writer.buffer, entry) < 0:
            self._writer.take_back(start)
        elif deliver is not None:
            # Taken out before foreign code runs, which may record another one.
            line = PyBytes_FromStringAndSize(self._writer.buffer.data + start, self._writer.buffer.used - start - 1)
            if self._writer.fd < 0:
                self._writer.buffer.used = start
            deliver(line)
        return self._writer.report() if wrote else 0

    cpdef int flush(self) except -1:
        """Write what can be written without waiting. Raises nothing; counts and reports what is lost."""
        cdef Meter meter = self._meter
        if meter is not None:
            meter.flush()
        return 0 if self._writer is None or self._writer.fd < 0 else self._writer.flush()

    cpdef int forget(self) except -1:
        """Drop what is buffered: in a copy of the process that it belongs to, which writes it itself."""
        if self._meter is not None:
            self._meter.forget()
        return 0 if self._writer is None else self._writer.forget()

    cpdef int reopen(self, int fd) except -1:
        """Write what is buffered to the old descriptor and use `fd` from now on. The caller closes the old one."""
        return 0 if self._writer is None else self._writer.reopen(fd)
