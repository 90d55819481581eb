"""The server's side of one HTTP/1 connection, without a socket: what may come next, what a response makes of it.

The plan. TRANSITIONS is the whole of it: in which state what may happen, and which state follows. Whoever drives the machine hands
in bytes and says when a response begins and ends; the machine calls the parsers, and answers what is to be done. What a
connection does, what `RequestReader` shows to tests and what the fuzzer attacks is this machine.

Guarantees: requests are read one after the other, never inside of one that is not over; nothing behind a refused message is
read as a request; a body that nobody read never becomes the next request.

Knows: RFC 9112. Must not know: sockets, clocks, applications.
"""

cimport cython
from libc.string cimport memset

from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport CUT_BODY, DONE, LONG_BODY, MORE, REFUSED, BodyDecoder, parse_head
from tricorn.http.request cimport BODY_LENGTH, NO_BODY, RequestHead
from tricorn.http.response cimport Defaults, write_error, write_head

STATES = ("IDLE", "HEAD", "BODY", "COMPLETE", "SKIP", "OVER")
EVENTS = (
    "HEAD_PART", "HEAD_ONLY", "HEAD_AND_BODY", "BODY_END", "REFUSED_MESSAGE", "INPUT_END", "ANSWERED", "ANSWERED_EARLY",
    "FINISHED",
)

# (state, event, next state, why). What is not here cannot happen: it would be a fault of ours.
TRANSITIONS = (
    ("IDLE", "HEAD_PART", "HEAD", "RFC 9112 §2.2: a message is parsed as it comes"),
    ("IDLE", "HEAD_ONLY", "COMPLETE", "RFC 9112 §6.3, rule 7: neither length nor coding, so no body"),
    ("IDLE", "HEAD_AND_BODY", "BODY", "RFC 9112 §6.3, rules 4 and 6"),
    ("IDLE", "REFUSED_MESSAGE", "OVER", "RFC 9112 §2.2, §9.6: where the next one would begin is not known"),
    ("IDLE", "INPUT_END", "OVER", "RFC 9112 §9.5: a client may close at any time"),
    ("IDLE", "FINISHED", "OVER", "RFC 9112 §9.5: so may a server, between two requests"),
    ("HEAD", "HEAD_PART", "HEAD", ""),
    ("HEAD", "HEAD_ONLY", "COMPLETE", ""),
    ("HEAD", "HEAD_AND_BODY", "BODY", ""),
    ("HEAD", "REFUSED_MESSAGE", "OVER", ""),
    ("HEAD", "INPUT_END", "OVER", "RFC 9112 §8: an incomplete head is no request"),
    ("BODY", "BODY_END", "COMPLETE", "RFC 9112 §6.2, §7.1: by its length, or its last chunk"),
    ("BODY", "REFUSED_MESSAGE", "OVER", "RFC 9112 §7.1: chunks out of order leave no way to go on"),
    ("BODY", "INPUT_END", "OVER", "RFC 9112 §8: a body that is cut off is an error"),
    ("BODY", "ANSWERED_EARLY", "SKIP", "RFC 9112 §9.3: the next request is behind the body"),
    ("BODY", "FINISHED", "OVER", "RFC 9112 §9.6"),
    ("COMPLETE", "REFUSED_MESSAGE", "OVER", "RFC 9110 §15.5: what cannot be served is refused as well"),
    ("COMPLETE", "INPUT_END", "COMPLETE", "RFC 9112 §9.6: a client that has closed one side may still read"),
    ("COMPLETE", "ANSWERED", "IDLE", "RFC 9112 §9.3: persistence"),
    ("COMPLETE", "FINISHED", "OVER", "RFC 9112 §9.6"),
    ("SKIP", "BODY_END", "IDLE", "RFC 9112 §9.3"),
    ("SKIP", "REFUSED_MESSAGE", "OVER", ""),
    ("SKIP", "INPUT_END", "OVER", ""),
    ("SKIP", "FINISHED", "OVER", ""),
    ("OVER", "REFUSED_MESSAGE", "OVER", ""),
    ("OVER", "INPUT_END", "OVER", ""),
    ("OVER", "FINISHED", "OVER", ""),
)

cdef enum:
    STATE_COUNT = 6
    EVENT_COUNT = 9
    IMPOSSIBLE = 255

cdef unsigned char NEXT[STATE_COUNT][EVENT_COUNT]


cdef int _learn() except -1:
    memset(NEXT, IMPOSSIBLE, sizeof(NEXT))
    for state, event, following, _ in TRANSITIONS:
        NEXT[<int>STATES.index(state)][<int>EVENTS.index(event)] = <unsigned char>STATES.index(following)
    return 0


_learn()


@cython.final
@cython.no_gc       # nothing that it holds leads back to it
cdef class ServerMachine:
    def __cinit__(self):
        self.parse = parse_head

    cdef int _to(self, Event event) except -1:
        cdef unsigned char following = NEXT[<int>self.state][<int>event]
        if following == IMPOSSIBLE:
            self._refuse_event(event)
        self.state = following
        return 0

    def _refuse_event(self, int event):
        raise RuntimeError(f"{EVENTS[event]} cannot happen in the state {STATES[<int>self.state]}")

    # ---- what the client sends -------------------------------------------------------------------------

    cdef int read_head(
        self, RequestHead scratch, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used
    ) except -2:
        cdef RequestHead head = self.head
        cdef int progress
        if head is None:
            head = scratch
            head.borrow(data, <unsigned int>size)
        else:
            head.append(data, <unsigned int>size)
        progress = self.parse(head, self.limits)
        if progress == MORE:
            head.keep()
            self.head = head
            used[0] = size
            self._to(HEAD_PART)
            return MORE
        if progress == REFUSED:
            self.head = None
            self.refuse(head.error)
            return REFUSED
        used[0] = size - (head.size - head.end)     # what stands behind it came last
        return self._begin(head)

    cdef int _begin(self, RequestHead head) except -2:
        self.reply.version = head.version
        self.reply.is_head = head.is_head
        self.reply.is_connect = head.is_connect
        self.reply.keep_alive = head.keep_alive and self.offers_more
        self.client_stays = head.keep_alive
        self.owes_continue = head.expect_continue
        self.head_sent = self.broke_off = self.more_is_here = False
        self.body_left = -1
        if head.framing == NO_BODY:
            self._to(HEAD_ONLY)
            return DONE
        self._to(HEAD_AND_BODY)
        if self.limits.body and head.framing == BODY_LENGTH and head.content_length > self.limits.body:
            self.refuse(LONG_BODY)
            return REFUSED
        return DONE

    cdef RequestHead take_head(self, RequestHead scratch):
        cdef RequestHead head = self.head
        if head is None:
            return scratch
        self.head = None
        return head

    cdef int begin_body(self, RequestHead head) except -1:
        cdef BodyDecoder decoder = BodyDecoder.__new__(BodyDecoder)
        decoder.begin(head)
        self.decoder = decoder
        return 0

    cdef int have_body(self) except -1:
        self.owes_continue = False      # the client has not waited for it
        return self._to(BODY_END)

    cdef int read_body(
        self, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used, const unsigned char** content, Py_ssize_t* length,
    ) except -2:
        cdef int progress = self.decoder.decode(data, size, used, content, length, self.limits)
        if progress == DONE:
            self._to(BODY_END)
        elif progress == REFUSED:
            self.refuse(self.decoder.error)
        return progress

    cdef bint place_body(self, Py_ssize_t size) except -1:
        if not self.decoder.skip(size):
            return False
        self._to(BODY_END)
        return True

    cdef int skip_body(self, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used) except -2:
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef int progress = MORE
        cdef BodyDecoder decoder = self.decoder
        cdef long long start = decoder.received
        used[0] = 0
        while progress == MORE and used[0] < size:
            progress = decoder.decode(data + used[0], size - used[0], &step, &content, &length, self.limits)
            used[0] += step
        self.body_left -= decoder.received - start
        if progress == REFUSED or self.body_left < 0:
            self._to(REFUSED_MESSAGE)
            return REFUSED
        if progress == DONE:
            self.decoder = None
            self._to(BODY_END)
        return progress

    cdef bint body_is_open(self) noexcept:
        return self.decoder is not None and not self.decoder.is_finished()

    cdef int refuse(self, int error) except -1:
        """The message, or what was to become of it, is refused: no request follows."""
        if self.state == IDLE or self.state == HEAD:
            self.reply.is_head = False      # that of the request before
        self.reply.keep_alive = False
        self.error = error
        return self._to(REFUSED_MESSAGE)

    cdef bint end_input(self) except -1:
        cdef bint cut = self.state == BODY
        self._to(INPUT_END)
        if cut:
            self.error = CUT_BODY
        return cut

    # ---- what the server answers -------------------------------------------------------------------------

    cdef int respond(
        self, Buffer out, Defaults defaults, str status, object headers, long long length, bint is_last, long long skippable,
    ) except -1:
        self.reply.length = length
        if is_last or self._is_too_much_unread(skippable):
            self.reply.keep_alive = False
        write_head(out, defaults, status, headers, &self.reply)
        self.head_sent = True
        self.body_left = self.reply.length
        return 0

    cdef int respond_error(self, Buffer out, Defaults defaults, int status, bytes fields) except -1:
        """Returns how many bytes of body the client gets."""
        cdef int size
        self.reply.keep_alive = False
        size = write_error(out, defaults, status, self.reply.is_head, fields)
        self.head_sent = True
        self.body_left = 0
        return size

    cdef Py_ssize_t admit(self, Py_ssize_t size) noexcept:
        if self.body_left < 0:
            return size
        size = <Py_ssize_t>min(<long long>size, self.body_left)
        self.body_left -= size
        return size

    cdef bint end_response(self) noexcept:
        if self.body_left <= 0 or self.reply.bodyless:
            return False
        self.reply.keep_alive = False
        self.broke_off = True
        return True

    cdef bint _is_too_much_unread(self, long long skippable) noexcept:
        """Whether the request's body cannot be skipped: never asked for, or longer than it is worth."""
        if self.state != BODY or self.decoder is None:
            return False
        return self.owes_continue or self.decoder.remaining > <unsigned long long>skippable

    cdef int after_response(self, bint gone, long long skippable) except -1:
        cdef int after
        if gone:
            after = AFTER_ABORT     # perhaps the socket has failed and not the client: it must not look complete
        elif self.broke_off and self.body_left < 0 and not self.reply.chunked:
            after = AFTER_ABORT     # only the end of the connection ends the body, and an orderly one would look complete
        elif self.broke_off or not self.reply.keep_alive:
            after = self._last()
        elif self.state != BODY:
            self.decoder = None
            self._to(ANSWERED)
            return AFTER_NEXT
        elif self._is_too_much_unread(skippable):
            after = AFTER_LINGER
        else:
            self.body_left = skippable
            self._to(ANSWERED_EARLY)
            return AFTER_SKIP
        self._to(FINISHED)
        return after

    cdef int _last(self) noexcept:
        """How a connection ends behind its last response. If the client may have sent more, that is read first."""
        if self.state == BODY or self.state == OVER or self.client_stays or self.more_is_here or self.broke_off:
            return AFTER_LINGER
        return AFTER_END if self.body_left < 0 and not self.reply.chunked else AFTER_CLOSE
