/* TLS handshakes, each on a connection of its own and with one request after it: wrk keeps its connections, and resumes
 * no session.
 *
 *     tlsload PORT CONNECTIONS full|resumed REQUEST_FILE
 *
 * As many connections at a time as it is told: each connects, shakes hands (TLS 1.3), sends the request, which asks to
 * close the connection, reads the response, sends close_notify, and makes way for the next, until the time is up. What
 * is under way then is awaited for GRACE seconds. A latency is that from the beginning of connecting to the end of the
 * response. One that fails before is replaced, unless nobody listens any more.
 *
 * `full`: a client that knows nothing of the server yet. `resumed`: it offers the session of the ticket that came last
 * (RFC 8446 §4.6.1), with a fresh key exchange. Before `ready` each of the connections has shaken hands once, so that
 * there is a ticket from the beginning. Whether the server has taken the session is counted, not assumed.
 *
 * The chain of the certificate is not verified, which would cost only the client; the signature of the handshake is.
 */
#include "response.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#define CONNECT_TIMEOUT 5 /* seconds */

struct connection {
    int fd; /* -1 when it is gone, and no other takes its place */
    SSL *tls;
    SSL_SESSION *session; /* of the ticket that came last */
    int asked;
    int blocked; /* EPOLLOUT is watched */
    double began;
    struct response response;
};

static SSL_CTX *context;
static char *request;
static size_t request_size;
static struct connection *connections;
static long wanted, under_way;
static int port, resume, stopped;
static uint64_t resumed;

/* ---- sessions ---- */

/* A ticket has come. Returns whether the session is kept. */
static int keep_session(SSL *tls, SSL_SESSION *session) {
    struct connection *c = SSL_get_app_data(tls);
    if (!resume) return 0;
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

static SSL_CTX *make_context(void) {
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());
    if (!made || !SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION)) die("SSL_CTX_new");
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(made, keep_session);
    return made;
}

/* ---- one connection ---- */

/* The rest is done when the socket can be written, which is at once. One without a socket does not come back. */
static void begin(struct connection *c) {
    c->asked = 0;
    c->blocked = 1;
    c->response.size = 0;
    c->began = now();
    c->fd = connect_to(port, CONNECT_TIMEOUT);
    if (c->fd < 0) {
        tally.connect_errors++;
        under_way--;
        return;
    }
    watch_new(c->fd, c);
    watch_again(c->fd, c, c->blocked);
    c->tls = SSL_new(context);
    if (!c->tls || !SSL_set_fd(c->tls, c->fd) || !SSL_set_app_data(c->tls, c)) die("SSL_new");
    if (c->session && !SSL_set_session(c->tls, c->session)) die("SSL_set_session");
    SSL_set_connect_state(c->tls);
}

/* The next takes its place, unless the time is up. close_notify is sent, without which the session would be void. */
static void end(struct connection *c) {
    SSL_shutdown(c->tls);
    ERR_clear_error();
    SSL_free(c->tls);
    close(c->fd);
    c->fd = -1;
    if (stopped)
        under_way--;
    else
        begin(c);
}

/* What a call that has done nothing waits for: 0, and the socket is watched for it; or -1, it has failed. */
static int wait_for_socket(struct connection *c, int result) {
    int reason = SSL_get_error(c->tls, result), blocked = reason == SSL_ERROR_WANT_WRITE;
    if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) return -1;
    if (c->blocked != blocked) watch_again(c->fd, c, blocked);
    c->blocked = blocked;
    return 0;
}

/* 1: the response is whole. 0: the socket must have something first. -1: it has failed. */
static int advance(struct connection *c) {
    struct response *r = &c->response;
    int n, closes, state = 0;
    ERR_clear_error();
    if (!c->asked) {
        n = SSL_write(c->tls, request, (int)request_size); /* after the handshake */
        if (n <= 0) return wait_for_socket(c, n);
        c->asked = 1;
    }
    while (!state) {
        n = SSL_read(c->tls, r->bytes + r->size, (int)(RESPONSE_LIMIT - r->size));
        if (n <= 0) return wait_for_socket(c, n);
        tally.bytes_read += (uint64_t)n;
        r->size += (size_t)n;
        r->bytes[r->size] = 0;
        state = whole(r, &closes);
    }
    return state;
}

static void serve(struct connection *c) {
    int state = advance(c);
    if (!state) return;
    if (state < 0) {
        tally.read_errors++;
    } else {
        count_response(&c->response, now() - c->began);
        resumed += SSL_session_reused(c->tls) == 1;
    }
    end(c);
}

/* ---- all of them ---- */

/* Each connection once at least. */
static void drive(double until) {
    struct epoll_event events[BATCH];
    long i;
    under_way = wanted;
    for (i = 0; i < wanted; i++) begin(&connections[i]);
    while (under_way > 0) {
        int n = epoll_wait(ep, events, BATCH, 100);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        stopped = now() >= until;
        for (i = 0; i < n; i++) serve(events[i].data.ptr);
        if (now() >= until + GRACE) return;
    }
}

/* Each connection has a ticket afterwards, if the server gives any; the tally is empty. */
static void get_tickets(void) {
    drive(now());
    if (tally.answered != (uint64_t)wanted) {
        fprintf(stderr, "only %llu of %ld first handshakes were answered\n", (unsigned long long)tally.answered, wanted);
        exit(1);
    }
    memset(&tally, 0, sizeof tally);
    resumed = 0;
    stopped = 0;
}

int main(int argc, char **argv) {
    double began, seconds, took;
    if (argc != 5) {
        fprintf(stderr, "usage: %s PORT CONNECTIONS full|resumed REQUEST_FILE\n", argv[0]);
        return 2;
    }
    port = atoi(argv[1]);
    wanted = atol(argv[2]);
    resume = !strcmp(argv[3], "resumed");
    request = read_file(argv[4], &request_size);
    connections = prepare(wanted, sizeof *connections);
    signal(SIGPIPE, SIG_IGN); /* libssl writes without MSG_NOSIGNAL */
    context = make_context();
    if (resume) get_tickets();
    seconds = wait_for_start();
    began = now();
    drive(began + seconds);
    took = now() - began;
    printf("  Resumed sessions: %llu\n", (unsigned long long)resumed);
    print_result(took, took, (uint64_t)under_way);
    wait_for_end();
    return 0;
}
