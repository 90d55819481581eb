/* The floor: the least that a server on this machine can cost.
 *
 *     floor PORT BODY_SIZE [close]
 *
 * One process, one epoll, level-triggered; each request costs one recv, one send and its share of an
 * epoll_wait, and gets the same prepared answer of BODY_SIZE bytes. It looks for the end of the head and, in
 * requests that may have a body, for Content-Length, because without them it could not tell where a request
 * ends; it validates nothing and is no web server. With `close` each answer says `Connection: close` and the
 * connection is closed after it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define READ_SIZE (64 * 1024)
#define HEAD_LIMIT 8192

/* What is known of one connection. `head` is allocated only while a head is incomplete. */
struct connection {
    size_t body_left; /* bytes of the request body that have not come yet */
    size_t unsent;    /* bytes of the answer that the socket has not taken yet */
    size_t head_size;
    char *head;
    int answering; /* the answer waits for the rest of the body */
};

static struct connection *connections;
static size_t connections_size;
static char *answer;
static size_t answer_size;
static int closing;
static int ep;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void prepare_answer(size_t body_size) {
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                     "Content-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n",
                     body_size, closing ? "Connection: close\r\n" : "");
    answer_size = (size_t)n + body_size;
    answer = malloc(answer_size);
    if (!answer) die("malloc");
    memcpy(answer, head, (size_t)n);
    memset(answer + n, 'x', body_size);
}

static int listen_on(int port) {
    int one = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&address, sizeof address) || listen(s, 4096)) die("listen");
    return s;
}

static void watch(int fd, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(ep, operation, fd, &event)) die("epoll_ctl");
}

static void drop(int fd) {
    free(connections[fd].head);
    memset(&connections[fd], 0, sizeof connections[fd]);
    close(fd);
}

static void accept_all(int listener) {
    for (;;) {
        int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) return;
        if ((size_t)fd >= connections_size) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        memset(&connections[fd], 0, sizeof connections[fd]);
        watch(fd, EPOLL_CTL_ADD, EPOLLIN);
    }
}

/* Sends what is left of the answer; returns 0 when the connection is gone. */
static int flush(int fd) {
    struct connection *c = &connections[fd];
    int waited = c->unsent < answer_size;
    ssize_t n = send(fd, answer + (answer_size - c->unsent), c->unsent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        drop(fd);
        return 0;
    }
    if (n > 0) c->unsent -= (size_t)n;
    if (c->unsent) {
        watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
        return 1;
    }
    if (closing) {
        drop(fd);
        return 0;
    }
    if (waited) watch(fd, EPOLL_CTL_MOD, EPOLLIN);
    return 1;
}

/* Keeps an incomplete head; returns 0 when it is too long. */
static int keep(struct connection *c, const char *data, size_t size) {
    if (c->head_size + size > HEAD_LIMIT) return 0;
    if (!c->head && !(c->head = malloc(HEAD_LIMIT + 1))) die("malloc");
    memcpy(c->head + c->head_size, data, size);
    c->head_size += size;
    return 1;
}

static size_t content_length(char *head, size_t size) {
    char last = head[size - 1], *field;
    size_t length = 0;
    if (head[0] == 'G') return 0;
    head[size - 1] = 0;
    field = strcasestr(head, "\ncontent-length:");
    if (field) length = strtoull(field + 16, NULL, 10);
    head[size - 1] = last;
    return length;
}

/* Takes [data, data + size); returns 0 when the connection is gone. */
static int take(int fd, char *data, size_t size) {
    struct connection *c = &connections[fd];
    if (!c->answering) {
        char *end;
        size_t taken, length;
        if (c->head_size) {
            if (!keep(c, data, size)) return drop(fd), 0;
            data = c->head;
            size = c->head_size;
        }
        end = memmem(data, size, "\r\n\r\n", 4);
        if (!end) {
            if (!c->head_size && !keep(c, data, size)) return drop(fd), 0;
            return 1;
        }
        taken = (size_t)(end - data) + 4;
        length = content_length(data, taken);
        size -= taken;
        c->head_size = 0;
        c->body_left = length;
        c->answering = 1;
    }
    c->body_left -= size < c->body_left ? size : c->body_left;
    if (c->body_left) return 1;
    c->answering = 0;
    if (c->head) {
        free(c->head);
        c->head = NULL;
    }
    c->unsent = answer_size;
    return flush(fd);
}

static void serve(int fd, unsigned events) {
    static char buffer[READ_SIZE];
    ssize_t n;
    if (connections[fd].unsent) {
        if (events & (EPOLLERR | EPOLLHUP))
            drop(fd);
        else
            flush(fd);
        return;
    }
    n = recv(fd, buffer, sizeof buffer, 0);
    if (n > 0)
        take(fd, buffer, (size_t)n);
    else if (n == 0 || errno != EAGAIN)
        drop(fd);
}

int main(int argc, char **argv) {
    struct epoll_event events[BATCH];
    struct rlimit files;
    int listener;
    if (argc < 3) {
        fprintf(stderr, "usage: %s PORT BODY_SIZE [close]\n", argv[0]);
        return 2;
    }
    closing = argc > 3 && !strcmp(argv[3], "close");
    prepare_answer(strtoull(argv[2], NULL, 10));
    getrlimit(RLIMIT_NOFILE, &files);
    connections_size = files.rlim_cur < 65536 ? files.rlim_cur : 65536;
    connections = calloc(connections_size, sizeof *connections);
    if (!connections) die("calloc");
    ep = epoll_create1(0);
    listener = listen_on(atoi(argv[1]));
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int i, n = epoll_wait(ep, events, BATCH, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                serve(events[i].data.fd, events[i].events);
        }
    }
}
