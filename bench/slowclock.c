/* A clock that runs a thousand times slower, to be preloaded into a server whose instructions are counted.
 *
 * Heartbeats, the Date header and timers cost by the second, not by the request, and under valgrind a second holds
 * few requests. With this clock they hardly ever come, so that a count repeats. The kernel's own waits are not
 * changed: a server that wakes up early finds nothing due and waits again.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SLOWER 1000
#define SECOND 1000000000LL
#define CLOCKS 16 /* those that clock_gettime(2) knows by a small number */

static int64_t began[CLOCKS]; /* when the clock was first read; a fork inherits it */

static int64_t slowed(clockid_t clock) {
    struct timespec t;
    int64_t real;
    if (syscall(SYS_clock_gettime, clock, &t)) return -1;
    real = t.tv_sec * SECOND + t.tv_nsec;
    if (clock < 0 || clock >= CLOCKS) return real; /* the processor time of some process */
    if (!began[clock]) began[clock] = real;
    return began[clock] + (real - began[clock]) / SLOWER;
}

int clock_gettime(clockid_t clock, struct timespec *to) {
    int64_t t = slowed(clock);
    if (t < 0) return -1;
    to->tv_sec = t / SECOND;
    to->tv_nsec = t % SECOND;
    return 0;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone) {
    int64_t t = slowed(CLOCK_REALTIME);
    (void)zone;
    to->tv_sec = t / SECOND;
    to->tv_usec = t % SECOND / 1000;
    return 0;
}

time_t time(time_t *to) {
    time_t t = slowed(CLOCK_REALTIME) / SECOND;
    if (to) *to = t;
    return t;
}
