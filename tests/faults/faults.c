/* Makes the n-th system call of a kind fail, or do only part of its work. Loaded into the server by LD_PRELOAD.

   What is to fail stands in a page that the test shares with the server (the file FAULT_PLAN names; plan.py writes
   it). Only calls on the connection under test are counted, and those on files below a directory of the test's, so
   nothing else that the process does disturbs the count.

   Knows: the C library. Must not know: the server. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The order is that of CALLS in plan.py. */
enum call {
    RECV, SEND, SENDMSG, SENDFILE, ACCEPT4, SHUTDOWN, SETSOCKOPT, EPOLL_CTL, EPOLL_WAIT, DUP, OPEN, FSTAT, LSEEK, READ,
    WRITE, CALLS
};

struct plan {
    int32_t armed;
    int32_t peer;       /* the port of the client whose connection is meant */
    int32_t call;       /* which kind fails */
    int32_t nth;        /* from which call on, counted from 1; 0: none */
    int32_t times;      /* how many in a row */
    int32_t error;      /* with which errno; 0: it does only part of its work */
    int32_t part;       /* that many bytes */
    int32_t struck;     /* how often it has failed */
    int32_t counts[CALLS];
    char below[256];    /* the directory of the files that are meant */
};

static struct plan *plan;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULT_PLAN");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (page != MAP_FAILED)
        plan = page;
}

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

static int is_armed(void)
{
    return plan && __atomic_load_n(&plan->armed, __ATOMIC_ACQUIRE);
}

static int is_client(int fd)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int saved = errno;
    int found = getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET
        && ntohs(peer.sin_port) == plan->peer;
    errno = saved;
    return found;
}

static int is_below(const char *path)
{
    return strncmp(path, plan->below, strlen(plan->below)) == 0;
}

static int is_file(int fd)
{
    char link[64], path[512];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (n < 0)
        return 0;
    path[n] = 0;
    return is_below(path);
}

/* 0: go on. -1: it has failed, errno is set. Else how many bytes it may move. */
static int strike(enum call call)
{
    int n = __atomic_add_fetch(&plan->counts[call], 1, __ATOMIC_ACQ_REL);
    if (plan->call != (int)call || plan->nth == 0 || n < plan->nth || n >= plan->nth + plan->times)
        return 0;
    __atomic_add_fetch(&plan->struck, 1, __ATOMIC_ACQ_REL);
    if (plan->error == 0)
        return plan->part;
    errno = plan->error;
    return -1;
}

static size_t least(size_t size, int part)
{
    return part > 0 && (size_t)part < size ? (size_t)part : size;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    int part = is_armed() && is_client(fd) ? strike(RECV) : 0;
    return part < 0 ? -1 : REAL(recv)(fd, data, least(size, part), flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    int part = is_armed() && is_client(fd) ? strike(SEND) : 0;
    return part < 0 ? -1 : REAL(send)(fd, data, least(size, part), flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    int part = is_armed() && is_client(fd) ? strike(SENDMSG) : 0;
    if (part < 0)
        return -1;
    for (size_t i = 0; part > 0 && i < message->msg_iovlen; i++)
        if (message->msg_iov[i].iov_len)
            return REAL(send)(fd, message->msg_iov[i].iov_base, least(message->msg_iov[i].iov_len, part), flags);
    return REAL(sendmsg)(fd, message, flags);
}

ssize_t sendfile64(int fd, int file, off64_t *offset, size_t size)
{
    int part = is_armed() && is_client(fd) ? strike(SENDFILE) : 0;
    return part < 0 ? -1 : REAL(sendfile64)(fd, file, offset, least(size, part));
}

ssize_t sendfile(int fd, int file, off_t *offset, size_t size)
{
    return sendfile64(fd, file, (off64_t *)offset, size);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return is_armed() && strike(ACCEPT4) < 0 ? -1 : REAL(accept4)(fd, address, size, flags);
}

int shutdown(int fd, int how)
{
    return is_armed() && is_client(fd) && strike(SHUTDOWN) < 0 ? -1 : REAL(shutdown)(fd, how);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    if (is_armed() && is_client(fd) && strike(SETSOCKOPT) < 0)
        return -1;
    return REAL(setsockopt)(fd, level, name, value, size);
}

int epoll_ctl(int poller, int operation, int fd, struct epoll_event *event)
{
    /* To stop watching needs nothing that could be missing. */
    if (is_armed() && operation != EPOLL_CTL_DEL && is_client(fd) && strike(EPOLL_CTL) < 0)
        return -1;
    return REAL(epoll_ctl)(poller, operation, fd, event);
}

int epoll_wait(int poller, struct epoll_event *events, int most, int timeout)
{
    return is_armed() && strike(EPOLL_WAIT) < 0 ? -1 : REAL(epoll_wait)(poller, events, most, timeout);
}

int dup(int fd)
{
    return is_armed() && is_file(fd) && strike(DUP) < 0 ? -1 : REAL(dup)(fd);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return is_armed() && is_below(path) && strike(OPEN) < 0 ? -1 : REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open64(path, flags, mode);
}

int fstat64(int fd, struct stat64 *facts)
{
    return is_armed() && is_file(fd) && strike(FSTAT) < 0 ? -1 : REAL(fstat64)(fd, facts);
}

int fstat(int fd, struct stat *facts)
{
    return fstat64(fd, (struct stat64 *)facts);
}

off64_t lseek64(int fd, off64_t offset, int whence)
{
    return is_armed() && is_file(fd) && strike(LSEEK) < 0 ? -1 : REAL(lseek64)(fd, offset, whence);
}

off_t lseek(int fd, off_t offset, int whence)
{
    return lseek64(fd, offset, whence);
}

ssize_t read(int fd, void *data, size_t size)
{
    int part = is_armed() && is_file(fd) ? strike(READ) : 0;
    return part < 0 ? -1 : REAL(read)(fd, data, least(size, part));
}

ssize_t write(int fd, const void *data, size_t size)
{
    int part = is_armed() && is_file(fd) ? strike(WRITE) : 0;
    return part < 0 ? -1 : REAL(write)(fd, data, least(size, part));
}
