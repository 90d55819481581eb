/* Makes the system calls of the server's transport misbehave by a plan that comes from a seed. Loaded by LD_PRELOAD.

   Whose calls: those on descriptors that the transport got from accept4(), or from another worker by recvmsg(),
   whoever makes them, and what the transport's own modules ask of listeners, pollers and temporary files. Never the
   application's files and sockets, nor pipes. The master accepts nothing, so nothing happens to it.

   What is drawn depends on the seed, on which of the master's children this is, on which of its connections, and on
   how many calls of this sort that connection has seen; so it is the same again if these calls come in the same
   order, whatever happens to the other connections.

   Knows: the C library, the names of the transport's modules. Must not know: anything else of the server. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The order is that of CALLS in plan.py. */
enum call { RECV, SEND, SENDMSG, SENDFILE, ACCEPT4, EPOLL_WAIT, POLL, WRITE, RECVMSG, CALLS };

/* What is no errno. The numbers are those of WAYS in plan.py. */
enum { NONE = 0, SHORT = -1, LATE = -2, NOTHING = -3, SPURIOUS = -4 };

enum {
    FAULTS = 16,        /* of one call, at most */
    IN_A_ROW = 2,       /* a call on one descriptor makes no progress so often; then it may */
    DESCRIPTORS = 65536,
    LATEST_MS = 20
};

enum kind { OTHER, CLIENT, LISTENER, POLLER };

struct fault {
    int32_t way;
    int32_t per_mille;
};

struct descriptor {
    uint64_t identity;
    uint32_t counts[CALLS];
    uint8_t idle[CALLS];    /* how often in a row it made no progress */
    uint8_t kind;
    uint8_t broken;
    int poller;             /* which watches it; 0: none (no poller has this number) */
    struct epoll_event watched;
};

/* Shared with the test: what is to happen, and what has. */
struct page {
    uint64_t seed;
    struct fault faults[CALLS][FAULTS];
    uint32_t struck[CALLS][FAULTS];
};

static struct page *page;
static struct descriptor descriptors[DESCRIPTORS], files;
static int highest;
static uint64_t forks, serial, accepted;     /* serial: which child of its parent this process is */

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

static void count_fork(void)
{
    forks++;
}

static void be_child(void)
{
    serial = forks;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CHAOS_PLAN");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (mapped == MAP_FAILED)
        return;
    page = mapped;
    pthread_atfork(count_fork, NULL, be_child);
}

/* splitmix64's last step: each bit of the input changes half of the output. */
static uint64_t mixed(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Whether this code is the transport's. The answer is remembered: there are some dozens of places that call. */
static int is_transport(const void *caller)
{
    static uint64_t known[256];
    uint64_t *slot = &known[((uintptr_t)caller >> 2) % 256];
    uint64_t key = (uint64_t)(uintptr_t)caller << 1, found = __atomic_load_n(slot, __ATOMIC_RELAXED);
    Dl_info info;
    if ((found & ~1ul) != key) {
        int is = dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "/tricorn/transport/") != NULL;
        found = key | is;
        __atomic_store_n(slot, found, __ATOMIC_RELAXED);
    }
    return found & 1;
}
#define BY_TRANSPORT (page && is_transport(__builtin_return_address(0)))

static struct descriptor *known(int fd)
{
    return page && fd >= 0 && fd < DESCRIPTORS ? &descriptors[fd] : NULL;
}

static struct descriptor *client(int fd)
{
    struct descriptor *found = known(fd);
    return found && found->kind == CLIENT ? found : NULL;
}

static void know(int fd, enum kind kind, uint64_t identity)
{
    struct descriptor *new = known(fd);
    if (!new || (kind != CLIENT && new->kind == kind))
        return;
    if (kind == CLIENT)
        memset(new, 0, sizeof *new);
    new->identity = identity;
    new->kind = kind;
    if (fd > highest)
        highest = fd;
}

static int is_idle(int way)
{
    return way == EAGAIN || way == EINTR || way == ECONNABORTED || way == NOTHING || way == SPURIOUS;
}

/* What this call is to suffer; *chance: more of the same number. */
static int drawn(struct descriptor *on, enum call call, uint64_t *chance)
{
    uint32_t n = __atomic_fetch_add(&on->counts[call], 1, __ATOMIC_RELAXED);
    uint64_t x = mixed(mixed(page->seed ^ mixed(serial)) ^ mixed(on->identity) ^ ((uint64_t)call << 56) ^ n);
    int64_t left = x % 1000;
    const struct fault *faults = page->faults[call];
    *chance = mixed(x);
    for (int i = 0; i < FAULTS && faults[i].way; i++) {
        left -= faults[i].per_mille;
        if (left >= 0)
            continue;
        if (is_idle(faults[i].way) && on->idle[call]++ >= IN_A_ROW)
            break;
        if (!is_idle(faults[i].way))
            on->idle[call] = 0;
        __atomic_add_fetch(&page->struck[call][i], 1, __ATOMIC_RELAXED);
        return faults[i].way;
    }
    on->idle[call] = 0;
    return NONE;
}

/* Mostly a few bytes, now and then many. */
static size_t part(uint64_t chance, size_t size)
{
    size_t most = 1 + (chance >> 8) % ((size_t)1 << (chance % 17));
    return most < size ? most : size;
}

static void be_late(uint64_t chance)
{
    struct timespec time = { 0, (long)(chance % LATEST_MS) * 1000000 };
    nanosleep(&time, NULL);
}

static int is_end(int error)
{
    return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT;
}

/* As when the client has reset it: the poller tells, later calls fail. A real reset goes out to the client. */
static void break_off(int fd, struct descriptor *on)
{
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };
    on->broken = 1;
    connect(fd, &nobody, sizeof nobody);
}

/* -1: it has failed, errno is set. Else how many bytes it may move, which are fewer than `size` or as many. */
static ssize_t allowed(int fd, struct descriptor *on, enum call call, size_t size)
{
    uint64_t chance;
    int way = drawn(on, call, &chance);
    if (way == SHORT)
        return part(chance, size);
    if (way == LATE)
        be_late(chance);
    if (way <= 0)
        return size;
    if (is_end(way))
        break_off(fd, on);
    errno = way;
    return -1;
}

static ssize_t broken_pipe(void)
{
    errno = EPIPE;
    return -1;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    struct descriptor *on = client(fd);
    ssize_t most = size;
    if (on && on->broken)
        return 0;
    if (on && size)
        most = allowed(fd, on, RECV, size);
    return most < 0 ? -1 : REAL(recv)(fd, data, most, flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    struct descriptor *on = client(fd);
    ssize_t most = size;
    if (on && on->broken)
        return broken_pipe();
    if (on && size)
        most = allowed(fd, on, SEND, size);
    return most < 0 ? -1 : REAL(send)(fd, data, most, flags);
}

static ssize_t send_part(int fd, const struct msghdr *message, size_t most, int flags)
{
    struct iovec parts[16];
    struct msghdr less = *message;
    size_t count = 0;
    for (size_t i = 0; most && i < message->msg_iovlen && count < 16; i++) {
        parts[count] = message->msg_iov[i];
        if (parts[count].iov_len > most)
            parts[count].iov_len = most;
        most -= parts[count++].iov_len;
    }
    less.msg_iov = parts;
    less.msg_iovlen = count;
    return REAL(sendmsg)(fd, &less, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct descriptor *on = client(fd);
    size_t size = 0;
    ssize_t most;
    if (!on)
        return REAL(sendmsg)(fd, message, flags);
    if (on->broken)
        return broken_pipe();
    for (size_t i = 0; i < message->msg_iovlen; i++)
        size += message->msg_iov[i].iov_len;
    most = allowed(fd, on, SENDMSG, size);
    if (most < 0)
        return -1;
    return (size_t)most < size ? send_part(fd, message, most, flags) : REAL(sendmsg)(fd, message, flags);
}

ssize_t sendfile64(int fd, int file, off64_t *offset, size_t size)
{
    struct descriptor *on = client(fd);
    ssize_t most = size;
    if (on && on->broken)
        return broken_pipe();
    if (on && size)
        most = allowed(fd, on, SENDFILE, size);
    return most < 0 ? -1 : REAL(sendfile64)(fd, file, offset, most);
}

int accept4(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    uint64_t chance;
    int fd, error;
    if (!BY_TRANSPORT || !known(listener))
        return REAL(accept4)(listener, address, size, flags);
    know(listener, LISTENER, 0);
    error = drawn(&descriptors[listener], ACCEPT4, &chance);
    if (error > 0) {
        errno = error;
        return -1;
    }
    fd = REAL(accept4)(listener, address, size, flags);
    if (fd >= 0)
        know(fd, CLIENT, __atomic_add_fetch(&accepted, 1, __ATOMIC_RELAXED));
    return fd;
}

static int descriptor_in(struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int fd = -1;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

ssize_t recvmsg(int listener, struct msghdr *message, int flags)
{
    uint64_t chance;
    ssize_t n;
    if (!BY_TRANSPORT || !known(listener))
        return REAL(recvmsg)(listener, message, flags);
    know(listener, LISTENER, 0);
    errno = drawn(&descriptors[listener], RECVMSG, &chance);
    if (errno > 0)
        return -1;
    n = REAL(recvmsg)(listener, message, flags);
    if (n >= 0)
        know(descriptor_in(message), CLIENT, __atomic_add_fetch(&accepted, 1, __ATOMIC_RELAXED));
    return n;
}

int close(int fd)
{
    struct descriptor *on = known(fd);
    if (on && on->kind != OTHER) {
        on->kind = OTHER;
        on->poller = 0;
    }
    return REAL(close)(fd);
}

int epoll_ctl(int poller, int operation, int fd, struct epoll_event *event)
{
    struct descriptor *on = BY_TRANSPORT ? known(fd) : NULL;
    int done = REAL(epoll_ctl)(poller, operation, fd, event);
    if (!on || done < 0)
        return done;
    know(poller, POLLER, (uint64_t)poller << 32);
    on->poller = operation == EPOLL_CTL_DEL ? 0 : poller;
    if (on->poller)
        on->watched = *event;
    return done;
}

static int stands_in(const struct epoll_event *events, int n, uint64_t data)
{
    for (int i = 0; i < n; i++)
        if (events[i].data.u64 == data)
            return 1;
    return 0;
}

/* One more event: of a descriptor that the poller watches, though nothing has happened to it. 0: there is none. */
static int spurious(int poller, struct epoll_event *events, int n, uint64_t chance)
{
    for (int i = 0; i <= highest; i++) {
        const struct descriptor *on = &descriptors[(chance + i) % (highest + 1)];
        if (on->kind == OTHER || on->poller != poller || stands_in(events, n, on->watched.data.u64))
            continue;
        events[n].events = on->watched.events & (EPOLLIN | EPOLLOUT);
        events[n].data = on->watched.data;
        return 1;
    }
    return 0;
}

int epoll_wait(int poller, struct epoll_event *events, int most, int timeout)
{
    struct descriptor *on = BY_TRANSPORT ? known(poller) : NULL;
    uint64_t chance;
    int way = on && on->kind == POLLER ? drawn(on, EPOLL_WAIT, &chance) : NONE;
    if (way > 0) {
        errno = way;
        return -1;
    }
    if (way == NOTHING && timeout >= 0)     /* without a time limit it would be a kernel that lies */
        return 0;
    if (way == SPURIOUS) {
        int n = REAL(epoll_wait)(poller, events, most, 0);
        if (n >= 0 && n < most)
            n += spurious(poller, events, n, chance);
        if (n)
            return n;
    }
    return REAL(epoll_wait)(poller, events, most, timeout);
}

int poll(struct pollfd *waiting, nfds_t count, int timeout)
{
    struct descriptor *on = count == 1 && BY_TRANSPORT ? client(waiting[0].fd) : NULL;
    uint64_t chance;
    int way = on ? drawn(on, POLL, &chance) : NONE;
    if (way > 0) {
        errno = way;
        return -1;
    }
    if (way == NOTHING && timeout >= 0)
        return 0;
    if (way == SPURIOUS) {
        /* Only what a kernel may say in vain: no client has ended that has not. */
        waiting[0].revents = waiting[0].events & (POLLIN | POLLOUT);
        return waiting[0].revents != 0;
    }
    return REAL(poll)(waiting, count, timeout);
}

static int is_file(int fd)
{
    struct stat facts;
    int saved = errno;
    int is = fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_nlink == 0;
    errno = saved;
    return is;
}

static ssize_t write_some(int fd, const void *data, size_t size, int is_ours)
{
    struct descriptor *on = client(fd);
    ssize_t most = size;
    if (on && on->broken)
        return broken_pipe();
    if (is_ours && is_file(fd))
        most = allowed(fd, &files, WRITE, size);
    return most < 0 ? -1 : REAL(write)(fd, data, most);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return write_some(fd, data, size, BY_TRANSPORT);
}
