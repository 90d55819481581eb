"""TLS on a non-blocking descriptor: plaintext on this side, records on the other.

The plan. The configuration is Python's `ssl.SSLContext`, and each connection has an `ssl.SSLObject` that the
context made, so whatever Python hangs on it (sni_callback, key logs, session tickets, client certificates)
finds what it expects. What moves bytes is one of two engines:

- LibsslWire calls libssl on that object's own `SSL*`. Nobody tells us that pointer, and we do not look for it
  in private structures: a hook for new `SSL` objects (CRYPTO_get_ex_new_index(3)) sees it being made, and
  SSL_get_ex_data(3) proves that it belongs to the Python object. libssl is the one that the interpreter has
  loaded, found by dlsym(3): nothing is linked, no header is needed.
- ObjectWire, where that fails (an interpreter that has OpenSSL built in and hides it, another library in its
  place, a context that makes its objects in a way of its own), calls the methods of the SSLObject over memory
  BIOs.

Measured on CPython 3.13 with OpenSSL 3.0, TLS 1.3, AES-256-GCM, a request of 45 bytes and a response of 150,
beyond recv() and send() alone: LibsslWire 1.9 µs, ObjectWire 2.7 µs, the methods of an SSLSocket 3.2 µs (two
calls of read() for each record), an SSLObject that is read until it raises SSLWantReadError 4.4 µs.

Below both lies a Line: what the socket does not take is kept there, so an engine never has half a record to
finish; and the end of the peer's bytes is noted there and not shown to the engine, so it can still write.

If the context has OP_ENABLE_KTLS, libssl offers the keys of what is sent to the line at the end of the handshake. The
line lets libssl's own kind of BIO give them to the kernel (nobody else knows their form), and what is sent goes past
libssl from then on (kernel_tls.pyx). If the kernel does not take them, because of the cipher, because it is no TCP, or
because the socket was full, nothing is different from a connection without. The kernel cannot change its keys: a peer
that asks for new ones (KeyUpdate) gets an alert, and the connection ends.

The GIL is kept while a record is dealt with, and given away for handshakes and for what is larger. OpenSSL
does not allow two threads in one connection, so each operation holds the wire's lock; who has to wait for it
gives the GIL away.

Guarantees: no private structure is read; an operation never blocks on the network; an idle wire holds no
buffer; after `detach()` nothing touches the descriptor; WIRE_END means that the peer has said so.

Limits: what is received never passes the kernel's TLS. Renegotiation (TLS 1.2) is refused: the option for it is set
in the context.

Knows: descriptors, libssl. Must not know: HTTP, pollers, deadlines, settings.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.buffer cimport PyBUF_WRITE
from cpython.object cimport PyObject
from libc.string cimport memcpy
from posix.dlfcn cimport RTLD_LAZY, dlopen, dlsym

from tricorn.transport.kernel_tls cimport (
    free_kernel_tls, kernel_is_out, kernel_send, kernel_send_file, kernel_send_record, new_kernel_tls,
)
from tricorn.transport.poller cimport READ, WRITE
from tricorn.transport.system cimport EAGAIN, EINTR, MSG_NOSIGNAL, errno, iovec, off_t, recv, send

import sys

cdef extern from "<errno.h>" nogil:
    int EBADF, EINVAL, ENOMEM, EPROTO

cdef extern from "<unistd.h>" nogil:
    ssize_t pread(int, void*, size_t, off_t)

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutexattr_t:
        pass
    int PTHREAD_MUTEX_ERRORCHECK
    int pthread_mutexattr_init(pthread_mutexattr_t*)
    int pthread_mutexattr_settype(pthread_mutexattr_t*, int)
    int pthread_mutexattr_destroy(pthread_mutexattr_t*)
    int pthread_mutex_init(pthread_mutex_t*, const pthread_mutexattr_t*)
    int pthread_mutex_destroy(pthread_mutex_t*)
    int pthread_mutex_trylock(pthread_mutex_t*)
    int pthread_mutex_lock(pthread_mutex_t*)
    int pthread_mutex_unlock(pthread_mutex_t*)

cdef extern from *:
    """
    /* What the hook below saw last in this thread. */
    static __thread void *tricorn_new_ssl = 0;
    static __thread int tricorn_new_ssls = 0;
    """
    void* tricorn_new_ssl
    int tricorn_new_ssls

cdef enum:
    RECORD = 16384          # the plaintext of one record at most (RFC 8446 §5.1)
    # Two of them, as ciphertext: a call for each would cost a third more, and longer ones cost no less.
    STAGE = 33792
    # A read that begins with this much is part of something large: what follows is decrypted without the GIL.
    BULK = 8192
    # Of unsent ciphertext. A record of data that the socket did not take is a quarter of it; a peer that
    # makes us answer (KeyUpdate) and does not read gets to the end of it, and is read no further.
    MOST_UNSENT = 65536
    # Ciphertext that one operation reads beyond what it is asked for. A peer that goes on changing keys, or sends
    # records of one byte, gives us work without end and nothing to return with: others get their turn.
    MOST_BESIDE = 32768
    # Kinds of records (RFC 8446 §5.1), and what is not for the kernel to send (§4), said by an alert (§6).
    ALERT = 21
    HANDSHAKE = 22
    DATA = 23
    KEY_UPDATE = 24
    FATAL = 2
    INTERNAL_ERROR = 80
    COPIES = -10            # never returned by an operation: the kernel does not send this file by itself


# ---- the line: ciphertext and its descriptor ---------------------------------------------------------------


cdef inline void _begin(Line* line, size_t wanted) noexcept nogil:
    """An operation begins, for so much plaintext: the socket may have something by now."""
    line.dry = line.starved = False
    line.left = wanted + MOST_BESIDE


cdef inline bint _is_stalled(const Line* line) noexcept nogil:
    """Whether nothing may be read before more is sent."""
    return line.unsent_end - line.unsent_at > MOST_UNSENT


cdef ssize_t _receive(Line* line, char* into, size_t size) noexcept nogil:
    """Read ciphertext. 0: there is none, and `line` says why."""
    cdef ssize_t n = _receive_some(line, into, size)
    if n > 0 and not line.begun:
        line.begun = True
        line.is_text = c'A' <= into[0] <= c'Z'
    return n


cdef ssize_t _receive_some(Line* line, char* into, size_t size) noexcept nogil:
    cdef ssize_t n
    if line.first != NULL:
        return _receive_first(line, into, size)
    if line.dry or line.left == 0:
        line.starved = True
        return 0
    while True:
        n = recv(line.fd, into, size, 0)
        if n > 0:
            line.dry = <size_t>n < size
            line.left -= min(<size_t>n, line.left)
            return n
        if n == 0:
            line.at_end = line.starved = True
            return 0
        if errno == EINTR:
            continue
        if errno == EAGAIN:
            line.dry = line.starved = True
        else:
            line.error = errno
        return 0


cdef ssize_t _receive_first(Line* line, char* into, size_t size) noexcept nogil:
    """… of what had been read before TLS began."""
    size = min(size, line.first_end - line.first_at)
    memcpy(into, line.first + line.first_at, size)
    line.first_at += size
    if line.first_at == line.first_end:
        PyMem_RawFree(line.first)
        line.first = NULL
    return <ssize_t>size


cdef bint _transmit(Line* line, const char* data, size_t size) noexcept nogil:
    """Send ciphertext, or keep it. False: `line.error` says why not."""
    cdef ssize_t n
    if line.error:
        return False
    if line.is_text:
        return True         # nothing: an alert must not come before what it understands
    if line.kernel != NULL:
        return _transmit_record(line, data, size)
    if line.staged != NULL and line.staged_end + size <= STAGE:
        memcpy(line.staged + line.staged_end, data, size)
        line.staged_end += size
        return True
    if not line.corked and line.unsent == NULL:
        n = _send_some(line, data, size)
        if n < 0:
            return False
        data += n
        size -= n
    return size == 0 or _keep(line, data, size)


cdef bint _unstage(Line* line) noexcept nogil:
    cdef char* staged = line.staged
    cdef size_t size = line.staged_end
    line.staged = NULL
    line.staged_end = 0
    return size == 0 or _transmit(line, staged, size)


cdef ssize_t _send_some(Line* line, const char* data, size_t size) noexcept nogil:
    """Returns how much the socket took, or -1."""
    cdef ssize_t n
    while True:
        n = send(line.fd, data, size, MSG_NOSIGNAL)
        if n >= 0:
            return n
        if errno == EAGAIN:
            return 0
        if errno != EINTR:
            line.error = errno
            return -1


cdef bint _keep(Line* line, const char* data, size_t size) noexcept nogil:
    cdef char* unsent
    if line.unsent_room - line.unsent_end < size:
        unsent = <char*>PyMem_RawRealloc(line.unsent, line.unsent_end + size)
        if unsent == NULL:
            line.error = ENOMEM
            return False
        line.unsent = unsent
        line.unsent_room = line.unsent_end + size
    memcpy(line.unsent + line.unsent_end, data, size)
    line.unsent_end += size
    return True


cdef bint _flush(Line* line) noexcept nogil:
    """Send what is kept. False: `line.error` says why not. What the socket still does not take stays."""
    cdef ssize_t n
    if line.unsent == NULL:
        return True
    if line.kernel != NULL:
        return _flush_records(line)
    n = _send_some(line, line.unsent + line.unsent_at, line.unsent_end - line.unsent_at)
    if n < 0:
        return False
    line.unsent_at += n
    if line.unsent_at == line.unsent_end:
        _forget_unsent(line)
    return True


cdef void _forget_unsent(Line* line) noexcept nogil:
    PyMem_RawFree(line.unsent)
    line.unsent = NULL
    line.unsent_at = line.unsent_end = line.unsent_room = 0


cdef bint _transmit_record(Line* line, const char* data, size_t size) noexcept nogil:
    """Give the kernel what an engine says, which is not data, or keep it: kind, length (two bytes), plaintext."""
    cdef unsigned char kind = line.kernel.kind if line.kernel.kind else DATA
    cdef char[3] head
    cdef ssize_t n = 0
    line.kernel.kind = 0
    if kind == HANDSHAKE and data[0] == KEY_UPDATE:
        return _refuse_keys(line)
    if line.unsent == NULL:
        n = kernel_send_record(line.kernel, line.fd, kind, data, size, &line.error)
        if n < 0:
            return False
        line.error = 0
    if <size_t>n == size:
        return True
    data += n
    size -= n
    head[0] = <char>kind
    head[1] = <char>(size >> 8)
    head[2] = <char>size
    return _keep(line, head, 3) and _keep(line, data, size)


cdef bint _flush_records(Line* line) noexcept nogil:
    cdef unsigned char* head
    cdef size_t size
    cdef ssize_t n
    while line.unsent_at < line.unsent_end:
        head = <unsigned char*>line.unsent + line.unsent_at
        size = head[1] << 8 | head[2]
        n = kernel_send_record(line.kernel, line.fd, head[0], <char*>head + 3, size, &line.error)
        if n < 0:
            return False
        line.error = 0
        if <size_t>n < size:
            # The rest gets its head in the place of what is out.
            size -= n
            head[n] = head[0]
            head[n + 1] = <unsigned char>(size >> 8)
            head[n + 2] = <unsigned char>size
            line.unsent_at += n
            return True
        line.unsent_at += 3 + size
    _forget_unsent(line)
    return True


cdef bint _refuse_keys(Line* line) noexcept nogil:
    """Say the only thing that may still be said with the old keys."""
    cdef char[2] alert
    cdef int error = 0
    alert[0] = FATAL
    alert[1] = INTERNAL_ERROR
    if line.unsent == NULL:
        kernel_send_record(line.kernel, line.fd, ALERT, alert, 2, &error)
    line.refused = True
    line.error = EPROTO
    return False


cdef void _clear(Line* line) noexcept nogil:
    PyMem_RawFree(line.first)
    PyMem_RawFree(line.unsent)
    line.first = line.unsent = NULL
    line.unsent_at = line.unsent_end = line.unsent_room = 0


# ---- pieces of plaintext, by the record --------------------------------------------------------------------


cdef struct Pieces:
    const iovec* parts
    int count
    size_t offset           # of the first part, what is used


cdef size_t _next_record(Pieces* pieces, char* scratch, const char** data) noexcept nogil:
    """Point `data` at the plaintext of the next record; if need be it is put together in `scratch`."""
    cdef size_t size = 0
    cdef size_t n
    while pieces.count and size < RECORD:
        n = min(pieces.parts.iov_len - pieces.offset, RECORD - size)
        data[0] = <const char*>pieces.parts.iov_base + pieces.offset
        if size == 0 and (pieces.count == 1 or n == RECORD):
            _pass(pieces, n)
            return n
        memcpy(scratch + size, data[0], n)
        size += n
        _pass(pieces, n)
    data[0] = scratch
    return size


cdef void _pass(Pieces* pieces, size_t n) noexcept nogil:
    pieces.offset += n
    if pieces.offset == pieces.parts.iov_len:
        pieces.parts += 1
        pieces.count -= 1
        pieces.offset = 0


# ---- the wire ----------------------------------------------------------------------------------------------


@cython.no_gc_clear
cdef class TLSWire:
    """The TLS of one connection. Made by `new_wire`, driven by its connection.

    Each operation returns a number of bytes, or an Outcome. After WIRE_BROKEN an alert is on its way to the
    peer, as far as there is one for it: `flush()`, and close.
    """

    def __cinit__(self, *arguments):
        cdef pthread_mutexattr_t kind
        pthread_mutexattr_init(&kind)
        pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK)
        pthread_mutex_init(&self.lock, &kind)
        pthread_mutexattr_destroy(&kind)
        self.line.fd = -1

    def __dealloc__(self):
        pthread_mutex_destroy(&self.lock)
        _clear(&self.line)
        free_kernel_tls(self.line.kernel)

    cdef int _enter(self) noexcept:
        """Take the lock. Not 0: this thread has it already (we are in a callback of OpenSSL's, in Python)."""
        cdef int taken = pthread_mutex_trylock(&self.lock)
        if taken != 0:
            with nogil:
                taken = pthread_mutex_lock(&self.lock)
        return taken

    cdef int _leave(self) noexcept:
        return pthread_mutex_unlock(&self.lock)

    cdef int handshake_step(self) except -9:
        """Go on with the handshake: WIRE_DONE, WIRE_BLOCKED, WIRE_CUT, WIRE_BROKEN."""
        cdef int outcome
        if self.failed:
            return self.failed
        if self._enter() != 0:
            return WIRE_BLOCKED
        _begin(&self.line, 0)
        self.line.corked = True     # a flight of several messages is one system call
        try:
            outcome = self._shake()
            if not _flush(&self.line) and outcome != WIRE_BROKEN:
                outcome = WIRE_CUT
            if outcome == WIRE_CUT:
                self.failed = WIRE_CUT
            self.established = outcome == WIRE_DONE
            return outcome
        finally:
            self.line.corked = False
            self._leave()

    cdef Py_ssize_t recv(self, char* into, Py_ssize_t size) except -9:
        """Plaintext of the peer, 1 to `size` bytes; WIRE_END, WIRE_BLOCKED, WIRE_CUT, WIRE_BROKEN.

        After WIRE_END, and after WIRE_CUT if only its side of the socket is closed, the peer may still be
        sent something.
        """
        if self.failed:
            self.more = False
            return self.failed
        if not self.established or self._enter() != 0:
            return WIRE_BLOCKED
        _begin(&self.line, <size_t>size)
        try:
            if _is_stalled(&self.line):
                self.more = False
                return WIRE_BLOCKED
            return self._open(into, size)
        finally:
            self._leave()

    cdef Py_ssize_t sendv(self, const iovec* parts, int count) except -9:
        """Take plaintext. Returns how much of it is sent now or will be, by later calls of `flush()`.

        WIRE_BLOCKED: nothing, before what is unsent is out. WIRE_CUT, WIRE_BROKEN. What fits a record is one.
        """
        cdef size_t total = 0
        cdef int i
        for i in range(count):
            total += parts[i].iov_len
        if self.failed or total == 0:
            return self.failed
        if not self.established or self._enter() != 0:
            return WIRE_BLOCKED
        _begin(&self.line, 0)
        try:
            if self._flush_line() == WIRE_CUT:
                return WIRE_CUT
            return self._seal(parts, count, total) if self.line.unsent == NULL else WIRE_BLOCKED
        finally:
            self._leave()

    cdef Py_ssize_t sendfile(self, int source, off_t* offset, size_t size) except -9:
        """As sendv, of a stretch of a file; `offset` moves on. 0: the file ends here. It may wait for a disk.

        It goes on until the socket is full. A file that cannot be read is WIRE_CUT: what was promised cannot
        follow.
        """
        cdef char scratch[2 * RECORD]       # which leave with one call
        cdef iovec part
        cdef Py_ssize_t sent = 0
        cdef Py_ssize_t n = COPIES
        if self.line.kernel != NULL:
            n = self._hand_over_file(source, offset, size)
            if n != COPIES:
                return n
        while <size_t>sent < size:
            with nogil:
                n = pread(source, scratch, min(size - <size_t>sent, sizeof(scratch)), offset[0])
            if n <= 0:
                n = WIRE_CUT if n < 0 else 0
                break
            part = iovec(<void*>scratch, n)
            n = self.sendv(&part, 1)
            if n <= 0:
                break
            sent += n
            offset[0] += n
        return sent if sent else n

    cdef int flush(self) except -9:
        """Send ciphertext that the socket did not take before: WIRE_DONE, WIRE_BLOCKED, WIRE_CUT."""
        cdef int outcome
        if self._enter() != 0:
            return WIRE_BLOCKED
        outcome = self._flush_line()
        self._leave()
        return outcome

    cdef int shutdown(self) except -9:
        """Send close_notify, behind what is unsent: WIRE_DONE, WIRE_BLOCKED, WIRE_CUT. The peer may go on."""
        if self._enter() != 0:
            return WIRE_BLOCKED
        try:
            if self.established and not self.closing and not self.failed:
                self.closing = True
                _begin(&self.line, 0)
                self._say_goodbye()
            return self._flush_line()
        finally:
            self._leave()

    cdef int detach(self) except -9:
        """Give up the descriptor and what is unsent. When this returns, no thread is using it.

        An operation of this very thread (we are in a callback of it) fails at its next system call.
        """
        cdef bint alone = self._enter() == 0
        self.line.fd = -1
        self.line.error = EBADF
        self.failed = self.failed or WIRE_CUT
        self.more = self.kept = False
        _clear(&self.line)
        if alone:
            self._leave()
        return 0

    cdef bint has_buffered(self) noexcept:
        """Whether `recv` has something to tell at once that a poller cannot see."""
        return self.more

    cdef bint has_unsent(self) noexcept:
        return self.line.unsent != NULL or self.kept

    cdef bint is_stalled(self) noexcept:
        """Whether `recv` would not read: the peer has to take what is unsent first."""
        return _is_stalled(&self.line)

    cdef int wants(self) noexcept:
        """What an operation that was blocked waits for, READ | WRITE."""
        cdef int interest = 0 if _is_stalled(&self.line) else READ
        return interest | WRITE if self.has_unsent() else interest

    cdef int _flush_line(self) noexcept:
        if self.failed == WIRE_CUT or not _flush(&self.line):
            self.failed = self.failed or WIRE_CUT
            return WIRE_CUT
        if self.line.unsent != NULL:
            return WIRE_BLOCKED
        if self.line.kernel != NULL and self.closing:
            self.kept = not kernel_is_out(self.line.kernel, self.line.fd)
        return WIRE_BLOCKED if self.kept else WIRE_DONE

    # ---- past the engine -----------------------------------------------------------------------------------

    cdef Py_ssize_t _hand_over(self, const iovec* parts, int count, size_t total) noexcept:
        """As sendv, when nothing is unsent, to the kernel."""
        cdef int error = 0
        cdef Py_ssize_t n
        if self._owes_keys():
            return self._end_for_keys()
        if total <= RECORD:
            n = kernel_send(self.line.kernel, self.line.fd, parts, count, &error)
        else:
            with nogil:
                n = kernel_send(self.line.kernel, self.line.fd, parts, count, &error)
        return n if n > 0 else self._sort_kernel(n, error)

    cdef Py_ssize_t _hand_over_file(self, int source, off_t* offset, size_t size) noexcept:
        """As sendfile, to the kernel. COPIES: it does not read this kind of file."""
        cdef int error = 0
        cdef Py_ssize_t n
        if self.failed:
            return self.failed
        if not self.established or self._enter() != 0:
            return WIRE_BLOCKED
        n = self._flush_line()
        if n == WIRE_DONE and self._owes_keys():
            n = self._end_for_keys()
        elif n == WIRE_DONE:
            with nogil:
                n = kernel_send_file(self.line.kernel, self.line.fd, source, offset, size, &error)
            if n < 0 and error == EINVAL:
                n = COPIES
            elif n < 0 or error:
                n = self._sort_kernel(n, error)
        self._leave()
        return n

    cdef int _end_for_keys(self) noexcept:
        _refuse_keys(&self.line)
        return self._sort()

    cdef Py_ssize_t _sort_kernel(self, Py_ssize_t n, int error) noexcept:
        if n == 0:
            return WIRE_BLOCKED
        self.line.error = error
        self.failed = WIRE_CUT
        return WIRE_CUT

    cdef int _sort(self) noexcept:
        """What the line says of an operation that came to nothing. 0: it is not the line's doing."""
        if self.line.refused:
            self.failed = WIRE_BROKEN
            return WIRE_BROKEN
        if self.line.error:
            self.failed = WIRE_CUT
            return WIRE_CUT
        if self.line.starved:
            return WIRE_CUT if self.line.at_end else WIRE_BLOCKED
        return 0

    # ---- what an engine fills in ---------------------------------------------------------------------------

    cdef int _shake(self) except -9:
        raise NotImplementedError

    cdef Py_ssize_t _open(self, char* into, Py_ssize_t size) except -9:
        """As recv. Sets `more`."""
        raise NotImplementedError

    cdef Py_ssize_t _seal(self, const iovec* parts, int count, size_t total) except -9:
        """As sendv, when nothing is unsent."""
        raise NotImplementedError

    cdef int _say_goodbye(self) except -9:
        """Write close_notify. Whether that works does not matter."""
        raise NotImplementedError

    cdef bint _owes_keys(self) noexcept:
        """Whether the peer has asked for other keys (KeyUpdate), which have to come before more data."""
        return False

    # ---- who is at the other end ---------------------------------------------------------------------------

    @property
    def reason(self):
        """Why it is WIRE_BROKEN, in OpenSSL's words."""
        raise NotImplementedError

    @property
    def server_name(self):
        """The host name that the client asked for (RFC 6066 §3), or None. An ObjectWire is not told it."""
        return None

    @property
    def version(self):
        """For example "TLSv1.3"; None before the handshake is done."""
        return self.tls.version()

    @property
    def cipher(self):
        """(name, protocol version, secret bits), or None."""
        return self.tls.cipher()

    @property
    def alpn(self):
        """The protocol that was agreed on (RFC 7301), or None."""
        return self.tls.selected_alpn_protocol()

    @property
    def is_resumed(self):
        return self.tls.session_reused

    @property
    def peer_certificate(self):
        """DER of the peer's certificate, or None."""
        return self.tls.getpeercert(True) if self.established else None

    def peer_chain(self):
        """DER of the certificates that the peer has sent, its own first. Before Python 3.13 only that is known."""
        if not self.established or self.peer_certificate is None:
            return []
        chain = getattr(self.tls, "get_unverified_chain", None)
        return chain() if chain is not None else [self.peer_certificate]

    @property
    def context(self):
        """The ssl.SSLContext that it ended up with: an `sni_callback` may have chosen it."""
        return self.tls.context

    # ---- for Python: tests ---------------------------------------------------------------------------------

    def take_step(self):
        return self.handshake_step()

    def receive(self, Py_ssize_t size):
        """Plaintext, or the Outcome."""
        cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
        cdef Py_ssize_t n = self.recv(PyBytes_AS_STRING(data), size)
        return data[:n] if n > 0 else n

    def send(self, *pieces):
        """How much of pieces (bytes, at most 16) was taken, or the Outcome."""
        cdef iovec parts[16]
        cdef int i
        for i in range(len(pieces)):
            parts[i] = iovec(PyBytes_AS_STRING(pieces[i]), PyBytes_GET_SIZE(pieces[i]))
        return self.sendv(parts, len(pieces))

    def send_file(self, int source, off_t offset, size_t size):
        """(number of bytes or Outcome, new offset)."""
        cdef Py_ssize_t n = self.sendfile(source, &offset, size)
        return n, offset

    def send_unsent(self):
        return self.flush()

    def close_notify(self):
        return self.shutdown()

    def give_up(self):
        self.detach()

    @property
    def buffered(self):
        return self.has_buffered()

    @property
    def in_kernel(self):
        """Whether the kernel encrypts what is sent."""
        return self.line.kernel != NULL

    @property
    def unsent(self):
        """Bytes of ciphertext."""
        return self.line.unsent_end - self.line.unsent_at

    @property
    def interest(self):
        return self.wants()


# ---- libssl ------------------------------------------------------------------------------------------------

ctypedef void (*MadeHook)(void* parent, void*, void*, int, long, void*) noexcept nogil
ctypedef int (*ReadHook)(void* bio, char*, int) noexcept nogil
ctypedef int (*WriteHook)(void* bio, const char*, int) noexcept nogil
ctypedef long (*ControlHook)(void* bio, int, long, void*) noexcept nogil

# What is called of OpenSSL 1.1.1 and later, all of it public. Pointers to its structures are void* here.
cdef struct Libssl:
    int (*SSL_do_handshake)(void* ssl) noexcept nogil
    int (*SSL_read)(void* ssl, void* into, int size) noexcept nogil
    int (*SSL_write)(void* ssl, const void* data, int size) noexcept nogil
    int (*SSL_shutdown)(void* ssl) noexcept nogil
    int (*SSL_has_pending)(const void* ssl) noexcept nogil
    int (*SSL_get_key_update_type)(const void* ssl) noexcept nogil
    int (*SSL_get_error)(const void* ssl, int returned) noexcept nogil
    const char* (*SSL_get_servername)(const void* ssl, int kind) noexcept nogil
    void* (*SSL_get_ex_data)(const void* ssl, int index) noexcept nogil
    void (*SSL_set_bio)(void* ssl, void* reader, void* writer) noexcept nogil
    void (*SSL_set_read_ahead)(void* ssl, int yes) noexcept nogil
    long (*SSL_ctrl)(void* ssl, int command, long number, void*) noexcept nogil
    int (*BIO_get_new_index)() noexcept nogil
    void* (*BIO_meth_new)(int kind, const char* name) noexcept nogil
    int (*BIO_meth_set_read)(void* method, ReadHook) noexcept nogil
    int (*BIO_meth_set_write)(void* method, WriteHook) noexcept nogil
    int (*BIO_meth_set_ctrl)(void* method, ControlHook) noexcept nogil
    void* (*BIO_new)(const void* method) noexcept nogil
    void* (*BIO_new_socket)(int fd, int close) noexcept nogil
    long (*BIO_ctrl)(void* bio, int command, long number, void*) noexcept nogil
    int (*BIO_free)(void* bio) noexcept nogil
    int (*BIO_up_ref)(void* bio) noexcept nogil
    void (*BIO_set_data)(void* bio, void* data) noexcept nogil
    void* (*BIO_get_data)(void* bio) noexcept nogil
    void (*BIO_set_flags)(void* bio, int flags) noexcept nogil
    void (*BIO_clear_flags)(void* bio, int flags) noexcept nogil
    int (*CRYPTO_get_ex_new_index)(int kind, long, void*, MadeHook, void*, MadeHook) noexcept nogil
    unsigned long (*ERR_peek_last_error)() noexcept nogil
    void (*ERR_clear_error)() noexcept nogil
    const char* (*ERR_reason_error_string)(unsigned long code) noexcept nogil
    void* method            # our kind of BIO

cdef struct Symbol:
    const char* name
    void** place

# From OpenSSL's headers; none has changed since 1.1.0.
cdef enum:
    CRYPTO_EX_INDEX_SSL = 0
    BIO_TYPE_SOURCE_SINK = 0x0400
    BIO_CTRL_FLUSH = 11
    BIO_CTRL_SET_KTLS = 72              # a question: take these keys? 0: no
    BIO_CTRL_GET_KTLS_SEND = 73
    BIO_CTRL_SET_KTLS_TX_SEND_CTRL_MSG = 74
    BIO_CTRL_CLEAR_KTLS_TX_CTRL_MSG = 75
    BIO_NOCLOSE = 0
    BIO_FLAGS_READ = 0x01
    BIO_FLAGS_RWS = 0x07
    BIO_FLAGS_SHOULD_RETRY = 0x08
    SSL_CTRL_MODE = 33
    SSL_MODE_RELEASE_BUFFERS = 0x10
    SSL_ERROR_ZERO_RETURN = 6
    SSL_KEY_UPDATE_NONE = -1
    APP_DATA = 0            # the index of SSL_get_app_data()

cdef Libssl lib
cdef object ssl = None       # the module, once it is needed: most workers serve no TLS
cdef bint looked_for = False
cdef bint found = False


cdef void _on_new_ssl(
    void* parent, void* value, void* data, int index, long number, void* pointer
) noexcept nogil:
    global tricorn_new_ssl, tricorn_new_ssls
    tricorn_new_ssl = parent
    tricorn_new_ssls += 1


cdef void _on_freed_ssl(
    void* parent, void* value, void* data, int index, long number, void* pointer
) noexcept nogil:
    global tricorn_new_ssl
    if tricorn_new_ssl == parent:
        tricorn_new_ssl = NULL


cdef bint _find_libssl() except -1:
    """Look, once, for the library that the interpreter's own `ssl` uses. False: we cannot call it."""
    global looked_for, found, ssl
    if not looked_for:
        import ssl as module

        ssl = module
        looked_for = True
        found = _is_openssl() and _bind() and _make_hooks()
    return found


def _is_openssl():
    """Others (LibreSSL, BoringSSL, AWS-LC) have functions of the same names, but not of the same meaning."""
    return ssl.OPENSSL_VERSION.startswith("OpenSSL ") and ssl.OPENSSL_VERSION_INFO >= (1, 1, 1)


cdef bint _bind() except -1:
    """Fill in `lib`, from what the extension module `_ssl` is linked with, or the interpreter itself."""
    import _ssl

    cdef bytes path = getattr(_ssl, "__file__", "").encode(sys.getfilesystemencoding(), "surrogateescape")
    cdef void* handle = dlopen(PyBytes_AS_STRING(path) if path else NULL, RTLD_LAZY)
    cdef int i
    cdef Symbol* symbol
    cdef Symbol[30] symbols = [
        Symbol("SSL_do_handshake", <void**>&lib.SSL_do_handshake),
        Symbol("SSL_read", <void**>&lib.SSL_read),
        Symbol("SSL_write", <void**>&lib.SSL_write),
        Symbol("SSL_shutdown", <void**>&lib.SSL_shutdown),
        Symbol("SSL_has_pending", <void**>&lib.SSL_has_pending),
        Symbol("SSL_get_key_update_type", <void**>&lib.SSL_get_key_update_type),
        Symbol("SSL_get_error", <void**>&lib.SSL_get_error),
        Symbol("SSL_get_servername", <void**>&lib.SSL_get_servername),
        Symbol("SSL_get_ex_data", <void**>&lib.SSL_get_ex_data),
        Symbol("SSL_set_bio", <void**>&lib.SSL_set_bio),
        Symbol("SSL_set_read_ahead", <void**>&lib.SSL_set_read_ahead),
        Symbol("SSL_ctrl", <void**>&lib.SSL_ctrl),
        Symbol("BIO_get_new_index", <void**>&lib.BIO_get_new_index),
        Symbol("BIO_meth_new", <void**>&lib.BIO_meth_new),
        Symbol("BIO_meth_set_read", <void**>&lib.BIO_meth_set_read),
        Symbol("BIO_meth_set_write", <void**>&lib.BIO_meth_set_write),
        Symbol("BIO_meth_set_ctrl", <void**>&lib.BIO_meth_set_ctrl),
        Symbol("BIO_new", <void**>&lib.BIO_new),
        Symbol("BIO_new_socket", <void**>&lib.BIO_new_socket),
        Symbol("BIO_ctrl", <void**>&lib.BIO_ctrl),
        Symbol("BIO_free", <void**>&lib.BIO_free),
        Symbol("BIO_up_ref", <void**>&lib.BIO_up_ref),
        Symbol("BIO_set_data", <void**>&lib.BIO_set_data),
        Symbol("BIO_get_data", <void**>&lib.BIO_get_data),
        Symbol("BIO_set_flags", <void**>&lib.BIO_set_flags),
        Symbol("BIO_clear_flags", <void**>&lib.BIO_clear_flags),
        Symbol("CRYPTO_get_ex_new_index", <void**>&lib.CRYPTO_get_ex_new_index),
        Symbol("ERR_peek_last_error", <void**>&lib.ERR_peek_last_error),
        Symbol("ERR_clear_error", <void**>&lib.ERR_clear_error),
        Symbol("ERR_reason_error_string", <void**>&lib.ERR_reason_error_string),
    ]
    if handle == NULL:
        return False
    for i in range(30):
        symbol = &symbols[i]
        symbol.place[0] = dlsym(handle, symbol.name)
        if symbol.place[0] == NULL:
            return False
    return True     # the handle is never closed: nobody may unload the library from now on


cdef bint _make_hooks() noexcept:
    """Have new SSL objects shown to us, and make a kind of BIO that is a Line."""
    lib.method = lib.BIO_meth_new(lib.BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tricorn line")
    if lib.method == NULL:
        return False
    lib.BIO_meth_set_read(lib.method, _bio_read)
    lib.BIO_meth_set_write(lib.method, _bio_write)
    lib.BIO_meth_set_ctrl(lib.method, _bio_control)
    return lib.CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, _on_new_ssl, NULL, _on_freed_ssl) >= 0


cdef int _bio_read(void* bio, char* into, int size) noexcept nogil:
    cdef Line* line = <Line*>lib.BIO_get_data(bio)
    cdef ssize_t n
    lib.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY)
    if line == NULL or size <= 0:
        return -1
    n = _receive(line, into, size)
    if n > 0:
        return <int>n
    if line.starved:        # at the end, too: _sort() knows, and OpenSSL would not write any more
        lib.BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
    return -1


cdef int _bio_write(void* bio, const char* data, int size) noexcept nogil:
    cdef Line* line = <Line*>lib.BIO_get_data(bio)
    lib.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY)
    if line == NULL or size <= 0 or not _transmit(line, data, size):
        return -1
    return size


cdef long _bio_control(void* bio, int command, long number, void* pointer) noexcept nogil:
    cdef Line* line
    if command == BIO_CTRL_FLUSH:
        return 1
    line = <Line*>lib.BIO_get_data(bio)
    if line == NULL:
        return 0
    if command == BIO_CTRL_SET_KTLS:
        return number != 0 and _give_keys(line, pointer)    # 0: of what is received
    if line.kernel == NULL:
        return 0
    if command == BIO_CTRL_SET_KTLS_TX_SEND_CTRL_MSG:
        line.kernel.kind = <unsigned char>number
    elif command == BIO_CTRL_CLEAR_KTLS_TX_CTRL_MSG:
        line.kernel.kind = 0
    return command == BIO_CTRL_GET_KTLS_SEND


cdef bint _give_keys(Line* line, void* keys) noexcept nogil:
    """Have the kernel encrypt what is sent from now on. False: it does not, and libssl goes on."""
    cdef void* bio
    cdef bint taken
    if line.kernel != NULL or not _flush(line) or line.unsent != NULL:
        return False
    bio = lib.BIO_new_socket(line.fd, BIO_NOCLOSE)
    if bio == NULL:
        return False
    taken = lib.BIO_ctrl(bio, BIO_CTRL_SET_KTLS, True, keys) > 0
    lib.BIO_free(bio)
    if taken:
        line.kernel = new_kernel_tls(line.fd)
        if line.kernel == NULL:
            line.error = ENOMEM
    return taken


@cython.no_gc_clear
cdef class LibsslWire(TLSWire):
    """… by calls of libssl, on the `SSL*` of Python's object."""

    cdef void* ssl
    cdef void* bio
    cdef object owner           # frees `ssl`
    cdef unsigned long code     # of the error that broke it

    def __dealloc__(self):
        if self.bio != NULL:
            lib.BIO_set_data(self.bio, NULL)    # somebody may hold the Python object, and read from it
            lib.BIO_free(self.bio)

    cdef int _take(self, void* ssl, object owner) except -1:
        self.bio = lib.BIO_new(lib.method)
        if self.bio == NULL:
            raise MemoryError
        lib.BIO_set_data(self.bio, &self.line)
        lib.BIO_up_ref(self.bio)
        lib.SSL_set_bio(ssl, self.bio, self.bio)
        lib.SSL_set_read_ahead(ssl, True)       # or a record is two system calls, the first for its header
        lib.SSL_ctrl(ssl, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL)
        self.ssl = ssl
        self.owner = owner
        return 0

    cdef int _give_reason(self) noexcept:
        """Sort what was no success."""
        cdef int outcome = self._sort()
        # The queue belongs to the thread: it may hold what others have left, and must not keep what is ours.
        self.code = lib.ERR_peek_last_error()
        lib.ERR_clear_error()
        if outcome == 0:
            outcome = self.failed = WIRE_BROKEN
        return outcome

    cdef int _shake(self) except -9:
        cdef int done
        with nogil:
            done = lib.SSL_do_handshake(self.ssl)
        if done != 1:
            return self._give_reason()
        lib.ERR_clear_error()       # what was tried in vain on the way, such as a ticket of another key
        self.more = self._has_pending()
        return WIRE_DONE

    cdef bint _has_pending(self) noexcept nogil:
        return lib.SSL_has_pending(self.ssl) or self.line.first != NULL

    cdef Py_ssize_t _open(self, char* into, Py_ssize_t size) except -9:
        cdef int room = <int>min(size, <Py_ssize_t>0x40000000)
        cdef int last = lib.SSL_read(self.ssl, into, room)
        cdef int have = last
        if last >= BULK:
            with nogil:
                have = self._go_on(into, room, have, &last)
        elif last > 0:
            have = self._go_on(into, room, have, &last)
        if last > 0:
            self.more = self._has_pending()
            return have
        last = self._sort_read(last)
        self.more = have > 0 and last != WIRE_BLOCKED       # to be told the next time
        return have if have > 0 else last

    cdef int _go_on(self, char* into, int room, int have, int* last) noexcept nogil:
        """Read what else is buffered; where much is on its way, what else the socket has. Returns the sum."""
        cdef bint bulk = have >= BULK
        while have < room and (self._has_pending() or (bulk and not self.line.dry)):
            last[0] = lib.SSL_read(self.ssl, into + have, room - have)
            if last[0] <= 0:
                break
            have += last[0]
        return have

    cdef int _sort_read(self, int returned) noexcept:
        """Sort what SSL_read() returned that was not data."""
        cdef int outcome = self._sort()
        if outcome != 0:
            return outcome
        self.code = lib.ERR_peek_last_error()
        lib.ERR_clear_error()
        # With the queue empty, this means close_notify and nothing else; a fatal alert is another matter.
        if lib.SSL_get_error(self.ssl, returned) == SSL_ERROR_ZERO_RETURN:
            return WIRE_END
        self.failed = WIRE_BROKEN
        return WIRE_BROKEN

    cdef Py_ssize_t _seal(self, const iovec* parts, int count, size_t total) except -9:
        cdef Py_ssize_t taken
        cdef bint failed = False
        if self.line.kernel != NULL:
            return self._hand_over(parts, count, total)
        if total <= RECORD:
            taken = self._write(parts, count, &failed)
        else:
            with nogil:
                taken = self._write(parts, count, &failed)
        if failed:
            self._give_reason()
        return taken if taken > 0 else self.failed

    cdef Py_ssize_t _write(self, const iovec* parts, int count, bint* failed) noexcept nogil:
        """Write records until the socket is full. Returns the sum of their plaintext."""
        cdef char scratch[RECORD]
        cdef char stage[STAGE]
        cdef Pieces pieces = Pieces(parts, count, 0)
        cdef Py_ssize_t taken = 0
        cdef const char* data
        cdef size_t size
        while pieces.count and self.line.unsent == NULL and not failed[0]:
            size = _next_record(&pieces, scratch, &data)
            if size == 0:
                break
            if self.line.staged == NULL and pieces.count:
                self.line.staged = stage
            if lib.SSL_write(self.ssl, data, <int>size) <= 0:
                failed[0] = True
            else:
                taken += size
            if failed[0] or not pieces.count or self.line.staged_end > STAGE // 2:
                _unstage(&self.line)
        _unstage(&self.line)
        return taken

    cdef int _say_goodbye(self) except -9:
        lib.SSL_shutdown(self.ssl)
        lib.ERR_clear_error()
        return 0

    cdef bint _owes_keys(self) noexcept:
        return lib.SSL_get_key_update_type(self.ssl) != SSL_KEY_UPDATE_NONE

    @property
    def reason(self):
        cdef const char* text
        if self.failed != WIRE_BROKEN:
            return None
        if self.line.refused:
            return "it asked for new keys, and the kernel cannot change them"
        text = lib.ERR_reason_error_string(self.code)
        return text.decode("ascii", "replace") if text != NULL else f"error {self.code:#x}"

    @property
    def server_name(self):
        cdef const char* name = lib.SSL_get_servername(self.ssl, 0)
        return name.decode("ascii", "replace") if name != NULL else None


# ---- Python's objects --------------------------------------------------------------------------------------


cdef class ObjectWire(TLSWire):
    """… by methods of Python's object, over memory BIOs."""

    cdef object incoming, outgoing      # ssl.MemoryBIO
    cdef object read, write, pending
    cdef bint over              # the peer has said goodbye
    cdef str why

    cdef int _take(self, object incoming, object outgoing) except -1:
        core = getattr(self.tls, "_sslobj", self.tls)       # the same methods, not in Python
        self.incoming = incoming
        self.outgoing = outgoing
        self.read = core.read
        self.write = core.write
        self.pending = core.pending
        return 0

    cdef bint _feed(self) except -1:
        """Hand over ciphertext from the socket. False: there is none."""
        cdef char scratch[RECORD]
        cdef ssize_t n = _receive(&self.line, scratch, sizeof(scratch))
        if n > 0:
            self.incoming.write(PyBytes_FromStringAndSize(scratch, n))
        return n > 0

    cdef int _drain(self) except -9:
        """Send what the object has written. WIRE_CUT: it cannot be sent."""
        cdef bytes data = self.outgoing.read()
        if data and not _transmit(&self.line, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)):
            self.failed = WIRE_CUT
        return self.failed

    cdef int _give_reason(self, object error) except -9:
        """Sort an exception; those of foreign callbacks too."""
        self._drain()
        if isinstance(error, ssl.SSLZeroReturnError):
            self.over = True
            return WIRE_END
        if not self.failed:
            self.failed = WIRE_BROKEN
            self.why = (getattr(error, "reason", None) or type(error).__name__).replace("_", " ").lower()
        return self.failed

    cdef int _shake(self) except -9:
        cdef bint wants_more = True
        cdef int reason = 0
        while wants_more:
            wants_more = False
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                wants_more = True
            except Exception as error:
                reason = self._give_reason(error) or WIRE_CUT
            if reason:
                return reason
            if wants_more and (self._drain() or not self._feed()):
                return self._sort()
        self._drain()
        self.more = self.incoming.pending or self.line.first != NULL
        return self.failed or WIRE_DONE

    cdef Py_ssize_t _open(self, char* into, Py_ssize_t size) except -9:
        """One record. The object is asked only if there is something for it: exceptions are dear."""
        cdef Py_ssize_t n
        if self.over:
            self.more = False
            return WIRE_END
        if not self.more and not self._feed():
            return self._sort()
        view = PyMemoryView_FromMemory(into, size, PyBUF_WRITE)
        while True:
            n = WIRE_BLOCKED
            try:
                n = self.read(size, view)
            except ssl.SSLWantReadError:
                self._drain()       # an answer to KeyUpdate
            except Exception as error:
                n = self._give_reason(error)
            if n != WIRE_BLOCKED:
                break
            self.more = False
            if not self._feed():
                return self._sort()
        if n == 0:
            self.over = True
        self.more = n > 0 and (self.incoming.pending or self.line.first != NULL or (n == size and self.pending()))
        return n

    cdef Py_ssize_t _seal(self, const iovec* parts, int count, size_t total) except -9:
        cdef char scratch[RECORD]
        cdef Pieces pieces = Pieces(parts, count, 0)
        cdef Py_ssize_t taken = 0
        cdef const char* data
        cdef size_t size
        try:
            while pieces.count and self.line.unsent == NULL and not self.failed:
                size = _next_record(&pieces, scratch, &data)
                if size == 0:
                    break
                self.write(PyBytes_FromStringAndSize(data, size))
                if self._drain() == 0:
                    taken += size
        except Exception as error:
            self._give_reason(error)
        return taken if taken > 0 else self.failed

    cdef int _say_goodbye(self) except -9:
        try:
            self.tls.unwrap()
        except Exception as error:
            missing = error     # the peer's, which it wants to read, too
        return self._drain()

    @property
    def reason(self):
        return self.why


# ---- making one --------------------------------------------------------------------------------------------


cdef TLSWire new_wire(object context, int fd, bint server_side, bytes first):
    cdef TLSWire wire = _new_libssl(context, server_side) if _find_libssl() else None
    return _put_on(wire if wire is not None else _new_object(context, server_side), fd, first)


cdef TLSWire _put_on(TLSWire wire, int fd, bytes first):
    wire.line.fd = fd
    if first:
        wire.line.first = <char*>PyMem_RawMalloc(len(first))
        if wire.line.first == NULL:
            raise MemoryError
        memcpy(wire.line.first, PyBytes_AS_STRING(first), len(first))
        wire.line.first_end = len(first)
    return wire


cdef object _wrap(object context, object incoming, object outgoing, bint server_side):
    if not context.options & ssl.OP_NO_RENEGOTIATION:
        # RFC 9325 §3.5. Python has no such option for a single connection.
        context.options |= ssl.OP_NO_RENEGOTIATION
    return context.wrap_bio(incoming, outgoing, server_side=server_side)


cdef TLSWire _new_libssl(object context, bint server_side):
    """None: we have not seen how the SSL object of this context was made."""
    global tricorn_new_ssl, tricorn_new_ssls
    cdef LibsslWire wire
    tricorn_new_ssl = NULL
    tricorn_new_ssls = 0
    tls = _wrap(context, ssl.MemoryBIO(), ssl.MemoryBIO(), server_side)
    owner = getattr(tls, "_sslobj", None)
    if (
        owner is None or tricorn_new_ssls != 1 or tricorn_new_ssl == NULL
        or lib.SSL_get_ex_data(tricorn_new_ssl, APP_DATA) != <void*><PyObject*>owner
    ):
        return None
    wire = LibsslWire.__new__(LibsslWire)
    wire.tls = tls
    wire._take(tricorn_new_ssl, owner)
    return wire


cdef TLSWire _new_object(object context, bint server_side):
    cdef ObjectWire wire = ObjectWire.__new__(ObjectWire)
    incoming = ssl.MemoryBIO()
    outgoing = ssl.MemoryBIO()
    wire.tls = _wrap(context, incoming, outgoing, server_side)
    wire._take(incoming, outgoing)
    return wire


def wrap(context, int fd, bint server_side=True, bytes first=b"", bint through_objects=False):
    """A wire, for Python. through_objects: as where libssl cannot be called."""
    if through_objects:
        _find_libssl()
        return _put_on(_new_object(context, server_side), fd, first)
    return new_wire(context, fd, server_side, first)
