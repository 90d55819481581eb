from tricorn.http.h2_session cimport Event, Session, Stream
from tricorn.http.response cimport Defaults

cdef class SessionReader:
    cdef Session session
    cdef Defaults defaults

    cdef object _told(self, Stream stream, Event* event)
    cdef list _ended(self)
    cdef Stream _stream(self, int number)
