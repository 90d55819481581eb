/* A load of WebSocket messages, for servers that echo: wrk knows HTTP only.
 *
 *     wsload PORT CONNECTIONS text|binary|deflate PAYLOAD_FILE
 *
 * It opens its connections one after the other. Then each sends one message and, when the whole echo has come, the
 * next, until the time is up; echoes that are still under way then are awaited for GRACE seconds. Neither the handshakes
 * nor the closing need to be in a measurement that is taken between `ready` and the result.
 *
 * The payload is what the file holds; for `deflate` it has been compressed already (permessage-deflate without
 * context take-over, RFC 7692), is sent with RSV1 set, and the echo may be any whole message with RSV1 set. In the
 * other two forms each byte of the echo is compared. A client has to mask its frames with a fresh key (RFC 6455
 * §5.3); to be lighter than any server this one takes the frames in turn from VARIANTS that were masked before.
 * Pings are not answered: a run is shorter than the patience of any server.
 */
#include "load.h"
#include <sys/random.h>

#define READ_SIZE (256 * 1024)
#define VARIANTS 16
#define CONNECT_TIMEOUT 10 /* seconds, for each handshake */
#define ANSWER_LIMIT 4096

#define FIN 0x80
#define RSV1 0x40
#define CONTINUATION 0
#define TEXT 1
#define BINARY 2
#define CLOSE 8

static const char *const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
static const char *const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; /* of that key, RFC 6455 §1.3 */
static const char *const OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; "
                                 "server_no_context_takeover; client_max_window_bits\r\n";

struct connection {
    int fd;      /* -1 when it is gone */
    int blocked; /* the socket took only a part of the message; EPOLLOUT is watched */
    int done;    /* its last echo has come */
    const char *frame;
    size_t unsent;
    double sent_at;
    unsigned variant;
    /* The frame that is coming in. */
    unsigned char head[10];
    size_t head_size;
    uint64_t frame_left;
    int in_payload;
    /* The message that is coming in. */
    int in_message;
    size_t matched;
};

static char *payload;
static size_t payload_size;
static char *frames[VARIANTS];
static size_t frame_size;
static int opcode, deflate;

static struct connection *connections;
static int stopped;
static long under_way;

/* ---- what is sent ---- */

static char *masked_frame(void) {
    unsigned char mask[4];
    char *frame = malloc(payload_size + 14);
    size_t n = 0, i;
    if (!frame || getrandom(mask, sizeof mask, 0) != sizeof mask) die("masked_frame");
    frame[n++] = (char)(FIN | (deflate ? RSV1 : 0) | opcode);
    if (payload_size < 126) {
        frame[n++] = (char)(0x80 | payload_size);
    } else {
        int bytes = payload_size < 65536 ? 2 : 8;
        frame[n++] = (char)(0x80 | (bytes == 2 ? 126 : 127));
        while (bytes--) frame[n++] = (char)((uint64_t)payload_size >> (8 * bytes));
    }
    memcpy(frame + n, mask, sizeof mask);
    n += sizeof mask;
    for (i = 0; i < payload_size; i++) frame[n + i] = (char)(payload[i] ^ (char)mask[i % 4]);
    frame_size = n + payload_size;
    return frame;
}

/* ---- the handshake ---- */

static int send_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0) return 0;
        data += n;
        size -= (size_t)n;
    }
    return 1;
}

/* Byte by byte, so that nothing that follows the head is taken. */
static int upgraded(int fd) {
    char answer[ANSWER_LIMIT + 1];
    size_t size = 0;
    while (size < ANSWER_LIMIT) {
        if (recv(fd, answer + size, 1, 0) != 1) return 0;
        answer[++size] = 0;
        if (size >= 4 && !memcmp(answer + size - 4, "\r\n\r\n", 4))
            return !strncmp(answer, "HTTP/1.1 101 ", 13) && strstr(answer, ACCEPT) &&
                   !!strcasestr(answer, "permessage-deflate") == deflate;
    }
    return 0;
}

static int open_one(int port) {
    char request[1024];
    int fd = connect_to(port, CONNECT_TIMEOUT);
    int n = snprintf(request, sizeof request,
                     "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     port, KEY, deflate ? OFFER : "");
    if (fd < 0 || (send_all(fd, request, (size_t)n) && upgraded(fd))) return fd;
    close(fd);
    return -1;
}

/* ---- one connection ---- */

static void drop(struct connection *c, uint64_t *reason) {
    close(c->fd);
    c->fd = -1;
    if (c->done) return;
    (*reason)++;
    under_way--;
}

static void flush(struct connection *c) {
    ssize_t n = send(c->fd, c->frame + (frame_size - c->unsent), c->unsent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        drop(c, &tally.write_errors);
        return;
    }
    if (n > 0) c->unsent -= (size_t)n;
    if (c->blocked == !!c->unsent) return;
    c->blocked = !!c->unsent;
    watch_again(c->fd, c, c->blocked);
}

static void send_next(struct connection *c) {
    c->frame = frames[c->variant++ % VARIANTS];
    c->unsent = frame_size;
    c->sent_at = now();
    flush(c);
}

/* The whole echo is here. Returns 0 when the connection has nothing more to read. */
static int finish_message(struct connection *c) {
    if (!deflate && c->matched != payload_size) tally.refused++;
    count_answer(now() - c->sent_at);
    c->in_message = 0;
    c->matched = 0;
    if (stopped) {
        c->done = 1;
        under_way--;
        return 0;
    }
    send_next(c);
    return c->fd >= 0;
}

/* How many bytes the head of this frame has: 2 until the length byte is known. */
static size_t head_wanted(const struct connection *c) {
    int length = c->head_size < 2 ? 0 : c->head[1] & 0x7F;
    return length == 126 ? 4 : length == 127 ? 10 : 2;
}

/* The head is complete; returns 0 if no such frame may come now. */
static int begin_payload(struct connection *c) {
    int first = c->head[0], kind = first & 0x0F;
    size_t i, n = head_wanted(c);
    c->frame_left = n == 2 ? c->head[1] : 0;
    for (i = 2; i < n; i++) c->frame_left = c->frame_left << 8 | c->head[i];
    c->in_payload = 1;
    if (c->head[1] & 0x80 || kind == CLOSE) return 0; /* a server does not mask */
    if (kind > CLOSE) return 1;
    if (c->in_message) return kind == CONTINUATION;
    c->in_message = 1;
    return kind == opcode && !!(first & RSV1) == deflate;
}

/* Part of a payload; returns 0 if it is not what was sent. */
static int take_payload(struct connection *c, const char *data, size_t size) {
    c->frame_left -= size;
    if ((c->head[0] & 0x0F) > CLOSE || deflate) return 1;
    if (c->matched + size > payload_size || memcmp(data, payload + c->matched, size)) return 0;
    c->matched += size;
    return 1;
}

static void take(struct connection *c, const char *data, size_t size) {
    while (size || (c->in_payload && !c->frame_left)) {
        if (!c->in_payload) {
            c->head[c->head_size++] = (unsigned char)*data++;
            size--;
            if (c->head_size == head_wanted(c) && !begin_payload(c)) {
                drop(c, &tally.refused);
                return;
            }
            continue;
        }
        if (c->frame_left) {
            size_t part = size < c->frame_left ? size : (size_t)c->frame_left;
            if (!take_payload(c, data, part)) {
                drop(c, &tally.refused);
                return;
            }
            data += part;
            size -= part;
        }
        if (c->frame_left) return;
        c->in_payload = 0;
        c->head_size = 0;
        if (c->head[0] & FIN && (c->head[0] & 0x0F) < CLOSE && !finish_message(c)) return;
    }
}

static void receive(struct connection *c) {
    static char buffer[READ_SIZE];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n > 0) {
        tally.bytes_read += (uint64_t)n;
        take(c, buffer, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        drop(c, &tally.read_errors);
    }
}

/* ---- all of them ---- */

static long open_all(int port, long wanted) {
    long i;
    for (i = 0; i < wanted; i++) {
        struct connection *c = &connections[i];
        c->fd = open_one(port);
        c->variant = (unsigned)i;
        if (c->fd < 0)
            tally.connect_errors++;
        else
            watch_new(c->fd, c);
    }
    return wanted - (long)tally.connect_errors;
}

static void serve(struct epoll_event *event) {
    struct connection *c = event->data.ptr;
    if (c->fd >= 0 && event->events & EPOLLOUT && c->blocked) flush(c);
    if (c->fd >= 0 && event->events & ~(unsigned)EPOLLOUT) receive(c);
}

static void drive(long wanted, double until) {
    struct epoll_event events[BATCH];
    long i;
    for (i = 0; i < wanted; i++)
        if (connections[i].fd >= 0) send_next(&connections[i]);
    while (under_way > 0) {
        int n = epoll_wait(ep, events, BATCH, 100);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (i = 0; i < n; i++) serve(&events[i]);
        stopped = now() >= until;
        if (now() >= until + GRACE) return;
    }
}

static void set_form(const char *name) {
    deflate = !strcmp(name, "deflate");
    opcode = !strcmp(name, "binary") ? BINARY : TEXT;
}

int main(int argc, char **argv) {
    double began, seconds, took;
    long wanted, i;
    if (argc != 5) {
        fprintf(stderr, "usage: %s PORT CONNECTIONS text|binary|deflate PAYLOAD_FILE\n", argv[0]);
        return 2;
    }
    wanted = atol(argv[2]);
    set_form(argv[3]);
    payload = read_file(argv[4], &payload_size);
    for (i = 0; i < VARIANTS; i++) frames[i] = masked_frame();
    connections = prepare(wanted, sizeof *connections);
    under_way = open_all(atoi(argv[1]), wanted);
    seconds = wait_for_start();
    began = now();
    drive(wanted, began + seconds);
    took = now() - began;
    print_result(took, took, (uint64_t)under_way);
    wait_for_end();
    return 0;
}
