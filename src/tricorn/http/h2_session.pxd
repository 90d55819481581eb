cimport cython
from cpython.object cimport PyObject

from tricorn.http.buffer cimport Buffer
from tricorn.http.frame_meter cimport FrameMeter
from tricorn.http.h2_head cimport FieldList, HeadReader
from tricorn.http.nghttp2 cimport nghttp2_session
from tricorn.http.priority cimport Priority
from tricorn.http.request cimport Limits, RequestHead
from tricorn.http.response cimport Reply

# What has come in, in the order in which it came.
cdef enum EventKind:
    STREAM_HEAD = 0         # a request head: `stream.head`, or `stream.refusal`
    STREAM_DATA             # some of its body
    STREAM_END              # the request is complete

cdef struct Event:
    PyObject* stream        # strong
    EventKind kind
    const unsigned char* data
    Py_ssize_t size

# The events of one stretch of bytes, to which they point.
@cython.final
@cython.no_gc
cdef class EventList:
    cdef Event* events
    cdef int count
    cdef int room

    cdef int add(self, Stream stream, EventKind kind, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _make_room(self) except -1
    cdef void clear(self) noexcept

cdef EventList take_events()
cdef void put_events(EventList events) noexcept

# What goes out: frames and the bodies in them, which are not copied if they are large.
cdef struct Part:
    PyObject* whole         # strong: the bytes object that it lies in; NULL: it lies in `text`
    const unsigned char* data   # NULL there
    Py_ssize_t start        # … at this place
    Py_ssize_t size

cdef enum:
    MOST_PARTS = 64

@cython.final
@cython.no_gc
cdef class Outgoing:
    cdef Buffer text
    cdef Part parts[MOST_PARTS]
    cdef int count
    cdef Py_ssize_t total
    cdef Py_ssize_t most        # it is full beyond that

    cdef int add(self, const void* data, Py_ssize_t size) except -1
    cdef int add_piece(self, bytes whole, Py_ssize_t start, Py_ssize_t size) except -1
    cdef bint is_full(self) noexcept
    cdef void clear(self) noexcept

cdef Outgoing take_outgoing(Py_ssize_t most)
cdef void put_outgoing(Outgoing out) noexcept

# How urgent a client has said that a stream will be, before it began it (RFC 9218 §7.1).
cdef struct Early:
    int stream
    Priority asked

cdef enum:
    EARLIES = 16

# One request and its response.
@cython.final
@cython.no_gc
cdef class Stream:
    cdef int id
    cdef object owner           # whose it is above; None: nobody's
    cdef Stream next, before    # among those of the session
    cdef Stream next_ended, next_hungry, next_eased     # in those lists of the session
    # the request
    cdef RequestHead head       # until somebody takes it
    cdef int refusal            # why it cannot be served: an index into REFUSALS
    cdef bint began             # its head was told
    cdef int place              # among those that were open when it began, the last
    cdef bint got_all           # the client has sent all of it, and that is known
    cdef bint over              # … and that is told
    cdef bint owes_continue
    cdef bint is_unasked        # … and has not been told to go on when the response began
    cdef long long received     # bytes of its body
    cdef long long credited     # … for which the client may send others
    cdef long long declared     # its Content-Length; -1: none
    # the response
    cdef Reply reply
    cdef bint head_sent         # its head is submitted …
    cdef bint head_out          # … and out
    cdef bint said_all          # its end is out
    cdef bint finished          # nothing is added to its body any more
    cdef Priority asked         # how urgent it is to the client, complete …
    cdef Priority said          # … and what the application says of that
    cdef bint has_source        # nghttp2 asks for its body …
    cdef bint waits             # … and waits to hear that there is some
    cdef bint hungry            # it waits for some of a file
    cdef long long body_left    # of the declared length; -1: none is declared
    cdef list pieces            # bytes, and others that lie in files
    cdef Py_ssize_t offset      # sent bytes of the first one
    cdef long long ready        # bytes of those in front of the first that lies in a file
    cdef long long held         # bytes of all pieces in memory
    cdef int files
    cdef long long sent         # bytes
    cdef FieldList trailers
    # the end
    cdef bint ends_early        # it is to be reset when what is there of its response is out …
    cdef unsigned int reason    # … for this reason
    cdef bint closed            # it leads nowhere any more
    cdef bint dropped           # … or will be, because we, or its client, wanted that
    cdef bint linked
    cdef unsigned int error
    # for those above
    cdef long long unwanted     # bytes of its body that came although nobody wants them
    cdef bint collects          # its body is stored, and all of it is wanted first
    cdef list inbox             # pieces of its body that are to be fetched; None: they are given
    cdef bint end_fetched       # and that there are no more of them
    cdef object fault           # why it cannot be read on
    cdef bint eased             # it is in the list of those whose client has taken something
    cdef bint was_cut           # its response, though the application may not know yet
    cdef bint watched           # somebody wants to know when its client has
    cdef long long seen         # of `sent`, when that was looked at last
    cdef long long moved_at     # when it was found to have changed, ns; 0: nothing waits for the client
    cdef int waker              # an eventfd of who waits for it; -1: nobody does
    cdef long long came_ns, ended_ns    # when its request came and was over, ns; 0: nobody wants to know when its response is out
    cdef int group
    cdef object trace           # of its request, until its response is out; None: nobody wants to know

    cdef bint has_unsent(self) noexcept

@cython.final
@cython.no_gc
cdef class Session:
    cdef nghttp2_session* raw
    cdef FrameMeter meter
    cdef HeadReader reader
    cdef Stream heading         # whose field block comes
    cdef EventList events
    cdef Outgoing out           # while frames are collected
    cdef Stream first           # of those that are not closed, the newest
    cdef int count
    cdef Stream ended           # that are closed, and of which that is to be told
    cdef Stream hungry          # that wait for some of a file
    cdef Stream eased           # whose client has taken something, and of which somebody wants to know
    cdef Py_ssize_t ease_at     # … when so few bytes are left
    cdef long long discardable  # bytes of a body that nobody wants any more, and that may still come
    cdef bint pong              # an answer to one of our pings has come
    cdef bint failed            # the library cannot go on …
    cdef unsigned int fault     # … and this is the client's fault
    cdef bint said_last         # the last GOAWAY was submitted
    cdef unsigned int blamed    # the error that a GOAWAY has told the client of
    cdef int most_streams
    cdef bint is_offered        # our first SETTINGS are out …
    cdef bint is_agreed         # … and the client has read them
    cdef int refused            # streams, before that
    cdef bint has_priorities    # the client says how urgent what it wants is
    cdef Early early[EARLIES]   # each at a place of its number's
    cdef int newest             # the highest number of a stream
    cdef int skipped_from, skipped_to   # numbers that were passed over last: nobody may use them (RFC 9113 §5.1.1)

    # connects: WebSockets may be asked for (RFC 8441 §3).
    cdef int offer(self, int streams, int window, int frame, unsigned int head_list, bint connects) except -1
    # Bytes have come. What they hold is in `events`, until the next call. False: the client cannot be served any more.
    cdef bint receive(self, const unsigned char* data, Py_ssize_t size, EventList events) except -1
    # Frames are put into `out` until it is full. Whether there may be more.
    cdef bint collect(self) except -1
    # Whether there is something to be sent, as far as windows allow.
    cdef bint wants_write(self) noexcept
    # A last word by hand, where the library cannot say it: the connection is over, for this reason.
    cdef bytes last_word(self, unsigned int error)
    # What `blamed` is called (RFC 9113 §7).
    cdef str blame(self)
    # Whether nothing follows in either direction.
    cdef bint is_over(self) noexcept

    # Of a response.
    cdef int respond(self, Stream stream, FieldList fields, bint has_body) except -1
    cdef int interim(self, Stream stream, FieldList fields) except -1
    cdef int add_piece(self, Stream stream, bytes piece) except -1
    cdef int add_file(self, Stream stream, object span) except -1
    cdef int finish(self, Stream stream, FieldList trailers) except -1
    # Some of a file that the first piece stands for; is_last: all that it stands for is there.
    cdef int feed(self, Stream stream, bytes piece, bint is_last) except -1
    # The client may send as much more of a body.
    cdef int credit(self, Stream stream, long long size) except -1
    # It is over at once, for this reason.
    cdef int reset(self, Stream stream, unsigned int error) except -1
    # There are too many of them.
    cdef int refuse(self, Stream stream) except -1
    # It is reset when what is there of its response is out.
    cdef int cut_off(self, Stream stream, unsigned int error) except -1
    cdef int ping(self) except -1
    # No new streams are welcome, but those that are on their way …
    cdef int say_leaving(self) except -1
    # … and now none.
    cdef int say_last(self, unsigned int error) except -1

    cdef Stream take_ended(self)
    cdef Stream take_hungry(self)
    cdef Stream take_eased(self)

    cdef void _note_number(self, int number) noexcept
    cdef void _ranked(self, int number, Priority* asked) noexcept
    cdef void _rank(self, Stream stream) noexcept
    cdef void _reprioritise(self, Stream stream) noexcept
    cdef void _tell_true_limit(self) noexcept
    cdef int _resume(self, Stream stream) except -1
    cdef int _maybe_cut(self, Stream stream) except -1
    cdef void _link(self, Stream stream) noexcept
    cdef void _unlink(self, Stream stream) noexcept
    cdef int _hand_out(self, Stream stream, Py_ssize_t size) except -1

cdef Session new_session(Limits limits)
# One that leads nowhere.
cdef Stream closed_stream()
cdef str library_version()
