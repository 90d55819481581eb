/* HTTP requests at a constant rate, whatever the server does: an open loop.
 *
 *     openload PORT CONNECTIONS RATE spin|sleep REQUEST_FILE
 *
 * It opens all connections to 127.0.0.1, prints `ready` and waits for a line on its standard input that says for how
 * many seconds it shall drive them. The i-th request is planned for the instant i / RATE after the start, and its
 * latency counts from there: a request whose instant passes while all connections are busy waits here, first come
 * first served, and that wait is part of its latency. So a server that stalls does not hide the stall by slowing the
 * client down ("coordinated omission"). A connection carries one request at a time. Requests that are planned and not
 * answered GRACE seconds after the end are failures.
 *
 * `spin`: the client never sleeps, so that a response does not have to wake it, which the server would pay for.
 * `sleep`: it sleeps until the next response or the next planned instant, as clients elsewhere do.
 *
 * A response has a Content-Length or is chunked, and fits into RESPONSE_LIMIT. Where the server closes a connection
 * after a response, a new one is opened at once. The result is printed in the words of wrk.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define GRACE 2.0
#define CONNECT_TIMEOUT 5 /* seconds */
#define RESPONSE_LIMIT (64 * 1024)

/* Latencies in microseconds: exact up to 2^SUB_BITS, then 2^SUB_BITS steps for each power of two (0.4 %). */
#define SUB_BITS 8
#define SUB (1 << SUB_BITS)
#define STEPS (SUB * 26)

struct connection {
    int fd; /* -1 when the server does not take a new one */
    int busy;
    int blocked; /* the socket took only a part of the request; EPOLLOUT is watched */
    size_t unsent;
    double planned; /* instant of the request that is under way */
    size_t size;    /* of what has come of its response */
    char response[RESPONSE_LIMIT + 1];
};

static char *request;
static size_t request_size;
static struct connection *connections;
static long *idle; /* a ring of the numbers of the connections that wait for work */
static long idle_first, idle_count, wanted;
static int ep, port, spin;

static uint64_t answered, connect_errors, read_errors, write_errors, refused, bytes_read;
static uint64_t latencies[STEPS];
static double longest;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    long size;
    if (!file || fseek(file, 0, SEEK_END)) die(path);
    size = ftell(file);
    rewind(file);
    request_size = (size_t)size;
    request = malloc(request_size + 1);
    if (!request || fread(request, 1, request_size, file) != request_size) die(path);
    fclose(file);
}

/* ---- connections ---- */

static void watch(struct connection *c, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(ep, operation, c->fd, &event)) die("epoll_ctl");
}

static void rest(struct connection *c) {
    c->busy = 0;
    c->size = 0;
    idle[(idle_first + idle_count++) % wanted] = (long)(c - connections);
}

static void open_one(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct timeval patience = {.tv_sec = CONNECT_TIMEOUT};
    int one = 1;
    c->blocked = 0;
    c->unsent = 0;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) die("socket");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) || fcntl(c->fd, F_SETFL, O_NONBLOCK)) {
        close(c->fd);
        c->fd = -1;
        connect_errors++;
        return;
    }
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
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
        replace(c, &write_errors);
        return;
    }
    if (n > 0) c->unsent -= (size_t)n;
    if (c->blocked == !!c->unsent) return;
    c->blocked = !!c->unsent;
    watch(c, EPOLL_CTL_MOD, c->blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void ask(double planned) {
    struct connection *c = &connections[idle[idle_first]];
    idle_first = (idle_first + 1) % wanted;
    idle_count--;
    if (c->fd < 0) open_one(c);
    if (c->fd < 0) {
        write_errors++;
        rest(c);
        return;
    }
    c->busy = 1;
    c->planned = planned;
    c->unsent = request_size;
    flush(c);
}

/* ---- responses ---- */

static unsigned step_of(double seconds) {
    uint64_t micros = seconds > 0 ? (uint64_t)(seconds * 1e6) : 0;
    unsigned power = 0;
    while (micros >> power >= 2 * SUB && power < 24) power++;
    return (unsigned)(power * SUB + (micros >> power));
}

static double micros_of(unsigned step) {
    unsigned power = step < 2 * SUB ? 0 : step / SUB - 1;
    return (double)((uint64_t)(step - power * SUB) << power);
}

/* The value of a field of the head; `name` begins with the line end before it. */
static const char *field(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    if (!found) return NULL;
    found += strlen(name);
    return found + strspn(found, " ");
}

/* 1: the response is whole. 0: more must come. -1: it cannot be read. */
static int whole(struct connection *c, int *closes) {
    char *end = memmem(c->response, c->size, "\r\n\r\n", 4);
    const char *value;
    size_t head;
    int complete;
    if (!end) return c->size < RESPONSE_LIMIT ? 0 : -1;
    head = (size_t)(end - c->response) + 4;
    end[2] = 0; /* the head is a string now, with the end of its last line */
    value = field(c->response, "\r\nconnection:");
    *closes = value && !strncasecmp(value, "close", 5);
    if ((value = field(c->response, "\r\ncontent-length:")))
        complete = c->size - head >= strtoull(value, NULL, 10);
    else if ((value = field(c->response, "\r\ntransfer-encoding:")) && !strncasecmp(value, "chunked", 7))
        complete = c->size >= head + 5 && !memcmp(c->response + c->size - 5, "0\r\n\r\n", 5);
    else
        return -1;
    end[2] = '\r';
    return complete ? 1 : c->size < RESPONSE_LIMIT ? 0 : -1;
}

static void finish(struct connection *c, int closes) {
    double took = now() - c->planned;
    if (memcmp(c->response, "HTTP/1.", 7) || (c->response[9] != '2' && c->response[9] != '3')) refused++;
    latencies[step_of(took)]++;
    if (took > longest) longest = took;
    answered++;
    rest(c);
    if (closes) replace(c, &read_errors);
}

static void receive(struct connection *c) {
    ssize_t n = recv(c->fd, c->response + c->size, RESPONSE_LIMIT - c->size, 0);
    int state, closes = 0;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        replace(c, &read_errors);
        return;
    }
    bytes_read += (uint64_t)n;
    c->size += (size_t)n;
    c->response[c->size] = 0;
    state = c->busy ? whole(c, &closes) : -1;
    if (state > 0) finish(c, closes);
    if (state < 0) replace(c, &read_errors);
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
    while (answered + read_errors + write_errors < planned) {
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

static double percentile(double percent) {
    uint64_t seen = 0;
    double enough = (double)answered * percent / 100;
    unsigned step = 0;
    while (step < STEPS - 1 && (double)(seen += latencies[step]) < enough) step++;
    return micros_of(step);
}

static void print_result(uint64_t planned, double seconds, double took) {
    static const double percents[] = {50, 75, 90, 99, 99.9};
    uint64_t errors = read_errors + write_errors;
    size_t i;
    printf("  Latency Distribution\n");
    for (i = 0; i < sizeof percents / sizeof *percents; i++)
        printf("    %g%% %.2fus\n", percents[i], percentile(percents[i]));
    printf("    100%% %.2fus\n", longest * 1e6);
    printf("  %llu requests in %.2fs, %.2fMB read\n", (unsigned long long)answered, took, (double)bytes_read / 1e6);
    printf("  Socket errors: connect %llu, read %llu, write %llu, timeout %llu\n",
           (unsigned long long)connect_errors, (unsigned long long)read_errors, (unsigned long long)write_errors,
           (unsigned long long)(planned - answered - errors));
    printf("  Non-2xx or 3xx responses: %llu\n", (unsigned long long)refused);
    printf("Requests/sec: %.2f\n", (double)answered / (took > seconds ? took : seconds));
    fflush(stdout);
}

int main(int argc, char **argv) {
    double began, seconds, rate;
    uint64_t planned;
    char line[64];
    long i;
    if (argc != 6) {
        fprintf(stderr, "usage: %s PORT CONNECTIONS RATE spin|sleep REQUEST_FILE\n", argv[0]);
        return 2;
    }
    port = atoi(argv[1]);
    wanted = atol(argv[2]);
    rate = atof(argv[3]);
    spin = !strcmp(argv[4], "spin");
    read_request(argv[5]);
    connections = calloc((size_t)wanted, sizeof *connections);
    idle = calloc((size_t)wanted, sizeof *idle);
    ep = epoll_create1(0);
    if (!connections || !idle || ep < 0) die("calloc");
    for (i = 0; i < wanted; i++) {
        open_one(&connections[i]);
        rest(&connections[i]);
    }
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0;
    seconds = atof(line);
    began = now();
    planned = drive(rate, seconds);
    print_result(planned, seconds, now() - began);
    while (getchar() != EOF) continue;
    return 0;
}
