"""Dates as HTTP has them (RFC 9110 §5.6.7): IMF-fixdate, which is written, and what else has to be read.

Knows: the calendar. Must not know: clocks, fields.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

cdef const char** DAYS = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"]
cdef const char** MONTHS = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
]
# Half a century, of which RFC 9110 §5.6.7 speaks.
cdef long long HALF_CENTURY = 50 * 365 * 86400 + 12 * 86400


cdef long long date_of(const unsigned char* text, Py_ssize_t size, long long now) noexcept nogil:
    """RFC 9110 §5.6.7: IMF-fixdate, and what it replaced. The name of the day is not compared: nothing is done with it."""
    cdef Py_ssize_t comma = 0
    if size == 24 and text[3] == c' ':
        # Sun Nov  6 08:49:37 1994
        if text[7] != c' ' or text[10] != c' ' or text[19] != c' ':
            return -1
        return _moment(
            _two(text + 20, 4), text + 4, _two(text + 9, 1) if text[8] == c' ' else _two(text + 8, 2), text + 11
        )
    while comma < size and text[comma] != c',':
        comma += 1
    text += comma
    size -= comma
    if size == 26 and text[1] == c' ' and text[4] == c' ' and text[8] == c' ' and text[13] == c' ' and _is_gmt(text + 22):
        # , 06 Nov 1994 08:49:37 GMT
        return _moment(_two(text + 9, 4), text + 5, _two(text + 2, 2), text + 14)
    if size == 24 and text[1] == c' ' and text[4] == c'-' and text[8] == c'-' and text[11] == c' ' and _is_gmt(text + 20):
        # , 06-Nov-94 08:49:37 GMT
        return _in_this_century(text, now)
    return -1


cdef long long _in_this_century(const unsigned char* text, long long now) noexcept nogil:
    """Unless that would be more than fifty years from now."""
    cdef int year = _two(text + 9, 2)
    cdef long long found
    if year < 0:
        return -1
    found = _moment(2000 + year, text + 5, _two(text + 2, 2), text + 12)
    if found > now + HALF_CENTURY:
        found = _moment(1900 + year, text + 5, _two(text + 2, 2), text + 12)
    return found


cdef bint _is_gmt(const unsigned char* text) noexcept nogil:
    return memcmp(text, <const char*>b" GMT", 4) == 0


cdef int _two(const unsigned char* text, int digits) noexcept nogil:
    """A number of so many digits; -1: it is none."""
    cdef int value = 0
    cdef int i
    for i in range(digits):
        if not c'0' <= text[i] <= c'9':
            return -1
        value = value * 10 + (text[i] - c'0')
    return value


cdef long long _moment(int year, const unsigned char* name, int day, const unsigned char* clock) noexcept nogil:
    """name: of the month. clock: 08:49:37."""
    cdef int month = 0
    cdef int hour = _two(clock, 2)
    cdef int minute = _two(clock + 3, 2)
    cdef int second = _two(clock + 6, 2)
    while month < 12 and memcmp(name, MONTHS[month], 3) != 0:
        month += 1
    if month == 12 or year < 1970 or not 1 <= day <= 31 or clock[2] != c':' or clock[5] != c':':
        return -1
    if not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 60:
        return -1
    return _days(year, month + 1, day) * 86400 + hour * 3600 + minute * 60 + second


cdef long long _days(long long year, int month, int day) noexcept nogil:
    """Since the epoch. A year begins in March here, so that the day that leap years have more is its last."""
    cdef long long shifted = year if month > 2 else year - 1
    cdef long long from_march = (month + 9) % 12
    return 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + (from_march * 306 + 5) // 10 + day - 1 - 719468


cdef void write_date(char* text, long long second) noexcept nogil:
    """The C library's names of days depend on the locale that an application may have set."""
    cdef long long days = second // 86400
    cdef long long left = second % 86400
    cdef long long shifted
    cdef long long year
    cdef long long in_year
    cdef long long from_march
    cdef long long month
    cdef long long day
    shifted = days + 719468
    # Whole cycles of 400 years are 146097 days; of the rest the year is found by leaving the leap days out.
    in_year = shifted % 146097
    year = (in_year - in_year // 1460 + in_year // 36524 - in_year // 146096) // 365
    in_year -= 365 * year + year // 4 - year // 100
    year += shifted // 146097 * 400
    from_march = (5 * in_year + 2) // 153
    day = in_year - (153 * from_march + 2) // 5 + 1
    month = from_march + 2 if from_march < 10 else from_march - 10
    if month < 2:
        year += 1
    _put(text, DAYS[(days + 4) % 7], 3)
    _put(text + 3, b", ", 2)
    _put_two(text + 5, <int>day)
    _put(text + 7, b" ", 1)
    _put(text + 8, MONTHS[month], 3)
    _put(text + 11, b" ", 1)
    _put_two(text + 12, <int>(year // 100))
    _put_two(text + 14, <int>(year % 100))
    _put(text + 16, b" ", 1)
    _put_two(text + 17, <int>(left // 3600))
    _put(text + 19, b":", 1)
    _put_two(text + 20, <int>(left // 60 % 60))
    _put(text + 22, b":", 1)
    _put_two(text + 23, <int>(left % 60))
    _put(text + 25, b" GMT", 4)


cdef bytes date_text(long long second):
    cdef char[DATE_SIZE] text
    write_date(text, max(second, <long long>0))     # before the epoch no file was changed that HTTP could tell of
    return PyBytes_FromStringAndSize(text, DATE_SIZE)


cdef void _put(char* place, const char* text, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        place[i] = text[i]


cdef void _put_two(char* place, int number) noexcept nogil:
    place[0] = <char>(c'0' + number // 10 % 10)
    place[1] = <char>(c'0' + number % 10)


# ---- for tests --------------------------------------------------------------------------------------------

def date(bytes text, long long now):
    """Seconds since the epoch, or None."""
    found = date_of(<const unsigned char*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), now)
    return None if found < 0 else found


def text_of(long long second):
    return date_text(second)
