from tricorn.static.asked cimport Asked

# Which version of a representation there is.
cdef struct Version:
    const unsigned char* tag        # its entity-tag, with the quotes and without W/
    Py_ssize_t size                 # of that
    bint weak
    long long modified              # seconds since the epoch; -1: not known
    bint settled                    # so long ago that it cannot have changed again in the same second

cdef enum Verdict:
    GOES_ON             # the request has no condition, or it holds
    HAS_IT              # the client has this version (304)
    HAS_ANOTHER         # … or expects another one (412)

cdef Verdict judge(Asked asked, Version* version, long long now) except *
# Whether its Range is to be heeded: If-Range may name another version.
cdef bint range_holds(Asked asked, Version* version, long long now) except -1
