/* What the loads of this directory share: what they read, how they connect, and how they count and report.
 *
 * A load opens its connections to 127.0.0.1, prints `ready` and waits for a line on its standard input that says for
 * how many seconds it shall drive them. The result is printed in the words of wrk. Then the connections stay until the
 * standard input ends, so that closing them need not be in a measurement that is taken before.
 *
 * Knows: files, sockets, latencies. Must not know: what is sent, and when.
 */
#ifndef LOAD_H
#define LOAD_H
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define GRACE 2.0 /* seconds after the end, for what is under way */

/* Latencies in microseconds: exact up to 2^SUB_BITS, then 2^SUB_BITS steps for each power of two (0.4 %). */
#define SUB_BITS 8
#define SUB (1 << SUB_BITS)
#define STEPS (SUB * 26)

static struct {
    uint64_t answered, refused, connect_errors, read_errors, write_errors, bytes_read;
    uint64_t latencies[STEPS];
    double longest;
} tally;

static int ep;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *content;
    long end;
    if (!file || fseek(file, 0, SEEK_END) || (end = ftell(file)) < 0) die(path);
    rewind(file);
    *size = (size_t)end;
    content = malloc(*size + 1);
    if (!content || fread(content, 1, *size, file) != *size) die(path);
    fclose(file);
    return content;
}

/* ---- sockets ---- */

/* An array of `count` connections of `size` bytes each, all zero; there may be as many descriptors as are allowed. */
static void *prepare(long count, size_t size) {
    struct rlimit files;
    void *connections = calloc((size_t)count, size);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    ep = epoll_create1(0);
    if (!connections || ep < 0) die("prepare");
    return connections;
}

/* A socket that still blocks, for `patience` seconds at most in each call; -1 if nobody accepts. */
static int connect_to(int port, int patience) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct timeval limit = {.tv_sec = patience};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return fd;
    close(fd);
    return -1;
}

/* From now on the socket does not block, and events come with `owner`. */
static void watch_new(int fd, void *owner) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    if (fcntl(fd, F_SETFL, O_NONBLOCK) || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event)) die("watch_new");
}

/* blocked: what is left of a message waits until the socket takes more. */
static void watch_again(int fd, void *owner, int blocked) {
    struct epoll_event event = {.events = blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(ep, EPOLL_CTL_MOD, fd, &event)) die("watch_again");
}

/* ---- the tally ---- */

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

static void count_answer(double latency) {
    tally.latencies[step_of(latency)]++;
    if (latency > tally.longest) tally.longest = latency;
    tally.answered++;
}

static double percentile(double percent) {
    uint64_t seen = 0;
    double enough = (double)tally.answered * percent / 100;
    unsigned step = 0;
    while (step < STEPS - 1 && (double)(seen += tally.latencies[step]) < enough) step++;
    return micros_of(step);
}

/* took: seconds. span: the seconds by which requests are counted. missing: how many were not answered in time. */
static void print_result(double took, double span, uint64_t missing) {
    static const double percents[] = {50, 75, 90, 99, 99.9};
    size_t i;
    printf("  Latency Distribution\n");
    for (i = 0; i < sizeof percents / sizeof *percents; i++)
        printf("    %g%% %.2fus\n", percents[i], percentile(percents[i]));
    printf("    100%% %.2fus\n", tally.longest * 1e6);
    printf("  %llu requests in %.2fs, %.2fMB read\n", (unsigned long long)tally.answered, took,
           (double)tally.bytes_read / 1e6);
    printf("  Socket errors: connect %llu, read %llu, write %llu, timeout %llu\n",
           (unsigned long long)tally.connect_errors, (unsigned long long)tally.read_errors,
           (unsigned long long)tally.write_errors, (unsigned long long)missing);
    printf("  Non-2xx or 3xx responses: %llu\n", (unsigned long long)tally.refused);
    printf("Requests/sec: %.2f\n", (double)tally.answered / span);
    fflush(stdout);
}

/* ---- whoever has started us ---- */

/* All connections are open. For how many seconds they shall be driven; the program ends if nobody says. */
static double wait_for_start(void) {
    char line[64];
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(0);
    return atof(line);
}

static void wait_for_end(void) {
    while (getchar() != EOF) continue;
}

#endif
