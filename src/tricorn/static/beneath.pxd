cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <unistd.h>

    #ifndef SYS_openat2
    #define SYS_openat2 437
    #endif
    #ifndef O_PATH
    #define O_PATH 010000000
    #endif

    /* linux/openat2.h, which older systems do not have */
    struct tricorn_open_how { uint64_t flags, mode, resolve; };
    #define TRICORN_NO_MAGICLINKS 0x02
    #define TRICORN_BENEATH 0x08
    #define TRICORN_CACHED 0x20
    /* A FIFO must not keep us waiting, nor a terminal become ours. */
    #define TRICORN_READING (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
    #define TRICORN_WALKING (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    #define TRICORN_NOWAIT 0x08     /* RWF_NOWAIT */

    /* What is said of an open file. */
    struct tricorn_facts {
        uint64_t inode, device;
        long long size, modified_ns, modified;
        int is_file, is_directory;
    };

    static inline int tricorn_openat2(int root, const char *path, uint64_t flags, uint64_t resolve) {
        struct tricorn_open_how how;
        memset(&how, 0, sizeof(how));
        how.flags = flags;
        how.resolve = TRICORN_BENEATH | TRICORN_NO_MAGICLINKS | resolve;
        return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
    }

    static inline void tricorn_told(const struct stat *found, struct tricorn_facts *facts) {
        facts->inode = found->st_ino;
        facts->device = found->st_dev;
        facts->size = found->st_size;
        facts->modified = found->st_mtim.tv_sec;
        facts->modified_ns = (long long)((unsigned long long)found->st_mtim.tv_sec * 1000000000ULL + (unsigned long long)found->st_mtim.tv_nsec);
        facts->is_file = S_ISREG(found->st_mode);
        facts->is_directory = S_ISDIR(found->st_mode);
    }

    static inline int tricorn_fstat(int fd, struct tricorn_facts *facts) {
        struct stat found;
        if (fstat(fd, &found) < 0)
            return -1;
        tricorn_told(&found, facts);
        return 0;
    }

    /* What is in memory already; fewer bytes, or -1, where it would have to wait for a disk. */
    static inline ssize_t tricorn_read_cached(int fd, void *place, size_t size, long long offset) {
    #ifdef SYS_preadv2
        struct iovec part;
        part.iov_base = place;
        part.iov_len = size;
        return (ssize_t)syscall(
            SYS_preadv2, fd, &part, 1L, (unsigned long)offset,
            sizeof(long) == 8 ? 0UL : (unsigned long)(((unsigned long long)offset >> 16) >> 16), TRICORN_NOWAIT
        );
    #else
        return -1;
    #endif
    }
    """
    cdef struct Facts "tricorn_facts":
        unsigned long long inode, device
        long long size, modified_ns, modified
        int is_file, is_directory

cdef enum Way:
    BY_HAND         # segment by segment
    BY_KERNEL       # openat2(2)
    BY_CACHE        # … which can be asked not to wait for a disk

# Why nothing was opened.
cdef enum:
    NOT_THERE = -1      # there is no such file, or none that may be served
    NOT_NOW = -2        # errno says why: descriptors or memory are lacking, the disk fails

# What this kernel lets us do, as far as `root`, a directory, tells.
cdef Way way_of(int root) noexcept
# A file or directory below `root`, open to be read; NOT_THERE; NOT_NOW, with errno.
cdef int open_beneath(int root, const char* path, Way way) noexcept
# Bytes of a file, as many as there are: fewer, if it ends before. -1: errno.
cdef ssize_t read_at(int fd, unsigned char* place, size_t size, long long offset) noexcept
cdef int facts_of(int fd, Facts* facts) noexcept
# Whether it is the same file, unchanged.
cdef bint is_same(Facts* one, Facts* other) noexcept
# A directory by its name, whatever links that has: who runs the server has given it. -1: errno.
cdef int open_root(const char* path, Facts* facts) noexcept
# Whether that name leads to another directory now.
cdef bint is_another(const char* path, Facts* facts) noexcept
cdef void shut(int fd) noexcept
