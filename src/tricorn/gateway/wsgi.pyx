"""PEP 3333: one call of a WSGI application, from its arguments to close().

The plan. A call is an object of its own, so that it can stop between two pieces of its iterable: `run` starts
it and `resume` goes on, on whichever thread is free, until either says COMPLETE. Guarantees:

- nothing of a response is sent before its head has passed every check;
- close() of the iterable is called exactly once, whatever happens;
- nothing is sent behind the end of a response, however late the application calls, from where and from which thread;
- the iterable is never asked for more than one piece ahead of what the exchange is ready to take;
- all of the application's code for one request runs in one `contextvars` context, which no other request sees.

Knows: the application interface. Must not know: sockets, threads, HTTP versions, logs.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cimport cython

from tricorn.http.fields cimport TRAILER_NAME, CheckedField, check_field, check_trailer
from tricorn.http.names cimport NameSlot, name_slots

from tricorn.gateway.errors import GatewayError

cdef extern from "Python.h":
    object PyContext_Copy(object)
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    PyObject* PyIter_Next(object)
    PyObject* PyErr_Occurred()

# PEP 590. Cython gives its classes only tp_call, for which the interpreter makes a tuple of the arguments.
cdef extern from *:
    """
    static void tricorn_offer_vectorcall(PyObject *class, Py_ssize_t offset) {
        PyTypeObject *type = (PyTypeObject *)class;
        type->tp_vectorcall_offset = offset;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        PyType_Modified(type);
    }
    """
    void tricorn_offer_vectorcall(object, Py_ssize_t)
    Py_ssize_t PyVectorcall_NARGS(size_t)

# A C function that has set an exception: calling it through this declaration raises it.
cdef extern from *:
    """
    static inline int tricorn_pending_error(void) { return -1; }
    """
    int tricorn_pending_error() except -1

# Cython's `try` saves and restores what exception is being handled, which costs some 60 instructions though nothing
# is raised. So what may fail is called unchecked, and `try` stands where its error is dealt with.
ctypedef int (*Unchecked)(WSGICall, object, dict) noexcept

DEFAULT_BLOCK_SIZE = 65536
cdef NameSlot* NAMES = name_slots()
cdef object MISSING = object()
cdef object ListIterator = type(iter([]))


cdef class FileWrapper:
    """`wsgi.file_wrapper`: an iterable over a file that the server may also send in its own way."""

    def __init__(self, filelike, Py_ssize_t blksize=DEFAULT_BLOCK_SIZE):
        if blksize < 1:
            raise ValueError("the block size must be at least 1 byte")
        self.filelike = filelike
        self.blksize = blksize

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.blksize)
        if not data:
            raise StopIteration
        return data

    def close(self):
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


@cython.final
@cython.freelist(16)
cdef class WSGICall:
    """One call. It is also the `start_response` that the application is given, and the `write` that this returns:
    called with one argument it is the latter. (A bound method would be one more object for each request, which hardly any application uses.)
    """

    # ---- what the application calls ----------------------------------------------------------------

    def __call__(self, status, headers=MISSING, exc_info=None):
        """start_response(status, headers, exc_info=None) -> write; write(data)."""
        if headers is MISSING:
            return self.write(status)
        return self.start_response(status, headers, exc_info)

    cdef object start_response(self, status, headers, exc_info):
        if self.ended:
            exc_info = None
            raise GatewayError("start_response was called after the end of the response")
        if exc_info is not None:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None         # a traceback that holds this frame must not be held by it
        elif self.status is not None:
            raise GatewayError("start_response was called a second time without exc_info")
        if type(status) is not str:
            raise GatewayError(f"the status must be str, not {type(status).__name__}")
        if type(headers) is not list:
            raise GatewayError(f"the headers must be a list, not {type(headers).__name__}")
        self.status = status
        self.headers = headers
        return self

    cdef object write(self, data):
        """The imperative way of PEP 3333 to send the body. It waits while the client is slow."""
        if type(data) is not bytes:
            if type(data) is str and self.status is None:
                raise TypeError("start_response() takes a status and a list of headers")
            raise GatewayError(f"write() takes bytes, not {type(data).__name__}")
        if self.ended:
            raise GatewayError("write() was called after the end of the response")
        if data:
            self._put(data, -1)
        exchange = self._enter()
        try:
            exchange.wait_uncongested()
        finally:
            self.busy = False

    cdef int early_hints(self, headers) except -1:
        """Send 103 Early Hints: a list of (name, value), as for start_response (RFC 8297)."""
        if type(headers) is not list:
            raise GatewayError(f"the headers must be a list, not {type(headers).__name__}")
        if self.ended:
            raise GatewayError("early_hints was called after the end of the response")
        if self.sent:
            return 0
        exchange = self._enter()
        try:
            exchange.hint(headers)
        finally:
            self.busy = False
        return 0

    cdef int add_trailers(self, headers) except -1:
        """Fields that follow the body: a list of (name, value), as for start_response. They are known before the body ends. Raises
        GatewayError, ResponseError."""
        cdef CheckedField field
        if type(headers) is not list:
            raise GatewayError(f"the trailers must be a list, not {type(headers).__name__}")
        if self.ended:
            raise GatewayError("trailers were given after the end of the response")
        trailers = [] if self.trailers is None else list(self.trailers)
        for pair in headers:
            if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not str or type(pair[1]) is not str:
                raise GatewayError("each trailer must be a tuple of a name and a value, both str")
            check_field(<tuple>pair, False, NAMES, TRAILER_NAME, &field)
            check_trailer(&field)
            trailers.append((pair[0].encode("latin-1"), pair[1].encode("latin-1")))
        self.trailers = trailers
        return 0

    cdef long long _whole(self, Py_ssize_t size) noexcept:
        """The length of the body that it is told by; where trailers follow, it does not end the response."""
        return size if self.trailers is None else -1

    # ---- what the transport calls ------------------------------------------------------------------

    cdef int run(self, object application, dict environ, object context) except -1:
        """Call the application, in a copy of `context`, and send what it returns. Its exceptions come through as they are."""
        cdef int outcome
        self.vectorcall = <void*>_called
        self.context = PyContext_Copy(context)
        PyContext_Enter(self.context)
        outcome = (<Unchecked>_serve)(self, application, environ)
        if outcome < 0:
            return self._failed()
        PyContext_Exit(self.context)
        return outcome

    cdef int resume(self) except -1:
        """Go on after PAUSED."""
        cdef int outcome
        PyContext_Enter(self.context)
        outcome = (<Unchecked>_serve)(self, None, None)
        if outcome < 0:
            return self._failed()
        PyContext_Exit(self.context)
        return outcome

    cdef int abandon(self) except -1:
        """Give up a paused call: its client is gone, and what is still written goes nowhere."""
        PyContext_Enter(self.context)
        try:
            self._close()
        finally:
            PyContext_Exit(self.context)
        return 0

    # ---- details -----------------------------------------------------------------------------------

    cdef int _failed(self) except -1:
        """An exception is on its way, from the application or from what it gave us."""
        try:
            try:
                return tricorn_pending_error()
            except BaseException:
                self.ended = True
                self._close()
                raise
        finally:
            PyContext_Exit(self.context)

    cdef int _deliver(self, object iterable) except -1:
        self.iterable = iterable
        if type(iterable) is list:
            return self._deliver_whole(<list>iterable)
        if type(iterable) is tuple:
            return self._deliver_whole(list(iterable))
        if isinstance(iterable, FileWrapper) and not self.sent and self.status is not None and self.trailers is None:
            if self._put_file((<FileWrapper>iterable).filelike):
                self.ended = True
                self._close()
                return COMPLETE
        if iterable is None:
            raise GatewayError("the application returned None instead of an iterable of bytes")
        self.iterator = iter(iterable)
        if type(self.iterator) is ListIterator:
            # Nothing of the application's runs between its pieces (Django's HttpResponse is such an iterable), so they
            # are as good as a list: the length is known, and they leave together.
            return self._deliver_whole(list(self.iterator))
        return self._iterate()

    cdef int _deliver_whole(self, list pieces) except -1:
        """All pieces are there, so the length of the body is known."""
        cdef bytes body
        if len(pieces) == 1 and type(pieces[0]) is bytes:
            body = <bytes>pieces[0]
        else:
            body = _joined(pieces)
        if PyBytes_GET_SIZE(body) or not self.sent:
            self._put(body, self._whole(PyBytes_GET_SIZE(body)))
        return self._finish()

    cdef int _iterate(self) except -1:
        cdef Exchange exchange = self.exchange
        cdef object iterator = self.iterator
        cdef PyObject* item
        while not exchange.gone and not (self.sent and exchange.wants_no_body()):
            if exchange.congested():
                return PAUSED
            item = PyIter_Next(iterator)
            if item == NULL:
                if PyErr_Occurred():
                    tricorn_pending_error()
                break
            piece = <object>item
            Py_DECREF(piece)
            if not isinstance(piece, bytes):
                raise GatewayError(f"each piece of the body must be bytes, not {type(piece).__name__}")
            if PyBytes_GET_SIZE(piece):
                self._put(_exactly(piece), -1)
        if not self.sent:
            self._put(b"", self._whole(0))
        return self._finish()

    cdef int _put(self, bytes piece, long long length) except -1:
        """Send a piece, the first one behind the head. length: of the whole body if this is it, else -1."""
        cdef Exchange exchange
        if not self.sent and self.status is None:
            raise GatewayError("the application returned a body without calling start_response")
        exchange = self._enter()
        try:
            if self.sent:
                exchange.send(piece)
            else:
                exchange.respond(self.status, self.headers, piece, length)
                self.sent = True
        finally:
            self.busy = False
        return 0

    cdef bint _put_file(self, object file) except -1:
        cdef Exchange exchange = self._enter()
        try:
            self.sent = exchange.respond_file(self.status, self.headers, file)
        finally:
            self.busy = False
        return self.sent

    cdef Exchange _enter(self):
        """The exchange, for one call: it runs foreign code too (log handlers, destructors), which must not call it again."""
        if self.exchange is None:
            raise GatewayError("the response was written to after it had ended")
        if self.busy:
            raise GatewayError("the response was written to while an earlier write was still in progress")
        self.busy = True
        return self.exchange

    cdef int _finish(self) except -1:
        cdef Exchange exchange = self.exchange
        self.ended = True
        if self.trailers is None:
            exchange.finish()
        else:
            (<AsyncExchange?>exchange).finish_with(self.trailers)
        self._close()
        return COMPLETE

    cdef int _close(self) except -1:
        """Call close() of the iterable, once."""
        iterable = self.iterable
        self.iterable = self.iterator = None
        if iterable is None or type(iterable) is list or type(iterable) is tuple:
            return 0
        close = getattr(iterable, "close", None)
        if close is not None:
            close()
        return 0


cdef int _serve(WSGICall call, object application, dict environ) except -1:
    """Call the application; None: go on with what it has returned."""
    if application is None:
        return call._iterate()
    return call._deliver(application(environ, call))


cdef bytes _joined(list pieces):
    for piece in pieces:
        if not isinstance(piece, bytes):
            raise GatewayError(f"each piece of the body must be bytes, not {type(piece).__name__}")
    return _exactly(pieces[0]) if len(pieces) == 1 else b"".join(pieces)


cdef bytes _exactly(object piece):
    """A bytes object of no subclass, with the bytes that are really there (`__bytes__` may say others)."""
    if type(piece) is bytes:
        return <bytes>piece
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))


cdef object _called(PyObject* self, PyObject** arguments, size_t flags, PyObject* names):
    """A vectorcallfunc: WSGICall.__call__ for the usual forms, without a tuple for the arguments."""
    cdef WSGICall call = <WSGICall>self
    cdef Py_ssize_t count = PyVectorcall_NARGS(flags)
    if names == NULL and count == 2:
        return call.start_response(<object>arguments[0], <object>arguments[1], None)
    if names == NULL and count == 1:
        return call.write(<object>arguments[0])
    named = <tuple>names if names != NULL else ()
    values = [<object>arguments[i] for i in range(count + len(named))]
    return WSGICall.__call__(call, *values[:count], **dict(zip(named, values[count:], strict=True)))


cdef int _offer_vectorcall() except -1:
    cdef WSGICall sample = WSGICall.__new__(WSGICall)
    tricorn_offer_vectorcall(WSGICall, <char*>&sample.vectorcall - <char*><PyObject*>sample)
    return 0


_offer_vectorcall()
