cdef enum:
    DATE_SIZE = 29

# An HTTP-date in any of its three forms, seconds since the epoch; -1: it is none.
cdef long long date_of(const unsigned char* text, Py_ssize_t size, long long now) noexcept nogil
# IMF-fixdate, DATE_SIZE bytes. second: since the epoch, not before it; up to the year 9999.
cdef void write_date(char* text, long long second) noexcept nogil
cdef bytes date_text(long long second)
