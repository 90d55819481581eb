cdef enum:
    MOST_RANGES = 32    # of one request; one that asks for more gets the whole

# Bytes of a representation.
cdef struct Stretch:
    long long start, size

cdef struct Stretches:
    int count
    Stretch[MOST_RANGES] all

# What a Range field comes to.
cdef enum Reading:
    WHOLE           # nothing: it is to be ignored
    SOME            # these stretches
    NONE_OF_IT      # the representation has nothing of what is asked for (416)

cdef Reading read_ranges(const unsigned char* text, Py_ssize_t length, long long size, Stretches* found) noexcept nogil
