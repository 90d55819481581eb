# What the transport asks of the operating system, of the interpreter's C interface where Cython does not declare it, and of C.

from cpython.object cimport PyObject

cdef extern from "Python.h":
    int PyThreadState_SetAsyncExc(unsigned long, PyObject*)

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    #define tricorn_return_memory() malloc_trim(0)
    #else
    #define tricorn_return_memory() 0
    #endif
    """
    # What the C library keeps of freed memory goes back to the system, where the library has a way to say so.
    int tricorn_return_memory() nogil

cdef extern from *:
    """
    static inline int tricorn_pending_error(void) { return -1; }

    static inline PyObject *tricorn_take_error(void) {
    #if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
    #else
        PyObject *type, *value, *stack;
        PyErr_Fetch(&type, &value, &stack);
        if (type == NULL)
            return NULL;
        PyErr_NormalizeException(&type, &value, &stack);
        if (stack != NULL)
            PyException_SetTraceback(value, stack);
        Py_DECREF(type);
        Py_XDECREF(stack);
        return value;
    #endif
    }
    """
    # What has failed and was called unchecked has left an exception behind: this raises it.
    int tricorn_pending_error() except -1
    # The exception itself, which then is no longer on its way. Unlike an except clause it needs no memory: where none is left for a
    # traceback, the code that Cython makes of one would crash (a traceback of NULL).
    object tricorn_take_error()

cdef extern from *:
    """
    #include <errno.h>
    #include <string.h>
    #include <sys/socket.h>

    typedef union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } tricorn_control;

    static inline void tricorn_prepare_message(
        struct msghdr *message, struct iovec *part, tricorn_control *control, const void *data, size_t size
    ) {
        memset(message, 0, sizeof(*message));
        memset(control, 0, sizeof(*control));
        part->iov_base = (void *)data;
        part->iov_len = size;
        message->msg_iov = part;
        message->msg_iovlen = 1;
        message->msg_control = control->room;
        message->msg_controllen = sizeof(control->room);
    }

    static inline int tricorn_send_fd(int to, int fd, const void *data, size_t size) {
        struct msghdr message;
        struct iovec part;
        tricorn_control control;
        struct cmsghdr *header;
        tricorn_prepare_message(&message, &part, &control, data, size);
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(int));
        return sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size ? 0 : -1;
    }

    static inline int tricorn_receive_fd(int from, void *data, size_t size) {
        struct msghdr message;
        struct iovec part;
        tricorn_control control;
        struct cmsghdr *header;
        int fd = -1;
        ssize_t n;
        tricorn_prepare_message(&message, &part, &control, data, size);
        n = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
            return -1;
        header = CMSG_FIRSTHDR(&message);
        if (header != NULL && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&fd, CMSG_DATA(header), sizeof(int));
        if (fd < 0)
            errno = n == 0 ? EAGAIN : ECONNABORTED;
        return fd;
    }
    """
    # A descriptor and `size` bytes, through a socket that keeps messages apart. -1: errno. Receiving neither waits nor leaks it to programs.
    int tricorn_send_fd(int to, int fd, const void* data, size_t size) nogil
    int tricorn_receive_fd(int source, void* data, size_t size) nogil

cdef extern from "<sys/types.h>" nogil:
    ctypedef long off_t

cdef extern from "<errno.h>" nogil:
    int errno
    int EAGAIN, EINTR, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        unsigned short ss_family
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    cdef struct linger:
        int l_onoff
        int l_linger
    ssize_t recv(int, void*, size_t, int)
    ssize_t send(int, const void*, size_t, int)
    ssize_t sendmsg(int, const msghdr*, int)
    int accept4(int, sockaddr*, socklen_t*, int)
    int shutdown(int, int)
    int setsockopt(int, int, int, const void*, socklen_t)
    int AF_INET, AF_INET6, AF_UNIX, MSG_NOSIGNAL, MSG_MORE, SHUT_WR, SHUT_RDWR
    int SOCK_NONBLOCK, SOCK_CLOEXEC, SOL_SOCKET, SO_LINGER

cdef extern from "<netinet/in.h>" nogil:
    cdef struct in_addr:
        unsigned int s_addr
    cdef struct in6_addr:
        unsigned char s6_addr[16]
    cdef struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_port
        in6_addr sin6_addr
    unsigned short ntohs(unsigned short)
    unsigned short htons(unsigned short)
    int IPPROTO_TCP, INET6_ADDRSTRLEN

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int, const void*, char*, socklen_t)
    int inet_pton(int, const char*, void*)

cdef extern from "<sys/sendfile.h>" nogil:
    ssize_t sendfile(int, int, off_t*, size_t)

cdef extern from "<unistd.h>" nogil:
    int close(int)
    int dup(int)
    int usleep(unsigned int)
    ssize_t read(int, void*, size_t)
    ssize_t write(int, const void*, size_t)
    ssize_t pread(int, void*, size_t, off_t)

cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd*, unsigned long, int)
    short POLLIN, POLLOUT, POLLRDHUP, POLLHUP, POLLERR

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int, int)
    int EFD_NONBLOCK, EFD_CLOEXEC

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        unsigned long long u64
    cdef struct epoll_event:
        unsigned int events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event*)
    int epoll_wait(int, epoll_event*, int, int)
    unsigned int EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLEXCLUSIVE
    int EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_PROCESS_CPUTIME_ID
