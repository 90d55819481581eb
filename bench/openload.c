/* HTTP requests at a constant rate, whatever the server does: an open loop.
 *
 *     openload PORT CONNECTIONS RATE spin|sleep REQUEST_FILE
 *
 * The i-th request is planned for the instant i / RATE after the start, and its latency counts from there: a request
 * whose instant passes while all connections are busy waits here, first come first served, and that wait is part of
 * its latency. So a server that stalls does not hide the stall by slowing the client down ("coordinated omission"). A
 * connection carries one request at a time. Requests that are planned and not tally.answered GRACE seconds after the end
 * are failures.
 *
 * `spin`: the client never sleeps, so that a response does not have to wake it, which the server would pay for.
 * `sleep`: it sleeps until the next response or the next planned instant, as clients elsewhere do.
 *
 * Where the server closes a connection after a response, a new one is opened at once.
 */
#include "response.h"

#define CONNECT_TIMEOUT 5 /* seconds */

struct connection {
    int fd; /* -1 when the server does not take a new one */
    int busy;
    int blocked; /* the socket took only a part of the request; EPOLLOUT is watched */
    size_t unsent;
    double planned; /* instant of the request that is under way */
    struct response response;
};

static char *request;
static size_t request_size;
static struct connection *connections;
static long *idle; /* a ring of the numbers of the connections that wait for work */
static long idle_first, idle_count, wanted;
static int port, spin;

/* ---- connections ---- */

static void rest(struct connection *c) {
    c->busy = 0;
    c->response.size = 0;
    idle[(idle_first + idle_count++) % wanted] = (long)(c - connections);
}

static void open_one(struct connection *c) {
    c->blocked = 0;
    c->unsent = 0;
    c->fd = connect_to(port, CONNECT_TIMEOUT);
    if (c->fd < 0)
        tally.connect_errors++;
    else
        watch_new(c->fd, c);
}

/* Takes the place of one that has ended. A request that was under way on it has failed. */
static void replace(struct connection *c, uint64_t *reason) {
    int was_busy = c->busy;
    if (was_busy) (*reason)++;
    close(c->fd);
    open_one(c);
    if (was_busy) rest(c);
}

static void flush(struct connection *c) {
    ssize_t n = send(c->fd, request + (request_size - c->unsent), c->unsent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        replace(c, &tally.write_errors);
        return;
    }
    if (n > 0) c->unsent -= (size_t)n;
    if (c->blocked == !!c->unsent) return;
    c->blocked = !!c->unsent;
    watch_again(c->fd, c, c->blocked);
}

static void ask(double planned) {
    struct connection *c = &connections[idle[idle_first]];
    idle_first = (idle_first + 1) % wanted;
    idle_count--;
    if (c->fd < 0) open_one(c);
    if (c->fd < 0) {
        tally.write_errors++;
        rest(c);
        return;
    }
    c->busy = 1;
    c->planned = planned;
    c->unsent = request_size;
    flush(c);
}

/* ---- responses ---- */

static void finish(struct connection *c, int closes) {
    count_response(&c->response, now() - c->planned);
    rest(c);
    if (closes) replace(c, &tally.read_errors);
}

static void receive(struct connection *c) {
    struct response *r = &c->response;
    ssize_t n = recv(c->fd, r->bytes + r->size, RESPONSE_LIMIT - r->size, 0);
    int state, closes = 0;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        replace(c, &tally.read_errors);
        return;
    }
    tally.bytes_read += (uint64_t)n;
    r->size += (size_t)n;
    r->bytes[r->size] = 0;
    state = c->busy ? whole(r, &closes) : -1;
    if (state > 0) finish(c, closes);
    if (state < 0) replace(c, &tally.read_errors);
}

static void serve(struct epoll_event *event) {
    struct connection *c = event->data.ptr;
    if (c->fd >= 0 && event->events & EPOLLOUT && c->unsent) flush(c);
    if (c->fd >= 0 && event->events & ~(unsigned)EPOLLOUT) receive(c);
}

/* ---- the plan ---- */

static int wait_for_events(struct epoll_event *events, double until) {
    double left = spin ? 0 : until - now();
    struct timespec t = {0};
    int n;
    if (left > 0) {
        t.tv_sec = (time_t)left;
        t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
    }
    n = epoll_pwait2(ep, events, BATCH, &t, NULL);
    if (n < 0 && errno != EINTR) die("epoll_pwait2");
    return n;
}

/* Returns how many requests were planned. */
static uint64_t drive(double rate, double seconds) {
    struct epoll_event events[BATCH];
    double began = now(), last = began + seconds + GRACE;
    uint64_t planned = (uint64_t)(rate * seconds), sent = 0;
    while (tally.answered + tally.read_errors + tally.write_errors < planned) {
        double instant = now(), next = began + (double)sent / rate;
        int i, n;
        if (instant >= last) break;
        while (sent < planned && idle_count && next <= instant) {
            ask(next);
            next = began + (double)++sent / rate;
        }
        n = wait_for_events(events, sent < planned && idle_count && next < last ? next : last);
        for (i = 0; i < n; i++) serve(&events[i]);
    }
    return planned;
}

int main(int argc, char **argv) {
    double began, seconds, rate, took;
    uint64_t planned;
    long i;
    if (argc != 6) {
        fprintf(stderr, "usage: %s PORT CONNECTIONS RATE spin|sleep REQUEST_FILE\n", argv[0]);
        return 2;
    }
    port = atoi(argv[1]);
    wanted = atol(argv[2]);
    rate = atof(argv[3]);
    spin = !strcmp(argv[4], "spin");
    request = read_file(argv[5], &request_size);
    connections = prepare(wanted, sizeof *connections);
    idle = calloc((size_t)wanted, sizeof *idle);
    if (!idle) die("calloc");
    for (i = 0; i < wanted; i++) {
        open_one(&connections[i]);
        rest(&connections[i]);
    }
    seconds = wait_for_start();
    began = now();
    planned = drive(rate, seconds);
    took = now() - began;
    print_result(took, took > seconds ? took : seconds,
                 planned - tally.answered - tally.read_errors - tally.write_errors);
    wait_for_end();
    return 0;
}
