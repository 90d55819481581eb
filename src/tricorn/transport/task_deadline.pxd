from tricorn.gateway.asgi cimport HTTPCall

# `tricorn.deadline` for the extensions of the scope that this call gets.
cdef object offered_of_call(HTTPCall call)
