# A request head: spans into one stretch of bytes. Every HTTP version fills it, every gateway reads it.

cimport cython

from tricorn.http.names cimport FieldKind

cdef struct Span:
    unsigned int start
    unsigned int length

cdef struct Field:
    Span name
    Span value
    int slot            # in the table of names, -1: not there
    FieldKind kind
    bint underscore

cdef enum Framing:
    NO_BODY = 0
    BODY_LENGTH
    BODY_CHUNKED
    BODY_STREAM         # until its stream ends (RFC 9113 §8.1); its length is not known

cdef class Limits:
    cdef readonly unsigned int request_line
    cdef readonly unsigned int field_size
    cdef readonly unsigned int fields
    cdef readonly unsigned int head
    cdef readonly long long body

@cython.final
cdef class RequestHead:
    # The bytes. `owned` says whether the head has to free them.
    cdef const unsigned char* data
    cdef unsigned int size          # how many are there
    cdef unsigned char* owned
    cdef unsigned int capacity

    # Where the parser stands.
    cdef unsigned int line          # start of the line being read
    cdef unsigned int scanned       # bytes of it that need no second look
    cdef int stage
    cdef int error                  # an index into the table of refusals, 0: none

    # What it found.
    cdef unsigned int end           # the first byte behind the head
    cdef Span method
    cdef Span target
    cdef Span path                  # of an absolute-form target: its path; may be empty
    cdef Span query                 # behind the '?'
    cdef Span authority             # of an absolute-form or authority-form target
    cdef bint has_query
    cdef int version                # of HTTP: 10, 11, 20
    cdef bint is_head
    cdef bint is_connect
    cdef bint keep_alive
    cdef bint expect_continue
    cdef bint is_websocket          # an extended CONNECT that asks for one (RFC 8441)
    cdef bint wants_upgrade         # Connection names upgrade: there is an Upgrade field to look at
    cdef bint has_forwarded
    cdef bint has_underscore
    cdef Framing framing
    cdef long long content_length   # with BODY_LENGTH
    cdef Field* fields
    cdef int count
    cdef int room
    cdef int hosts
    cdef int content_lengths
    cdef int transfer_encodings
    cdef int content_types
    cdef int connection             # CONNECTION_CLOSE, …, as the fields say

    # What a gateway in front says besides (packet.pyx). 0 in `spoken`: nobody does, and the rest says nothing.
    cdef int spoken                 # the version of HTTP that the client speaks with it: 10, 11, 20, 30
    cdef int params                 # how many variables stand behind the fields, in `fields`
    cdef Span script                # where the application is mounted; `path` is below it
    cdef Span address               # of the client; empty: it does not say
    cdef int port                   # -1: it does not say
    cdef bint is_secure             # the client uses https

    cdef void borrow(self, const unsigned char* data, unsigned int size) noexcept
    cdef int keep(self) except -1
    # Start over, with memory of its own.
    cdef int restart(self) except -1
    cdef int append(self, const unsigned char* data, unsigned int size) except -1
    cdef int make_room(self) except -1
    cdef void _forget(self) noexcept

    cdef inline Field* add_field(self) except NULL:
        if self.count == self.room:
            self.make_room()
        self.count += 1
        return &self.fields[self.count - 1]

    cdef object text(self, Span span)
    cdef bytes raw(self, Span span)
