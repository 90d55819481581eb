"""What WSGI and ASGI have in common when a request head becomes Python objects: who is believed, and paths.

Knows: heads, header policy. Must not know: environ keys, scope keys, sockets.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcmp

import sys

from tricorn.http.chars cimport hex_value
from tricorn.http.names cimport FORWARDED, kind_of
from tricorn.http.request cimport RequestHead, Span

from tricorn.http.forwarded import FORWARDED_NAMES, checked_prefix, resolve_forwarded

cdef str GET = sys.intern("GET")
cdef str POST = sys.intern("POST")

cdef frozenset REPEATED = frozenset(
    b"accept accept-charset accept-encoding accept-language cache-control connection content-type dnt host pragma priority "
    b"sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc te "
    b"upgrade-insecure-requests user-agent".split()
)


@cython.final
@cython.no_gc
cdef class PortText:
    cdef int number
    cdef str text


cdef PortText _port_text(int number):
    cdef PortText made = PortText.__new__(PortText)
    made.number = number
    made.text = str(number) if number >= 0 else ""
    return made


# Of ports whose clients have asked last. One object for number and text, so that they cannot be of two.
cdef enum:
    PORT_TEXTS = 64
cdef list port_texts = [_port_text(-1)] * PORT_TEXTS


@cython.no_gc
cdef class Peer:
    """port: -1: there is none."""

    def __init__(self, object host, int port, bint trusted):
        self.host = host
        self.number = port
        self.trusted = trusted

    cdef str port(self):
        cdef PortText found = <PortText>port_texts[self.number & (PORT_TEXTS - 1)]
        if found.number != self.number:
            found = _port_text(self.number)
            port_texts[self.number & (PORT_TEXTS - 1)] = found
        return found.text

    cdef object client(self):
        if self.pair is None and self.host is not None:
            self.pair = (self.host, max(self.number, 0))
        return self.pair


cdef class RequestBuilder:
    """What is the same for all requests of a listener. policy: the HeaderPolicy."""

    def __init__(self, object policy):
        self.policy = policy
        self.names = FORWARDED_NAMES | frozenset(policy.scheme_headers)
        # The engine marks heads that hold one of the usual names; others have to be looked for.
        self.unusual_names = any(
            [kind_of(<const unsigned char*>(<bytes>name), len(name)) != FORWARDED for name in self.names]
        )

    cdef bint admits(self, RequestHead head, Span name, Peer peer) except -1:
        """A name with '_' would be taken for the one with '-' in the environ."""
        return self.policy.keeps_underscore(head.raw(name).decode("ascii"), peer.trusted)

    cdef bint may_claim(self, RequestHead head, Peer peer) noexcept:
        return peer.trusted and (head.has_forwarded or head.has_underscore or self.unusual_names)

    cdef object claims(self, RequestHead head, Peer peer, str scheme):
        """Raises ProtocolError where the claims contradict each other."""
        cdef int i
        fields = {}
        for i in range(head.count):
            name = head.raw(head.fields[i].name).lower()
            if name in self.names:
                fields.setdefault(name, []).append(head.raw(head.fields[i].value))
        if not fields:
            return None
        return resolve_forwarded(fields, peer.host, peer.port(), scheme, self.policy)

    cdef str mount(self, RequestHead head):
        """The last SCRIPT_NAME field, where the policy lets a trusted proxy set it; None: there is none.

        Raises ProtocolError where it is no path to be mounted at.
        """
        cdef int i
        cdef bytes found = None
        if not self.policy.forwarder_headers & {"SCRIPT_NAME", "*"}:
            return None
        for i in range(head.count):
            if head.fields[i].underscore and head.raw(head.fields[i].name).lower() == b"script_name":
                found = head.raw(head.fields[i].value)
        return None if found is None else checked_prefix(found)


cdef bint is_repeated(bytes name) except -1:
    """Whether clients send the same value of this field (in lower case) again and again."""
    return name in REPEATED


cdef object method_of(RequestHead head):
    cdef const unsigned char* p = head.data + head.method.start
    if head.method.length == 3 and memcmp(p, b"GET", 3) == 0:
        return GET
    if head.method.length == 4 and memcmp(p, b"POST", 4) == 0:
        return POST
    if head.is_websocket:
        return GET      # to hooks and logs, whatever carries it: in HTTP/2 it is asked for by CONNECT (RFC 8441)
    return sys.intern(head.text(head.method))


cdef bytes decoded_path(RequestHead head):
    """A '%' that no two hexadecimal digits follow stands for itself."""
    cdef const unsigned char* p = head.data + head.path.start
    cdef Py_ssize_t n = head.path.length
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t size = 0
    cdef int high
    cdef int low
    cdef unsigned char* decoded = <unsigned char*>PyMem_Malloc(n + 1)
    if decoded == NULL:
        raise MemoryError()
    while i < n:
        decoded[size] = p[i]
        if p[i] == c'%' and n - i > 2:
            high = hex_value(p[i + 1])
            low = hex_value(p[i + 2])
            if high >= 0 and low >= 0:
                decoded[size] = <unsigned char>(high * 16 + low)
                i += 2
        size += 1
        i += 1
    try:
        return (<char*>decoded)[:size]
    finally:
        PyMem_Free(decoded)
