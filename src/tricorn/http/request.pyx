"""The head of a request, as spans into one stretch of bytes.

A head borrows the reader's buffer while it is parsed in one go, and keeps a copy of its own only when it
is incomplete and has to wait for more. No Python object is made for a field before a gateway wants one.

Knows: where things are. Must not know: how they were parsed, who asks for them.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memcpy

cimport cython

cdef enum:
    FIRST = 512         # bytes of a head that are kept without asking for more memory


cdef class Limits:
    """Bounds of one request. All in bytes but `fields`; 0 switches one off (but that of the head).

    request_line: without its CRLF. field_size: one field line without its CRLF. fields: how many.
    head: the whole head. body: what the application may be given.
    """

    def __init__(
        self,
        *,
        unsigned int request_line=8190,
        unsigned int field_size=8190,
        unsigned int fields=100,
        unsigned int head=65536,
        long long body=0,
    ):
        self.request_line = request_line or head
        self.field_size = field_size or head
        self.fields = fields or head
        self.head = head
        self.body = body


@cython.final
cdef class RequestHead:
    def __dealloc__(self):
        PyMem_Free(self.owned)
        PyMem_Free(self.fields)

    cdef void borrow(self, const unsigned char* data, unsigned int size) noexcept:
        """Start over on bytes that stay where they are until the head is complete or `keep` is called."""
        PyMem_Free(self.owned)
        self.owned = NULL
        self.capacity = 0
        self.data = data
        self.size = size
        self._forget()

    cdef int restart(self) except -1:
        if self.owned == NULL:
            self.owned = <unsigned char*>PyMem_Malloc(FIRST)
            if self.owned == NULL:
                raise MemoryError()
            self.capacity = FIRST
        self.data = self.owned
        self.size = 0
        self._forget()
        return 0

    cdef void _forget(self) noexcept:
        """What was found."""
        self.line = self.scanned = self.end = 0
        self.stage = self.error = 0
        self.has_query = self.is_head = self.is_connect = False
        self.is_websocket = self.wants_upgrade = self.expect_continue = self.has_forwarded = self.has_underscore = False
        self.authority.length = 0
        self.framing = NO_BODY
        self.content_length = 0
        self.count = 0
        self.connection = 0
        self.spoken = 0
        self.hosts = self.content_lengths = self.transfer_encodings = self.content_types = 0

    cdef int keep(self) except -1:
        """Copy borrowed bytes, because their owner wants its buffer back."""
        if self.owned != NULL:
            return 0
        cdef unsigned int capacity = max(self.size, <unsigned int>FIRST)
        self.owned = <unsigned char*>PyMem_Malloc(capacity)
        if self.owned == NULL:
            raise MemoryError()
        memcpy(self.owned, self.data, self.size)
        self.capacity = capacity
        self.data = self.owned
        return 0

    cdef int append(self, const unsigned char* data, unsigned int size) except -1:
        """Add bytes to a kept head. The parser bounds how many are ever added."""
        cdef unsigned int needed = self.size + size
        cdef unsigned int capacity = self.capacity
        cdef unsigned char* grown
        if needed > capacity:
            while capacity < needed:
                capacity *= 2
            grown = <unsigned char*>PyMem_Realloc(self.owned, capacity)
            if grown == NULL:
                raise MemoryError()
            self.owned = grown
            self.capacity = capacity
            self.data = grown
        memcpy(self.owned + self.size, data, size)
        self.size = needed
        return 0

    cdef int make_room(self) except -1:
        """For more fields."""
        cdef int room = self.room * 2 if self.room else 16
        cdef Field* grown = <Field*>PyMem_Realloc(self.fields, room * sizeof(Field))
        if grown == NULL:
            raise MemoryError()
        self.fields = grown
        self.room = room
        return 0

    cdef object text(self, Span span):
        """The bytes of a span as a latin-1 string."""
        return PyUnicode_DecodeLatin1(<const char*>self.data + span.start, span.length, NULL)

    cdef bytes raw(self, Span span):
        return (<const char*>self.data + span.start)[:span.length]
