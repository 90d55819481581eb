cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from tricorn.gateway.exchange cimport AsyncExchange
from tricorn.gateway.request_builder cimport Peer
from tricorn.http.buffer cimport Buffer
from tricorn.http.request cimport NO_BODY, RequestHead
from tricorn.metrics.figures cimport SENDING, WHOLE, exemplify, group_of, observe
from tricorn.scoreboard cimport monotonic
from tricorn.static.asked cimport Asked, read_asked_of_any
from tricorn.static.files cimport Answer
from tricorn.transport.admission cimport Admission
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.routes cimport Route, Routes
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.send_queue cimport FileSpan
from tricorn.tracing.trace cimport Trace, end_trace
from tricorn.transport.worker_context cimport WorkerContext

cdef enum:
    SPARES = 64

# An instant that does not come, ns. Two of them can be added.
cdef long long NEVER

# How a request wants its body.
cdef enum Delivery:
    COLLECTED           # it begins when all of it is here
    STREAMED            # it begins at once, and is given what comes
    PULLED              # it begins at once, and asks for it

# Requests that are over, to be used again.
@cython.final
cdef class Spares:
    cdef PyObject* kept[SPARES]
    cdef int count

    cdef inline void put(self, Request request) noexcept:
        if request.begun_ns:
            count_left(request)
        if self.count < SPARES:
            Py_INCREF(request)
            self.kept[self.count] = <PyObject*>request
            self.count += 1

    # One that nobody else has (a thread may still be on its way out of one that is over), with nothing of that in what every
    # request has; None: there is none.
    cdef inline Request take(self):
        cdef Request request
        while self.count:
            self.count -= 1
            request = <Request>self.kept[self.count]
            Py_DECREF(request)
            if self.kept[self.count].ob_refcnt == 1:
                request.gone = request.torn = False
                request.samples = 0
                request.came_ns = request.begun_ns = 0
                request.body_sent = request.body_deadline = request.body_since = request.body_waited = request.granted_ns = 0
                return request
        return None

# Where requests run, and where they wait for that, apart from those of other compartments: a route's, or all that have no other.
cdef class Compartment:
    cdef Admission admission
    cdef object waiting             # deque, in the order in which they proceed: Requests, and Protocols that gave way
    cdef RequestProtocol nowhere    # whose are the requests that wait no more

    # How many more requests could run in it, just now.
    cdef int free(self) noexcept
    # Those at the head of the queue that have been refused or given up.
    cdef int forget_passed_over(self) except -1

# Who answers requests: the application, on threads or in an event loop.
cdef class Runner:
    cdef WorkerContext worker
    cdef Compartment compartment    # of all requests that have none of their own
    cdef list compartments          # this one, then those of routes
    cdef bint octets                # the applications speak bytes (ASGI), not str (WSGI)
    cdef bint has_websockets        # … and WebSockets
    cdef bint reads_apart           # while an application waits for its client, others read its channel
    cdef Spares spares
    cdef RequestProtocol nowhere    # whose are the requests that are over; its channel is closed

    # Of a route; None: the one for all that have none of their own. Returns None where the route has none either.
    cdef Compartment new_compartment(self, Route route)
    # Make all of them.
    cdef int divide(self) except -1
    # The gateway's form of a request. Raises ProtocolError.
    cdef Request new_request(self, RequestProtocol protocol, RequestHead head)
    # This thread begins to deal with a channel.
    cdef int enter(self, Channel channel, ThreadContext thread) except -1
    # Whether an application may be called from here.
    cdef bint may_call(self) noexcept
    # `waiting`, a Request or a Protocol, is to proceed in a turn of its own.
    cdef int queue_up(self, object waiting) except -1
    # Where every request begins, and where it ends: as far as its application goes, with all of its response handed over.
    cdef int begins(self, Request request, ThreadContext thread) except -1
    cdef int ends(self, Request request, ThreadContext thread) except -1
    # It was answered, or given up, before it began. `thread.now` is when.
    cdef int passes_over(self, Request request, ThreadContext thread) except -1
    # Serving a channel failed through a fault of ours.
    cdef int give_up(self, Channel channel, object error) except -1
    # Requests of one channel that have come together begin, or wait for that.
    cdef int start_all(self, list requests, ThreadContext thread) except -1
    # Whether what a channel has to send may wait for a moment, to leave with that of others: then its protocol hears on_flushed(). more: there
    # will be more to send on this one.
    cdef bint holds(self, Channel channel, ThreadContext thread, bint more) except -1
    # The application waits for its client, on whatever it runs on, for so long at most: for input, for room, until `waker`, an eventfd, is written
    # or, where nobody else reads the channel meanwhile, something comes on it. channel: None, if somebody does. Whether something has come.
    cdef int await_input(self, Channel channel, int timeout_ms) except -1
    cdef int await_output(self, Channel channel, int timeout_ms) except -1
    cdef bint await_either(self, int waker, Channel channel, int timeout_ms) except -1
    # Send on a channel, now or together with others. is_last: it completes a response.
    cdef int send(
        self, Channel channel, ThreadContext thread, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, bint is_last) except -1

# Makes the protocol of a channel. rest: what was read of it before, or None. tls: as in RequestProtocol.
cdef class ProtocolMaker:
    cdef Protocol make(self, Channel channel, Runner runner, object builder, Peer peer, bytes rest, dict tls)

# The answer to a request that asks how the worker is; None: it is a request like others. Status and fields of the answer.
cdef bytes probe_of(WorkerContext worker, RequestHead head)
cdef tuple probe_status(WorkerContext worker, bytes answer, bint octets)

# The body of an answer from a file, in its order: bytes, and FileSpans that share its descriptor, which it gives up. may_wait: for one that
# reads them; where many wait already they have none, and the answer as their source.
cdef list pieces_of(Answer answer, bint may_wait)

# A protocol whose messages are requests and responses.
@cython.no_gc
cdef class RequestProtocol(Protocol):
    cdef WorkerContext worker
    cdef Runner runner
    cdef Peer peer
    cdef object builder             # the RequestBuilder for what comes in at this listener
    cdef dict tls                   # what applications are told of the TLS of their connection; None: nothing

    # ---- what a request asks of it; as in gateway/exchange.pxd
    cdef int respond(self, Request request, str status, object headers, bytes piece, long long length) except -1
    cdef int send_piece(self, Request request, bytes piece) except -1
    cdef int send_span(self, Request request, FileSpan span) except -1
    cdef int finish(self, Request request, list trailers) except -1
    cdef int hint(self, Request request, object headers) except -1
    cdef bint wants_no_body(self, Request request) noexcept
    cdef bint is_congested(self, Request request, Py_ssize_t most) noexcept

    # Whether what its client sends now begins a request, and nothing else binds the channel to this worker.
    cdef bint is_passable(self) noexcept
    # Whether nothing of the response is out, nor on its way.
    cdef bint is_unanswered(self, Request request) noexcept
    # Answer in place of the application. Whether that could still be done; if not, the client sees that the response is cut.
    cdef bint answer(self, Request request, int status) except -1
    # Refuse it, before it has begun: its time may have come again soon. This thread deals with the request.
    cdef int decline(self, Request request, ThreadContext thread) except -1
    # No other request may follow on this connection, where that can be said.
    cdef void end_after(self, Request request) noexcept
    # of HTTP: 10, 11, 20
    cdef int version_of(self, Request request) noexcept

    # Whether more of the body is to come; how much of it has, and how much is still to come, by what is known.
    cdef bint body_is_open(self, Request request) noexcept
    cdef long long body_received(self, Request request) noexcept
    # Its body is wanted: the client may have to be told (100 Continue).
    cdef int ask_for_body(self, Request request) except -1
    cdef bint owes_continue(self, Request request) noexcept
    # STREAMED: read what is there, on the spot. Whether some of it was body.
    cdef bint read_now(self, Request request, ThreadContext thread) except -1
    # PULLED: at most `size` bytes of what is here; None: it has to be fetched. Raises ProtocolError.
    cdef bytes pull_body(self, Request request, Py_ssize_t size)
    # PULLED: read from the client, as Channel.read().
    cdef ssize_t fetch(self, Request request) except? -3
    # PULLED: have this thread wait until there may be something to fetch.
    cdef int await_body(self, Request request, int timeout_ms) except -1
    # It has taken some of what it was given of its body (Request.untaken): there is room for more.
    cdef int took_some(self, Request request) except -1
    # The body cannot be read on: refuse the request, if that is still possible.
    cdef int cut_body(self, Request request, ThreadContext thread, object error) except -1
    # Have this thread wait until its client may have taken something, and send more.
    cdef int await_room(self, Request request, ThreadContext thread, int timeout_ms) except -1

    # This thread deals with the request from here on, outside of an event. False: its client is gone, and so is it.
    cdef bint take_up(self, Request request) except -1
    # What is known of its client without reading: a PEER_….
    cdef int peer_of(self, Request request) noexcept
    # Unless something is to be sent, the channel need not be watched for its sake.
    cdef int rest(self, Request request) except -1
    # Its client has gone before it began.
    cdef int part_with(self, Request request) except -1
    # Its response ends here, so that the client can tell.
    cdef int break_off(self, Request request) except -1
    # The application wants its client to be gone.
    cdef int cut_client(self, Request request) except -1
    # This thread has had its turn with the request.
    cdef int done_with(self, Request request, ThreadContext thread) except -1
    # What the poller should watch for may be another thing now.
    cdef int look_again(self, Request request) except -1
    # The response is handed over: as soon as somebody deals with the connection, the request leaves it.
    cdef int request_over(self, Request request, ThreadContext thread) except -1
    # It has become another protocol's, which takes its place on the channel: what was read behind it, or None.
    cdef bytes hand_over(self, Request request)
    # It is to proceed in a turn of its own, when this thread is done with the connection.
    cdef int queue_up(self, Request request) except -1

# What is still to be done for a request that is over, and whose client is served: its hook. (A Protocol, since it is given a turn of
# its own as those are; its channel is closed.)
cdef class Afterwards(Protocol):
    cdef WorkerContext worker
    cdef Compartment compartment    # whose threads do it, where requests run on threads
    cdef object context             # of the request
    cdef object visit

    cdef int _call(self) except -1

# `made` is a new one, of whatever class.
cdef Afterwards new_afterwards(Afterwards made, Runner runner, Compartment compartment, object context, object visit)
# Have it called, in a turn of its own.
cdef int owe(Afterwards afterwards, Runner runner) except -1

cdef class Request(AsyncExchange):
    cdef RequestProtocol protocol   # never None
    cdef Compartment compartment
    cdef object carried             # what its protocol keeps with it
    cdef bint waits                 # to begin: admitted, but nobody has taken it up
    cdef object visit               # what hooks are given of it (hooks/requests.py); None: there are none, or it has not begun
    cdef str method, uri            # as they came: the application may change what it is given
    cdef str request_id             # None: requests have none
    cdef long long started_ns
    # Of what is counted (metrics/figures.pxd); 0, where nothing is
    cdef long long came_ns          # since when it waits to begin; 0: it does not
    cdef long long begun_ns         # when its application was called; 0: it was not, or the end is counted
    cdef int group                  # of routes
    cdef Trace trace                # what becomes of it; None: nobody wants to know, it has not begun, or its protocol has it
    cdef long long head_ns          # when its head was complete, if somebody traces it, or it has a body and may be slow; 0: nobody asks
    cdef long long body_sent        # bytes of the response's body
    # Of the request's body, ns
    cdef long long body_deadline    # for the next piece; 0: none is waited for
    cdef long long body_since       # since when the client is waited for
    cdef long long body_waited      # and how long it was before
    # Of the time that the application may take, ns
    cdef long long limit_ns         # without a sign of life; 0: it has no limit
    cdef long long granted_ns       # until when it may go on in any case: it has asked for that
    cdef long long slow_ns          # after this, without a sign of life, the log tells of it; 0: never
    cdef int samples                # of where its application is that were taken since; at the first one the log tells
    cdef long long sent_at          # when a trusted proxy took it, by its word, ns since the epoch; 0: it did not say
    # Of files that the application may name (x_sendfile)
    cdef Asked asked                # what its client said of that; None: it may name none
    cdef bint replaced              # such a file has gone out: what the application sends is not wanted
    cdef bint is_kept               # a trusted proxy has told of its trace, which somebody keeps; then by these ids (tracing/trace.pxd)
    cdef unsigned long long[3] ids

    # Its application is about to be called: hooks may want to know.
    cdef int receive(self, dict source) except -1
    # Somebody traces it, or wants to know whether it is slow. source: its environ, or its scope.
    cdef int begin_trace(self, dict source) except -1
    # What its client got, as the access log has it: "200 OK"; None: nothing yet.
    cdef str answered(self)
    # Its environ or its scope; None: it is over.
    cdef dict source(self)
    # The class of its status (metrics/figures.pxd): 1 for what lasts as long as a connection does, WebSockets, say.
    cdef int outcome(self) noexcept

    # ---- what the protocol tells
    # How it wants its body, of `length` bytes (-1: unknown), now that its head is complete.
    cdef Delivery open_body(self, ThreadContext thread, long long length) except *
    # All of a short body, COLLECTED. False: it wants it otherwise.
    cdef bint take_whole(self, const unsigned char* data, Py_ssize_t size) except -1
    # Some of the body, then: all of what has come for now. is_over: all of it. Raises OSError, MemoryError.
    cdef int take_body_part(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int took_body(self, ThreadContext thread, bint is_over, bint was_chunked, long long received) except -1
    # COLLECTED: the next bytes may go to another place than the thread's buffer.
    cdef int place_body(self, unsigned char** place, Py_ssize_t* size, unsigned long long remaining) except -1
    cdef int placed(self, Py_ssize_t size) except -1
    # The request is complete, or its body is STREAMED or PULLED: start.
    cdef int start(self, ThreadContext thread) except -1
    # Its turn has come.
    cdef int proceed(self, ThreadContext thread) except -1
    # Something has happened on its connection.
    cdef int on_event(self, ThreadContext thread) except -1
    cdef int on_input_end(self, ThreadContext thread) except -1
    cdef int on_flushed(self, ThreadContext thread) except -1
    cdef int on_queued(self) except -1
    cdef int on_lost(self) except -1
    # The body cannot be read on, for `error` (ProtocolError). Whether the client is to be answered so.
    cdef bint on_cut(self, ThreadContext thread, object error) except -1
    cdef int interest(self) noexcept
    cdef bint overdue(self, long long now) noexcept
    cdef int expire(self, ThreadContext thread, long long now) except -1
    # The fields of a response whose body the application still produces; None: there is none. And its end before its time.
    cdef object produces(self)
    cdef int cut(self, ThreadContext thread) except -1
    # Some of the body of a running request has come, or its end.
    cdef int on_body(self, ThreadContext thread) except -1
    # How much of it the application has not taken yet.
    cdef long long untaken(self) noexcept
    # The worker ends. code: with which a WebSocket is closed.
    cdef int go_away(self, int code) except -1
    # Whether fields are to follow the body of its response.
    cdef bint has_trailers(self) noexcept
    # Whether its protocol may take more of the body from the client.
    cdef bint wants_body(self) noexcept
    # The response is out of its hands, or nobody waits for it any more: what the application still does with it leads nowhere.
    cdef int let_go(self, ThreadContext thread) except -1
    # Where bytes for its client are put together, by the thread that may do that. Raises GatewayError.
    cdef ThreadContext writing_thread(self)
    # It has an id: the application is to find it.
    cdef int offer_id(self) except -1
    # It asks for another protocol, and what its client sends behind it lies ready (RequestProtocol.hand_over).
    cdef int offer_socket(self) except -1
    # Its connection becomes the application's, which is inside it. Raises GatewayError where that cannot be.
    cdef int leave_to_application(self) except -1
    # The worker drains, and its connection has been the application's for some time. code: for a WebSocket.
    cdef int on_drain(self, int code) except -1
    # Add it to the access log.
    cdef int log_access(self, object log, long long elapsed, double wall) except -1
    # How long it was under way before its application got it, ns; -1: that is not known. elapsed: since then.
    cdef long long queued(self, long long elapsed) except -2
    # The application gives something to the client.
    cdef int touch(self) except -1

    # Nobody waits for it any more, and the application need not hear of it.
    cdef int give_up(self, ThreadContext thread) except -1
    # It may not wait, or has waited for too long (late). `thread.now` is when. Returns what the error log should say, or None.
    cdef str decline(self, ThreadContext thread, bint late)
    # It waits no more.
    cdef int leave_queue(self) except -1
    # What the access log says of one that has not begun.
    cdef void note_status(self, str status) noexcept

    # Since when the application has given nothing to the client; `now`: its time does not run.
    cdef long long silent_since(self, long long now) noexcept
    # When its time is over.
    cdef long long due(self, long long now) noexcept
    # Whether it should be looked where it is.
    cdef bint is_slow(self, long long now) noexcept
    # It was, and it is there. Whether the log should tell of it.
    cdef bint note_slow(self, long long now, str stack) except -1
    # Its application waits for its client, or no more.
    cdef void note_congestion(self, bint congested) noexcept

    cdef void wait_for_body(self, bint wanted) noexcept
    # Whether the client stalls in it, or sends it too slowly.
    cdef bint body_is_late(self, long long now) noexcept

# What is said of a new request, which its protocol has: the terms are everybody's, or those of the route that its path is on;
# where it runs likewise.
cdef inline int give_terms(Request request, WorkerContext worker, RequestHead head) except -1:
    cdef Compartment usual = request.protocol.runner.compartment
    if request.compartment is not usual:
        request.compartment = usual
    request.limit_ns = worker.request_timeout
    request.slow_ns = worker.slow_request_time
    request.sent_at = 0
    request.is_kept = False
    request.group = 0
    if worker.tells_queued and request.protocol.peer.trusted:
        note_start(request, head)
    if worker.ids is not None:
        name_request(request, worker, head)
    request.head_ns = 0
    if worker.tracer is not None or (worker.slow is not None and head.framing != NO_BODY):
        request.head_ns = monotonic()
    if worker.sent_files is not None:
        request.asked = read_asked_of_any(head)
        request.replaced = False
    return 0 if worker.routing is None else take_route(request, worker.routing, head)

# What is counted: it begins, ends with what was logged, or without; it is answered without its application. `now`: an instant, ns. That it
# ended is counted before its times are, which need its response to be out: since when it was here, 0 where that is not to be counted.
cdef int count_begin(long long* figures, Request request) except -1
cdef long long count_end(long long* figures, Request request, long long now) noexcept
cdef void count_left(Request request) noexcept
cdef int count_passed(long long* figures, Request request, long long now) noexcept
# … and now it is out. trace: what is kept of it, or None.
cdef inline void count_sent(
    WorkerContext worker, int group, long long came_ns, long long ended_ns, long long now, Trace trace, bint is_cut
) noexcept:
    cdef long long* place
    if worker.figures != NULL:
        place = group_of(worker.figures, group)
        observe(place + SENDING, now - ended_ns)
        observe(place + WHOLE, now - came_ns)
    if trace is not None:
        if trace.is_kept and worker.figures != NULL:
            worker.row.data.exemplified = 1
            exemplify(
                worker.row.exemplar_data, group, trace.ids[0], trace.ids[1], trace.ids[2], came_ns, trace.counted_ns, ended_ns, now,
            )
        end_trace(trace, now, is_cut)

# It lasts as long as its connection does, which is not slow, unless it was before.
cdef inline void leave_out(Trace trace) noexcept:
    if trace.slow is None:
        trace.slow_ns = 0

# Its trace is over: unless its protocol has taken it, to tell when the response is out.
cdef inline int drop_trace(Request request, long long now) except -1:
    cdef Trace trace = request.trace
    if trace is not None:
        request.trace = None
        leave_out(trace)
        end_trace(trace, now, False)
    return 0

cdef int take_route(Request request, Routes routes, RequestHead head) except -1
cdef int note_start(Request request, RequestHead head) except -1
cdef int name_request(Request request, WorkerContext worker, RequestHead head) except -1
