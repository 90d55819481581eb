from tricorn.http.request cimport RequestHead

cdef enum:
    LONGEST_ID = 128

cdef class RequestIds:
    cdef bytes _field               # its name, lower-case
    cdef bytes _start               # of the header line
    cdef tuple _names               # as text and as bytes
    cdef unsigned long long _first, _second

    # A new one, or what the one such field of a trusted peer says, if that is fit to be written.
    cdef str id_of(self, RequestHead head, bint trusted)
    # The fields of a response with the one that tells the id, unless it is there.
    cdef object added_to(self, object headers, str request_id, bint octets)
    # The header line that does.
    cdef bytes line(self, str request_id)

    cdef str _taken(self, RequestHead head)
    cdef str _made(self)
