from tricorn.transport.system cimport iovec, off_t

# What the kernel does of one connection's TLS: it encrypts what is sent.
cdef struct KernelTLS:
    unsigned char kind          # of the record that is written next, if that is not data
    long long before            # bytes that TCP had taken, and …
    unsigned long long records  # … records that there had been, when the kernel began
    long long given             # plaintext since, of all kinds

# The keys of what is sent are the kernel's now. NULL: no memory.
cdef KernelTLS* new_kernel_tls(int fd) noexcept nogil
cdef void free_kernel_tls(KernelTLS* tls) noexcept nogil
# How many bytes of plaintext the kernel has taken; 0: none now; -1: `error` says why not, and never any more.
cdef ssize_t kernel_send(KernelTLS* tls, int fd, const iovec* parts, int count, int* error) noexcept nogil
# … as a record of that kind (RFC 8446 §5.1).
cdef ssize_t kernel_send_record(
    KernelTLS* tls, int fd, unsigned char kind, const char* data, size_t size, int* error
) noexcept nogil
# … of a file, from `offset`, which moves on. 0 also: the file ends there, and `error` is 0, else EAGAIN.
cdef ssize_t kernel_send_file(
    KernelTLS* tls, int fd, int source, off_t* offset, size_t size, int* error
) noexcept nogil
# Whether TCP has got all that the kernel has taken.
cdef bint kernel_is_out(const KernelTLS* tls, int fd) noexcept nogil
