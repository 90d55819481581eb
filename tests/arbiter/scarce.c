/* Has a call of the master fail, or of the processes that it has made, so many times. Loaded into them by LD_PRELOAD.

   What is to fail stands in a page that the test shares with them (the file SCARCE_PLAN names; scarcity.py writes it).

   Knows: the C library. Must not know: the server. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

/* The order is that of CALLS in scarcity.py. */
enum call { NONE, FORK, PIPE, MMAP, POLL, OPEN, EPOLL_CREATE, EXEC, EPOLL_CTL };

struct plan {
    int32_t master;
    int32_t in_master;  /* else in the processes that it has made */
    int32_t call;
    int32_t error;
    int32_t times;      /* how many are still to fail */
};

static struct plan *plan;

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SCARCE_PLAN");
    int fd = path ? REAL(open)(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : REAL(mmap)(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (page != MAP_FAILED)
        plan = page;
}

static int fails(enum call call)
{
    if (!plan || plan->call != (int)call || plan->in_master != (getpid() == plan->master))
        return 0;
    if (__atomic_sub_fetch(&plan->times, 1, __ATOMIC_ACQ_REL) < 0)
        return 0;
    errno = plan->error;
    return 1;
}

pid_t fork(void)
{
    return fails(FORK) ? -1 : REAL(fork)();
}

int pipe2(int fds[2], int flags)
{
    return fails(PIPE) ? -1 : REAL(pipe2)(fds, flags);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    return fails(POLL) ? -1 : REAL(poll)(fds, count, timeout);
}

int epoll_create1(int flags)
{
    return fails(EPOLL_CREATE) ? -1 : REAL(epoll_create1)(flags);
}

int execve(const char *path, char *const arguments[], char *const environ[])
{
    return fails(EXEC) ? -1 : REAL(execve)(path, arguments, environ);
}

/* Of a listener only: what becomes of a connection that cannot be watched is asked elsewhere (tests/faults). */
int epoll_ctl(int poller, int operation, int fd, struct epoll_event *event)
{
    int begins = operation == EPOLL_CTL_ADD && event->events & EPOLLEXCLUSIVE;
    return begins && fails(EPOLL_CTL) ? -1 : REAL(epoll_ctl)(poller, operation, fd, event);
}

/* Shared memory only: the interpreter's own is another matter. */
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return flags & MAP_SHARED && fails(MMAP) ? MAP_FAILED : REAL(mmap)(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    return mmap(at, size, protection, flags, fd, offset);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return fails(OPEN) ? -1 : REAL(open64)(path, flags, mode);
}
