from tricorn.http.request cimport RequestHead

# What a request says of the representation that it wants: fields by name, as they came; None: there is none. Of those that may stand
# several times the values are one list.
cdef class Asked:
    cdef bint is_get                # else its method is HEAD
    cdef bytes query                # None: there is none
    cdef bytes if_match, if_none_match, accept_encoding
    cdef bytes if_modified_since, if_unmodified_since, if_range, range

cdef Asked read_asked(RequestHead head)
# The same of a request that may be answered with a file, although it need not ask for one: of other methods than GET and HEAD conditions and
# ranges are the application's.
cdef Asked read_asked_of_any(RequestHead head)
