"""ASGI 3, `http`: one call of an application with its receive() and send() (specification 2.5).

The plan. The start of a response is kept until the first piece of its body comes, so that both leave in one write and a body
that comes whole gets its length; if the application waits in between, the head goes out by itself. `send()` and `receive()`
return awaitables, which act when they are awaited; `send()` waits if the client has left too much unread.

Guarantees: nothing of a response is sent before its head has passed every check; messages in the wrong order or form are errors
in the application's own frame; after the client has gone receive() says so and send() raises OSError; a head is sent once,
whatever fails on the way.

Knows: the application interface. Must not know: where bytes go, HTTP versions, logs.
"""

import sys
import warnings
from http import HTTPStatus
from inspect import signature

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_Next, PyDict_SetItem
from cpython.object cimport PyObject
from libc.string cimport memcmp, memset

from tricorn.gateway.exchange cimport AsyncExchange
from tricorn.gateway.waiting cimport PENDING, TaskRunner, WaitQueue, call_by_vector, end_with, mark_as_coroutine_function

from tricorn.gateway.errors import ClientDisconnected, GatewayError
from tricorn.http.errors import ResponseError

cdef extern from "Python.h":
    object PyMethod_New(object, object)
    object PyNumber_Index(object)
    str PyUnicode_FromObject(object)
    object PyObject_Vectorcall(object, PyObject**, size_t, PyObject*)
    Py_ssize_t PyVectorcall_NARGS(size_t)
    void PyObject_GC_UnTrack(PyObject*)
    bint PyUnicode_IS_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    unsigned char* PyUnicode_1BYTE_DATA(object)

# Slots that Cython would fill at a price: a traceback for each StopIteration that carries a result, the exception that is being
# handled put aside for each deallocation, a tuple for each call.
cdef extern from *:
    """
    typedef PyObject *(*tricorn_step)(PyObject *, int *);
    static tricorn_step tricorn_take_step;
    static void (*tricorn_end_with)(PyObject *);

    static PyObject *tricorn_next(PyObject *self) {
        int ended = 0;
        PyObject *found = tricorn_take_step(self, &ended);
        if (found == NULL || !ended)
            return found;
        if (found != Py_None)
            tricorn_end_with(found);
        Py_DECREF(found);
        return NULL;
    }

    static destructor tricorn_plain_dealloc;
    static void (*tricorn_before_dealloc)(PyObject *);

    static void tricorn_dealloc(PyObject *self) {
        tricorn_before_dealloc(self);
        tricorn_plain_dealloc(self);
    }

    static void tricorn_make_awaitable(
        PyObject *class, tricorn_step step, void (*end_with)(PyObject *), void (*before_dealloc)(PyObject *)
    ) {
        PyTypeObject *type = (PyTypeObject *)class;
        tricorn_take_step = step;
        tricorn_end_with = end_with;
        tricorn_before_dealloc = before_dealloc;
        tricorn_plain_dealloc = type->tp_dealloc;
        type->tp_iternext = tricorn_next;
        type->tp_dealloc = tricorn_dealloc;
        PyType_Modified(type);
    }
    """
    ctypedef object (*tricorn_step)(object, bint*)
    void tricorn_make_awaitable(object, tricorn_step, void (*)(PyObject*) noexcept, void (*)(PyObject*) noexcept)

cdef str START = "http.response.start"
cdef str BODY = "http.response.body"
cdef str PATHSEND = "http.response.pathsend"
cdef str ZEROCOPYSEND = "http.response.zerocopysend"
cdef str TRAILERS = "http.response.trailers"
cdef str EARLY_HINT = "http.response.early_hint"
cdef str INFORMATIONAL = "http.response.informational"      # of Gunicorn alone

# In the order of KEY_TYPE and the others. Dict displays have interned keys, so nearly always these are the same objects.
cdef tuple KEY_NAMES = tuple([sys.intern(name) for name in (
    "type", "body", "more_body", "status", "headers", "trailers", "text", "bytes", "more_trailers", "path", "file",
    "offset", "count", "links", "subprotocol", "code", "reason",
)])
cdef PyObject* KEYS[KEY_COUNT]      # borrowed from KEY_NAMES


cdef int _list_keys() except -1:
    cdef int i
    for i in range(KEY_COUNT):
        KEYS[i] = <PyObject*>KEY_NAMES[i]
    return 0


_list_keys()

# What receive() gives is a copy of it: that costs less than to build it up.
cdef dict REQUEST = {"type": "http.request", "body": b"", "more_body": False}

# Why a client is said to have gone that has not.
cdef str CUT = "the worker is stopping"

# What send(None) hands over.
cdef tuple NO_MESSAGE = (None,)

cdef dict STATUSES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
# Of nearly all responses; small numbers are the same objects everywhere.
cdef object OK = 200
cdef str OK_LINE = STATUSES[200]


cdef dict take_apart(object message, PyObject** parts):
    cdef PyObject* key
    cdef PyObject* value
    cdef Py_ssize_t at = 0
    cdef int i
    if type(message) is not dict:
        try:
            message = dict(message)
        except (TypeError, ValueError):
            raise GatewayError(f"a message must be a dict, not {type(message).__name__}") from None
    memset(parts, 0, KEY_COUNT * sizeof(PyObject*))
    while PyDict_Next(message, &at, &key, &value):
        i = 0
        while i < KEY_COUNT and key != KEYS[i]:
            i += 1
        if i == KEY_COUNT:
            return take_apart(_in_known_keys(<dict>message), parts)
        parts[i] = value
    return <dict>message


cdef dict _request(bytes body, bint more):
    cdef dict message = PyDict_Copy(REQUEST)
    PyDict_SetItem(message, <object>KEYS[KEY_BODY], body)
    if more:
        PyDict_SetItem(message, <object>KEYS[KEY_MORE_BODY], True)
    return message


cdef dict _in_known_keys(dict message):
    """A dict finds its keys by their values, and may call foreign code for that."""
    return {key: message[key] for key in KEY_NAMES if key in message}


cdef str checked_kind(object kind):
    if type(kind) is str:
        return <str>kind
    return PyUnicode_FromObject(kind) if isinstance(kind, str) else None


cdef bint is_same(str found, str name) noexcept:
    """Whether they are equal. name: in ASCII."""
    cdef Py_ssize_t size
    if found is name:
        return True
    if found is None or not PyUnicode_IS_ASCII(found):
        return False
    size = PyUnicode_GET_LENGTH(found)
    return size == PyUnicode_GET_LENGTH(name) and memcmp(PyUnicode_1BYTE_DATA(found), PyUnicode_1BYTE_DATA(name), size) == 0


cdef str checked_status(object status):
    if status is OK:
        return OK_LINE
    found = STATUSES.get(status) if type(status) is int else None
    if found is not None:
        return <str>found
    if not isinstance(status, int) or isinstance(status, bool):
        raise GatewayError(f"the status must be an int, not {type(status).__name__}")
    number = int.__index__(status)
    if not 200 <= number <= 999:
        raise GatewayError("the status of a response must be between 200 and 999")
    return STATUSES.get(number) or f"{number} "


cdef object checked_headers(object headers):
    if type(headers) is list or type(headers) is tuple:
        return headers
    try:
        return list(headers)        # once: it may be an iterator, and it is needed again for the log
    except TypeError:
        raise GatewayError(f"the headers must be an iterable of pairs, not {type(headers).__name__}") from None


cdef bytes checked_bytes(object data, str what):
    if type(data) is bytes:
        return <bytes>data
    if isinstance(data, bytes):
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    if isinstance(data, (bytearray, memoryview)):
        return bytes(memoryview(data))
    raise GatewayError(f"{what} must be bytes, not {type(data).__name__}")


cdef str checked_text(object text, str what):
    if not isinstance(text, str):
        raise GatewayError(f"{what} must be str, not {type(text).__name__}")
    return PyUnicode_FromObject(text)


cdef str shown_kind(str kind):
    return "the message has no type" if kind is None else repr(kind)


cdef bint _says_length(object headers) except -1:
    for name, _ in headers:
        if isinstance(name, bytes) and name.lower() == b"content-length":
            return True
    return False


cdef long long _position(object number) except -2:
    """Where a stretch of a file begins, or how long it is; -1: the application does not say."""
    return -1 if number is None else PyNumber_Index(number)


@cython.freelist(64)
cdef class Awaiting:
    """One use of receive() or send(). Like a coroutine, it does nothing before it is awaited."""

    cdef object _step(self, bint* ended):
        cdef HTTPCall call = self.call
        cdef TaskRunner task_runner = call.task_runner
        cdef WaitQueue queue
        if self.wait is not None:
            self._leave()
        self.begun = True
        task_runner.admit()
        ended[0] = True
        if self.sending:
            content = self.content
            self.content = None
            if call._say(content) is None:
                return None
        else:
            message = call._message()
            if message is not PENDING:
                return message
        ended[0] = False
        queue = call._queue(self.sending)
        self.wait = queue.enter()
        return self.wait

    cdef int _leave(self) except -1:
        cdef HTTPCall call = self.call
        cdef WaitQueue queue = call._queue(self.sending)
        queue.leave(self.wait)
        self.wait = None
        return 0

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    # These make it a collections.abc.Coroutine, which asyncio.create_task() asks for.

    def send(self, value):
        cdef bint ended = False
        found = self._step(&ended)
        if not ended:
            return found
        raise StopIteration() if found is None else StopIteration(found)

    def throw(self, kind, value=None, traceback=None):
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value

    def close(self):
        self.begun = True
        if self.wait is not None:
            self._leave()


cdef object _step_of(object awaiting, bint* ended):
    return (<Awaiting>awaiting)._step(ended)


cdef void _end_of(PyObject* awaiting) noexcept:
    """It is about to be deallocated. As the interpreter does for coroutines, it warns where nobody has awaited it."""
    cdef bint sending
    if (<Awaiting>awaiting).begun:
        return
    sending = (<Awaiting>awaiting).sending
    PyObject_GC_UnTrack(awaiting)       # warnings are foreign code
    _warn_unawaited(sending)


cdef void _warn_unawaited(bint sending) noexcept:
    what = "send" if sending else "receive"
    warnings.warn(f"{what}() was never awaited", RuntimeWarning, 1)


tricorn_make_awaitable(Awaiting, _step_of, end_with, _end_of)


@cython.freelist(64)
cdef class HTTPCall:
    # ---- what the application calls ----------------------------------------------------------------

    def receive(self):
        """http.request with what is there of the body, then http.disconnect."""
        return _awaiting(self, None, False)

    def send(self, message):
        """Awaiting it raises GatewayError for what is against the specification, ClientDisconnected, ResponseError."""
        return _awaiting(self, message if message is not None else NO_MESSAGE, True)

    def __call__(self, message):
        return self.send(message)

    def __getattr__(self, name):
        """To whoever looks it is the method `send`."""
        return _of_method(PyMethod_New(SEND, self), name)

    # ---- what the transport calls ------------------------------------------------------------------

    cdef int run(self, TaskRunner task_runner, object application, dict scope) except -1:
        cdef Receive receive = Receive.__new__(Receive)
        receive.call = self
        receive.vectorcall = <void*>_called_to_receive
        self.vectorcall = <void*>_called_to_send
        self.task_runner = task_runner
        try:
            self.task = task_runner.start(application(scope, receive, self))
        finally:
            self.context = task_runner.take_context()
        return 0

    cdef int arrived(self) except -1:
        """There is something to receive."""
        cdef WaitQueue readers = self.readers
        return readers.wake_all() if readers is not None and readers.first is not None else 0

    cdef int flushed(self) except -1:
        """The client has caught up, or never will."""
        cdef WaitQueue writers = self.writers
        return writers.wake_all() if writers is not None and writers.first is not None else 0

    cdef int disconnect(self) except -1:
        self.disconnected = True
        self.arrived()
        return self.flushed()

    cdef int flush_head(self) except -1:
        """The application waits: what it has said so far is not kept back any longer."""
        cdef AsyncExchange exchange = self.exchange
        cdef int outcome
        if not self.started or self.head_sent or exchange is None or exchange.gone or exchange.torn:
            return 0
        try:
            outcome = self._respond(b"", -1)
        except ResponseError:
            outcome = 0     # the next piece raises it again, in the application's own frame
        return outcome

    cdef int let_go(self) except -1:
        """Of the connection: what the application still does with this call leads nowhere."""
        self.exchange = None
        self.disconnected = True
        self.arrived()
        return self.flushed()

    # ---- details -----------------------------------------------------------------------------------

    cdef WaitQueue _queue(self, bint sending):
        if sending:
            if self.writers is None:
                self.writers = WaitQueue(self.task_runner)
            return self.writers
        if self.readers is None:
            self.readers = WaitQueue(self.task_runner)
        return self.readers

    cdef object _say(self, object content):
        """Act on a message, once; afterwards (None) it is only asked whether the application may go on. None: it may."""
        cdef TaskRunner task_runner = self.task_runner
        cdef PyObject* parts[KEY_COUNT]
        cdef dict message
        if content is None:
            return PENDING if self._must_wait() else None
        task_runner.acting = True
        try:
            message = take_apart(content, parts)
            self._act(parts, checked_kind(part(parts, KEY_TYPE, None)))
        finally:
            task_runner.acting = False
        return None if self._may_go_on() else PENDING

    cdef object _message(self):
        cdef bint more = False
        cdef bytes data
        cdef AsyncExchange exchange = self.exchange
        if exchange is None or self.ended or (self.disconnected and exchange.gone):
            return self._disconnect_message()
        # A client that has closed its side may have sent all of its request before, and still read the answer.
        if not self.read:
            data = exchange.take_body(&more)
            if not more or (data and not self.disconnected):
                self.read = not more
                return _request(data, more)
        if self.exchange is None or self.disconnected:      # perhaps found on the way
            return self._disconnect_message()
        return PENDING

    cdef dict _disconnect_message(self):
        self.told = True
        return {"type": "http.disconnect", "reason": CUT} if self.cut else {"type": "http.disconnect"}

    cdef int _act(self, PyObject** parts, str kind) except -1:
        if is_same(kind, BODY):
            return self._body(parts)
        if is_same(kind, START):
            return self._start(parts)
        if is_same(kind, PATHSEND):
            return self._path(parts)
        if is_same(kind, ZEROCOPYSEND):
            return self._span(parts)
        if is_same(kind, TRAILERS):
            return self._trailers(parts)
        if is_same(kind, EARLY_HINT):
            return self._hint(parts)
        if is_same(kind, INFORMATIONAL):
            return self._informational(parts)
        self._living(kind)
        raise GatewayError(f"{shown_kind(kind)} is not a valid response message")

    cdef bint _may_go_on(self) except -1:
        """Behind a message: whether the next one may come at once."""
        return self.exchange is None or not self.exchange.congested()

    cdef bint _must_wait(self) except -1:
        """Whether the client still has too much unread."""
        cdef AsyncExchange exchange = self.exchange
        if exchange is None or exchange.gone:
            if self.ended:
                return False
            raise ClientDisconnected("the client went away")
        return exchange.congested()

    cdef AsyncExchange _living(self, str kind):
        """Where a message can go."""
        cdef AsyncExchange exchange = self.exchange
        if self.ended:
            raise GatewayError(f"{shown_kind(kind)} was sent after the response was complete")
        if exchange is None or exchange.gone or self.told:
            raise ClientDisconnected("the client went away")
        if exchange.torn:
            raise ClientDisconnected("the response is incomplete: an earlier message could not be written")
        return exchange

    cdef int _start(self, PyObject** parts) except -1:
        cdef object status_code = part(parts, KEY_STATUS, None)
        cdef object headers = part(parts, KEY_HEADERS, ())
        cdef object trailers = part(parts, KEY_TRAILERS, False)
        cdef str status = checked_status(status_code)
        headers = checked_headers(headers)
        cdef bint trailing = bool(trailers)
        self._living(START)
        if self.started:
            raise GatewayError("http.response.start was sent twice")
        self.status = status
        self.headers = headers
        self.trailing = trailing
        self.started = True
        if not self.starting:
            self.task_runner.call_soon(self._flush_soon, context=self.task_runner.context)
        return 0

    def _flush_soon(self):
        # An application that has failed meanwhile is answered for.
        if self.task is not None and not self.task.done():
            self.flush_head()

    cdef int _respond(self, bytes piece, long long length) except -1:
        cdef AsyncExchange exchange = self.exchange
        exchange.respond(self.status, self.headers, piece, length)
        self.head_sent = True
        return 0

    cdef int _body(self, PyObject** parts) except -1:
        cdef object data = part(parts, KEY_BODY, b"")
        cdef object more_body = part(parts, KEY_MORE_BODY, False)
        cdef bytes piece = checked_bytes(data, "the body")
        cdef bint more = bool(more_body)
        cdef AsyncExchange exchange = self._living(BODY)
        if not self.started:
            raise GatewayError("the response body was sent before http.response.start")
        if self.body_over:
            raise GatewayError("http.response.body was sent after the end of the response body")
        if not self.head_sent:
            self._respond(piece, len(piece) if not more and not self.trailing else -1)
        elif piece:
            exchange.send(piece)
        self.body_begun = True
        return 0 if more else self._end_of_body()

    cdef int _path(self, PyObject** parts) except -1:
        cdef str path = checked_text(part(parts, KEY_PATH, None), "the path")
        cdef AsyncExchange exchange = self._living(PATHSEND)
        cdef long long size = 0
        if not self.started or self.body_begun or self.body_over:
            raise GatewayError("http.response.pathsend is the whole body: send it once, directly after http.response.start")
        span = exchange.open_path(path, &size)
        if size == 0 and not self.trailing and not _says_length(self.headers):
            self.headers = [*self.headers, (b"content-length", b"0")]       # for HEAD too, which has no body to measure
        return self._give_span(span, size, True)

    cdef int _span(self, PyObject** parts) except -1:
        cdef object file = part(parts, KEY_FILE, None)
        cdef object start = part(parts, KEY_OFFSET, None)
        cdef object length = part(parts, KEY_COUNT_OF_BYTES, None)
        cdef bint more = bool(part(parts, KEY_MORE_BODY, False))
        cdef long long offset = _position(start)
        cdef long long count = _position(length)
        cdef AsyncExchange exchange = self._living(ZEROCOPYSEND)
        cdef long long size = 0
        cdef object span = exchange.open_span(file, offset, count, &size)
        self._living(ZEROCOPYSEND)
        if not self.started or self.body_over:
            raise GatewayError("http.response.zerocopysend must be sent between http.response.start and the end of the body")
        return self._give_span(span, size, not more)

    cdef int _give_span(self, object span, long long size, bint last) except -1:
        """A stretch of a file that is open: whatever could fail before the head is sent has not."""
        cdef AsyncExchange exchange = self.exchange
        if not self.head_sent:
            self._respond(b"", size if last and not self.trailing else -1)
        self.body_begun = True
        exchange.send_span(span)
        return self._end_of_body() if last else 0

    cdef int _trailers(self, PyObject** parts) except -1:
        cdef object more_trailers = part(parts, KEY_MORE_TRAILERS, False)
        cdef list headers = list(checked_headers(part(parts, KEY_HEADERS, ())))
        cdef bint more = bool(more_trailers)
        cdef AsyncExchange exchange = self._living(TRAILERS)
        if not self.trailing or not self.body_over:
            raise GatewayError("http.response.trailers must be sent after the body, in a response that was started with trailers=True")
        self.trailers += headers
        if more:
            return 0
        exchange.finish_with(self.trailers)
        return self._end()

    cdef int _hint(self, PyObject** parts) except -1:
        cdef list links = [(b"link", checked_bytes(link, "a link")) for link in part(parts, KEY_LINKS, ())]
        return self._interim(EARLY_HINT, links)

    cdef int _informational(self, PyObject** parts) except -1:
        """A 103 is an early hint. A 100 is sent when the application asks for the body, and 102 is no longer anybody's (RFC 9110 §15.2)."""
        cdef object status = part(parts, KEY_STATUS, None)
        cdef object headers = checked_headers(part(parts, KEY_HEADERS, ()))
        if status == 103:
            return self._interim(INFORMATIONAL, headers)
        if status != 100 and status != 102:
            raise GatewayError("the status of http.response.informational must be 103")
        self._living(INFORMATIONAL)
        return 0

    cdef int _interim(self, str kind, object headers) except -1:
        cdef AsyncExchange exchange = self._living(kind)
        if self.body_over:
            raise GatewayError(f"{kind} must be sent before the end of the body")
        # Behind the head there is no place for it in HTTP/1.1, and a server may leave it out.
        return 0 if self.head_sent else exchange.hint(headers)

    cdef int _end_of_body(self) except -1:
        cdef AsyncExchange exchange = self.exchange
        self.body_over = True
        if self.trailing:
            self.trailers = []
            return 0
        exchange.finish()
        return self._end()

    cdef int _end(self) except -1:
        cdef AsyncExchange exchange = self.exchange
        self.ended = True
        self.exchange = None
        self.arrived()
        self.flushed()      # other tasks of the application's, which nobody would tell later
        return exchange.over()


@cython.freelist(64)
cdef class Receive:
    """What HTTPCall.receive is as a bound method, and quicker to make and to call."""

    def __call__(self):
        cdef HTTPCall call = self.call
        return call.receive()

    def __getattr__(self, name):
        return _of_method(PyMethod_New(RECEIVE, self.call), name)


cdef inline Awaiting _awaiting(HTTPCall call, object content, bint sending):
    cdef Awaiting awaiting = Awaiting.__new__(Awaiting)
    awaiting.call = call
    awaiting.content = content
    awaiting.sending = sending
    return awaiting


cdef object _called_to_send(object call, PyObject** arguments, size_t flags, PyObject* names):
    if names != NULL or PyVectorcall_NARGS(flags) != 1:
        return PyObject_Vectorcall(PyMethod_New(SEND, call), arguments, flags, names)
    return _awaiting(<HTTPCall>call, <object>arguments[0] if <object>arguments[0] is not None else NO_MESSAGE, True)


cdef object _called_to_receive(object receive, PyObject** arguments, size_t flags, PyObject* names):
    cdef HTTPCall call = (<Receive>receive).call
    if names != NULL or PyVectorcall_NARGS(flags):
        return PyObject_Vectorcall(PyMethod_New(RECEIVE, call), arguments, flags, names)
    return _awaiting(call, None, False)


cdef object _of_method(object method, str name):
    return signature(method) if name == "__signature__" else getattr(method, name)


cdef int make_callable(object kind) except -1:
    """Have the interpreter call objects of this class, or subclass of HTTPCall, by their vectorcall."""
    cdef HTTPCall call
    cdef Receive receive
    if kind is Receive:
        receive = Receive.__new__(Receive)
        call_by_vector(kind, <char*>&receive.vectorcall - <char*><void*>receive)
    else:
        call = HTTPCall.__new__(HTTPCall)
        call_by_vector(kind, <char*>&call.vectorcall - <char*><void*>call)
    return 0


make_callable(HTTPCall)
make_callable(Receive)

# What the two are to whoever looks.
cdef object RECEIVE = HTTPCall.receive
cdef object SEND = HTTPCall.send
mark_as_coroutine_function(RECEIVE)
mark_as_coroutine_function(SEND)
