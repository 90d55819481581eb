# How a representation may lie there already, in the order of preference where a client has none.
cdef enum Coding:
    BROTLI = 0
    ZSTD
    GZIP
    CODINGS             # how many there are
    IDENTITY

# The codings that an Accept-Encoding field takes, those that are dearest to the client first, as far as they are dearer than none at all.
# Returns how many.
cdef int acceptable(bytes field, Coding* found) noexcept
# Behind the name of the file; what Content-Encoding says.
cdef bytes suffix_of(Coding coding)
cdef bytes name_of(Coding coding)
