"""TLS of the kernel, for what is sent: plaintext goes in, and files, of which not a byte comes here.

The plan. libssl does the handshake and gives the kernel the keys of our direction (tls.pyx). From then on what is
written to the socket is plaintext: each write becomes records of data, and what is not data (tickets, alerts) says so
beside it. What the peer sends is still libssl's.

The kernel encrypts a record as soon as it has taken it, and TCP gets as much of it as there is room for. The rest is
kept and follows when there is room again; but an end of our side does not wait for it, nor does close(2): the record
would be cut off, and close_notify with it. No call tells whether anything is kept, so it is counted: TCP has got as
many bytes as the plaintext has, and as the records have beyond their plaintext.

Knows: system calls. Must not know: OpenSSL, which connection it is, who waits for it.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.string cimport memset

from tricorn.transport.system cimport EAGAIN, EINTR, MSG_NOSIGNAL, errno, iovec, msghdr, off_t, sendfile, sendmsg

cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/ioctl.h>
    #include <sys/socket.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>

    /* Of Linux's own headers (linux/tls.h, linux/tcp.h), which need not be there and get in the way of the C library's. */
    enum { TRICORN_SOL_TLS = 282, TRICORN_TLS_TX = 1, TRICORN_SET_RECORD_TYPE = 1, TRICORN_BYTES_ACKED = 120 };

    static inline ssize_t tricorn_send_record(int fd, unsigned char kind, const void *data, size_t size) {
        struct msghdr message;
        struct iovec part = {(void *)data, size};
        union { char room[CMSG_SPACE(1)]; struct cmsghdr align; } control;
        struct cmsghdr *header;
        memset(&message, 0, sizeof message);
        memset(&control, 0, sizeof control);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = TRICORN_SOL_TLS;
        header->cmsg_type = TRICORN_SET_RECORD_TYPE;
        header->cmsg_len = CMSG_LEN(1);
        *CMSG_DATA(header) = kind;
        return sendmsg(fd, &message, MSG_NOSIGNAL);
    }

    /* Records of a file are given to TCP with the word that more follows. If it does not, because there is no room, TCP may
       wait for it for ever: seen where there is room for less than it likes to send at once. */
    static inline void tricorn_push(int fd) {
        int error = errno, off = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
        errno = error;
    }

    /* What the peer has confirmed. -1: errno. */
    static inline int64_t tricorn_tcp_acked(int fd) {
        char info[256];
        socklen_t size = sizeof info;
        int64_t acked = -1;
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0 && size >= TRICORN_BYTES_ACKED + sizeof acked)
            memcpy(&acked, info + TRICORN_BYTES_ACKED, sizeof acked);
        return acked;
    }

    /* What TCP has taken: that, and what it still has; exact, because nothing was confirmed in between. -1: errno. */
    static inline int64_t tricorn_tcp_taken(int fd) {
        int64_t before, after = tricorn_tcp_acked(fd);
        int waiting;
        do {
            before = after;
            if (before < 0 || ioctl(fd, TIOCOUTQ, &waiting) < 0)
                return -1;
            after = tricorn_tcp_acked(fd);
        } while (after != before);
        return after + waiting;
    }

    /* The number of the next record, and what a record has beyond its plaintext. 0: the kernel does not say. Its answer
       has the key in it, which does not stay here. */
    static inline int tricorn_tls_records(int fd, unsigned long long *number) {
        /* The cipher → the length of the answer, and the part of the nonce that TLS 1.2 sends along. */
        static const struct { uint16_t cipher, size, nonce; } known[] = {
            {51 /* AES-128-GCM */, 40, 8}, {52 /* AES-256-GCM */, 56, 8}, {53 /* AES-128-CCM */, 40, 8},
            {54 /* ChaCha20-Poly1305 */, 56, 0},
        };
        unsigned char answer[56];
        uint16_t version, cipher;
        socklen_t size = 4;
        int overhead = 0;
        unsigned i, j;
        if (getsockopt(fd, TRICORN_SOL_TLS, TRICORN_TLS_TX, answer, &size) < 0)
            return 0;
        memcpy(&version, answer, 2);
        memcpy(&cipher, answer + 2, 2);
        for (i = 0; i < sizeof known / sizeof *known && known[i].cipher != cipher; i++)
            ;
        if (i == sizeof known / sizeof *known)
            return 0;
        size = known[i].size;
        if (getsockopt(fd, TRICORN_SOL_TLS, TRICORN_TLS_TX, answer, &size) == 0 && size == known[i].size) {
            *number = 0;
            for (j = size - 8; j < size; j++)
                *number = *number << 8 | answer[j];
            /* Header and tag; in TLS 1.3 the kind of the record, which is encrypted. */
            overhead = 5 + 16 + (version == 0x0304 ? 1 : known[i].nonce);
        }
        explicit_bzero(answer, sizeof answer);
        return overhead;
    }
    """
    ssize_t tricorn_send_record(int fd, unsigned char kind, const void* data, size_t size) nogil
    long long tricorn_tcp_taken(int fd) nogil
    void tricorn_push(int fd) nogil
    int tricorn_tls_records(int fd, unsigned long long* number) nogil


cdef KernelTLS* new_kernel_tls(int fd) noexcept nogil:
    cdef KernelTLS* tls = <KernelTLS*>PyMem_RawCalloc(1, sizeof(KernelTLS))
    if tls != NULL:
        tls.before = tricorn_tcp_taken(fd)
        tricorn_tls_records(fd, &tls.records)
    return tls


cdef void free_kernel_tls(KernelTLS* tls) noexcept nogil:
    PyMem_RawFree(tls)


cdef ssize_t kernel_send(KernelTLS* tls, int fd, const iovec* parts, int count, int* error) noexcept nogil:
    cdef msghdr message
    cdef ssize_t n = -1
    memset(&message, 0, sizeof(message))
    message.msg_iov = <iovec*>parts
    message.msg_iovlen = count
    error[0] = EINTR
    while n < 0 and error[0] == EINTR:
        n = sendmsg(fd, &message, MSG_NOSIGNAL)
        error[0] = errno if n < 0 else 0
    return _count(tls, n, error)


cdef ssize_t kernel_send_record(
    KernelTLS* tls, int fd, unsigned char kind, const char* data, size_t size, int* error
) noexcept nogil:
    cdef ssize_t n = -1
    error[0] = EINTR
    while n < 0 and error[0] == EINTR:
        n = tricorn_send_record(fd, kind, data, size)
        error[0] = errno if n < 0 else 0
    return _count(tls, n, error)


cdef ssize_t kernel_send_file(
    KernelTLS* tls, int fd, int source, off_t* offset, size_t size, int* error
) noexcept nogil:
    cdef ssize_t n = -1
    error[0] = EINTR
    while n < 0 and error[0] == EINTR:
        n = sendfile(fd, source, offset, size)
        error[0] = errno if n < 0 else 0
    if error[0] == EAGAIN:
        tricorn_push(fd)
    return _count(tls, n, error)


cdef ssize_t _count(KernelTLS* tls, ssize_t n, int* error) noexcept nogil:
    if n >= 0:
        tls.given += n
        return n
    return 0 if error[0] == EAGAIN else -1


cdef bint kernel_is_out(const KernelTLS* tls, int fd) noexcept nogil:
    cdef long long taken = tricorn_tcp_taken(fd)
    cdef unsigned long long records = 0
    cdef int overhead = tricorn_tls_records(fd, &records)
    if taken < 0 or tls.before < 0 or overhead == 0:
        return True         # the kernel does not say: it is gone, or of another kind than we know
    return taken - tls.before >= tls.given + <long long>(records - tls.records) * overhead
