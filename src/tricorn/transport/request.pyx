"""One request and its response, between the protocol that carries it and the application that answers it.

The plan. Three kinds of object, each of which knows the next one by what stands here only. A RequestProtocol turns bytes into requests and
what these send into bytes; it may carry one request at a time (HTTP/1) or many. A Request lives while its request does: it is the
exchange that the gateway talks to, and keeps the call of the application. A Runner makes requests, and says in which
thread or turn they proceed.

Guarantees: whatever an application keeps of a request leads nowhere once that has left its protocol.

Knows: exchanges, requests as such. Must not know: framing, descriptors, threads, event loops.
"""

cimport cython
from cpython.ref cimport Py_DECREF

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from tricorn.gateway.request_builder cimport Peer, decoded_path
from tricorn.http.names cimport equals_lower
from tricorn.http.request cimport NO_BODY, Field, RequestHead, Span
from tricorn.metrics.figures cimport (
    APPLICATION, BEGUN, CLIENT_LEFT, ENDED, QUEUE, QUEUE_FULL, REQUESTS, STATUSES, WAITING, group_of, method_class, note_error, observe,
    status_class,
)
from tricorn.scoreboard cimport monotonic, set_label
from tricorn.static.files cimport Answer, StaticFiles, nothing
from tricorn.transport.admission cimport Admission
from tricorn.transport.channel cimport Channel, Protocol, new_channel
from tricorn.transport.request_ids cimport RequestIds
from tricorn.transport.routes cimport Route, Routes
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.send_queue cimport FileSpan, adopt_span, late_span, may_keep_open, new_span, share_span
from tricorn.tracing.trace cimport SAMPLES_MOST, Trace, end_trace, keep_as, note_behind, read_parent, sample
from tricorn.transport.system cimport (
    CLOCK_REALTIME, CLOCK_REALTIME_COARSE, POLLIN, POLLOUT, clock_gettime, poll, pollfd, timespec,
)
from tricorn.transport.wire cimport wire_await_output, wire_peer

cdef extern from "Python.h":
    int PyUnicode_KIND(object)

from collections import deque

from tricorn.http.request_start import maybe_start, waited
from tricorn.transport.admission import CLIENT_GONE
from tricorn.transport.failures import report
from tricorn.transport.files import maybe_span


cdef long long NEVER = 1 << 61

# Where a request stands, for people who look (names for Python: whoever uses them is rarely called).
HEAD_COMES = "head"             # the client sends its head
BODY_COMES = "body"             # … its body
WAITS = "waiting"               # for a thread or a task
RUNS = "application"            # the application has it, and has given nothing to the client
RESPONDS = "responding"         # … and has begun its response
CLIENT_READS = "client"         # what there is of the response waits for the client to read
SWITCHED = "websocket"          # the connection has become another protocol's


cdef int take_route(Request request, Routes routes, RequestHead head) except -1:
    """The path is the one that came over the wire, decoded: not what a mount point leaves of it."""
    cdef bytes path = decoded_path(head)
    cdef Route route = routes.find(<const unsigned char*>PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path))
    if route is not None:
        request.limit_ns = route.request_timeout
        request.slow_ns = route.slow_request_time
        request.compartment = <Compartment>route.compartment
        request.group = route.group
    return 0


cdef int note_start(Request request, RequestHead head) except -1:
    """X-Request-Start and, where nobody else reads it, traceparent. Of several nobody knows which is the proxy's."""
    cdef Field* field
    cdef bytes found = None
    cdef bint reads_parent = request.protocol.worker.reads_parent
    cdef int starts = 0
    cdef int parents = 0
    cdef int i
    for i in range(head.count):
        field = &head.fields[i]
        if field.name.length == 15 and equals_lower(head.data + field.name.start, 15, b"x-request-start"):
            starts += 1
            found = head.raw(field.value)
        elif reads_parent and field.name.length == 11 and equals_lower(head.data + field.name.start, 11, b"traceparent"):
            parents += 1
            request.is_kept = parents == 1 and read_parent(head.data + field.value.start, field.value.length, request.ids)
    if starts == 1:
        request.sent_at = maybe_start(found) or 0
    return 0


cdef int name_request(Request request, WorkerContext worker, RequestHead head) except -1:
    cdef RequestIds ids = worker.ids
    request.request_id = ids.id_of(head, request.protocol.peer.trusted)
    return request.offer_id()


@cython.final
cdef class Spares:
    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            Py_DECREF(<object>self.kept[i])


cdef RequestProtocol new_nowhere(WorkerContext worker):
    cdef RequestProtocol nowhere = RequestProtocol.__new__(RequestProtocol)
    nowhere.worker = worker
    nowhere.channel = new_channel(worker.channels, -1, 0)
    nowhere.channel.closed = nowhere.channel.gone = True
    return nowhere


cdef class Compartment:
    def __init__(self, Runner runner, Route route):
        """route: whose limits hold for those who wait; None: the worker's do."""
        cdef WorkerContext worker = runner.worker
        self.nowhere = runner.nowhere
        self.waiting = deque()
        if route is None:
            self.admission = Admission(worker.row, worker.max_queue, worker.max_queue_time)
        else:
            self.admission = Admission(worker.row, route.max_queue, route.max_queue_time, route.name())

    cdef int free(self) noexcept:
        return 0

    cdef int forget_passed_over(self) except -1:
        """While nobody takes them up, they would stay where they are."""
        cdef object waiting = self.waiting
        while waiting and isinstance(waiting[0], Request) and (<Request>waiting[0]).protocol is self.nowhere:
            waiting.popleft()
        return 0


cdef class Runner:
    def __init__(self, WorkerContext worker):
        self.worker = worker
        self.spares = Spares()
        self.nowhere = new_nowhere(worker)

    cdef Compartment new_compartment(self, Route route):
        raise NotImplementedError

    cdef int divide(self) except -1:
        cdef Routes routes = self.worker.routing
        cdef Compartment own
        cdef Route route
        self.compartment = self.new_compartment(None)
        self.compartments = [self.compartment]
        for route in routes.all if routes is not None else ():
            own = self.new_compartment(route)
            route.compartment = self.compartment if own is None else own
            if own is not None:
                self.compartments.append(own)
        return 0

    cdef Request new_request(self, RequestProtocol protocol, RequestHead head):
        raise NotImplementedError

    cdef int enter(self, Channel channel, ThreadContext thread) except -1:
        return 0

    cdef bint may_call(self) noexcept:
        return True

    cdef int queue_up(self, object waiting) except -1:
        raise NotImplementedError

    cdef int start_all(self, list requests, ThreadContext thread) except -1:
        cdef Request request
        for request in requests:
            request.start(thread)
        return 0

    cdef int begins(self, Request request, ThreadContext thread) except -1:
        if self.worker.counts and request.begun_ns == 0:
            count_begin(self.worker.figures, request)
        return set_label(thread.cell, request.method, request.uri)

    cdef int ends(self, Request request, ThreadContext thread) except -1:
        """`thread.now` is when."""
        cdef WorkerContext worker = self.worker
        if worker.access_log is not None:
            _log_access(worker, request, thread.now)
        if request.begun_ns:
            request.came_ns = count_end(worker.figures, request, thread.now)
        worker.requests += 1
        if worker.requests == worker.max_requests:
            worker.worn = True
            worker.channels.wake()
        return 0

    cdef int passes_over(self, Request request, ThreadContext thread) except -1:
        if self.worker.access_log is not None:
            _log_access(self.worker, request, thread.now)
        if self.worker.counts and (self.worker.tracer is not None or request.slow_ns):
            _trace_passed(request, thread.now)
        return count_passed(self.worker.figures, request, thread.now) if self.worker.figures != NULL else 0

    cdef int give_up(self, Channel channel, object error) except -1:
        report(self.worker.logger, "Internal error; the connection is closed", error=error)
        return channel.abort()

    cdef bint holds(self, Channel channel, ThreadContext thread, bint more) except -1:
        return False

    cdef int await_input(self, Channel channel, int timeout_ms) except -1:
        channel.await_input(timeout_ms)
        return 0

    cdef int await_output(self, Channel channel, int timeout_ms) except -1:
        wire_await_output(channel.fd, timeout_ms)
        return 0

    cdef bint await_either(self, int waker, Channel channel, int timeout_ms) except -1:
        cdef pollfd[2] waiting
        cdef int count = 1
        waiting[0] = pollfd(waker, POLLIN, 0)
        if channel is not None:
            waiting[1] = pollfd(channel.fd, POLLIN | (POLLOUT if channel.has_queued() else 0), 0)
            count = 2
        with nogil:
            poll(waiting, count, timeout_ms)
        return count == 2 and waiting[1].revents != 0

    cdef int send(
        self, Channel channel, ThreadContext thread, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, bint is_last,
    ) except -1:
        return channel.send(out, piece, tail, tail_size)


cdef int count_begin(long long* figures, Request request) except -1:
    """`started_ns` is when."""
    cdef long long* group
    cdef timespec now
    cdef long long queued
    if request.protocol.worker.tracer is not None or request.slow_ns or request.is_kept:
        request.begin_trace(request.source())
    request.begun_ns = request.started_ns
    if request.came_ns == 0:
        request.came_ns = request.begun_ns
    if figures == NULL:
        return 0
    group = group_of(figures, request.group)
    group[BEGUN] += 1
    observe(group + WAITING, request.begun_ns - request.came_ns)
    if request.sent_at:
        clock_gettime(CLOCK_REALTIME, &now)
        queued = waited(request.sent_at, <long long>now.tv_sec * 1000000000 + now.tv_nsec)
        if queued >= 0:
            observe(group + QUEUE, queued)
    return 0


cdef long long count_end(long long* figures, Request request, long long now) noexcept:
    """A connection that somebody has kept for an hour tells nothing of how fast responses are."""
    cdef long long* group
    cdef int outcome = request.outcome()
    cdef long long begun = request.begun_ns
    request.begun_ns = 0
    if request.trace is not None:
        _note_end(request, outcome, now)
    if figures == NULL:
        return request.came_ns if request.trace is not None else 0
    group = group_of(figures, request.group)
    group[ENDED] += 1
    group[REQUESTS + method_class(request.method) * STATUSES + outcome] += 1
    if outcome == 1:
        return 0
    observe(group + APPLICATION, now - begun)
    return request.came_ns


cdef void count_left(Request request) noexcept:
    cdef long long* figures = request.protocol.worker.figures
    cdef long long* group
    cdef Trace trace = request.trace
    request.begun_ns = 0
    if trace is not None:
        request.trace = None
        trace.ended_ns = monotonic()
        if trace.slow_ns:
            _describe(trace, request)
        note_behind(trace, False, trace.ended_ns)
        end_trace(trace, trace.ended_ns, True)
    if figures != NULL:
        group = group_of(figures, request.group)
        group[ENDED] += 1
        group[REQUESTS + method_class(request.method) * STATUSES] += 1


cdef void _note_end(Request request, int outcome, long long now) noexcept:
    """Its application is done with it. Its response may still be on its way: then its protocol tells when it is out."""
    cdef Trace trace = request.trace
    trace.ended_ns = now
    trace.status = _maybe_answer(request)
    trace.left = request.gone or trace.status is None
    trace.lasts = outcome == 1
    if trace.first_ns == 0 and trace.status is not None:
        trace.first_ns = now            # the server has answered in place of the application
    if trace.slow_ns:
        _describe(trace, request)
        note_behind(trace, False, now)
    if trace.lasts:
        request.trace = None
        leave_out(trace)
        trace.left = False              # to leave is how such a thing ends
        end_trace(trace, now, False)


cdef void _describe(Trace trace, Request request) noexcept:
    """For people who look at what was slow: how far it has come."""
    trace.body_sent = request.body_sent
    trace.client_sends_ns += request.body_waited - trace.sends_seen_ns
    trace.sends_seen_ns = request.body_waited


cdef object _with_timing(Request request, object headers):
    """How long its response has taken by now (W3C Server Timing), behind what the application says of itself: `queue`, before it came here, where a
    trusted proxy says since when; `wait`, for a thread or a task; `app`, in the application. Milliseconds."""
    cdef bint octets = request.protocol.runner.octets
    cdef long long taken = monotonic() - request.started_ns
    cdef long long waited = request.started_ns - request.came_ns if request.came_ns else 0
    cdef long long queued = request.queued(taken)
    cdef str value = f"wait;dur={waited / 1e6:.1f}, app;dur={taken / 1e6:.1f}"
    if queued >= 0:
        value = f"queue;dur={max(<long long>0, queued - waited) / 1e6:.1f}, {value}"
    fields = list(headers)
    fields.append((b"Server-Timing", value.encode("ascii")) if octets else ("Server-Timing", value))
    return fields


cdef str _maybe_answer(Request request):
    """What its client got; None: it had gone before."""
    cdef str status = request.answered()
    return None if status is CLIENT_GONE else status


cdef int _trace_passed(Request request, long long now) except -1:
    """It was answered without its application, or its client has left the queue."""
    cdef Trace trace
    cdef dict source = request.source()
    if source is None:
        return 0
    request.begin_trace(source)
    trace = request.trace
    request.trace = None
    trace.begun_ns = 0
    trace.head_ns = request.head_ns or request.came_ns or now
    trace.queued_ns = request.came_ns
    trace.ended_ns = now
    trace.status = _maybe_answer(request)
    if trace.status is not None:
        trace.first_ns = now
    if trace.slow_ns:
        _describe(trace, request)
    end_trace(trace, now, trace.status is None)
    return 0


cdef int count_passed(long long* figures, Request request, long long now) noexcept:
    cdef long long* group = group_of(figures, request.group)
    group[REQUESTS + method_class(request.method) * STATUSES + request.outcome()] += 1
    observe(group + WAITING, now - request.came_ns if request.came_ns else 0)
    request.came_ns = 0
    return 0


cdef int _log_access(WorkerContext worker, Request request, long long now) except -1:
    cdef timespec wall
    clock_gettime(CLOCK_REALTIME_COARSE, &wall)
    request.log_access(worker.access_log, now - request.started_ns, <double>wall.tv_sec + wall.tv_nsec * 1e-9)
    return 0


@cython.no_gc
cdef class RequestProtocol(Protocol):
    cdef int respond(self, Request request, str status, object headers, bytes piece, long long length) except -1:
        raise NotImplementedError

    cdef int send_piece(self, Request request, bytes piece) except -1:
        raise NotImplementedError

    cdef int send_span(self, Request request, FileSpan span) except -1:
        raise NotImplementedError

    cdef int finish(self, Request request, list trailers) except -1:
        raise NotImplementedError

    cdef int hint(self, Request request, object headers) except -1:
        return 0

    cdef bint wants_no_body(self, Request request) noexcept:
        return False

    cdef bint is_congested(self, Request request, Py_ssize_t most) noexcept:
        return False

    cdef bint is_passable(self) noexcept:
        return False

    cdef bint is_unanswered(self, Request request) noexcept:
        return True

    cdef bint answer(self, Request request, int status) except -1:
        raise NotImplementedError

    cdef int decline(self, Request request, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef void end_after(self, Request request) noexcept:
        return

    cdef int version_of(self, Request request) noexcept:
        return 11

    cdef bint body_is_open(self, Request request) noexcept:
        return False

    cdef long long body_received(self, Request request) noexcept:
        return 0

    cdef int ask_for_body(self, Request request) except -1:
        return 0

    cdef bint owes_continue(self, Request request) noexcept:
        return False

    cdef bint read_now(self, Request request, ThreadContext thread) except -1:
        return False

    cdef bytes pull_body(self, Request request, Py_ssize_t size):
        return b""

    cdef ssize_t fetch(self, Request request) except? -3:
        return 0

    cdef int await_body(self, Request request, int timeout_ms) except -1:
        return 0

    cdef int took_some(self, Request request) except -1:
        return 0

    cdef int cut_body(self, Request request, ThreadContext thread, object error) except -1:
        return 0

    cdef int await_room(self, Request request, ThreadContext thread, int timeout_ms) except -1:
        return 0

    cdef bint take_up(self, Request request) except -1:
        return False        # where a request that is over belongs: it may still stand in a queue

    cdef int peer_of(self, Request request) noexcept:
        return wire_peer(self.channel.fd)

    cdef int rest(self, Request request) except -1:
        return 0

    cdef int part_with(self, Request request) except -1:
        cdef Channel channel = self.channel
        return channel.close()

    cdef int break_off(self, Request request) except -1:
        cdef Channel channel = self.channel
        return channel.lose()

    cdef int cut_client(self, Request request) except -1:
        return self.break_off(request)

    cdef int done_with(self, Request request, ThreadContext thread) except -1:
        return self.settle(thread)

    cdef int look_again(self, Request request) except -1:
        return 0

    cdef int request_over(self, Request request, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef bytes hand_over(self, Request request):
        raise NotImplementedError

    cdef int queue_up(self, Request request) except -1:
        raise NotImplementedError

    def told_of(self, str phase, long long since, client=None):
        """What is said of whatever goes on, request or not: see Request.told(). client: anything; if it is no text, the peer is told."""
        cdef Peer peer = self.peer
        if type(client) is not str:
            client = peer.host if peer is not None else None
        return {"phase": phase, "since": since, "client": client}


cdef class ProtocolMaker:
    cdef Protocol make(self, Channel channel, Runner runner, object builder, Peer peer, bytes rest, dict tls):
        raise NotImplementedError


# The answers to probes, and their fields where applications speak str, and bytes.
cdef bytes ALIVE = b"alive\n"
cdef bytes IS_READY = b"ready\n"
cdef bytes IS_STOPPING = b"stopping\n"
cdef tuple PROBE_FIELDS = (
    [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")],
    [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Cache-Control", b"no-store")],
)


cdef bint _is(RequestHead head, Span span, bytes text) noexcept:
    return span.length == <size_t>PyBytes_GET_SIZE(text) and memcmp(
        head.data + span.start, PyBytes_AS_STRING(text), span.length
    ) == 0


cdef bytes probe_of(WorkerContext worker, RequestHead head):
    if head.framing != NO_BODY or not (head.is_head or _is(head, head.method, b"GET")):
        return None
    if worker.health is not None and _is(head, head.path, worker.health):
        return ALIVE
    if worker.ready is not None and _is(head, head.path, worker.ready):
        return IS_STOPPING if worker.row.data.stopping == 1 else IS_READY
    return None


cdef tuple probe_status(WorkerContext worker, bytes answer, bint octets):
    return "503 Service Unavailable" if answer is IS_STOPPING else "200 OK", PROBE_FIELDS[octets]


cdef list pieces_of(Answer answer, bint may_wait):
    cdef list pieces = []
    cdef FileSpan owner = None
    cdef bint is_late = may_wait and answer.fd >= 0 and not may_keep_open()
    for part in answer.parts:
        if type(part) is bytes:
            pieces.append(part)
        elif is_late:
            answer.close()
            pieces.append(late_span(answer, part[0], part[1]))
        elif owner is None:
            owner = adopt_span(answer.take(), part[0], part[1])
            pieces.append(owner)
        else:
            pieces.append(share_span(owner, part[0], part[1]))
    return pieces


# What names a file, in lower case.
cdef frozenset NAMING = frozenset((b"x-sendfile", b"x-accel-redirect"))
# Fields of the application's that are ours to say of a file that it names, in lower case; besides, all of nginx's X-Accel-….
cdef frozenset OURS = frozenset((
    b"x-sendfile", b"content-length", b"content-range", b"content-type", b"accept-ranges", b"etag", b"last-modified",
))


@cython.final
cdef class NamedFile:
    """What a response says of a file that is to be sent in the place of its body."""

    cdef bytes name
    cdef bint is_url        # a path as in a URL, else one of the system
    cdef bytes kind         # its type; None: the application does not say
    cdef readonly list fields       # the application's others


cdef NamedFile named_file(object headers, bint octets):
    """None: none is named. (What is no field is left to whoever writes the head, and refuses it.)"""
    cdef NamedFile named = None
    cdef bytes name
    cdef bytes kind = None
    fields = []
    for header in headers:
        name = _lower_name(header, octets)
        if name in NAMING:
            named = NamedFile.__new__(NamedFile)
            named.name = _value(header[1], octets)
            named.is_url = name == b"x-accel-redirect"
        elif name == b"content-type":
            kind = _value(header[1], octets)
        if name is None or not (name in OURS or name.startswith(b"x-accel-")):
            fields.append(header)
    if named is None or named.name is None:
        return None
    named.kind = kind
    named.fields = fields
    return named


cdef list without_names(object headers, bint octets):
    return [header for header in headers if _lower_name(header, octets) not in NAMING]


cdef bytes _lower_name(object header, bint octets):
    """None: that is no field."""
    if (type(header) is not tuple and type(header) is not list) or len(header) != 2:
        return None
    name = _value(header[0], octets)
    return None if name is None else (<bytes>name).lower()


cdef bytes _value(object text, bint octets):
    if octets:
        return <bytes>text if type(text) is bytes else None
    # Beyond Latin-1 it is no field (PEP 3333); that is said where the head is written.
    return (<str>text).encode("latin-1") if type(text) is str and PyUnicode_KIND(text) == 1 else None


cdef int respond_named(Request request, NamedFile named) except -1:
    """The file, with what the application says besides."""
    cdef RequestProtocol protocol = request.protocol
    cdef WorkerContext worker = protocol.worker
    cdef StaticFiles files = worker.sent_files
    cdef Answer answer
    cdef list fields = []
    worker.refresh_date()
    answer = files.named(named.name, named.is_url, request.asked, named.kind, worker.defaults.second)
    if answer is None:
        worker.logger.error(
            "The application names a file that is not there, or not in a directory of x_sendfile (%s %s): %s",
            request.method, request.uri, named.name.decode("utf-8", "backslashreplace"),
        )
        answer = nothing(request.asked.is_get)
    if answer.status[0] != "4" and answer.status[0] != "5":
        fields = named.fields
    if protocol.runner.octets:
        fields = fields + answer.fields
    else:
        fields = fields + [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.fields]
    request.note_status(answer.status)
    pieces = pieces_of(answer, protocol.version_of(request) == 20)
    first = pieces[0] if pieces and type(pieces[0]) is bytes else b""
    protocol.respond(request, answer.status, fields, <bytes>first, answer.length)
    request.replaced = True
    for piece in pieces[1:] if first else pieces:
        if request.gone or protocol.wants_no_body(request):
            break
        if type(piece) is bytes:
            protocol.send_piece(request, <bytes>piece)
        else:
            protocol.send_span(request, <FileSpan>piece)
    return protocol.finish(request, None)


cdef Afterwards new_afterwards(Afterwards made, Runner runner, Compartment compartment, object context, object visit):
    made.compartment = compartment
    made.worker = runner.worker
    made.channel = runner.nowhere.channel
    made.context = context
    made.visit = visit
    return made


cdef int owe(Afterwards afterwards, Runner runner) except -1:
    runner.worker.owed += 1
    return runner.queue_up(afterwards)


cdef class Afterwards(Protocol):
    cdef int _call(self) except -1:
        cdef WorkerContext worker = self.worker
        cdef object context = self.context
        cdef object failure = None
        try:
            context.run(self.visit._afterwards)
        except BaseException as error:      # a hook's own are dealt with there
            failure = error
        worker.owed -= 1
        if worker.forsaken:
            worker.end_stranger()
        if failure is not None:
            report(worker.logger, "The hook after_response was left", error=failure)
        if worker.channels.draining:
            worker.channels.wake()          # the worker may end now
        return 0


cdef class Request(AsyncExchange):
    cdef int outcome(self) noexcept:
        return 0

    cdef int receive(self, dict source) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef Peer peer = protocol.peer
        cdef object visitors = protocol.worker.visitors
        self.visit = visitors.visit((self.method, self.uri, protocol.version_of(self), peer.host, peer.number), source)
        return 0

    cdef int begin_trace(self, dict source) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef WorkerContext worker = protocol.worker
        cdef Peer peer = protocol.peer
        cdef Trace trace
        if worker.tracer is None:
            trace = Trace.__new__(Trace)
        else:
            trace = <Trace?>worker.tracer.begin(self.method, self.uri, protocol.version_of(self), peer.host, peer.number, source)
        trace.counted_ns = self.started_ns
        # Making a span takes its time. Without one nothing has happened since.
        trace.begun_ns = self.started_ns if worker.tracer is None else monotonic()
        if self.is_kept:
            keep_as(trace, self.ids)
        if self.slow_ns:
            trace.slow_ns = self.slow_ns
            trace.kept = worker.slow
            trace.version = protocol.version_of(self)
            trace.sends_seen_ns = self.body_waited      # what came before was not waited for by its application
            trace.method = self.method
            trace.uri = self.uri
            trace.request_id = self.request_id
            trace.group = self.group
        trace.queued_ns = self.came_ns
        # Without a body it could have begun with its head.
        trace.head_ns = min(self.head_ns or self.came_ns or trace.begun_ns, trace.begun_ns)
        self.trace = trace
        return 0

    cdef str answered(self):
        return None

    cdef dict source(self):
        return None

    cdef Delivery open_body(self, ThreadContext thread, long long length) except *:
        raise NotImplementedError

    cdef bint take_whole(self, const unsigned char* data, Py_ssize_t size) except -1:
        return False

    cdef int take_body_part(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        raise NotImplementedError

    cdef int took_body(self, ThreadContext thread, bint is_over, bint was_chunked, long long received) except -1:
        raise NotImplementedError

    cdef int place_body(self, unsigned char** place, Py_ssize_t* size, unsigned long long remaining) except -1:
        return 0

    cdef int placed(self, Py_ssize_t size) except -1:
        raise NotImplementedError

    cdef int start(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int proceed(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int on_event(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int on_input_end(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int on_flushed(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int on_queued(self) except -1:
        raise NotImplementedError

    cdef int on_lost(self) except -1:
        raise NotImplementedError

    cdef bint on_cut(self, ThreadContext thread, object error) except -1:
        raise NotImplementedError

    cdef int interest(self) noexcept:
        return 0

    cdef bint overdue(self, long long now) noexcept:
        return False

    cdef int expire(self, ThreadContext thread, long long now) except -1:
        raise NotImplementedError

    cdef object produces(self):
        return None

    cdef int cut(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int on_body(self, ThreadContext thread) except -1:
        return 0

    cdef long long untaken(self) noexcept:
        return 0

    cdef int go_away(self, int code) except -1:
        return 0

    cdef bint has_trailers(self) noexcept:
        return False

    cdef bint wants_body(self) noexcept:
        return True

    cdef int let_go(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef ThreadContext writing_thread(self):
        raise NotImplementedError

    cdef int offer_id(self) except -1:
        return 0

    cdef int offer_socket(self) except -1:
        return 0

    cdef int leave_to_application(self) except -1:
        raise NotImplementedError

    cdef int on_drain(self, int code) except -1:
        return 0

    cdef int log_access(self, object log, long long elapsed, double wall) except -1:
        return 0

    cdef int touch(self) except -1:
        raise NotImplementedError

    cdef long long queued(self, long long elapsed) except -2:
        cdef timespec now
        if self.sent_at == 0:
            return -1
        clock_gettime(CLOCK_REALTIME, &now)
        return waited(self.sent_at, <long long>now.tv_sec * 1000000000 + now.tv_nsec - elapsed)

    # ---- while it waits ------------------------------------------------------------------------------

    cdef int leave_queue(self) except -1:
        cdef Admission admission = self.compartment.admission
        self.waits = False
        admission.leave()
        return 0

    cdef int give_up(self, ThreadContext thread) except -1:
        cdef Compartment compartment = self.compartment
        cdef RequestProtocol protocol = self.protocol
        cdef Runner runner = protocol.runner
        self.note_status(CLIENT_GONE)
        runner.worker.row.data.left += 1
        note_error(runner.worker.figures, CLIENT_LEFT)
        runner.passes_over(self, thread)
        protocol.part_with(self)
        return compartment.forget_passed_over()

    cdef str decline(self, ThreadContext thread, bint late):
        cdef Compartment compartment = self.compartment
        cdef RequestProtocol protocol = self.protocol
        cdef Admission admission = compartment.admission
        cdef str news = admission.refuse(late, thread.now)
        self.note_status(admission.status)
        note_error(protocol.worker.figures, QUEUE_FULL)
        protocol.decline(self, thread)
        compartment.forget_passed_over()
        return news

    cdef void note_status(self, str status) noexcept:
        return

    # ---- the time that the application has -----------------------------------------------------------

    cdef long long silent_since(self, long long now) noexcept:
        return now

    cdef long long due(self, long long now) noexcept:
        if self.limit_ns == 0:
            return NEVER
        return max(self.silent_since(now) + min(self.limit_ns, NEVER), self.granted_ns)

    cdef bint is_slow(self, long long now) noexcept:
        """Each time after twice the silence of the time before."""
        if self.slow_ns == 0 or self.samples >= SAMPLES_MOST:
            return False
        return now - self.silent_since(now) >= min(self.slow_ns, NEVER >> SAMPLES_MOST) << self.samples

    cdef bint note_slow(self, long long now, str stack) except -1:
        self.samples += 1
        if self.trace is not None and self.trace.slow_ns:
            _describe(self.trace, self)
            sample(self.trace, now, now - self.silent_since(now), stack)
        return self.samples == 1

    # ---- the time that a client has for its body ---------------------------------------------------------

    cdef void wait_for_body(self, bint wanted) noexcept:
        """The client has sent something, or has been asked for more: its time begins anew. wanted: more is waited for."""
        cdef WorkerContext worker = self.protocol.worker
        cdef long long now
        if not worker.body_timeout or (not wanted and self.body_since == 0):
            return
        now = monotonic()
        if self.body_since:
            self.body_waited += now - self.body_since
        self.body_since = now if wanted else 0
        self.body_deadline = now + worker.body_timeout if wanted else 0

    def postpone(self, long long late):
        """As Protocol.postpone()."""
        if self.body_since:
            self.body_since = min(self.body_since + late, monotonic())
        if self.body_deadline:
            self.body_deadline += late

    cdef bint body_is_late(self, long long now) noexcept:
        """A stall, or a body below the minimum rate, once the client has had the time of one stall."""
        cdef WorkerContext worker = self.protocol.worker
        cdef long long waited
        if self.body_deadline != 0 and self.body_deadline <= now:
            return True
        if self.body_since == 0 or worker.min_body_rate == 0:
            return False
        waited = self.body_waited + now - self.body_since
        if waited <= worker.body_timeout:
            return False
        return self.protocol.body_received(self) < worker.min_body_rate * (waited // 1000000) // 1000

    # ---- what the gateway calls (gateway/exchange.pxd) ---------------------------------------------------

    cdef int respond(self, str status, object headers, bytes piece, long long length) except -1:
        cdef RequestProtocol protocol = self.protocol
        if self.trace is not None:
            self.trace.first_ns = monotonic()
        if protocol.worker.server_timing:
            headers = _with_timing(self, headers)
        if self.asked is not None:
            named = named_file(headers, protocol.runner.octets)
            if named is not None:
                if status[:3] in ("200", "206"):
                    return respond_named(self, named)
                headers = without_names(headers, protocol.runner.octets)
        return protocol.respond(self, status, headers, piece, length)

    cdef int send(self, bytes piece) except -1:
        cdef RequestProtocol protocol = self.protocol
        return 0 if self.replaced else protocol.send_piece(self, piece)

    cdef int finish(self) except -1:
        cdef RequestProtocol protocol = self.protocol
        return 0 if self.replaced else protocol.finish(self, None)

    cdef bint respond_file(self, str status, object headers, object file) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef long long size
        if not protocol.worker.sendfile or (self.asked is not None and named_file(headers, protocol.runner.octets) is not None):
            return False
        span = maybe_span(file)
        if span is None:
            return False        # to be read like any other iterable
        if self.trace is not None:
            self.trace.first_ns = monotonic()
        source, offset, size = span
        if protocol.worker.server_timing:
            headers = _with_timing(self, headers)
        protocol.respond(self, status, headers, b"", size)
        # A descriptor of its own: the application may close its file at once, the client may take its time.
        if size and not self.gone and not protocol.wants_no_body(self):
            protocol.send_span(self, new_span(source, offset, size))
        protocol.finish(self, None)
        return True

    cdef bint wants_no_body(self) noexcept:
        return self.replaced or self.protocol.wants_no_body(self)

    cdef bint congested(self) noexcept:
        cdef bint congested = self.protocol.is_congested(self, self.protocol.worker.response_buffer)
        if self.trace is not None:
            self.note_congestion(congested)
        return congested

    cdef void note_congestion(self, bint congested) noexcept:
        cdef Trace trace = self.trace
        if trace is not None and (congested or trace.behind_ns):
            note_behind(trace, congested, monotonic())

    cdef int hint(self, object headers) except -1:
        cdef RequestProtocol protocol = self.protocol
        return protocol.hint(self, headers)

    def told(self, str phase, long long since):
        """For people who look: as a dict that JSON takes. phase: as its protocol sees it. since: ns; 0: that is not known."""
        cdef RequestProtocol protocol = self.protocol
        if self.waits:
            phase = WAITS
        elif phase == RESPONDS and self.outcome() == 1:
            phase = SWITCHED
        elif phase == RUNS and self.body_since:
            phase = BODY_COMES
        return protocol.told_of(phase, since, self.client()) | {
            "method": self.method, "target": self.uri, "http": protocol.version_of(self), "sent": self.body_sent, "id": self.request_id,
        }

    def client(self):
        """Who has sent it, as its application is told (a trusted proxy may have said so); None: that is not known."""
        return None

    def log_length(self, what):
        self.protocol.worker.logger.warning(
            "The application sent %s bytes than its Content-Length says (%s %s)",
            what, self.method, self.uri,
        )
